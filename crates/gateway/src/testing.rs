//! A gateway's configuration and Okta's calls, for tests of what serves them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "for tests"
)]

use serde_json::{Value, json};

use hookswitch_gateway_config::document::{
    Account, Action, GatewayConfig, HookConfig, Match, OnAmbiguous, Probe, ProviderConfig, Report, Rule, Timing,
};

/// What the hook of [`config`] takes in the header `authorization`.
pub const SECRET: &str = "Bearer 0123456789abcdef";
pub const REPORT_TOKEN: &str = "a-token-of-the-report";
pub const NUMBER: &str = "+46701740605";
pub const CODE: &str = "493817";

/// Everything by these providers in their order, for the one hook `h`; providers may be on this machine.
pub fn config<'a>(providers: impl IntoIterator<Item = (&'a str, ProviderConfig)>) -> GatewayConfig {
    let (names, providers): (Vec<_>, _) =
        providers.into_iter().map(|(name, provider)| (name.to_owned(), (name.to_owned(), provider))).unzip();
    GatewayConfig {
        gateway: "ns/gateway".into(),
        generation: 1,
        timing: Timing { deadline_ms: 2_500, proxy_allowance_ms: 0, attempt_floor_ms: 500, max_attempts: 3 },
        on_ambiguous: OnAmbiguous::Continue,
        default_region: None,
        allowed_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
        proxy: None,
        proxy_exceptions: Vec::new(),
        extra_roots: None,
        replicas: 1,
        report: report(),
        hooks: [("h".to_owned(), HookConfig::new("authorization".into(), vec![SECRET.into()]))].into(),
        providers,
        rules: vec![rule(Action::Send(names))],
    }
}

/// Credentials of a report, with a certificate for the name `report`.
pub fn report() -> Report {
    let made = rcgen::generate_simple_self_signed(["report".to_owned()]).unwrap();
    Report {
        token: REPORT_TOKEN.into(),
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem().as_str().into(),
    }
}

/// One that takes the documented JSON request, and is hardly ever probed.
pub fn provider(url: &str, token: &str) -> ProviderConfig {
    ProviderConfig {
        account: Account::Http { url: url.to_owned(), token: token.into() },
        senders: Vec::new(),
        probe: Probe { interval_ms: 600_000, timeout_ms: 2_000, fall: 3, rise: 2 },
        max_in_flight: 200,
        ca_bundle: None,
    }
}

/// A rule for everything.
pub fn rule(action: Action) -> Rule {
    Rule { policy: "p".into(), name: "all".into(), priority: None, matches: Match::default(), action, critical: false }
}

/// Okta's body for one SMS.
pub fn sms(event: &str) -> Value {
    json!({
        "eventId": event,
        "eventType": "com.okta.telephony.provider",
        "eventTypeVersion": "1.0",
        "cloudEventsVersion": "0.1",
        "contentType": "application/json",
        "source": "https://acme.okta.com/api/v1/inlineHooks/calz6lVQA77AwFeEe0g3",
        "requestType": "com.okta.user.telephony.mfa-verification",
        "data": {
            "context": {"request": {"id": "req", "method": "POST"}},
            "userProfile": {"login": "a@example.com"},
            "messageProfile": {
                "msgTemplate": format!("Your code is {CODE}"), "phoneNumber": NUMBER,
                "deliveryChannel": "SMS", "otpCode": CODE, "locale": "EN-US"
            }
        }
    })
}
