//! Which sender a message leaves from.

use super::{message::Message, sender_rules};
use hookswitch_gateway_config::document::Sender;
use hookswitch_message::{Channel, CountryCode};

/// The sender that a message leaves from.
pub(super) fn choose<'a>(senders: &'a [Sender], message: &Message) -> Option<&'a Sender> {
    sender_for(senders, message.channel, message.country)
}

/// The first sender of a channel that serves a country and can reach it. A number without a country (a satellite phone, say) is served
/// only by senders for all countries.
#[must_use]
pub fn sender_for(senders: &[Sender], channel: Channel, country: Option<CountryCode>) -> Option<&Sender> {
    senders.iter().find(|sender| {
        let serves_country =
            sender.countries.is_empty() || country.is_some_and(|country| sender.countries.contains(&country));
        sender.channel == channel && serves_country && sender_rules::reaches(sender, country)
    })
}
