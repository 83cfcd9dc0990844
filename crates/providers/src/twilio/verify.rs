//! Verify: Twilio's own text and senders around our passcode.
//!
//! A second verification of a number within ten minutes is the same resource, so two messages may have one id. Nothing is keyed
//! by it: it is what Twilio's console and a later word about the passcode ask for.

#[cfg(test)]
mod tests;

use url::Url;

use super::{Form, Shown, is_sid, programmable::risk_check};
use crate::{Class, InvalidProvider, Message, Refusal, answer::Fields};
use hookswitch_gateway_config::twilio::{RiskCheck, TwilioOptions, TwilioVerify};
use hookswitch_message::Channel;
use hookswitch_request::Request;

/// How many characters a passcode may have.
const CODE_LENGTH: std::ops::RangeInclusive<usize> = 4..=10;

/// Languages of Verify's default text, as Twilio writes them, and whether its voice speaks them. Another one is answered 404, so it
/// is left out, and Twilio goes by the country of the number.
///
/// Sources: Twilio's list of supported languages for Verify, and that of TwiML's `<Say>`.
const LANGUAGES: &[(&str, bool)] = &[
    ("af", false),
    ("ar", false),
    ("ca", true),
    ("cs", false),
    ("da", true),
    ("de", true),
    ("el", false),
    ("en", true),
    ("en-GB", true),
    ("es", true),
    ("et", false),
    ("fi", true),
    ("fr", true),
    ("he", false),
    ("hi", false),
    ("hr", false),
    ("hu", false),
    ("id", false),
    ("it", true),
    ("ja", true),
    ("kn", false),
    ("ko", true),
    ("lt", false),
    ("mr", false),
    ("ms", false),
    ("nb", true),
    ("nl", true),
    ("pl", true),
    ("pt", true),
    ("pt-BR", true),
    ("ro", false),
    ("ru", true),
    ("sk", false),
    ("sv", true),
    ("te", false),
    ("th", false),
    ("tl", false),
    ("tr", false),
    ("vi", false),
    ("zh", true),
    ("zh-CN", true),
    ("zh-HK", true),
];

/// Other names of languages in the list.
const ALSO_CALLED: &[(&str, &str)] =
    &[("fil", "tl"), ("in", "id"), ("iw", "he"), ("nn", "nb"), ("no", "nb"), ("zh-Hans", "zh")];

pub(super) struct Verify {
    service_sid: String,
    service: Url,
    verifications: Url,
    template_sid: Option<String>,
    risk_check: Option<RiskCheck>,
}

impl Verify {
    pub(super) fn new(base: &Url, service: &TwilioVerify, options: &TwilioOptions) -> Result<Self, InvalidProvider> {
        let TwilioVerify { service_sid, template_sid } = service;
        if !is_sid(service_sid, "VA") {
            return Err(InvalidProvider::ServiceSid);
        }
        if template_sid.as_deref().is_some_and(|sid| !is_sid(sid, "HJ")) {
            return Err(InvalidProvider::TemplateSid);
        }
        let below = |path: &str| {
            let mut url = base.clone();
            url.set_path(&format!("{}/v2/Services/{service_sid}{path}", base.path().trim_end_matches('/')));
            url
        };
        Ok(Self {
            service_sid: service_sid.clone(),
            service: below(""),
            verifications: below("/Verifications"),
            template_sid: template_sid.clone(),
            risk_check: options.risk_check,
        })
    }

    pub(super) fn request(
        &self,
        message: &Message,
        post: impl Fn(&Url, &Form<'_>) -> Request,
    ) -> Result<Request, Refusal> {
        let code = message.code.expose().as_str();
        if !CODE_LENGTH.contains(&code.chars().count()) {
            return Err(Refusal::local(Class::UnreachableHere, "code-length"));
        }
        let channel = match message.channel {
            Channel::Sms => "sms",
            Channel::Voice => "call",
        };
        let mut form = vec![("To", message.to.as_str()), ("Channel", channel), ("CustomCode", code)];
        let language = message.locale.as_deref().and_then(|locale| language(locale, message.channel));
        form.extend(language.map(|language| ("Locale", language)));
        form.extend(self.template_sid.as_deref().map(|sid| ("TemplateSid", sid)));
        // of texts alone
        form.extend(self.risk_check.filter(|_| message.channel == Channel::Sms).map(risk_check));
        Ok(post(&self.verifications, &form))
    }

    pub(super) const fn probe(&self) -> &Url {
        &self.service
    }

    /// The service is there, and it takes passcodes of others, which somebody has to allow.
    pub(super) fn probed(&self, fields: &Fields) -> Shown {
        match fields.flag("custom_code_enabled") {
            _ if fields.text("sid").as_deref() != Some(&self.service_sid) => Shown::Nothing,
            Some(false) => Shown::Broken("custom-code-disabled".to_owned()),
            Some(true) | None => Shown::Works,
        }
    }
}

/// What Twilio calls a language, when Verify has it on a channel: itself, else without its region.
fn language(locale: &str, channel: Channel) -> Option<&'static str> {
    let listed = |tag: &str| {
        let tag = ALSO_CALLED.iter().find(|(other, _)| other.eq_ignore_ascii_case(tag)).map_or(tag, |(_, tag)| *tag);
        let (name, is_spoken) = LANGUAGES.iter().find(|(name, _)| name.eq_ignore_ascii_case(tag))?;
        (channel == Channel::Sms || *is_spoken).then_some(*name)
    };
    let primary = locale.split('-').next().unwrap_or(locale);
    // Chinese is written in two ways: another region is no reason for either.
    listed(locale).or_else(|| listed(primary).filter(|name| *name != "zh"))
}
