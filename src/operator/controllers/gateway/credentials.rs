//! Certificates and tokens that the operator makes for a gateway: once, and again when they are gone or about to expire.

use std::{net::IpAddr, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};

use crate::operator::{
    model::gateway_names::{Names, REPORT_NAME},
    resolve::report,
    runtime::{
        apply::{MANAGER, apply, controls},
        error::ReconcileError,
        kube::Kube,
    },
};
use hookswitch_api::TelephonyGateway;
use hookswitch_gateway_config::{check, document::Report};
use hookswitch_message as message;

/// How long a generated serving certificate is good for.
const SERVING: Duration = Duration::from_hours(365 * 24);
/// How long before its end it is made anew: a third of its life.
const RENEWAL: Duration = Duration::from_hours(365 * 24 / 3);
/// How long the report's certificate is good for. It is pinned, so its end has no meaning but that TLS wants one.
const PINNED: Duration = Duration::from_hours(20 * 365 * 24);

/// What is known of the serving certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServingCertificate {
    /// The user's, and it fits.
    Given,
    /// The user's, and it does not exist or cannot be read.
    Missing,
    /// Given or generated, and its Secret may not be read: why, and what to do.
    Denied {
        /// For people.
        why: String,
    },
    /// The user's, and it has expired or does not name the host.
    Invalid,
    /// Generated.
    Generated,
    /// Generated for this gateway once, and named by `spec.tls` as if it were the user's.
    Leftover,
    /// Another one than the generated one, which somebody else wrote into the generated one's Secret. It is not written
    /// over: whoever it was would do it again, and a certificate authority has limits.
    Overwritten {
        /// The field manager that wrote it.
        by: String,
    },
}

/// The report's credentials; made when there are none that a gateway takes.
///
/// # Errors
/// [`ReconcileError`], [`ReconcileError::NameTaken`] when the Secret is not this gateway's.
pub(super) async fn report(
    gateway: &TelephonyGateway,
    kube: &Kube,
    names: &Names,
    present: Option<&Secret>,
) -> Result<Report, ReconcileError> {
    // Ones that no gateway takes would keep it from every configuration.
    let usable = |report: &Report| check::report(report, &super::judges::JUDGES).is_ok();
    let present = present.filter(|secret| controls(gateway, *secret));
    if let Some(report) = present.and_then(report::credentials).filter(usable) {
        return Ok(report);
    }
    // The watch may be behind: credentials that pods use must not be replaced because of that.
    if let Some(report) = own(gateway, kube, &names.report).await?.as_ref().and_then(report::credentials).filter(usable)
    {
        return Ok(report);
    }
    let (certificate, key) = certificate(&[REPORT_NAME.to_owned()], PINNED)?;
    let report = Report { token: token()?, certificate, key };
    apply(kube, gateway, names.report(&report)?).await?;
    Ok(report)
}

/// Sees to the serving certificate: checks the user's, or makes one and renews it.
///
/// # Errors
/// [`ReconcileError`], [`ReconcileError::NameTaken`] when the Secret is not this gateway's.
pub(super) async fn serving(
    gateway: &TelephonyGateway,
    kube: &Kube,
    names: &Names,
    present: Option<&Secret>,
) -> Result<ServingCertificate, ReconcileError> {
    let hosts = names.hosts(gateway);
    if gateway.spec.tls.is_some() {
        return Ok(match present.and_then(chain) {
            None => ServingCertificate::Missing,
            Some(_) if present.is_some_and(|secret| is_leftover(gateway, secret)) => ServingCertificate::Leftover,
            Some(pem) if fits(&pem, &hosts[0], Duration::ZERO) => ServingCertificate::Given,
            Some(_) => ServingCertificate::Invalid,
        });
    }
    let state_of = |secret: &Secret| match other_writer(secret) {
        Some(by) => Some(ServingCertificate::Overwritten { by }),
        None => {
            chain(secret).is_some_and(|pem| fits(&pem, &hosts[0], RENEWAL)).then_some(ServingCertificate::Generated)
        }
    };
    if let Some(state) = present.filter(|secret| controls(gateway, *secret)).and_then(state_of) {
        return Ok(state);
    }
    if let Some(state) = own(gateway, kube, &names.tls).await?.as_ref().and_then(state_of) {
        return Ok(state);
    }
    let (certificate, key) = certificate(&hosts, SERVING)?;
    apply(kube, gateway, names.tls(&certificate, &key)?).await?;
    Ok(ServingCertificate::Generated)
}

/// The gateway's Secret of that name as the API server has it now.
async fn own(gateway: &TelephonyGateway, kube: &Kube, name: &str) -> Result<Option<Secret>, ReconcileError> {
    let namespace = gateway.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(kube.client.clone(), &namespace);
    let found = api.get_opt(name).await.map_err(ReconcileError::api(format!("read Secret {namespace}/{name}")))?;
    match found {
        Some(secret) if !controls(gateway, &secret) => Err(ReconcileError::taken::<Secret>(&namespace, name)),
        found => Ok(found),
    }
}

/// Whether a Secret that the user names is one that was generated for the gateway when none was named.
fn is_leftover(gateway: &TelephonyGateway, secret: &Secret) -> bool {
    controls(gateway, secret) && other_writer(secret).is_none()
}

/// Who else has written certificate or key into a Secret, as the API server remembers it.
fn other_writer(secret: &Secret) -> Option<String> {
    let entries = secret.metadata.managed_fields.iter().flatten();
    let theirs = entries.filter(|entry| entry.manager.as_deref() != Some(MANAGER));
    let mut wrote = theirs.filter(|entry| {
        let data = entry.fields_v1.as_ref().map(|fields| &fields.0["f:data"]);
        data.is_some_and(|data| ["f:tls.crt", "f:tls.key"].iter().any(|key| data.get(key).is_some()))
    });
    wrote.next().map(|entry| entry.manager.clone().unwrap_or_else(|| "somebody".to_owned()))
}

fn chain(secret: &Secret) -> Option<Vec<u8>> {
    let data = secret.data.as_ref()?;
    data.get("tls.key")?;
    data.get("tls.crt").map(|chain| chain.0.clone())
}

/// Whether the first certificate of a PEM chain names the host and is good for so long yet.
fn fits(pem: &[u8], host: &str, at_least: Duration) -> bool {
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(pem) else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    let left = certificate
        .validity()
        .time_to_expiration()
        .is_some_and(|left| left.whole_seconds().unsigned_abs() > at_least.as_secs());
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let is_named = alternatives.is_some_and(|alternatives| {
        alternatives.value.general_names.iter().any(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(name) => covers(name, host),
            x509_parser::extensions::GeneralName::IPAddress(bytes) => is_address(bytes, host),
            _ => false,
        })
    });
    left && is_named
}

/// Whether an address of a certificate is the host, for a URL that has an address for its host.
fn is_address(bytes: &[u8], host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.octets() == *bytes,
        Ok(IpAddr::V6(address)) => address.octets() == *bytes,
        Err(_) => false,
    }
}

/// Whether a name of a certificate, which may have a wildcard as its first label, covers a host.
fn covers(name: &str, host: &str) -> bool {
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    name == host
        || name.strip_prefix("*.").is_some_and(|rest| host.split_once('.').is_some_and(|(_, parent)| parent == rest))
}

fn certificate(hosts: &[String], life: Duration) -> Result<(String, message::Secret<String>), ReconcileError> {
    let failed = || ReconcileError::encoding("make a certificate".into());
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(|_| failed())?;
    params.distinguished_name.push(DnType::CommonName, "hookswitch gateway");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = std::time::SystemTime::now();
    // An hour for clocks that disagree.
    params.not_before = (now - Duration::from_hours(1)).into();
    params.not_after = (now + life).into();
    let key = KeyPair::generate().map_err(|_| failed())?;
    let certificate = params.self_signed(&key).map_err(|_| failed())?;
    Ok((certificate.pem(), message::Secret::new(key.serialize_pem())))
}

fn token() -> Result<message::Secret<String>, ReconcileError> {
    use base64::Engine as _;
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ReconcileError::encoding("draw a random token".into()))?;
    Ok(message::Secret::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_certificate_fits_its_host_until_it_is_to_be_renewed() {
        let (pem, _) = certificate(&["otp.acme.com".to_owned()], SERVING).unwrap();
        assert!(fits(pem.as_bytes(), "otp.acme.com", RENEWAL));
        assert!(!fits(pem.as_bytes(), "other.acme.com", Duration::ZERO));
        let (old, _) =
            certificate(&["otp.acme.com".to_owned()], RENEWAL.saturating_sub(Duration::from_mins(1))).unwrap();
        assert!(fits(old.as_bytes(), "otp.acme.com", Duration::ZERO));
        assert!(!fits(old.as_bytes(), "otp.acme.com", RENEWAL));
        let (address, _) = certificate(&["203.0.113.5".to_owned()], SERVING).unwrap();
        assert!(fits(address.as_bytes(), "203.0.113.5", RENEWAL), "it would be made anew for ever");
        assert!(!fits(address.as_bytes(), "203.0.113.6", RENEWAL));
        assert!(!fits(b"no certificate", "otp.acme.com", Duration::ZERO));
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        assert!(covers("*.acme.com", "otp.ACME.com"));
        assert!(!covers("*.acme.com", "a.otp.acme.com"));
        assert!(!covers("*.acme.com", "acme.com"));
    }
}
