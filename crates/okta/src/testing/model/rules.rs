//! Okta's rules for each call: what it answers, and what takes effect.

use tokio::time::Instant;

use super::{Call, Effect, Model, State, Violation, written};
use crate::error::Failure;
use crate::plan::Verb;
use crate::testing::{SecondActivation, SecondCreation};
use crate::types::{HookContent, HookId, HookStatus, ObservedHook};

impl Model {
    pub(super) fn perform(&self, call: &Call) -> Result<ObservedHook, Failure> {
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

fn find(state: &State, id: &HookId) -> Result<ObservedHook, Failure> {
    state.hooks.iter().find(|s| s.hook.id == *id).map(|s| s.hook.clone()).ok_or(Failure::NotFound)
}

fn refused(summary: &str) -> Failure {
    Failure::Refused { status: 400, code: "E0000001".into(), summary: summary.into(), causes: Vec::new() }
}
