//! The Secret with a hook's generated value.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt as _, api::ObjectMeta};

use crate::operator::{
    resolve::endpoint::{KEY, secret_name},
    runtime::{
        apply,
        error::{ReconcileError, or_denied},
        kube::Kube,
        problem::Problem,
        references::References,
    },
};
use hookswitch_api::{TelephonyHook, reason::Ready};

/// Bytes of randomness in a generated value.
const BYTES: usize = 32;

/// Makes the Secret when the user gave none and a gateway of ours serves the hook. A value that exists is never changed; to have another one generated, the
/// Secret is deleted.
///
/// A Secret of that name that is not ours is left alone; what it holds is then found by validation. Tells what keeps it from
/// being made or read, when that is the cluster's rules.
///
/// # Errors
/// [`ReconcileError`].
pub async fn ensure_secret(
    hook: &TelephonyHook,
    kube: &Kube,
    references: &References,
) -> Result<Option<Problem>, ReconcileError> {
    // nobody could give a generated value to whoever serves a URL
    let is_ours = hook.spec.target.gateway().is_some();
    if !is_ours || hook.spec.auth_secret().is_some() || hook.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let (namespace, name) = (hook.namespace().unwrap_or_default(), secret_name(hook));
    match or_denied(references.secret(&namespace, &name).await, Ready::SecretNotFound)? {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(None),
        Err(denied) => return Ok(Some(denied)),
    }
    let value = generate().ok_or_else(|| ReconcileError::encoding("draw a random value".into()))?;
    match apply::apply(kube, hook, secret(hook, value)).await {
        Ok(_) => Ok(None),
        Err(error) => error.refusal().map_or(Err(error), |refusal| Ok(Some(refusal))),
    }
}

fn secret(hook: &TelephonyHook, value: Vec<u8>) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(hook)),
            labels: Some(BTreeMap::from(
                [
                    ("app.kubernetes.io/managed-by", "hookswitch"),
                    ("app.kubernetes.io/component", "hook-auth"),
                    ("hookswitch.dev/hook", label(&hook.name_any())),
                ]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
            )),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(value))])),
        ..Secret::default()
    }
}

/// A label's value has at most 63 characters and ends with a letter or digit.
fn label(name: &str) -> &str {
    let cut = name.get(..63).unwrap_or(name);
    cut.trim_end_matches(['-', '.'])
}

/// `Bearer` and 256 random bits; `None` when the system has no randomness.
fn generate() -> Option<Vec<u8>> {
    let mut bytes = [0_u8; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(format!("Bearer {}", URL_SAFE_NO_PAD.encode(bytes)).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_values_differ_and_fit_a_header() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one, two);
        let text = String::from_utf8(one).unwrap();
        assert!(text.starts_with("Bearer ") && text.len() == 50 && text.is_ascii());
    }

    #[test]
    fn a_long_name_is_cut_to_what_a_label_takes() {
        let name = format!("{}.{}", "a".repeat(62), "b".repeat(20));
        assert_eq!(label(&name), "a".repeat(62));
        assert_eq!(label("main"), "main");
    }
}
