//! Whether a hook can be served and made: its endpoint as Okta is to know it, or what is wrong. Pure.

use kube::ResourceExt as _;
use url::Url;

use super::dereference::EndpointFacts;
use crate::operator::{resolve::secret_value, runtime::problem::Problem};
use hookswitch_api::{HookTarget, TelephonyHook, reason::Ready};
use hookswitch_message::Secret;
use hookswitch_okta::types::Header;

/// Okta's bound on a hook's address.
const LONGEST_URL: usize = 1_024;

/// A hook's endpoint; there is none that cannot be given to Okta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address that Okta calls.
    pub url: String,
    /// Name of the header with the secret.
    pub auth_header: String,
    /// The secret.
    pub secret: Secret<String>,
    /// Further headers.
    pub headers: Vec<Header>,
}

/// Checks a hook.
///
/// # Errors
/// The first [`Problem`] in the order in which a person would put them right.
pub fn validate(hook: &TelephonyHook, facts: &EndpointFacts) -> Result<Endpoint, Problem> {
    let (namespace, spec) = (hook.namespace().unwrap_or_default(), &hook.spec);
    let Some(url) = super::parts::address(hook, facts.gateway.as_deref()) else {
        let name = spec.target.gateway().unwrap_or_default();
        let message = format!(
            "TelephonyGateway {namespace}/{name} does not exist. Create it, or correct spec.target.gatewayRef."
        );
        return Err(Problem::transient(Ready::GatewayNotFound, message));
    };
    // the address that Okta was given when it was allowed is kept as any other is
    let given = hook.status.as_ref().and_then(|status| status.url.as_deref());
    if let Some(why) = facts.refused_host.as_ref().filter(|_| given != Some(&url)) {
        let name = spec.target.gateway().unwrap_or_default();
        let message = format!("TelephonyGateway {namespace}/{name}: {why}");
        return Err(Problem::permanent(Ready::NotAllowed, message));
    }
    if let (Some(okta), None) = (&spec.okta, &facts.org) {
        let message = format!(
            "OktaOrg {namespace}/{} does not exist. Create it, or correct spec.okta.orgRef.",
            okta.org_ref.name
        );
        return Err(Problem::transient(Ready::OrgNotFound, message));
    }
    let auth_header = spec.auth_header().to_owned();
    if let Some(twice) = header_given_twice(spec.headers.iter().map(|header| header.name.as_str()), &auth_header) {
        let message = format!("Header {twice} appears twice (case does not matter). Remove one.");
        return Err(Problem::permanent(Ready::InvalidSpec, message));
    }
    if let Some(why) = invalid(&url) {
        return Err(Problem::permanent(Ready::InvalidSpec, format!("The hook's address {why}.")));
    }
    if matches!(spec.target, HookTarget::Url(_)) && spec.auth_secret().is_none() {
        let message =
            "spec.target.url needs spec.auth.header.secretRef: the secret that whoever serves the URL expects.";
        return Err(Problem::permanent(Ready::InvalidSpec, message));
    }
    let secret = facts.secret.as_ref().map_err(Clone::clone)?;
    let secret = secret_value::hook_secret(secret.as_deref(), &namespace, &super::parts::secret_key(hook))?;
    let headers = spec.headers.iter().map(|header| Header::new(&header.name, &header.value)).collect();
    Ok(Endpoint { url, auth_header, secret, headers })
}

/// What keeps Okta from calling an address.
fn invalid(address: &str) -> Option<String> {
    if address.len() > LONGEST_URL {
        return Some(format!("has {} characters; Okta accepts at most {LONGEST_URL}", address.len()));
    }
    let Ok(url) = Url::parse(address) else { return Some("is not a URL".into()) };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let fits = url.scheme() == "https" && url.has_host() && plain && !address.contains(char::is_whitespace);
    (!fits).then(|| "must be https, with a host, and without user, password, fragment or white space".into())
}

fn header_given_twice<'n>(names: impl Iterator<Item = &'n str>, auth: &'n str) -> Option<String> {
    let mut known = vec![auth.to_ascii_lowercase()];
    for name in names {
        let lower = name.to_ascii_lowercase();
        if known.contains(&lower) {
            return Some(name.to_owned());
        }
        known.push(lower);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::ByteString;
    use serde_json::{Value, json};

    use super::*;
    use crate::operator::resolve::endpoint::Destination;

    fn judged(target: &Value, auth: &Value) -> Result<Endpoint, Problem> {
        let hook = json!({"metadata": {"name": "main", "namespace": "otp"}, "spec": {"target": target, "auth": auth}});
        let value = ByteString(b"Bearer the-partners-own-secret".to_vec());
        let secret = k8s_openapi::api::core::v1::Secret {
            data: Some([("secret".to_owned(), value)].into()),
            ..Default::default()
        };
        let facts = EndpointFacts {
            gateway: None,
            refused_host: None,
            org: None,
            secret: Ok(Some(Arc::new(secret))),
            destination: Destination::Url { reached: true },
            accepted: true,
        };
        validate(&serde_json::from_value(hook).unwrap(), &facts)
    }

    fn given() -> Value {
        json!({"header": {"name": "X-Secret", "secretRef": {"name": "partner", "key": "secret"}}})
    }

    #[test]
    fn a_url_is_given_to_okta_as_it_is_written_with_the_secret_that_its_owner_expects() {
        let endpoint =
            judged(&json!({"url": {"address": "https://Otp.partner.example/okta?tenant=1"}}), &given()).unwrap();
        assert_eq!(endpoint.url, "https://Otp.partner.example/okta?tenant=1");
        assert_eq!((endpoint.auth_header.as_str(), endpoint.secret.expose().len()), ("X-Secret", 30));
    }

    #[test]
    fn what_okta_cannot_call_or_nobody_knows_the_secret_of_is_refused() {
        for address in [
            "http://otp.partner.example/",
            "https://user@otp.partner.example/",
            "https://otp.partner.example/#there",
            "https://otp.partner.example/a b",
            "https://otp.partner.example:99999/",
            &format!("https://otp.partner.example/{}", "x".repeat(1_024)),
        ] {
            let problem = judged(&json!({"url": {"address": address}}), &given()).unwrap_err();
            assert_eq!((problem.reason, problem.stalled), (Ready::InvalidSpec, true), "{address}");
        }
        let unknown = judged(&json!({"url": {"address": "https://otp.partner.example"}}), &json!(null)).unwrap_err();
        assert!(unknown.message.contains("secretRef"), "{}", unknown.message);
        let missing = judged(&json!({"gatewayRef": {"name": "main"}}), &given()).unwrap_err();
        assert_eq!(missing.reason, Ready::GatewayNotFound);
    }
}
