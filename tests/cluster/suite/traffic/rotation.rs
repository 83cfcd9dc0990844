//! Each credential is changed by changing a Secret.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hookswitch_sandbox::certs::{Authority, Issued};
use serde_json::{Value, json};

use super::{PATIENCE, nobody_loses, patch, pods};
use crate::{
    load::{self, Load},
    stage::{Stage, TELEPHONY},
};

/// Tokens that take the place of those of examples/sandbox for a while.
pub const TWILIO: &str = "another-token-of-twilio";
pub const OKTA: &str = "another-token-of-okta";

/// Passcodes in a row after which it is no chance that one of two pods was never met.
const ENOUGH: u64 = 20;

/// Somebody with whom we have a token.
struct Party<'s> {
    stage: &'s Stage,
    /// Where the sandbox keeps its tokens.
    path: &'static str,
    /// The Secret in which ours is.
    secret: &'static str,
}

impl Party<'_> {
    /// These are taken from now on and no other.
    fn takes(&self, tokens: &[&str]) {
        let shown = self.stage.control("PUT", self.path, &json!({ "tokens": tokens }));
        assert_eq!(shown["shown"].as_array().map(Vec::len), Some(tokens.len()), "{shown}");
    }

    /// How often each was shown since.
    fn shown(&self) -> Vec<u64> {
        let shown = self.stage.control("GET", self.path, &Value::Null);
        serde_json::from_value(shown["shown"].clone()).unwrap_or_else(|_| panic!("no tokens: {shown}"))
    }

    /// Ours is another one.
    fn ours_is(&self, token: &str) {
        patch(self.stage, &format!("secret/{}", self.secret), &json!({"stringData": {"token": token}}));
    }
}

fn twilio(stage: &Stage) -> Party<'_> {
    Party { stage, path: "/v1/carriers/twilio/tokens", secret: "twilio" }
}

/// Waits until passcodes go by the primary provider again, whatever pod they meet.
fn by_twilio(stage: &Stage) {
    stage.until("passcodes go by the primary provider", PATIENCE, || {
        (0..8).all(|_| stage.send("+12025550100", json!({})).text("provider") == "twilio")
    });
}

/// A provider takes the old token beside the new one until the gateways have the new one.
pub fn provider_credential(stage: &Stage) {
    by_twilio(stage);
    let (before, twilio) = (pods(stage), twilio(stage));
    let all = nobody_loses(stage, |load| {
        for (old, new) in [("sandbox-twilio-token", TWILIO), (TWILIO, "sandbox-twilio-token")] {
            twilio.takes(&[old, new]);
            twilio.ours_is(new);
            stage.until("every pod shows the new token", PATIENCE, || {
                let old = twilio.shown()[0];
                load.more(ENOUGH);
                let now = twilio.shown();
                now[0] == old && now[1] > 0
            });
            twilio.takes(&[new]);
            load.more(load::AROUND);
        }
    });
    assert!(all.iter().all(|asked| asked.provider() == "twilio"), "some went by another provider");
    assert_eq!(pods(stage), before, "a changed credential must not restart pods");
}

/// A provider takes the old token no more, and nobody has told us: the next provider sends within the same call.
pub fn revoked(stage: &Stage) {
    by_twilio(stage);
    let (before, twilio) = (pods(stage), twilio(stage));
    let all = nobody_loses(stage, |load| {
        for new in [TWILIO, "sandbox-twilio-token"] {
            twilio.takes(&[new]);
            load.more(ENOUGH);
            twilio.ours_is(new);
            by_twilio(stage);
        }
    });
    let by_backup = all.iter().filter(|asked| asked.provider() == "backup").count();
    println!("     {by_backup} of them by the next provider");
    assert!(by_backup > 0, "the token was not revoked");
    assert_eq!(pods(stage), before, "a changed credential must not restart pods");
}

/// A hook's generated secret is deleted: another one is made, Okta is told, and either is taken until it has it.
pub fn hook_secret(stage: &Stage) {
    let before = pods(stage);
    let mark = || stage.get("telephonyhook", "acme")["status"]["appliedSecretMark"].clone();
    nobody_loses(stage, |load| {
        let old = mark();
        stage.kubectl(&["delete", "secret", "-n", TELEPHONY, "acme-hook-auth"]);
        let took = stage.until("Okta has the new secret", PATIENCE, || mark().is_string() && mark() != old);
        println!("     Okta had it after {:.1} s", took.as_secs_f64());
        load.more(load::AROUND);
    });
    assert_eq!(pods(stage), before, "a changed secret must not restart pods");
}

/// The certificates that a pod serves, as PEM in one line.
fn served(stage: &Stage, address: &str) -> String {
    let host = "otp-gateway.telephony.svc";
    let resolve = format!("{host}:8443:{address}");
    let (url, print) = (format!("https://{host}:8443/"), "%{certs}");
    let call = ["curl", "-ks", "--max-time", "5", "-o", "/dev/null", "-w", print, "--resolve", &resolve, &url];
    stage.script("ns.sh", &call).split_whitespace().collect()
}

/// The serving certificate is renewed; no connection is refused by a client that trusts its authority.
pub fn certificate(stage: &Stage) {
    let before = pods(stage);
    let authority = Authority::in_dir(&stage.work.join("certs")).expect("the stage's authority");
    let hosts = ["otp-gateway.telephony.svc".to_owned(), "otp-public.telephony.svc".to_owned()];
    let renewed = authority.issue(&hosts).expect("a certificate");
    let addresses = ["get", "pods", "-n", TELEPHONY, "-l", "hookswitch.dev/gateway=otp", "-o"];
    let addresses = stage.kubectl(&[&addresses[..], &["jsonpath={.items[*].status.podIP}"]].concat());
    let serve = |load: &Load<'_>, Issued { cert_pem, key_pem }: &Issued| {
        let data = json!({"tls.crt": STANDARD.encode(cert_pem), "tls.key": STANDARD.encode(key_pem)});
        patch(stage, "secret/otp-tls", &json!({ "data": data }));
        let wanted: String = cert_pem.split_whitespace().collect();
        let took = stage.until("every pod serves the certificate", PATIENCE, || {
            addresses.split_whitespace().all(|address| served(stage, address).contains(&wanted))
        });
        println!("     served after {:.1} s", took.as_secs_f64());
        load.more(load::AROUND);
    };
    let value = |field: &str| stage.get("secret", "otp-tls")["data"][field].as_str().map(|value| stage.decode(value));
    let old = Issued {
        cert_pem: value("tls.crt").expect("a certificate"),
        key_pem: value("tls.key").expect("a private key"),
    };
    nobody_loses(stage, |load| {
        serve(load, &renewed);
        serve(load, &old);
    });
    assert_eq!(pods(stage), before, "a changed certificate must not restart pods");
}

/// Okta's API token is replaced as the guide says it: the old one is revoked when the new one is in use.
pub fn okta_token(stage: &Stage) {
    let before = pods(stage);
    let okta = Party { stage, path: "/v1/orgs/acme/tokens", secret: "okta" };
    let refused = || {
        let calls = stage.control("GET", "/v1/orgs/acme/calls", &Value::Null);
        calls.as_array().into_iter().flatten().filter(|call| call["status"] == 401).count()
    };
    let (refused_before, hooks) = (refused(), stage.okta_hooks());
    nobody_loses(stage, |_| {
        for (old, new) in [("sandbox-okta-token", OKTA), (OKTA, "sandbox-okta-token")] {
            okta.takes(&[old, new]);
            okta.ours_is(new);
            stage.until("the operator shows the new token", PATIENCE, || okta.shown()[1] > 0);
            okta.takes(&[new]);
        }
        stage.until("it is shown again", PATIENCE, || okta.shown()[0] > 0);
    });
    assert_eq!(refused(), refused_before, "calls were made with a revoked token");
    assert_eq!(stage.condition("oktaorg", "acme", "Ready"), "True Ready");
    assert_eq!(stage.okta_hooks(), hooks, "a token is nothing to the hooks");
    assert_eq!(pods(stage), before, "a changed token must not restart pods");
}
