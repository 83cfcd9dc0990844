//! Whatever way the active hook fails, the standby is active within seconds, and everything stays Ready meanwhile.

use std::time::Duration;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    FIRST, PATIENCE, STANDBY, active, annotate, at_rest, back, delivers, fault, held, named, patch, patch_object,
    providers_down, settled, signal, signal_is, status,
    table::{Aim, confirmed, last_record, row, taken_over},
};
use crate::{
    ready::Watch,
    record::{gaps, turns_since},
    stage::{Stage, TELEPHONY},
};

/// Providers are probed by gateways, as examples/sandbox has it,
const BY_PROVIDERS: Aim = Aim { interval: 2, timeout: 1 };
/// pods are observed by the switch, as examples/sandbox-standby has it, and need no probe,
const BY_PODS: Aim = Aim { interval: 1, timeout: 0 };
/// and so is the public address, which has as long as Okta gives it.
const BY_ADDRESS: Aim = Aim { interval: 1, timeout: 3 };

/// The public host of the first hook's gateway.
const HOST: &str = "otp-gateway.telephony.svc";

/// Okta's way to the operator and back, where a scenario makes it long.
const ROUND_TRIP: Duration = Duration::from_millis(80);

pub fn providers_fail(stage: &Stage) {
    let watch = Watch::begin(stage);
    for (turn, kind) in ["down", "hang"].into_iter().enumerate() {
        let outage = fault(stage, &["twilio", "backup"], kind);
        let took = taken_over(stage, outage);
        delivers(stage, "reserve");
        stage.until("the switch says so", PATIENCE, || status(stage)["active"] == "acme-standby");
        assert_eq!(stage.condition("hookswitch", "acme", "FailoverActive"), "True OnStandby");
        stage.until("the first call is told of", PATIENCE, || {
            stage.condition("hookswitch", "acme", "TrafficConfirmed") == "True CallsArrive"
        });
        let record = last_record(stage);
        assert_eq!((&record["cause"], &record["outcome"]), (&json!("Failed"), &json!("Switched")), "{record}");
        row(stage, &format!("every provider {kind}"), (took, BY_PROVIDERS), outage);
        stage.calm();
        back(stage, &format!("providers-{turn}"));
    }
    watch.all_ready();
}

/// Every provider refuses the sender of every message, and each of their probes passes: nobody gets a passcode all the same.
pub fn senders_refused(stage: &Stage) {
    let refused = [
        ("twilio", json!({"kind": "refuse", "code": "21660", "status": 400})),
        ("backup", json!({"kind": "refuse", "code": "sender-unknown", "class": "permanent-config", "scope": "sender"})),
    ];
    for (provider, fault) in refused {
        stage.control("POST", &format!("/v1/carriers/{provider}/faults"), &json!({ "fault": fault }));
    }
    let outage = Timestamp::now();
    for person in 0..25 {
        let sent = stage.send(&format!("+120255501{person:02}"), json!({}));
        // on a busy machine the standby takes over before the last of them
        if sent.text("provider") == "reserve" {
            break;
        }
        assert_eq!(sent.text("status"), "FAILED", "{}", sent.0);
    }
    let took = taken_over(stage, outage);
    println!(
        "     the standby was active {:.1} s after the first of up to 25 messages with a refused sender",
        took.as_secs_f64()
    );
    delivers(stage, "reserve");
    let (result, why) = signal(stage, "acme", "Coverage");
    assert_eq!(result, "Fail", "{why}");
    let reported = stage.get("telephonyprovider", "twilio")["status"].to_string();
    assert!(reported.contains("21660"), "whoever is on call learns why: {reported}");
    stage.calm();
    // a sender that was refused is asked again by a pod that knows nothing of it, or in ten minutes
    stage.kubectl(&["delete", "pods", "-n", TELEPHONY, "-l", "hookswitch.dev/gateway=otp", "--wait=false"]);
    back(stage, "senders");
}

pub fn gateway_gone(stage: &Stage) {
    let watch = Watch::begin(stage);
    let node = stage.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    stage.kubectl(&["cordon", &node]);
    let pods = "hookswitch.dev/gateway=otp";
    let outage = Timestamp::now();
    stage.kubectl(&["delete", "pods", "-n", TELEPHONY, "-l", pods, "--grace-period=0", "--force"]);
    let took = taken_over(stage, outage);
    row(stage, "the gateway's pods gone", (took, BY_PODS), outage);
    delivers(stage, "reserve");
    stage.kubectl(&["uncordon", &node]);
    back(stage, "gateway");
    watch.all_ready();
}

/// Both corroborating signals of a hook's address have been heard.
fn address_is_well(stage: &Stage) {
    for signal in ["PublicURL", "Execute"] {
        stage.until(&format!("{signal} speaks for the first hook"), PATIENCE, || {
            signal_is(stage, "acme", signal, "Pass")
        });
    }
}

/// Gives the first gateway another public host; Okta gets it by one PUT.
fn public_host(stage: &Stage, host: &str) {
    patch_object(stage, "telephonygateway", "otp", &json!({"publicURL": format!("https://{host}")}));
    stage.until("Okta has the new address", PATIENCE, || {
        let uri = named(stage, FIRST)["channel"]["config"]["uri"].clone();
        uri.as_str().is_some_and(|uri| uri.contains(host))
    });
    at_rest(stage);
}

pub fn name_gone(stage: &Stage) {
    let mut public = stage.get("service", "otp-gateway");
    public["spec"] = json!({"selector": public["spec"]["selector"], "ports": public["spec"]["ports"]});
    public["metadata"] = json!({"name": "otp-public"});
    let public = public.to_string();
    stage.apply(&public).unwrap_or_else(|error| panic!("{error}"));
    public_host(stage, "otp-public.telephony.svc");
    address_is_well(stage);

    let watch = Watch::begin(stage);
    let outage = Timestamp::now();
    stage.kubectl(&["delete", "service", "otp-public", "-n", TELEPHONY]);
    let took = taken_over(stage, outage);
    row(stage, "the public host's name gone", (took, BY_ADDRESS), outage);
    delivers(stage, "reserve");
    let (result, why) = signal(stage, "acme", "PublicURL");
    assert!(result == "Fail" && why.contains("name does not resolve"), "{result}: {why}");
    assert!(signal_is(stage, "acme", "Gateway", "Pass"), "its pods are well");
    stage.apply(&public).unwrap_or_else(|error| panic!("{error}"));
    back(stage, "name");
    watch.all_ready();
    public_host(stage, HOST);
    stage.kubectl(&["delete", "service", "otp-public", "-n", TELEPHONY]);
}

/// The year in which the serving certificate of a pod ends.
fn serves_until(stage: &Stage, address: &str) -> String {
    let call = format!(
        "curl -vks --max-time 5 -o /dev/null --resolve {HOST}:8443:{address} https://{HOST}:8443/ 2>&1 | grep 'expire date'; true"
    );
    let line = stage.script("ns.sh", &["sh", "-c", &call]);
    line.split_whitespace().rev().nth(1).unwrap_or_default().to_owned()
}

/// Puts a serving certificate in place of another, and has the node mount it now and not at its next round. How soon each pod
/// has it and takes it up is no part of what is measured afterwards.
fn serve_with(stage: &Stage, certificate: &Value, is_it: impl Fn(&str) -> bool) {
    let patch = json!({ "data": certificate }).to_string();
    stage.kubectl(&["patch", "secret", "-n", TELEPHONY, "otp-tls", "--type=merge", "-p", &patch]);
    let of_gateway = ["-n", TELEPHONY, "-l", "hookswitch.dev/gateway=otp"];
    let addresses = [&["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"][..], &of_gateway].concat();
    let addresses = stage.kubectl(&addresses);
    stage.until("each pod serves the certificate", PATIENCE * 2, || {
        // a node that hears of it before it knows the Secret's change mounts what was there
        let touched = format!("hookswitch.dev/touched={}", Timestamp::now().as_millisecond());
        stage.kubectl(&[&["annotate", "--overwrite", "pods", &touched][..], &of_gateway].concat());
        std::thread::sleep(Duration::from_secs(1));
        addresses.split_whitespace().all(|address| is_it(&serves_until(stage, address)))
    });
}

pub fn certificate_expired(stage: &Stage) {
    address_is_well(stage);
    let watch = Watch::begin(stage);
    let good = stage.get("secret", "otp-tls")["data"].clone();
    let mut params = rcgen::CertificateParams::new([HOST.to_owned()]).expect("a host name");
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let key = rcgen::KeyPair::generate().expect("a key");
    let expired = params.self_signed(&key).expect("a certificate");
    let encoded = |pem: String| base64::engine::general_purpose::STANDARD.encode(pem);
    let (begun, expired) =
        (Timestamp::now(), json!({"tls.crt": encoded(expired.pem()), "tls.key": encoded(key.serialize_pem())}));
    serve_with(stage, &expired, |year| year == "2021");
    let whole = Timestamp::now().duration_since(begun);
    let took = taken_over(stage, begun).saturating_sub(whole.unsigned_abs());
    row(stage, "certificate expired, from when each pod serves it", (took, BY_ADDRESS), begun);
    delivers(stage, "reserve");
    assert!(signal_is(stage, "acme", "Gateway", "Pass"), "its pods are well");
    serve_with(stage, &good, |year| year != "2021" && !year.is_empty());
    stage.until("the operator reaches it again", PATIENCE * 2, || signal_is(stage, "acme", "PublicURL", "Pass"));
    back(stage, "certificate");
    watch.all_ready();
}

/// Every provider fails while Okta's management API is away and the budget is spent: nothing is switched before both are well
/// again, and then it is although each call takes long.
pub fn okta_away(stage: &Stage) {
    let watch = Watch::begin(stage);
    let spent = status(stage)["automatic"].as_array().map_or(0, Vec::len);
    patch(stage, &json!({"budget": {"switches": spent.max(1)}}));
    stage.behave(&json!({"latencyMs": ROUND_TRIP.as_millis()}));
    let away = json!({"call": "any", "when": "before", "fault": {"kind": "status", "status": 503}});
    stage.control("POST", "/v1/orgs/acme/faults", &away);
    stage.until("Okta is known to be away", PATIENCE, || {
        stage.condition("hookswitch", "acme", "FailoverReady") == "Unknown Unknown"
    });
    providers_down(stage);
    stage.until("it is held: OktaUnknown", PATIENCE, || held(stage, "OktaUnknown"));
    assert_eq!(active(stage), FIRST);
    stage.control("DELETE", "/v1/orgs/acme/faults", &Value::Null);
    stage.until("it is held: BudgetSpent", PATIENCE, || held(stage, "BudgetSpent"));
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(active(stage), FIRST, "nobody has acknowledged");
    let word = Timestamp::now();
    annotate(stage, "hookswitch.dev/acknowledge=looked-at-it");
    let took = taken_over(stage, word);
    let switched =
        row(stage, "every provider down, 80 ms to Okta, from an acknowledgement", (took, BY_PROVIDERS), word);
    assert_eq!(status(stage)["handled"]["acknowledge"], "looked-at-it");
    delivers(stage, "reserve");
    patch(stage, &json!({"budget": {"switches": 20}}));
    stage.calm();
    back(stage, "okta-away");
    // the way back is the same switch: the better of both is what it takes on a machine that does two things at once
    let most = ROUND_TRIP * 4 + Duration::from_millis(100);
    let both = [switched.confirmed, confirmed(&last_record(stage))];
    println!("     four calls of 80 ms, from the decision to the confirmation: {both:?}");
    stage.behave(&json!({"latencyMs": 0}));
    watch.all_ready();
    let longest = SignedDuration::try_from(ROUND_TRIP * 2 + Duration::from_millis(50)).expect("a short time");
    let gaps: Vec<SignedDuration> = gaps(&turns_since(stage, word)).iter().map(|gap| gap.lasted).collect();
    assert!(gaps.iter().any(|gap| *gap <= longest), "two round trips and 50 ms: {gaps:?}");
    assert!(both.iter().any(|took| *took <= most), "four calls and 100 ms: {both:?}");
}

/// The same two hooks with one of them in Okta: the other's okta block goes, and Okta's hook with it.
pub fn repointed(stage: &Stage) {
    let uri = || {
        let hook = named(stage, FIRST);
        assert_eq!(hook["status"], "ACTIVE", "{hook}");
        hook["channel"]["config"]["uri"].as_str().unwrap_or_default().to_owned()
    };
    patch_object(stage, "telephonyhook", "acme-standby", &json!({"okta": null}));
    patch(stage, &json!({"strategy": "Repoint"}));
    // without a switch before this one it was never created
    if let Some(id) = named(stage, STANDBY)["id"].as_str() {
        stage.somebody_else("DELETE", &format!("/api/v1/inlineHooks/{id}"), &Value::Null);
    }
    settled(stage);
    let watch = Watch::begin(stage);
    let outage = providers_down(stage);
    stage.until("Okta is pointed at the standby", PATIENCE, || uri().contains("reserve-gateway"));
    let took = Timestamp::now().duration_since(outage).unsigned_abs();
    let switched = row(stage, "every provider down, by Repoint", (took, BY_PROVIDERS), outage);
    assert!(switched.gap.is_none(), "{:?}", switched.gap);
    delivers(stage, "reserve");
    stage.until("the switch says so", PATIENCE, || status(stage)["active"] == "acme-standby");
    stage.calm();
    back(stage, "repointed");
    watch.all_ready();
    assert!(uri().contains("otp-gateway"));
    patch(stage, &json!({"strategy": null}));
    let okta = json!({"okta": {"orgRef": {"name": "acme"}, "name": STANDBY}});
    patch_object(stage, "telephonyhook", "acme-standby", &okta);
    settled(stage);
}
