//! Reconciles over a switch whose standby is a URL that somebody else serves: what is sent there, what is decided by it, and what
//! never shows.

use std::{fmt::Write as _, io};

use serde_json::{Value, json};

use super::{
    flow::{condition, hook, is, org_pass, secret, settle, world},
    switch::{PATH, active, annotate, probed_reconciles, scene, serve, signal, status},
};
use crate::operator::{
    state::probes::Finding,
    testing::world::{GATEWAYS, HOOKS, SECRETS, Sent, World},
};
use hookswitch_failover::signal::{CheckResult, Source};
use hookswitch_okta::{ObjectRef, log::LogEventKind};
use hookswitch_telemetry::{logs, testing::Lines};

const ADDRESS: &str = "https://otp.partner.example/okta";
const HOST: &str = "https://otp.partner.example";
const NUMBER: &str = "+12025550199";
const SECRET: &str = "Bearer the-partners-own-secret";

/// A hook at the partner's URL.
fn foreign(url: &Value) -> Value {
    let mut one = hook("b", "Active");
    let spec = one["spec"].as_object_mut().unwrap();
    spec.remove("state");
    spec.insert("target".into(), json!({"url": url}));
    spec.insert("auth".into(), json!({"header": {"secretRef": {"name": "partner", "key": "secret"}}}));
    one
}

/// Hook `a` at a gateway, hook `b` at the partner's URL, and a switch over both.
fn with_standby(url: &Value, change: impl FnOnce(&mut Value)) -> World {
    let mut world = scene(change);
    world.server.delete(&format!("{GATEWAYS}/b"));
    world.server.put(&format!("{HOOKS}/b"), foreign(url));
    world.server.put(&format!("{SECRETS}/partner"), secret("partner", "secret", SECRET));
    world.sync();
    world
}

fn plain() -> Value {
    json!({"address": ADDRESS})
}

fn tested() -> Value {
    json!({"address": ADDRESS, "probe": {"path": "/health"}, "test": {"phoneNumber": NUMBER, "interval": "5m"}})
}

fn count(sent: &[Sent], how: &str) -> usize {
    sent.iter().filter(|sent| sent.how == how).count()
}

#[tokio::test(start_paused = true)]
async fn a_url_without_a_test_is_only_connected_to_and_a_failover_to_it_is_held_until_a_person_promotes_it() {
    let mut world = with_standby(&plain(), |_| {});
    probed_reconciles(&mut world, 8).await;
    assert_eq!((active(&world), world.org.hooks().len()), (vec!["Acme a".to_owned()], 2));
    let sent = world.org.sent(HOST);
    assert!(sent.len() >= 8 && count(&sent, "connect") == sent.len(), "{sent:?}");
    assert_eq!(signal(&world, "b", "PublicURL"), "Pass");
    assert_eq!(condition(&world, PATH, "FailoverReady"), is("Unknown", "StandbyUnproven"));
    assert_eq!(status(&world)["standby"], Value::Null);
    assert_eq!(condition(&world, &format!("{HOOKS}/b"), "Ready"), is("True", "Ready"));

    serve(&world, "a", false);
    probed_reconciles(&mut world, 8).await;
    assert_eq!(active(&world), ["Acme a"]);
    assert_eq!(condition(&world, PATH, "Held"), is("True", "StandbyUnproven"));
    annotate(&world, "hookswitch.dev/promote", "b");
    probed_reconciles(&mut world, 2).await;
    assert_eq!(active(&world), ["Acme b"]);
    probed_reconciles(&mut world, 80).await;
    let sent = world.org.sent(HOST);
    assert_eq!(count(&sent, "connect"), sent.len(), "nor does Okta send anything on our behalf: {sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_url_without_a_test_takes_over_where_that_is_allowed() {
    let mut world = with_standby(&plain(), |switch| switch["spec"]["detection"]["unprovenStandby"] = json!("Allow"));
    probed_reconciles(&mut world, 8).await;
    assert_eq!(condition(&world, PATH, "FailoverReady"), is("True", "StandbyProven"));
    serve(&world, "a", false);
    probed_reconciles(&mut world, 8).await;
    assert_eq!(active(&world), ["Acme b"]);
}

#[tokio::test(start_paused = true)]
async fn a_url_with_a_test_is_proven_by_it_and_gets_exactly_what_its_owner_allows() {
    let mut world = with_standby(&tested(), |_| {});
    probed_reconciles(&mut world, 8).await;
    assert_eq!(condition(&world, PATH, "FailoverReady"), is("True", "StandbyProven"));
    let sent = world.org.sent(HOST);
    let [post] = &sent.iter().filter(|sent| sent.how == "POST").collect::<Vec<_>>()[..] else { panic!("{sent:?}") };
    assert_eq!((post.url.as_str(), &post.body["data"]["messageProfile"]["phoneNumber"]), (ADDRESS, &json!(NUMBER)));
    assert!(post.headers.contains(&format!("authorization: {SECRET}")), "{:?}", post.headers);
    let get = sent.iter().find(|sent| sent.how == "GET").unwrap();
    assert_eq!((get.url.as_str(), &get.headers[..]), ("https://otp.partner.example/health", &[][..]));

    world.server.writes();
    world.org.calls();
    for _ in 0..120 {
        serve(&world, "a", true);
        probed_reconciles(&mut world, 1).await;
    }
    let sent = world.org.sent(HOST);
    assert_eq!((count(&sent, "POST"), count(&sent, "GET"), sent.len()), (2, 120, 122), "in ten minutes");
    assert_eq!(world.server.writes(), Vec::<String>::new(), "nothing is written while nothing changes");

    annotate(&world, "hookswitch.dev/promote", "b");
    probed_reconciles(&mut world, 4).await;
    assert_eq!((active(&world), signal(&world, "b", "Execute")), (vec!["Acme b".to_owned()], "Pass".into()));
    world.org.sent(HOST);
    world.server.writes();
    probed_reconciles(&mut world, 120).await;
    let sent = world.org.sent(HOST);
    assert_eq!((count(&sent, "POST"), count(&sent, "execute")), (2, 2), "Okta sends as often as we do");
    assert!(sent.iter().filter(|sent| sent.how == "execute").all(|sent| {
        sent.body["data"]["messageProfile"]["phoneNumber"] == NUMBER
            && sent.body["eventId"].as_str().unwrap().len() == 22
    }));
    assert_eq!(world.server.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_url_that_takes_no_passcodes_proves_nothing_and_is_left_when_okta_finds_the_same() {
    let mut world = with_standby(&tested(), |_| {});
    world.org.refuse_passcodes(true);
    probed_reconciles(&mut world, 12).await;
    assert_eq!((signal(&world, "b", "PublicURL"), signal(&world, "b", "Test")), ("Pass".into(), "Fail".into()));
    assert_eq!(condition(&world, PATH, "FailoverReady"), is("False", "StandbyNotReady"));
    world.org.refuse_passcodes(false);
    probed_reconciles(&mut world, 64).await;
    assert_eq!(condition(&world, PATH, "FailoverReady"), is("True", "StandbyProven"), "five minutes later");

    annotate(&world, "hookswitch.dev/promote", "b");
    probed_reconciles(&mut world, 4).await;
    assert_eq!(active(&world), ["Acme b"]);
    world.org.refuse_passcodes(true);
    world.org.sent(HOST);
    probed_reconciles(&mut world, 80).await;
    assert_eq!(active(&world), ["Acme a"], "by Test and Execute");
    let sent = world.org.sent(HOST);
    assert!(count(&sent, "POST") <= 3 && count(&sent, "execute") <= 5, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn okta_is_asked_once_a_minute_about_a_url_of_which_something_fails() {
    let mut world = with_standby(&tested(), |switch| switch["spec"]["mode"] = json!("Manual"));
    probed_reconciles(&mut world, 6).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    probed_reconciles(&mut world, 20).await;
    world.org.break_addresses(&[HOST]);
    world.org.sent(HOST);
    probed_reconciles(&mut world, 61).await;
    let executed = count(&world.org.sent(HOST), "execute");
    assert!((5..=6).contains(&executed), "{executed} times in five minutes");
    assert_eq!(active(&world), ["Acme b"], "a person switches");
}

#[tokio::test(start_paused = true)]
async fn two_corroborating_signals_fail_the_active_url_and_one_does_not() {
    let mut world = with_standby(&plain(), |_| {});
    probed_reconciles(&mut world, 6).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    probed_reconciles(&mut world, 4).await;
    world.org.break_addresses(&[HOST]);
    probed_reconciles(&mut world, 20).await;
    assert_eq!((active(&world), signal(&world, "b", "PublicURL")), (vec!["Acme b".to_owned()], "Fail".into()));
    world.org.log_events(LogEventKind::HookFailed, 6);
    probed_reconciles(&mut world, 14).await;
    assert_eq!(active(&world), ["Acme a"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_repointed_to_a_url_with_the_secret_that_its_owner_expects() {
    let mut world = with_standby(&tested(), |switch| switch["spec"]["strategy"] = json!("Repoint"));
    let mut standby = foreign(&tested());
    standby["spec"].as_object_mut().unwrap().remove("okta");
    standby["spec"]["headers"] = json!([{"name": "X-Tenant", "value": "acme"}]);
    world.server.put(&format!("{HOOKS}/b"), standby);
    probed_reconciles(&mut world, 8).await;
    assert_eq!(condition(&world, PATH, "FailoverReady"), is("True", "StandbyProven"));
    assert_eq!(condition(&world, &format!("{HOOKS}/b"), "Ready"), is("True", "Ready"));
    serve(&world, "a", false);
    probed_reconciles(&mut world, 8).await;
    let hooks = world.org.hooks();
    assert_eq!((hooks.len(), hooks[0].uri.as_deref()), (1, Some(ADDRESS)));
    let written = world.org.content(&hooks[0].id).unwrap();
    assert_eq!(written.secret.expose(), SECRET);
    assert!(written.headers.iter().any(|header| header.name == "X-Tenant"));
    assert_eq!((status(&world)["active"].clone(), signal(&world, "b", "Execute")), (json!("b"), "Pass".into()));
    assert_eq!(world.server.get(&format!("{HOOKS}/b")).unwrap()["status"]["target"], "otp.partner.example");
    serve(&world, "a", true);
    probed_reconciles(&mut world, 10).await;
    annotate(&world, "hookswitch.dev/failback", "1");
    probed_reconciles(&mut world, 3).await;
    assert_eq!(world.org.hooks()[0].uri.as_deref(), Some("https://a.acme.com/hooks/a"));
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_of_a_url_is_given_to_okta_at_once() {
    let mut world = with_standby(&plain(), |_| {});
    probed_reconciles(&mut world, 6).await;
    world.org.calls();
    let another = "Bearer another-secret-of-the-partner";
    // another name is another watch
    world.server.put(&format!("{SECRETS}/next"), secret("next", "secret", another));
    let mut changed = world.server.get(&format!("{HOOKS}/b")).unwrap();
    changed["spec"]["auth"]["header"]["secretRef"]["name"] = json!("next");
    changed["metadata"]["generation"] = json!(2);
    world.server.put(&format!("{HOOKS}/b"), changed);
    probed_reconciles(&mut world, 1).await;
    assert!(world.org.calls().contains(&"replace"));
    let hooks = world.org.hooks();
    let standby = hooks.iter().find(|hook| hook.name == "Acme b").unwrap();
    assert_eq!(world.org.content(&standby.id).unwrap().secret.expose(), another);
}

#[tokio::test(start_paused = true)]
async fn a_standby_at_a_url_is_created_only_once_that_is_reached() {
    let mut world = with_standby(&plain(), |_| {});
    world.org.break_addresses(&[HOST]);
    probed_reconciles(&mut world, 8).await;
    assert_eq!(world.org.hooks().len(), 1);
    assert_eq!(condition(&world, &format!("{HOOKS}/b"), "Ready"), is("Unknown", "UrlNotReached"));
    world.org.break_addresses(&[]);
    probed_reconciles(&mut world, 3).await;
    assert_eq!((world.org.hooks().len(), active(&world)), (2, vec!["Acme a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_reaches_no_address_takes_no_test_for_a_second_corroborating_signal() {
    let mut world = with_standby(&tested(), |_| {});
    probed_reconciles(&mut world, 6).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    probed_reconciles(&mut world, 4).await;
    let (hook, failed) = (ObjectRef::new("otp", "b"), Finding::new(CheckResult::Fail, "no answer"));
    world.org.break_addresses(&["https://"]);
    world.ctx.memory.probes.set(&hook, Source::Test, failed);
    world.ctx.memory.probes.set(
        &hook,
        Source::Execute,
        Finding::new(CheckResult::Unknown, "Okta's API does not answer"),
    );
    probed_reconciles(&mut world, 1).await;
    for source in ["PublicURL", "Test"] {
        assert_eq!(signal(&world, "b", source), "Unknown", "{source}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_url_that_no_switch_names_is_active_by_its_owners_word_and_nothing_is_sent_there() {
    let mut world = world(&[]);
    let mut one = foreign(&tested());
    one["spec"]["state"] = json!("Active");
    world.server.put(&format!("{HOOKS}/b"), one);
    world.server.put(&format!("{SECRETS}/partner"), secret("partner", "secret", SECRET));
    settle(&mut world, &["b"]).await;
    assert_eq!(active(&world), ["Acme b"]);
    assert_eq!(condition(&world, &format!("{HOOKS}/b"), "Ready"), is("True", "Ready"));
    assert!(world.server.get(&format!("{SECRETS}/b-hook-auth")).is_none(), "no secret is made that nobody could know");
    let mut asking = tokio::task::JoinSet::new();
    crate::operator::probes::round(&world.ctx.prober, &mut asking).await;
    assert!(asking.is_empty() && world.org.sent(HOST).is_empty());
    org_pass(&mut world).await;
}

#[tokio::test(start_paused = true)]
async fn a_url_at_the_host_of_another_hook_shares_it() {
    let mut world = with_standby(&json!({"address": "https://A.acme.com:8443/okta"}), |_| {});
    probed_reconciles(&mut world, 2).await;
    assert_eq!(condition(&world, PATH, "StandbyIndependent"), is("False", "SharedHost"));
    let mut world = with_standby(&plain(), |_| {});
    probed_reconciles(&mut world, 2).await;
    assert_eq!(condition(&world, PATH, "StandbyIndependent"), is("True", "Independent"));
}

#[tokio::test(start_paused = true)]
async fn neither_number_nor_code_nor_text_of_a_test_shows_anywhere() {
    let lines = Lines::default();
    let writer = lines.clone();
    // with one subscriber alone, a line that another thread meets first is taken for one that nobody wants
    let _another = tracing::Dispatch::new(logs::subscriber("trace", io::sink).unwrap());
    let dispatch = tracing::Dispatch::new(logs::subscriber("trace", move || writer.clone()).unwrap());
    let _guard = tracing::dispatcher::set_default(&dispatch);
    let mut world = with_standby(&tested(), |_| {});
    probed_reconciles(&mut world, 8).await;
    annotate(&world, "hookswitch.dev/promote", "b");
    probed_reconciles(&mut world, 8).await;
    world.org.refuse_passcodes(true);
    probed_reconciles(&mut world, 80).await;
    let sent = world.org.sent(HOST);
    let bodies: Vec<&Sent> = sent.iter().filter(|sent| sent.body.is_object()).collect();
    assert!(count(&sent, "execute") > 1 && bodies.len() >= 4);

    let mut shown = lines.text();
    assert!(shown.contains("SwitchStarted"), "the log is read");
    shown += &world.ctx.metrics.registry.render();
    assert!(shown.contains(r#"source="Test""#), "the figures are read");
    world.ctx.runtime.kube.events.flush().await;
    for mut object in world.server.everything_but_secrets() {
        object.as_object_mut().unwrap().remove("spec");
        shown += &object.to_string();
    }
    let hook = world.ctx.memory.caches.hooks.get("otp", "b").unwrap();
    write!(shown, "{hook:?} {:?} {:?}", world.ctx, world.ctx.memory.probes).unwrap();
    assert!(shown.contains("A passcode for the test number is answered FAILED."));
    assert!(!shown.contains(&NUMBER[1..]), "the number shows");
    for sent in bodies {
        let profile = &sent.body["data"]["messageProfile"];
        let (code, event) = (profile["otpCode"].as_str().unwrap(), sent.body["eventId"].as_str().unwrap());
        // six digits alone may be part of a time or an id
        assert!(!shown.contains(&format!("code is {code}")) && !shown.contains(&format!("\"{code}\"")), "a code shows");
        assert!(!shown.contains(event), "a body shows");
    }
    assert!(!shown.contains(SECRET) && !shown.contains("verification code"));
}
