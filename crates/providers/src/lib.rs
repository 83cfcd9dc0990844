//! Provider adapters, without input or output: a message becomes an HTTP request, an HTTP answer becomes an [`Outcome`].
//!
//! One module per provider. Adapters know neither sockets nor clocks; the dispatcher in `gateway` sends what they build and
//! hands them what came back, so every vendor answer is a table test. What a provider wrote is hostile: it is read up
//! to [`MAX_ANSWER`] bytes, and of it only ids and codes of printable characters and bounded length go any further.

mod answer;
pub mod codes;
mod credential;
mod http;
mod message;
mod oauth2;
mod okta_hook;
mod outcome;
mod probe;
mod sender;
pub mod sender_rules;
#[cfg(test)]
mod tests;
mod twilio;
pub mod voice;

pub use answer::{MAX_ANSWER, ProviderAnswer};
pub use credential::{Credential, CredentialNeed, Issued};
pub use message::Message;
pub use oauth2::TokenEndpoint;
pub use outcome::{Class, Outcome, Refusal, Scope};
pub use probe::{Probe, Probed, Proof};
pub use sender::sender_for;

use url::Url;

use hookswitch_gateway_config::document::{Account, ProviderConfig};
use hookswitch_request::Request;

/// One provider account: builds its requests and reads its answers.
pub trait Adapter: Send + Sync {
    /// The request that sends `message`, with the credential that [`Adapter::credential`] asks for, where it asks for one.
    ///
    /// # Errors
    /// The refusal that the provider would give, or that follows from the configuration: no sender fits (code
    /// `no-sender`), the text is longer than the provider takes (code `too-long`), or the passcode has another length (code
    /// `code-length`). No provider is called then.
    fn request(&self, message: &Message, credential: Option<&Credential>) -> Result<Request, Refusal>;

    /// What became of the message, given the answer to [`Adapter::request`]'s request.
    fn outcome(&self, answer: &ProviderAnswer) -> Outcome;

    /// What shows whether the account can send at all; it costs nothing and sends nothing.
    fn probe(&self, credential: Option<&Credential>) -> Probe;

    /// What the answer to [`Adapter::probe`]'s request shows.
    fn probed(&self, answer: &ProviderAnswer) -> Probed;

    /// What a probe that passes proves.
    fn proves(&self) -> &'static [Proof];

    /// The credential that its requests need, where that is more than the configuration gives.
    fn credential(&self) -> Option<CredentialNeed<'_>> {
        None
    }

    /// Whether it needs Okta's own request.
    fn needs_original(&self) -> bool {
        false
    }

    /// Whether it sends only what one of the configured senders fits; else the provider chooses.
    fn needs_sender(&self) -> bool {
        true
    }

    /// The kind of provider as a metric label. What Okta is given as `provider` is the `TelephonyProvider`'s name.
    fn label(&self) -> &'static str;
}

/// Why a provider of the configuration cannot be used. Never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProvider {
    /// The base or target URL does not parse or cannot carry a path.
    #[error("the provider's URL is not usable: {0}")]
    Url(&'static str),
    /// A credential has characters that cannot stand in a header.
    #[error("the provider's credential has characters that a header cannot carry")]
    Credential,
    /// An account SID is not one.
    #[error("the account SID is not AC and 32 hexadecimal digits")]
    AccountSid,
    /// An API key's SID is not one.
    #[error("the API key's SID is not SK and 32 hexadecimal digits")]
    ApiKeySid,
    /// A Verify service's SID is not one.
    #[error("the Verify service's SID is not VA and 32 hexadecimal digits")]
    ServiceSid,
    /// A Verify template's SID is not one.
    #[error("the template's SID is not HJ and 32 hexadecimal digits")]
    TemplateSid,
    /// A sender that the provider cannot send from on its channel.
    #[error("sender {index} cannot be used on its channel: {reason}")]
    Sender {
        /// Position in `senders`, from 0.
        index: usize,
        /// What is expected.
        reason: &'static str,
    },
    /// A header that cannot be sent, or is not the user's to set.
    #[error("the header {name} cannot be used: its name or value is not valid, or it is set by the gateway itself")]
    Header {
        /// Its name.
        name: String,
    },
}

/// A URL that requests can be sent to.
fn request_url(url: &str) -> Result<Url, InvalidProvider> {
    let url = Url::parse(url).map_err(|_| InvalidProvider::Url("it does not parse"))?;
    if url.cannot_be_a_base() || !url.has_host() {
        return Err(InvalidProvider::Url("it has no host"));
    }
    Ok(url)
}

/// The adapter of a configured provider.
///
/// # Errors
/// [`InvalidProvider`] when no request could ever be built from the configuration.
pub fn adapter(provider: &ProviderConfig) -> Result<Box<dyn Adapter>, InvalidProvider> {
    match &provider.account {
        Account::Twilio { account_sid, api_key_sid, auth_token, base_url, options } => {
            let credential =
                twilio::AccountCredential { account_sid, api_key_sid: api_key_sid.as_deref(), secret: auth_token };
            Ok(Box::new(twilio::Twilio::new(&credential, base_url, &provider.senders, options)?))
        }
        Account::Http { url, token } => Ok(Box::new(http::Http::new(url, token, &provider.senders)?)),
        Account::OktaHook { url, auth, headers } => Ok(Box::new(okta_hook::OktaHook::new(url, auth, headers)?)),
    }
}

/// What a probe of a provider proves when it passes; nothing for one that cannot be used.
#[must_use]
pub fn proves(provider: &ProviderConfig) -> &'static [Proof] {
    adapter(provider).map_or(&[], |adapter| adapter.proves())
}
