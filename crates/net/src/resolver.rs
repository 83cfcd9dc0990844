//! Resolving names, with the guard's word on every address that comes out.

use std::{
    collections::HashMap,
    fmt,
    future::ready,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::watch;
use url::Host;

use super::guard::Guard;
use hookswitch_fair::{Bounds, Fair, Lane};

/// Where addresses come from.
pub(super) trait Lookup: Send + Sync + 'static {
    /// The addresses of a name, with port 0.
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver, so that `/etc/hosts` and the cluster's search domains apply. Each lookup occupies a thread until it
/// gives up, also when nobody waits any more.
struct System;

impl Lookup for System {
    #[expect(clippy::disallowed_methods, reason = "what is found here is put to the guard")]
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found =
                tokio::task::spawn_blocking(move || (name.as_str(), 0).to_socket_addrs().map(Iterator::collect));
            found.await.map_err(io::Error::other)?
        })
    }
}

/// Lookups under way at once where they are shared by nobody.
const OWN: Bounds = Bounds { all: 8, each: 8, urgent: 0, all_urgent: 0 };

/// Lookups of one name under way at once for one tenant: another one may be answered where the first was lost on its way.
const OF_A_NAME: usize = 3;

/// Who resolves names: all who share it have a share each, and a name that is slow takes few of a share, however many ask.
#[derive(Clone)]
pub struct Lookups {
    all: Arc<Shared>,
    tenant: String,
    lane: Lane,
}

struct Shared {
    permits: Fair,
    system: Arc<dyn Lookup>,
    names: Mutex<Names>,
}

/// A tenant, and a name that is resolved for it.
type Key = (String, String);

/// The names that are resolved.
#[derive(Debug, Default)]
struct Names(HashMap<Key, Asked>);

/// A name that is resolved.
#[derive(Debug, Default)]
struct Asked {
    /// The first answer is everybody's who waits then.
    answer: watch::Sender<Option<Found>>,
    under_way: usize,
}

/// The addresses that a name has; none when that is unknown.
type Found = Vec<SocketAddr>;

impl Names {
    /// Somebody asks: where the answer will be sent, and whether one more lookup is to begin.
    fn ask(&mut self, key: &Key) -> (watch::Receiver<Option<Found>>, bool) {
        let asked = self.0.entry(key.clone()).or_default();
        let answer = asked.answer.subscribe();
        let begins = asked.under_way < OF_A_NAME;
        asked.under_way += usize::from(begins);
        (answer, begins)
    }

    /// A lookup may be made now: whether it is, as somebody still waits. One that nobody waits for is over in the same moment, so that
    /// whoever asks next does not count on it.
    fn begin(&mut self, key: &Key) -> bool {
        let is_wanted = self.0.get(key).is_some_and(|asked| !asked.answer.is_closed());
        if !is_wanted {
            self.is_over(key);
        }
        is_wanted
    }

    /// A lookup that was wanted ends: all who wait by then get the answer, those too who asked while it was made.
    fn found(&mut self, key: &Key, found: Found) {
        if let Some(asked) = self.0.get_mut(key) {
            std::mem::take(&mut asked.answer).send_replace(Some(found));
        }
        self.is_over(key);
    }

    fn is_over(&mut self, key: &Key) {
        let Some(asked) = self.0.get_mut(key) else { return };
        asked.under_way -= 1;
        if asked.under_way == 0 {
            self.0.remove(key);
        }
    }
}

impl Default for Lookups {
    fn default() -> Self {
        Self::sharing(OWN, Lane::Routine, Arc::new(System))
    }
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl Lookups {
    /// For tenants who share so many permits, all of whose lookups are urgent: a failover may wait for any.
    #[must_use]
    pub fn shared(bounds: Bounds) -> Self {
        Self::sharing(bounds, Lane::Urgent, Arc::new(System))
    }

    fn sharing(bounds: Bounds, lane: Lane, system: Arc<dyn Lookup>) -> Self {
        let all = Shared { permits: Fair::new(bounds), system, names: Mutex::default() };
        Self { all: Arc::new(all), tenant: String::new(), lane }
    }

    /// Those of one tenant.
    #[must_use]
    pub fn of(&self, tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), ..self.clone() }
    }
}

impl Lookup for Lookups {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let key = (self.tenant.clone(), name.to_ascii_lowercase());
        let (mut answer, begins) = self.all.names().ask(&key);
        if begins {
            tokio::spawn(Arc::clone(&self.all).look_up(key, self.lane));
        }
        Box::pin(async move {
            let found = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?;
            Ok(found.clone().unwrap_or_default())
        })
    }
}

impl Shared {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves a name when it has a permit and somebody still waits, and answers all who do.
    async fn look_up(self: Arc<Self>, key: Key, lane: Lane) {
        let permit = self.permits.enter(&key.0, &key.1, lane).await;
        if !self.names().begin(&key) {
            return;
        }
        let mut made = Made { all: &self, key: &key, found: Found::new() };
        made.found = self.system.lookup(&key.1).await.unwrap_or_default();
        drop(permit);
    }
}

/// A lookup that is made. However it ends, who waits gets an answer.
struct Made<'l> {
    all: &'l Shared,
    key: &'l Key,
    found: Found,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        self.all.names().found(self.key, std::mem::take(&mut self.found));
    }
}

/// Why a name has no address to connect to. Found again in the error chain of a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    /// The resolver found none.
    #[error("the name has no address")]
    NotFound,
    /// It found some, and the guard refuses every one.
    #[error(
        "every address of the name is private, local or reserved, and not among the allowed ranges (network.allowedCIDRs)"
    )]
    Guarded,
}

impl Unresolved {
    /// The cause of [`SendError::NotSent`](super::SendError::NotSent).
    pub(super) const fn unsent(self) -> super::Unsent {
        match self {
            Self::NotFound => super::Unsent::Dns,
            Self::Guarded => super::Unsent::Guard,
        }
    }
}

/// A resolver that gives out only what the guard allows. Clones share the lookups.
#[derive(Clone)]
pub(super) struct Guarded {
    lookup: Arc<dyn Lookup>,
    guard: Guard,
    exempt: Option<String>,
}

impl Guarded {
    /// `exempt` is the name of the proxy, whose address is not checked.
    pub(super) fn new(lookup: Arc<dyn Lookup>, guard: Guard, exempt: Option<String>) -> Self {
        Self { lookup, guard, exempt }
    }
}

/// An address that the guard let through. There is no other way to have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowed(IpAddr);

impl Allowed {
    /// Where a port of it is.
    pub(super) const fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.0, port)
    }
}

impl Guarded {
    /// The addresses of a host that may be called, at least one: those of a name, or the one that it is.
    pub(super) fn addresses(&self, host: &Host<&str>) -> BoxFuture<'static, Result<Vec<Allowed>, Unresolved>> {
        let guard = self.guard.clone();
        let is_exempt = self.exempt.as_deref().is_some_and(|exempt| exempt.eq_ignore_ascii_case(&host.to_string()));
        let found: BoxFuture<'static, io::Result<Vec<IpAddr>>> = match *host {
            Host::Domain(name) => {
                let looked_up = self.lookup.lookup(name);
                Box::pin(async move { Ok(looked_up.await?.into_iter().map(|found| found.ip()).collect()) })
            }
            Host::Ipv4(address) => Box::pin(ready(Ok(vec![address.into()]))),
            Host::Ipv6(address) => Box::pin(ready(Ok(vec![address.into()]))),
        };
        Box::pin(async move {
            let found = found.await.map_err(|_| Unresolved::NotFound)?;
            if found.is_empty() {
                return Err(Unresolved::NotFound);
            }
            let kept: Vec<_> =
                found.into_iter().filter(|found| is_exempt || guard.allows(*found)).map(Allowed).collect();
            if kept.is_empty() { Err(Unresolved::Guarded) } else { Ok(kept) }
        })
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.addresses(&Host::Domain(name.as_str()));
        Box::pin(async move { Ok(Box::new(addresses.await?.into_iter().map(|allowed| allowed.at(0))) as Addrs) })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
        time::Duration,
    };

    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// Answers at once, but takes a minute for names that begin so, or the first time; counts what is under way.
    #[derive(Default)]
    struct SomeSlow {
        under_way: Arc<AtomicUsize>,
        lost: AtomicBool,
    }

    impl Lookup for SomeSlow {
        fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let is_again = name.starts_with("slow-once") && self.lost.swap(true, Ordering::Relaxed);
            let (slow, under_way) = (name.starts_with("slow") && !is_again, Arc::clone(&self.under_way));
            Box::pin(async move {
                under_way.fetch_add(1, Ordering::Relaxed);
                if slow {
                    sleep(MINUTE).await;
                }
                under_way.fetch_sub(1, Ordering::Relaxed);
                Ok(vec![([192, 0, 2, 1], 0).into()])
            })
        }
    }

    fn shared() -> (Lookups, Arc<AtomicUsize>) {
        let system = SomeSlow::default();
        let under_way = Arc::clone(&system.under_way);
        (
            Lookups::sharing(Bounds { all: 8, each: 4, urgent: 2, all_urgent: 64 }, Lane::Urgent, Arc::new(system)),
            under_way,
        )
    }

    /// Asks for a name as a probe does, which gives up soon.
    async fn ask(lookups: &Lookups, tenant: &str, name: &str) -> Option<Vec<SocketAddr>> {
        timeout(Duration::from_millis(1_500), lookups.of(tenant).lookup(name)).await.ok()?.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_slow_names_of_others_delay_no_lookup_of_ours() {
        let (lookups, _) = shared();
        for tenant in 0..10 {
            for number in 0..20 {
                let (tenant, name) = (lookups.of(&format!("tenant-{tenant}")), format!("slow-{number}.test"));
                tokio::spawn(async move { timeout(Duration::from_millis(1_500), tenant.lookup(&name)).await });
            }
        }
        sleep(Duration::from_secs(5)).await;
        let begun = Instant::now();
        assert_eq!(ask(&lookups, "otp", "acme.okta.com").await.map(|found| found.len()), Some(1));
        assert!(begun.elapsed() < Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_name_takes_few_of_a_share_however_often_it_is_asked_and_all_who_wait_are_answered() {
        let (lookups, under_way) = shared();
        for _ in 0..30 {
            assert_eq!(ask(&lookups, "otp", "slow.test").await, None);
            assert!(under_way.load(Ordering::Relaxed) <= OF_A_NAME);
        }
        assert_eq!(under_way.load(Ordering::Relaxed), OF_A_NAME);
        let (one, other) = (lookups.of("otp").lookup("slow.test"), lookups.of("otp").lookup("SLOW.test"));
        let (one, other) = tokio::join!(one, other);
        assert!(one.unwrap().len() == 1 && other.unwrap().len() == 1);
        assert_eq!(ask(&lookups, "otp", "other.test").await.map(|found| found.len()), Some(1));
        sleep(MINUTE * 2).await;
        assert!(lookups.all.names().0.is_empty() && under_way.load(Ordering::Relaxed) == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_was_lost_on_its_way_does_not_hold_up_the_next_one_of_that_name() {
        let (lookups, _) = shared();
        let lost = lookups.of("otp").lookup("slow-once.test");
        sleep(Duration::from_millis(10)).await;
        let begun = Instant::now();
        assert_eq!(ask(&lookups, "otp", "slow-once.test").await.map(|found| found.len()), Some(1));
        assert_eq!(lost.await.unwrap().len(), 1, "an answer is everybody's");
        assert!(begun.elapsed() < Duration::from_millis(100));
    }

    /// Callers and lookups of one name, step by step.
    struct Steps {
        names: Names,
        key: Key,
        callers: Vec<watch::Receiver<Option<Found>>>,
        /// Lookups that wait for a permit, and those that are made.
        waiting: usize,
        made: usize,
    }

    impl Steps {
        fn new() -> Self {
            let key = ("otp".to_owned(), "acme.okta.com".to_owned());
            Self { names: Names::default(), key, callers: Vec::new(), waiting: 0, made: 0 }
        }

        fn ask(&mut self) {
            let (answer, begins) = self.names.ask(&self.key);
            self.callers.push(answer);
            self.waiting += usize::from(begins);
        }

        fn enter(&mut self) {
            self.waiting -= 1;
            self.made += usize::from(self.names.begin(&self.key));
        }

        fn end(&mut self) {
            self.made -= 1;
            self.names.found(&self.key, vec![([192, 0, 2, 1], 0).into()]);
        }

        /// Lets all lookups end, and checks that all who wait got an answer and nothing is left.
        fn finish(mut self, history: &str) {
            while self.waiting + self.made > 0 {
                if self.waiting > 0 {
                    self.enter();
                } else {
                    self.end();
                }
            }
            assert!(self.callers.iter().all(|answer| answer.borrow().is_some()), "somebody was not told: {history}");
            assert!(self.names.0.is_empty(), "{history}");
        }
    }

    #[test]
    fn who_asks_while_lookups_that_nobody_wanted_end_has_one_that_ends_later() {
        let mut steps = Steps::new();
        for _ in 0..OF_A_NAME {
            steps.ask();
        }
        steps.callers.clear();
        for _ in 0..OF_A_NAME {
            steps.enter();
        }
        steps.ask();
        steps.finish("all look-ups had seen that nobody waits");
    }

    #[test]
    fn everybody_who_waits_is_answered_whatever_the_order_of_asking_giving_up_and_answering() {
        for seed in 0..2_000 {
            let (mut random, mut steps, mut history) = (StdRng::seed_from_u64(seed), Steps::new(), String::new());
            for _ in 0..random.random_range(5..40) {
                match random.random_range(0..4) {
                    0 => (history.push('a'), steps.ask()).1,
                    1 if !steps.callers.is_empty() => {
                        history.push('g');
                        steps.callers.remove(random.random_range(0..steps.callers.len()));
                    }
                    2 if steps.waiting > 0 => (history.push('e'), steps.enter()).1,
                    3 if steps.made > 0 => (history.push('d'), steps.end()).1,
                    _ => {}
                }
            }
            steps.finish(&format!("seed {seed}: {history}"));
        }
    }
}
