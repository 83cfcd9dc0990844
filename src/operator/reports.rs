//! What gateways report, as the passes ask for it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Whether a gateway serves a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// No ready replica has the hook in the configuration in force.
    No,
    /// No report is fresh enough to tell.
    Unknown,
    /// Ready replicas have it.
    Yes {
        /// How many.
        replicas: u32,
    },
}

type HookKey = (String, String, String);

/// The last reports.
#[derive(Debug, Default)]
pub struct Reports {
    serving: Mutex<HashMap<HookKey, Serving>>,
}

impl Reports {
    /// Whether gateway `namespace/gateway` serves `hook`.
    #[must_use]
    pub fn serving(&self, namespace: &str, gateway: &str, hook: &str) -> Serving {
        let key = (namespace.to_owned(), gateway.to_owned(), hook.to_owned());
        let known = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).copied().unwrap_or(Serving::Unknown)
    }

    /// Takes in what is known of a hook.
    pub fn set_serving(&self, namespace: &str, gateway: &str, hook: &str, serving: Serving) {
        let key = (namespace.to_owned(), gateway.to_owned(), hook.to_owned());
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).insert(key, serving);
    }
}
