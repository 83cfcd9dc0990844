//! What goes to a provider: the message, and the HTTP request made of it.

use std::{fmt, time::Duration};

use ::http::{HeaderName, Method};
use url::Url;

use hookswitch_message::{Channel, CountryCode, E164, Secret};

/// One message, ready to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// Idempotency id, unique per request and the same for every provider that is tried; printable ASCII.
    pub id: String,
    /// The way to the handset.
    pub channel: Channel,
    /// The handset.
    pub to: E164,
    /// Country of the number, when it belongs to one; chooses the sender.
    pub country: Option<CountryCode>,
    /// The SMS text, or what the voice says, already composed.
    pub text: Secret<String>,
    /// BCP 47 tag of the user's language, as Okta gave it.
    pub locale: Option<String>,
    /// How long the passcode is good for, from now.
    pub ttl: Option<Duration>,
}

/// An HTTP request to a provider. `Debug` shows the method and the host alone, because paths, headers and bodies carry
/// credentials, numbers and passcodes.
#[derive(Clone)]
pub struct ProviderRequest {
    /// Method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Headers, all of them printable ASCII.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// Body; empty for a `GET`.
    pub body: Secret<Vec<u8>>,
}

impl fmt::Debug for ProviderRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderRequest")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}
