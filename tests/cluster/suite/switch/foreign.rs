//! A standby that somebody else serves. Here that is the reserve gateway, of which this hook knows a URL and a secret and no more.

use serde_json::{Value, json};

use super::{
    FIRST, PATIENCE, active, at_rest, back, delivers, patch, providers_down, signal_is, status, table::taken_over_by,
};
use crate::stage::{Stage, TELEPHONY};

const NAME: &str = "Acme passcodes, partner";

/// The one number that passcodes may be sent to for a test.
const TESTED: &str = "+12025550198";

/// What the owner of the URL has, and what he gave.
fn objects() -> Value {
    let secret = json!({"header": {"secretRef": {"name": "partner", "key": "secret"}}});
    let hook = |name: &str, spec: Value| json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyHook", "metadata": {"name": name}, "spec": spec});
    let url = json!({
        "address": "https://reserve-gateway.telephony.svc/hooks/partner",
        "test": {"phoneNumber": TESTED, "interval": "5m"},
    });
    let okta = json!({"orgRef": {"name": "acme"}, "name": NAME});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "partner"},
            "stringData": {"secret": "Bearer what-the-partner-expects"}},
        hook("partner", json!({"target": {"gatewayRef": {"name": "reserve"}}, "auth": secret})),
        hook("acme-partner", json!({"target": {"url": url}, "auth": secret, "okta": okta, "deletion": "Delete"})),
    ]})
}

pub fn takes_over(stage: &Stage) {
    stage.apply(&objects().to_string()).unwrap_or_else(|error| panic!("{error}"));
    let served = || stage.condition("telephonyhook", "partner", "Ready") == "True Ready";
    stage.until("its owner serves it", PATIENCE, served);
    patch(stage, &json!({"hooks": [{"name": "acme"}, {"name": "acme-partner"}]}));
    stage.until("a passcode came to the number", PATIENCE, || !stage.inbox(TESTED).is_empty());
    at_rest(stage);
    assert_eq!(status(stage)["standby"], "acme-partner");
    for source in ["PublicURL", "Test"] {
        assert!(signal_is(stage, "acme-partner", source, "Pass"), "{source}");
    }

    let outage = providers_down(stage);
    let took = taken_over_by(stage, NAME, outage);
    println!("     the standby that somebody else serves was active after {:.1} s", took.as_secs_f64());
    delivers(stage, "reserve");
    stage.until("the switch says so", PATIENCE, || status(stage)["active"] == "acme-partner");
    let confirmed = stage.condition("hookswitch", "acme", "TrafficConfirmed");
    assert_eq!(confirmed, "Unknown NoReport", "nobody reports of calls there");
    stage.calm();
    back(stage, "partner");
    assert!(stage.inbox(TESTED).len() <= 3, "no more than the tests that were due");

    patch(stage, &json!({"hooks": [{"name": "acme"}, {"name": "acme-standby"}]}));
    for hook in ["acme-partner", "partner"] {
        stage.kubectl(&["delete", "-n", TELEPHONY, "telephonyhook", hook, "--timeout=60s"]);
    }
    assert_eq!(active(stage), FIRST);
    at_rest(stage);
}
