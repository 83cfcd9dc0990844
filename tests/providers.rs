//! Each adapter against the provider that the sandbox simulates: neither was written from the other.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions, not the functions they share")]

use std::time::Duration;

use hookswitch_gateway_config::{
    document::{Account, Probe, ProviderConfig, Sender},
    twilio::{AddressRetention, ContentRetention, RiskCheck, TwilioOptions, TwilioVerify},
};
use hookswitch_message::Channel;
use hookswitch_net::Request;
use hookswitch_providers::{
    Adapter, Class, Message, Outcome, Probe as ProbeBy, Probed, ProviderAnswer, Scope, adapter,
};
use hookswitch_sandbox::{Options, ProviderOptions, Sandbox, VendorOptions, VerifyService, secret::Secret};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "twilio-token-for-tests";
const API_KEY: (&str, &str) = ("SK00000000000000000000000000000001", "twilio-api-secret-for-tests");
const SENDER: &str = "+15005550006";
const SERVICE: &str = "VA00000000000000000000000000000001";
const SERVICE_WITHOUT_CODES: &str = "VA00000000000000000000000000000002";
const TEMPLATE: &str = "HJ00000000000000000000000000000001";

/// A sandbox with a Twilio account, and a client that trusts it.
struct Scene {
    sandbox: Sandbox,
    http: reqwest::Client,
}

impl Scene {
    /// With Message Redaction enabled for the account, or not.
    async fn twilio(with_redaction: bool) -> Self {
        let mut twilio = ProviderOptions::twilio("twilio", ACCOUNT, TOKEN);
        if let VendorOptions::Twilio { senders, api_keys, services, redaction, .. } = &mut twilio.vendor {
            senders.push(SENDER.to_owned());
            api_keys.push((API_KEY.0.to_owned(), Secret::new(API_KEY.1)));
            for (sid, custom_codes) in [(SERVICE, true), (SERVICE_WITHOUT_CODES, false)] {
                let (sid, friendly_name, templates) = (sid.to_owned(), "Acme".to_owned(), vec![TEMPLATE.to_owned()]);
                services.push(VerifyService { sid, friendly_name, custom_codes, templates });
            }
            *redaction = with_redaction;
        }
        let sandbox = Sandbox::start(Options { providers: vec![twilio], ..Options::default() }).await.unwrap();
        let authority = reqwest::Certificate::from_pem(sandbox.authority().cert_pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
        Self { sandbox, http }
    }

    fn adapter(&self, api_key: bool, options: TwilioOptions) -> Box<dyn Adapter> {
        let sender = |channel| Sender { channel, countries: Vec::new(), from: SENDER.to_owned() };
        let senders =
            if options.verify.is_some() { vec![] } else { vec![sender(Channel::Sms), sender(Channel::Voice)] };
        adapter(&ProviderConfig {
            account: Account::Twilio {
                account_sid: ACCOUNT.to_owned(),
                api_key_sid: api_key.then(|| API_KEY.0.to_owned()),
                auth_token: if api_key { API_KEY.1.into() } else { TOKEN.into() },
                base_url: format!("https://{}", self.sandbox.provider("twilio").unwrap().addr()),
                options,
            },
            senders,
            probe: Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 },
            max_in_flight: 1,
            ca_bundle: None,
        })
        .unwrap()
    }

    /// The adapter's own request, sent as it is.
    async fn answered(&self, request: Request) -> ProviderAnswer {
        let mut sent = self.http.request(request.method, request.url).body(request.body.expose().clone());
        for (name, value) in request.headers {
            sent = sent.header(name, value.expose());
        }
        let answer = sent.send().await.unwrap();
        let status = answer.status().as_u16();
        ProviderAnswer { status, retry_after: None, body: answer.bytes().await.unwrap().to_vec() }
    }

    async fn probed(&self, adapter: &dyn Adapter) -> Probed {
        let ProbeBy::Ask(probe) = adapter.probe(None) else { panic!("asked") };
        adapter.probed(&self.answered(probe).await)
    }

    async fn sent(&self, adapter: &dyn Adapter, message: &Message) -> Outcome {
        adapter.outcome(&self.answered(adapter.request(message, None).unwrap()).await)
    }

    fn texts(&self) -> Vec<String> {
        self.sandbox.inbox().messages(None).into_iter().map(|message| message.text).collect()
    }
}

fn message(channel: Channel, locale: Option<&str>) -> Message {
    Message {
        id: "m-1".into(),
        channel,
        to: "+46701234567".parse().unwrap(),
        country: None,
        text: "Your code is 482913".into(),
        code: "482913".into(),
        locale: locale.map(str::to_owned),
        ttl: Some(Duration::ZERO),
        original: None,
    }
}

fn verify(service: &str) -> TwilioOptions {
    let verify = TwilioVerify { service_sid: service.to_owned(), template_sid: None };
    TwilioOptions { verify: Some(verify), ..TwilioOptions::default() }
}

fn code(outcome: &Outcome) -> (Class, &str) {
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    (refusal.class, &refusal.code)
}

#[tokio::test]
async fn twilio_understands_its_adapter_with_a_token_and_with_an_api_key() {
    let scene = Scene::twilio(false).await;
    for api_key in [false, true] {
        let twilio = scene.adapter(api_key, TwilioOptions::default());
        assert_eq!(scene.probed(&*twilio).await, Probed::Up);
        for channel in [Channel::Sms, Channel::Voice] {
            let outcome = scene.sent(&*twilio, &message(channel, None)).await;
            assert!(matches!(outcome, Outcome::Accepted { .. }), "{channel:?}: {outcome:?}");
        }
    }
    assert_eq!(scene.texts().len(), 4);
}

#[tokio::test]
async fn twilio_takes_what_a_user_asks_of_it_where_the_account_allows_it() {
    let options = TwilioOptions {
        content_retention: Some(ContentRetention::Discard),
        address_retention: Some(AddressRetention::Obfuscate),
        risk_check: Some(RiskCheck::Enable),
        status_callback: Some("https://otp.acme.example/twilio?token=a1".to_owned()),
        verify: None,
    };
    let scene = Scene::twilio(true).await;
    let twilio = scene.adapter(true, options.clone());
    for channel in [Channel::Sms, Channel::Voice] {
        let outcome = scene.sent(&*twilio, &message(channel, None)).await;
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{channel:?}: {outcome:?}");
    }
    let scene = Scene::twilio(false).await;
    let sender = Class::PermanentConfig(Scope::Sender);
    let outcome = scene.sent(&*scene.adapter(true, options.clone()), &message(Channel::Sms, None)).await;
    assert_eq!(code(&outcome), (sender, "30029"));
    let address = TwilioOptions { content_retention: None, ..options };
    let outcome = scene.sent(&*scene.adapter(true, address), &message(Channel::Sms, None)).await;
    assert_eq!(code(&outcome), (sender, "30030"));
}

#[tokio::test]
async fn verify_sends_oktas_passcode_in_every_language_and_by_both_channels() {
    let scene = Scene::twilio(false).await;
    let options = TwilioOptions { risk_check: Some(RiskCheck::Disable), ..verify(SERVICE) };
    let template = TwilioVerify { service_sid: SERVICE.to_owned(), template_sid: Some(TEMPLATE.to_owned()) };
    let with_template = TwilioOptions { verify: Some(template), ..TwilioOptions::default() };
    let languages = [
        "af", "ar", "ca", "cs", "da", "de", "el", "en-US", "en-GB", "es-MX", "et", "fi", "fr-CA", "he", "hi", "hr",
        "hu", "id", "it", "ja", "kn", "ko", "lt", "mr", "ms", "nb-NO", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sk",
        "sv-SE", "te", "th", "fil", "tr", "uk", "vi", "zh", "zh-CN", "zh-HK", "zh-TW", "tlh", "",
    ];
    let mut number = 46_701_000_000_u64;
    for (api_key, options) in [(false, options), (true, with_template)] {
        let twilio = scene.adapter(api_key, options);
        assert_eq!(scene.probed(&*twilio).await, Probed::Up);
        for channel in [Channel::Sms, Channel::Voice] {
            for locale in languages {
                number += 1;
                let message = Message { to: format!("+{number}").parse().unwrap(), ..message(channel, Some(locale)) };
                let outcome = scene.sent(&*twilio, &message).await;
                assert!(matches!(outcome, Outcome::Accepted { .. }), "{channel:?} {locale}: {outcome:?}");
            }
        }
    }
    let inbox = scene.sandbox.inbox().messages(None);
    assert_eq!(inbox.len(), 4 * languages.len());
    assert!(inbox.iter().all(|message| message.code.as_deref() == Some("482913")));
    assert_eq!(inbox[0].text, "Your Acme verification code is: 482913");
}

#[tokio::test]
async fn verify_refuses_a_numbers_sixth_passcode_and_a_service_that_takes_none() {
    let scene = Scene::twilio(false).await;
    let twilio = scene.adapter(true, verify(SERVICE));
    let mut ids = Vec::new();
    for _ in 0..5 {
        let outcome = scene.sent(&*twilio, &message(Channel::Sms, None)).await;
        let Outcome::Accepted { id } = outcome else { panic!("{outcome:?}") };
        ids.push(id);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "one verification: {ids:?}");
    let outcome = scene.sent(&*twilio, &message(Channel::Sms, None)).await;
    assert_eq!(code(&outcome), (Class::UnreachableHere, "60203"), "the next provider is asked");

    let account = Class::PermanentConfig(Scope::Account);
    let without = scene.adapter(true, verify(SERVICE_WITHOUT_CODES));
    let Probed::Down(refusal) = scene.probed(&*without).await else { panic!("a service without passcodes is down") };
    assert_eq!((refusal.class, refusal.code.as_str()), (account, "custom-code-disabled"));
    assert_eq!(code(&scene.sent(&*without, &message(Channel::Sms, None)).await), (account, "60204"));

    let unknown = scene.adapter(true, verify("VA00000000000000000000000000000009"));
    let Probed::Down(refusal) = scene.probed(&*unknown).await else { panic!("no service is down") };
    assert_eq!((refusal.class, refusal.code.as_str()), (account, "20404"));
    assert_eq!(code(&scene.sent(&*unknown, &message(Channel::Sms, None)).await), (Class::Unknown, "20404"));
}
