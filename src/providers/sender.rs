//! Which sender a message leaves from.

use super::request::Message;
use crate::config::document::Sender;

/// The first sender of the message's channel that serves its country. A number without a country (a satellite phone,
/// say) is served only by senders for all countries.
pub(super) fn choose<'a>(senders: &'a [Sender], message: &Message) -> Option<&'a Sender> {
    senders.iter().find(|sender| {
        let serves_country =
            sender.countries.is_empty() || message.country.is_some_and(|country| sender.countries.contains(&country));
        sender.channel == message.channel && serves_country
    })
}
