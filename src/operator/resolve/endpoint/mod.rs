//! Where Okta is to send a hook's calls, with what secret, and whether they are taken there.

mod dereference;
mod parts;
mod validate;

use super::Resolver;
use crate::operator::{
    model::ownership::{self, Declarations},
    runtime::{error::ReconcileError, problem::Problem},
};
use hookswitch_api::{TelephonyHook, reason::Ready};

pub use self::{
    dereference::{Destination, EndpointFacts},
    parts::{KEY, address, host, secret_key, secret_name},
    validate::Endpoint,
};

/// The hook's endpoint as Okta is to know it, or what is wrong with the hook.
///
/// # Errors
/// [`ReconcileError`] when the API server does not answer.
pub async fn endpoint(
    hook: &TelephonyHook,
    resolver: &Resolver,
) -> Result<(EndpointFacts, Result<Endpoint, Problem>), ReconcileError> {
    let facts = dereference::dereference(hook, resolver).await?;
    let endpoint = validate::validate(hook, &facts);
    Ok((facts, endpoint))
}

/// The destination that Okta is to know for a hook: its own, or that of another which a switch points it at.
///
/// # Errors
/// [`ReconcileError`] when the API server does not answer.
pub async fn destination(
    hook: &TelephonyHook,
    declared: &Declarations,
    resolver: &Resolver,
) -> Result<(EndpointFacts, Result<Endpoint, Problem>), ReconcileError> {
    let Some(repointed) = ownership::repointed(hook, declared) else {
        let (facts, endpoint) = endpoint(hook, resolver).await?;
        let waits = || Problem::transient(Ready::Waiting, "The HookSwitch has not decided yet where Okta should send.");
        return Ok((
            facts,
            if ownership::is_undecided(hook, declared) { endpoint.and(Err(waits())) } else { endpoint },
        ));
    };
    if let Some(other) = declared.hook(&repointed.to) {
        return endpoint(other, resolver).await;
    }
    let (facts, _) = endpoint(hook, resolver).await?;
    let message = format!(
        "Okta was pointed at TelephonyHook {}, which no longer exists. Change this hook's spec, or name it in a HookSwitch.",
        repointed.to
    );
    Ok((facts, Err(Problem::transient(Ready::HookNotFound, message))))
}
