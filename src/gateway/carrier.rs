//! One carrier as the gateway knows it: how to reach it, whether it is worth a try, how much is under way.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Semaphore;
use url::Url;

use super::{
    breaker::Breakers,
    health::{Again, CarrierHealth},
    probes::Subject,
};
use crate::{
    config::{
        document::{self, GatewayConfig},
        report::{CarrierReport, ProbeState},
    },
    message::{CountryCode, Secret},
    net::{self, Connector, SendError},
    providers::{
        self, Adapter, CarrierAnswer, CarrierRequest, Class, MAX_ANSWER, Message, Outcome, Probed, Refusal, Scope,
    },
};

/// Why a carrier of a configuration cannot be used. Holds no credential.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCarrier {
    /// Its own settings.
    #[error("carrier {name}: {source}")]
    Provider {
        /// Name of the `TelephonyProvider`.
        name: String,
        /// What is wrong.
        source: providers::InvalidProvider,
    },
    /// The way to it.
    #[error("carrier {name}: {source}")]
    Net {
        /// Name of the `TelephonyProvider`.
        name: String,
        /// What is wrong.
        source: net::NetError,
    },
    /// The proxy's URL.
    #[error("the proxy's URL does not parse")]
    Proxy,
    /// An exception to the proxy.
    #[error(transparent)]
    ProxyException(#[from] net::InvalidException),
}

/// One carrier.
pub struct Carrier {
    /// Name of the `TelephonyProvider`.
    pub name: String,
    /// What it was made from.
    settings: document::Provider,
    route: Route,
    adapter: Box<dyn Adapter>,
    connector: Connector,
    standing: Arc<Mutex<Standing>>,
    in_flight: Arc<Semaphore>,
}

/// What the connections depend on: while it stays the same they are kept, warm.
#[derive(Clone, PartialEq, Eq)]
struct Route {
    allowed_cidrs: Vec<ipnet::IpNet>,
    proxy: Option<Secret<String>>,
    proxy_exceptions: Vec<String>,
    extra_roots: Option<String>,
    ca_bundle: Option<String>,
}

#[derive(Debug)]
struct Standing {
    health: CarrierHealth,
    breakers: Breakers,
}

impl Carrier {
    /// The carrier of a configuration. What `before`, the carrier of that name until now, knows and keeps open is taken
    /// over as far as it still applies.
    ///
    /// # Errors
    ///
    /// [`InvalidCarrier`].
    pub fn new(
        name: &str,
        config: &GatewayConfig,
        settings: &document::Provider,
        before: Option<&Self>,
    ) -> Result<Self, InvalidCarrier> {
        let adapter = providers::adapter(settings)
            .map_err(|source| InvalidCarrier::Provider { name: name.to_owned(), source })?;
        let route = Route {
            allowed_cidrs: config.allowed_cidrs.clone(),
            proxy: config.proxy.clone(),
            proxy_exceptions: config.proxy_exceptions.clone(),
            extra_roots: config.extra_roots.clone(),
            ca_bundle: settings.ca_bundle.clone(),
        };
        let same_account = before.filter(|before| before.settings.carrier == settings.carrier);
        let connector = match same_account.filter(|before| before.route == route) {
            Some(before) => before.connector.clone(),
            None => connect(name, &route)?,
        };
        let standing = same_account.map_or_else(
            || {
                Arc::new(Mutex::new(Standing {
                    health: CarrierHealth::new(&settings.probe),
                    breakers: Breakers::default(),
                }))
            },
            |before| Arc::clone(&before.standing),
        );
        lock(&standing).health.reconfigure(&settings.probe);
        let in_flight =
            same_account.filter(|before| before.settings.max_in_flight == settings.max_in_flight).map_or_else(
                || Arc::new(Semaphore::new(usize::try_from(settings.max_in_flight).unwrap_or(usize::MAX >> 4))),
                |before| Arc::clone(&before.in_flight),
            );
        Ok(Self { name: name.to_owned(), settings: settings.clone(), route, adapter, connector, standing, in_flight })
    }

    /// Whether probing goes on as before: nothing that a probe depends on has changed.
    #[must_use]
    pub fn probes_like(&self, other: &Self) -> bool {
        self.settings.carrier == other.settings.carrier
            && self.settings.probe == other.settings.probe
            && self.route == other.route
    }

    /// The probe's settings.
    #[must_use]
    pub const fn probe_settings(&self) -> &document::Probe {
        &self.settings.probe
    }

    /// Whether it is worth a try for a country before those that are not.
    #[must_use]
    pub fn is_usable(&self, country: Option<CountryCode>) -> bool {
        let now = Instant::now();
        let standing = lock(&self.standing);
        let open = |state| state == crate::config::report::BreakerState::Open;
        standing.health.serves(country, now)
            && !open(standing.breakers.state(now))
            && !country.is_some_and(|country| open(standing.breakers.country_state(country, now)))
    }

    /// Tries to send a message before `deadline`. A closed door is a refusal of class transient or throttled, unless
    /// `force` says that there is nobody else to ask.
    pub async fn send(&self, message: &Message, deadline: tokio::time::Instant, force: bool) -> Outcome {
        let request = match self.adapter.request(message) {
            Ok(request) => request,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let Ok(_slot) = self.in_flight.try_acquire() else {
            return refused(Class::Throttled, "in-flight");
        };
        let passage = {
            let mut standing = lock(&self.standing);
            match standing.breakers.admit(message.country, Instant::now()) {
                Ok(passage) => passage,
                Err(_) if force => standing.breakers.force(message.country, Instant::now()),
                Err(_) => return refused(Class::Transient, "breaker"),
            }
        };
        let outcome = match self.connector.send(&plain(request), deadline, MAX_ANSWER).await {
            Ok(answer) => self.adapter.outcome(&carried(answer)),
            // Our own guard says no: that is a setting, not a weakness of the carrier.
            Err(SendError::NotSent { cause: "guard" }) => refused(Class::PermanentConfig(Scope::Account), "guard"),
            Err(SendError::NotSent { cause }) => refused(Class::Transient, cause),
            Err(SendError::Unclear { cause }) => Outcome::Ambiguous { cause },
        };
        let mut standing = lock(&self.standing);
        let now = Instant::now();
        standing.breakers.record(passage, &outcome, now);
        standing.health.attempted(&outcome, message.country, now);
        outcome
    }

    /// What the report says of it, but for the counters.
    #[must_use]
    pub fn report(&self) -> CarrierReport {
        let now = Instant::now();
        let standing = lock(&self.standing);
        let failing_since = [standing.health.failing_since(), standing.breakers.failing_since(now)];
        let failing_for = failing_since.into_iter().flatten().min().map(|since| now.saturating_duration_since(since));
        CarrierReport {
            probe: standing.health.state(),
            probe_age_s: standing.health.probe_age(now).map(|age| age.as_secs()),
            outcomes: std::collections::BTreeMap::new(),
            breaker: standing.breakers.state(now),
            failing_for_ms: failing_for
                .map_or(0, |failing_for| u64::try_from(failing_for.as_millis()).unwrap_or(u64::MAX)),
            failing_countries: standing.health.failing_countries(now).iter().map(ToString::to_string).collect(),
        }
    }
}

impl Subject for Carrier {
    async fn ask(&self) -> Probed {
        let far = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
        match self.connector.send(&plain(self.adapter.probe()), far, MAX_ANSWER).await {
            Ok(answer) => self.adapter.probed(&carried(answer)),
            // What our own guard refuses says nothing about the carrier, but nothing can be sent there either.
            Err(SendError::NotSent { cause } | SendError::Unclear { cause }) => {
                Probed::Down(Refusal { class: Class::Transient, code: cause.to_owned(), retry_after_s: None })
            }
        }
    }

    fn tell(&self, probed: &Probed) -> Again {
        let (mut standing, now) = (lock(&self.standing), Instant::now());
        let again = standing.health.probed(probed, now);
        if *probed == Probed::Up && standing.health.state() == ProbeState::Up {
            standing.breakers.relieve(now);
        }
        again
    }

    fn is_down(&self) -> bool {
        lock(&self.standing).health.state() == ProbeState::Down
    }
}

fn lock(standing: &Mutex<Standing>) -> MutexGuard<'_, Standing> {
    standing.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(name: &str, route: &Route) -> Result<Connector, InvalidCarrier> {
    let proxy =
        route.proxy.as_ref().map(|url| Url::parse(url.expose())).transpose().map_err(|_| InvalidCarrier::Proxy)?;
    let proxy_exceptions = route.proxy_exceptions.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let roots: Vec<&str> = [&route.extra_roots, &route.ca_bundle].into_iter().flatten().map(String::as_str).collect();
    let policy = net::Policy {
        allowed_cidrs: route.allowed_cidrs.clone(),
        proxy,
        proxy_exceptions,
        extra_roots_pem: (!roots.is_empty()).then(|| roots.join("\n")),
        ..net::Policy::default()
    };
    Connector::new(&policy).map_err(|source| InvalidCarrier::Net { name: name.to_owned(), source })
}

fn refused(class: Class, code: &str) -> Outcome {
    Outcome::Refused(Refusal { class, code: code.to_owned(), retry_after_s: None })
}

fn plain(request: CarrierRequest) -> net::Request {
    net::Request { method: request.method, url: request.url, headers: request.headers, body: request.body }
}

fn carried(answer: net::Answer) -> CarrierAnswer {
    CarrierAnswer { status: answer.status, retry_after: answer.retry_after().map(str::to_owned), body: answer.body }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").field("name", &self.name).finish_non_exhaustive()
    }
}
