//! Where the machines of switches are.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

use hookswitch_failover::machine::{Machine, Moment};

/// What is kept of switches between reconciles: where their machines are.
#[derive(Debug)]
pub struct Switches {
    machines: Mutex<HashMap<(String, String), Machine>>,
    began: Instant,
}

impl Default for Switches {
    fn default() -> Self {
        Self { machines: Mutex::default(), began: Instant::now() }
    }
}

impl Switches {
    /// The time by which machines go.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::at(i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// The machine of a switch, by namespace and name.
    #[must_use]
    pub fn machine(&self, key: &(String, String)) -> Option<Machine> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps the machine of a switch; nothing: forgets it.
    pub fn keep(&self, key: (String, String), machine: Option<Machine>) {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        match machine {
            Some(machine) => machines.insert(key, machine),
            None => machines.remove(&key),
        };
    }
}
