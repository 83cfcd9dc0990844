//! What every pass has at hand.

use std::sync::Arc;

use super::{
    apply::Settled,
    cache::Caches,
    events::Events,
    gateway::{self, turn::Turns},
    lease,
    metrics::OperatorMetrics,
    options::Options,
    org::{Orgs, dial::Dial},
    probe::Probes,
    references::References,
    reports::Reports,
    switch::Switches,
    wake::Wake,
};
use hookswitch_okta::{keyed::MarkKey, mark};

/// What every pass has at hand.
pub struct Context {
    /// Client of the API server: no retries of its own, bounded times.
    pub client: kube::Client,
    /// What the operator was told at start.
    pub options: Options,
    /// Who we are in Okta.
    pub installation: Installation,
    /// Whether we may act, and for how long.
    pub lease: lease::Handle,
    /// Where events are told.
    pub recorder: Events,
    /// Figures.
    pub metrics: OperatorMetrics,
    /// What gateways report.
    pub reports: Arc<Reports>,
    /// Secrets and `ConfigMaps` that objects refer to.
    pub references: References,
    /// Our resources, as last seen.
    pub caches: Caches,
    /// What is kept of orgs between passes.
    pub orgs: Orgs,
    /// What is kept of switches between passes.
    pub switches: Switches,
    /// Whether calls arrive at hooks.
    pub probes: Probes,
    /// What was applied, and what came of it.
    pub applied: Settled,
    /// Whose pods are changed next.
    pub turns: Turns,
    /// PEM certificates that the installation trusts besides the public ones.
    pub extra_roots: Option<String>,
    /// How orgs and hooks are reached.
    pub dial: Arc<dyn Dial>,
    /// How gateways' pods are asked for their reports.
    pub ask_pod: Arc<gateway::Ask>,
    /// Asks for passes over other objects.
    pub wake: Wake,
}

/// Who this installation is.
#[derive(Debug)]
pub struct Installation {
    /// First part of the mark that our hooks carry in Okta.
    pub mark: mark::Installation,
    /// Key of the hashes by which changes of secrets are told.
    pub key: MarkKey,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("options", &self.options)
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}
