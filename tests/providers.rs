//! Each adapter against the provider that the sandbox simulates: neither was written from the other.

#![allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves")]
#![allow(clippy::unwrap_used, reason = "clippy knows test functions, not the functions they share")]

use std::time::Duration;

use hookswitch_gateway_config::document::{Account, Probe, ProviderConfig, Sender};
use hookswitch_message::Channel;
use hookswitch_net::Request;
use hookswitch_providers::{self as providers, Access, Outcome, Probe as ProbeBy, Probed, ProviderAnswer, adapter};
use hookswitch_sandbox::{Options, ProviderOptions, Sandbox, VendorOptions, secret::Secret};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "twilio-token-for-tests";
const API_KEY: (&str, &str) = ("SK00000000000000000000000000000001", "twilio-api-secret-for-tests");
const SENDER: &str = "+15005550006";
const ACCESS: Access<'static> = Access { now: jiff::Timestamp::UNIX_EPOCH, credential: None };

async fn twilio() -> Sandbox {
    let mut twilio = ProviderOptions::twilio("twilio", ACCOUNT, TOKEN);
    if let VendorOptions::Twilio { senders, api_keys, .. } = &mut twilio.vendor {
        senders.push(SENDER.to_owned());
        api_keys.push((API_KEY.0.to_owned(), Secret::new(API_KEY.1)));
    }
    Sandbox::start(Options { providers: vec![twilio], ..Options::default() }).await.unwrap()
}

/// The adapter's own request, sent as it is.
async fn answered(http: &reqwest::Client, request: Request) -> ProviderAnswer {
    let mut sent = http.request(request.method, request.url).body(request.body.expose().clone());
    for (name, value) in request.headers {
        sent = sent.header(name, value.expose());
    }
    let answer = sent.send().await.unwrap();
    let status = answer.status().as_u16();
    ProviderAnswer { status, retry_after: None, body: answer.bytes().await.unwrap().to_vec() }
}

#[tokio::test]
async fn twilio_understands_its_adapter_with_a_token_and_with_an_api_key() {
    let sandbox = twilio().await;
    let authority = reqwest::Certificate::from_pem(sandbox.authority().cert_pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
    for (api_key_sid, secret) in [(None, TOKEN), (Some(API_KEY.0.to_owned()), API_KEY.1)] {
        let base_url = format!("https://{}", sandbox.provider("twilio").unwrap().addr());
        let sender = |channel| Sender { channel, countries: Vec::new(), from: SENDER.to_owned() };
        let twilio = adapter(&ProviderConfig {
            account: Account::Twilio {
                account_sid: ACCOUNT.to_owned(),
                api_key_sid,
                auth_token: secret.into(),
                base_url,
            },
            senders: vec![sender(Channel::Sms), sender(Channel::Voice)],
            probe: Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 },
            max_in_flight: 1,
            ca_bundle: None,
        })
        .unwrap();
        let ProbeBy::Ask(probe) = twilio.probe(&ACCESS) else { panic!("asked") };
        assert_eq!(twilio.probed(&answered(&http, probe).await), Probed::Up);
        for channel in [Channel::Sms, Channel::Voice] {
            let message = providers::Message {
                id: "m-1".into(),
                channel,
                to: "+46701234567".parse().unwrap(),
                country: None,
                text: "Your code is 482913".into(),
                locale: None,
                ttl: Some(Duration::ZERO),
                original: None,
            };
            let outcome = twilio.outcome(&answered(&http, twilio.request(&message, &ACCESS).unwrap()).await);
            assert!(matches!(outcome, Outcome::Accepted { .. }), "{channel:?}: {outcome:?}");
        }
    }
    assert_eq!(sandbox.inbox().messages(None).len(), 4);
}
