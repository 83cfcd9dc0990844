//! The parts of a provider that can fail apart from the rest, and which of them a message needs.
//!
//! A provider that refuses a sender, a country or a text works for what needs none of them. So refusals are counted by part:
//! `breaker` leaves a part alone, `health` remembers it, and the report contains it.

use std::sync::Arc;

use hookswitch_gateway_config::document::Sender;
use hookswitch_message::{Channel, CountryCode};
use hookswitch_providers as providers;
use hookswitch_providers::{Class, Message, Scope};

/// What a message needs of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The way to the handset.
    pub channel: Channel,
    /// Country of the number; `None` for one that belongs to none, a satellite phone's say.
    pub country: Option<CountryCode>,
    /// The sender it leaves from, when one fits.
    pub sender: Option<Arc<str>>,
    /// Whom it is for, when it is a message: whether refusals are about one or about many.
    pub recipient: Option<Recipient>,
}

/// Whom a message is for, in keyed hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient {
    /// The number.
    pub number: u64,
    /// The person, by what Okta calls them; by the number where it does not say.
    pub person: u64,
}

impl Route {
    /// What a message needs of a provider with these senders.
    #[must_use]
    pub fn of(message: &Message, senders: &[Sender]) -> Self {
        Self::new(message.channel, message.country, senders)
    }

    /// What a message of that channel and country needs.
    #[must_use]
    pub fn new(channel: Channel, country: Option<CountryCode>, senders: &[Sender]) -> Self {
        let sender = providers::sender_for(senders, channel, country).map(|sender| Arc::from(sender.from.as_str()));
        Self { channel, country, sender, recipient: None }
    }

    /// The parts that the message needs.
    #[must_use]
    pub fn parts(&self) -> [Part; 4] {
        [
            Part::Account,
            Part::Channel(self.channel),
            Part::Sender(self.channel, self.sender.clone()),
            Part::Country(self.channel, self.country),
        ]
    }
}

/// A part of a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of it.
    Account,
    /// Whatever goes by a channel: its texts are refused, or all messages for a reason that is not known.
    Channel(Channel),
    /// One sender of a channel; `None` where the provider chooses.
    Sender(Channel, Option<Arc<str>>),
    /// One country by a channel; `None` for numbers that belong to none.
    Country(Channel, Option<CountryCode>),
}

impl Part {
    /// The part that a refusal of that class is about. `None` where it is about the message's recipient, or about trouble that
    /// is not said to be of a part.
    #[must_use]
    pub fn refused(class: Class, route: &Route) -> Option<Self> {
        match class {
            Class::PermanentConfig(Scope::Account) => Some(Self::Account),
            Class::PermanentConfig(Scope::Sender) => Some(Self::Sender(route.channel, route.sender.clone())),
            Class::PermanentConfig(Scope::Country) => Some(Self::Country(route.channel, route.country)),
            // one of them says little; many in a row, with nothing taken between them, are more than one number's fault
            Class::MessageRejected | Class::Unknown => Some(Self::Channel(route.channel)),
            Class::PermanentDestination
            | Class::UnreachableHere
            | Class::Throttled
            | Class::Transient
            | Class::FraudBlocked
            | Class::MessageTooLong => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_about_the_sender_that_fits_the_country_and_never_about_another_channel() {
        let sender = |channel, countries: &[&str], from: &str| Sender {
            channel,
            countries: countries.iter().map(|code| code.parse().unwrap()).collect(),
            from: from.to_owned(),
        };
        let senders = [
            sender(Channel::Sms, &["SE", "NO"], "NORDIC"),
            sender(Channel::Sms, &[], "ACME"),
            sender(Channel::Voice, &[], "+46101234567"),
        ];
        let part = |channel, country: Option<&str>| {
            let route = Route::new(channel, country.map(|code| code.parse().unwrap()), &senders);
            Part::refused(Class::PermanentConfig(Scope::Sender), &route)
        };
        let nordic = Some(Part::Sender(Channel::Sms, Some("NORDIC".into())));
        assert_eq!(part(Channel::Sms, Some("SE")), nordic);
        assert_eq!(part(Channel::Sms, Some("NO")), nordic);
        assert_eq!(
            part(Channel::Sms, None),
            Some(Part::Sender(Channel::Sms, Some("ACME".into()))),
            "a satellite phone"
        );
        assert_ne!(part(Channel::Voice, Some("SE")), nordic);
        let none = Route::new(Channel::Sms, None, &[]);
        assert_eq!(none.sender, None, "the provider chooses");
    }
}
