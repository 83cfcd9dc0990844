//! What shows whether an account can send, without sending.

use url::Url;

use super::outcome::Refusal;
use hookswitch_request::Request;

/// How an account is probed.
#[derive(Debug, Clone)]
pub enum Probe {
    /// By a request, whose answer says it.
    Ask(Request),
    /// By a connection alone: name, TCP, TLS and certificate.
    Reach(Url),
}

/// What a probe shows. `Unknown` is an answer that proves neither: it counts neither for nor against the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// The account can send, as far as a probe can prove it.
    Up,
    /// It cannot, and this is why.
    Down(Refusal),
    /// Nothing is shown.
    Unknown,
}

/// What a probe that passes proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The address answers, with a certificate that is trusted.
    Reachable,
    /// The credential is accepted.
    Credential,
    /// The account is in use: neither suspended nor closed.
    Account,
    /// The service that sends is there.
    Service,
    /// A token of the authorization server is at hand.
    Token,
}

impl Proof {
    /// As status says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reachable => "Reachable",
            Self::Credential => "Credential",
            Self::Account => "Account",
            Self::Service => "Service",
            Self::Token => "Token",
        }
    }
}
