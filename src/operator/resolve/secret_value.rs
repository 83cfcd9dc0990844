//! Values of Secrets and `ConfigMaps`, taken out and checked. What is wrong is said without the value.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use crate::operator::runtime::{
    error::{Checked, ReconcileError, or_denied},
    problem::Problem,
    references::References,
};
use hookswitch_api::{CaBundleRef, KeyRef, reason::Ready};
use hookswitch_message as message;

/// The most bytes of a credential.
const LONGEST: usize = 1_024;

/// The fewest characters of a hook's secret.
pub const SHORTEST_HOOK_SECRET: usize = 16;

/// The most bytes of a CA bundle.
const LARGEST_BUNDLE: usize = 64 * 1_024;

/// A credential out of a Secret: visible ASCII without a line break inside. A line break at the end is taken off, since
/// files and `kubectl create secret --from-file` leave one there.
///
/// # Errors
/// A [`Problem`] that names Secret and key, never the value.
pub fn credential(secret: Option<&Secret>, namespace: &str, key: &KeyRef) -> Result<message::Secret<String>, Problem> {
    let at = format!("Secret {namespace}/{} key {}", key.name, key.key);
    let Some(secret) = secret else {
        let message = format!(
            "Secret {namespace}/{} does not exist. Create it, for example with: \
             kubectl -n {namespace} create secret generic {} --from-literal={}=VALUE",
            key.name, key.name, key.key
        );
        return Err(Problem::transient(Ready::SecretNotFound, message));
    };
    let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(&key.key)) else {
        let message = format!("Secret {namespace}/{} has no key {}. Add it.", key.name, key.key);
        return Err(Problem::transient(Ready::SecretNotFound, message));
    };
    let invalid = |why: &str| Problem::permanent(Ready::SecretInvalid, format!("{at} {why}"));
    let text = std::str::from_utf8(&bytes.0).map_err(|_| invalid("is not text."))?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(invalid("is empty."));
    }
    if text.len() > LONGEST {
        return Err(invalid("is longer than 1024 bytes."));
    }
    if text.trim().len() != text.len() {
        return Err(invalid("begins or ends with white space. Remove it."));
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(invalid(
            "has characters that a header cannot carry (line breaks, control or non-ASCII characters).",
        ));
    }
    Ok(message::Secret::new(text.to_owned()))
}

/// A hook's secret: a credential of at least 16 characters.
///
/// # Errors
/// As [`credential`].
pub fn hook_secret(secret: Option<&Secret>, namespace: &str, key: &KeyRef) -> Result<message::Secret<String>, Problem> {
    let value = credential(secret, namespace, key)?;
    if value.expose().len() < SHORTEST_HOOK_SECRET {
        let message = format!(
            "Secret {namespace}/{} key {} has fewer than {SHORTEST_HOOK_SECRET} characters; strangers could guess it \
             and send messages. Use a random value, for example from: openssl rand -base64 32",
            key.name, key.key
        );
        return Err(Problem::permanent(Ready::SecretInvalid, message));
    }
    Ok(value)
}

/// The certificates of a CA bundle reference, in PEM.
///
/// # Errors
/// The outer one when the API server does not answer, the inner one when the bundle is missing, no PEM, or may not be read.
pub async fn ca_bundle(
    references: &References,
    namespace: &str,
    reference: &CaBundleRef,
) -> Result<Checked<String>, ReconcileError> {
    let found = match (&reference.config_map_key_ref, &reference.secret_key_ref) {
        (Some(key), _) => {
            let map = references.config_map(namespace, &key.name).await;
            let map = match or_denied(map, Ready::CaBundleInvalid)? {
                Ok(map) => map,
                Err(problem) => return Ok(Err(problem)),
            };
            (format!("ConfigMap {namespace}/{}", key.name), key, map.and_then(|map| of_config_map(&map, &key.key)))
        }
        (None, Some(key)) => {
            let secret = references.secret(namespace, &key.name).await;
            let secret = match or_denied(secret, Ready::CaBundleInvalid)? {
                Ok(secret) => secret,
                Err(problem) => return Ok(Err(problem)),
            };
            let bytes = secret.and_then(|secret| secret.data.as_ref()?.get(&key.key).map(|bytes| bytes.0.clone()));
            (format!("Secret {namespace}/{}", key.name), key, bytes)
        }
        (None, None) => {
            return Ok(Err(Problem::permanent(Ready::InvalidSpec, "spec.caBundleRef names neither of its two kinds.")));
        }
    };
    let (at, key, bytes) = found;
    Ok(pem(&at, key, bytes))
}

fn of_config_map(map: &ConfigMap, key: &str) -> Option<Vec<u8>> {
    let text = map.data.as_ref().and_then(|data| data.get(key)).map(|text| text.clone().into_bytes());
    text.or_else(|| map.binary_data.as_ref()?.get(key).map(|bytes| bytes.0.clone()))
}

fn pem(at: &str, key: &KeyRef, bytes: Option<Vec<u8>>) -> Result<String, Problem> {
    let Some(bytes) = bytes else {
        let message =
            format!("{at} or its key {} does not exist: the CA bundle is needed to trust the other side.", key.key);
        return Err(Problem::transient(Ready::CaBundleInvalid, message));
    };
    let wrong = |why: &str| Problem::permanent(Ready::CaBundleInvalid, format!("{at} key {} {why}", key.key));
    if bytes.len() > LARGEST_BUNDLE {
        return Err(wrong("is larger than 64 KiB."));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not PEM."))?;
    let certificates = x509_parser::pem::Pem::iter_from_buffer(text.as_bytes());
    let mut count = 0;
    for certificate in certificates {
        let sound = certificate.is_ok_and(|pem| pem.label == "CERTIFICATE" && pem.parse_x509().is_ok());
        if !sound {
            return Err(wrong("has a part that is no certificate."));
        }
        count += 1;
    }
    if count == 0 { Err(wrong("has no certificate in PEM.")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn key() -> KeyRef {
        KeyRef { name: "okta".into(), key: "token".into() }
    }

    fn secret(value: &[u8]) -> Secret {
        Secret { data: Some([("token".to_owned(), ByteString(value.to_vec()))].into()), ..Secret::default() }
    }

    #[test]
    fn a_line_break_at_the_end_is_taken_off() {
        for value in ["s3cretvalue", "s3cretvalue\n", "s3cretvalue\r\n"] {
            let taken = credential(Some(&secret(value.as_bytes())), "otp", &key()).unwrap();
            assert_eq!(taken.expose(), "s3cretvalue");
        }
        assert_eq!(
            credential(Some(&secret(b"Basic dXNlcjpwYXNz")), "otp", &key()).unwrap().expose(),
            "Basic dXNlcjpwYXNz"
        );
    }

    #[test]
    fn what_no_header_can_carry_is_refused_without_showing_it() {
        let long = vec![b'x'; 1_025];
        let rows: [(&[u8], &str); 7] = [
            (b"", "is empty"),
            (b"\n", "is empty"),
            (b" hunter2", "white space"),
            (b"hunter2\n\n", "white space"),
            (b"hunter2\r\nX-Evil: 1", "cannot carry"),
            (b"hunter2\xff", "not text"),
            (&long, "longer"),
        ];
        for (value, expected) in rows {
            let problem = credential(Some(&secret(value)), "otp", &key()).unwrap_err();
            assert_eq!((problem.reason, problem.stalled), (Ready::SecretInvalid, true), "{expected}");
            assert!(problem.message.contains(expected), "{}", problem.message);
            assert!(!problem.message.contains("hunter2"));
        }
    }

    #[test]
    fn a_missing_secret_or_key_is_named_with_what_to_do() {
        let problem = credential(None, "otp", &key()).unwrap_err();
        assert_eq!((problem.reason, problem.stalled), (Ready::SecretNotFound, false));
        assert!(problem.message.contains("kubectl -n otp create secret generic okta --from-literal=token="));
        let problem = credential(Some(&Secret::default()), "otp", &key()).unwrap_err();
        assert_eq!(problem.message, "Secret otp/okta has no key token. Add it.");
    }

    #[test]
    fn a_hooks_secret_has_at_least_sixteen_characters() {
        assert_eq!(
            hook_secret(Some(&secret(b"123456789012345\n")), "otp", &key()).unwrap_err().reason,
            Ready::SecretInvalid
        );
        assert!(hook_secret(Some(&secret(b"1234567890123456")), "otp", &key()).is_ok());
    }

    #[test]
    fn a_bundle_must_hold_certificates_and_nothing_else() {
        let made = rcgen::generate_simple_self_signed(vec!["okta.test".into()]).unwrap();
        let certificate = made.cert.pem();
        let at = |text: &str| pem("ConfigMap otp/ca", &key(), Some(text.as_bytes().to_vec()));
        assert!(at(&certificate).is_ok());
        assert!(at(&format!("{certificate}{certificate}")).is_ok());
        let renamed = certificate.replace("CERTIFICATE", "X509 CRL");
        let no_certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for wrong in [&renamed, no_certificate, &format!("{certificate}{renamed}")] {
            assert!(at(wrong).unwrap_err().message.contains("no certificate"), "{wrong}");
        }
        for wrong in ["", "no PEM", &made.signing_key.serialize_pem(), &"x".repeat(LARGEST_BUNDLE + 1)] {
            assert_eq!(at(wrong).unwrap_err().reason, Ready::CaBundleInvalid);
        }
        assert!(!pem("ConfigMap otp/ca", &key(), None).unwrap_err().stalled, "it may still be made");
    }
    #[test]
    fn a_bundle_in_a_config_map_is_text_or_bytes_and_as_large_as_is_said() {
        let made = rcgen::generate_simple_self_signed(vec!["okta.test".into()]).unwrap();
        let certificate = made.cert.pem();
        let map: ConfigMap = serde_json::from_value(serde_json::json!({
            "data": {"text": certificate}, "binaryData": {"bytes": ByteString(certificate.clone().into_bytes())}}))
        .unwrap();
        for key in ["text", "bytes"] {
            assert_eq!(of_config_map(&map, key).as_deref(), Some(certificate.as_bytes()), "{key}");
        }
        assert_eq!(of_config_map(&map, "none"), None);
        let filled = |size: usize| format!("{certificate}{}", "\n".repeat(size - certificate.len())).into_bytes();
        assert!(pem("ConfigMap otp/ca", &key(), Some(filled(LARGEST_BUNDLE))).is_ok());
        let problem = pem("ConfigMap otp/ca", &key(), Some(filled(LARGEST_BUNDLE + 1))).unwrap_err();
        assert!(problem.message.contains("larger than 64 KiB"), "{}", problem.message);
    }
}
