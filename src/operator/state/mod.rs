//! What is kept between reconciles, in memory. All of it can be lost: a new leader begins without it.

pub mod caches;
pub mod metrics;
pub mod orgs;
pub mod probes;
pub mod reports;
pub mod switches;
pub mod turns;

use std::sync::Arc;

use self::{caches::Caches, orgs::Orgs, probes::Probes, reports::Reports, switches::Switches, turns::Turns};

/// What is kept between reconciles. Clones share it.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Our resources, as last seen.
    pub caches: Caches,
    /// What gateways report.
    pub reports: Arc<Reports>,
    /// What is kept of orgs.
    pub orgs: Arc<Orgs>,
    /// Where the machines of switches are.
    pub switches: Arc<Switches>,
    /// Whether calls arrive at hooks.
    pub probes: Arc<Probes>,
    /// Whose pods are changed next.
    pub turns: Arc<Turns>,
}

impl Memory {
    /// Nothing is kept yet but what the caches have.
    #[must_use]
    pub fn new(caches: Caches) -> Self {
        Self {
            caches,
            reports: Arc::default(),
            orgs: Arc::default(),
            switches: Arc::default(),
            probes: Arc::default(),
            turns: Arc::default(),
        }
    }
}
