//! A gateway before a hook that a vendor hosts: Okta's own request goes on, and tokens are fetched beside the calls.

use std::time::Duration;

use hookswitch_gateway::testing;
use hookswitch_gateway_config::document::{
    Account, Action, GatewayConfig, HookCredential, OktaHookCredential, Probe, ProviderConfig, SecretPlacement,
    TokenClient,
};
use hookswitch_gateway_config::envelope;
use hookswitch_gateway_config::report::ProbeState;
use hookswitch_sandbox::faults::FaultKind;
use hookswitch_sandbox::hosted_hook::{HookClient, TOKEN_PATH};
use hookswitch_sandbox::secret::Secret;
use hookswitch_sandbox::{ProviderOptions, Sandbox, VendorOptions};
use serde_json::json;

use crate::scene::{Scene, refuse, replace, rule, sealed, sms};

const SECRET: &str = "Basic b2t0YTpodW50ZXIy";
const CLIENT_SECRET: &str = "secret-of-the-client";

fn guarded(lifetime: Duration) -> ProviderOptions {
    let client = HookClient { id: "0oa1".into(), scope: Some("otp".into()), lifetime };
    let vendor = VendorOptions::HostedHook { secret: Secret::new(CLIENT_SECRET), client: Some(client) };
    ProviderOptions { vendor, ..ProviderOptions::hosted_hook("hosted", "unused") }
}

/// The hosted hook as a provider, before all others.
fn relayed(sandbox: &Sandbox, config: &mut GatewayConfig, auth: impl FnOnce(String) -> OktaHookCredential) {
    let at = format!("https://{}", sandbox.provider("hosted").unwrap().addr());
    let account =
        Account::OktaHook { url: format!("{at}/okta"), auth: auth(format!("{at}{TOKEN_PATH}")), headers: vec![] };
    let ca_bundle = Some(sandbox.authority().cert_pem().to_owned());
    let probe = Probe { interval_ms: 1_000, timeout_ms: 1_000, fall: 1, rise: 1 };
    let hosted = ProviderConfig { account, ca_bundle, probe, ..testing::provider("https://unused.example/", "t") };
    config.providers.insert("hosted".into(), hosted);
    config.rules = vec![rule(Action::Send(vec!["hosted".into(), "one".into()]))];
}

fn by_header(_: String) -> OktaHookCredential {
    OktaHookCredential::Header(HookCredential { header: "Authorization".into(), secret: SECRET.into() })
}

fn by_token(secret: &str) -> impl FnOnce(String) -> OktaHookCredential {
    let client_secret = secret.into();
    |token_url| {
        OktaHookCredential::Token(TokenClient {
            token_url,
            client_id: "0oa1".into(),
            client_secret,
            scope: Some("otp".into()),
            authentication: SecretPlacement::ClientSecretPost,
        })
    }
}

async fn scene(hosted: ProviderOptions, auth: impl FnOnce(String) -> OktaHookCredential) -> Scene {
    Scene::before(vec![hosted], Duration::ZERO, |sandbox, config| relayed(sandbox, config, auth)).await
}

impl Scene {
    /// Calls until that provider is the one that answers; the first of them may find the token on its way.
    async fn until_sent_by(&self, provider: &str, event: &str) {
        for turn in 0..100 {
            let got = self.call(&sms(&format!("{event}-{turn}"))).await;
            let (status, by) = got.answer();
            assert_eq!(status, "SUCCESSFUL", "no call is lost while another provider is left");
            if by == Some(provider) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{provider} is not asked");
    }

    /// Waits until the report says that of the hosted hook's probe.
    async fn until_probe_is(&self, expected: ProbeState) -> String {
        for _ in 0..200 {
            let hosted = self.report().await.providers.remove("hosted").unwrap();
            if hosted.probe == expected {
                return hosted.because;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("its probe is not {expected:?}");
    }

    fn tokens_given(&self) -> usize {
        let calls = self.sandbox.provider("hosted").unwrap().calls();
        calls.iter().filter(|call| call.what == "token" && call.status == Some(200)).count()
    }
}

#[tokio::test]
async fn a_hosted_hook_gets_oktas_own_request_and_its_answer_decides() {
    let scene = scene(ProviderOptions::hosted_hook("hosted", SECRET), by_header).await;
    assert_eq!(scene.call(&sms("e-1")).await.answer(), ("SUCCESSFUL", Some("hosted")));
    // what the hook alone could not have made up: Okta's own text
    let inbox = scene.sandbox.inbox().messages(None);
    assert_eq!(
        inbox.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(),
        [format!("Your code is {}", testing::CODE)]
    );
    let refused = |code: &str| FaultKind::Refuse { code: code.into(), status: None, class: None, scope: None };
    for (turn, fault) in [refused("FAILED"), refused("error")].into_iter().enumerate() {
        scene.fault("hosted", fault);
        assert_eq!(scene.call(&sms(&format!("e-2-{turn}"))).await.answer(), ("SUCCESSFUL", Some("one")));
    }
    assert_eq!(scene.delivered(), 3, "one message each");
    // it took it, and does not know what became of it
    scene.fault("hosted", FaultKind::Unknown { delivered: true });
    assert_eq!(scene.call(&sms("e-3")).await.answer(), ("SUCCESSFUL", Some("one")));
    assert_eq!(scene.delivered(), 5, "a passcode twice rather than not at all");
    scene.fault("one", refuse("transient", None));
    assert_eq!(scene.call(&sms("e-4")).await.answer().0, "PENDING", "Okta does not send it a third time");
}

#[tokio::test]
async fn a_request_that_is_too_long_to_be_given_on_goes_to_the_next_provider() {
    let scene = scene(ProviderOptions::hosted_hook("hosted", SECRET), by_header).await;
    let mut body = sms("e-1");
    body["data"]["userProfile"]["firstName"] = json!("x".repeat(9_000));
    assert_eq!(scene.call(&body).await.answer(), ("SUCCESSFUL", Some("one")));
}

#[tokio::test]
async fn tokens_are_fetched_beside_the_calls_and_renewed_before_they_end() {
    let scene = scene(guarded(Duration::from_secs(3)), by_token(CLIENT_SECRET)).await;
    scene.until_sent_by("hosted", "first").await;
    scene.until_probe_is(ProbeState::Up).await;
    let begun = std::time::Instant::now();
    let (mut calls, mut by_hook) = (0_u32, 0);
    while begun.elapsed() < Duration::from_secs(5) {
        let got = scene.call(&sms(&format!("e-{calls}"))).await;
        let (status, by) = got.answer();
        assert_eq!(status, "SUCCESSFUL");
        (calls, by_hook) = (calls + 1, by_hook + u32::from(by == Some("hosted")));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(by_hook, calls, "no call found a token that had ended");
    assert!((2..=5).contains(&scene.tokens_given()), "{}", scene.tokens_given());
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_is_one_provider_down() {
    let scene = scene(guarded(Duration::from_secs(3)), by_token(CLIENT_SECRET)).await;
    scene.until_sent_by("hosted", "before").await;
    let hosted = scene.sandbox.provider("hosted").unwrap();
    hosted.set_token_fault(Some(FaultKind::Down));
    scene.until_sent_by("one", "down").await;
    assert_eq!(scene.until_probe_is(ProbeState::Down).await, "token-http-503");
    hosted.set_token_fault(Some(FaultKind::Hang { delivered: false }));
    for turn in 0..5 {
        let got = scene.call(&sms(&format!("hanging-{turn}"))).await;
        assert_eq!(got.answer(), ("SUCCESSFUL", Some("one")));
        assert!(got.took < Duration::from_secs(1), "calls wait for no token: {:?}", got.took);
    }
    hosted.set_token_fault(None);
    scene.until_probe_is(ProbeState::Up).await;
    scene.until_sent_by("hosted", "after").await;
}

#[tokio::test]
async fn a_secret_that_is_wrong_is_named_and_one_that_is_right_needs_no_restart() {
    let mut scene = scene(guarded(Duration::from_mins(5)), by_token("wrong")).await;
    assert_eq!(scene.call(&sms("e-1")).await.answer(), ("SUCCESSFUL", Some("one")));
    assert_eq!(scene.until_probe_is(ProbeState::Down).await, "token-invalid_client");
    let mut right = scene.config.clone();
    right.generation += 1;
    relayed(&scene.sandbox, &mut right, by_token(CLIENT_SECRET));
    replace(&scene.folder.join("config").join(envelope::KEY), &sealed(&right));
    scene.config = right;
    scene.until_sent_by("hosted", "right").await;
}

#[tokio::test]
async fn the_only_providers_client_secret_rotates_in_the_middle_of_traffic_and_no_call_is_lost() {
    let mut scene = scene(guarded(Duration::from_mins(5)), by_token(CLIENT_SECRET)).await;
    scene.until_sent_by("hosted", "before").await;
    let hosted = std::sync::Arc::clone(scene.sandbox.provider("hosted").unwrap());
    let (old, new) = (Secret::new(CLIENT_SECRET), Secret::new("secret-from-now-on"));
    hosted.set_tokens(vec![old, new.clone()]);
    let mut next = scene.config.clone();
    next.generation += 1;
    relayed(&scene.sandbox, &mut next, by_token("secret-from-now-on"));
    next.rules = vec![rule(Action::Send(vec!["hosted".into()]))];
    hosted.set_token_fault(Some(FaultKind::Hang { delivered: false }));
    replace(&scene.folder.join("config").join(envelope::KEY), &sealed(&next));
    scene.config = next;
    for turn in 0..60 {
        let got = scene.call(&sms(&format!("slow-{turn}"))).await;
        assert_eq!(got.answer(), ("SUCCESSFUL", Some("hosted")), "the token before serves while the endpoint is slow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.report().await.providers["hosted"].probe, ProbeState::Up);
    hosted.set_token_fault(None);
    for turn in 0.. {
        assert_eq!(scene.call(&sms(&format!("e-{turn}"))).await.answer(), ("SUCCESSFUL", Some("hosted")));
        if hosted.tokens_shown().get(1).is_some_and(|shown| *shown > 0) {
            break;
        }
        assert!(turn < 1_200, "no token is asked for by the new secret");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    hosted.set_tokens(vec![new]);
    assert_eq!(scene.call(&sms("e-last")).await.answer(), ("SUCCESSFUL", Some("hosted")));
}
