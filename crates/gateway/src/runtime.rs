//! A configuration made ready to serve. Built whole or not at all, and swapped in one step.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use http::HeaderMap;

use super::{
    candidate::Candidate,
    hook_secrets::HookSecrets,
    provider::Provider,
    report::{Credentials, InvalidCredentials},
};
use hookswitch_gateway_config::{
    check::{self, ConfigPart, DEFAULT_TIMING, Fault, Judges, MAX_DEADLINE_MS},
    document::{self, ABSENT, GatewayConfig, OnAmbiguous},
    probe,
};
use hookswitch_message::{CountryCode, Secret};
use hookswitch_net as net;
use hookswitch_providers as providers;
use hookswitch_providers::Message;
use hookswitch_routing::Table;

/// What judges the parts of a configuration that `config` does not know itself.
pub const JUDGES: Judges = Judges {
    provider: |provider| {
        providers::adapter(provider).map_err(|error| error.to_string())?;
        provider
            .ca_bundle
            .as_deref()
            .map_or(Ok(()), |pem| net::ca_bundle(pem).map(drop).map_err(|error| error.to_string()))
    },
    report: |report| {
        net::server_identity(&report.certificate, report.key.expose()).map(drop).map_err(|error| error.to_string())
    },
};

/// Why a configuration cannot be served at all. Holds nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// The report's credentials: nobody could learn what becomes of the rest.
    #[error("report: {0}")]
    Report(#[from] InvalidCredentials),
}

/// A configuration, ready to serve.
pub struct RunningConfig {
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
    /// The rules. A configuration that keeps those of the one before shares them.
    pub table: Arc<Table>,
    /// How many replicas share the probes.
    pub replicas: u32,
    /// Credentials of the report.
    pub report: Arc<Credentials>,
    /// Tells probes from calls.
    pub probe: probe::Key,
    /// Parts that are not served as they are written: what was there before serves on in their place, if anything was.
    pub faults: Vec<Fault>,
    timing: document::Timing,
    hooks: BTreeMap<String, ServedHook>,
    providers: BTreeMap<String, Arc<Provider>>,
    needs_originals: bool,
}

/// One hook that may be called.
#[derive(Debug, Clone)]
pub struct ServedHook {
    /// Its name.
    pub name: Arc<str>,
    /// Okta's id of it, when known.
    pub okta_id: Option<String>,
    secrets: HookSecrets,
}

impl ServedHook {
    fn of(name: &str, hook: &document::HookConfig) -> Self {
        Self { name: name.into(), okta_id: hook.okta_id.clone(), secrets: HookSecrets::of(hook) }
    }

    /// Whether a call shows one of the secrets that are valid at `now`, in seconds since 1970.
    #[must_use]
    pub fn admits(&self, headers: &HeaderMap, now: u64) -> bool {
        self.secrets.admit(headers, now)
    }
}

impl RunningConfig {
    /// Makes a configuration ready. What `before` keeps open or knows is taken over where it still applies.
    ///
    /// A part that is at fault fails alone: what `before` had in its place serves on, else it is left out.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`]; whatever was served before goes on being served.
    pub fn new(config: &GatewayConfig, hash: &str, before: Option<&Self>) -> Result<Self, InvalidConfig> {
        let report = Arc::new(Credentials::new(&config.report)?);
        let mut faults = check::faults(config, &JUDGES);
        // A provider's part is judged once more where it is made ready: what this process lacks counts there too.
        faults.retain(|fault| !matches!(fault.part, ConfigPart::Provider(_)));
        let wrong: BTreeSet<ConfigPart> = faults.iter().map(|fault| fault.part.clone()).collect();
        let mut providers = BTreeMap::new();
        for (name, settings) in config.providers.iter().filter(|(name, _)| *name != ABSENT) {
            let known = before.and_then(|before| before.providers.get(name));
            match Provider::new(name, config, settings, known.map(Arc::as_ref)) {
                Ok(provider) => drop(providers.insert(name.clone(), Arc::new(provider))),
                Err(error) => {
                    faults.push(Fault { part: ConfigPart::Provider(name.clone()), what: error.to_string() });
                    providers.extend(known.map(|known| (name.clone(), Arc::clone(known))));
                }
            }
        }
        let mut hooks = BTreeMap::new();
        for (name, hook) in &config.hooks {
            if wrong.contains(&ConfigPart::Hook(name.clone())) {
                let known = before.and_then(|before| before.hooks.get(name));
                hooks.extend(known.map(|known| (name.clone(), known.clone())));
            } else {
                hooks.insert(name.clone(), ServedHook::of(name, hook));
            }
        }
        let known_rules = before.filter(|_| wrong.iter().any(|part| matches!(part, ConfigPart::Rule(_))));
        let table = match known_rules {
            // Rules serve on all together, with the providers that they send by: half of them route where nobody wants it.
            Some(before) => {
                for (name, provider) in &before.providers {
                    providers.entry(name.clone()).or_insert_with(|| Arc::clone(provider));
                }
                Arc::clone(&before.table)
            }
            None => Arc::new(Table::new(config.rules.clone())),
        };
        let timing = if wrong.contains(&ConfigPart::Timing) {
            before.map_or(DEFAULT_TIMING, |before| before.timing)
        } else {
            config.timing
        };
        let deadline = timing.deadline_ms.min(MAX_DEADLINE_MS).saturating_sub(timing.proxy_allowance_ms);
        Ok(Self {
            hash: hash.to_owned(),
            generation: config.generation,
            deadline: Duration::from_millis(deadline),
            floor: Duration::from_millis(timing.attempt_floor_ms.max(1)),
            max_attempts: timing.max_attempts.max(1),
            on_ambiguous: config.on_ambiguous,
            default_region: config.default_region,
            table,
            replicas: config.replicas,
            report,
            probe: probe::Key::of(&config.report),
            faults,
            timing,
            hooks,
            needs_originals: providers.values().any(|provider| provider.needs_original()),
            providers,
        })
    }

    /// A hook by the last part of its path.
    #[must_use]
    pub fn hook(&self, name: &str) -> Option<&ServedHook> {
        self.hooks.get(name)
    }

    /// Names of the hooks.
    pub fn hooks(&self) -> impl Iterator<Item = &str> {
        self.hooks.keys().map(String::as_str)
    }

    /// Whether some provider needs Okta's own request.
    #[must_use]
    pub const fn needs_originals(&self) -> bool {
        self.needs_originals
    }

    /// All providers.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }

    /// A provider by its name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    /// The candidates of a rule for a message to a person, where it is known who it is: those worth a try first, each kind in the rule's order. Never empty
    /// while the rule names a provider that can be used at all. With them, how many are worth a try.
    #[must_use]
    pub fn candidates(
        &self,
        names: &[String],
        message: &Message,
        person: Option<&Secret<String>>,
    ) -> (Vec<Candidate>, usize) {
        let (mut usable, others): (Vec<_>, Vec<_>) = names
            .iter()
            .filter_map(|name| self.providers.get(name))
            .map(|provider| Candidate::new(provider, message, person))
            .partition(Candidate::is_usable);
        let worth = usable.len();
        usable.extend(others);
        (usable, worth)
    }
}

impl fmt::Debug for RunningConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("hash", &self.hash)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
