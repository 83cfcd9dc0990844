//! What was listed of the namespaces that are managed. A reconcile runs once everything that it reads was: no namespace waits for another,
//! and nothing is taken for missing that was not listed yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{sync::watch, time::Instant};

use hookswitch_api::Kind;

/// How long a list fails before it is reported: what passes by itself is nobody's concern.
pub const GRACE: Duration = Duration::from_secs(30);

/// The most namespaces that are named in one text.
const MOST_NAMED: usize = 10;

/// What a watch covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchScope {
    /// In every namespace.
    All,
    /// In one.
    Namespace(String),
}

impl WatchScope {
    /// Those of the namespaces that are managed; none named means all.
    #[must_use]
    pub fn of(namespaces: &[String]) -> Vec<Self> {
        if namespaces.is_empty() { vec![Self::All] } else { namespaces.iter().cloned().map(Self::Namespace).collect() }
    }

    /// Whether objects of a namespace are watched here.
    #[must_use]
    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(name) => name == namespace,
        }
    }

    /// The namespace, or `*` for all: the label of metrics.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => "*",
            Self::Namespace(name) => name,
        }
    }
}

impl fmt::Display for WatchScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all namespaces"),
            Self::Namespace(name) => write!(f, "namespace {name}"),
        }
    }
}

/// What is known of the objects of one kind in one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct KindState {
    /// They were listed once.
    listed: bool,
    error: Option<ListError>,
}

/// Why objects cannot be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListError {
    /// Since when.
    pub since: Instant,
    /// The status that the API server answered, when it did.
    pub code: Option<u16>,
    /// What it says.
    pub why: String,
}

impl ListError {
    /// Whether it has lasted long enough to be reported.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.since.elapsed() >= GRACE
    }
}

type Board = BTreeMap<WatchScope, BTreeMap<Kind, KindState>>;

/// What was listed. Clones share it.
#[derive(Debug, Clone)]
pub struct Listing {
    board: Arc<watch::Sender<Board>>,
}

impl Listing {
    /// Nothing is listed yet of these namespaces; none named means all.
    #[must_use]
    pub fn new(namespaces: &[String]) -> Self {
        let kinds: BTreeMap<Kind, KindState> = Kind::ALL.into_iter().map(|kind| (kind, KindState::default())).collect();
        let board = WatchScope::of(namespaces).into_iter().map(|scope| (scope, kinds.clone())).collect();
        Self { board: Arc::new(watch::Sender::new(board)) }
    }

    /// All objects of a kind were listed there.
    pub fn listed(&self, scope: &WatchScope, kind: Kind) {
        self.change(scope, kind, |state| *state = KindState { listed: true, error: None });
    }

    /// Objects of a kind cannot be listed there, or not any more. What was listed before stays known.
    pub fn failed(&self, scope: &WatchScope, kind: Kind, code: Option<u16>, why: String) {
        self.change(scope, kind, |state| match &mut state.error {
            // the same once more, in other words perhaps: a condition that has them is not written anew
            Some(error) if error.code == code => {}
            Some(error) => (error.code, error.why) = (code, why),
            none => *none = Some(ListError { since: Instant::now(), code, why }),
        });
    }

    fn change(&self, scope: &WatchScope, kind: Kind, change: impl FnOnce(&mut KindState)) {
        self.board.send_if_modified(|board| {
            let Some(state) = board.get_mut(scope).and_then(|kinds| kinds.get_mut(&kind)) else { return false };
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    /// Whether all objects of these kinds in a namespace were listed once.
    #[must_use]
    pub fn is_listed(&self, namespace: &str, kinds: &[Kind]) -> bool {
        self.lacking(namespace, kinds).is_empty()
    }

    /// Whether a namespace is managed.
    #[must_use]
    pub fn covers(&self, namespace: &str) -> bool {
        self.board.borrow().keys().any(|scope| scope.covers(namespace))
    }

    /// Whether there is a namespace whose objects of a kind were never listed.
    #[must_use]
    pub fn is_any_unlisted(&self, kind: Kind) -> bool {
        self.board.borrow().values().any(|states| states.get(&kind).is_some_and(|state| !state.listed))
    }

    /// Those of these kinds whose objects in a namespace were never listed, with why that is.
    #[must_use]
    pub fn lacking(&self, namespace: &str, kinds: &[Kind]) -> BTreeMap<Kind, Option<ListError>> {
        let board = self.board.borrow();
        let Some((_, states)) = board.iter().find(|(scope, _)| scope.covers(namespace)) else { return BTreeMap::new() };
        let unlisted = states.iter().filter(|(kind, state)| kinds.contains(kind) && !state.listed);
        unlisted.map(|(kind, state)| (*kind, state.error.clone())).collect()
    }

    /// Comes once all objects of these kinds in a namespace can be listed where they could not be when this was asked; never,
    /// where they could.
    pub fn recovers(&self, namespace: &str, kinds: &'static [Kind]) -> impl Future<Output = ()> + Send + use<> {
        let (mut board, namespace) = (self.board.subscribe(), namespace.to_owned());
        let is_seen = move |board: &Board| {
            let states = board.iter().filter(|(scope, _)| scope.covers(&namespace)).flat_map(|(_, states)| states);
            states.filter(|(kind, _)| kinds.contains(kind)).all(|(_, state)| state.listed && state.error.is_none())
        };
        let was_seen = is_seen(&self.board.borrow());
        async move {
            if was_seen || board.wait_for(is_seen).await.is_err() {
                pending::<()>().await;
            }
        }
    }

    /// The scopes where all objects of these kinds were listed, each as soon as that is so.
    pub fn whole(&self, kinds: &'static [Kind]) -> impl Stream<Item = WatchScope> + Send + use<> {
        let state = (self.board.subscribe(), BTreeSet::<WatchScope>::new());
        stream::unfold(state, move |(mut board, mut known)| async move {
            let next = |board: &Board, known: &BTreeSet<WatchScope>| {
                let is_whole =
                    |states: &BTreeMap<Kind, KindState>| states.iter().all(|(k, s)| s.listed || !kinds.contains(k));
                let mut whole = board.iter().filter(|(scope, states)| !known.contains(*scope) && is_whole(states));
                whole.next().map(|(scope, _)| scope.clone())
            };
            // an error means that the board is gone, and with it the operator
            let found = board.wait_for(|board| next(board, &known).is_some()).await.ok()?;
            let scope = next(&found, &known)?;
            drop(found);
            known.insert(scope.clone());
            Some((scope, (board, known)))
        })
    }

    /// What is said of readiness. One namespace that cannot be listed is no reason to be replaced or to hold up a rollout: the others
    /// are managed. It is one when there are no others.
    ///
    /// # Errors
    /// What to say when nothing can be managed.
    pub fn readiness(&self) -> Result<String, String> {
        let board = self.board.borrow();
        let lasts = |state: &KindState| state.error.as_ref().is_some_and(ListError::lasts);
        let failing: Vec<(&WatchScope, Vec<Kind>)> = board
            .iter()
            .map(|(scope, states)| {
                (scope, states.iter().filter(|(_, state)| lasts(state)).map(|(kind, _)| *kind).collect())
            })
            .filter(|(_, kinds): &(_, Vec<Kind>)| !kinds.is_empty())
            .collect();
        if failing.is_empty() {
            return Ok("ok".to_owned());
        }
        let mut named: Vec<String> =
            failing.iter().take(MOST_NAMED).map(|(scope, kinds)| shown(scope, kinds)).collect();
        if let more @ 1.. = failing.len().saturating_sub(MOST_NAMED) {
            named.push(format!("{more} more"));
        }
        let named = named.join("; ");
        let all_blind = failing.len() == board.len()
            && board.values().all(|states| states.values().any(|state| lasts(state) && !state.listed));
        if all_blind {
            Err(format!("nothing can be looked after: {named}"))
        } else {
            Ok(format!("ok, but for {named}"))
        }
    }
}

fn shown(scope: &WatchScope, kinds: &[Kind]) -> String {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    format!("{} in {scope}, which cannot be listed", kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    const READ: &[Kind] = &[Kind::TelephonyHook, Kind::OktaOrg];

    fn namespace(name: &str) -> WatchScope {
        WatchScope::Namespace(name.into())
    }

    fn of(namespaces: &[&str]) -> Listing {
        Listing::new(&namespaces.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    fn list(listing: &Listing, name: &str) {
        for kind in Kind::ALL {
            listing.listed(&namespace(name), kind);
        }
    }

    #[test]
    fn a_namespace_waits_for_what_is_read_in_it_and_for_no_other() {
        let listing = of(&["a", "b"]);
        listing.listed(&namespace("a"), Kind::OktaOrg);
        assert!(!listing.is_listed("a", READ));
        listing.listed(&namespace("a"), Kind::TelephonyHook);
        assert!(listing.is_listed("a", READ), "of other kinds nothing is read");
        assert!(!listing.is_listed("b", READ) && !listing.is_listed("a", &Kind::ALL));
        assert!(listing.covers("b") && !listing.covers("c"));
    }

    #[test]
    fn one_watch_over_all_namespaces_lists_each() {
        let listing = of(&[]);
        assert!(listing.covers("any") && !listing.is_listed("any", READ));
        for kind in READ {
            listing.listed(&WatchScope::All, *kind);
        }
        assert!(listing.is_listed("any", READ));
    }

    #[tokio::test]
    async fn each_namespace_is_reported_once_as_soon_as_it_is_whole() {
        let listing = of(&["a", "b"]);
        let mut whole = std::pin::pin!(listing.whole(READ));
        assert!(whole.next().now_or_never().is_none());
        list(&listing, "b");
        assert_eq!(whole.next().now_or_never(), Some(Some(namespace("b"))), "although a is not listed");
        assert!(whole.next().now_or_never().is_none());
        list(&listing, "b");
        assert!(whole.next().now_or_never().is_none(), "a list taken again is no news");
        list(&listing, "a");
        assert_eq!(whole.next().now_or_never(), Some(Some(namespace("a"))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_listed_stays_so_when_it_cannot_be_listed_again() {
        let listing = of(&["a"]);
        list(&listing, "a");
        listing.failed(&namespace("a"), Kind::OktaOrg, Some(403), "403".into());
        assert!(listing.is_listed("a", &Kind::ALL));
        tokio::time::advance(GRACE).await;
        assert_eq!(
            listing.readiness(),
            Ok("ok, but for OktaOrg in namespace a, which cannot be listed".into()),
            "and it shows"
        );
    }

    #[tokio::test]
    async fn a_namespace_recovers_once_all_that_is_asked_for_can_be_listed_again() {
        let listing = of(&["a", "b"]);
        let mut recovers = Box::pin(listing.recovers("a", READ));
        let mut elsewhere = Box::pin(listing.recovers("c", READ));
        list(&listing, "b");
        listing.listed(&namespace("a"), Kind::TelephonyHook);
        listing.failed(&namespace("a"), Kind::OktaOrg, Some(403), "403".into());
        assert!(recovers.as_mut().now_or_never().is_none());
        listing.listed(&namespace("a"), Kind::OktaOrg);
        assert!(recovers.as_mut().now_or_never().is_some(), "although other kinds are not listed");
        let mut recovers = Box::pin(listing.recovers("a", READ));
        assert!(recovers.as_mut().now_or_never().is_none(), "nothing was wrong");
        listing.failed(&namespace("a"), Kind::OktaOrg, Some(403), "403".into());
        let mut again = Box::pin(listing.recovers("a", READ));
        assert!(again.as_mut().now_or_never().is_none(), "what was listed once may be out of date");
        listing.listed(&namespace("a"), Kind::OktaOrg);
        assert!(again.as_mut().now_or_never().is_some());
        assert!(recovers.as_mut().now_or_never().is_none() && elsewhere.as_mut().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_ready_as_long_as_one_namespace_can_be_managed_and_names_the_others() {
        let listing = of(&["a", "b"]);
        let fail = |name: &str| listing.failed(&namespace(name), Kind::HookSwitch, Some(403), "403".into());
        fail("a");
        assert_eq!(listing.readiness(), Ok("ok".into()), "it may pass by itself");
        tokio::time::advance(GRACE / 2).await;
        fail("a");
        fail("b");
        tokio::time::advance(GRACE / 2).await;
        let only_a = "HookSwitch in namespace a, which cannot be listed";
        assert_eq!(listing.readiness(), Ok(format!("ok, but for {only_a}")));
        tokio::time::advance(GRACE / 2).await;
        let all = format!("{only_a}; HookSwitch in namespace b, which cannot be listed");
        assert_eq!(listing.readiness(), Err(format!("nothing can be looked after: {all}")));
        list(&listing, "b");
        assert_eq!(listing.readiness(), Ok(format!("ok, but for {only_a}")));
        list(&listing, "a");
        assert_eq!(listing.readiness(), Ok("ok".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_one_kind_are_reported_in_its_first_words_and_since_it_began() {
        let listing = of(&["a"]);
        let lacking = || listing.lacking("a", READ).remove(&Kind::OktaOrg).flatten().unwrap();
        listing.failed(&namespace("a"), Kind::OktaOrg, None, "no answer".into());
        let since = lacking().since;
        for (code, why, known) in
            [(Some(500), "at 10:00", "at 10:00"), (Some(500), "at 10:01", "at 10:00"), (Some(403), "no", "no")]
        {
            tokio::time::advance(GRACE / 2).await;
            listing.failed(&namespace("a"), Kind::OktaOrg, code, why.into());
            assert_eq!((lacking().since, lacking().why.as_str()), (since, known));
        }
        assert!(lacking().lasts());
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_names_ten_namespaces_at_most() {
        let names: Vec<String> = (0..30).map(|number| format!("n{number:02}")).collect();
        let listing = Listing::new(&names);
        for name in &names {
            listing.failed(&namespace(name), Kind::OktaOrg, Some(403), "403".into());
        }
        tokio::time::advance(GRACE).await;
        let text = listing.readiness().unwrap_err();
        assert!(text.contains("n09") && !text.contains("n10") && text.ends_with("; 20 more"), "{text}");
    }
}
