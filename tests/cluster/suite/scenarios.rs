//! The scenarios, each a sentence about what a user may rely on.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    changes, hooks, is_full, leaks, record,
    stage::{SANDBOX, SYSTEM, Stage, TELEPHONY},
    switch, tenants,
    traffic::{self, lifecycle, rotation},
    upgrade,
};

type Scenario = fn(&Stage);

/// Scenarios that share a stage.
pub struct Lane {
    pub name: &'static str,
    /// How many of the first ones apply what all others need.
    pub needed: usize,
    /// In the order in which they run; the search for leaks comes before what takes things away.
    pub scenarios: &'static [(&'static str, Scenario)],
}

/// All scenarios. Lanes run at once, and each takes about as long as the others.
pub const LANES: &[Lane] = &[
    // What people who log in get, whatever is declared and whatever fails.
    Lane {
        name: "gateway",
        needed: 1,
        scenarios: &[
            EXAMPLES,
            ("a voice call is delivered by the primary provider", voice),
            ("whatever way the primary provider fails, the secondary delivers once and in time", failover),
            ("a country is routed elsewhere and a denied one is answered as sent", routing),
            ("manifests that make no sense are refused by the API server with a sentence", bad_manifests),
            ("an invalid change is told to its author and the last good configuration serves on", bad_change),
            ("a provider that is down shows as unhealthy and comes back", provider_health),
            (
                "a rule that lost its only provider fails alone: a new secret and a new pod serve everybody else",
                changes::rule_lost,
            ),
            ("a Twilio API key takes the place of a token that is revoked, and back", changes::api_key),
            ("deleting the leading operator changes nothing for those who log in", operator_gone),
            ("no object is written but leases when nothing changes, and nobody else's hook in Okta is touched", quiet),
            LEAKS,
            ALWAYS_ONE,
        ],
    },
    // What changes or goes away while ten people a second log in: each gets one message by the hook, in time.
    Lane {
        name: "changes",
        needed: 1,
        scenarios: &[
            EXAMPLES,
            ("a provider's token is rotated by its Secret and nobody loses by it", rotation::provider_credential),
            ("a token that its provider revokes at once fails over within each call", rotation::revoked),
            ("a hook's secret is rotated by its Secret and nobody loses by it", rotation::hook_secret),
            ("the serving certificate is renewed in its Secret and nobody loses by it", rotation::certificate),
            (
                "Okta's API token is rotated by its Secret, with no call by the old one once it ends",
                rotation::okta_token,
            ),
            (
                "a changed rule reaches the pods within seconds, without a restart, and nobody loses by it",
                traffic::reload,
            ),
            ("a container that is killed loses what it had begun, and Okta sends that itself", lifecycle::killed),
            ("a pod that is deleted serves until nobody is sent to it, and nobody loses by it", lifecycle::pod_deleted),
            (
                "a rolling update of the gateway loses nobody, whether connections are kept or not",
                lifecycle::rolling_update,
            ),
            (
                "a gateway is scaled by kubectl scale, its pods have no user that is written down, and nobody loses by it",
                lifecycle::scaled,
            ),
            ("with no operator for a while nobody loses anything", lifecycle::operator_away),
            (
                "a container that starts again while the API server is away serves, and nobody loses by it",
                lifecycle::api_server_gone,
            ),
            LEAKS,
            ALWAYS_ONE,
        ],
    },
    // What is kept in Okta, by whom, and for which tenant.
    Lane {
        name: "okta",
        needed: 1,
        scenarios: &[
            EXAMPLES,
            ("what somebody changes in Okta behind our back is named, counted and mended within a poll", hooks::drift),
            ("the active place is handed over and back by kubectl apply, with never two active", hooks::handing_over),
            ("two hooks declared Active are both told and nothing is changed in Okta", hooks::two_active),
            ("a hook that goes with its object is deleted in Okta", hooks::deleted_hook),
            (
                "the leader killed while Okta holds an answer, for each kind of call: the next one finishes",
                hooks::killed,
            ),
            ("with its status lost a hook is found by its mark", hooks::lost_status),
            (
                "somebody else's active hook is a conflict that says the way out, and ours takes over when it goes",
                hooks::conflict,
            ),
            LEAKS,
            ("a namespace goes with everything in it, and its hook is found again", hooks::namespace_gone),
            ("a tenant's namespace that cannot be listed stops nobody else, and is named", tenants::not_listed),
            (
                "an older OktaOrg of another tenant, with a guessed token or a server of its own, takes no org away",
                tenants::claims,
            ),
            ("a tenant's namespace can be locked before an uninstallation", tenants::left_locked),
            ("uninstalling leaves nothing held and Okta as it is", hooks::uninstalled),
            ONE_AT_A_TIME,
        ],
    },
    // A standby hook takes over when it must, and only then. `make failover-table` runs this one.
    Lane {
        name: "switch",
        needed: 2,
        scenarios: &[
            EXAMPLES,
            SET_UP,
            ("when every provider of the active hook fails, the standby is active", switch::faults::providers_fail),
            (
                "when every provider refuses the sender of every message and every probe passes, the standby is active",
                switch::faults::senders_refused,
            ),
            ("when the active hook's gateway is gone, the standby is active", switch::faults::gateway_gone),
            ("when the name of the active hook's host is gone, the standby is active", switch::faults::name_gone),
            (
                "when the active hook's certificate has expired, the standby is active",
                switch::faults::certificate_expired,
            ),
            (
                "when Okta's API is back and a spent budget acknowledged, and not before, the standby is active, however slow Okta",
                switch::faults::okta_away,
            ),
            (
                "when every provider fails and a hook is repointed, the standby is active by one call, there and back",
                switch::faults::repointed,
            ),
            ("nothing is switched needlessly, and it says why", switch::restraint::not_needlessly),
            (
                "a small country, numbers that fail and strangers at the door are no reason to switch",
                switch::restraint::no_reason,
            ),
            (
                "a standby that somebody else serves is proven by passcodes to one number, and is active when the first fails",
                switch::foreign::takes_over,
            ),
            LEAKS,
            ONE_AT_A_TIME,
        ],
    },
    // A switch, and persons, crashes and outages that come into it.
    Lane {
        name: "interruptions",
        needed: 2,
        scenarios: &[
            EXAMPLES,
            SET_UP,
            ("an operator that is blind switches nothing, whatever happens meanwhile", switch::restraint::blind),
            ("a person promotes and brings back, in the cluster and in Okta's console", switch::people::promote),
            (
                "a switch in Okta's console while no operator leads is adopted by the next one",
                switch::crash::nobody_leads,
            ),
            (
                "deleting the object of the active standby brings the first hook back before that",
                switch::people::standby_deleted,
            ),
            (
                "another admin who activates a hook of his own during a failover is told of and not fought",
                switch::people::console_meanwhile,
            ),
            (
                "a secret that somebody set in Okta is mended by one PUT, and nothing is switched",
                switch::people::wrong_secret,
            ),
            (
                "the leader frozen in the middle: the next one ends it, and no stale call does harm",
                switch::crash::frozen,
            ),
            ("a switch whose API server goes while none is active is ended without it", switch::crash::api_server_gone),
            LEAKS,
            ("a switch that is deleted changes nothing in Okta", switch::deleted),
            ONE_AT_A_TIME,
        ],
    },
    // From the release before to this one and back, while passcodes flow. `make upgrade-test` runs this one.
    Lane {
        name: "upgrade",
        needed: 1,
        scenarios: &[
            ("the release before serves its own examples, and its switch proves the standby", upgrade::before),
            (
                "an upgrade loses no call, and changes the standby's gateway before the one that Okta calls",
                upgrade::forward,
            ),
            (
                "an operator that goes back, and forward again, beside newer gateways loses no call",
                upgrade::gateways_first,
            ),
            ("a rollback loses no call", upgrade::back),
            ONE_AT_A_TIME,
        ],
    },
];

const EXAMPLES: (&str, Scenario) =
    ("the examples applied to an empty cluster become ready, active in Okta, and deliver a passcode", examples);
const SET_UP: (&str, Scenario) =
    ("a switch over two hooks keeps the first active and proves the standby", switch::set_up);
const LEAKS: (&str, Scenario) =
    ("no passcode, credential or full number is in any log, event, status or metric of the run", leak_search);
const ALWAYS_ONE: (&str, Scenario) = ("at every instant of the run one hook was active", record::always_one);
const ONE_AT_A_TIME: (&str, Scenario) =
    ("at no instant of the run were two hooks of ours active, nor none but inside a swap", record::one_at_a_time);

const PATIENCE: Duration = Duration::from_secs(60);

/// Passcodes and numbers that were used, for the search at the end. Alphanumeric and 12 long, so that a hit is no chance.
const CODES: &[&str] =
    &["k3Xq9ZpLm2Vw", "T7bRw4NcY8Js", "Hd5Gv2QfMx6K", "Wn9Ae3LtPz7C", "Bq4Uy8KsRj2F", "Zx6Dm1VhTg5N"];
const NUMBERS: &[&str] =
    &["+12025550171", "+12025550172", "+12025550173", "+46701740605", "+12025550174", "+9607712345", "+12025550198"];
const CREDENTIALS: &[&str] = &[
    "sandbox-okta-token",
    "sandbox-twilio-token",
    "sandbox-backup-token",
    "sandbox-nordic-token",
    "sandbox-reserve-token",
    "sandbox-twilio-key",
    "what-the-partner-expects",
    "a-value-that-was-set-afterwards",
    rotation::TWILIO,
    rotation::OKTA,
];

fn delivered_once(stage: &Stage, number: &str, code: &str, provider: &str) {
    let inbox = stage.inbox(number);
    let with_code: Vec<&Value> =
        inbox.iter().filter(|m| m["text"].as_str().unwrap_or("").replace(", ", "").contains(code)).collect();
    assert_eq!(with_code.len(), 1, "the handset must get the passcode once: {inbox:?}");
    assert_eq!(with_code[0]["carrier"], provider);
}

fn examples(stage: &Stage) {
    examples_of(stage, "examples");
}

/// Applies those of a folder of examples.
pub fn examples_of(stage: &Stage, folder: &str) {
    stage.kubectl(&["apply", "-k", &format!("{folder}/sandbox")]);
    for (kind, name) in [
        ("oktaorg", "acme"),
        ("telephonyprovider", "twilio"),
        ("telephonyprovider", "backup"),
        ("telephonyprovider", "nordic"),
        ("routingpolicy", "default"),
        ("telephonygateway", "otp"),
        ("telephonyhook", "acme"),
    ] {
        stage.kubectl(&["wait", "-n", TELEPHONY, "--for=condition=Ready", "--timeout=60s", &format!("{kind}/{name}")]);
    }
    // The judge of GitOps tools, on everything that is there now.
    let objects = stage.kubectl(&[
        "get", "-n", TELEPHONY, "-o", "json",
        "oktaorgs,telephonyproviders,routingpolicies,telephonygateways,telephonyhooks,deployments,services,poddisruptionbudgets",
    ]);
    let judged = stage.judge(&objects);
    assert!(judged.is_ok(), "kstatus: {judged:?}");

    let hooks = stage.okta_hooks();
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    assert_eq!(hooks[0]["status"], "ACTIVE");
    let headers = hooks[0]["channel"]["config"]["headers"].as_array().cloned().unwrap_or_default();
    assert!(
        headers.contains(&json!({"key": "X-Hookswitch-Owner", "value": "sandbox/telephony/acme"})),
        "the mark is missing: {headers:?}"
    );

    let sent = stage.send(NUMBERS[0], json!({"code": CODES[0]}));
    assert_eq!((sent.text("status"), sent.text("delivery"), sent.text("provider")), ("SUCCESSFUL", "hook", "twilio"));
    delivered_once(stage, NUMBERS[0], CODES[0], "twilio");
}

fn voice(stage: &Stage) {
    let sent = stage.send(NUMBERS[1], json!({"channel": "voice", "code": CODES[1]}));
    assert_eq!((sent.text("status"), sent.text("provider")), ("SUCCESSFUL", "twilio"));
    let inbox = stage.inbox(NUMBERS[1]);
    assert_eq!(inbox.len(), 1, "{inbox:?}");
}

/// Heals the primary provider and waits until all replicas use it again: eight passcodes in a row, since each may meet another.
fn trusted(stage: &Stage) {
    stage.sandbox(&["fault", "twilio", "clear"]);
    stage.until("all replicas use the primary provider again", PATIENCE, || {
        (0..8).all(|_| stage.send("+12025550100", json!({})).text("provider") == "twilio")
    });
}

fn failover(stage: &Stage) {
    let faults: [&[&str]; 6] = [
        &["refuse", "--code", "20003", "--status", "401"],
        &["down"],
        &["reset"],
        &["garbage"],
        &["hang"],
        &["trickle", "--ms", "300"],
    ];
    for fault in faults {
        // Each fault meets replicas that have no bad opinion of the provider, so that the attempt is really made.
        trusted(stage);
        stage.sandbox(&["inbox", "--clear"]);
        let mut arguments = vec!["fault", "twilio"];
        arguments.extend(fault);
        stage.sandbox(&arguments);
        let sent = stage.send(NUMBERS[2], json!({"code": CODES[2]}));
        println!(
            "     {:<8} answered {} by {} after {} ms",
            fault[0],
            sent.text("status"),
            sent.text("provider"),
            sent.millis()
        );
        assert_eq!(sent.text("delivery"), "hook", "{fault:?}: {}", sent.0);
        assert_eq!(sent.text("provider"), "backup", "{fault:?}: {}", sent.0);
        assert_eq!(sent.text("status"), "SUCCESSFUL", "{fault:?}: {}", sent.0);
        assert!(sent.millis() < 2_800, "{fault:?}: {}", sent.0);
        if matches!(fault[0], "hang" | "trickle") {
            assert!(sent.millis() > 1_000, "the primary was not asked: {}", sent.0);
        }
        delivered_once(stage, NUMBERS[2], CODES[2], "backup");
    }
    trusted(stage);
}

fn routing(stage: &Stage) {
    let sent = stage.send(NUMBERS[3], json!({"code": CODES[3]}));
    assert_eq!(sent.text("provider"), "nordic", "{}", sent.0);
    delivered_once(stage, NUMBERS[3], CODES[3], "nordic");

    let sent = stage.send(NUMBERS[5], json!({"code": CODES[4]}));
    assert_eq!((sent.text("status"), sent.text("provider")), ("SUCCESSFUL", "HOOKSWITCH-BLOCKED"), "{}", sent.0);
    assert_eq!(stage.inbox(NUMBERS[5]).len(), 0, "a denied number got a message");
}

fn bad_manifests(stage: &Stage) {
    let spec = |kind: &str, spec: Value| {
        json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": kind, "metadata": {"name": "bad"}, "spec": spec})
            .to_string()
    };
    let sender = json!([{"channel": "SMS", "from": "ACME"}]);
    let token = json!({"name": "x", "key": "y"});
    let http = json!({"url": "https://provider.example/", "tokenRef": token});
    let twilio = json!({"accountSid": format!("AC{}", "0".repeat(32)), "authTokenRef": token});
    let rows = [
        (spec("TelephonyProvider", json!({"senders": sender})), "exactly one of twilio, http and oktaHook"),
        (
            spec("TelephonyProvider", json!({"senders": sender, "http": http, "probe": {"interval": "10ms"}})),
            "interval must be between 1s and 1h",
        ),
        (spec("TelephonyProvider", json!({"twilio": twilio})), "twilio needs senders"),
        (
            spec(
                "TelephonyProvider",
                json!({"senders": sender, "http": {"url": "http://provider.example/", "tokenRef": token}}),
            ),
            "should match",
        ),
        (spec("RoutingPolicy", json!({"rules": [{"name": "a"}]})), "exactly one of send and deny"),
        (
            spec("RoutingPolicy", json!({"rules": [{"name": "a", "deny": {}}, {"name": "a", "deny": {}}]})),
            "Duplicate value",
        ),
        (
            spec("RoutingPolicy", json!({"rules": [{"name": "a", "deny": {}, "match": {"countries": ["Sweden"]}}]})),
            "Too long",
        ),
        (
            spec(
                "TelephonyGateway",
                json!({"publicURL": "https://otp.acme.com", "policies": {"names": ["a"]}, "deadline": "5s"}),
            ),
            "Okta gives up after 3s",
        ),
        (
            spec("TelephonyGateway", json!({"publicURL": "https://otp.acme.com", "policies": {}})),
            "exactly one of names and selector",
        ),
        (
            spec("TelephonyHook", json!({"target": {"gatewayRef": {"name": "otp"}}, "state": "Active"})),
            "state needs okta",
        ),
        (
            spec(
                "TelephonyHook",
                json!({"target": {"gatewayRef": {"name": "otp"}}, "headers": [{"name": "X-Hookswitch-Owner", "value": "me"}]}),
            ),
            "reserved",
        ),
        (
            spec("OktaOrg", json!({"url": "http://acme.okta.com", "auth": {"apiToken": {"secretRef": token}}})),
            "should match",
        ),
        (
            spec(
                "OktaOrg",
                json!({"url": "https://acme.okta.com", "auth": {"apiToken": {"secretRef": token}}, "pollInterval": "1s"}),
            ),
            "between 15s and 1h",
        ),
    ];
    for (manifest, expected) in rows {
        match stage.apply(&manifest) {
            Ok(_) => panic!("accepted: {manifest}"),
            Err(error) => {
                assert!(error.contains(expected), "{manifest}\nwas refused with {error}\ninstead of: {expected}")
            }
        }
    }
}

fn bad_change(stage: &Stage) {
    let broken =
        json!([{"op": "replace", "path": "/spec/rules/2/send/providers", "value": [{"name": "nobody"}]}]).to_string();
    let good = json!([{"op": "replace", "path": "/spec/rules/2/send/providers", "value": [{"name": "twilio"}, {"name": "backup"}]}]).to_string();
    stage.kubectl(&["patch", "-n", TELEPHONY, "routingpolicy", "default", "--type=json", "-p", &broken]);
    stage.until("the policy says what is wrong", PATIENCE, || {
        stage.condition("routingpolicy", "default", "Ready").starts_with("False")
    });
    let message = stage.get("routingpolicy", "default").to_string();
    assert!(message.contains("nobody"), "the missing provider is not named");
    thread::sleep(Duration::from_secs(5));
    let sent = stage.send("+12025550100", json!({}));
    assert_eq!(sent.text("provider"), "twilio", "the last good rule must serve on: {}", sent.0);
    stage.kubectl(&["patch", "-n", TELEPHONY, "routingpolicy", "default", "--type=json", "-p", &good]);
    stage.until("the policy is ready again", PATIENCE, || {
        stage.condition("routingpolicy", "default", "Ready").starts_with("True")
    });
}

fn provider_health(stage: &Stage) {
    let healthy = || stage.condition("telephonyprovider", "twilio", "Healthy");
    stage.until("the provider shows as healthy", PATIENCE, || healthy().starts_with("True"));
    stage.sandbox(&["fault", "twilio", "down"]);
    let fall = stage.until("the dead provider shows as unhealthy", PATIENCE, || healthy().starts_with("False"));
    assert!(
        stage.condition("telephonyprovider", "twilio", "Ready").starts_with("True"),
        "a provider that is down must stay Ready"
    );
    stage.sandbox(&["fault", "twilio", "clear"]);
    let rise = stage.until("the provider shows as healthy again", PATIENCE, || healthy().starts_with("True"));
    println!("     seen down after {:.1} s, up after {:.1} s", fall.as_secs_f64(), rise.as_secs_f64());
}

fn operator_gone(stage: &Stage) {
    let holder = || {
        stage
            .kubectl(&["get", "lease", "-n", SYSTEM, "-o", "jsonpath={.items[*].spec.holderIdentity}"])
            .trim()
            .to_owned()
    };
    // a provider that other scenarios broke may still be on its way back
    stage.until("all providers are healthy", PATIENCE, || {
        ["twilio", "backup", "nordic"]
            .iter()
            .all(|name| stage.condition("telephonyprovider", name, "Healthy") == "True Usable")
    });
    let first = holder();
    assert!(!first.is_empty(), "nobody holds the lease");
    let pod = first.split_whitespace().next().and_then(|h| h.split('_').next()).unwrap_or("").to_owned();
    let before = stage.audit().lines().count();
    stage.kubectl(&["delete", "pod", "-n", SYSTEM, &pod, "--grace-period=0", "--force"]);
    assert_eq!(stage.send("+12025550100", json!({})).text("status"), "SUCCESSFUL");
    let took = stage.until("another replica leads", Duration::from_secs(90), || {
        let now = holder();
        !now.is_empty() && now != first
    });
    println!("     another replica led after {:.1} s", took.as_secs_f64());
    assert_eq!(stage.okta_hooks().iter().filter(|hook| hook["status"] == "ACTIVE").count(), 1);
    // The new leader finds everything as it should be: status must not flap because it knows less at first.
    thread::sleep(Duration::from_secs(8));
    let written = stage.written_since(before, &["leases", "events"]);
    assert!(written.is_empty(), "written because the leader changed: {written:#?}");
    stage.until("the operator's pods are ready", PATIENCE, || {
        stage
            .kubectl(&["get", "deployment", "-n", SYSTEM, "-o", "jsonpath={.items[0].status.readyReplicas}"])
            .trim()
            .parse::<u32>()
            .is_ok_and(|ready| ready == 2)
    });
}

fn quiet(stage: &Stage) {
    let seconds = if is_full() { 300 } else { 60 };
    let foreign = stage.somebody_else(
        "POST",
        "/api/v1/inlineHooks",
        &json!({
            "name": "Somebody else's", "type": "com.okta.import.transform", "version": "1.0.0",
            "channel": {"type": "HTTP", "version": "1.0.0", "config": {
                "uri": "https://else.example/", "method": "POST", "headers": [],
                "authScheme": {"type": "HEADER", "key": "Authorization", "value": "something else"}}},
        }),
    );
    // What the scenarios before have stirred up settles first.
    thread::sleep(Duration::from_secs(20));
    let before = stage.audit().lines().count();
    thread::sleep(Duration::from_secs(seconds));
    let written = stage.written_since(before, &["leases"]);
    assert!(written.is_empty(), "written within {seconds} s although nothing changed: {written:#?}");

    let now = stage.okta_hooks();
    let same = now.iter().find(|hook| hook["id"] == foreign["id"]).expect("the foreign hook is still there");
    assert_eq!(same["lastUpdated"], foreign["lastUpdated"], "the foreign hook was written to");
    assert_eq!(same["channel"], foreign["channel"]);
    let telephony = now.iter().filter(|hook| hook["type"] == "com.okta.telephony.provider");
    assert_eq!(telephony.filter(|hook| hook["status"] == "ACTIVE").count(), 1);
}

fn leak_search(stage: &Stage) {
    leaks::prove_the_search_finds();
    // whose metrics are read must answer
    stage.kubectl(&["wait", "-n", SYSTEM, "--for=condition=Ready", "--timeout=120s", "pods", "--all"]);
    let mut searched: Vec<(String, String)> = Vec::new();
    for namespace in [TELEPHONY, SYSTEM, SANDBOX] {
        let pods = stage.kubectl(&["get", "pods", "-n", namespace, "-o", "name"]);
        for pod in pods.lines() {
            searched.push((format!("log of {pod}"), stage.kubectl(&["logs", "-n", namespace, pod, "--tail=-1"])));
            if namespace != SANDBOX {
                let path = format!(
                    "/api/v1/namespaces/{namespace}/pods/{}:9090/proxy/metrics",
                    pod.trim_start_matches("pod/")
                );
                searched.push((format!("metrics of {pod}"), stage.kubectl(&["get", "--raw", &path])));
            }
        }
        // The sandbox's own manifest says its tokens, as the demo wants.
        if namespace != SANDBOX {
            searched.push((
                format!("events, statuses and objects of {namespace}"),
                stage.kubectl(&[
                    "get",
                    "-n",
                    namespace,
                    "-o",
                    "json",
                    "events,telephony,deployments,pods,configmaps,services,endpointslices",
                ]),
            ));
        }
    }
    let generated = stage.get("secret", "acme-hook-auth");
    let generated = stage.decode(generated["data"]["value"].as_str().expect("the generated secret has a value"));
    let secrets: Vec<&str> =
        CODES.iter().chain(NUMBERS).chain(CREDENTIALS).copied().chain([generated.as_str()]).collect();
    let mut bytes = 0;
    for (place, text) in &searched {
        bytes += text.len();
        let found = leaks::search(text, secrets.iter().copied());
        assert!(found.is_empty(), "{place}: {found:#?}");
    }
    println!("     {} outputs, {bytes} bytes, {} secrets", searched.len(), secrets.len());
    assert!(bytes > 20_000, "there was nothing to search: were the logs at trace level?");
}
