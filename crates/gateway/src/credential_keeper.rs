//! The credential of a provider that ends: got before the first call, renewed ahead, replaced when the provider refuses it.
//!
//! Calls only look at what is there. A provider without a credential is passed over, as one that is down; a token endpoint that is
//! down is one provider down.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::probes::FirstAnswer;
use hookswitch_providers::{Class, Credential, Issued, Refusal};

/// How long a credential may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// The shortest time between two requests for one, whatever becomes of them.
const PACE: Duration = Duration::from_secs(1);
/// The longest time between two requests that fail.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that is kept because an endpoint asks for it: a page of maintenance may say an hour, and be wrong.
const LONGEST_ASKED: Duration = Duration::from_mins(5);
/// How old a credential is at least before another one is asked for because the provider refuses it: what it refuses before that is
/// hardly the credential's age.
const FRESH: Duration = Duration::from_secs(30);
/// The part of a credential's life, at its end, in which it is not used any more, at most [`LAST`].
const LAST_PART: u32 = 20;
const LAST: Duration = Duration::from_secs(10);

/// Where a credential comes from.
pub trait CredentialSource: Send + Sync {
    /// Asks for one. Dropped when it takes longer than [`PATIENCE`].
    fn fetch(&self) -> impl Future<Output = Result<Issued, Refusal>> + Send;
}

/// A credential that is kept for calls to look at.
pub struct CredentialKeeper {
    state: Mutex<State>,
    wanted: Notify,
    /// Whether a request for one has ended.
    settled: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// Why the last request failed.
    why_not: Option<Refusal>,
}

#[derive(Clone)]
struct Held {
    credential: Arc<Credential>,
    given_at: Instant,
    renew_at: Instant,
    ends_at: Instant,
}

impl Held {
    fn new(issued: Issued, now: Instant) -> Self {
        let Issued { credential, lifetime } = issued;
        Self {
            credential: Arc::new(credential),
            given_at: now,
            renew_at: now + lifetime * 2 / 3,
            ends_at: now + lifetime.saturating_sub(LAST.min(lifetime / LAST_PART)),
        }
    }
}

/// Why there is no credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// It was not asked for yet, or is on its way.
    Awaited,
    /// It was refused, or the request failed.
    Refused(Refusal),
}

impl Missing {
    /// As the refusal of a message that needs it.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Awaited => Refusal::local(Class::Transient, "token-awaited"),
            Self::Refused(refusal) => refusal,
        }
    }
}

impl CredentialKeeper {
    /// None yet; what `before` holds is used until its end, or until the first of its own is there.
    #[must_use]
    pub fn new(before: Option<&Self>) -> Self {
        let held = before.and_then(|before| lock(&before.state).held.clone());
        // asked for at once all the same: it is by another secret
        let held = held.map(|held| Held { renew_at: Instant::now(), ..held });
        Self {
            state: Mutex::new(State { held, why_not: None }),
            wanted: Notify::new(),
            settled: watch::Sender::new(false),
        }
    }

    /// The credential that is good now.
    ///
    /// # Errors
    /// Why there is none.
    pub fn current(&self, now: Instant) -> Result<Arc<Credential>, Missing> {
        let state = lock(&self.state);
        match (&state.held, &state.why_not) {
            (Some(held), _) if now < held.ends_at => Ok(Arc::clone(&held.credential)),
            (_, Some(refusal)) => Err(Missing::Refused(refusal.clone())),
            (_, None) => Err(Missing::Awaited),
        }
    }

    /// The provider refused the credential that it was shown: another one is asked for at once, or as soon as this one is not
    /// fresh any more.
    pub fn refused(&self, now: Instant) {
        let mut state = lock(&self.state);
        if let Some(held) = &mut state.held {
            let at = now.max(held.given_at + FRESH);
            if at < held.renew_at {
                held.renew_at = at;
                self.wanted.notify_one();
            }
        }
    }

    /// Waits until a request for one has ended.
    pub async fn settled(&self) {
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    /// Keeps one at hand until `stop`; `first` is held until a request for one has ended.
    pub async fn keep<S: CredentialSource>(&self, source: &S, mut first: Option<FirstAnswer>, stop: CancellationToken) {
        let keeping = async {
            let mut failures = 0;
            let mut next = lock(&self.state).held.as_ref().map_or_else(Instant::now, |held| held.renew_at);
            loop {
                tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.wanted.notified() => {
                        next = lock(&self.state).held.as_ref().map_or(next, |held| held.renew_at.min(next));
                        continue;
                    }
                }
                let fetched = timeout(PATIENCE, source.fetch()).await;
                let fetched = fetched.unwrap_or_else(|_| Err(Refusal::local(Class::Transient, "token-timeout")));
                let now = Instant::now();
                next = match fetched {
                    Ok(issued) => {
                        failures = 0;
                        let held = Held::new(issued, now);
                        let renew_at = held.renew_at;
                        *lock(&self.state) = State { held: Some(held), why_not: None };
                        renew_at
                    }
                    Err(refusal) => {
                        let asked =
                            refusal.retry_after_s.map(Duration::from_secs).unwrap_or_default().min(LONGEST_ASKED);
                        let pause = (PACE * 2_u32.pow(failures)).min(LONGEST_PAUSE).max(asked);
                        failures = (failures + 1).min(8);
                        lock(&self.state).why_not = Some(refusal);
                        now + pause
                    }
                }
                .max(now + PACE);
                first = None;
                self.settled.send_replace(true);
            }
        };
        stop.run_until_cancelled(keeping).await;
        drop(first);
    }
}

impl fmt::Debug for CredentialKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialKeeper").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::atomic::AtomicUsize, sync::atomic::Ordering};

    use super::*;
    use hookswitch_providers::Scope;

    /// Gives what it is to give, in order, then nothing any more.
    struct Endpoint {
        answers: Mutex<VecDeque<Gives>>,
        asked: AtomicUsize,
    }

    impl Endpoint {
        fn new(answers: impl IntoIterator<Item = Gives>) -> Arc<Self> {
            Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), asked: AtomicUsize::new(0) })
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    impl CredentialSource for Endpoint {
        async fn fetch(&self) -> Result<Issued, Refusal> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let next = lock(&self.answers).pop_front();
            match next {
                Some(Token(name, seconds)) => {
                    Ok(Issued { credential: Credential::Token(name.into()), lifetime: Duration::from_secs(seconds) })
                }
                Some(Refuses(refusal)) => Err(refusal),
                None => std::future::pending().await,
            }
        }
    }

    /// One answer of the endpoint.
    enum Gives {
        /// A token of that name, good for so many seconds.
        Token(&'static str, u64),
        Refuses(Refusal),
    }

    use Gives::{Refuses, Token};

    fn down() -> Gives {
        Refuses(Refusal::local(Class::Transient, "token-http-503"))
    }

    /// Keeps credentials of an endpoint; stopped when the token is dropped.
    fn kept(
        endpoint: &Arc<Endpoint>,
        before: Option<&CredentialKeeper>,
    ) -> (Arc<CredentialKeeper>, tokio_util::sync::DropGuard) {
        let (credentials, stop) = (Arc::new(CredentialKeeper::new(before)), CancellationToken::new());
        let (keeper, source, until) = (Arc::clone(&credentials), Arc::clone(endpoint), stop.clone());
        tokio::spawn(async move { keeper.keep(&*source, None, until).await });
        (credentials, stop.drop_guard())
    }

    fn shown(credentials: &CredentialKeeper) -> String {
        match credentials.current(Instant::now()) {
            Ok(credential) => match &*credential {
                Credential::Token(token) => token.expose().clone(),
            },
            Err(missing) => missing.refusal().code,
        }
    }

    async fn after(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_ahead_and_calls_never_see_one_that_has_ended() {
        let endpoint = Endpoint::new([Token("one", 300), Token("two", 300)]);
        let (credentials, _stop) = kept(&endpoint, None);
        assert_eq!(shown(&credentials), "token-awaited");
        credentials.settled().await;
        assert_eq!(shown(&credentials), "one");
        after(199).await;
        assert_eq!((shown(&credentials).as_str(), endpoint.asked()), ("one", 1));
        after(2).await;
        assert_eq!((shown(&credentials).as_str(), endpoint.asked()), ("two", 2));
        // the third does not come
        after(285).await;
        assert_eq!(shown(&credentials), "two");
        after(10).await;
        assert_eq!(shown(&credentials), "token-timeout");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_is_down_is_asked_ever_more_seldom_and_the_old_token_serves_on() {
        let endpoint = Endpoint::new([Token("one", 600)].into_iter().chain((0..100).map(|_| down())));
        let (credentials, _stop) = kept(&endpoint, None);
        after(400 + 60).await;
        assert_eq!(shown(&credentials), "one");
        // after 1, 2, 4, 8, 16, 30 s
        assert_eq!(endpoint.asked(), 1 + 6);
        after(200).await;
        assert_eq!(shown(&credentials), "token-http-503");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_asks_for_a_pause_gets_it() {
        let pause = Refusal { class: Class::Throttled, code: "token-http-429".into(), retry_after_s: Some(120) };
        let endpoint = Endpoint::new([Refuses(pause), Token("one", 600)]);
        let (credentials, _stop) = kept(&endpoint, None);
        after(119).await;
        assert_eq!((shown(&credentials).as_str(), endpoint.asked()), ("token-http-429", 1));
        after(2).await;
        assert_eq!(shown(&credentials), "one");
        let day = Refusal { class: Class::Transient, code: "token-http-503".into(), retry_after_s: Some(86_400) };
        let endpoint = Endpoint::new([Refuses(day), Token("one", 600)]);
        let (credentials, _stop) = kept(&endpoint, None);
        after(301).await;
        assert_eq!(shown(&credentials), "one", "no endpoint is believed to be away for a day");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_the_provider_refuses_is_replaced_once_it_is_not_fresh_any_more() {
        let endpoint = Endpoint::new([Token("one", 3_600), Token("two", 3_600), Token("three", 3_600)]);
        let (credentials, _stop) = kept(&endpoint, None);
        credentials.settled().await;
        for _ in 0..3 {
            credentials.refused(Instant::now());
            after(1).await;
        }
        assert_eq!((shown(&credentials).as_str(), endpoint.asked()), ("one", 1));
        after(28).await;
        assert_eq!((shown(&credentials).as_str(), endpoint.asked()), ("two", 2));
        after(60).await;
        for _ in 0..3 {
            credentials.refused(Instant::now());
        }
        after(1).await;
        assert_eq!((shown(&credentials).as_str(), endpoint.asked()), ("three", 3));
        after(60).await;
        assert_eq!(endpoint.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn with_another_secret_the_token_before_serves_until_the_new_one_is_there() {
        let (old, _stop) = kept(&Endpoint::new([Token("old", 3_600)]), None);
        old.settled().await;
        let account = Class::PermanentConfig(Scope::Account);
        let wrong = Refuses(Refusal::local(account, "token-invalid_client"));
        let endpoint = Endpoint::new([wrong, Token("new", 3_600)]);
        let (credentials, _stop) = kept(&endpoint, Some(&old));
        assert_eq!(shown(&credentials), "old");
        credentials.settled().await;
        assert_eq!((shown(&credentials).as_str(), endpoint.asked()), ("old", 1));
        after(2).await;
        assert_eq!(shown(&credentials), "new");
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_live_no_time_at_all_are_asked_for_once_a_second_at_most() {
        let endpoint = Endpoint::new((0..1_000).map(|_| Token("one", 0)));
        let (credentials, _stop) = kept(&endpoint, None);
        after(10).await;
        assert!((10..=11).contains(&endpoint.asked()), "{}", endpoint.asked());
        assert_eq!(shown(&credentials), "token-awaited");
    }
}
