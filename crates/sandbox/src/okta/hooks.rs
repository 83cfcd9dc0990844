//! The org's inline hooks: what is stored, what a client sees, and the rules between hooks.
//! Pure but for the clock, which is passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::behaviour::{
    Behaviour, OnDeletingActive, OnMissingMetadata, OnMissingSecret, OnSecondActivation, OnSecondCreation,
};
use super::errors::OktaError;
use super::rules::{ChannelDraft, TELEPHONY, Write};
use super::turns::{By, Turn, Turns};
use crate::clock::{okta_time, random_id};
use crate::secret::Secret;

/// Hooks of one org, of all types.
const MAX_HOOKS: usize = 100;

/// What a write asks for.
pub(super) struct Draft {
    pub(super) name: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) version: Option<String>,
    pub(super) channel: Option<ChannelDraft>,
    pub(super) metadata: Option<Map<String, Value>>,
}

/// How Okta proves to the hook that it is Okta.
#[derive(Clone, Debug)]
pub(super) enum Auth {
    /// Not at all.
    None,
    /// By a header.
    Header(AuthScheme),
    /// By a token that it fetches first, which the sandbox does not.
    OAuth(OAuth),
}

/// Where Okta would fetch a token, and how; without the secret.
#[derive(Clone, Debug)]
pub(super) struct OAuth {
    pub(super) auth_type: String,
    pub(super) client_id: String,
    pub(super) token_url: String,
    pub(super) scope: Option<String>,
    pub(super) hook_key: Option<String>,
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
    pub(super) version: String,
    pub(super) channel_version: String,
    pub(super) uri: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) auth: Auth,
    pub(super) metadata: Option<Map<String, Value>>,
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
        let mut config = json!({"uri": self.uri, "headers": headers, "method": "POST", "authScheme": null});
        let channel = match &self.auth {
            Auth::None => "HTTP",
            Auth::Header(auth) => {
                config["authScheme"] = json!({"type": "HEADER", "key": auth.key});
                "HTTP"
            }
            Auth::OAuth(oauth) => {
                config["clientId"] = json!(oauth.client_id);
                config["tokenUrl"] = json!(oauth.token_url);
                config["authType"] = json!(oauth.auth_type);
                config["scope"] = json!(oauth.scope);
                if let Some(key) = &oauth.hook_key {
                    config["hookKeyId"] = json!(key);
                }
                "OAUTH"
            }
        };
        let mut hook = json!({
            "id": self.id,
            "status": if self.active { "ACTIVE" } else { "INACTIVE" },
            "name": self.name,
            "type": self.kind,
            "version": self.version,
            "channel": {"type": channel, "version": self.channel_version, "config": config},
            "created": okta_time(self.created),
            "lastUpdated": okta_time(self.updated),
            "_links": links,
        });
        if let Some(metadata) = &self.metadata {
            hook["metadata"] = Value::from(metadata.clone());
        }
        hook
    }
}

/// The hooks as they are, and as they are seen while a change is still on its way.
#[derive(Default)]
pub(super) struct Hooks {
    truth: Vec<Hook>,
    visible: Vec<Hook>,
    coming: VecDeque<(Instant, Vec<Hook>)>,
    turns: Turns,
}

impl Hooks {
    /// The hooks as reads and sign-ins see them now.
    pub(super) fn visible(&mut self) -> &[Hook] {
        let now = Instant::now();
        while self.coming.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, hooks)) = self.coming.pop_front() {
                self.visible = hooks;
            }
        }
        &self.visible
    }

    /// The telephony hook Okta would call now.
    pub(super) fn active_telephony(&mut self) -> Option<Hook> {
        self.visible().iter().find(|hook| hook.active && hook.kind == TELEPHONY).cloned()
    }

    pub(super) fn find(&mut self, id: &str) -> Result<Hook, OktaError> {
        self.visible().iter().find(|hook| hook.id == id).cloned().ok_or_else(|| OktaError::no_hook(id))
    }

    fn publish(&mut self, delay_ms: u64) {
        let due = Instant::now() + delay(delay_ms);
        self.coming.push_back((due, self.truth.clone()));
        self.visible();
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
        let (Some(name), Some(kind), Some(version), Some(channel)) =
            (draft.name, draft.kind, draft.version, draft.channel)
        else {
            return Err(OktaError::unreadable());
        };
        check_auth(&kind, &channel.auth)?;
        self.name_is_free(&name, None)?;
        if self.truth.len() >= MAX_HOOKS {
            return Err(OktaError::validation("inlineHook", "The org has reached its limit of 100 inline hooks"));
        }
        let mut active = true;
        if let Some(other) = self.other_active(&kind, None) {
            match how.second_creation {
                OnSecondCreation::Refused => return Err(another_is_active()),
                OnSecondCreation::Forbidden => return Err(OktaError::forbidden()),
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
            version,
            channel_version: channel.version,
            uri: channel.uri,
            headers: channel.headers,
            auth: channel.auth,
            metadata: draft.metadata,
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
        if let Some(mut channel) = draft.channel {
            if let Auth::Header(scheme) = &mut channel.auth
                && scheme.value.is_none()
            {
                match (how.missing_secret, &hook.auth) {
                    (OnMissingSecret::Refused, _) => return Err(no_secret()),
                    (OnMissingSecret::Kept, Auth::Header(known)) => scheme.value.clone_from(&known.value),
                    (OnMissingSecret::Kept | OnMissingSecret::Cleared, _) => {}
                }
            }
            if matches!(channel.auth, Auth::None) && hook.kind == TELEPHONY {
                return Err(no_scheme());
            }
            hook.channel_version = channel.version;
            hook.uri = channel.uri;
            hook.headers = channel.headers;
            hook.auth = channel.auth;
        } else if write != Write::Update {
            return Err(OktaError::unreadable());
        }
        if let Some(name) = draft.name {
            hook.name = name;
        }
        if let Some(version) = draft.version {
            hook.version = version;
        }
        let keeps = write == Write::Update || how.missing_metadata == OnMissingMetadata::Kept;
        if draft.metadata.is_some() || !keeps {
            hook.metadata = draft.metadata;
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
                OnSecondActivation::Forbidden => return Err(OktaError::forbidden()),
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
        if hook.kind == TELEPHONY {
            how.deactivating_last.check(
                "The last active telephony inline hook cannot be deactivated while the Phone authenticator is active",
            )?;
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

fn check_auth(kind: &str, auth: &Auth) -> Result<(), OktaError> {
    match auth {
        Auth::None if kind == TELEPHONY => Err(no_scheme()),
        Auth::Header(auth) if auth.value.is_none() => Err(no_secret()),
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
