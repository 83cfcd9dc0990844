//! An org in memory: it keeps its hooks, does what it is asked by Okta's rules, and fails where it is told to.
//!
//! It shares no code with the client and judges what it is asked to do: see [`Model::violations`].

mod rules;

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::behaviour::{Behaviour, Fault, SecondActivation};
use crate::client::{Api, CallResult};
use crate::error::{CallError, Failure};
use crate::owner_tag::{InstallationTag, Whose};
use crate::plan::Verb;
use crate::types::{ApiAnswer, HookContent, HookId, HookStatus, ObservedHook, RateLimit};

/// What Okta is asked.
#[derive(Debug, Clone)]
enum Call {
    List,
    Get(HookId),
    Create(Box<HookContent>),
    Replace(HookId, Box<HookContent>),
    Activate(HookId),
    Deactivate(HookId),
    Delete(HookId),
}

impl Call {
    const fn verb(&self) -> Verb {
        match self {
            Self::List => Verb::ReadBack,
            Self::Get(_) => Verb::Read,
            Self::Create(_) => Verb::Create,
            Self::Replace(..) => Verb::Replace,
            Self::Activate(_) => Verb::Activate,
            Self::Deactivate(_) => Verb::Deactivate,
            Self::Delete(_) => Verb::Delete,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Stored {
    pub hook: ObservedHook,
    pub secret: String,
}

/// What must never happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Two of ours are active.
    TwoOfOurs,
    /// A foreign hook is not active any more because of ours.
    ForeignLostItsPlace,
    /// One of ours is made, or made active, beside a foreign one that is.
    BesideForeign,
    /// A foreign hook is written.
    ForeignWritten(Verb, HookId),
    /// An update drops what others keep in a hook.
    MetadataDropped(HookId),
}

struct State {
    hooks: Vec<Stored>,
    pending: VecDeque<(Instant, Effect)>,
    faults: VecDeque<Fault>,
    next_id: u32,
    violations: Vec<Violation>,
    calls: Vec<Verb>,
    held: Option<Call>,
    rate: Option<RateLimit>,
    /// Since when none of ours is active, after one was; and the longest time that this lasted before.
    none: (Option<Instant>, Duration),
    was_active: bool,
}

enum Effect {
    Appear(Box<Stored>, bool),
    Content(HookId, Box<HookContent>),
    On(HookId),
    Off(HookId),
    Vanish(HookId),
}

pub struct Model {
    behaviour: Behaviour,
    installation: InstallationTag,
    /// Hooks without our mark that may be replaced (adopted, or marked again).
    may_take: BTreeSet<HookId>,
    pub crashed: Notify,
    /// Told when a call is held.
    pub holds: Notify,
    state: Mutex<State>,
}

impl Model {
    pub fn new(
        behaviour: Behaviour,
        installation: InstallationTag,
        hooks: Vec<Stored>,
        may_take: BTreeSet<HookId>,
        faults: Vec<Fault>,
    ) -> Self {
        let state = State {
            hooks,
            pending: VecDeque::new(),
            faults: faults.into(),
            next_id: 0,
            violations: Vec::new(),
            calls: Vec::new(),
            held: None,
            rate: None,
            none: (None, Duration::ZERO),
            was_active: false,
        };
        let (crashed, holds) = (Notify::new(), Notify::new());
        Self { behaviour, installation, may_take, crashed, holds, state: Mutex::new(state) }
    }

    /// The hooks as they are now.
    pub fn hooks(&self) -> Vec<Stored> {
        self.state().hooks.clone()
    }

    pub fn observed(&self) -> Vec<ObservedHook> {
        self.hooks().into_iter().map(|stored| stored.hook).collect()
    }

    /// What happened of that.
    pub fn violations(&self) -> Vec<Violation> {
        self.state().violations.clone()
    }

    /// The longest time for which none of ours was active, after one was.
    pub fn longest_without_active(&self) -> Duration {
        let (since, before) = self.state().none;
        since.map_or(before, |since| before.max(since.elapsed()))
    }

    /// Faults of the next calls, in order.
    pub fn fail(&self, faults: Vec<Fault>) {
        self.state().faults = faults.into();
    }

    /// What answers say of the bucket from now on.
    pub fn set_rate(&self, rate: RateLimit) {
        self.state().rate = Some(rate);
    }

    pub fn calls(&self) -> Vec<Verb> {
        self.state().calls.clone()
    }

    pub fn edit(&self, change: impl FnOnce(&mut Vec<Stored>)) {
        change(&mut self.state().hooks);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap();
        let now = Instant::now();
        while state.pending.front().is_some_and(|(due, _)| *due <= now) {
            let (due, effect) = state.pending.pop_front().unwrap();
            self.apply(&mut state, effect, due);
        }
        state
    }

    fn ours(&self, hook: &ObservedHook) -> bool {
        matches!(self.installation.whose(hook), Whose::Ours(_))
    }

    fn apply(&self, state: &mut State, effect: Effect, at: Instant) {
        let alone = self.behaviour.second_activation != SecondActivation::Permitted;
        match effect {
            Effect::Appear(stored, active) => {
                let id = stored.hook.id.clone();
                state.hooks.push(*stored);
                if active {
                    self.switch_on(state, &id, true);
                }
            }
            Effect::Content(id, content) => {
                if let Some(stored) = state.hooks.iter_mut().find(|stored| stored.hook.id == id) {
                    *stored = written(id, stored.hook.status, &content);
                }
            }
            Effect::On(id) => self.switch_on(state, &id, alone),
            Effect::Off(id) => set(state, &id, HookStatus::Inactive),
            Effect::Vanish(id) => state.hooks.retain(|stored| stored.hook.id != id),
        }
        let active = state.hooks.iter().filter(|s| s.hook.status == HookStatus::Active && self.ours(&s.hook)).count();
        if active > 1 {
            state.violations.push(Violation::TwoOfOurs);
        }
        let (since, longest) = &mut state.none;
        if active > 0 {
            state.was_active = true;
            *longest = since.take().map_or(*longest, |since| at.duration_since(since).max(*longest));
        } else if state.was_active {
            since.get_or_insert(at);
        }
    }

    fn switch_on(&self, state: &mut State, id: &HookId, alone: bool) {
        if alone {
            let mut foreign = false;
            for stored in &mut state.hooks {
                if stored.hook.id != *id && stored.hook.status == HookStatus::Active {
                    foreign |= !self.ours(&stored.hook);
                    stored.hook.status = HookStatus::Inactive;
                }
            }
            if foreign {
                state.violations.push(Violation::ForeignLostItsPlace);
            }
        }
        set(state, id, HookStatus::Active);
    }

    fn judge(&self, state: &mut State, verb: Verb, id: &HookId) {
        let Some(stored) = state.hooks.iter().find(|stored| stored.hook.id == *id) else { return };
        let allowed = verb == Verb::Replace && self.may_take.contains(id);
        if !self.ours(&stored.hook) && !allowed {
            state.violations.push(Violation::ForeignWritten(verb, id.clone()));
        }
    }

    async fn exchange(&self, call: Call) -> CallResult<ObservedHook> {
        let fault = {
            let mut state = self.state();
            state.calls.push(call.verb());
            state.faults.pop_front().unwrap_or(Fault::None)
        };
        let lost = Failure::Unclear { detail: "lost".into() };
        match fault {
            Fault::CrashBefore => self.crash().await,
            Fault::Held => {
                self.state().held = Some(call.clone());
                self.holds.notify_one();
                // whoever is frozen hears no answer, and finds its time over when it goes on
                return std::future::pending().await;
            }
            Fault::Unreachable => return Err(error(Failure::Unreachable { detail: "test".into() })),
            Fault::LostCall => return Err(error(lost)),
            Fault::Unauthorized => return Err(error(Failure::Unauthorized)),
            Fault::NotOkta => return Err(error(Failure::NotOkta { status: 403 })),
            Fault::ServerError => return Err(error(out_of_service())),
            Fault::RateLimited => {
                return Err(error(Failure::RateLimited { wait: Duration::from_secs(1), concurrency: false }));
            }
            Fault::None | Fault::LostAnswer | Fault::LateServerError | Fault::CrashAfter => {}
        }
        let result = self.perform(&call);
        match fault {
            Fault::CrashAfter => self.crash().await,
            Fault::LostAnswer => return Err(error(lost)),
            Fault::LateServerError => return Err(error(out_of_service())),
            _ => {}
        }
        result.map(|value| ApiAnswer { value, request_id: None, rate: self.state().rate }).map_err(error)
    }

    /// Lets a held call take effect now. Tells which one there was, if any.
    pub fn let_go(&self) -> Option<Verb> {
        let call = self.state().held.take()?;
        // nobody hears the answer
        drop(self.perform(&call));
        Some(call.verb())
    }

    async fn crash(&self) {
        self.crashed.notify_one();
        std::future::pending::<()>().await;
    }
}

impl Api for Model {
    fn list_hooks(&self) -> BoxFuture<'_, CallResult<Vec<ObservedHook>>> {
        async move {
            self.exchange(Call::List).await?;
            Ok(ApiAnswer { value: self.observed(), request_id: None, rate: self.state().rate })
        }
        .boxed()
    }

    fn get<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.exchange(Call::Get(id.clone())).boxed()
    }

    fn create<'a>(&'a self, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.exchange(Call::Create(Box::new(content.clone()))).boxed()
    }

    fn replace<'a>(&'a self, id: &'a HookId, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.exchange(Call::Replace(id.clone(), Box::new(content.clone()))).boxed()
    }

    fn activate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.exchange(Call::Activate(id.clone())).boxed()
    }

    fn deactivate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.exchange(Call::Deactivate(id.clone())).boxed()
    }

    fn delete<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<()>> {
        async move {
            let answer = self.exchange(Call::Delete(id.clone()));
            answer.await.map(|_| ApiAnswer { value: (), request_id: None, rate: None })
        }
        .boxed()
    }
}

/// A hook as Okta stores it.
pub fn written(id: HookId, status: HookStatus, content: &HookContent) -> Stored {
    Stored { hook: content.in_okta(id, status), secret: content.secret.expose().clone() }
}

fn set(state: &mut State, id: &HookId, status: HookStatus) {
    if let Some(stored) = state.hooks.iter_mut().find(|stored| stored.hook.id == *id) {
        stored.hook.status = status;
    }
}

fn error(failure: Failure) -> CallError {
    CallError { doing: "test", failure, request_id: None, rate: None }
}

const fn out_of_service() -> Failure {
    Failure::Server { status: 503, code: None }
}
