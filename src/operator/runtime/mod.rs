//! What runs reconciles, and what they work with in Kubernetes. Nothing here knows a kind of ours.

pub mod applied;
pub mod apply;
pub mod backoff;
pub mod cache;
pub mod clock;
pub mod cluster;
pub mod conditions;
pub mod controller;
pub mod error;
pub mod events;
pub mod finalizer;
pub mod kube;
pub mod lease;
pub mod listing;
pub mod metrics;
pub mod namespace;
pub mod problem;
pub mod queue;
pub mod reconcile;
pub mod references;
pub mod resources;
pub mod status;
pub mod triggers;
pub mod unlisted;
pub mod unreadable;
pub mod watch;

use self::{
    kube::Kube, listing::Listing, metrics::RuntimeMetrics, references::References, triggers::Wake,
    unreadable::UnreadableObjects,
};

/// What the controllers of all kinds run by.
#[derive(Debug)]
pub struct Runtime {
    /// What writes to Kubernetes work with.
    pub kube: Kube,
    /// Whether we may act, and for how long.
    pub lease: lease::Handle,
    /// Asks for reconciles over other objects.
    pub triggers: Wake,
    /// Secrets and `ConfigMaps` that objects refer to.
    pub references: References,
    /// What was listed of the namespaces that are managed.
    pub listing: Listing,
    /// Objects that exist and cannot be read.
    pub unreadable: UnreadableObjects,
    /// What is counted of all kinds.
    pub metrics: RuntimeMetrics,
    /// The namespaces that are managed; none means all.
    pub namespaces: Vec<String>,
}
