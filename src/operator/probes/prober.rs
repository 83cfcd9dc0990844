//! What probes are made with, and what they have in common.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use crate::operator::{
    outbound::okta::{OktaClientFactory, OrgApi},
    resolve::{Resolver, report},
    runtime::{listing::Listing, triggers::Wake},
    state::{Memory, metrics::OperatorMetrics},
};
use hookswitch_api::TelephonyHook;
use hookswitch_gateway_config::probe;
use hookswitch_okta::{CallError, HookId, ObjectRef, limits::Priority};

/// What probes are made with.
pub struct Prober {
    /// Where hooks' calls go.
    pub resolver: Resolver,
    /// What is kept between reconciles.
    pub memory: Memory,
    /// What was listed.
    pub listing: Listing,
    /// How orgs and hooks are reached.
    pub okta: Arc<dyn OktaClientFactory>,
    /// Asks for reconciles over objects of which something else was found.
    pub triggers: Wake,
    /// Metrics.
    pub metrics: OperatorMetrics,
}

/// What is asked, and about which hook.
pub type About = (Arc<Prober>, Arc<TelephonyHook>);

/// The client of an org that answers.
pub async fn api(prober: &Prober, org: &ObjectRef, priority: Priority) -> Result<Arc<dyn OrgApi>, &'static str> {
    let session = prober.memory.orgs.session(&org.namespace, &org.name);
    let state = session.state.lock().await;
    if state.connection.still_failing(priority, Instant::now()).is_some() {
        return Err("Okta's management API is failing.");
    }
    state.connection.api.clone().ok_or("The org has not been reached yet.")
}

/// What is said while the rate limit is kept for what is more urgent.
pub const HELD_BACK: &str = "What is left of Okta's rate limit is kept for more urgent calls.";

/// Okta's id of the hook that is named `stands` there.
pub fn id(prober: &Prober, org: &ObjectRef, stands: &str) -> Option<HookId> {
    let view = prober.memory.orgs.view(&org.namespace, &org.name);
    view.hooks.get(&ObjectRef::new(&org.namespace, stands))?.verdict.hook.clone()
}

/// The key of a hook's gateway.
pub async fn key(prober: &Prober, hook: &TelephonyHook) -> Result<probe::Key, &'static str> {
    let gateway = prober.memory.caches.gateway_of(hook).ok_or("Its gateway does not exist.")?;
    let key = report::probe_key(&gateway, &prober.resolver.references)
        .await
        .map_err(|_| "Its gateway's credentials cannot be read now.")?;
    key.ok_or("Its gateway has no credentials yet.")
}

/// Counts a call to Okta.
pub fn count<T>(prober: &Prober, verb: &'static str, result: &Result<T, CallError>) {
    prober.metrics.okta_call(verb, result.as_ref().err().map_or("ok", CallError::reason));
}

/// A marker that no other probe has.
pub fn marker(key: &probe::Key, hook: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    key.marker(hook, now, rand::random())
}
