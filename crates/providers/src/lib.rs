//! Provider adapters, without input or output: a message becomes an HTTP request, an HTTP answer becomes an [`Outcome`].
//!
//! One module per provider. Adapters know neither sockets nor clocks; the dispatcher in `gateway` sends what they build and
//! hands them what came back, so every vendor answer is a table test. What a provider wrote is hostile: it is read up
//! to [`MAX_ANSWER`] bytes, and of it only ids and codes of printable characters and bounded length go any further.

mod answer;
mod http;
mod message;
mod outcome;
mod sender;
#[cfg(test)]
mod tests;
mod twilio;
pub mod voice;

pub use answer::{MAX_ANSWER, Probed, ProviderAnswer};
pub use message::Message;
pub use outcome::{Class, Outcome, Refusal, Scope};
pub use sender::sender_for;

use hookswitch_gateway_config::document::{Account, ProviderConfig};
use hookswitch_request::Request;

/// One provider account: builds its requests and reads its answers.
pub trait Adapter: Send + Sync {
    /// The request that sends `message`.
    ///
    /// # Errors
    /// The refusal that the provider would give, or that follows from the configuration: no sender fits (code
    /// `no-sender`), the text is longer than the provider takes (code `too-long`). No provider is called then.
    fn request(&self, message: &Message) -> Result<Request, Refusal>;

    /// What became of the message, given the answer to [`Adapter::request`]'s request.
    fn outcome(&self, answer: &ProviderAnswer) -> Outcome;

    /// The request that shows whether the account can send at all; it costs nothing and sends nothing.
    fn probe(&self) -> Request;

    /// What the answer to [`Adapter::probe`]'s request shows.
    fn probed(&self, answer: &ProviderAnswer) -> Probed;

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
    /// A sender that the provider cannot send from on its channel.
    #[error("sender {index} cannot be used on its channel: {reason}")]
    Sender {
        /// Position in `senders`, from 0.
        index: usize,
        /// What is expected.
        reason: &'static str,
    },
}

/// The adapter of a configured provider.
///
/// # Errors
/// [`InvalidProvider`] when no request could ever be built from the configuration.
pub fn adapter(provider: &ProviderConfig) -> Result<Box<dyn Adapter>, InvalidProvider> {
    match &provider.account {
        Account::Twilio { account_sid, api_key_sid, auth_token, base_url } => {
            let credential =
                twilio::Credential { account_sid, api_key_sid: api_key_sid.as_deref(), secret: auth_token };
            Ok(Box::new(twilio::Twilio::new(&credential, base_url, &provider.senders)?))
        }
        Account::Http { url, token } => Ok(Box::new(http::Http::new(url, token, &provider.senders)?)),
    }
}
