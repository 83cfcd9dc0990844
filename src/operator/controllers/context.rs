//! What controllers work with. It reaches the top of a controller; a step takes what it needs.

use std::sync::Arc;

use crate::operator::{
    installation::Installation,
    options::Options,
    outbound::{okta::OktaClientFactory, pods::Ask},
    probes::Prober,
    resolve::Resolver,
    runtime::{
        Runtime, kube::Kube, lease, listing::Listing, references::References, triggers::Wake,
        unreadable::UnreadableObjects,
    },
    state::{Memory, metrics::OperatorMetrics},
};

/// What controllers work with.
pub struct Context {
    /// What the controllers of all kinds run by.
    pub runtime: Runtime,
    /// What is kept between reconciles.
    pub memory: Memory,
    /// Where hooks' calls go.
    pub resolver: Resolver,
    /// What probes are made with.
    pub prober: Arc<Prober>,
    /// How orgs and hooks are reached.
    pub okta: Arc<dyn OktaClientFactory>,
    /// How gateways' pods are asked for their reports.
    pub ask_pod: Arc<Ask>,
    /// What the operator was given at start.
    pub options: Arc<Options>,
    /// Who we are in Okta.
    pub installation: Arc<Installation>,
    /// PEM certificates that the installation trusts besides the public ones.
    pub extra_roots: Option<String>,
    /// Metrics.
    pub metrics: OperatorMetrics,
}

/// What a [`Context`] is made of.
#[derive(Clone)]
pub struct Parts {
    /// Client of the API server.
    pub client: kube::Client,
    /// What the operator was given at start.
    pub options: Options,
    /// Who we are in Okta.
    pub installation: Arc<Installation>,
    /// Whether we may act, and for how long.
    pub lease: lease::Handle,
    /// What was listed.
    pub listing: Listing,
    /// What is kept between reconciles.
    pub memory: Memory,
    /// Metrics.
    pub metrics: OperatorMetrics,
    /// How orgs and hooks are reached.
    pub okta: Arc<dyn OktaClientFactory>,
    /// How gateways' pods are asked for their reports.
    pub ask_pod: Arc<Ask>,
    /// PEM certificates that the installation trusts besides the public ones.
    pub extra_roots: Option<String>,
}

impl Context {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { client, options, installation, lease, listing, memory, metrics, okta, ask_pod, extra_roots } =
            parts;
        let (triggers, options) = (Wake::default(), Arc::new(options));
        let references = References::new(client.clone(), triggers.clone());
        let resolver = Resolver {
            references: references.clone(),
            memory: memory.clone(),
            options: Arc::clone(&options),
            installation: Arc::clone(&installation),
        };
        let prober = Prober {
            resolver: resolver.clone(),
            memory: memory.clone(),
            listing: listing.clone(),
            okta: Arc::clone(&okta),
            triggers: triggers.clone(),
            metrics: metrics.clone(),
        };
        let runtime = Runtime {
            kube: Kube::new(client, &options.identity),
            lease,
            triggers,
            references,
            listing,
            unreadable: UnreadableObjects::default(),
            metrics: metrics.runtime.clone(),
            namespaces: options.namespaces(),
        };
        let prober = Arc::new(prober);
        Self { runtime, memory, resolver, prober, okta, ask_pod, options, installation, extra_roots, metrics }
    }
}

impl AsRef<Runtime> for Context {
    fn as_ref(&self) -> &Runtime {
        &self.runtime
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("options", &self.options)
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}
