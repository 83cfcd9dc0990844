//! What an object refers to, read and checked.

use std::sync::Arc;

use crate::operator::{installation::Installation, options::Options, runtime::references::References, state::Memory};

pub mod endpoint;
pub mod in_okta;
pub mod provider;
pub mod report;
pub mod secret_value;

/// What it takes to find out where a hook's calls go. Clones share it.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// Secrets and `ConfigMaps` that objects refer to.
    pub references: References,
    /// What is kept between reconciles.
    pub memory: Memory,
    /// What the operator was given at start.
    pub options: Arc<Options>,
    /// Who we are in Okta.
    pub installation: Arc<Installation>,
}
