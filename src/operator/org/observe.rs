//! What Okta says of the org: who it is, and its hooks. Asks no oftener than declared.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    super::{context::Context, problem::Problem},
    dial::{Access, OrgApi},
    session::State,
};
use crate::{
    api::reason::Ready,
    okta::{CallError, client::CallResult, types::OrgIdentity},
};

/// How long an org's identity is believed.
const IDENTITY_LASTS: Duration = Duration::from_hours(1);

/// Calls left to others and to what is more urgent.
const RESERVE: u32 = 10;

/// The client for an org: the one in use, or another when address, credential or certificates changed.
///
/// # Errors
/// A [`Problem`] when the CA bundle or the proxy cannot be used.
pub fn connect(ctx: &Context, access: &Access, state: &mut State) -> Result<Arc<dyn OrgApi>, Problem> {
    let mut hasher = DefaultHasher::new();
    (access.url.to_string(), access.credential.secret(), &access.ca_bundle).hash(&mut hasher);
    let made_of = Some(hasher.finish());
    if state.made_of != made_of {
        // another address or token may be another org: nothing known of the old one holds
        state.begin_anew(made_of);
    }
    if let Some(api) = &state.api {
        return Ok(Arc::clone(api));
    }
    let api = ctx
        .dial
        .dial(access)
        .map_err(|error| Problem::lasting(Ready::InvalidSpec, format!("The org cannot be called: {error}")))?;
    state.api = Some(Arc::clone(&api));
    Ok(api)
}

/// Who answers, asked at most once an hour.
///
/// # Errors
/// [`CallError`].
pub async fn identify(
    ctx: &Context,
    api: &Arc<dyn OrgApi>,
    state: &mut State,
    host: &str,
) -> Result<OrgIdentity, CallError> {
    let now = Instant::now();
    if let Some((identity, since)) = &state.identity
        && now.duration_since(*since) < IDENTITY_LASTS
    {
        return Ok(identity.clone());
    }
    let identity = take(ctx, "identify", host, state, api.identity().await)?;
    state.identity = Some((identity.clone(), now));
    Ok(identity)
}

/// Lists the org's hooks when the last list is older than `oldest`.
///
/// # Errors
/// [`CallError`].
pub async fn list(
    ctx: &Context,
    api: &Arc<dyn OrgApi>,
    state: &mut State,
    host: &str,
    oldest: Duration,
) -> Result<(), CallError> {
    let now = Instant::now();
    if state.observed.as_ref().is_some_and(|(_, at)| now.duration_since(*at) < oldest) {
        return Ok(());
    }
    if let Some(wait) = state.must_wait(1, RESERVE, now) {
        let failure = crate::okta::Failure::RateLimited { wait, concurrency: false };
        return Err(CallError { doing: "list telephony hooks", failure, request_id: None, rate: None });
    }
    let hooks = take(ctx, "list", host, state, api.list_hooks().await)?;
    state.observed = Some((hooks, Instant::now()));
    Ok(())
}

#[allow(clippy::result_large_err, reason = "the error of the client, passed on as it is")]
fn take<T>(
    ctx: &Context,
    verb: &'static str,
    host: &str,
    state: &mut State,
    result: CallResult<T>,
) -> Result<T, CallError> {
    state.took(&result, Instant::now());
    match result {
        Ok(answer) => {
            ctx.metrics.okta_call(verb, "ok");
            if let Some(rate) = answer.rate {
                ctx.metrics.okta_remaining(host, rate.remaining);
            }
            Ok(answer.value)
        }
        Err(error) => {
            ctx.metrics.okta_call(verb, error.reason());
            tracing::warn!(org = host, reason = error.reason(), %error, "a call to Okta failed");
            Err(error)
        }
    }
}
