//! A provider that one message may go to: the request is made, and it is known whether the provider may be asked now.
//!
//! Whoever cannot be asked costs the call nothing: no attempt, no time. So a provider that cannot be asked is found before anything is
//! given to the provider, and [`Candidate::enter`] is the one way to [`Candidate::send`].

use std::{sync::Arc, time::Duration};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    breaker::Passage,
    parts::Route,
    private::Private,
    provider::{Provider, Tried},
};
use hookswitch_message::Secret;
use hookswitch_net::Request;
use hookswitch_providers::{Class, Message, Refusal};

/// A provider for one message.
pub struct Candidate {
    provider: Arc<Provider>,
    route: Route,
    request: Result<Request, Refusal>,
}

/// Why a provider is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shut {
    /// It cannot take this message: no sender fits, say.
    Unfit(Refusal),
    /// As many messages are under way to it as may be, or as its connections take.
    Busy,
    /// It failed again and again, and is left alone.
    Failing,
    /// It asked to be left alone.
    Resting,
}

impl Shut {
    /// A word for metrics and the log.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unfit(_) => "unfit",
            Self::Busy => "busy",
            Self::Failing => "breaker",
            Self::Resting => "retry-after",
        }
    }

    /// As a refusal, for a call that nobody else takes.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let (class, code) = match self {
            Self::Unfit(refusal) => return refusal.clone(),
            Self::Busy => (Class::Throttled, "in-flight"),
            Self::Failing => (Class::Transient, self.label()),
            Self::Resting => (Class::Throttled, self.label()),
        };
        Refusal::local(class, code)
    }

    /// Whether a call that has nobody else may knock all the same.
    #[must_use]
    pub const fn may_be_forced(&self) -> bool {
        matches!(self, Self::Failing | Self::Resting)
    }
}

/// How urgently a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendUrgency {
    /// Others are left.
    Ordinary,
    /// Nobody else is left.
    Last,
}

/// Leave to send one message to a provider.
#[must_use = "a trial that is not used keeps others from theirs"]
pub struct Entry {
    pub(super) passage: Passage,
    pub(super) begun: std::time::Instant,
    /// One of those that may be under way at once; given back when this is dropped.
    _permit: OwnedSemaphorePermit,
}

impl Entry {
    pub(super) fn new(passage: Passage, begun: std::time::Instant, permit: OwnedSemaphorePermit) -> Self {
        Self { passage, begun, _permit: permit }
    }
}

impl Candidate {
    /// A provider for a message, to a person where it is known who it is.
    #[must_use]
    pub fn new(provider: &Arc<Provider>, message: &Message, person: Option<&Secret<String>>) -> Self {
        Self {
            provider: Arc::clone(provider),
            route: provider.route(message, person),
            request: provider.request(message),
        }
    }

    /// The provider's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.provider.name
    }

    /// Whether it is worth a try before those that are not.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.request.is_ok() && self.provider.serves(&self.route)
    }

    /// Whether it could be asked now.
    #[must_use]
    pub fn can_be_asked(&self, urgency: SendUrgency) -> bool {
        self.request.is_ok() && self.provider.is_open(&self.route, urgency)
    }

    /// Leave to send.
    ///
    /// # Errors
    ///
    /// Why it cannot be asked; nothing has left then.
    pub fn enter(&self, urgency: SendUrgency) -> Result<Entry, Shut> {
        match &self.request {
            Ok(_) => self.provider.enter(&self.route, urgency),
            Err(refusal) => Err(Shut::Unfit(refusal.clone())),
        }
    }

    /// Sends the message within that time.
    ///
    /// # Errors
    ///
    /// Why it could not be sent, although the provider could be asked; nothing has left then.
    pub async fn send(&self, entry: Entry, within: Duration, private: &Private<'_>) -> Result<Tried, Shut> {
        match &self.request {
            Ok(request) => self.provider.send(entry, request.clone(), Instant::now() + within, private).await,
            Err(refusal) => Err(Shut::Unfit(refusal.clone())),
        }
    }
}
