//! One provider as the gateway knows it: how to reach it, whether it is worth a try, how much is under way.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Semaphore;
use url::Url;

use super::{
    breaker::Breakers,
    candidate::{Entry, SendUrgency, Shut},
    codes::{self, Codes},
    credential_keeper::{CredentialKeeper, CredentialSource, Missing},
    health::{Again, ProviderHealth, RefusedInARow},
    parts::{Part, Recipient, Route},
    pause::Pauses,
    private::{self, Private},
    probes::{FirstAnswer, ProbeSubject},
    retry,
};
use hookswitch_gateway_config::{
    document::{self, GatewayConfig},
    report::{BreakerState, MAX_REFUSED, ProbeState, ProviderReport, RefusedPart, RefusedScope},
};
use hookswitch_message::{Channel, CountryCode, Secret};
use hookswitch_net as net;
use hookswitch_net::{Connector, SendError, Unsent};
use hookswitch_providers as providers;
use hookswitch_providers::{
    Adapter, Class, Credential, Issued, MAX_ANSWER, Message, Outcome, Probe, Probed, ProviderAnswer, Refusal, Scope,
};
use tokio_util::sync::CancellationToken;

/// Why a provider of a configuration cannot be used. Holds no credential.
#[derive(Debug, thiserror::Error)]
pub enum UnusableProvider {
    /// Its own settings.
    #[error("provider {name}: {source}")]
    Settings {
        /// Name of the `TelephonyProvider`.
        name: String,
        /// What is wrong.
        source: providers::InvalidProvider,
    },
    /// The way to it.
    #[error("provider {name}: {source}")]
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

/// One provider.
pub struct Provider {
    /// Name of the `TelephonyProvider`.
    pub name: String,
    /// What it was made from.
    settings: document::ProviderConfig,
    way: Way,
    adapter: Box<dyn Adapter>,
    /// What its requests are made with, where its adapter needs a credential that ends.
    credential: Option<Arc<CredentialKeeper>>,
    connector: Connector,
    standing: Arc<Mutex<Standing>>,
    in_flight: Arc<Semaphore>,
}

/// What the connections depend on: while it stays the same they are kept, warm.
#[derive(Clone, PartialEq, Eq)]
struct Way {
    allowed_cidrs: Vec<ipnet::IpNet>,
    proxy: Option<Secret<String>>,
    proxy_exceptions: Vec<String>,
    extra_roots: Option<String>,
    ca_bundle: Option<String>,
}

#[derive(Debug)]
struct Standing {
    health: ProviderHealth,
    breakers: Breakers,
    pauses: Pauses,
    codes: Codes,
    /// Tells numbers and people apart without keeping them: its key never leaves the process.
    recipients: RandomState,
    /// While it cannot be used: the code of the failure that showed it first.
    because: Option<String>,
}

impl Standing {
    fn new(probe: &document::Probe) -> Self {
        Self {
            health: ProviderHealth::new(probe),
            breakers: Breakers::default(),
            pauses: Pauses::default(),
            codes: Codes::default(),
            recipients: RandomState::new(),
            because: None,
        }
    }

    /// Keeps the code of a failure for as long as the provider cannot be used since.
    fn explain(&mut self, code: Option<&str>, now: Instant) {
        let unwell = self.health.state() == ProbeState::Down || self.breakers.state(now) != BreakerState::Closed;
        self.because = self.because.take().or_else(|| code.map(str::to_owned)).filter(|_| unwell);
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The outcome, its code fit to be shown.
    pub outcome: Outcome,
    /// Whether anything left for the provider.
    pub left: bool,
}

/// Whether a provider can be used for what a rule is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// It can.
    Usable,
    /// It refuses that, or asked to be left alone for more than a moment.
    Refuses,
    /// It cannot be used at all, or not for that by its configuration.
    Unusable,
}

impl Provider {
    /// The provider of a configuration. What `before`, the provider of that name until now, knows and keeps open is
    /// taken over as far as it still applies.
    ///
    /// # Errors
    ///
    /// [`UnusableProvider`].
    pub fn new(
        name: &str,
        config: &GatewayConfig,
        settings: &document::ProviderConfig,
        before: Option<&Self>,
    ) -> Result<Self, UnusableProvider> {
        let adapter = providers::adapter(settings)
            .map_err(|source| UnusableProvider::Settings { name: name.to_owned(), source })?;
        let way = Way {
            allowed_cidrs: config.allowed_cidrs.clone(),
            proxy: config.proxy.clone(),
            proxy_exceptions: config.proxy_exceptions.clone(),
            extra_roots: config.extra_roots.clone(),
            ca_bundle: settings.ca_bundle.clone(),
        };
        let same_account = before.filter(|before| before.settings.account == settings.account);
        let connector = match same_account.filter(|before| before.way == way) {
            Some(before) => before.connector.clone(),
            None => connect(name, &way)?,
        };
        let standing = same_account.map_or_else(
            || Arc::new(Mutex::new(Standing::new(&settings.probe))),
            |before| Arc::clone(&before.standing),
        );
        lock(&standing).health.reconfigure(&settings.probe);
        let credential = adapter.credential().map(|need| {
            let kept = |provider: &Self| provider.credential.clone();
            same_account.and_then(kept).unwrap_or_else(|| {
                let is_for_the_same = |provider: &&Self| {
                    provider.adapter.credential().is_some_and(|before| before.is_for_the_same(&need))
                };
                Arc::new(CredentialKeeper::new(before.filter(is_for_the_same).and_then(kept).as_deref()))
            })
        });
        let in_flight =
            same_account.filter(|before| before.settings.max_in_flight == settings.max_in_flight).map_or_else(
                || Arc::new(Semaphore::new(usize::try_from(settings.max_in_flight).unwrap_or(usize::MAX >> 4))),
                |before| Arc::clone(&before.in_flight),
            );
        Ok(Self {
            name: name.to_owned(),
            settings: settings.clone(),
            way,
            adapter,
            credential,
            connector,
            standing,
            in_flight,
        })
    }

    /// Whether probing goes on as before: nothing that a probe depends on has changed.
    #[must_use]
    pub fn probes_like(&self, other: &Self) -> bool {
        self.settings.account == other.settings.account
            && self.settings.probe == other.settings.probe
            && self.way == other.way
    }

    /// The probe's settings.
    #[must_use]
    pub const fn probe_settings(&self) -> &document::Probe {
        &self.settings.probe
    }

    /// What a message needs of it, for a person where it is known who it is.
    #[must_use]
    pub fn route(&self, message: &Message, person: Option<&Secret<String>>) -> Route {
        let standing = lock(&self.standing);
        let number = standing.recipients.hash_one(message.to.as_str());
        let person = person.map_or(number, |person| standing.recipients.hash_one(person.expose()));
        Route { recipient: Some(Recipient { number, person }), ..Route::of(message, &self.settings.senders) }
    }

    /// The request that sends a message.
    ///
    /// # Errors
    ///
    /// Why it cannot take the message.
    pub fn request(&self, message: &Message) -> Result<net::Request, Refusal> {
        let credential = self.credential().map_err(Missing::refusal)?;
        self.adapter.request(message, credential.as_deref())
    }

    /// The credential that its requests are made with now; nothing for a provider that needs none.
    fn credential(&self) -> Result<Option<Arc<Credential>>, Missing> {
        self.credential.as_ref().map(|keeper| keeper.current(tokio::time::Instant::now())).transpose()
    }

    /// Whether it has a credential that must be kept fresh.
    #[must_use]
    pub const fn has_credential_to_keep(&self) -> bool {
        self.credential.is_some()
    }

    /// Keeps its credential fresh until `stop`; `first` is held until the first is there, or was refused.
    pub async fn keep_credential(&self, first: Option<FirstAnswer>, stop: CancellationToken) {
        if let Some(keeper) = &self.credential {
            keeper.keep(self, first, stop).await;
        }
    }

    /// Whether it needs Okta's own request.
    #[must_use]
    pub fn needs_original(&self) -> bool {
        self.adapter.needs_original()
    }

    /// Whether it is worth a try by a route before those that are not.
    #[must_use]
    pub fn serves(&self, route: &Route) -> bool {
        let (standing, now) = (lock(&self.standing), Instant::now());
        standing.health.serves(route, now)
            && standing.breakers.wait(route, now).is_none()
            && standing.pauses.wait(route, now).is_none()
    }

    /// Whether it can be used for a channel and a country at present; that it refuses the country counts only when the country
    /// matters.
    #[must_use]
    pub fn stance(&self, channel: Channel, country: Option<CountryCode>, country_matters: bool) -> Stance {
        let (standing, now) = (lock(&self.standing), Instant::now());
        let route = Route::new(channel, country, &self.settings.senders);
        let down = standing.health.state() == ProbeState::Down || standing.breakers.is_shut(now);
        let is_shut_out = matches!(self.credential(), Err(Missing::Refused(_)));
        if down || is_shut_out || route.sender.is_none() && self.adapter.needs_sender() {
            return Stance::Unusable;
        }
        let counts = |part: &Part| country_matters || !matches!(part, Part::Country(..));
        let unwell = route.parts().iter().any(|part| counts(part) && standing.health.refuses_many(part, now));
        if unwell || standing.pauses.lasts(&route, now) { Stance::Refuses } else { Stance::Usable }
    }

    /// Whether [`Provider::enter`] would let a message in now.
    #[must_use]
    pub fn is_open(&self, route: &Route, urgency: SendUrgency) -> bool {
        let (standing, now) = (lock(&self.standing), Instant::now());
        let waits = match urgency {
            SendUrgency::Ordinary => standing.pauses.wait(route, now).or(standing.breakers.wait(route, now)),
            SendUrgency::Last => standing.pauses.wait_of_last(route, now).or(standing.breakers.wait_of_last(now)),
        };
        waits.is_none() && self.in_flight.available_permits() > 0
    }

    /// Leave to send one message.
    ///
    /// # Errors
    ///
    /// Why it is not asked.
    pub fn enter(&self, route: &Route, urgency: SendUrgency) -> Result<Entry, Shut> {
        let Ok(permit) = Arc::clone(&self.in_flight).try_acquire_owned() else { return Err(Shut::Busy) };
        let (mut standing, now) = (lock(&self.standing), Instant::now());
        let rests = match urgency {
            SendUrgency::Ordinary => standing.pauses.wait(route, now),
            SendUrgency::Last => standing.pauses.wait_of_last(route, now),
        };
        if rests.is_some() {
            return Err(Shut::Resting);
        }
        let passage = match urgency {
            SendUrgency::Ordinary => standing.breakers.admit(route, now),
            SendUrgency::Last => standing.breakers.force(route, now),
        };
        let passage = passage.map_err(|_| Shut::Failing)?;
        standing.pauses.try_one(route, now);
        Ok(Entry::new(passage, now, permit))
    }

    /// Sends a message before `deadline`, and remembers what became of it.
    ///
    /// # Errors
    ///
    /// [`Shut::Busy`] when the message found no room on the connections to it until then; nothing has left.
    pub async fn send(
        &self,
        entry: Entry,
        request: net::Request,
        deadline: tokio::time::Instant,
        private: &Private<'_>,
    ) -> Result<Tried, Shut> {
        let sent = self.connector.send(&request, deadline, MAX_ANSWER).await;
        self.learn(entry, sent, private)
    }

    /// What became of an attempt. One that waited for room all the time is none: what the provider does is shown by those that
    /// filled the connections.
    fn learn(&self, entry: Entry, sent: Result<net::Answer, SendError>, private: &Private<'_>) -> Result<Tried, Shut> {
        let (outcome, left) = match sent {
            Ok(answer) => (self.heeding_the_credential(answer.status, self.adapter.outcome(&carried(answer))), true),
            Err(SendError::Full) => return Err(Shut::Busy),
            // Our own guard says no: that is a setting, not a weakness of the provider.
            Err(SendError::NotSent { cause: Unsent::Guard }) => {
                (refused(Class::PermanentConfig(Scope::Account), "guard"), false)
            }
            Err(SendError::NotSent { cause }) => (refused(Class::Transient, cause.as_str()), false),
            Err(SendError::Unclear { cause }) => (Outcome::Ambiguous { cause: cause.as_str() }, true),
        };
        let outcome = private.without(outcome);
        let (mut standing, now) = (lock(&self.standing), Instant::now());
        let route = entry.passage.route().clone();
        standing.breakers.record(entry.passage, &outcome, now);
        standing.health.attempted(&outcome, &route, now);
        standing.pauses.record(&route, &outcome, entry.begun, now);
        standing.codes.record(&outcome, now);
        standing.explain(codes::word(&outcome), now);
        Ok(Tried { outcome, left })
    }

    /// An outcome as it counts. Who refuses a credential that ends may refuse this one alone: another one is asked for, and the
    /// account is not taken for closed.
    fn heeding_the_credential(&self, status: u16, outcome: Outcome) -> Outcome {
        match (outcome, &self.credential) {
            (Outcome::Refused(refusal), Some(keeper)) if matches!(status, 401 | 403) => {
                keeper.refused(tokio::time::Instant::now());
                Outcome::Refused(Refusal { class: Class::Transient, ..refusal })
            }
            (outcome, _) => outcome,
        }
    }

    /// What the report says of it, but for the counters.
    #[must_use]
    pub fn report(&self) -> ProviderReport {
        let now = Instant::now();
        let standing = lock(&self.standing);
        let failing_since = [standing.health.failing_since(), standing.breakers.failing_since(now)];
        let failing_for = failing_since.into_iter().flatten().min().map(|since| now.saturating_duration_since(since));
        ProviderReport {
            probe: standing.health.state(),
            probe_age_s: standing.health.probe_age(now).map(|age| age.as_secs()),
            outcomes: std::collections::BTreeMap::new(),
            breaker: standing.breakers.state(now),
            failing_for_ms: failing_for
                .map_or(0, |failing_for| u64::try_from(failing_for.as_millis()).unwrap_or(u64::MAX)),
            failing_countries: standing.health.failing_countries(now).iter().map(ToString::to_string).collect(),
            because: standing.because.clone().unwrap_or_default(),
            refused: standing.health.unwell(now).take(MAX_REFUSED).map(|part| refused_part(part, now)).collect(),
            paused_for_s: standing.pauses.reported(now).map_or(0, |left| left.as_secs()),
            codes: standing.codes.report(now),
        }
    }
}

/// A part that refuses, for the report. A sender is not named: it may be a number.
fn refused_part((part, refused): (&Part, &RefusedInARow), now: Instant) -> RefusedPart {
    let (scope, channel, country) = match part {
        Part::Account => (RefusedScope::Account, None, None),
        Part::Channel(channel) => (RefusedScope::Channel, Some(*channel), None),
        Part::Sender(channel, _) => (RefusedScope::Sender, Some(*channel), None),
        Part::Country(channel, country) => (RefusedScope::Country, Some(*channel), *country),
    };
    RefusedPart {
        scope,
        channel: channel.map(|channel| channel.label().to_owned()).unwrap_or_default(),
        country: country.map(|country| country.to_string()).unwrap_or_default(),
        code: refused.code.clone(),
        in_a_row: refused.in_a_row,
        for_s: now.saturating_duration_since(refused.since).as_secs(),
    }
}

/// What a probe finds that got no answer.
fn out_of_reach(cause: &str) -> Probed {
    Probed::Down(Refusal::local(Class::Transient, cause))
}

/// The end of what nobody waits for so long: who asks bounds the time.
fn far() -> tokio::time::Instant {
    tokio::time::Instant::now() + std::time::Duration::from_mins(1)
}

impl CredentialSource for Provider {
    async fn fetch(&self) -> Result<Issued, Refusal> {
        let Some(need) = self.adapter.credential() else {
            return Err(Refusal::local(Class::Unknown, "token-unneeded"));
        };
        let no_answer = |cause| Refusal::local(Class::Transient, &format!("token-{cause}"));
        let issued = match self.connector.send(&need.request(), far(), MAX_ANSWER).await {
            Ok(answer) => need.issued(&carried(answer)),
            Err(SendError::Full) => Err(no_answer("busy")),
            Err(SendError::NotSent { cause }) => Err(no_answer(cause.as_str())),
            Err(SendError::Unclear { cause }) => Err(no_answer(cause.as_str())),
        };
        issued.map_err(|refusal| {
            // the endpoint's own word, which may repeat what it was shown
            let refusal = Refusal { code: private::shown(&refusal.code).to_owned(), ..refusal };
            tracing::warn!(provider = self.name, code = refusal.code, "no credential was given");
            refusal
        })
    }
}

impl ProbeSubject for Provider {
    async fn ask(&self) -> Probed {
        if let (Some(keeper), Err(Missing::Awaited)) = (&self.credential, self.credential()) {
            keeper.settled().await;
        }
        let credential = match self.credential() {
            Ok(credential) => credential,
            Err(Missing::Awaited) => return Probed::Unknown,
            Err(Missing::Refused(refusal)) => return Probed::Down(refusal),
        };
        let probed = match self.adapter.probe(credential.as_deref()) {
            Probe::Ask(request) => self
                .connector
                .send(&request, far(), MAX_ANSWER)
                .await
                .map(|answer| self.adapter.probed(&carried(answer))),
            Probe::Reach(url) => self.connector.reach(&url, far()).await.map(|()| Probed::Up),
        };
        probed.unwrap_or_else(|error| match error {
            // what lies behind a proxy is shown by messages alone
            SendError::Full | SendError::NotSent { cause: Unsent::Proxy } => Probed::Unknown,
            // What our own guard refuses says nothing about the provider, but nothing can be sent there either.
            SendError::NotSent { cause } => out_of_reach(cause.as_str()),
            SendError::Unclear { cause } => out_of_reach(cause.as_str()),
        })
    }

    fn record(&self, probed: &Probed) -> Again {
        let (mut standing, now) = (lock(&self.standing), Instant::now());
        let again = standing.health.probed(probed, now);
        let code = match (probed, standing.health.state()) {
            (Probed::Up, ProbeState::Up) => {
                standing.breakers.relieve(now);
                None
            }
            (Probed::Down(refusal), ProbeState::Down) => {
                standing.breakers.trip(now);
                Some(private::shown(&refusal.code))
            }
            (Probed::Up | Probed::Down(_) | Probed::Unknown, _) => None,
        };
        standing.explain(code, now);
        again
    }

    fn is_down(&self) -> bool {
        lock(&self.standing).health.state() == ProbeState::Down
    }
}

fn lock(standing: &Mutex<Standing>) -> MutexGuard<'_, Standing> {
    standing.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(name: &str, way: &Way) -> Result<Connector, UnusableProvider> {
    let proxy =
        way.proxy.as_ref().map(|url| Url::parse(url.expose())).transpose().map_err(|_| UnusableProvider::Proxy)?;
    let proxy_exceptions = way.proxy_exceptions.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let roots: Vec<&str> = [&way.extra_roots, &way.ca_bundle].into_iter().flatten().map(String::as_str).collect();
    let policy = net::Policy {
        allowed_cidrs: way.allowed_cidrs.clone(),
        proxy,
        proxy_exceptions,
        extra_roots_pem: (!roots.is_empty()).then(|| roots.join("\n")),
        ..net::Policy::default()
    };
    Connector::new(&policy).map_err(|source| UnusableProvider::Net { name: name.to_owned(), source })
}

fn refused(class: Class, code: &str) -> Outcome {
    Outcome::Refused(Refusal::local(class, code))
}

fn carried(answer: net::Answer) -> ProviderAnswer {
    let retry_after = answer.retry_after().map(|asked| retry::in_seconds(asked, answer.date(), jiff::Timestamp::now()));
    ProviderAnswer { status: answer.status, retry_after, body: answer.body }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{breaker::CONSECUTIVE, candidate::Candidate, testing};
    use hookswitch_net::NoAnswer;

    fn provider() -> Provider {
        with(|_| {})
    }

    fn with(change: impl FnOnce(&mut document::ProviderConfig)) -> Provider {
        made(|config| change(config.providers.get_mut("one").unwrap()))
    }

    fn made(change: impl FnOnce(&mut GatewayConfig)) -> Provider {
        let mut config = testing::config([("one", testing::provider("https://provider.example/send", "token"))]);
        change(&mut config);
        Provider::new("one", &config, &config.providers["one"], None).unwrap()
    }

    /// What a provider knows after as many messages as open a breaker became that.
    fn after(provider: Provider, sent: impl Fn() -> Result<net::Answer, SendError>) -> Provider {
        for person in 0..CONSECUTIVE {
            let message = Message { to: format!("+4670174060{person}").parse().unwrap(), ..message() };
            let entry = provider.enter(&provider.route(&message, None), SendUrgency::Ordinary).unwrap();
            provider.learn(entry, sent(), &Private::new("1234", &message)).unwrap();
        }
        provider
    }

    fn says(status: u16, body: &str) -> net::Answer {
        net::Answer { status, headers: http::HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_message_is_let_in_while_there_is_room_and_no_breaker_is_open_and_else_nothing_is_kept_for_it() {
        let can_be_asked = |provider: Provider| {
            let (provider, message) = (Arc::new(provider), message());
            let candidate = Candidate::new(&provider, &message, None);
            let reported = [SendUrgency::Ordinary, SendUrgency::Last].map(|urgency| candidate.can_be_asked(urgency));
            let entered = [SendUrgency::Ordinary, SendUrgency::Last].map(|urgency| candidate.enter(urgency).is_ok());
            assert_eq!(reported, entered, "it is told what would be");
            (reported, candidate.is_usable())
        };
        assert_eq!(can_be_asked(provider()), ([true, true], true));
        assert_eq!(can_be_asked(with(|settings| settings.max_in_flight = 0)), ([false, false], true), "full");
        assert_eq!(can_be_asked(with(|settings| settings.max_in_flight = 1)), ([true, true], true));
        let invalid = with(|settings| settings.account = document::ProviderConfig::absent().account);
        assert_eq!(can_be_asked(invalid), ([false, false], false), "no sender");
        let dead = || after(provider(), || Err(SendError::Unclear { cause: NoAnswer::Timeout }));
        assert_eq!(can_be_asked(dead()), ([false, true], false), "the last one may knock");
        let tried = dead();
        let _trial = tried.enter(&tried.route(&message(), None), SendUrgency::Last).unwrap();
        assert_eq!(can_be_asked(tried), ([false, false], false), "another one is the trial");
        let resting = provider();
        let entry = resting.enter(&resting.route(&message(), None), SendUrgency::Ordinary).unwrap();
        let headers = [(http::header::RETRY_AFTER, http::HeaderValue::from_static("3600"))].into_iter().collect();
        let answer = net::Answer { status: 429, headers, body: Vec::new() };
        let message = message();
        resting.learn(entry, Ok(answer), &Private::new("1234", &message)).unwrap();
        assert_eq!(can_be_asked(resting), ([false, false], false), "it asked to be left alone");
        let refused = r#"{"status":"refused","class":"permanent-config","scope":"account","code":"c"}"#;
        let down = provider();
        let entry = down.enter(&down.route(&message, None), SendUrgency::Ordinary).unwrap();
        down.learn(entry, Ok(says(400, refused)), &Private::new("1234", &message)).unwrap();
        assert_eq!(can_be_asked(down), ([true, true], false), "its account is refused: it comes after others");
    }

    #[test]
    fn probing_goes_on_as_before_while_nothing_changes_that_a_probe_depends_on() {
        let before = provider();
        assert!(before.probes_like(&provider()));
        assert!(before.probes_like(&with(|settings| settings.max_in_flight = 7)));
        assert!(!before.probes_like(&with(|settings| settings.probe.fall = 7)));
        assert!(!before.probes_like(&with(|settings| settings.account = document::ProviderConfig::absent().account)));
        assert!(!before.probes_like(&made(|config| config.allowed_cidrs = vec!["10.0.0.0/8".parse().unwrap()])));
    }

    fn message() -> Message {
        let (to, text) = ("+46701740605".parse().unwrap(), Secret::from("Your code is 1234"));
        Message {
            id: "id".into(),
            channel: Channel::Sms,
            to,
            country: None,
            text,
            code: Secret::from("1234"),
            locale: None,
            ttl: None,
            original: None,
        }
    }

    #[test]
    fn a_provider_is_of_use_while_it_works_and_has_a_sender_where_it_needs_one() {
        let stance = |provider: &Provider| provider.stance(Channel::Sms, None, true);
        assert_eq!(stance(&provider()), Stance::Usable, "whoever is behind the contract chooses the sender");
        let dead = after(provider(), || Err(SendError::Unclear { cause: NoAnswer::Timeout }));
        assert_eq!(stance(&dead), Stance::Unusable, "its breaker is open");
        let report = dead.report();
        assert_eq!((report.probe, report.because.as_str()), (ProbeState::Unknown, "timeout"), "it is told why");
        let twilio = |countries: &[&str]| {
            with(|settings| {
                settings.account = document::ProviderConfig::absent().account;
                let countries = countries.iter().map(|country| country.parse().unwrap()).collect();
                settings.senders = vec![document::Sender { channel: Channel::Sms, countries, from: "ACME".into() }];
            })
        };
        assert_eq!(stance(&twilio(&[])), Stance::Usable);
        assert_eq!(stance(&twilio(&["SE"])), Stance::Unusable, "no sender fits");
        assert_eq!(twilio(&["SE"]).stance(Channel::Sms, "SE".parse().ok(), true), Stance::Usable);
        assert_eq!(twilio(&[]).stance(Channel::Voice, None, true), Stance::Unusable);
    }

    #[test]
    fn a_country_that_refuses_many_people_counts_only_where_it_matters() {
        let refused = r#"{"status":"refused","class":"permanent-config","scope":"country","code":"c"}"#;
        let provider = after(provider(), || Ok(says(400, refused)));
        let reported = RefusedPart {
            scope: RefusedScope::Country,
            channel: "sms".to_owned(),
            country: String::new(),
            code: "c".to_owned(),
            in_a_row: CONSECUTIVE,
            for_s: 0,
        };
        assert_eq!(provider.report().refused, [reported]);
        assert_eq!(provider.stance(Channel::Sms, None, true), Stance::Refuses);
        assert_eq!(provider.stance(Channel::Sms, None, false), Stance::Usable);
        assert_eq!(provider.stance(Channel::Voice, None, true), Stance::Usable);
    }

    #[test]
    fn probes_that_find_a_provider_dead_open_its_breaker_and_probes_that_pass_close_it() {
        let provider = provider();
        let refusal = Refusal { class: Class::Transient, code: "timeout".to_owned(), retry_after_s: None };
        let reported = |probed: &Probed| {
            provider.record(probed);
            let report = provider.report();
            (report.probe, report.breaker, report.because, provider.is_down())
        };
        let well = |state| (state, BreakerState::Closed, String::new(), false);
        let dead = || (ProbeState::Down, BreakerState::Open, "timeout".to_owned(), true);
        assert_eq!(reported(&Probed::Up), well(ProbeState::Up));
        for _ in 1..3 {
            assert_eq!(reported(&Probed::Down(refusal.clone())), well(ProbeState::Up), "one alone is not believed");
        }
        assert_eq!(reported(&Probed::Down(refusal)), dead());
        assert_eq!(reported(&Probed::Unknown), dead());
        assert_eq!(reported(&Probed::Up), dead(), "one alone is not believed");
        assert_eq!(reported(&Probed::Up), well(ProbeState::Up));
    }

    #[test]
    fn what_waited_for_room_all_the_time_says_nothing_about_the_provider_and_what_was_not_connected_to_does() {
        let message = message();
        let private = Private::new("1234", &message);
        for (sent, breaker) in [
            (SendError::Full, BreakerState::Closed),
            (SendError::NotSent { cause: Unsent::ConnectTimeout }, BreakerState::Open),
            (SendError::Unclear { cause: NoAnswer::Timeout }, BreakerState::Open),
        ] {
            let provider = provider();
            for _ in 0..CONSECUTIVE {
                let entry = provider.enter(&provider.route(&message, None), SendUrgency::Ordinary).unwrap();
                let learnt = provider.learn(entry, Err(sent), &private);
                assert_eq!(learnt.err(), (sent == SendError::Full).then_some(Shut::Busy));
            }
            let report = provider.report();
            assert_eq!((report.breaker, report.codes.is_empty()), (breaker, sent == SendError::Full), "{sent:?}");
        }
    }
}
