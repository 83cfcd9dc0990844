//! The org's inline hooks: what is stored, what a client sees, and the rules between hooks.
//! Pure but for the clock, which is passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::behaviour::{
    Behaviour, OnDeletingActive, OnMissingSecret, OnSecondActivation, OnSecondCreation, Permission,
};
use super::errors::OktaError;
use super::rules::{ChannelDraft, TELEPHONY, Write};
use super::turns::{By, Turn, Turns};
use crate::sandbox::clock::{okta_time, random_id};
use crate::sandbox::secret::Secret;

/// Hooks of one org, of all types.
const MAX_HOOKS: usize = 100;

/// What a write asks for.
pub(super) struct Draft {
    pub(super) name: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) channel: Option<ChannelDraft>,
}

/// The header that authenticates Okta to the hook.
#[derive(Clone, Debug)]
pub(super) struct AuthScheme {
    pub(super) key: String,
    /// Absent once a PUT has cleared it.
    pub(super) value: Option<Secret>,
}

/// A stored hook.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) active: bool,
    pub(super) uri: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) auth: Option<AuthScheme>,
    created: Timestamp,
    updated: Timestamp,
}

impl Hook {
    /// The hook as the API shows it: without its secret, with the links its status offers.
    pub(super) fn shown(&self, base: &str) -> Value {
        let url = format!("{base}/api/v1/inlineHooks/{}", self.id);
        let post = |path: &str| json!({"href": format!("{url}{path}"), "hints": {"allow": ["POST"]}});
        let links = if self.active {
            json!({
                "self": {"href": url},
                "execute": post("/execute"),
                "deactivate": post("/lifecycle/deactivate"),
            })
        } else {
            json!({
                "activate": post("/lifecycle/activate"),
                "self": {"href": url},
                "delete": {"href": url, "hints": {"allow": ["DELETE"]}},
            })
        };
        let headers: Vec<Value> = self.headers.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        let auth = self.auth.as_ref().map_or(Value::Null, |auth| json!({"type": "HEADER", "key": auth.key}));
        json!({
            "id": self.id,
            "status": if self.active { "ACTIVE" } else { "INACTIVE" },
            "name": self.name,
            "type": self.kind,
            "version": "1.0.0",
            "channel": {
                "type": "HTTP",
                "version": "1.0.0",
                "config": {
                    "uri": self.uri,
                    "headers": headers,
                    "method": "POST",
                    "authScheme": auth,
                },
            },
            "created": okta_time(self.created),
            "lastUpdated": okta_time(self.updated),
            "_links": links,
        })
    }
}

/// The hooks as they are, and as they are seen while a change is still on its way.
#[derive(Default)]
pub(super) struct Hooks {
    truth: Vec<Hook>,
    seen: Vec<Hook>,
    coming: VecDeque<(Instant, Vec<Hook>)>,
    turns: Turns,
}

impl Hooks {
    /// The hooks as reads and sign-ins see them now.
    pub(super) fn seen(&mut self) -> &[Hook] {
        let now = Instant::now();
        while self.coming.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, hooks)) = self.coming.pop_front() {
                self.seen = hooks;
            }
        }
        &self.seen
    }

    /// The telephony hook Okta would call now.
    pub(super) fn active_telephony(&mut self) -> Option<Hook> {
        self.seen().iter().find(|hook| hook.active && hook.kind == TELEPHONY).cloned()
    }

    pub(super) fn find(&mut self, id: &str) -> Result<Hook, OktaError> {
        self.seen().iter().find(|hook| hook.id == id).cloned().ok_or_else(|| OktaError::no_hook(id))
    }

    fn publish(&mut self, delay_ms: u64) {
        let due = Instant::now() + delay(delay_ms);
        self.coming.push_back((due, self.truth.clone()));
        self.seen();
    }

    /// Writes down which telephony hooks are active by now, and by whom.
    pub(super) fn note(&mut self, by: By, how: &Behaviour) {
        let active = self.truth.iter().filter(|hook| hook.active && hook.kind == TELEPHONY);
        let names = active.map(|hook| hook.name.clone()).collect();
        self.turns.note(by, names, delay(how.effect_delay_ms));
    }

    /// What was written down, oldest first.
    pub(super) fn turns(&self) -> Vec<Turn> {
        self.turns.all()
    }

    fn at(&self, id: &str) -> Result<usize, OktaError> {
        self.truth.iter().position(|hook| hook.id == id).ok_or_else(|| OktaError::no_hook(id))
    }

    fn name_is_free(&self, name: &str, but: Option<usize>) -> Result<(), OktaError> {
        let taken = self.truth.iter().enumerate().any(|(at, hook)| Some(at) != but && hook.name == name);
        if taken {
            return Err(OktaError::validation("name", "An inline hook with this name already exists"));
        }
        Ok(())
    }

    fn other_active(&self, kind: &str, but: Option<usize>) -> Option<usize> {
        if kind != TELEPHONY {
            return None;
        }
        self.truth
            .iter()
            .enumerate()
            .find(|(at, hook)| Some(*at) != but && hook.active && hook.kind == TELEPHONY)
            .map(|(at, _)| at)
    }

    /// Creates a hook.
    pub(super) fn create(&mut self, draft: Draft, how: &Behaviour) -> Result<Hook, OktaError> {
        let (Some(name), Some(kind), Some(channel)) = (draft.name, draft.kind, draft.channel) else {
            return Err(OktaError::unreadable());
        };
        let auth = channel.scheme();
        check_auth(&kind, auth.as_ref())?;
        self.name_is_free(&name, None)?;
        if self.truth.len() >= MAX_HOOKS {
            return Err(OktaError::validation("inlineHook", "The org has reached its limit of 100 inline hooks"));
        }
        let mut active = true;
        if let Some(other) = self.other_active(&kind, None) {
            match how.second_creation {
                OnSecondCreation::Refused => return Err(another_is_active()),
                OnSecondCreation::CreatedInactive => active = false,
                OnSecondCreation::TakesOver => self.truth[other].active = false,
            }
        }
        let now = Timestamp::now();
        let hook = Hook {
            id: format!("cal{}", random_id(17)),
            name,
            kind,
            active,
            uri: channel.uri,
            headers: channel.headers,
            auth,
            created: now,
            updated: now,
        };
        self.truth.push(hook.clone());
        self.publish(how.effect_delay_ms);
        Ok(hook)
    }

    /// Replaces or updates a hook. Its status stays.
    pub(super) fn write(&mut self, id: &str, draft: Draft, write: Write, how: &Behaviour) -> Result<Hook, OktaError> {
        let at = self.at(id)?;
        if draft.kind.as_ref().is_some_and(|kind| *kind != self.truth[at].kind) {
            return Err(OktaError::validation("type", "cannot be changed"));
        }
        if let Some(name) = &draft.name {
            self.name_is_free(name, Some(at))?;
        }
        let mut hook = self.truth[at].clone();
        if let Some(channel) = draft.channel {
            let mut auth = channel.scheme();
            if let Some(scheme) = &mut auth
                && scheme.value.is_none()
            {
                match how.missing_secret {
                    OnMissingSecret::Refused => return Err(no_secret()),
                    OnMissingSecret::Cleared => {}
                    OnMissingSecret::Kept => {
                        scheme.value = hook.auth.take().and_then(|auth| auth.value);
                    }
                }
            }
            if auth.is_none() && hook.kind == TELEPHONY {
                return Err(no_scheme());
            }
            hook.uri = channel.uri;
            hook.headers = channel.headers;
            hook.auth = auth;
        } else if write != Write::Update {
            return Err(OktaError::unreadable());
        }
        if let Some(name) = draft.name {
            hook.name = name;
        }
        hook.updated = Timestamp::now();
        self.truth[at] = hook.clone();
        self.publish(how.effect_delay_ms);
        Ok(hook)
    }

    /// Activates a hook; an active one stays so.
    pub(super) fn activate(&mut self, id: &str, how: &Behaviour) -> Result<Hook, OktaError> {
        let at = self.at(id)?;
        if self.truth[at].active {
            return Ok(self.truth[at].clone());
        }
        if let Some(other) = self.other_active(&self.truth[at].kind, Some(at)) {
            match how.second_activation {
                OnSecondActivation::Refused => return Err(another_is_active()),
                OnSecondActivation::TakesOver => self.truth[other].active = false,
                OnSecondActivation::BothActive => {}
            }
        }
        Ok(self.set_active(at, true, how))
    }

    /// Deactivates a hook; an inactive one stays so.
    pub(super) fn deactivate(&mut self, id: &str, how: &Behaviour) -> Result<Hook, OktaError> {
        let at = self.at(id)?;
        let hook = &self.truth[at];
        if !hook.active {
            return Ok(hook.clone());
        }
        if hook.kind == TELEPHONY && how.deactivating_last == Permission::Refused {
            return Err(OktaError::validation(
                "status",
                "The last active telephony inline hook cannot be deactivated while the Phone authenticator is active",
            ));
        }
        Ok(self.set_active(at, false, how))
    }

    fn set_active(&mut self, at: usize, active: bool, how: &Behaviour) -> Hook {
        self.truth[at].active = active;
        self.truth[at].updated = Timestamp::now();
        let hook = self.truth[at].clone();
        self.publish(how.effect_delay_ms);
        hook
    }

    /// Deletes a hook.
    pub(super) fn delete(&mut self, id: &str, how: &Behaviour) -> Result<Hook, OktaError> {
        let at = self.at(id)?;
        if self.truth[at].active {
            match how.deleting_active {
                OnDeletingActive::Deleted => {}
                OnDeletingActive::Forbidden => return Err(OktaError::forbidden()),
                OnDeletingActive::BadRequest => {
                    return Err(OktaError::validation("status", "An active inline hook cannot be deleted"));
                }
            }
        }
        let hook = self.truth.remove(at);
        self.publish(how.effect_delay_ms);
        Ok(hook)
    }
}

fn delay(ms: u64) -> Duration {
    Duration::from_millis(ms.min(600_000))
}

fn check_auth(kind: &str, auth: Option<&AuthScheme>) -> Result<(), OktaError> {
    match auth {
        None if kind == TELEPHONY => Err(no_scheme()),
        Some(auth) if auth.value.is_none() => Err(no_secret()),
        _ => Ok(()),
    }
}

fn no_scheme() -> OktaError {
    OktaError::validation("channel.config.authScheme", "A telephony inline hook must include authScheme")
}

fn no_secret() -> OktaError {
    OktaError::validation("channel.config.authScheme.value", "The field is required")
}

fn another_is_active() -> OktaError {
    OktaError::validation("status", "Only one telephony inline hook can be active in an org")
}
