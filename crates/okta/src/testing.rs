//! An org in memory for tests of plan and run: documented rules, each undocumented behaviour as an option, faults per call.
//!
//! It shares no code with the client and judges what it is asked to do: see [`Model::violations`].

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a double for tests"
)]

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::{Api, CallResult};
use crate::error::{CallError, Failure};
use crate::owner_tag::{InstallationTag, Whose};
use crate::plan::Verb;
use crate::types::{ApiAnswer, HookContent, HookId, HookStatus, ObservedHook, RateLimit};

/// What Okta does when a second hook is created while one is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondCreation {
    Refused,
    Inactive,
    TakesOver,
}

/// What Okta does when a second hook is activated while one is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondActivation {
    Refused,
    TakesOver,
    /// It becomes active beside the other: shows whether our own order keeps to one.
    Permitted,
}

#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    pub second_creation: SecondCreation,
    pub second_activation: SecondActivation,
    pub deactivating_last_refused: bool,
    /// This hook is never activated, whatever else is active (its URI does not answer, say).
    pub never_active: Option<&'static str>,
    /// A write is answered at once and takes effect this much later.
    pub delay: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nobody hears the call.
    Unreachable,
    /// Nobody hears the call, and the caller cannot know.
    LostCall,
    /// It takes effect and the answer is lost, or is no JSON that can be read.
    LostAnswer,
    ServerError,
    /// It takes effect and is answered by an error all the same.
    LateServerError,
    RateLimited,
    /// The credential is not accepted for this once.
    Unauthorized,
    /// A firewall refuses the call in Okta's place, for this once.
    NotOkta,
    /// The caller dies before Okta hears the call.
    CrashBefore,
    /// The caller dies after it took effect.
    CrashAfter,
    /// Okta holds the call, and its caller is frozen: it takes effect, if Okta's rules then allow it, when it is let go.
    Held,
}

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

    fn perform(&self, call: &Call) -> Result<ObservedHook, Failure> {
        let mut state = self.state();
        let (answer, effect) = match call {
            Call::List => (written(HookId::new("none").unwrap(), HookStatus::Inactive, &blank()).hook, None),
            Call::Get(id) => (find(&state, id)?, None),
            Call::Create(content) => self.created(&mut state, content)?,
            Call::Replace(id, content) => self.replaced(&mut state, id, content)?,
            Call::Activate(id) => self.activated(&mut state, id)?,
            Call::Deactivate(id) => self.deactivated(&mut state, id)?,
            Call::Delete(id) => self.deleted(&mut state, id)?,
        };
        if let Some(effect) = effect {
            state.pending.push_back((Instant::now() + self.behaviour.delay, effect));
        }
        drop(state);
        // what takes effect at once is seen at once
        drop(self.state());
        Ok(answer)
    }

    fn created(&self, state: &mut State, content: &HookContent) -> Result<(ObservedHook, Option<Effect>), Failure> {
        let coming = state.pending.iter().filter_map(|(_, effect)| match effect {
            Effect::Appear(stored, _) => Some(&**stored),
            _ => None,
        });
        if state.hooks.iter().chain(coming).any(|stored| stored.hook.name == content.name) {
            return Err(refused("name is not unique"));
        }
        let mut active = true;
        if let Some(other) = state.hooks.iter().find(|stored| stored.hook.status == HookStatus::Active) {
            if !self.ours(&other.hook) {
                state.violations.push(Violation::BesideForeign);
            }
            match self.behaviour.second_creation {
                SecondCreation::Refused => return Err(refused("one is active")),
                SecondCreation::Inactive => active = false,
                SecondCreation::TakesOver => {}
            }
        }
        state.next_id += 1;
        let id = HookId::new(format!("new{}", state.next_id)).unwrap();
        let hidden = written(id.clone(), HookStatus::Inactive, content);
        let status = if active { HookStatus::Active } else { HookStatus::Inactive };
        let answer = written(id, status, content).hook;
        Ok((answer, Some(Effect::Appear(Box::new(hidden), active))))
    }

    fn replaced(
        &self,
        state: &mut State,
        id: &HookId,
        content: &HookContent,
    ) -> Result<(ObservedHook, Option<Effect>), Failure> {
        self.judge(state, Verb::Replace, id);
        let old = find(state, id)?;
        if old.metadata != content.metadata {
            state.violations.push(Violation::MetadataDropped(id.clone()));
        }
        if state.hooks.iter().any(|stored| stored.hook.name == content.name && stored.hook.id != *id) {
            return Err(refused("name is not unique"));
        }
        let answer = written(id.clone(), old.status, content).hook;
        Ok((answer, Some(Effect::Content(id.clone(), Box::new(content.clone())))))
    }

    fn activated(&self, state: &mut State, id: &HookId) -> Result<(ObservedHook, Option<Effect>), Failure> {
        self.judge(state, Verb::Activate, id);
        let mut hook = find(state, id)?;
        if self.behaviour.never_active == Some(id.as_str()) {
            return Err(refused("the hook cannot be activated"));
        }
        let other = state.hooks.iter().find(|s| s.hook.status == HookStatus::Active && s.hook.id != *id);
        if let Some(other) = other {
            if self.behaviour.second_activation == SecondActivation::Refused {
                return Err(refused("one is active"));
            }
            if !self.ours(&other.hook) {
                state.violations.push(Violation::BesideForeign);
            }
        }
        hook.status = HookStatus::Active;
        Ok((hook, Some(Effect::On(id.clone()))))
    }

    fn deactivated(&self, state: &mut State, id: &HookId) -> Result<(ObservedHook, Option<Effect>), Failure> {
        self.judge(state, Verb::Deactivate, id);
        let mut hook = find(state, id)?;
        let others = state.hooks.iter().any(|s| s.hook.status == HookStatus::Active && s.hook.id != *id);
        if self.behaviour.deactivating_last_refused && hook.status == HookStatus::Active && !others {
            return Err(refused("the Phone authenticator needs an active hook"));
        }
        hook.status = HookStatus::Inactive;
        Ok((hook, Some(Effect::Off(id.clone()))))
    }

    fn deleted(&self, state: &mut State, id: &HookId) -> Result<(ObservedHook, Option<Effect>), Failure> {
        self.judge(state, Verb::Delete, id);
        let hook = find(state, id)?;
        if hook.status != HookStatus::Inactive {
            return Err(refused("only inactive hooks can be deleted"));
        }
        Ok((hook, Some(Effect::Vanish(id.clone()))))
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
    let hook = ObservedHook {
        id,
        name: content.name.clone(),
        status,
        version: Some("1.0.0".into()),
        channel_type: Some("HTTP".into()),
        channel_version: Some("1.0.0".into()),
        uri: Some(content.uri.clone()),
        method: Some("POST".into()),
        headers: content.headers.clone(),
        auth_type: Some("HEADER".into()),
        auth_header: Some(content.auth_header.clone()),
        metadata: content.metadata.clone(),
    };
    Stored { hook, secret: content.secret.expose().clone() }
}

fn blank() -> HookContent {
    HookContent {
        name: String::new(),
        uri: String::new(),
        headers: Vec::new(),
        auth_header: String::new(),
        secret: hookswitch_message::Secret::from(""),
        metadata: None,
    }
}

fn set(state: &mut State, id: &HookId, status: HookStatus) {
    if let Some(stored) = state.hooks.iter_mut().find(|stored| stored.hook.id == *id) {
        stored.hook.status = status;
    }
}

fn find(state: &State, id: &HookId) -> Result<ObservedHook, Failure> {
    state.hooks.iter().find(|s| s.hook.id == *id).map(|s| s.hook.clone()).ok_or(Failure::NotFound)
}

fn refused(summary: &str) -> Failure {
    Failure::Refused { status: 400, code: "E0000001".into(), summary: summary.into(), causes: Vec::new() }
}

fn error(failure: Failure) -> CallError {
    CallError { doing: "test", failure, request_id: None, rate: None }
}

const fn out_of_service() -> Failure {
    Failure::Server { status: 503, code: None }
}
