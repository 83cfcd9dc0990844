//! A configuration made ready to serve. Built whole or not at all, and swapped in one step.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use subtle::{Choice, ConstantTimeEq};

use super::{
    candidate::Candidate,
    carrier::{Carrier, InvalidCarrier},
    report::{Credentials, InvalidCredentials},
};
use crate::{
    config::{
        document::{Action, GatewayConfig, OnAmbiguous},
        probe,
    },
    message::{CountryCode, Secret},
    providers::Message,
    routing::{InvalidRule, Table},
};

/// The longest deadline that leaves Okta's three seconds room for the way back.
const MAX_DEADLINE: Duration = Duration::from_millis(2_800);

/// Why a configuration cannot be served. Holds nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// A carrier.
    #[error(transparent)]
    Carrier(#[from] InvalidCarrier),
    /// A rule.
    #[error(transparent)]
    Rule(#[from] InvalidRule),
    /// The report's credentials.
    #[error("report: {0}")]
    Report(#[from] InvalidCredentials),
    /// A rule sends by a carrier that is not there.
    #[error("rule {rule}: there is no carrier {carrier}")]
    NoSuchCarrier {
        /// `<policy>/<rule>`.
        rule: String,
        /// The carrier's name.
        carrier: String,
    },
    /// A hook that anybody could call.
    #[error("hook {0}: no secret, or an empty one")]
    NoSecret(String),
    /// A deadline that cannot be kept or leaves no time.
    #[error("the deadline must be between 100 ms and {} ms, the proxy allowance taken off", MAX_DEADLINE.as_millis())]
    Deadline,
}

/// A configuration, ready to serve.
pub struct Runtime {
    /// Its hash.
    pub hash: String,
    /// Its generation.
    pub generation: i64,
    /// From the beginning of a call to its answer.
    pub deadline: Duration,
    /// The least time of an attempt.
    pub floor: Duration,
    /// The most attempts of a call.
    pub max_attempts: u32,
    /// What an ambiguous attempt means.
    pub on_ambiguous: OnAmbiguous,
    /// The country that numbers without a plus sign are read in.
    pub default_region: Option<CountryCode>,
    /// The rules.
    pub table: Table,
    /// How many replicas share the probes.
    pub replicas: u32,
    /// Credentials of the report.
    pub report: Arc<Credentials>,
    /// Tells probes from calls.
    pub probe: probe::Key,
    hooks: BTreeMap<String, Hook>,
    carriers: BTreeMap<String, Arc<Carrier>>,
}

/// One hook that may be called.
#[derive(Debug)]
pub struct Hook {
    /// Its name.
    pub name: Arc<str>,
    /// The header that carries the secret.
    pub header: String,
    /// Okta's id of it, when known.
    pub okta_id: Option<String>,
    secrets: Vec<Secret<String>>,
}

impl Hook {
    /// Whether a header's value is one of the valid secrets. Takes as long for a wrong value as for a right one of the
    /// same length, and looks at all secrets.
    #[must_use]
    pub fn admits(&self, value: &[u8]) -> bool {
        let mut admitted = Choice::from(0);
        for secret in &self.secrets {
            admitted |= secret.expose().as_bytes().ct_eq(value);
        }
        admitted.into()
    }
}

impl Runtime {
    /// Makes a configuration ready. What `before` keeps open or knows is taken over where it still applies.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`]; whatever was served before goes on being served.
    pub fn new(config: &GatewayConfig, hash: &str, before: Option<&Self>) -> Result<Self, InvalidConfig> {
        let timing = &config.timing;
        let deadline = Duration::from_millis(timing.deadline_ms)
            .min(MAX_DEADLINE)
            .saturating_sub(Duration::from_millis(timing.proxy_allowance_ms));
        if deadline < Duration::from_millis(100) {
            return Err(InvalidConfig::Deadline);
        }
        let mut carriers = BTreeMap::new();
        for (name, settings) in &config.providers {
            let known = before.and_then(|before| before.carriers.get(name)).map(Arc::as_ref);
            carriers.insert(name.clone(), Arc::new(Carrier::new(name, config, settings, known)?));
        }
        for rule in &config.rules {
            if let Action::Send(names) = &rule.action
                && let Some(missing) = names.iter().find(|name| !carriers.contains_key(*name))
            {
                let rule = format!("{}/{}", rule.policy, rule.name);
                return Err(InvalidConfig::NoSuchCarrier { rule, carrier: missing.clone() });
            }
        }
        let mut hooks = BTreeMap::new();
        for (name, hook) in &config.hooks {
            if hook.secrets.is_empty() || hook.secrets.iter().any(|secret| secret.expose().is_empty()) {
                return Err(InvalidConfig::NoSecret(name.clone()));
            }
            let ready = Hook {
                name: name.as_str().into(),
                header: hook.header.to_ascii_lowercase(),
                okta_id: hook.okta_id.clone(),
                secrets: hook.secrets.clone(),
            };
            hooks.insert(name.clone(), ready);
        }
        Ok(Self {
            hash: hash.to_owned(),
            generation: config.generation,
            deadline,
            floor: Duration::from_millis(timing.attempt_floor_ms.max(1)),
            max_attempts: timing.max_attempts.max(1),
            on_ambiguous: config.on_ambiguous,
            default_region: config.default_region,
            table: Table::new(&config.rules)?,
            replicas: config.replicas,
            report: Arc::new(Credentials::new(&config.report)?),
            probe: probe::Key::of(&config.report),
            hooks,
            carriers,
        })
    }

    /// A hook by the last part of its path.
    #[must_use]
    pub fn hook(&self, name: &str) -> Option<&Hook> {
        self.hooks.get(name)
    }

    /// Names of the hooks.
    pub fn hooks(&self) -> impl Iterator<Item = &str> {
        self.hooks.keys().map(String::as_str)
    }

    /// All carriers.
    pub fn carriers(&self) -> impl Iterator<Item = &Arc<Carrier>> {
        self.carriers.values()
    }

    /// A carrier by its name.
    #[must_use]
    pub fn carrier(&self, name: &str) -> Option<&Arc<Carrier>> {
        self.carriers.get(name)
    }

    /// The candidates of a rule for a message: those worth a try first, each kind in the rule's order. Never empty
    /// while the rule names a carrier. With them, how many are worth a try.
    #[must_use]
    pub fn candidates(&self, names: &[String], message: &Message) -> (Vec<Candidate>, usize) {
        let (mut usable, others): (Vec<_>, Vec<_>) = names
            .iter()
            .filter_map(|name| self.carriers.get(name))
            .map(|carrier| Candidate::new(carrier, message))
            .partition(Candidate::is_usable);
        let worth = usable.len();
        usable.extend(others);
        (usable, worth)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("hash", &self.hash)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
