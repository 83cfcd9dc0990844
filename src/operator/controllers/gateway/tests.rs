//! Reconciles over a gateway whose Secrets others write too, between the operator and an API server; and which configuration is
//! written.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::{
    Failure, Held,
    credentials::{self, ServingCertificate},
    document, envelope, seal, sending,
};
use crate::operator::{
    model::gateway_names::Names,
    runtime::{
        error::ReconcileError,
        reconcile::{Reconcile as _, Requeue},
    },
    testing::world::{GATEWAYS, HOOKS, SECRETS, World, WriteFault},
    tests::flow,
};
use hookswitch_api::{TelephonyGateway, reason::Ready};
use hookswitch_gateway_config::{document::GatewayConfig, report::ReplicaReport};
use hookswitch_okta::{Failure as OktaFailure, ObjectRef, types::HookStatus};

fn world(spec: &Value) -> World {
    let mut world = World::new();
    let mut gateway = flow::gateway();
    for (field, value) in spec.as_object().unwrap() {
        gateway["spec"][field] = value.clone();
    }
    world.server.put(&format!("{GATEWAYS}/main"), gateway);
    world.sync();
    world
}

fn gateway(world: &World) -> Arc<TelephonyGateway> {
    world.ctx.memory.caches.gateways.get("otp", "main").unwrap()
}

async fn serving(world: &World) -> Result<ServingCertificate, ReconcileError> {
    let gateway = gateway(world);
    let names = Names::of(&gateway).unwrap();
    let name = gateway.spec.tls.as_ref().map_or(&names.tls, |tls| &tls.secret_ref.name).clone();
    let present = world.server.get(&format!("{SECRETS}/{name}"));
    let present: Option<Secret> = present.map(|secret| serde_json::from_value(secret).unwrap());
    credentials::serving(&gateway, &world.ctx.runtime.kube, &names, present.as_ref()).await
}

/// A certificate for the gateway's host as an authority gives them: for 90 days.
fn of_90_days() -> Value {
    let mut params = CertificateParams::new(vec!["otp.acme.com".to_owned()]).unwrap();
    params.not_after = (std::time::SystemTime::now() + Duration::from_hours(90 * 24)).into();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    json!({"tls.crt": STANDARD.encode(certificate.pem()), "tls.key": STANDARD.encode(key.serialize_pem())})
}

fn field(manager: &str) -> Value {
    let keys = json!({".": {}, "f:tls.crt": {}, "f:tls.key": {}});
    json!({"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": keys}})
}

fn tls_secret(world: &World, owner: Option<&str>, managers: &[&str], data: &Value) -> Value {
    let uid = owner.map_or_else(|| gateway(world).uid().unwrap(), str::to_owned);
    let owner = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyGateway", "name": "main", "uid": uid, "controller": true});
    let fields: Vec<_> = managers.iter().map(|manager| field(manager)).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data,
        "metadata": {"name": "main-gateway-tls", "namespace": "otp", "ownerReferences": [owner], "managedFields": fields}})
}

fn put_tls(world: &World, secret: Value) {
    world.server.put(&format!("{SECRETS}/main-gateway-tls"), secret);
}

#[tokio::test]
async fn a_reconcile_reads_its_deployment_once_whether_it_changes_it_or_not() {
    let mut world = world(&json!({}));
    for pass in ["the first", "the next"] {
        world.sync();
        world.server.paths_read();
        TelephonyGateway::reconcile(gateway(&world), Arc::clone(&world.ctx)).await.unwrap();
        let read = world.server.paths_read();
        let of_deployments = read.iter().filter(|path| path.ends_with("/deployments/main-gateway")).count();
        assert_eq!(of_deployments, 1, "{pass} of {read:?}");
    }
}

/// Each certificate written over is one more order at an authority that counts them.
#[tokio::test]
async fn a_certificate_that_cert_manager_wrote_is_not_written_over() {
    let world = world(&json!({}));
    put_tls(&world, tls_secret(&world, None, &["hookswitch", "cert-manager-certificates-issuing"], &of_90_days()));
    let by = "cert-manager-certificates-issuing".to_owned();
    assert_eq!(serving(&world).await.unwrap(), ServingCertificate::Overwritten { by });
    assert_eq!(world.server.writes(), [""; 0]);
}

#[tokio::test]
async fn a_generated_certificate_that_is_about_to_expire_is_made_anew() {
    let world = world(&json!({}));
    put_tls(&world, tls_secret(&world, None, &["hookswitch"], &of_90_days()));
    assert_eq!(serving(&world).await.unwrap(), ServingCertificate::Generated);
    assert_eq!(world.server.writes(), [format!("PATCH {SECRETS}/main-gateway-tls")]);
    assert_eq!(serving(&world).await.unwrap(), ServingCertificate::Generated);
    assert_eq!(world.server.writes(), [""; 0], "and then is good");
}

#[tokio::test]
async fn a_secret_of_the_name_needed_that_is_not_the_gateways_is_neither_used_nor_written() {
    let world = world(&json!({}));
    put_tls(&world, tls_secret(&world, Some("another"), &["hookswitch"], &of_90_days()));
    assert!(matches!(serving(&world).await, Err(ReconcileError::NameTaken { .. })));
    let report = json!({"token": "dG9rZW4=", "tls.crt": "eA==", "tls.key": "eA=="});
    let path = format!("{SECRETS}/main-gateway-report");
    let metadata = json!({"name": "main-gateway-report", "namespace": "otp"});
    world.server.put(&path, json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": report}));
    let present: Secret = serde_json::from_value(world.server.get(&path).unwrap()).unwrap();
    let gateway = gateway(&world);
    let names = Names::of(&gateway).unwrap();
    let taken = credentials::report(&gateway, &world.ctx.runtime.kube, &names, Some(&present)).await;
    assert!(matches!(taken, Err(ReconcileError::NameTaken { .. })), "whoever made it knows the report's token");
    assert_eq!(world.server.writes(), [""; 0]);
}

#[tokio::test]
async fn a_generated_certificate_is_not_taken_for_the_users() {
    let world = world(&json!({"tls": {"secretRef": {"name": "main-gateway-tls"}}}));
    put_tls(&world, tls_secret(&world, None, &["hookswitch"], &of_90_days()));
    assert_eq!(serving(&world).await.unwrap(), ServingCertificate::Leftover);
    put_tls(&world, tls_secret(&world, None, &["cert-manager-certificates-issuing"], &of_90_days()));
    assert_eq!(serving(&world).await.unwrap(), ServingCertificate::Given, "somebody else sees to it now");
    assert_eq!(world.server.writes(), [""; 0]);
}

#[tokio::test]
async fn what_the_api_server_refuses_is_reported_at_the_gateway() {
    let rows = [
        (StatusCode::UNPROCESSABLE_ENTITY, Some("InvalidSpec")),
        (StatusCode::FORBIDDEN, Some("Refused")),
        (StatusCode::BAD_REQUEST, Some("Refused")),
        (StatusCode::INTERNAL_SERVER_ERROR, None),
    ];
    for (code, reason) in rows {
        let world = world(&json!({}));
        world.server.fail_next_write(code);
        let ended = TelephonyGateway::reconcile(gateway(&world), Arc::clone(&world.ctx)).await;
        let ready = ready(&world);
        let Some(reason) = reason else {
            assert!(ended.is_err() && ready.is_null(), "it passes, and says nothing of the gateway");
            continue;
        };
        assert_eq!(ended.unwrap(), Requeue::Retry);
        assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!(reason)));
        let expected = format!("could not apply Secret otp/main-gateway-report: {}", code.as_u16());
        assert!(ready["message"].as_str().unwrap().contains(&expected), "{ready}");
    }
}

fn ready(world: &World) -> Value {
    let status = world.server.get(&format!("{GATEWAYS}/main")).unwrap()["status"].clone();
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.find(|condition| condition["type"] == "Ready").cloned().unwrap_or_default()
}

#[tokio::test]
async fn an_ingress_that_names_the_generated_certificates_secret_is_refused() {
    let world = world(&json!({"ingress": {"tlsSecretRef": {"name": "main-gateway-tls"}}}));
    TelephonyGateway::reconcile(gateway(&world), Arc::clone(&world.ctx)).await.unwrap();
    assert_eq!(ready(&world)["reason"], "InvalidSpec");
    let writes = world.server.writes();
    assert!(writes.contains(&format!("PATCH {SECRETS}/main-gateway-config")), "configuration goes on: {writes:?}");
    let exposes = |write: &&String| write.contains("/ingresses/") || write.contains("/deployments/");
    assert_eq!(writes.iter().find(exposes), None);
}

fn config() -> GatewayConfig {
    let text = include_str!("../../../../crates/gateway-config/src/testdata/document.v1.json");
    let mut config: GatewayConfig = serde_json::from_str(text).unwrap();
    config.report = hookswitch_gateway::testing::report();
    for provider in config.providers.values_mut() {
        provider.ca_bundle = None;
    }
    config
}

#[test]
fn what_gateways_would_refuse_is_not_written_over_the_last_good_configuration() {
    let good = config();
    let Ok((sealed, None)) = seal(&good, None) else { panic!("a good configuration is held") };
    assert_eq!(envelope::open(&sealed).unwrap(), good);
    let proxy = GatewayConfig { proxy: Some("socks5://proxy".into()), ..good.clone() };
    let report = GatewayConfig { report: document::Report { token: "short".into(), ..good.report.clone() }, ..good };
    for (bad, part) in [(proxy, "proxy"), (report, "report")] {
        let Ok((kept, Some(Held::Refused(why)))) = seal(&bad, Some(&sealed)) else { panic!("{part} is written") };
        assert!(kept == sealed && why.starts_with(part), "{why}");
        let Err(Failure::Problem(problem)) = seal(&bad, None) else { panic!("{part} is written") };
        assert_eq!((problem.reason, problem.stalled), (Ready::InvalidSpec, true));
    }
}

#[test]
fn a_rule_by_a_provider_that_is_not_there_counts_as_one_without() {
    let mut config = config();
    config.rules.truncate(1);
    config.rules[0].action = document::Action::Send(vec![document::ABSENT.to_owned()]);
    assert_eq!(sending(&config)[0].providers, Vec::<String>::new());
}

/// What a hook takes by the configuration that is written, as `header: secret`.
fn taken(world: &World, hook: &str) -> Vec<String> {
    let stored = world.server.get(&format!("{SECRETS}/main-gateway-config")).unwrap();
    let sealed = STANDARD.decode(stored["data"][envelope::KEY].as_str().unwrap()).unwrap();
    let config = envelope::open(&sealed).unwrap();
    config.hooks[hook].credentials().map(|one| format!("{}: {}", one.header, one.secret.expose())).collect()
}

async fn gateway_pass(world: &mut World) -> Result<Requeue, ReconcileError> {
    world.sync();
    TelephonyGateway::reconcile(gateway(world), Arc::clone(&world.ctx)).await
}

/// Declares another secret of a hook, by a header; another name is another watch.
fn declare(world: &World, number: u32, header: &str) {
    let path = format!("{HOOKS}/main");
    let mut hook = world.server.get(&path).unwrap_or_else(|| flow::hook("main", "Active"));
    let name = format!("own-{number}");
    hook["spec"]["auth"] = json!({"header": {"name": header, "secretRef": {"name": name, "key": "value"}}});
    hook["metadata"]["generation"] = json!(number);
    world
        .server
        .put(&format!("{SECRETS}/{name}"), flow::secret(&name, "value", &format!("the secret of number {number}")));
    world.server.put(&path, hook);
}

#[tokio::test(start_paused = true)]
async fn what_okta_has_is_accepted_however_often_the_hook_changes_while_okta_cannot_be_given_it() {
    let mut world = flow::world(&[]);
    declare(&world, 1, "Authorization");
    world.ctx.memory.reports.serve("otp", "main", &["main"]);
    flow::settle(&mut world, &["main"]).await;
    gateway_pass(&mut world).await.unwrap();
    let in_okta = "authorization: the secret of number 1";
    assert_eq!(taken(&world, "main"), [in_okta]);
    world.org.fail(Some(OktaFailure::Server { status: 503, code: None }));
    for number in 2..=12 {
        let header = if number % 3 == 0 { "Authorization" } else { "X-Secret" };
        declare(&world, number, header);
        flow::hook_pass(&mut world, "main").await;
        flow::org_pass(&mut world).await;
        gateway_pass(&mut world).await.unwrap();
        let taken = taken(&world, "main");
        assert_eq!(taken[0], format!("{}: the secret of number {number}", header.to_lowercase()));
        assert!(taken.contains(&in_okta.to_owned()), "{number}: {taken:?}");
    }
}

/// A secret that is to be rotated waits for the replicas to report the configuration that has it.
#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_written_counts_although_what_follows_it_fails() {
    let mut world = flow::world(&[]);
    declare(&world, 1, "Authorization");
    world.ctx.memory.reports.serve("otp", "main", &["main"]);
    flow::settle(&mut world, &["main"]).await;
    gateway_pass(&mut world).await.unwrap();
    declare(&world, 2, "Authorization");
    flow::hook_pass(&mut world, "main").await;
    // the configuration is the first write of the reconcile, and this the second
    world.server.delete("/apis/apps/v1/namespaces/otp/deployments/main-gateway");
    world.server.write_fault(Some((1, WriteFault::Fails)));
    assert!(gateway_pass(&mut world).await.is_err());
    let stored = world.server.get(&format!("{SECRETS}/main-gateway-config")).unwrap();
    let sealed = STANDARD.decode(stored["data"][envelope::KEY].as_str().unwrap()).unwrap();
    let report = ReplicaReport { config_hash: envelope::hash(&sealed), ..ReplicaReport::default() };
    world.ctx.memory.reports.take(&("otp".to_owned(), "main".to_owned()), [("pod-0".to_owned(), Some(report))].into());
    let fingerprint =
        world.ctx.installation.key.secret(&ObjectRef::new("otp", "main"), "Authorization", "the secret of number 2");
    assert!(world.ctx.memory.reports.accepts("otp", "main", "main", &fingerprint));
}

/// Okta calls it until it is configured otherwise, whatever becomes of its object.
#[tokio::test(start_paused = true)]
async fn a_hook_that_is_being_deleted_is_served_for_as_long_as_okta_calls_it() {
    for policy in ["Retain", "Delete"] {
        let mut world = flow::world(&[]);
        declare(&world, 1, "Authorization");
        let path = format!("{HOOKS}/main");
        let mut hook = world.server.get(&path).unwrap();
        hook["spec"]["deletion"] = json!(policy);
        world.server.put(&path, hook);
        world.ctx.memory.reports.serve("otp", "main", &["main"]);
        flow::settle(&mut world, &["main"]).await;
        gateway_pass(&mut world).await.unwrap();
        world.server.ask_to_delete(&path, Duration::ZERO);
        for _ in 0..3 {
            flow::hook_pass(&mut world, "main").await;
            flow::org_pass(&mut world).await;
            gateway_pass(&mut world).await.unwrap();
            assert_eq!(taken(&world, "main"), ["authorization: the secret of number 1"], "{policy}");
        }
        assert_eq!(world.org.hooks()[0].status, HookStatus::Active, "{policy}");
        // the planner deactivates and deletes what is owed; somebody does so with what is retained
        if policy == "Retain" {
            world.org.edit(|hooks| hooks[0].status = HookStatus::Inactive);
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        flow::org_pass(&mut world).await;
        for _ in 0..3 {
            if world.server.get(&path).is_some() {
                flow::hook_pass(&mut world, "main").await;
                flow::org_pass(&mut world).await;
            }
        }
        assert!(world.server.get(&path).is_none(), "{policy}");
        gateway_pass(&mut world).await.unwrap();
        let stored = world.server.get(&format!("{SECRETS}/main-gateway-config")).unwrap();
        let sealed = STANDARD.decode(stored["data"][envelope::KEY].as_str().unwrap()).unwrap();
        assert!(envelope::open(&sealed).unwrap().hooks.is_empty(), "{policy}");
    }
}

/// What an installation lets the authors of resources ask for.
fn allow(world: &mut World, tenancy: &Value) {
    world.change(|parts| parts.options.tenancy = tenancy.to_string().parse().unwrap());
}

/// The objects that expose a gateway, with what of them an author chooses.
fn exposed(world: &World) -> Vec<Value> {
    let of = |group: &str, kind: &str| {
        let object = world.server.get(&format!("/apis/{group}/v1/namespaces/otp/{kind}/main-gateway"));
        object.map(|object| json!([object["metadata"]["annotations"], object["spec"]])).unwrap_or_default()
    };
    let service = world.server.get("/api/v1/namespaces/otp/services/main-gateway");
    let service = service.map(|service| json!([service["metadata"]["annotations"], service["spec"]]));
    vec![service.unwrap_or_default(), of("apps", "deployments"), of("networking.k8s.io", "ingresses")]
}

fn much() -> Value {
    json!({
        "service": {"type": "LoadBalancer", "annotations": {"lb.example/internal": "true"}},
        "ingress": {"annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}},
        "podAnnotations": {"sidecar.istio.io/inject": "false"},
    })
}

fn change(world: &World, change: impl FnOnce(&mut Value)) {
    let path = format!("{GATEWAYS}/main");
    let mut gateway = world.server.get(&path).unwrap();
    change(&mut gateway["spec"]);
    gateway["metadata"]["generation"] = json!(gateway["metadata"]["generation"].as_i64().unwrap() + 1);
    world.server.put(&path, gateway);
}

#[tokio::test(start_paused = true)]
async fn what_the_installation_does_not_allow_is_not_made_and_the_gateway_says_so() {
    let rows: [(Value, [bool; 3]); 5] = [
        (json!({"default": {"hosts": ["otp.other.example"]}}), [true, true, false]),
        (json!({"default": {"ingressAnnotations": []}}), [true, true, false]),
        (json!({"namespaces": {"otp": {"serviceTypes": ["ClusterIP"]}}}), [false, true, true]),
        (json!({"default": {"serviceAnnotations": ["other.example/*"]}}), [false, true, true]),
        (json!({"default": {"hosts": ["*.acme.com"]}, "namespaces": {"another": {"hosts": []}}}), [true, true, true]),
    ];
    for (tenancy, made) in rows {
        let mut world = world(&much());
        allow(&mut world, &tenancy);
        gateway_pass(&mut world).await.unwrap();
        let exposed: Vec<bool> = exposed(&world).iter().map(|object| !object.is_null()).collect();
        assert_eq!(exposed, made, "{tenancy}");
        let is_said = ready(&world)["reason"] == "NotAllowed";
        assert_eq!(is_said, made != [true; 3], "{tenancy}: {}", ready(&world));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_asks_for_what_is_not_allowed_keeps_what_it_has_and_its_configuration() {
    let mut world = world(&much());
    gateway_pass(&mut world).await.unwrap();
    let before = exposed(&world);
    let none = json!({"hosts": [], "ingressAnnotations": [], "serviceTypes": [], "serviceAnnotations": [], "podAnnotations": []});
    allow(&mut world, &json!({"default": none}));
    declare(&world, 1, "Authorization");
    change(&world, |spec| {
        spec["publicURL"] = json!("https://otp.other.example");
        spec["podAnnotations"]["more.example/x"] = json!("1");
        spec["service"]["type"] = json!("NodePort");
    });
    gateway_pass(&mut world).await.unwrap();
    assert_eq!(exposed(&world), before, "what serves is not torn down");
    assert_eq!(taken(&world, "main"), ["authorization: the secret of number 1"]);
    let ready = ready(&world);
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("NotAllowed")));
    for is_said in
        ["the host otp.other.example", "the type NodePort", "the annotation more.example/x", "tenancy.default.hosts"]
    {
        assert!(ready["message"].as_str().unwrap().contains(is_said), "{is_said}: {ready}");
    }
    // an Ingress that is not asked for any more goes, whatever its host may be
    change(&world, |spec| spec["ingress"] = Value::Null);
    gateway_pass(&mut world).await.unwrap();
    assert!(exposed(&world)[2].is_null());
    allow(&mut world, &json!({}));
    gateway_pass(&mut world).await.unwrap();
    assert_ne!(exposed(&world)[..2], before[..2]);
}

#[tokio::test(start_paused = true)]
async fn pods_that_were_never_allowed_are_not_made_until_they_are() {
    let mut world = world(&much());
    allow(&mut world, &json!({"default": {"podAnnotations": []}}));
    assert_eq!(gateway_pass(&mut world).await.unwrap(), Requeue::Retry);
    assert!(exposed(&world)[1].is_null());
    assert_eq!(ready(&world)["reason"], "NotAllowed");
}

/// A range that one tenant's providers live in is another's SSRF.
#[tokio::test(start_paused = true)]
async fn providers_of_a_namespace_live_in_its_own_private_ranges_and_in_those_of_all() {
    let mut world = world(&json!({}));
    let own =
        json!({"namespaces": {"otp": {"allowedCIDRs": ["10.1.0.0/16"]}, "another": {"allowedCIDRs": ["10.2.0.0/16"]}}});
    allow(&mut world, &own);
    world.change(|parts| parts.options.allowed_cidrs = vec!["192.168.0.0/16".parse().unwrap()]);
    gateway_pass(&mut world).await.unwrap();
    let stored = world.server.get(&format!("{SECRETS}/main-gateway-config")).unwrap();
    let sealed = STANDARD.decode(stored["data"][envelope::KEY].as_str().unwrap()).unwrap();
    let ranges = envelope::open(&sealed).unwrap().allowed_cidrs;
    assert_eq!(ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.168.0.0/16", "10.1.0.0/16"]);
}
