//! Programmable Messaging and Programmable Voice: our own text, from the user's own senders.

use std::time::Duration;

use url::Url;

use super::{AccountCredential, Form, Shown, is_sid};
use crate::{Class, InvalidProvider, Message, Refusal, Scope, answer::Fields, sender, voice};
use hookswitch_gateway_config::{
    document::Sender,
    twilio::{AddressRetention, ContentRetention, RiskCheck, TwilioOptions},
};
use hookswitch_message::{Channel, E164, Secret};
use hookswitch_request::Request;

/// The longest SMS text, in characters.
const MAX_BODY: usize = 1_600;
/// The longest inline TwiML, in characters.
const MAX_TWIML: usize = 4_000;
/// Range of `ValidityPeriod` in seconds. 1 to 5 are allowed but discouraged by Twilio.
const VALIDITY_S: (u64, u64) = (6, 36_000);
/// How long a phone may ring, in seconds: as long as Twilio lets it by default, and no shorter than it takes to reach for it.
const RINGING_S: (u64, u64) = (15, 60);

pub(super) struct Programmable {
    probe: Probe,
    messages: Url,
    calls: Url,
    senders: Vec<Sender>,
    options: TwilioOptions,
}

/// What shows whether the account works.
enum Probe {
    /// The account itself, which has its state.
    Account(Url),
    /// The account's own numbers: most API keys may not read the account.
    Numbers(Url),
}

impl Programmable {
    pub(super) fn new(
        base: &Url,
        credential: &AccountCredential<'_>,
        senders: &[Sender],
        options: &TwilioOptions,
    ) -> Result<Self, InvalidProvider> {
        for (index, sender) in senders.iter().enumerate() {
            if sender.channel == Channel::Voice && sender.from.parse::<E164>().is_err() {
                return Err(InvalidProvider::Sender { index, reason: "a call needs a number in E.164" });
            }
        }
        let below = |path: &str| {
            let mut url = base.clone();
            let account = credential.account_sid;
            url.set_path(&format!("{}/2010-04-01/Accounts/{account}{path}.json", base.path().trim_end_matches('/')));
            url
        };
        let probe = if credential.api_key_sid.is_none() {
            Probe::Account(below(""))
        } else {
            let mut numbers = below("/IncomingPhoneNumbers");
            numbers.set_query(Some("PageSize=1"));
            Probe::Numbers(numbers)
        };
        Ok(Self {
            probe,
            messages: below("/Messages"),
            calls: below("/Calls"),
            senders: senders.to_vec(),
            options: options.clone(),
        })
    }

    pub(super) fn request(
        &self,
        message: &Message,
        post: impl Fn(&Url, &Form<'_>) -> Request,
    ) -> Result<Request, Refusal> {
        let sender = sender::choose(&self.senders, message)
            .ok_or_else(|| Refusal::local(Class::PermanentConfig(Scope::Sender), "no-sender"))?;
        let text = message.text.expose();
        match message.channel {
            Channel::Sms if text.chars().count() > MAX_BODY => Err(Refusal::local(Class::MessageTooLong, "too-long")),
            Channel::Sms => {
                let from = if is_sid(&sender.from, "MG") { "MessagingServiceSid" } else { "From" };
                let validity = message.ttl.map(|ttl| seconds(ttl, VALIDITY_S));
                let mut form = vec![("To", message.to.as_str()), (from, sender.from.as_str()), ("Body", text)];
                form.extend(validity.as_deref().map(|validity| ("ValidityPeriod", validity)));
                form.extend(self.settings_of_a_text());
                form.extend(self.status_callback());
                Ok(post(&self.messages, &form))
            }
            Channel::Voice => {
                let twiml = Secret::new(voice::twiml(text));
                if twiml.expose().chars().count() > MAX_TWIML {
                    return Err(Refusal::local(Class::MessageTooLong, "too-long"));
                }
                let ringing = seconds(message.ttl.unwrap_or(Duration::MAX), RINGING_S);
                let mut form = vec![
                    ("To", message.to.as_str()),
                    ("From", sender.from.as_str()),
                    ("Twiml", twiml.expose()),
                    ("Timeout", &ringing),
                ];
                form.extend(self.status_callback());
                Ok(post(&self.calls, &form))
            }
        }
    }

    fn settings_of_a_text(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let content = self.options.content_retention.map(|retention| match retention {
            ContentRetention::Retain => ("ContentRetention", "retain"),
            ContentRetention::Discard => ("ContentRetention", "discard"),
        });
        let address = self.options.address_retention.map(|retention| match retention {
            AddressRetention::Retain => ("AddressRetention", "retain"),
            AddressRetention::Obfuscate => ("AddressRetention", "obfuscate"),
        });
        content.into_iter().chain(address).chain(self.options.risk_check.map(risk_check))
    }

    fn status_callback(&self) -> Option<(&'static str, &str)> {
        self.options.status_callback.as_deref().map(|url| ("StatusCallback", url))
    }

    pub(super) const fn probe(&self) -> &Url {
        let (Probe::Account(url) | Probe::Numbers(url)) = &self.probe;
        url
    }

    pub(super) const fn is_asked_with_a_key(&self) -> bool {
        matches!(self.probe, Probe::Numbers(_))
    }

    pub(super) fn probed(&self, fields: &Fields) -> Shown {
        match (&self.probe, fields.text("status").as_deref()) {
            (Probe::Account(_), Some("active")) => Shown::Works,
            (Probe::Account(_), Some(state @ ("suspended" | "closed"))) => Shown::Broken(format!("status-{state}")),
            (Probe::Numbers(_), _) if fields.has_list("incoming_phone_numbers") => Shown::Works,
            _ => Shown::Nothing,
        }
    }
}

/// Whole seconds within bounds, as a form has them.
fn seconds(time: Duration, (least, most): (u64, u64)) -> String {
    time.as_secs().clamp(least, most).to_string()
}

/// The parameter of a text that says whether it may be refused as fraud.
pub(super) const fn risk_check(check: RiskCheck) -> (&'static str, &'static str) {
    match check {
        RiskCheck::Enable => ("RiskCheck", "enable"),
        RiskCheck::Disable => ("RiskCheck", "disable"),
    }
}
