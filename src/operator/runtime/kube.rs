//! What writes to Kubernetes work with.

use std::sync::Arc;

use kube::Client;

use super::{applied::Settled, events::Events};

/// What writes to Kubernetes work with. Clones share it.
#[derive(Clone)]
pub struct Kube {
    /// Client of the API server: no retries of its own, bounded times.
    pub client: Client,
    /// Where Events are published.
    pub events: Events,
    /// What was applied, and what came of it.
    pub applied: Arc<Settled>,
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kube")
    }
}

impl Kube {
    /// Nothing was written yet. Events are published in the name of the operator's pod `identity`.
    #[must_use]
    pub fn new(client: Client, identity: &str) -> Self {
        Self { events: Events::new(client.clone(), identity), applied: Arc::default(), client }
    }
}
