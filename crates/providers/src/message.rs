//! What goes to a provider.

use std::{sync::Arc, time::Duration};

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
    /// The passcode by itself, for providers that write the text.
    pub code: Secret<String>,
    /// BCP 47 tag of the user's language, as Okta gave it.
    pub locale: Option<String>,
    /// How long the passcode is good for, from now.
    pub ttl: Option<Duration>,
    /// Okta's own request, for a provider that is given just that; `None` where none needs it, or it is too long.
    pub original: Option<Arc<Secret<Vec<u8>>>>,
}
