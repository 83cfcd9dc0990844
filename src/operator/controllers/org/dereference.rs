//! What an org's reconcile reads from Kubernetes, and whether it can be used.

use std::{collections::BTreeSet, sync::Arc};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use crate::operator::{
    model::org_access::Access,
    options::Options,
    resolve::secret_value,
    runtime::{
        error::{ReconcileError, or_denied},
        problem::Problem,
        reconcile::target,
        references::{Reference, References},
    },
};
use hookswitch_api::{OktaOrg, reason::Ready};
use hookswitch_okta::{ApiToken, OktaCredential, OrgUrl};

/// What an org refers to.
#[derive(Debug)]
pub struct OrgFacts {
    /// The Secret with the token; a problem where it may not be read.
    pub token: Result<Option<Arc<Secret>>, Problem>,
    /// The CA bundle, when one is named.
    pub ca_bundle: Option<Result<String, Problem>>,
    /// Private ranges that orgs of this namespace may live in.
    pub ranges: Vec<IpNet>,
}

/// Reads what an org refers to and follows it from now on.
///
/// # Errors
/// [`ReconcileError`] when the API server does not answer.
pub async fn dereference(
    org: &OktaOrg,
    references: &References,
    options: &Options,
) -> Result<OrgFacts, ReconcileError> {
    let namespace = org.namespace().unwrap_or_default();
    let key = &org.spec.auth.api_token.secret_ref;
    let mut wanted = BTreeSet::from([Reference::secret(&namespace, &key.name)]);
    if let Some(bundle) = &org.spec.ca_bundle_ref {
        wanted.extend(bundle.config_map_key_ref.iter().map(|key| Reference::config_map(&namespace, &key.name)));
        wanted.extend(bundle.secret_key_ref.iter().map(|key| Reference::secret(&namespace, &key.name)));
    }
    references.follow(&target(org), &wanted);
    let token = or_denied(references.secret(&namespace, &key.name).await, Ready::SecretNotFound)?;
    let ca_bundle = match &org.spec.ca_bundle_ref {
        Some(bundle) => Some(secret_value::ca_bundle(references, &namespace, bundle).await?),
        None => None,
    };
    let ranges = options.private_ranges(&namespace);
    Ok(OrgFacts { token, ca_bundle, ranges })
}

/// Why an org cannot be called.
#[derive(Debug)]
pub enum Unusable {
    /// What is declared is wrong or missing.
    Wrong(Problem),
    /// The token may not be read: whether it is any good, nobody knows.
    Unread(Problem),
}

impl From<Problem> for Unusable {
    fn from(problem: Problem) -> Self {
        Self::Wrong(problem)
    }
}

/// Where the org is and how to prove who we are.
///
/// # Errors
/// [`Unusable`], with the first [`Problem`] found.
pub fn validate(org: &OktaOrg, facts: OrgFacts) -> Result<Access, Unusable> {
    let namespace = org.namespace().unwrap_or_default();
    let url = OrgUrl::parse(&org.spec.url)
        .map_err(|error| Problem::permanent(Ready::InvalidSpec, format!("spec.url: {error}.")))?;
    let key = &org.spec.auth.api_token.secret_ref;
    let token = secret_value::credential(facts.token.map_err(Unusable::Unread)?.as_deref(), &namespace, key)?;
    let token = ApiToken::new(token.expose()).map_err(|error| {
        Problem::permanent(Ready::SecretInvalid, format!("Secret {namespace}/{} key {}: {error}.", key.name, key.key))
    })?;
    let ca_bundle = facts.ca_bundle.transpose()?;
    Ok(Access {
        namespace: namespace.clone(),
        url,
        credential: OktaCredential::ApiToken(token),
        ca_bundle,
        ranges: facts.ranges,
    })
}
