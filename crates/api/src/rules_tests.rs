//! Every CEL rule of the CRDs, with what it takes and what it refuses. The real API server's word on the same rules is
//! asked by the cluster suite.

use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::{HookSwitch, OktaOrg, RoutingPolicy, TelephonyGateway, TelephonyHook, TelephonyProvider, testing::merge};

macro_rules! accepted {
    ($kind:ty, $spec:expr) => {{
        let spec = $spec;
        let object = json!({"metadata": {"name": "x", "namespace": "otp"}, "spec": spec.clone()});
        let object: $kind = serde_json::from_value(object).unwrap();
        if let Err(errors) = kube::core::cel::validate_cel(&object) {
            panic!("{spec} is refused: {errors:?}");
        }
    }};
}

macro_rules! refused {
    ($kind:ty, $spec:expr, $message:literal) => {{
        let spec = $spec;
        let object = json!({"metadata": {"name": "x", "namespace": "otp"}, "spec": spec.clone()});
        let object: $kind = serde_json::from_value(object).unwrap();
        let errors = kube::core::cel::validate_cel(&object).expect_err(&format!("{spec} is taken"));
        assert!(format!("{errors:?}").contains($message), "{spec}: {errors:?}");
    }};
}

macro_rules! change_refused {
    ($kind:ty, $old:expr, $new:expr, $message:literal) => {{
        let object = |spec: Value| -> $kind {
            serde_json::from_value(json!({"metadata": {"name": "x", "namespace": "otp"}, "spec": spec})).unwrap()
        };
        let (old, new) = (object($old), object($new));
        assert!(kube::core::cel::validate_cel_update(&old, &old).is_ok(), "an unchanged object is taken");
        let errors = kube::core::cel::validate_cel_update(&new, &old).expect_err("the change is taken");
        assert!(format!("{errors:?}").contains($message), "{errors:?}");
    }};
}

/// What a rule says of an object as it is written, where the types take no such object.
macro_rules! written_refused {
    ($kind:ty, $spec:expr, $message:literal) => {{
        let crd = serde_json::to_value(<$kind as kube::CustomResourceExt>::crd()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let object = json!({"metadata": {"name": "x", "namespace": "otp"}, "spec": $spec});
        assert!(serde_json::from_value::<$kind>(object.clone()).is_err(), "{object} is read");
        let errors = kube::core::cel::Validator::new().validate(schema, &object, None).unwrap_err();
        assert!(format!("{errors:?}").contains($message), "{object}: {errors:?}");
    }};
}

/// `base` with `change` put over it; null takes a field away.
fn with(base: &Value, change: Value) -> Value {
    let mut spec = base.clone();
    merge(&mut spec, change);
    spec
}

fn org() -> Value {
    json!({"url": "https://acme.okta.com", "auth": {"apiToken": {"secretRef": {"name": "okta", "key": "token"}}}})
}

#[test]
fn an_org_is_polled_between_every_fifteen_seconds_and_every_hour() {
    accepted!(OktaOrg, org());
    for good in ["15s", "60s", "1h", "60m"] {
        accepted!(OktaOrg, with(&org(), json!({"pollInterval": good})));
    }
    for bad in ["14s", "14999ms", "2h", "0s"] {
        refused!(OktaOrg, with(&org(), json!({"pollInterval": bad})), "between 15s and 1h");
    }
}

#[test]
fn an_orgs_address_cannot_be_changed() {
    change_refused!(OktaOrg, org(), with(&org(), json!({"url": "https://other.okta.com"})), "url cannot be changed");
}

#[test]
fn a_ca_bundle_is_in_one_place() {
    let key = json!({"name": "ca", "key": "ca.crt"});
    accepted!(OktaOrg, with(&org(), json!({"caBundleRef": {"configMapKeyRef": key}})));
    accepted!(OktaOrg, with(&org(), json!({"caBundleRef": {"secretKeyRef": key}})));
    refused!(OktaOrg, with(&org(), json!({"caBundleRef": {}})), "exactly one of configMapKeyRef");
    let both = json!({"caBundleRef": {"configMapKeyRef": key, "secretKeyRef": key}});
    refused!(OktaOrg, with(&org(), both), "exactly one of configMapKeyRef");
}

fn hook() -> Value {
    json!({"target": {"gatewayRef": {"name": "main"}}, "okta": {"orgRef": {"name": "acme"}, "name": "Acme OTP"}})
}

#[test]
fn a_state_needs_an_org() {
    accepted!(TelephonyHook, with(&hook(), json!({"state": "Active"})));
    accepted!(TelephonyHook, with(&hook(), json!({"okta": null})));
    refused!(TelephonyHook, with(&hook(), json!({"okta": null, "state": "Active"})), "state needs okta");
}

#[test]
fn adoption_and_deletion_need_an_org() {
    for policy in [json!({"adoption": "IfMatches"}), json!({"deletion": "Delete"})] {
        accepted!(TelephonyHook, with(&hook(), policy.clone()));
        let without = with(&hook(), json!({"okta": null}));
        refused!(TelephonyHook, with(&without, policy), "adoption and deletion need okta");
    }
}

#[test]
fn reserved_headers_carry_neither_the_secret_nor_values() {
    for good in ["Authorization", "X-Secret"] {
        accepted!(TelephonyHook, with(&hook(), json!({"auth": {"header": {"name": good}}})));
    }
    for bad in ["accept", "Content-Type", "CONTENT-LENGTH", "Host", "connection", "Transfer-Encoding", "User-Agent"] {
        refused!(TelephonyHook, with(&hook(), json!({"auth": {"header": {"name": bad}}})), "reserved");
        refused!(TelephonyHook, with(&hook(), json!({"headers": [{"name": bad, "value": "x"}]})), "reserved");
    }
    for bad in ["Authorization", "x-hookswitch-owner"] {
        refused!(TelephonyHook, with(&hook(), json!({"headers": [{"name": bad, "value": "x"}]})), "reserved");
    }
    refused!(TelephonyHook, with(&hook(), json!({"auth": {"header": {"name": "X-Hookswitch-Owner"}}})), "reserved");
    accepted!(TelephonyHook, with(&hook(), json!({"headers": [{"name": "X-Env", "value": "prod"}]})));
}

#[test]
fn a_hook_does_not_move_to_another_org() {
    let moved = with(&hook(), json!({"okta": {"orgRef": {"name": "other"}}}));
    change_refused!(TelephonyHook, hook(), moved, "orgRef cannot be changed");
}

fn foreign(url: &Value) -> Value {
    let auth = json!({"header": {"secretRef": {"name": "partner", "key": "secret"}}});
    with(&hook(), json!({"target": {"gatewayRef": null, "url": url}, "auth": auth}))
}

#[test]
fn a_hook_leads_to_a_gateway_or_to_a_url() {
    let url = json!({"address": "https://otp.partner.example/okta"});
    accepted!(TelephonyHook, hook());
    accepted!(TelephonyHook, foreign(&url));
    let both = with(&foreign(&url), json!({"target": {"gatewayRef": {"name": "main"}}}));
    written_refused!(TelephonyHook, both, "exactly one of gatewayRef and url");
    let neither = with(&hook(), json!({"target": {"gatewayRef": null}}));
    written_refused!(TelephonyHook, neither, "exactly one of gatewayRef and url");
}

#[test]
fn a_url_needs_the_secret_that_its_owner_expects() {
    let url = json!({"address": "https://otp.partner.example/okta"});
    for auth in [json!(null), json!({"header": {"secretRef": null, "name": "X-Secret"}})] {
        let without = with(&foreign(&url), json!({"auth": auth}));
        refused!(TelephonyHook, without, "target.url needs auth.header.secretRef");
    }
}

#[test]
fn the_example_of_a_url_is_taken() {
    let text = include_str!("../../../examples/foreign-standby/standby.yaml");
    let hook = text.split("---\n").find(|part| part.contains("kind: TelephonyHook")).unwrap();
    let hook: TelephonyHook = serde_saphyr::from_str(hook).unwrap();
    kube::core::cel::validate_cel(&hook).unwrap();
    assert!(hook.spec.target.test().is_some());
}

#[test]
fn a_test_number_gets_a_passcode_between_every_five_minutes_and_every_day() {
    let tested = |interval: &str| {
        let test = json!({"phoneNumber": "+12025550199", "channel": "Voice", "interval": interval});
        foreign(&json!({"address": "https://otp.partner.example/okta", "test": test}))
    };
    for good in ["5m", "300s", "24h"] {
        accepted!(TelephonyHook, tested(good));
    }
    for bad in ["299s", "25h"] {
        refused!(TelephonyHook, tested(bad), "interval must be between 5m and 24h");
    }
}

#[test]
fn an_address_has_neither_user_nor_fragment_nor_white_space_and_a_probe_is_a_path() {
    let crd = serde_json::to_value(<TelephonyHook as kube::CustomResourceExt>::crd()).unwrap();
    let url = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/target/properties/url");
    let pattern = |field: &str| {
        let pattern = url.and_then(|url| url.pointer(&format!("/properties/{field}/pattern"))).and_then(Value::as_str);
        regex_automata::dfa::regex::Regex::new(pattern.unwrap()).unwrap()
    };
    let address = pattern("address");
    for good in ["https://a.example", "https://a.example:8443/x/@y?z=%20", "https://a.example?z=1"] {
        assert!(address.is_match(good), "{good}");
    }
    for bad in [
        "http://a.example",
        "https://",
        "https:///x",
        "https://user@a.example/",
        "https://user:pass@a.example/",
        "https://a.example/#x",
        "https://a.example/a b",
        "https://a.example#x",
        "https://a.example\n/",
        "https://a.example:x/",
    ] {
        assert!(!address.is_match(bad), "{bad}");
    }
    let path = pattern("probe/properties/path");
    assert!(path.is_match("/") && path.is_match("/health?deep=1"));
    for bad in ["", "health", "/a b", "/#x", "https://a.example/"] {
        assert!(!path.is_match(bad), "{bad}");
    }
    let number = pattern("test/properties/phoneNumber");
    assert!(number.is_match("+12025550199"));
    for bad in ["12025550199", "+0202555019", "+1202", "+1 202 555 0199", "+1234567890123456"] {
        assert!(!number.is_match(bad), "{bad}");
    }
}

fn gateway() -> Value {
    json!({"policies": {"names": ["default"]}, "publicURL": "https://otp.acme.com"})
}

#[test]
fn a_gateway_answers_before_okta_gives_up() {
    accepted!(TelephonyGateway, gateway());
    for good in ["500ms", "2500ms", "2800ms"] {
        let short = json!({"deadline": good, "proxyAllowance": "0s", "attempts": {"floor": "100ms"}});
        accepted!(TelephonyGateway, with(&gateway(), short));
    }
    for bad in ["499ms", "2801ms", "3s", "1m"] {
        refused!(TelephonyGateway, with(&gateway(), json!({"deadline": bad})), "between 500ms and 2800ms");
    }
    accepted!(TelephonyGateway, with(&gateway(), json!({"proxyAllowance": "1s"})));
    refused!(TelephonyGateway, with(&gateway(), json!({"proxyAllowance": "1001ms"})), "at most 1s");
    accepted!(TelephonyGateway, with(&gateway(), json!({"keepAlive": "650s"})));
    for bad in ["4999ms", "2h"] {
        refused!(TelephonyGateway, with(&gateway(), json!({"keepAlive": bad})), "between 5s and 1h");
    }
    accepted!(TelephonyGateway, with(&gateway(), json!({"attempts": {"floor": "100ms"}})));
    for bad in ["99ms", "2001ms"] {
        refused!(TelephonyGateway, with(&gateway(), json!({"attempts": {"floor": bad}})), "between 100ms and 2s");
    }
}

#[test]
fn a_gateways_times_leave_room_for_one_attempt() {
    let times = |deadline: &str, allowance: &str, floor: &str| {
        with(&gateway(), json!({"deadline": deadline, "proxyAllowance": allowance, "attempts": {"floor": floor}}))
    };
    accepted!(TelephonyGateway, times("600ms", "0s", "500ms"));
    accepted!(TelephonyGateway, times("2800ms", "700ms", "2s"));
    accepted!(TelephonyGateway, with(&gateway(), json!({"deadline": "800ms"})));
    refused!(TelephonyGateway, times("500ms", "450ms", "100ms"), "must leave attempts.floor");
    refused!(TelephonyGateway, times("500ms", "0s", "500ms"), "must leave attempts.floor");
    refused!(TelephonyGateway, times("2800ms", "701ms", "2s"), "must leave attempts.floor");
    refused!(TelephonyGateway, with(&gateway(), json!({"deadline": "799ms"})), "must leave attempts.floor");
    refused!(
        TelephonyGateway,
        with(&gateway(), json!({"proxyAllowance": "1s", "attempts": {"floor": "2s"}})),
        "must leave attempts.floor"
    );
}

#[test]
fn a_gateways_policies_come_by_name_or_by_label() {
    let labels = json!({"matchLabels": {"team": "iam"}});
    accepted!(TelephonyGateway, with(&gateway(), json!({"policies": {"names": null, "selector": labels}})));
    refused!(TelephonyGateway, with(&gateway(), json!({"policies": {"selector": labels}})), "exactly one of names");
    refused!(TelephonyGateway, with(&gateway(), json!({"policies": {"names": null}})), "exactly one of names");
}

#[test]
fn a_certificate_that_an_ingress_asks_for_has_a_secret_of_its_own() {
    let asks = |annotation: &str| json!({"ingress": {"annotations": {annotation: "letsencrypt"}}});
    for annotation in ["cert-manager.io/issuer", "cert-manager.io/cluster-issuer", "kubernetes.io/tls-acme"] {
        let asks = with(&gateway(), asks(annotation));
        refused!(TelephonyGateway, asks.clone(), "ingress.tlsSecretRef");
        accepted!(TelephonyGateway, with(&asks, json!({"ingress": {"tlsSecretRef": {"name": "otp-acme-com"}}})));
        accepted!(TelephonyGateway, with(&asks, json!({"tls": {"secretRef": {"name": "otp-acme-com"}}})));
    }
    accepted!(TelephonyGateway, with(&gateway(), json!({"ingress": {}})));
    accepted!(TelephonyGateway, with(&gateway(), asks("nginx.ingress.kubernetes.io/backend-protocol")));
}

#[test]
fn an_ingress_is_for_a_name() {
    for (url, taken) in [
        ("https://203.0.113.5", false),
        ("https://203.0.113.5:8443/in", false),
        ("https://otp.acme.com/in", true),
        ("https://5.acme.com:8443", true),
    ] {
        accepted!(TelephonyGateway, with(&gateway(), json!({"publicURL": url})));
        let spec = with(&gateway(), json!({"publicURL": url, "ingress": {}}));
        if taken {
            accepted!(TelephonyGateway, spec);
        } else {
            refused!(TelephonyGateway, spec, "for a host name");
        }
    }
}

#[test]
fn load_balancer_settings_need_one() {
    let service = |service: Value| with(&gateway(), json!({"service": service}));
    for field in [json!({"loadBalancerClass": "x/nlb"}), json!({"loadBalancerSourceRanges": ["192.0.2.0/24"]})] {
        accepted!(TelephonyGateway, service(with(&json!({"type": "LoadBalancer"}), field.clone())));
        for kind in [json!({}), json!({"type": "NodePort"})] {
            refused!(TelephonyGateway, service(with(&kind, field.clone())), "need type LoadBalancer");
        }
    }
    for kind in ["LoadBalancer", "NodePort"] {
        accepted!(TelephonyGateway, service(json!({"type": kind, "externalTrafficPolicy": "Local"})));
    }
    refused!(TelephonyGateway, service(json!({"externalTrafficPolicy": "Local"})), "LoadBalancer or NodePort");
    let class = |class: &str| service(json!({"type": "LoadBalancer", "loadBalancerClass": class}));
    change_refused!(TelephonyGateway, class("a"), class("b"), "loadBalancerClass cannot be changed");
    let without = service(json!({"type": "LoadBalancer"}));
    change_refused!(TelephonyGateway, without.clone(), class("b"), "loadBalancerClass cannot be changed");
    change_refused!(TelephonyGateway, class("b"), without, "loadBalancerClass cannot be changed");
}

#[test]
fn two_ip_families_differ_and_are_asked_for() {
    let service = |service: Value| with(&gateway(), json!({"service": service}));
    let both = json!({"ipFamilies": ["IPv6", "IPv4"]});
    for policy in ["PreferDualStack", "RequireDualStack"] {
        accepted!(TelephonyGateway, service(with(&both, json!({"ipFamilyPolicy": policy}))));
        let twice = json!({"ipFamilies": ["IPv6", "IPv6"], "ipFamilyPolicy": policy});
        refused!(TelephonyGateway, service(twice), "must differ");
    }
    refused!(TelephonyGateway, service(both.clone()), "need ipFamilyPolicy");
    refused!(TelephonyGateway, service(with(&both, json!({"ipFamilyPolicy": "SingleStack"}))), "need ipFamilyPolicy");
    accepted!(TelephonyGateway, service(json!({"ipFamilies": ["IPv6"]})));
    let one = |family: &str| service(json!({"ipFamilies": [family]}));
    change_refused!(TelephonyGateway, one("IPv4"), one("IPv6"), "a Service keeps it");
}

#[test]
fn labels_by_which_pods_are_found_cannot_be_set() {
    accepted!(
        TelephonyGateway,
        with(&gateway(), json!({"podLabels": {"team": "iam", "app.kubernetes.io/part-of": "otp"}}))
    );
    for label in ["app.kubernetes.io/name", "app.kubernetes.io/component", "hookswitch.dev/gateway"] {
        refused!(TelephonyGateway, with(&gateway(), json!({"podLabels": {label: "x"}})), "the pods are found by them");
    }
}

#[test]
fn a_pod_does_not_take_for_ever_to_stop() {
    for good in ["0s", "90s", "10m"] {
        accepted!(TelephonyGateway, with(&gateway(), json!({"lameDuck": good})));
    }
    refused!(TelephonyGateway, with(&gateway(), json!({"lameDuck": "601s"})), "at most 10m");
}

/// Without a value at its path the API server answers reads of the scale subresource with an error, and no autoscaler works.
#[test]
fn the_scale_subresource_finds_its_replicas_in_a_gateway_that_does_not_say_them() {
    let crd = serde_json::to_value(<TelephonyGateway as kube::CustomResourceExt>::crd()).unwrap();
    let version = &crd["spec"]["versions"][0];
    assert_eq!(version["subresources"]["scale"]["specReplicasPath"], ".spec.replicas");
    let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let declared: super::TelephonyGatewaySpec = serde_json::from_value(gateway()).unwrap();
    assert_eq!(spec["properties"]["replicas"]["default"], declared.replicas(), "and as many as the operator makes");
}

/// A default that the API server writes shows as a difference to GitOps tools, and stays when a release changes it.
#[test]
fn no_other_field_has_a_default_in_the_schema() {
    fn defaults(schema: &Value, path: &str, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if key == "default" {
                        found.push(path.to_owned());
                    }
                    defaults(value, &format!("{path}/{key}"), found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| defaults(item, path, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for crd in super::crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        defaults(&schema, &crd.spec.names.kind, &mut found);
    }
    assert_eq!(found, ["TelephonyGateway/openAPIV3Schema/properties/spec/properties/replicas"]);
}

#[test]
fn a_rule_either_sends_or_denies() {
    let policy = |rule: Value| json!({"rules": [with(&json!({"name": "all"}), rule)]});
    accepted!(RoutingPolicy, policy(json!({"send": {"providers": [{"name": "twilio"}]}})));
    accepted!(RoutingPolicy, policy(json!({"deny": {}})));
    refused!(RoutingPolicy, policy(json!({})), "exactly one of send and deny");
    let both = json!({"send": {"providers": [{"name": "twilio"}]}, "deny": {}});
    refused!(RoutingPolicy, policy(both), "exactly one of send and deny");
}

fn provider() -> Value {
    json!({"http": {"url": "https://sms.test/send", "tokenRef": {"name": "sms", "key": "token"}},
        "senders": [{"channel": "SMS", "from": "+15005550006"}]})
}

#[test]
fn a_provider_is_of_one_kind() {
    let twilio = json!({"accountSid": format!("AC{}", "0".repeat(32)), "authTokenRef": {"name": "t", "key": "token"}});
    accepted!(TelephonyProvider, provider());
    accepted!(TelephonyProvider, with(&provider(), json!({"http": null, "twilio": twilio})));
    refused!(
        TelephonyProvider,
        with(&provider(), json!({"twilio": twilio})),
        "exactly one of twilio, http and oktaHook"
    );
    refused!(TelephonyProvider, with(&provider(), json!({"http": null})), "exactly one of twilio, http and oktaHook");
}

#[test]
fn twilio_needs_senders_and_others_choose_their_own() {
    let twilio = json!({"accountSid": format!("AC{}", "0".repeat(32)), "authTokenRef": {"name": "t", "key": "token"}});
    accepted!(TelephonyProvider, with(&provider(), json!({"senders": null})));
    refused!(
        TelephonyProvider,
        with(&provider(), json!({"http": null, "twilio": twilio, "senders": null})),
        "twilio needs senders"
    );
    refused!(
        TelephonyProvider,
        with(&provider(), json!({"http": null, "twilio": twilio, "senders": []})),
        "twilio needs senders"
    );
}

#[test]
fn an_okta_hook_is_shown_a_header_or_a_token_and_no_reserved_header_is_set() {
    let secret = json!({"name": "hosted", "key": "secret"});
    let hook = |auth: Value, headers: Value| json!({"oktaHook": {"url": "https://hooks.vendor.example/okta", "auth": auth, "headers": headers}});
    let header = json!({"header": {"secretRef": secret}});
    let client = json!({"tokenURL": "https://login.vendor.example/token", "clientID": "a", "clientSecretRef": secret});
    accepted!(TelephonyProvider, hook(header.clone(), json!([{"name": "X-Env", "value": "prod"}])));
    accepted!(TelephonyProvider, hook(json!({"oauth2": client}), json!([])));
    refused!(TelephonyProvider, hook(json!({}), json!([])), "exactly one of header and oauth2");
    let both = with(&header, json!({"oauth2": client}));
    refused!(TelephonyProvider, hook(both, json!([])), "exactly one of header and oauth2");
    let reserved = json!({"header": {"name": "Content-Type", "secretRef": secret}});
    refused!(TelephonyProvider, hook(reserved, json!([])), "it is reserved");
    refused!(TelephonyProvider, hook(header, json!([{"name": "host", "value": "elsewhere.example"}])), "reserved");
}

#[test]
fn a_twilio_account_has_a_token_or_an_api_key() {
    let secret = json!({"name": "t", "key": "token"});
    let key = json!({"sid": format!("SK{}", "0".repeat(32)), "secretRef": secret});
    let twilio = |credential: Value| {
        let account = json!({"accountSid": format!("AC{}", "0".repeat(32))});
        with(&provider(), json!({"http": null, "twilio": with(&account, credential)}))
    };
    accepted!(TelephonyProvider, twilio(json!({"authTokenRef": secret})));
    accepted!(TelephonyProvider, twilio(json!({"apiKey": key})));
    refused!(TelephonyProvider, twilio(json!({})), "exactly one of authTokenRef and apiKey");
    let both = json!({"authTokenRef": secret, "apiKey": key});
    refused!(TelephonyProvider, twilio(both), "exactly one of authTokenRef and apiKey");
}

fn twilio_account() -> Value {
    json!({"accountSid": format!("AC{}", "0".repeat(32)), "authTokenRef": {"name": "t", "key": "token"}})
}

#[test]
fn a_twilio_host_is_named_by_region_and_edge_or_by_its_address() {
    let twilio = |host: Value| with(&provider(), json!({"http": null, "twilio": with(&twilio_account(), host)}));
    accepted!(TelephonyProvider, twilio(json!({"region": "ie1", "edge": "dublin"})));
    accepted!(TelephonyProvider, twilio(json!({"baseURL": "https://proxy.test"})));
    refused!(TelephonyProvider, twilio(json!({"region": "ie1"})), "region and edge go together");
    refused!(TelephonyProvider, twilio(json!({"edge": "dublin"})), "region and edge go together");
    let both = json!({"region": "ie1", "edge": "dublin", "baseURL": "https://proxy.test"});
    refused!(TelephonyProvider, twilio(both), "both name the host");
    let of = |field: &str| pattern(&TelephonyProvider::crd(), &format!("/twilio/properties/{field}"));
    for (field, good, bad) in [
        ("region", ["ie1", "us1"], ["ie", "IE1", "ie1.evil.test", ""]),
        ("edge", ["dublin", "sao-paulo"], ["Dublin", "a.b", "-a", ""]),
        (
            "statusCallback",
            ["https://otp.acme.test:8443/twilio?token=a1", "https://otp.acme.test"],
            ["http://otp.acme.test/", "https://otp_1.acme.test/", "https://user@acme.test/", "https://acme.test/ x"],
        ),
    ] {
        let pattern = of(field);
        assert!(good.iter().all(|text| pattern.is_match(text)), "{field}");
        assert!(!bad.iter().any(|text| pattern.is_match(text)), "{field}");
    }
}

#[test]
fn a_verify_service_needs_no_senders_and_has_no_settings_of_messages() {
    let service = json!({"serviceSid": format!("VA{}", "0".repeat(32))});
    let verify = |more: Value| {
        let account = with(&with(&twilio_account(), json!({"verify": service})), more);
        json!({"twilio": account})
    };
    accepted!(TelephonyProvider, verify(json!({})));
    accepted!(TelephonyProvider, verify(json!({"riskCheck": "Disable", "region": "us1", "edge": "ashburn"})));
    for (field, value) in
        [("contentRetention", "Discard"), ("addressRetention", "Obfuscate"), ("statusCallback", "https://a.test")]
    {
        refused!(TelephonyProvider, verify(json!({field: value})), "are of messages and calls");
        let message = json!({"http": null, "twilio": with(&twilio_account(), json!({field: value}))});
        accepted!(TelephonyProvider, with(&provider(), message));
    }
    refused!(TelephonyProvider, json!({"twilio": twilio_account()}), "twilio needs senders");
}

#[test]
fn the_examples_of_providers_are_taken() {
    let examples = [
        include_str!("../../../examples/providers/twilio.yaml"),
        include_str!("../../../examples/providers/okta-hook.yaml"),
    ];
    for text in examples {
        let providers: Vec<TelephonyProvider> =
            text.split("---\n").map(|part| serde_saphyr::from_str(part).unwrap()).collect();
        assert!(!providers.is_empty());
        for provider in providers {
            kube::core::cel::validate_cel(&provider).unwrap();
        }
    }
}

#[test]
fn a_name_is_not_declared_for_countries_whose_networks_take_none() {
    let sender = |channel: &str, countries: Value, from: &str| {
        with(&provider(), json!({"senders": [{"channel": channel, "countries": countries, "from": from}]}))
    };
    accepted!(TelephonyProvider, sender("SMS", json!(["SE", "GB"]), "ACME"));
    accepted!(TelephonyProvider, sender("SMS", json!([]), "ACME"));
    for from in ["+15005550006", "12345", &format!("MG{}", "0a".repeat(16))] {
        accepted!(TelephonyProvider, sender("SMS", json!(["US", "CA"]), from));
    }
    accepted!(TelephonyProvider, sender("Voice", json!(["US"]), "+15005550006"));
    for country in ["AS", "CA", "GU", "PR", "US", "VI"] {
        refused!(TelephonyProvider, sender("SMS", json!(["SE", country]), "ACME"), "take no names");
    }
}

#[test]
fn a_sender_is_one_that_networks_take_on_its_channel() {
    let sender =
        |channel: &str, from: &str| with(&provider(), json!({"senders": [{"channel": channel, "from": from}]}));
    let service = format!("MG{}", "0a".repeat(16));
    for good in
        ["+15005550006", "12345", "123", "ACME", "ACME-AD", "Acme & Co", "A", "a_1+2 b-c&d", "911Rescue", &service]
    {
        accepted!(TelephonyProvider, sender("SMS", good));
    }
    for bad in ["Acme Passcodes", "ACME-ADVERTS", "12", "123456789", "+0123456789", "+1", "1-2", "   ", &service[1..]] {
        refused!(TelephonyProvider, sender("SMS", bad), "an SMS comes from");
    }
    accepted!(TelephonyProvider, sender("Voice", "+15005550006"));
    for bad in ["ACME", "12345", "15005550006", "+1500555000612345", &service] {
        refused!(TelephonyProvider, sender("Voice", bad), "a call comes from");
    }
    let characters = pattern(&TelephonyProvider::crd(), "/senders/items/properties/from");
    assert!(characters.is_match("Acme & Co-1_+"));
    for bad in ["Acme.Co", "Acmé", "A,B", "A/B", ""] {
        assert!(!characters.is_match(bad), "{bad}");
    }
}

/// The pattern of a field of a spec, by its path there.
fn pattern(crd: &impl serde::Serialize, field: &str) -> regex_automata::dfa::regex::Regex {
    let crd = serde_json::to_value(crd).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let pattern = crd.pointer(&format!("{spec}{field}/pattern")).and_then(Value::as_str);
    regex_automata::dfa::regex::Regex::new(pattern.unwrap()).unwrap()
}

#[test]
fn a_header_may_have_any_name_that_http_allows() {
    for field in ["/auth/properties/header/properties/name", "/headers/items/properties/name"] {
        let name = pattern(&TelephonyHook::crd(), field);
        for good in ["auth_secret", "X-Secret", "x.y", "!#$%&'*+-.^_`|~1a"] {
            assert!(name.is_match(good), "{good}");
        }
        for bad in ["", "a b", "a:b", "a(b)", "a\tb", "a\"b", "a/b", "ä"] {
            assert!(!name.is_match(bad), "{bad}");
        }
    }
}

#[test]
fn a_provider_is_probed_within_bounds() {
    accepted!(TelephonyProvider, with(&provider(), json!({"probe": {"interval": "1s", "timeout": "100ms"}})));
    for bad in ["999ms", "2h"] {
        refused!(TelephonyProvider, with(&provider(), json!({"probe": {"interval": bad}})), "between 1s and 1h");
    }
    for bad in ["99ms", "31s"] {
        refused!(TelephonyProvider, with(&provider(), json!({"probe": {"timeout": bad}})), "between 100ms and 30s");
    }
}

#[test]
fn every_rule_of_every_crd_is_asked_here() {
    let tests = include_str!("rules_tests.rs");
    for crd in super::crds() {
        let mut messages = Vec::new();
        collect(&serde_json::to_value(&crd).unwrap(), &mut messages);
        for message in messages {
            let asked = tests
                .lines()
                .filter_map(|line| line.rsplit('"').nth(1))
                .any(|part| part.len() >= 8 && message.contains(part));
            assert!(asked, "{:?}: no row is refused with {message:?}", crd.metadata.name);
        }
    }
}

fn collect(schema: &Value, messages: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            let rules = fields.get("x-kubernetes-validations").and_then(Value::as_array);
            messages.extend(rules.into_iter().flatten().filter_map(|rule| rule["message"].as_str().map(str::to_owned)));
            fields.values().for_each(|field| collect(field, messages));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, messages)),
        _ => {}
    }
}

#[test]
fn a_switch_has_at_least_two_hooks_and_times_within_their_bounds() {
    let base = json!({"hooks": [{"name": "a"}, {"name": "b"}]});
    let window = |from: &str, until: &str| json!({"maintenance": [{"from": from, "until": until}]});
    accepted!(HookSwitch, base.clone());
    accepted!(HookSwitch, with(&base, json!({"mode": "Observe", "delay": "1s", "cooldown": "10s", "paused": true})));
    accepted!(HookSwitch, with(&base, json!({"detection": {"interval": "1s"}, "budget": {"window": "1m"}})));
    accepted!(HookSwitch, with(&base, json!({"failback": {"after": "10m"}})));
    accepted!(HookSwitch, with(&base, window("2026-11-24T10:00:00Z", "2026-11-24T12:00:00+01:00")));
    for delay in ["0s", "500ms", "11m"] {
        refused!(HookSwitch, with(&base, json!({"delay": delay})), "delay must be between 1s and 10m");
    }
    refused!(HookSwitch, with(&base, json!({"cooldown": "9s"})), "cooldown must be between 10s and 24h");
    refused!(HookSwitch, with(&base, json!({"detection": {"interval": "2m"}})), "interval must be between 1s and 1m");
    let address = |timeout: &str| json!({"detection": {"publicURL": {"enabled": true, "timeout": timeout}}});
    let execute = |interval: &str| json!({"detection": {"execute": {"interval": interval}}});
    accepted!(HookSwitch, with(&base, address("500ms")));
    accepted!(HookSwitch, with(&base, execute("1h")));
    refused!(HookSwitch, with(&base, address("11s")), "timeout must be between 500ms and 10s");
    let log =
        |interval: &str| json!({"detection": {"systemLog": {"interval": interval, "fallbacks": 30, "minimum": 3}}});
    accepted!(HookSwitch, with(&base, log("10s")));
    refused!(HookSwitch, with(&base, log("5s")), "interval must be between 10s and 10m");
    refused!(HookSwitch, with(&base, execute("5s")), "interval must be between 15s and 1h");
    refused!(HookSwitch, with(&base, json!({"budget": {"window": "30s"}})), "window must be between 1m and 168h");
    refused!(HookSwitch, with(&base, json!({"failback": {"after": "5s"}})), "after must be between 1m and 168h");
    refused!(
        HookSwitch,
        with(&base, window("2026-11-24T12:00:00Z", "2026-11-24T10:00:00Z")),
        "from must be before until"
    );
}
