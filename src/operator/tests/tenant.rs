//! A whole operator over the namespaces of two tenants: one that cannot be listed, and one that wants the other's org.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{flow, switch};
use crate::operator::{
    controllers::context::{Context, Parts},
    model::org_access::Access,
    outbound::okta::{HookCaller, OktaClientFactory, OrgApi},
    run,
    runtime::{listing::Listing, reconcile::Reconcile},
    testing::world::{self, Org, Server, World},
};
use hookswitch_api::{HookSwitch, Kind, OktaOrg, RoutingPolicy, TelephonyGateway, TelephonyHook, TelephonyProvider};
use hookswitch_net::NetError;
use hookswitch_okta::Failure;

/// The resource of each kind.
const RESOURCES: [&str; 6] =
    ["oktaorgs", "telephonyhooks", "telephonygateways", "telephonyproviders", "routingpolicies", "hookswitches"];

/// Longer than anything here waits, and a status is left alone that long in the end.
const LONG: Duration = Duration::from_mins(3);

/// An operator that runs.
struct Operator {
    server: Server,
    org: Org,
    ctx: Arc<Context>,
    _running: [JoinSet<()>; 2],
}

fn path(namespace: &str, resource: &str) -> String {
    format!("/apis/hookswitch.dev/v1alpha1/namespaces/{namespace}/{resource}")
}

/// One object of each kind that the others need, as a user applies them.
fn apply(server: &Server, namespace: &str) {
    let within = |mut object: Value| {
        object["metadata"]["namespace"] = json!(namespace);
        object
    };
    server.put(
        &format!("/api/v1/namespaces/{namespace}"),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
    );
    let token = flow::secret("okta", "token", "00token-of-the-org\n");
    server.put(&format!("/api/v1/namespaces/{namespace}/secrets/okta"), within(token));
    server.put(&format!("{}/acme", path(namespace, "oktaorgs")), within(flow::org()));
    server.put(&format!("{}/main", path(namespace, "telephonygateways")), within(flow::gateway()));
    server.put(&format!("{}/main", path(namespace, "telephonyhooks")), within(flow::hook("main", "Inactive")));
    let policy = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "RoutingPolicy",
        "metadata": {"name": "default", "generation": 1}, "spec": {"rules": [{"name": "none", "deny": {}}]}});
    server.put(&format!("{}/default", path(namespace, "routingpolicies")), within(policy));
}

/// Denies lists of these kinds in a namespace, or allows them again.
fn deny(server: &Server, namespace: &str, resources: &[&str], denied: bool) {
    for resource in resources {
        server.refuse_to_read(&path(namespace, resource), denied.then_some(StatusCode::FORBIDDEN));
    }
}

fn start(server: Server) -> Operator {
    let org = Org::default();
    let factory = Arc::new(org.clone());
    start_with(server, org, factory)
}

fn start_with(server: Server, org: Org, factory: Arc<dyn OktaClientFactory>) -> Operator {
    server.notify_watches();
    let options = world::options("otp,other");
    let (caches, writers) = run::caches();
    let listing = Listing::new(&options.namespaces());
    let parts = world::parts(&server, factory, options, caches);
    let ctx = Arc::new(Context::new(Parts { listing, ..parts }));
    let (mut watching, mut reconciling) = (JoinSet::new(), JoinSet::new());
    run::start_all(&ctx, writers, &mut watching, &mut reconciling, &CancellationToken::new());
    Operator { server, org, ctx, _running: [watching, reconciling] }
}

impl Operator {
    /// Status and reason of the condition `Ready`.
    fn ready(&self, namespace: &str, resource: &str, name: &str) -> String {
        self.condition(namespace, resource, name, "Ready")
    }

    /// Whether the org of a tenant is managed by its object, by its condition `Claimed`.
    fn claimed(&self, namespace: &str) -> String {
        self.condition(namespace, "oktaorgs", "acme", "Claimed")
    }

    fn condition(&self, namespace: &str, resource: &str, name: &str, kind: &str) -> String {
        let object = self.server.get(&format!("{}/{name}", path(namespace, resource))).unwrap();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or(Value::Null);
        format!("{} {}", found["status"].as_str().unwrap_or_default(), found["reason"].as_str().unwrap_or_default())
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < LONG, "not so: {what}\n{}", self.metrics());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many hooks were seen in the org.
    fn seen(&self) -> usize {
        self.ctx.memory.orgs.view("otp", "acme").hooks.len()
    }

    /// Waits until the org was called in vain, and longer.
    async fn calls_in_vain(&self) {
        let is_told = |o: &Self| o.ready("otp", "oktaorgs", "acme") == "False OktaUnreachable";
        self.until("it is called in vain", is_told).await;
        sleep(LONG).await;
    }

    fn metrics(&self) -> String {
        self.ctx.metrics.registry.render()
    }
}

#[tokio::test(start_paused = true)]
async fn one_namespace_that_cannot_be_listed_stops_nobody_else() {
    let server = Server::default();
    apply(&server, "otp");
    apply(&server, "other");
    deny(&server, "other", &RESOURCES, true);
    let operator = start(server);
    operator.until("the policy is looked at", |o| o.ready("otp", "routingpolicies", "default") == "True Ready").await;
    operator.until("the org is", |o| o.ready("otp", "oktaorgs", "acme") == "True Ready").await;
    operator.until("the hook is", |o| o.ready("otp", "telephonyhooks", "main").len() > 1).await;
    sleep(LONG).await;
    assert_eq!(operator.ready("other", "oktaorgs", "acme"), " ", "nothing is known of it, and nothing done");
    let metrics = operator.metrics();
    for line in [
        r#"hookswitch_unlisted{watched="other",kind="TelephonyHook"} 1"#,
        r#"hookswitch_unlisted{watched="otp",kind="TelephonyHook"} 0"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    let said = operator.ctx.runtime.listing.readiness().unwrap();
    assert!(said.starts_with("ok, but for ") && said.contains(" in namespace other,"), "{said}");

    deny(&operator.server, "other", &RESOURCES, false);
    operator.until("it is looked after", |o| o.ready("other", "routingpolicies", "default") == "True Ready").await;
    operator.until("its org, too", |o| o.ready("other", "oktaorgs", "acme").len() > 1).await;
    operator.until("nothing is missing", |o| o.ctx.runtime.listing.readiness() == Ok("ok".to_owned())).await;
    assert!(!operator.metrics().lines().any(|line| line.starts_with("hookswitch_unlisted") && line.ends_with(" 1")));
}

#[tokio::test(start_paused = true)]
async fn what_reads_a_kind_that_cannot_be_listed_is_held_back_and_says_so_and_the_rest_goes_on() {
    let server = Server::default();
    apply(&server, "otp");
    deny(&server, "otp", &["hookswitches"], true);
    let operator = start(server);
    operator.until("the policy is looked at", |o| o.ready("otp", "routingpolicies", "default") == "True Ready").await;
    operator.until("the gateway is", |o| o.ready("otp", "telephonygateways", "main").len() > 1).await;
    for (resource, name) in [("oktaorgs", "acme"), ("telephonyhooks", "main")] {
        operator.until(resource, |o| o.ready("otp", resource, name) == "False NotListed").await;
        let object = operator.server.get(&format!("{}/{name}", path("otp", resource))).unwrap();
        let reported = object["status"]["conditions"].to_string();
        assert!(reported.contains("cannot list HookSwitch objects in namespace otp (403 "), "{reported}");
    }
    assert_eq!(operator.org.calls(), Vec::<&str>::new(), "nothing is asked of Okta");
    operator.server.writes();
    sleep(LONG).await;
    let again = operator.server.writes();
    assert!(!again.iter().any(|write| write.contains("acme") || write.contains("hooks/main")), "{again:?}");

    deny(&operator.server, "otp", &["hookswitches"], false);
    operator.until("the org is looked at", |o| o.ready("otp", "oktaorgs", "acme") == "True Ready").await;
    operator.until("the hook is", |o| !o.ready("otp", "telephonyhooks", "main").ends_with(" NotListed")).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_switch_said_before_its_gateways_could_not_be_listed_any_more_is_not_said_on() {
    let server = Server::default();
    apply(&server, "otp");
    let condition = |kind: &str, reason: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": "b could take over now.",
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let switch = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "HookSwitch",
        "metadata": {"name": "acme", "namespace": "otp", "generation": 1},
        "spec": {"hooks": [{"name": "a"}, {"name": "b"}]},
        "status": {"phase": "Healthy", "target": "a", "standby": "b", "conditions": [
            condition("FailoverReady", "StandbyProven"), condition("Healthy", "Usable")]}});
    server.put(&format!("{}/acme", path("otp", "hookswitches")), switch);
    deny(&server, "otp", &["telephonygateways"], true);
    let operator = start(server);
    operator.until("it is told", |o| o.ready("otp", "hookswitches", "acme") == "False NotListed").await;
    for kind in ["FailoverReady", "Healthy"] {
        assert_eq!(operator.condition("otp", "hookswitches", "acme", kind), "Unknown NotListed");
    }
    let status = operator.server.get(&format!("{}/acme", path("otp", "hookswitches"))).unwrap()["status"].take();
    assert_eq!((&status["standby"], &status["target"]), (&Value::Null, &json!("a")), "what was decided stays");
    assert!(operator.metrics().contains(r#"hookswitch_switch_able{switch="otp/acme"} 0"#), "{}", operator.metrics());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_once_is_not_reported() {
    let server = Server::default();
    apply(&server, "otp");
    deny(&server, "otp", &["hookswitches"], true);
    let operator = start(server);
    operator.until("it is tried", |o| o.metrics().contains("hookswitch_watch_errors_total")).await;
    deny(&operator.server, "otp", &["hookswitches"], false);
    operator.until("the org is looked at", |o| o.ready("otp", "oktaorgs", "acme") == "True Ready").await;
    operator.ctx.runtime.kube.events.flush().await;
    let stored = operator.server.everything_but_secrets();
    assert!(!stored.iter().any(|object| object.to_string().contains("NotListed")));
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_namespace_are_asked_though_those_of_another_cannot_be_found() {
    let server = Server::default();
    apply(&server, "otp");
    apply(&server, "other");
    let slices = |namespace: &str| format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    server.refuse_to_read(&slices("other"), Some(StatusCode::FORBIDDEN));
    let operator = start(server);
    let key = |namespace: &str| (namespace.to_owned(), "main".to_owned());
    let is_due = |o: &Operator, namespace: &str| o.ctx.memory.reports.is_due(&key(namespace), &BTreeSet::new(), LONG);
    operator.until("both gateways are known", |o| o.ctx.memory.caches.gateways.all().len() == 2).await;
    // the report's credentials are made by the gateway's reconcile
    operator.until("those of one namespace are asked", |o| !is_due(o, "otp")).await;
    sleep(LONG).await;
    assert!(is_due(&operator, "other"), "a gateway whose pods are not known is not taken for one without any");
    let line = r#"hookswitch_unlisted{watched="other",kind="EndpointSlice"} 1"#;
    assert!(operator.metrics().contains(line));
}

#[tokio::test(start_paused = true)]
async fn a_denied_list_is_tried_less_and_less_often_and_soon_enough_once_it_is_allowed() {
    let server = Server::default();
    apply(&server, "otp");
    deny(&server, "otp", &["hookswitches"], true);
    let operator = start(server);
    sleep(Duration::from_mins(10)).await;
    let tried = operator.metrics();
    let tried =
        tried.lines().find_map(|line| line.strip_prefix(r#"hookswitch_watch_errors_total{controller="HookSwitch"} "#));
    let tried: u32 = tried.unwrap().parse().unwrap();
    assert!((18..=40).contains(&tried), "{tried} times in ten minutes");
    deny(&operator.server, "otp", &["hookswitches"], false);
    let allowed = Instant::now();
    operator.until("it is listed", |o| o.ctx.runtime.listing.is_listed("otp", &Kind::ALL)).await;
    assert!(allowed.elapsed() <= Duration::from_secs(40), "{:?}", allowed.elapsed());
}

/// What answers to the credential of each tenant.
struct TwoOrgs {
    ours: Org,
    theirs: Org,
}

impl OktaClientFactory for TwoOrgs {
    fn client(&self, access: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        let theirs = access.credential.secret() == THEIRS;
        Ok(Arc::new(if theirs { self.theirs.clone() } else { self.ours.clone() }))
    }

    fn caller(&self, _: &str, _: Option<&str>, _: &[ipnet::IpNet]) -> Result<Arc<dyn HookCaller>, NetError> {
        Ok(Arc::new(self.ours.clone()))
    }
}

const THEIRS: &str = "00token-of-the-other-tenant";

/// Two tenants with an `OktaOrg` each, that of the other one older, and at this address.
fn tenants(server: &Server, theirs: &str) {
    apply(server, "otp");
    apply(server, "other");
    for (namespace, created) in [("otp", "2026-02-02T00:00:00Z"), ("other", "2026-01-01T00:00:00Z")] {
        let at = format!("{}/acme", path(namespace, "oktaorgs"));
        let mut org = server.get(&at).unwrap();
        org["metadata"]["creationTimestamp"] = json!(created);
        if namespace == "other" {
            org["spec"]["url"] = json!(theirs);
        }
        server.put(&at, org);
    }
    let mut token = flow::secret("okta", "token", THEIRS);
    token["metadata"]["namespace"] = json!("other");
    server.put("/api/v1/namespaces/other/secrets/okta", token);
}

fn between(server: &Server, ours: &Org, theirs: &Org) -> Operator {
    start_with(server.clone(), ours.clone(), Arc::new(TwoOrgs { ours: ours.clone(), theirs: theirs.clone() }))
}

#[tokio::test(start_paused = true)]
async fn an_older_org_whose_own_server_gives_our_id_takes_nothing_away() {
    let server = Server::default();
    tenants(&server, "https://okta.evil.example");
    let operator = between(&server, &Org::default(), &Org::default());
    operator.until("theirs answers", |o| o.ready("other", "oktaorgs", "acme") == "True Ready").await;
    operator.until("ours is ours", |o| o.claimed("otp") == "True Claimed").await;
    sleep(LONG).await;
    assert_eq!(
        (operator.claimed("otp"), operator.ready("otp", "oktaorgs", "acme")),
        ("True Claimed".into(), "True Ready".into())
    );
    let reported = |namespace: &str| operator.server.get(&format!("{}/acme", path(namespace, "oktaorgs"))).unwrap();
    assert_eq!(reported("otp")["status"]["orgID"], reported("other")["status"]["orgID"], "the same id is told");
}

#[tokio::test(start_paused = true)]
async fn an_older_org_with_a_guessed_token_takes_nothing_away() {
    let server = Server::default();
    tenants(&server, "https://acme.okta.com");
    let (ours, theirs) = (Org::default(), Org::default());
    theirs.refuse_credentials(true);
    let operator = between(&server, &ours, &theirs);
    operator.until("theirs is refused", |o| o.ready("other", "oktaorgs", "acme") == "False TokenRejected").await;
    operator.until("ours is ours", |o| o.claimed("otp") == "True Claimed").await;
    sleep(LONG).await;
    assert_eq!(operator.claimed("otp"), "True Claimed");
    assert_eq!(operator.claimed("other"), "Unknown IdentityUnknown");
}

#[tokio::test(start_paused = true)]
async fn who_manages_an_org_does_not_change_because_its_namespace_cannot_be_listed() {
    let server = Server::default();
    tenants(&server, "https://acme.okta.com");
    let (ours, theirs) = (Org::default(), Org::default());
    let operator = between(&server, &ours, &theirs);
    operator.until("the older one manages it", |o| o.claimed("otp") == "False ClaimedByOther").await;
    assert_eq!(operator.claimed("other"), "True Claimed");
    let at = format!("{}/acme", path("otp", "oktaorgs"));
    assert_eq!(server.get(&at).unwrap()["status"]["claimedBy"], "other/acme");
    drop(operator);

    deny(&server, "other", &RESOURCES, true);
    ours.calls();
    let operator = between(&server, &ours, &theirs);
    sleep(Duration::from_mins(11)).await;
    assert_eq!(operator.claimed("otp"), "False ClaimedByOther");
    let calls: BTreeSet<&str> = ours.calls().into_iter().collect();
    assert_eq!(calls, ["identify", "list"].into(), "nothing is changed in the org");
    deny(&server, "other", &RESOURCES, false);
    sleep(LONG).await;
    assert_eq!(
        (operator.claimed("otp"), operator.claimed("other")),
        ("False ClaimedByOther".into(), "True Claimed".into())
    );
    drop(operator);

    theirs.refuse_credentials(true);
    let operator = between(&server, &ours, &theirs);
    operator.until("who is not let in any more holds nothing", |o| o.claimed("otp") == "True Claimed").await;
    assert_eq!(server.get(&at).unwrap()["status"]["claimedBy"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn an_older_org_at_our_host_that_trusts_certificates_of_its_own_takes_nothing_away() {
    let server = Server::default();
    tenants(&server, "https://acme.okta.com");
    let at = format!("{}/acme", path("other", "oktaorgs"));
    let mut org = server.get(&at).unwrap();
    org["spec"]["caBundleRef"] = json!({"configMapKeyRef": {"name": "ca", "key": "ca.crt"}});
    server.put(&at, org);
    let pem = rcgen::generate_simple_self_signed(["acme.okta.com".to_owned()]).unwrap().cert.pem();
    let bundle = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca", "namespace": "other"},
        "data": {"ca.crt": pem}});
    server.put("/api/v1/namespaces/other/configmaps/ca", bundle);
    let operator = between(&server, &Org::default(), &Org::default());
    operator.until("theirs answers", |o| o.ready("other", "oktaorgs", "acme") == "True Ready").await;
    operator.until("ours is ours", |o| o.claimed("otp") == "True Claimed").await;
    sleep(LONG).await;
    assert_eq!(operator.claimed("otp"), "True Claimed", "whoever answers them there may have made its own certificate");
}

#[tokio::test(start_paused = true)]
async fn an_older_org_that_moves_to_our_host_is_to_prove_itself_there_again() {
    let server = Server::default();
    tenants(&server, "https://okta.evil.example");
    let (ours, theirs) = (Org::default(), Org::default());
    let operator = between(&server, &ours, &theirs);
    operator.until("theirs answers", |o| o.claimed("other") == "True Claimed").await;
    operator.until("ours is ours", |o| o.claimed("otp") == "True Claimed").await;
    theirs.refuse_credentials(true);
    move_org(&server, "other", "https://acme.okta.com", 2);
    operator.until("it is refused", |o| o.ready("other", "oktaorgs", "acme") == "False TokenRejected").await;
    sleep(LONG).await;
    assert_eq!(operator.claimed("otp"), "True Claimed", "a token taken elsewhere opens nothing here");
}

/// Lets the older object, which managed the org of both tenants, be reconciled by a new leader that `theirs` does not answer.
async fn after_a_change_of_leaders(server: &Server, between_them: impl FnOnce(&Org)) -> Operator {
    tenants(server, "https://acme.okta.com");
    let (ours, theirs) = (Org::default(), Org::default());
    let operator = between(server, &ours, &theirs);
    operator.until("the older one manages it", |o| o.claimed("otp") == "False ClaimedByOther").await;
    drop(operator);
    between_them(&theirs);
    between(server, &ours, &theirs)
}

#[tokio::test(start_paused = true)]
async fn an_org_whose_secret_may_not_be_read_is_not_taken_for_one_whose_token_is_refused() {
    let server = Server::default();
    let denied = |_: &Org| {
        for path in ["/api/v1/namespaces/other/secrets", "/api/v1/namespaces/other/secrets/okta"] {
            server.refuse_to_read(path, Some(StatusCode::FORBIDDEN));
        }
    };
    let operator = after_a_change_of_leaders(&server, denied).await;
    let is_told = |o: &Operator| o.ready("other", "oktaorgs", "acme") == "False SecretNotFound";
    operator.until("it cannot be read", is_told).await;
    sleep(LONG).await;
    assert_eq!(operator.claimed("otp"), "False ClaimedByOther", "nobody said that the token is no good");
}

#[tokio::test(start_paused = true)]
async fn who_recorded_another_replaces_it_when_that_one_proves_nothing_for_ten_minutes() {
    let server = Server::default();
    let (gone, reported) =
        (Failure::Unreachable { detail: "gone".into() }, format!("{}/acme", path("otp", "oktaorgs")));
    let mut answers = None;
    let operator = after_a_change_of_leaders(&server, |theirs| {
        theirs.fail(Some(gone));
        answers = Some(theirs.clone());
    })
    .await;
    sleep(Duration::from_mins(9)).await;
    assert_eq!(operator.claimed("otp"), "False ClaimedByOther", "it may only be slow");
    let said = server.get(&reported).unwrap()["status"]["conditions"].to_string();
    assert!(said.contains("OktaOrg other/acme managed this org, and has not proven itself"), "{said}");
    operator.until("it takes its place", |o| o.claimed("otp") == "True Claimed").await;
    assert_eq!(server.get(&reported).unwrap()["status"]["claimedBy"], Value::Null);
    sleep(LONG * 2).await;
    assert_eq!(operator.claimed("other"), "Unknown IdentityUnknown", "it does not say that it manages the org");

    answers.unwrap().fail(None);
    sleep(LONG * 2).await;
    operator.until("the oldest is back", |o| o.claimed("other") == "True Claimed").await;
    operator.until("it manages the org again", |o| o.claimed("otp") == "False ClaimedByOther").await;
}

#[tokio::test(start_paused = true)]
async fn who_begins_to_manage_an_org_lets_the_one_before_end_what_it_does_there() {
    let server = Server::default();
    tenants(&server, "https://acme.okta.com");
    let (ours, theirs) = (Org::default(), Org::default());
    theirs.refuse_credentials(true);
    let operator = between(&server, &ours, &theirs);
    operator.until("ours is ours", |o| o.claimed("otp") == "True Claimed").await;
    let acts = operator.ctx.memory.orgs.session("otp", "acme");
    let acts = acts.state.lock().await;
    theirs.refuse_credentials(false);
    operator.until("the older one waits", |o| o.ready("other", "oktaorgs", "acme") == "False Waiting").await;
    sleep(LONG).await;
    assert_eq!(operator.claimed("other"), "Unknown IdentityUnknown");
    drop(acts);
    operator.until("it goes on", |o| o.claimed("other") == "True Claimed").await;
    operator.until("the other one yields", |o| o.claimed("otp") == "False ClaimedByOther").await;
}

/// An operator over one tenant, whose hook it has seen in its org.
async fn having_seen_a_hook() -> Operator {
    let server = Server::default();
    apply(&server, "otp");
    let operator = start(server);
    operator.until("its hook was looked at", |o| o.seen() == 1).await;
    operator
}

/// Says that the org of a tenant is at another address.
fn move_org(server: &Server, namespace: &str, url: &str, generation: i64) {
    let at = format!("{}/acme", path(namespace, "oktaorgs"));
    let mut org = server.get(&at).unwrap();
    (org["spec"]["url"], org["metadata"]["generation"]) = (json!(url), json!(generation));
    server.put(&at, org);
}

#[tokio::test(start_paused = true)]
async fn what_was_observed_at_another_address_is_not_said_of_an_org() {
    let operator = having_seen_a_hook().await;
    for (url, generation, left) in [("https://acme.okta.com", 2, 1), ("https://acme-emea.okta.com", 3, 0)] {
        operator.org.fail(Some(Failure::Unreachable { detail: "gone".into() }));
        move_org(&operator.server, "otp", url, generation);
        operator.calls_in_vain().await;
        assert_eq!(operator.seen(), left, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_managed_an_org_and_is_back_lets_who_replaced_it_end_what_it_does_there() {
    let server = Server::default();
    let mut answers = None;
    let refused = |theirs: &Org| {
        theirs.refuse_credentials(true);
        answers = Some(theirs.clone());
    };
    let operator = after_a_change_of_leaders(&server, refused).await;
    operator.until("it takes its place", |o| o.claimed("otp") == "True Claimed").await;
    assert_eq!(operator.claimed("other"), "Unknown IdentityUnknown", "what is refused manages nothing");
    let acts = operator.ctx.memory.orgs.session("otp", "acme");
    let acts = acts.state.lock().await;
    answers.unwrap().refuse_credentials(false);
    sleep(LONG * 2).await;
    assert_eq!(operator.ready("other", "oktaorgs", "acme"), "False Waiting");
    drop(acts);
    operator.until("the oldest is back", |o| o.claimed("other") == "True Claimed").await;
    operator.until("the other one yields", |o| o.claimed("otp") == "False ClaimedByOther").await;
}

#[tokio::test(start_paused = true)]
async fn who_replaces_a_deleted_org_lets_that_one_end_what_it_does_there() {
    let server = Server::default();
    tenants(&server, "https://acme.okta.com");
    let operator = between(&server, &Org::default(), &Org::default());
    operator.until("the older one manages it", |o| o.claimed("otp") == "False ClaimedByOther").await;
    let acts = operator.ctx.memory.orgs.session("other", "acme");
    let acts = acts.state.lock().await;
    let at = format!("{}/acme", path("other", "oktaorgs"));
    let deleted = server.get(&at).unwrap();
    server.delete(&at);
    sleep(LONG).await;
    assert_eq!(operator.ready("otp", "oktaorgs", "acme"), "False Waiting");
    drop(acts);
    operator.until("it takes its place", |o| o.claimed("otp") == "True Claimed").await;

    let acts = operator.ctx.memory.orgs.session("otp", "acme");
    let acts = acts.state.lock().await;
    let mut again = deleted;
    (again["metadata"]["uid"], again["status"]) = (json!("another"), Value::Null);
    server.put(&at, again);
    sleep(LONG).await;
    assert_eq!(operator.ready("other", "oktaorgs", "acme"), "False Waiting", "one of that name is another one");
    drop(acts);
    operator.until("it goes on", |o| o.claimed("other") == "True Claimed").await;
}

#[tokio::test(start_paused = true)]
async fn an_org_that_no_reconcile_can_be_run_over_holds_another_one_off_for_ten_minutes_and_no_longer() {
    let server = Server::default();
    let operator = after_a_change_of_leaders(&server, |_| deny(&server, "other", &["hookswitches"], true)).await;
    sleep(Duration::from_mins(9)).await;
    assert_eq!(operator.claimed("otp"), "False ClaimedByOther", "its Role may be mended");
    assert_eq!(operator.ready("other", "oktaorgs", "acme"), "False NotListed");
    assert_eq!(operator.condition("other", "oktaorgs", "acme", "Reachable"), "Unknown NotListed");
    operator.until("it takes its place", |o| o.claimed("otp") == "True Claimed").await;
    operator.until("the other one does not claim it", |o| o.claimed("other") == "Unknown IdentityUnknown").await;
    deny(&server, "other", &["hookswitches"], false);
    operator.until("the oldest is back", |o| o.claimed("other") == "True Claimed").await;
    operator.until("the other one yields", |o| o.claimed("otp") == "False ClaimedByOther").await;
    assert_eq!(operator.condition("other", "oktaorgs", "acme", "Reachable"), "True Reachable");
}

#[tokio::test(start_paused = true)]
async fn an_org_that_moves_from_one_dead_address_to_another_holds_nobody_off_for_longer() {
    let server = Server::default();
    let gone = Failure::Unreachable { detail: "gone".into() };
    let operator = after_a_change_of_leaders(&server, |theirs| theirs.fail(Some(gone))).await;
    sleep(Duration::from_mins(9)).await;
    assert_eq!(operator.claimed("otp"), "False ClaimedByOther");
    move_org(&server, "other", "https://gone.okta.com", 7);
    operator.until("it takes its place", |o| o.claimed("otp") == "True Claimed").await;
}

#[tokio::test(start_paused = true)]
async fn what_was_observed_at_another_address_is_forgotten_although_the_first_reconcile_there_does_not_end() {
    let operator = having_seen_a_hook().await;
    let session = operator.ctx.memory.orgs.session("otp", "acme");
    let acts = session.state.lock().await;
    operator.org.fail(Some(Failure::Unreachable { detail: "gone".into() }));
    move_org(&operator.server, "otp", "https://acme-emea.okta.com", 3);
    sleep(Duration::from_secs(40)).await;
    drop(acts);
    operator.calls_in_vain().await;
    assert_eq!(operator.seen(), 0);
}

/// The kinds whose caches a reconcile over `object` asks.
async fn asked<K: Reconcile<Context = Context>>(world: &World, object: Arc<K>) -> BTreeSet<Kind> {
    let caches = &world.ctx.memory.caches;
    let asked = [
        (Kind::OktaOrg, &caches.orgs.asked),
        (Kind::TelephonyHook, &caches.hooks.asked),
        (Kind::TelephonyGateway, &caches.gateways.asked),
        (Kind::TelephonyProvider, &caches.providers.asked),
        (Kind::RoutingPolicy, &caches.policies.asked),
        (Kind::HookSwitch, &caches.switches.asked),
    ];
    for (_, asked) in &asked {
        asked.store(false, Ordering::Relaxed);
    }
    K::reconcile(object, Arc::clone(&world.ctx)).await.unwrap();
    asked.iter().filter(|(_, asked)| asked.load(Ordering::Relaxed)).map(|(kind, _)| *kind).collect()
}

/// What a reconcile asks is what it waits for.
async fn waits_for_what_it_asks<K: Reconcile<Context = Context>>(world: &mut World, name: &str) {
    for _ in 0..4 {
        world.sync();
        let object = K::index(&world.ctx).get("otp", name).unwrap();
        let asked = asked(world, object).await;
        assert!(asked.iter().all(|kind| K::READS.contains(kind)), "a {:?} asks {asked:?}", K::KIND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_asks_nothing_that_it_does_not_wait_for() {
    let mut world = switch::scene(|_| {});
    for _ in 0..3 {
        waits_for_what_it_asks::<TelephonyGateway>(&mut world, "a").await;
        waits_for_what_it_asks::<TelephonyHook>(&mut world, "a").await;
        waits_for_what_it_asks::<TelephonyHook>(&mut world, "b").await;
        waits_for_what_it_asks::<OktaOrg>(&mut world, "acme").await;
        waits_for_what_it_asks::<HookSwitch>(&mut world, "acme").await;
        switch::serve(&world, "a", false);
    }
    let policy = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "RoutingPolicy",
        "metadata": {"name": "default", "namespace": "otp"}, "spec": {"rules": [{"name": "none", "deny": {}}]}});
    world.server.put(&format!("{}/default", path("otp", "routingpolicies")), policy.clone());
    let policy: RoutingPolicy = serde_json::from_value(policy).unwrap();
    assert!(asked(&world, Arc::new(policy)).await.iter().all(|kind| RoutingPolicy::READS.contains(kind)));
    let provider = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyProvider",
        "metadata": {"name": "backup", "namespace": "otp"},
        "spec": {"http": {"url": "https://c.example/", "tokenRef": {"name": "s", "key": "k"}}, "senders": []}});
    world.server.put(&format!("{}/backup", path("otp", "telephonyproviders")), provider.clone());
    let provider: TelephonyProvider = serde_json::from_value(provider).unwrap();
    assert!(asked(&world, Arc::new(provider)).await.iter().all(|kind| TelephonyProvider::READS.contains(kind)));
}
