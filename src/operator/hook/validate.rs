//! Whether a hook can be served and made: its endpoint as Okta is to know it, or what is wrong. Pure.

use kube::ResourceExt as _;

use super::{
    super::{problem::Problem, secret_value},
    Facts,
};
use crate::{
    api::{TelephonyHook, reason::Ready},
    message::Secret,
    okta::types::Header,
};

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
pub fn validate(hook: &TelephonyHook, facts: &Facts) -> Result<Endpoint, Problem> {
    let (namespace, spec) = (hook.namespace().unwrap_or_default(), &hook.spec);
    let Some(gateway) = &facts.gateway else {
        let name = &spec.target.gateway_ref.name;
        let message = format!(
            "TelephonyGateway {namespace}/{name} does not exist. Create it, or correct spec.target.gatewayRef."
        );
        return Err(Problem::passing(Ready::GatewayNotFound, message));
    };
    if let (Some(okta), None) = (&spec.okta, &facts.org) {
        let message = format!(
            "OktaOrg {namespace}/{} does not exist. Create it, or correct spec.okta.orgRef.",
            okta.org_ref.name
        );
        return Err(Problem::passing(Ready::OrgNotFound, message));
    }
    let auth_header = spec.auth_header().to_owned();
    if let Some(twice) = header_given_twice(spec.headers.iter().map(|header| header.name.as_str()), &auth_header) {
        let message = format!("Header {twice} is given twice; upper and lower case are the same. Take one away.");
        return Err(Problem::lasting(Ready::InvalidSpec, message));
    }
    let url = gateway.spec.hook_url(&hook.name_any());
    if url.len() > LONGEST_URL {
        let message = format!("The hook's address would have {} characters; Okta takes {LONGEST_URL}.", url.len());
        return Err(Problem::lasting(Ready::InvalidSpec, message));
    }
    let secret = secret_value::hook_secret(facts.secret.as_deref(), &namespace, &super::secret_key(hook))?;
    let headers = spec.headers.iter().map(|header| Header::new(&header.name, &header.value)).collect();
    Ok(Endpoint { url, auth_header, secret, headers })
}

fn header_given_twice<'n>(names: impl Iterator<Item = &'n str>, auth: &'n str) -> Option<String> {
    let mut seen = vec![auth.to_ascii_lowercase()];
    for name in names {
        let lower = name.to_ascii_lowercase();
        if seen.contains(&lower) {
            return Some(name.to_owned());
        }
        seen.push(lower);
    }
    None
}
