//! Random histories of one hook in Okta and the objects that may have it: renamed, handed over, deleted, made anew, while operators
//! restart and writes fail. Through all of it Okta's hook is active, belongs to one object, and changes hands by a person's word.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::flow::{condition, gateway, hook, org, secret};
use crate::operator::{
    runtime::reconcile::Reconcile as _,
    testing::world::{GATEWAYS, HOOKS, ORGS, SECRETS, World, WriteFault},
};
use hookswitch_api::{HANDS_OVER_TO, OktaOrg, TAKES_OVER, TelephonyHook};
use hookswitch_okta::{Failure, ObjectRef, types::HookStatus};

const NAMES: [&str; 3] = ["main", "next", "third"];

/// The time between two polls.
const POLL: Duration = Duration::from_secs(61);

#[derive(Debug, Clone)]
enum Event {
    /// An object is applied, as it was or for the first time, and takes over that one's hook.
    Applied(usize, Option<usize>),
    /// An object hands its hook over to that one, if it is there.
    HandsOver(usize, Option<usize>),
    /// Somebody deletes an object; or it goes whatever holds it.
    Deleted(usize, bool),
    /// An object's destination takes Okta's calls with its secret from now on, or does not.
    Takes(usize, bool),
    /// Another operator leads.
    Restart,
    /// One of the next writes fails.
    Write(usize, WriteFault),
    /// Okta answers from now on, or fails.
    Okta(bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let other = || prop_oneof![1 => Just(None), 3 => (0..3_usize).prop_map(Some)];
    let write_fault = prop_oneof![Just(WriteFault::Conflict), Just(WriteFault::Fails), Just(WriteFault::LostAnswer)];
    let event = prop_oneof![
        4 => (0..3_usize, other()).prop_map(|(name, from)| Event::Applied(name, from)),
        3 => (0..3_usize, other()).prop_map(|(name, to)| Event::HandsOver(name, to)),
        3 => (0..3_usize, any::<bool>()).prop_map(|(name, at_once)| Event::Deleted(name, at_once)),
        2 => (0..3_usize, prop::bool::weighted(0.7)).prop_map(|(name, takes)| Event::Takes(name, takes)),
        2 => Just(Event::Restart),
        2 => (0..4_usize, write_fault).prop_map(|(write, write_fault)| Event::Write(write, write_fault)),
        1 => any::<bool>().prop_map(Event::Okta),
    ];
    prop::collection::vec(event, 1..16)
}

fn path(name: &str) -> String {
    format!("{HOOKS}/{name}")
}

struct Play {
    world: World,
    takes: [bool; 3],
    /// How often the hook changed hands.
    changes: usize,
}

impl Play {
    /// The first object's hook is active in Okta; the others are not there yet.
    async fn begin() -> Self {
        let world = World::new();
        world.server.put(&format!("{ORGS}/acme"), org());
        world.server.put(&format!("{SECRETS}/okta"), secret("okta", "token", "00token-of-the-org"));
        for name in NAMES {
            let mut of = gateway();
            of["metadata"]["name"] = json!(name);
            world.server.put(&format!("{GATEWAYS}/{name}"), of);
            let own = format!("{name}-own");
            world.server.put(&format!("{SECRETS}/{own}"), secret(&own, "value", &value(name)));
        }
        let mut play = Self { world, takes: [true; 3], changes: 0 };
        play.set_reports();
        play.apply(0, None);
        play.passes(4).await;
        assert_eq!(play.owner(), "main");
        play
    }

    fn set_reports(&self) {
        let (ctx, pairs) = (&self.world.ctx, NAMES.into_iter().zip(self.takes));
        for (name, takes) in pairs {
            ctx.memory.reports.serve("otp", name, if takes { std::slice::from_ref(&name) } else { &[] });
            let fingerprint = ctx.installation.key.secret(&ObjectRef::new("otp", name), "Authorization", &value(name));
            ctx.memory.reports.set_accepted("otp", name, name, fingerprint);
        }
    }

    fn apply(&self, number: usize, from: Option<usize>) {
        let name = NAMES[number];
        let mut object = self.world.server.get(&path(name)).unwrap_or_else(|| hook(name, "Active"));
        object["spec"]["target"]["gatewayRef"]["name"] = json!(name);
        object["spec"]["okta"]["name"] = json!("Acme main");
        object["spec"]["auth"] = json!({"header": {"secretRef": {"name": format!("{name}-own"), "key": "value"}}});
        annotate(&mut object, TAKES_OVER, from);
        self.world.server.put(&path(name), object);
    }

    fn happen(&mut self, event: &Event) {
        let server = &self.world.server;
        match *event {
            Event::Applied(number, from) => self.apply(number, from),
            Event::HandsOver(number, to) => {
                if let Some(mut object) = server.get(&path(NAMES[number])) {
                    annotate(&mut object, HANDS_OVER_TO, to);
                    server.put(&path(NAMES[number]), object);
                }
            }
            Event::Deleted(number, true) => server.delete(&path(NAMES[number])),
            Event::Deleted(number, false) => {
                if server.get(&path(NAMES[number])).is_some() {
                    server.ask_to_delete(&path(NAMES[number]), Duration::ZERO);
                }
            }
            Event::Takes(number, takes) => self.takes[number] = takes,
            Event::Restart => {
                let (server, org) = (server.clone(), self.world.org.clone());
                let factory = Arc::new(org.clone());
                self.world = World::between(server, org, factory);
            }
            Event::Write(write, write_fault) => server.write_fault(Some((write, write_fault))),
            Event::Okta(answers) => {
                self.world.org.fail((!answers).then_some(Failure::Server { status: 503, code: None }));
            }
        }
        self.set_reports();
    }

    /// Reconciles over everything, checked after each of them.
    async fn passes(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for name in NAMES {
                self.world.sync();
                if let Some(hook) = self.world.ctx.memory.caches.hooks.get("otp", name) {
                    // one that fails is tried again
                    drop(TelephonyHook::reconcile(hook, Arc::clone(&self.world.ctx)).await);
                }
            }
            self.world.sync();
            let before = self.world.org.hooks().first().map(|_| self.owner());
            let org = self.world.ctx.memory.caches.orgs.get("otp", "acme").unwrap();
            drop(OktaOrg::reconcile(org, Arc::clone(&self.world.ctx)).await);
            let (Some(before), after) = (before, self.owner()) else { continue };
            if before != after {
                assert!(self.may_take(&after, &before), "{after} took over from {before}: {}", self.shown());
                self.changes += 1;
            }
        }
    }

    /// The object whose tag Okta's hook carries. There is one hook, and it is active.
    fn owner(&self) -> String {
        let hooks = self.world.org.hooks();
        let [hook] = &hooks[..] else { panic!("{} hooks in Okta: {}", hooks.len(), self.shown()) };
        assert_eq!(hook.status, HookStatus::Active, "{}", self.shown());
        let tag = hook.headers.iter().find(|header| header.name == "X-Hookswitch-Owner").unwrap();
        tag.value.strip_prefix("test/otp/").unwrap().to_owned()
    }

    fn says(&self, name: &str, annotation: &str) -> Option<String> {
        let object = self.world.server.get(&path(name))?;
        object["metadata"]["annotations"][annotation].as_str().map(str::to_owned)
    }

    fn exists(&self, name: &str) -> bool {
        self.world.server.get(&path(name)).is_some()
    }

    fn leaves(&self, name: &str) -> bool {
        let object = self.world.server.get(&path(name)).unwrap_or_default();
        object["metadata"]["deletionTimestamp"].is_string()
    }

    /// Whether people say that an object takes over another one's hook.
    fn may_take(&self, taker: &str, from: &str) -> bool {
        let asks = |name: &str| self.says(name, TAKES_OVER).as_deref() == Some(from);
        let alone = NAMES.into_iter().filter(|name| asks(name)).count() == 1;
        let handed = self.says(from, HANDS_OVER_TO).as_deref() == Some(taker);
        asks(taker) && if self.exists(from) { handed } else { alone }
    }

    /// In the end: it is some object's, or nobody's who is there, and every other object says why it has none.
    fn check(&self) {
        let owner = self.owner();
        for (name, takes) in NAMES.into_iter().zip(self.takes) {
            if !self.exists(name) {
                continue;
            }
            let (status, reason) = condition(&self.world, &path(name), "Ready");
            let message = self.message(name);
            if name == owner {
                // beside another that is declared Active and has no word for it, both are reported
                let held = self.leaves(name) || !takes || reason == "TwoActive";
                assert!(status == "True" || held, "{name} has it, and is {status} {reason}: {}", self.shown());
                continue;
            }
            let reported = if status == "True" { message.contains("handed over") } else { !reason.is_empty() };
            assert!(
                reported && !message.is_empty(),
                "{name} does not have it: {status} {reason} {message}: {}",
                self.shown()
            );
            let waits = self.may_take(name, &owner) && takes && !self.leaves(name);
            assert!(!waits, "{name} is to have it and could: {}", self.shown());
        }
    }

    fn message(&self, name: &str) -> String {
        let object = self.world.server.get(&path(name)).unwrap();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or(Value::Null);
        ready["message"].as_str().unwrap_or_default().to_owned()
    }

    fn shown(&self) -> String {
        let objects = NAMES.map(|name| self.world.server.get(&path(name)).unwrap_or_default());
        let objects: Vec<_> = objects
            .iter()
            .map(|object| {
                json!([
                    object["metadata"]["name"],
                    object["metadata"]["annotations"],
                    object["metadata"]["deletionTimestamp"],
                    object["status"]["conditions"][0]
                ])
            })
            .collect();
        format!("{objects:?} {:?}", self.world.org.hooks())
    }
}

fn value(name: &str) -> String {
    format!("a value of enough characters for {name}")
}

fn annotate(object: &mut Value, annotation: &str, other: Option<usize>) {
    let annotations = &mut object["metadata"]["annotations"];
    if annotations.is_null() {
        *annotations = json!({});
    }
    let annotations = annotations.as_object_mut().unwrap();
    match other {
        Some(other) => _ = annotations.insert(annotation.to_owned(), json!(NAMES[other])),
        None => _ = annotations.remove(annotation),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn through_any_history_a_hook_is_one_objects_by_a_persons_word_and_never_switched_off(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut play = Play::begin().await;
            for event in &events {
                play.happen(event);
                play.passes(2).await;
                tokio::time::advance(Duration::from_secs(20)).await;
            }
            play.happen(&Event::Okta(true));
            play.world.server.write_fault(None);
            for _ in 0..8 {
                play.passes(2).await;
                tokio::time::advance(POLL).await;
            }
            let before = play.changes;
            play.passes(4).await;
            assert_eq!(play.changes, before, "it goes to and fro: {}", play.shown());
            play.check();
        });
    }
}
