//! What a request needs beside the message: a credential that ends.
//!
//! An adapter declares what it needs and gets it with each request; fetching it, keeping it fresh and giving it up is the
//! dispatcher's work, off the request path.

use std::{fmt, time::Duration};

use super::{ProviderAnswer, oauth2::TokenEndpoint, outcome::Refusal};
use hookswitch_message::Secret;

/// A credential that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A bearer token.
    Token(Secret<String>),
}

/// A credential that was given, and for how long it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The credential.
    pub credential: Credential,
    /// For how long, from the answer on.
    pub lifetime: Duration,
}

/// A credential that an adapter needs, and how it is got.
#[derive(Clone, Copy)]
pub enum CredentialNeed<'a> {
    /// A token of an OAuth 2.0 token endpoint.
    Token(&'a TokenEndpoint),
}

impl CredentialNeed<'_> {
    /// The request that gets one.
    #[must_use]
    pub fn request(&self) -> hookswitch_request::Request {
        match self {
            Self::Token(endpoint) => endpoint.request(),
        }
    }

    /// What the answer gives.
    ///
    /// # Errors
    /// Why it gives none.
    pub fn issued(&self, answer: &ProviderAnswer) -> Result<Issued, Refusal> {
        match self {
            Self::Token(_) => TokenEndpoint::issued(answer),
        }
    }

    /// Whether what the other gives is as good: it stands for the same client, whatever the secret.
    #[must_use]
    pub fn is_for_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(one), Self::Token(two)) => one.is_for_the_same(two),
        }
    }
}

impl fmt::Debug for CredentialNeed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
        }
    }
}
