//! What Okta says of the org: who it is, and its hooks. Asks no oftener than declared.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::operator::{
    model::org_access::Access,
    outbound::okta::{OktaClientFactory, OrgApi},
    runtime::problem::Problem,
    state::{metrics::OperatorMetrics, orgs::OrgState},
};
use hookswitch_api::reason::Ready;
use hookswitch_okta::{CallError, client::CallResult, limits::Priority, types::OrgDocument};

/// How long what an org says of itself is believed.
const DOCUMENT_LASTS: Duration = Duration::from_hours(1);

/// Why there is no newer list.
#[derive(Debug)]
pub enum Unlisted {
    /// The call failed.
    Failed(CallError),
    /// What is left of the rate limit is for what is more urgent, or nothing is left: for how long.
    HeldBack(Duration),
}

/// The client for an org: the one in use, or another when address, credential or certificates changed.
///
/// # Errors
/// A [`Problem`] when the CA bundle or the proxy cannot be used.
pub fn connect(
    okta: &dyn OktaClientFactory,
    access: &Access,
    state: &mut OrgState,
) -> Result<Arc<dyn OrgApi>, Problem> {
    let mut hasher = DefaultHasher::new();
    (access.url.to_string(), access.credential.secret(), &access.ca_bundle).hash(&mut hasher);
    let made_of = Some(hasher.finish());
    if state.connection.made_of != made_of {
        // another address or token may be another org: nothing known of the old one holds
        state.begin_anew(made_of);
    }
    if let Some(api) = &state.connection.api {
        return Ok(Arc::clone(api));
    }
    let api = okta
        .client(access)
        .map_err(|error| Problem::permanent(Ready::InvalidSpec, format!("The org cannot be called: {error}")))?;
    state.connection.api = Some(Arc::clone(&api));
    Ok(api)
}

/// Who answers, asked at most once an hour, and not while something more urgent than routine is to be asked and the answer
/// is known. The address is none of the rate limit's that the hooks' calls have.
///
/// # Errors
/// [`CallError`].
pub async fn identify(
    metrics: &OperatorMetrics,
    api: &Arc<dyn OrgApi>,
    state: &mut OrgState,
    host: &str,
    priority: Priority,
) -> Result<OrgDocument, CallError> {
    let now = Instant::now();
    if let Some((document, since)) = &state.connection.document
        && (priority > Priority::Routine || now.duration_since(*since) < DOCUMENT_LASTS)
    {
        return Ok(document.clone());
    }
    let document = counted(metrics, "identify", host, api.identity().await)?;
    state.connection.document = Some((document.value.clone(), now));
    Ok(document.value)
}

/// Lists the org's hooks when the last list is older than `oldest`.
///
/// # Errors
/// [`Unlisted`].
pub async fn list(
    metrics: &OperatorMetrics,
    api: &Arc<dyn OrgApi>,
    state: &mut OrgState,
    host: &str,
    oldest: Duration,
    priority: Priority,
) -> Result<(), Unlisted> {
    let now = Instant::now();
    if state.plans.observed.as_ref().is_some_and(|(_, at)| now.duration_since(*at) < oldest) {
        return Ok(());
    }
    if let Some(wait) = state.connection.must_wait(1, priority, now) {
        return Err(Unlisted::HeldBack(wait));
    }
    let result = api.list_hooks().await;
    state.connection.took(&result, Instant::now());
    let answer = counted(metrics, "list", host, result).map_err(Unlisted::Failed)?;
    if let Some(rate) = answer.rate {
        metrics.okta_remaining(host, rate.remaining);
    }
    state.plans.observed = Some((answer.value, Instant::now()));
    Ok(())
}

/// Counts a call that ended, and logs one that failed.
#[allow(clippy::result_large_err, reason = "the error of the client, passed on as it is")]
fn counted<T>(metrics: &OperatorMetrics, verb: &'static str, host: &str, result: CallResult<T>) -> CallResult<T> {
    metrics.okta_call(verb, result.as_ref().err().map_or("ok", CallError::reason));
    if let Err(error) = &result {
        tracing::warn!(org = host, reason = error.reason(), %error, "a call to Okta failed");
    }
    result
}
