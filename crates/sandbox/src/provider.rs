//! One provider account: it reads requests as its vendor would, meets the faults that stand,
//! delivers to the inbox and keeps a list of what it was asked.
//!
//! What is particular to a vendor is behind `Vendor`: see `twilio` and `json_provider`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::exchange::{Answer, Handler, Reply, Request};
use super::faults::{Fault, FaultError, FaultKind, Faults, pause};
use super::gate::Gate;
use super::inbox::{Channel, Inbox, Message, Via, code_in};
use super::phone::{Area, country_of, masked};
use super::secret::{Secret, Tokens};

/// How many calls an account remembers.
const REMEMBERED_CALLS: usize = 1_000;

/// A message as a vendor read it from a request.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) channel: Channel,
    pub(crate) to: String,
    pub(crate) from: Option<String>,
    /// The pool of senders that the vendor is to choose from.
    pub(crate) service: Option<String>,
    pub(crate) text: String,
    pub(crate) said: u32,
    /// The caller's own id of the message, where the vendor knows one.
    pub(crate) key: Option<String>,
}

/// What a request to a vendor is.
pub(crate) enum Reading {
    /// A message to be sent.
    Send(Asked),
    /// A look at the account, and what it shows.
    Probe(Answer),
    /// The answer to a message that was accepted before.
    Repeat(Answer),
    /// The answer of the vendor's token endpoint.
    Token(Answer),
    /// Something the vendor refuses.
    Refused(Answer),
}

/// What differs from one provider to the next.
pub(crate) trait Vendor: Send + Sync + 'static {
    /// The account's own tokens, its API keys apart.
    fn tokens(&self) -> &Tokens;
    /// Reads and checks a request.
    fn read(&self, request: &Request) -> Reading;
    /// A new id of a message.
    fn new_id(&self, asked: &Asked) -> String;
    /// The answer to an accepted message.
    fn accepted(&self, asked: &Asked, id: &str) -> Answer;
    /// A refusal on demand.
    fn refusal(&self, code: &str, status: Option<u16>, class: Option<&str>, scope: Option<&str>) -> Answer;
    /// The answer of a vendor that does not know what became of the message.
    fn unknown(&self) -> Answer;
    /// Called when a message reached the handset.
    fn remember(&self, asked: &Asked, answer: &Answer);
}

/// Where a message is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// Before it has any effect.
    Before,
    /// After its effect, before the answer.
    After,
}

/// One thing an account was asked, without anything that may not be logged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderCall {
    /// When it came.
    pub at: Timestamp,
    /// `sms`, `voice`, `probe`, `token` or `refused` (a request the vendor would not take).
    pub what: String,
    /// The number, masked.
    pub to: Option<String>,
    /// The number's country where the sandbox knows it.
    pub country: Option<String>,
    /// HTTP status answered; absent when the connection was reset or left hanging.
    pub status: Option<u16>,
    /// The fault it met.
    pub fault: Option<FaultKind>,
    /// Whether the handset got it.
    pub delivered: bool,
    /// How long the answer took, in milliseconds.
    pub ms: u64,
}

/// A running provider account.
pub struct Provider {
    name: String,
    vendor: Box<dyn Vendor>,
    inbox: Arc<Inbox>,
    faults: Faults,
    /// What the token endpoint meets; the rest of the account does not.
    token_fault: Mutex<Option<FaultKind>>,
    refusing: watch::Sender<bool>,
    gate: Mutex<Option<(Moment, Gate)>>,
    calls: Mutex<VecDeque<ProviderCall>>,
    addr: OnceLock<SocketAddr>,
}

impl Provider {
    pub(crate) fn new(name: String, vendor: Box<dyn Vendor>, inbox: Arc<Inbox>) -> Self {
        Self {
            name,
            vendor,
            inbox,
            faults: Faults::default(),
            token_fault: Mutex::default(),
            refusing: watch::Sender::new(false),
            gate: Mutex::default(),
            calls: Mutex::default(),
            addr: OnceLock::new(),
        }
    }

    /// The account's name in faults and in the inbox.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens (HTTPS); port 0 until the sandbox has started.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr.get().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    pub(crate) fn listens_at(&self, addr: SocketAddr) {
        let _ = self.addr.set(addr);
    }

    pub(crate) fn refusing(&self) -> watch::Receiver<bool> {
        self.refusing.subscribe()
    }

    /// Lets something go wrong from now on.
    ///
    /// # Errors
    /// When the fault makes no sense, or there are too many already.
    pub fn set_fault(&self, fault: Fault) -> Result<(), FaultError> {
        tracing::info!(carrier = %self.name, ?fault, "fault set");
        self.faults.set(fault)?;
        self.refusing.send_replace(self.faults.refuses_connections());
        Ok(())
    }

    /// Lets something go wrong at the account's token endpoint alone, until it is called again without a fault.
    pub fn set_token_fault(&self, fault: Option<FaultKind>) {
        tracing::info!(carrier = %self.name, ?fault, "fault of the token endpoint set");
        *self.token_fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Clears the faults of one area, or all.
    pub fn clear_faults(&self, area: Option<&Area>) {
        tracing::info!(carrier = %self.name, ?area, "faults cleared");
        self.faults.clear(area);
        self.refusing.send_replace(self.faults.refuses_connections());
    }

    /// The faults that stand.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.faults.list()
    }

    /// Takes these tokens from now on and no other: another one, or one revoked at once. API keys stay as they are.
    pub fn set_tokens(&self, tokens: Vec<Secret>) {
        tracing::info!(carrier = %self.name, tokens = tokens.len(), "tokens changed");
        self.vendor.tokens().replace(tokens);
    }

    /// How often each of its tokens was shown since they were set, in their order.
    #[must_use]
    pub fn tokens_shown(&self) -> Vec<u64> {
        self.vendor.tokens().shown()
    }

    /// Holds every message from now on at one moment, until the gate is released.
    #[must_use]
    pub fn hold(&self, moment: Moment) -> Gate {
        let gate = Gate::new();
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some((moment, gate.clone()));
        gate
    }

    /// What it was asked, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<ProviderCall> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().cloned().collect()
    }

    fn note(&self, call: ProviderCall) {
        tracing::debug!(carrier = %self.name, ?call, "asked");
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == REMEMBERED_CALLS {
            calls.pop_front();
        }
        calls.push_back(call);
    }

    async fn at_gate(&self, here: Moment) {
        let gate = {
            let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            gate.clone()
        };
        if let Some((moment, gate)) = gate
            && moment == here
        {
            gate.pass().await;
        }
    }

    fn deliver(&self, asked: &Asked) -> Answer {
        let id = self.vendor.new_id(asked);
        let answer = self.vendor.accepted(asked, &id);
        self.vendor.remember(asked, &answer);
        self.inbox.deliver(Message {
            at: Timestamp::now(),
            channel: asked.channel,
            to: asked.to.clone(),
            from: asked.from.clone(),
            text: asked.text.clone(),
            said: asked.said,
            code: code_in(&asked.text),
            provider: self.name.clone(),
            via: Via::Provider,
            id,
        });
        answer
    }

    fn unavailable() -> Answer {
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
    }

    /// The reply to a message under a fault, and whether the handset got it.
    async fn send(&self, asked: &Asked, fault: Option<&FaultKind>) -> (Reply, bool) {
        let delivered_if = |wanted: bool| wanted.then(|| self.deliver(asked)).is_some();
        match fault {
            None => (self.deliver(asked).into(), true),
            Some(FaultKind::Slow { ms }) => {
                let answer = self.deliver(asked);
                tokio::time::sleep(pause(*ms)).await;
                (answer.into(), true)
            }
            Some(FaultKind::Down) => (Self::unavailable().into(), false),
            Some(FaultKind::Hang { delivered }) => (Reply::Hang, delivered_if(*delivered)),
            Some(FaultKind::Reset { delivered }) => (Reply::Reset, delivered_if(*delivered)),
            Some(FaultKind::Garbage { delivered }) => {
                let delivered = delivered_if(*delivered);
                (garbage().into(), delivered)
            }
            Some(FaultKind::Trickle { ms, delivered }) => {
                let delivered = *delivered;
                let answer = if delivered {
                    self.deliver(asked)
                } else {
                    self.vendor.accepted(asked, &self.vendor.new_id(asked))
                };
                (Reply::Trickle(answer, pause(*ms)), delivered)
            }
            Some(FaultKind::Unknown { delivered }) => {
                let delivered = delivered_if(*delivered);
                (self.vendor.unknown().into(), delivered)
            }
            Some(FaultKind::Refuse { code, status, class, scope }) => {
                let answer = self.vendor.refusal(code, *status, class.as_deref(), scope.as_deref());
                (answer.into(), false)
            }
        }
    }

    async fn probe(&self, shown: Answer, fault: Option<&FaultKind>) -> Reply {
        match fault {
            None | Some(FaultKind::Unknown { .. }) => shown.into(),
            Some(FaultKind::Slow { ms }) => {
                tokio::time::sleep(pause(*ms)).await;
                shown.into()
            }
            Some(FaultKind::Down) => Self::unavailable().into(),
            Some(FaultKind::Hang { .. }) => Reply::Hang,
            Some(FaultKind::Reset { .. }) => Reply::Reset,
            Some(FaultKind::Garbage { .. }) => garbage().into(),
            Some(FaultKind::Trickle { ms, .. }) => Reply::Trickle(shown, pause(*ms)),
            Some(FaultKind::Refuse { code, status, class, scope }) => {
                self.vendor.refusal(code, *status, class.as_deref(), scope.as_deref()).into()
            }
        }
    }

    async fn reply(&self, request: Request) -> Reply {
        let begun = Instant::now();
        let mut call = ProviderCall {
            at: Timestamp::now(),
            what: "refused".to_owned(),
            to: None,
            country: None,
            status: None,
            fault: None,
            delivered: false,
            ms: 0,
        };
        let reply = match self.vendor.read(&request) {
            Reading::Refused(answer) | Reading::Repeat(answer) => answer.into(),
            Reading::Token(given) => {
                "token".clone_into(&mut call.what);
                call.fault.clone_from(&self.token_fault.lock().unwrap_or_else(PoisonError::into_inner));
                self.probe(given, call.fault.as_ref()).await
            }
            Reading::Probe(shown) => {
                "probe".clone_into(&mut call.what);
                call.fault = self.faults.for_probe();
                self.probe(shown, call.fault.as_ref()).await
            }
            Reading::Send(asked) => {
                call.what = match asked.channel {
                    Channel::Sms => "sms".to_owned(),
                    Channel::Voice => "voice".to_owned(),
                };
                call.to = Some(masked(&asked.to));
                call.country = country_of(&asked.to).map(str::to_owned);
                call.fault = self.faults.for_message(&asked.to);
                self.at_gate(Moment::Before).await;
                let (reply, delivered) = self.send(&asked, call.fault.as_ref()).await;
                call.delivered = delivered;
                self.at_gate(Moment::After).await;
                reply
            }
        };
        call.status = match &reply {
            Reply::Answer(answer) | Reply::Trickle(answer, _) => Some(answer.status.as_u16()),
            Reply::Hang | Reply::Reset => None,
        };
        call.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.note(call);
        reply
    }
}

impl Handler for Provider {
    fn handle(self: Arc<Self>, request: Request) -> BoxFuture<'static, Reply> {
        async move { self.reply(request).await }.boxed()
    }
}

fn garbage() -> Answer {
    Answer {
        status: StatusCode::OK,
        headers: vec![("content-type", "application/json".to_owned())],
        body: Bytes::from_static(b"<html>\x00\xff it works!"),
    }
}
