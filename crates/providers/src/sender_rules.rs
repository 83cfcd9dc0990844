//! Which sender can send where, as far as that is the same for every provider.
//!
//! Only what is certain is refused. That a name needs to be registered in a country, or that a number of one country is
//! filtered in another, is the provider's word and comes as its refusal.

use hookswitch_gateway_config::document::Sender;
use hookswitch_message::{Channel, CountryCode, E164};

/// Countries whose networks take no names as senders of SMS: the United States with four of their territories, and Canada.
///
/// Sources: Twilio's error 21703 and its list of countries for alphanumeric senders; Amazon's list for End User Messaging; Telnyx's
/// page on alphanumeric senders.
const WITHOUT_NAMES: [&str; 6] = ["AS", "CA", "GU", "PR", "US", "VI"];

/// The longest name, in characters: GSM 03.40 has room for eleven.
const LONGEST_NAME: usize = 11;

/// Why a sender can never be used as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSender {
    /// Neither a number nor a short code, a name or a pool.
    #[error(
        "sender {index} is neither a number in E.164, nor a short code of 3 to 8 digits, nor a name of at most 11 characters \
         with a letter in it, nor a Messaging Service"
    )]
    Shape {
        /// Position in `senders`, from 0.
        index: usize,
    },
    /// A call from something else than a number.
    #[error("sender {index} is for calls, which need a number in E.164")]
    Call {
        /// Position in `senders`, from 0.
        index: usize,
    },
    /// A name for a country whose networks take none.
    #[error(
        "sender {index} is a name, and networks in {country} take no names: list a number, a short code or a pool for \
         {country}"
    )]
    NameRefused {
        /// Position in `senders`, from 0.
        index: usize,
        /// The country.
        country: CountryCode,
    },
}

/// What a sender of SMS is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    ShortCode,
    Name,
    Pool,
}

/// Whether each sender can be used for what it is declared for.
///
/// # Errors
/// The first that cannot.
pub fn check(senders: &[Sender]) -> Result<(), UnfitSender> {
    for (index, sender) in senders.iter().enumerate() {
        match sender.channel {
            Channel::Voice if sender.from.parse::<E164>().is_err() => return Err(UnfitSender::Call { index }),
            Channel::Sms if kind(&sender.from).is_none() => return Err(UnfitSender::Shape { index }),
            _ => {}
        }
        if let Some(country) = sender.countries.iter().find(|country| !reaches(sender, Some(**country))) {
            return Err(UnfitSender::NameRefused { index, country: *country });
        }
    }
    Ok(())
}

/// Whether a sender can reach a country at all; a number of no country may be reached by any.
pub(super) fn reaches(sender: &Sender, country: Option<CountryCode>) -> bool {
    let takes_no_names = country.is_some_and(|country| WITHOUT_NAMES.contains(&country.as_str()));
    !(takes_no_names && sender.channel == Channel::Sms && kind(&sender.from) == Some(Kind::Name))
}

fn kind(from: &str) -> Option<Kind> {
    let is_short_code = (3..=8).contains(&from.len()) && from.bytes().all(|b| b.is_ascii_digit());
    let is_pool = from.strip_prefix("MG").is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    let is_name = from.len() <= LONGEST_NAME
        && from.bytes().all(|b| b.is_ascii_alphanumeric() || b" +-_&".contains(&b))
        && from.bytes().any(|b| b.is_ascii_alphabetic());
    match () {
        () if is_short_code => Some(Kind::ShortCode),
        () if is_pool => Some(Kind::Pool),
        () if is_name => Some(Kind::Name),
        () => from.parse::<E164>().is_ok().then_some(Kind::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(channel: Channel, countries: &[&str], from: &str) -> Sender {
        let countries = countries.iter().map(|country| country.parse().unwrap()).collect();
        Sender { channel, countries, from: from.to_owned() }
    }

    #[test]
    fn a_name_is_refused_for_a_country_whose_networks_take_none() {
        let said = |countries: &[&str], from: &str| {
            let good = sender(Channel::Voice, &[], "+15005550006");
            check(&[good, sender(Channel::Sms, countries, from)]).map_err(|error| error.to_string())
        };
        for country in ["US", "CA", "PR", "GU", "VI", "AS"] {
            let error = said(&["SE", country], "ACME").unwrap_err();
            assert!(error.contains("sender 1 is a name") && error.contains(country), "{error}");
        }
        let pool = format!("MG{}", "0a".repeat(16));
        for from in ["+15005550006", "12345", &pool] {
            assert_eq!(said(&["US", "CA"], from), Ok(()), "{from}");
        }
        assert_eq!(said(&[], "ACME"), Ok(()), "everywhere else");
        assert_eq!(said(&["MX", "DO", "BM"], "ACME"), Ok(()), "a neighbour, and others with +1");
    }

    #[test]
    fn a_sender_of_a_shape_that_no_network_takes_is_refused() {
        let long = "ACME-ADVERTS";
        for from in ["", "12", "123456789", "+0123456789", "1-2", "   ", long, "Acmé", "A.B", "MG0"] {
            let expected = if from == "MG0" { Ok(()) } else { Err(UnfitSender::Shape { index: 0 }) };
            assert_eq!(check(&[sender(Channel::Sms, &[], from)]), expected, "{from}");
        }
        for from in ["ACME", "12345", "15005550006"] {
            let refused = Err(UnfitSender::Call { index: 0 });
            assert_eq!(check(&[sender(Channel::Voice, &[], from)]), refused, "{from}");
        }
    }

    #[test]
    fn a_name_for_all_countries_reaches_those_that_take_names() {
        let name = sender(Channel::Sms, &[], "ACME");
        let reached = ["US", "CA", "PR", "SE", "MX"].map(|country| reaches(&name, country.parse().ok()));
        assert_eq!(reached, [false, false, false, true, true]);
        assert!(reaches(&name, None), "a satellite phone");
        assert!(reaches(&sender(Channel::Voice, &[], "+15005550006"), "US".parse().ok()));
    }
}
