//! Every provider in every configuration that changes its requests, and the messages that it is given.

use std::{sync::Arc, time::Duration};

use hookswitch_gateway_config::{
    document::{Account, HookCredential, OktaHookCredential, PlainHeader, Probe, ProviderConfig, Sender},
    twilio::{AddressRetention, ContentRetention, RiskCheck, TwilioOptions, TwilioVerify},
};
use hookswitch_message::{Channel, Secret};
use hookswitch_providers::{Adapter, Message, Probe as ProbeBy, Refusal, adapter};
use hookswitch_request::Request;

/// One account as it may be configured.
pub struct Configuration {
    /// A word for file names.
    pub name: &'static str,
    pub account: Account,
    /// Sender of texts, and of calls.
    pub senders: Vec<Sender>,
}

/// A request that is kept as a golden file.
pub struct Case {
    pub provider: &'static str,
    /// What [`descriptions`] says of its account.
    pub files: &'static [&'static str],
    pub name: String,
    pub request: Request,
}

/// The files that describe what an account's adapter calls; none for a contract of our own. Whoever adds a kind of account is
/// led here by the compiler, and adds its configurations below.
pub fn descriptions(account: &Account) -> (&'static str, &'static [&'static str]) {
    match account {
        Account::Twilio { .. } => ("twilio", &["twilio-api-v2010.yaml", "twilio-verify-v2.yaml"]),
        Account::Http { .. } => ("http", &[]),
        // what is sent is Okta's own request
        Account::OktaHook { .. } => ("oktaHook", &[]),
    }
}

/// At least one of each kind of account.
pub fn configurations() -> Vec<Configuration> {
    let account = |api_key_sid: Option<&str>, base_url: &str, options| Account::Twilio {
        account_sid: "AC0123456789abcdef0123456789abcdef".into(),
        api_key_sid: api_key_sid.map(str::to_owned),
        auth_token: "credential-of-a-test".into(),
        base_url: base_url.into(),
        options,
    };
    let twilio = |api_key_sid, base_url| account(api_key_sid, base_url, TwilioOptions::default());
    let here = "https://api.twilio.com";
    let asking = TwilioOptions {
        content_retention: Some(ContentRetention::Discard),
        address_retention: Some(AddressRetention::Obfuscate),
        risk_check: Some(RiskCheck::Enable),
        status_callback: Some("https://receipts.acme.example/twilio".into()),
        verify: None,
    };
    let verify = |template: Option<&str>| {
        let service_sid = "VA0123456789abcdef0123456789abcdef".into();
        let verify = TwilioVerify { service_sid, template_sid: template.map(str::to_owned) };
        TwilioOptions { verify: Some(verify), ..TwilioOptions::default() }
    };
    let template = "HJ0123456789abcdef0123456789abcdef";
    let verifying = "https://verify.twilio.com";
    let header = HookCredential { header: "authorization".into(), secret: "credential of a test".into() };
    let okta_hook = Account::OktaHook {
        url: "https://hooks.vendor.example/okta?tenant=a".into(),
        auth: OktaHookCredential::Header(header),
        headers: vec![PlainHeader { name: "x-env".into(), value: "prod".into() }],
    };
    let key = "SK0123456789abcdef0123456789abcdef";
    let http = || Account::Http { url: "https://sms.acme.example/v1/send?tenant=a".into(), token: "credential".into() };
    let number = "+15005550006";
    vec![
        configuration("number", twilio(None, here), &[(Channel::Sms, number), (Channel::Voice, number)]),
        configuration("short-code", twilio(None, here), &[(Channel::Sms, "894546")]),
        configuration("name", twilio(None, here), &[(Channel::Sms, "Acme & Co")]),
        configuration("service", twilio(None, here), &[(Channel::Sms, "MG0123456789abcdef0123456789abcdef")]),
        configuration("api-key", twilio(Some(key), here), &[(Channel::Sms, number), (Channel::Voice, number)]),
        configuration("options", account(None, here, asking), &[(Channel::Sms, number), (Channel::Voice, number)]),
        configuration("verify", account(Some(key), verifying, verify(None)), &[]),
        configuration("verify-template", account(None, verifying, verify(Some(template))), &[]),
        configuration("hosted", okta_hook, &[]),
        configuration("sender", http(), &[(Channel::Sms, "Acme"), (Channel::Voice, number)]),
        configuration("no-sender", http(), &[]),
    ]
}

fn configuration(name: &'static str, account: Account, senders: &[(Channel, &str)]) -> Configuration {
    let sender = |(channel, from): &(Channel, &str)| Sender {
        channel: *channel,
        countries: Vec::new(),
        from: (*from).to_owned(),
    };
    Configuration { name, account, senders: senders.iter().map(sender).collect() }
}

/// Okta's request that a message was made of.
const ORIGINAL: &str =
    r#"{"eventId":"d3b07384-d113-4ec6-a5d9-2f4c3d2e1f00","data":{"messageProfile":{"otpCode":"482913"}}}"#;

/// The messages of the golden files. A provider's first configuration is given all of them, the others the first of each channel
/// that they can send.
fn messages() -> Vec<(&'static str, Message)> {
    let sms = |text: &str| Message {
        id: "d3b07384-d113-4ec6-a5d9-2f4c3d2e1f00".to_owned(),
        channel: Channel::Sms,
        to: "+14155552671".parse().unwrap(),
        country: Some("US".parse().unwrap()),
        text: text.into(),
        code: "482913".into(),
        locale: Some("en-US".to_owned()),
        ttl: Some(Duration::from_mins(5)),
        original: Some(Arc::new(Secret::new(ORIGINAL.as_bytes().to_vec()))),
    };
    let plain = sms("Your verification code is 482913.");
    let unicode = sms("Grüße & code=482913 + 100% <\"数字\"> 👋\nline two");
    let abroad = Message { to: "+46701234567".parse().unwrap(), country: "SE".parse().ok(), ..plain.clone() };
    let bare =
        Message { to: "+881612345678".parse().unwrap(), country: None, locale: None, ttl: None, ..plain.clone() };
    let spoken = "Your verification code is: 4, 8, 2. Once again, your code is: 4, 8, 2. Goodbye.";
    let voice = Message { channel: Channel::Voice, text: spoken.into(), ..plain.clone() };
    vec![("sms", plain), ("sms-unicode", unicode), ("sms-abroad", abroad), ("sms-bare", bare), ("voice", voice)]
}

/// Every case of the golden files.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for configuration in configurations() {
        let (provider, files) = descriptions(&configuration.account);
        let adapter = made(&configuration).unwrap();
        let case = |name: &str, request| {
            let name = format!("{}-{name}", configuration.name);
            Case { provider, files, name, request }
        };
        let is_first = !cases.iter().any(|case| case.provider == provider);
        if let ProbeBy::Ask(probe) = adapter.probe(None) {
            cases.push(case("probe", probe));
        }
        let mut sent = Vec::new();
        for (name, message) in messages() {
            let is_for = |sender: &Sender| sender.channel == message.channel;
            let is_asked = is_first || !sent.contains(&message.channel);
            if is_asked && (configuration.senders.iter().any(is_for) || !adapter.needs_sender()) {
                match built(&*adapter, &message) {
                    Ok(request) => {
                        sent.push(message.channel);
                        cases.push(case(name, request));
                    }
                    // a name is not sent to the United States
                    Err(refusal) => assert_eq!((configuration.name, refusal.code.as_str()), ("name", "no-sender")),
                }
            }
        }
    }
    cases
}

/// The adapter of a configuration; `None` when there is none of it.
pub fn made(configuration: &Configuration) -> Option<Box<dyn Adapter>> {
    let provider = ProviderConfig {
        account: configuration.account.clone(),
        senders: configuration.senders.clone(),
        probe: Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 },
        max_in_flight: 1,
        ca_bundle: None,
    };
    adapter(&provider).ok()
}

/// The one place that knows what an adapter needs besides the message.
pub fn built(adapter: &dyn Adapter, message: &Message) -> Result<Request, Refusal> {
    adapter.request(message, None)
}
