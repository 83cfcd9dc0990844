//! The fault matrix: the operator killed before and after every call to Okta and every write to the API server, with every
//! fault at every call, for each thing that it does to hooks, and for each behaviour that Okta does not document.
//!
//! The org is the planner's model of one, the API server is in memory; a killed operator is followed by one that remembers
//! nothing. A sample of the combinations runs by default; `HOOKSWITCH_TESTS=full` runs all of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt as _};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{
    double::{GATEWAYS, HOOKS, ORGS, Org, SECRETS, SWITCHES, Server, Trouble, World},
    flow_tests::{gateway, hook, org, secret},
    org::dial::{Access, Dial, HookCaller, OrgApi},
    pass::Reconcile as _,
    reports::Serving,
};
use crate::{
    api::{HookSwitch, OktaOrg, TelephonyHook},
    message::Secret,
    net::NetError,
    okta::{
        Answer, HookId, ObjectRef,
        client::CallResult,
        log,
        mark::Installation,
        plan::Verb,
        run::model::{Behaviour, Fault, Model, SecondActivation, SecondCreation, written},
        types::{HookContent, HookStatus, OrgIdentity},
    },
};

/// Combinations that run by default.
const SAMPLE: usize = 1_200;

/// Where the sample begins; another one by `HOOKSWITCH_SEED`.
const SEED: u64 = 20_260;

impl OrgApi for Model {
    fn identity(&self) -> BoxFuture<'_, CallResult<OrgIdentity>> {
        let answer = Answer { value: OrgIdentity::Id("00o1".into()), request_id: None, rate: None };
        futures::future::ready(Ok(answer)).boxed()
    }

    fn execute<'a>(&'a self, _: &'a HookId, _: &'a Value, _: Duration) -> BoxFuture<'a, CallResult<Value>> {
        panic!("nothing executes hooks here")
    }

    fn log<'a>(&'a self, _: &'a log::From) -> BoxFuture<'a, CallResult<log::Page>> {
        panic!("nothing reads the log here")
    }
}

struct Line(Arc<Model>);

impl Dial for Line {
    fn dial(&self, _: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        Ok(Arc::clone(&self.0) as Arc<dyn OrgApi>)
    }

    fn caller(&self, _: Option<&str>) -> Result<Arc<dyn HookCaller>, NetError> {
        panic!("nothing calls hooks here")
    }
}

/// What the operator is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Create,
    Adopt,
    Update,
    HandOver,
    Deactivate,
    Delete,
    /// A switch and its two hooks are declared: the first is made active, the standby beside it.
    Switch,
    /// The active hook's gateway goes.
    Failover,
    /// A person brings the first hook back.
    Failback,
    /// A switch with one hook in Okta is declared.
    Repoint,
    /// The gateway that Okta is pointed at goes.
    RepointFailover,
    /// A person has Okta pointed at the first one again.
    RepointFailback,
}

const TASKS: [Task; 12] = [
    Task::Create,
    Task::Adopt,
    Task::Update,
    Task::HandOver,
    Task::Deactivate,
    Task::Delete,
    Task::Switch,
    Task::Failover,
    Task::Failback,
    Task::Repoint,
    Task::RepointFailover,
    Task::RepointFailback,
];

impl Task {
    const fn is_of_switch(self) -> bool {
        self.repoints() || matches!(self, Self::Switch | Self::Failover | Self::Failback)
    }

    const fn repoints(self) -> bool {
        matches!(self, Self::Repoint | Self::RepointFailover | Self::RepointFailback)
    }

    const fn is_failover(self) -> bool {
        matches!(self, Self::Failover | Self::RepointFailover)
    }

    const fn is_failback(self) -> bool {
        matches!(self, Self::Failback | Self::RepointFailback)
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// At a call to Okta, by number.
    Okta(usize, Fault),
    /// At a write to the API server, by number.
    Write(usize, Trouble),
}

#[derive(Debug, Clone, Copy)]
struct Script {
    task: Task,
    behaviour: usize,
    kill: Wrong,
    fault: Wrong,
}

fn behaviours() -> Vec<Behaviour> {
    let creations = [SecondCreation::Refused, SecondCreation::Inactive, SecondCreation::TakesOver];
    let activations = [
        (SecondActivation::Refused, 0),
        (SecondActivation::Refused, 3),
        (SecondActivation::TakesOver, 0),
        (SecondActivation::TakesOver, 3),
        (SecondActivation::Permitted, 0),
    ];
    let of = |second_creation| {
        activations.map(|(second_activation, delay)| Behaviour {
            second_creation,
            second_activation,
            deactivating_last_refused: false,
            never_active: None,
            delay: Duration::from_secs(delay),
        })
    };
    creations.into_iter().flat_map(of).collect()
}

/// An operator at work on one task.
struct Run {
    task: Task,
    model: Arc<Model>,
    world: World,
    kills: usize,
    gateway_there: bool,
}

fn content(name: &str, uri: &str) -> HookContent {
    HookContent {
        name: name.into(),
        uri: uri.into(),
        headers: Vec::new(),
        auth_header: "Authorization".into(),
        secret: Secret::from("theirs"),
    }
}

impl Run {
    fn new(task: Task, behaviour: Behaviour) -> Self {
        let foreign =
            written(HookId::new("foreign").unwrap(), HookStatus::Inactive, &content("Theirs", "https://x.test/"));
        let mut there = vec![foreign];
        let mut may_take = BTreeSet::new();
        if task == Task::Adopt {
            let id = HookId::new("calmain").unwrap();
            may_take.insert(id.clone());
            there.push(written(id, HookStatus::Active, &content("Acme main", "https://otp.acme.com/hooks/main")));
        }
        let model = Model::new(behaviour, Installation::new("test").unwrap(), there, may_take, Vec::new());
        let (model, server) = (Arc::new(model), Server::default());
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "otp"}});
        server.put("/api/v1/namespaces/otp", namespace);
        server.put(&format!("{ORGS}/acme"), org());
        server.put(&format!("{GATEWAYS}/main"), gateway());
        let mut reserve = gateway();
        reserve["metadata"]["name"] = json!("reserve");
        server.put(&format!("{GATEWAYS}/reserve"), reserve);
        server.put(&format!("{SECRETS}/okta"), secret("okta", "token", "00token-of-the-org"));
        for name in ["main", "other"] {
            let value = format!("a value of enough characters for {name}");
            server.put(&format!("{SECRETS}/{name}-own"), secret(&format!("{name}-own"), "value", &value));
        }
        let world = begin(&server, &model, true);
        Self { task, model, world, kills: 0, gateway_there: true }
    }

    fn declare(&self, name: &str, state: &str) {
        let mut object = hook(name, state);
        object["spec"]["auth"] = json!({"header": {"secretRef": {"name": format!("{name}-own"), "key": "value"}}});
        match self.task {
            Task::Adopt => object["spec"]["adoption"] = json!("IfMatches"),
            Task::Delete => object["spec"]["deletion"] = json!("Delete"),
            task if task.is_of_switch() => {
                object["spec"].as_object_mut().unwrap().remove("state");
                if name == "other" {
                    object["spec"]["target"] = json!({"gatewayRef": {"name": "reserve"}});
                    if task.repoints() {
                        object["spec"].as_object_mut().unwrap().remove("okta");
                    }
                }
            }
            _ => {}
        }
        self.world.server.put(&format!("{HOOKS}/{name}"), object);
    }

    /// Both hooks and the switch over them.
    fn declare_switch(&self) {
        for name in ["main", "other"] {
            self.declare(name, "Inactive");
        }
        let switch = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "HookSwitch",
            "metadata": {"name": "acme", "namespace": "otp", "generation": 1},
            "spec": {"hooks": [{"name": "main"}, {"name": "other"}],
                "strategy": if self.task.repoints() { "Repoint" } else { "Swap" }}});
        self.world.server.put(&format!("{SWITCHES}/acme"), switch);
    }

    fn annotate(&self, name: &str, value: &str) {
        let path = format!("{SWITCHES}/acme");
        let mut switch = self.world.server.get(&path).unwrap();
        switch["metadata"]["annotations"][name] = json!(value);
        self.world.server.put(&path, switch);
    }

    fn change(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let path = format!("{HOOKS}/{name}");
        let mut object = self.world.server.get(&path).unwrap();
        edit(&mut object["spec"]);
        object["metadata"]["generation"] = json!(2);
        self.world.server.put(&path, object);
    }

    /// Everything up to the task itself, with nothing going wrong.
    async fn prepare(&mut self) {
        match self.task {
            Task::Create | Task::Adopt | Task::Switch | Task::Repoint => return,
            Task::HandOver => {
                self.declare("main", "Active");
                self.declare("other", "Inactive");
            }
            Task::Update | Task::Deactivate | Task::Delete => self.declare("main", "Active"),
            Task::Failover | Task::Failback | Task::RepointFailover | Task::RepointFailback => self.declare_switch(),
        }
        self.rounds(6, Duration::from_secs(6)).await;
        if self.task.is_failback() {
            self.annotate("hookswitch.dev/promote", "other");
            self.rounds(6, Duration::from_secs(6)).await;
            let switch = self.world.server.get(&format!("{SWITCHES}/acme")).unwrap();
            assert_eq!(switch["status"]["active"], "other", "promoted: {switch}");
            return;
        }
        let shown = || {
            let stati: Vec<_> = ["main", "other"]
                .map(|name| {
                    self.world.server.get(&format!("{HOOKS}/{name}")).map(|o| o["status"]["conditions"].to_string())
                })
                .into();
            format!(
                "{:?} {:?} {:#?} {stati:?} {:?}",
                self.task,
                self.model.calls(),
                self.model.observed().iter().map(|h| (h.name.clone(), h.status)).collect::<Vec<_>>(),
                self.world.server.get(&format!("{ORGS}/acme")).unwrap()["status"]["plan"]
            )
        };
        assert_eq!(self.active(), ["Acme main"], "{}", shown());
    }

    fn ask(&mut self) {
        match self.task {
            Task::Switch | Task::Repoint => self.declare_switch(),
            Task::Failover | Task::RepointFailover => {
                self.gateway_there = false;
                self.world.ctx.reports.set_serving("otp", "main", "main", Serving::Unknown);
            }
            Task::Failback | Task::RepointFailback => self.annotate("hookswitch.dev/failback", "1"),
            Task::Create | Task::Adopt => self.declare("main", "Active"),
            Task::Update => self.change("main", |spec| spec["headers"] = json!([{"name": "X-Env", "value": "prod"}])),
            Task::HandOver => {
                self.change("main", |spec| spec["state"] = json!("Inactive"));
                self.change("other", |spec| spec["state"] = json!("Active"));
            }
            Task::Deactivate => self.change("main", |spec| spec["state"] = json!("Inactive")),
            Task::Delete => self.world.server.ask_to_delete(&format!("{HOOKS}/main"), Duration::ZERO),
        }
    }

    /// The task, and all the time that it may take when things go wrong.
    async fn perform(&mut self) {
        self.ask();
        self.rounds(12, Duration::from_secs(4)).await;
        self.rounds(5, Duration::from_secs(61)).await;
        if !self.is_done() {
            // a refusal is respected for an hour, unless what it was about changes
            self.rounds(2, Duration::from_mins(61)).await;
            self.rounds(4, Duration::from_secs(61)).await;
        }
        if self.task.is_failback() && self.was_refused() {
            // Okta said no and the switch says so: a person asks again
            self.annotate("hookswitch.dev/failback", "2");
            self.rounds(12, Duration::from_secs(4)).await;
        }
    }

    async fn rounds(&mut self, rounds: usize, pause: Duration) {
        for _ in 0..rounds {
            self.round().await;
            tokio::time::advance(pause).await;
        }
        self.round().await;
    }

    /// Passes over everything; an operator that is killed is followed by another.
    async fn round(&mut self) {
        let (model, server) = (Arc::clone(&self.model), self.world.server.clone());
        let killed = tokio::select! {
            () = passes(&mut self.world) => false,
            () = model.crashed.notified() => true,
            () = server.died.notified() => true,
        };
        if killed {
            self.kills += 1;
            self.world = begin(&server, &model, self.gateway_there);
        }
    }

    fn active(&self) -> Vec<String> {
        let hooks = self.model.observed();
        hooks.into_iter().filter(|hook| hook.status == HookStatus::Active).map(|hook| hook.name).collect()
    }

    fn ready(&self, name: &str) -> bool {
        let Some(object) = self.world.server.get(&format!("{HOOKS}/{name}")) else { return false };
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    }

    /// Whether the last switch ended by Okta's refusal.
    fn was_refused(&self) -> bool {
        let switch = self.world.server.get(&format!("{SWITCHES}/acme")).unwrap();
        let history = switch["status"]["history"].as_array().cloned().unwrap_or_default();
        history.last().is_some_and(|last| last["outcome"] == "Failed")
    }

    fn is_done(&self) -> bool {
        self.wrong().is_none()
    }

    /// What is not as it is to be at the end.
    fn wrong(&self) -> Option<String> {
        let hooks = self.model.hooks();
        let named = |name: &str| hooks.iter().filter(|stored| stored.hook.name == name).collect::<Vec<_>>();
        let expected: &[&str] = match self.task {
            Task::Deactivate | Task::Delete => &[],
            Task::HandOver | Task::Failover => &["Acme other"],
            _ => &["Acme main"],
        };
        if self.active() != expected {
            let switch = self.world.server.get(&format!("{SWITCHES}/acme")).map(|switch| switch["status"].clone());
            let said = switch.map(|status| format!("; the switch says {status}")).unwrap_or_default();
            return Some(format!("active are {:?}{said}", self.active()));
        }
        let plan = self.world.server.get(&format!("{ORGS}/acme")).unwrap()["status"]["plan"].clone();
        if !plan.is_null() {
            return Some(format!("a plan is still recorded: {plan}"));
        }
        if self.task == Task::Delete {
            let gone = named("Acme main").is_empty() && self.world.server.get(&format!("{HOOKS}/main")).is_none();
            return (!gone).then(|| "it is not deleted".to_owned());
        }
        if self.task.is_of_switch() {
            let status = self.world.server.get(&format!("{SWITCHES}/acme")).unwrap()["status"].clone();
            let phase = if self.task.is_failover() { "OnStandby" } else { "Healthy" };
            if status["phase"] != phase || !status["switching"].is_null() {
                return Some(format!("the switch says {status}"));
            }
        }
        let both = self.task == Task::HandOver || self.task.is_of_switch() && !self.task.repoints();
        let declared: &[&str] = if both { &["main", "other"] } else { &["main"] };
        for name in declared {
            let found = named(&format!("Acme {name}"));
            // some orgs take no second hook; it is made when it is its turn
            if found.is_empty() && self.task == Task::Switch && *name == "other" && self.ready(name) {
                continue;
            }
            let [stored] = found[..] else { return Some(format!("{} hooks of {name}", found.len())) };
            let marked = stored.hook.headers.iter().any(|header| header.value == format!("test/otp/{name}"));
            let extra = stored.hook.headers.iter().any(|header| header.name == "X-Env");
            let place = if self.task == Task::RepointFailover { "other" } else { name };
            let there = stored.hook.uri.as_ref().is_some_and(|uri| uri.ends_with(&format!("/hooks/{place}")));
            let secret = there && stored.secret == format!("a value of enough characters for {place}");
            if !(marked && secret && extra == (self.task == Task::Update)) {
                return Some(format!("the content of {name}: {stored:?}"));
            }
            // a hook whose gateway is gone says so
            let may_be_unready = self.task.is_failover() && *name == "main";
            if !self.ready(name) && !may_be_unready {
                let object = self.world.server.get(&format!("{HOOKS}/{name}")).unwrap();
                return Some(format!("{name} is not Ready: {}", object["status"]["conditions"]));
            }
        }
        None
    }
}

fn begin(server: &Server, model: &Arc<Model>, gateway_there: bool) -> World {
    server.trouble(None);
    let world = World::between(server.clone(), Org::default(), Arc::new(Line(Arc::clone(model))));
    if gateway_there {
        world.ctx.reports.serve("otp", "main", &["main", "other"]);
    } else {
        world.ctx.reports.set_serving("otp", "main", "main", Serving::Unknown);
    }
    world.ctx.reports.serve("otp", "reserve", &["other"]);
    for (gateway, name) in [("main", "main"), ("reserve", "other")] {
        let value = format!("a value of enough characters for {name}");
        let mark = world.ctx.installation.key.secret(&ObjectRef::new("otp", name), &value);
        world.ctx.reports.set_accepted("otp", gateway, name, mark);
    }
    world
}

async fn passes(world: &mut World) {
    world.sync();
    // a report grows old in real time only; a lease does so too
    let hooks = world.ctx.caches.hooks.in_namespace("otp");
    for hook in hooks {
        let current = world.ctx.caches.hooks.get("otp", &hook.name_any());
        if let Some(hook) = current {
            let _ = TelephonyHook::reconcile(hook, Arc::clone(&world.ctx)).await;
        }
        world.sync();
    }
    if let Some(switch) = world.ctx.caches.switches.get("otp", "acme") {
        let _ = HookSwitch::reconcile(switch, Arc::clone(&world.ctx)).await;
        world.sync();
    }
    if let Some(org) = world.ctx.caches.orgs.get("otp", "acme") {
        let _ = OktaOrg::reconcile(org, Arc::clone(&world.ctx)).await;
    }
    world.sync();
}

/// How many calls to Okta and writes to the API server a task takes when nothing goes wrong.
async fn measure(task: Task, behaviour: Behaviour) -> (usize, usize) {
    let mut run = Run::new(task, behaviour);
    run.prepare().await;
    let calls = run.model.calls().len();
    run.world.server.writes();
    run.ask();
    run.rounds(18, Duration::from_secs(4)).await;
    let made = run.model.calls().len() - calls;
    let writes = run.world.server.writes().len();
    assert_eq!(run.wrong(), None, "{task:?} {behaviour:?} with nothing going wrong: {:?}", run.model.calls());
    (made, writes)
}

async fn play(script: Script) -> Result<usize, String> {
    let mut run = Run::new(script.task, behaviours()[script.behaviour]);
    run.prepare().await;
    let mut faults = Vec::new();
    for wrong in [script.fault, script.kill] {
        match wrong {
            Wrong::Nothing => {}
            Wrong::Okta(at, fault) => {
                faults.resize(faults.len().max(at + 1), Fault::None);
                faults[at] = fault;
            }
            Wrong::Write(at, trouble) => run.world.server.trouble(Some((at, trouble))),
        }
    }
    run.model.fail(faults);
    let before = run.model.calls().len();
    run.perform().await;
    let left_empty = run.model.calls().split_off(before).contains(&Verb::Deactivate);
    if left_empty && script.task.is_failover() && script.task.repoints() {
        return Err("a hook that is repointed was deactivated".into());
    }
    let violations = run.model.violations();
    let foreign = run.model.hooks().into_iter().find(|stored| stored.hook.id.as_str() == "foreign");
    if !violations.is_empty() {
        return Err(format!("{violations:?}"));
    }
    if foreign.is_none_or(|stored| stored.hook.status != HookStatus::Inactive || stored.secret != "theirs") {
        return Err("the foreign hook was touched".into());
    }
    run.wrong().map_or(Ok(run.kills), Err)
}

/// Every combination, as far as a task that goes well has calls and writes for something to go wrong at.
async fn combinations() -> Vec<Script> {
    const FAULTS: [Fault; 6] = [
        Fault::Unreachable,
        Fault::LostCall,
        Fault::LostAnswer,
        Fault::ServerError,
        Fault::RateLimited,
        Fault::Unauthorized,
    ];
    const TROUBLES: [Trouble; 3] = [Trouble::Conflict, Trouble::Fails, Trouble::LostAnswer];
    let mut scripts = Vec::new();
    for (number, behaviour) in behaviours().into_iter().enumerate() {
        for task in TASKS {
            let (calls, writes) = measure(task, behaviour).await;
            let mut kills = vec![Wrong::Nothing];
            // after a fault there are more calls than when all goes well
            for at in 0..calls + 3 {
                kills.extend([Fault::CrashBefore, Fault::CrashAfter].map(|fault| Wrong::Okta(at, fault)));
            }
            for at in 0..writes + 2 {
                kills.extend([Trouble::DiesBefore, Trouble::DiesAfter].map(|trouble| Wrong::Write(at, trouble)));
            }
            let mut faults = vec![Wrong::Nothing];
            for at in 0..calls + 2 {
                faults.extend(FAULTS.map(|fault| Wrong::Okta(at, fault)));
            }
            for at in 0..writes {
                faults.extend(TROUBLES.map(|trouble| Wrong::Write(at, trouble)));
            }
            for kill in &kills {
                let possible = faults.iter().filter(|fault| !excludes(*kill, **fault));
                scripts.extend(possible.map(|fault| Script { task, behaviour: number, kill: *kill, fault: *fault }));
            }
        }
    }
    scripts
}

/// Two things cannot go wrong at one call, nor can the API server be in trouble twice.
fn excludes(kill: Wrong, fault: Wrong) -> bool {
    match (kill, fault) {
        (Wrong::Okta(one, _), Wrong::Okta(two, _)) => one == two,
        (Wrong::Write(..), Wrong::Write(..)) => true,
        _ => false,
    }
}

/// Numbers that are the same in every run with the same seed.
fn sample(all: usize, wanted: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut chosen = BTreeSet::new();
    while chosen.len() < wanted.min(all) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chosen.insert(usize::try_from(state >> 33).unwrap() % all);
    }
    chosen.into_iter().collect()
}

#[test]
fn whenever_the_operator_is_killed_and_whatever_fails_it_ends_as_declared_and_never_does_harm() {
    let full = std::env::var("HOOKSWITCH_TESTS").is_ok_and(|tests| tests == "full");
    let seed = std::env::var("HOOKSWITCH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let block = |work: BoxFuture<'static, Result<usize, String>>| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(work)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let all = runtime.block_on(combinations());
    let chosen = if full { (0..all.len()).collect() } else { sample(all.len(), SAMPLE, seed) };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = chosen.len().div_ceil(threads);
    let (all, block) = (&all, &block);
    let played: Vec<(usize, Result<usize, String>)> = std::thread::scope(|scope| {
        let parts: Vec<_> = chosen
            .chunks(share)
            .map(|part| {
                scope.spawn(move || part.iter().map(|at| (*at, block(play(all[*at]).boxed()))).collect::<Vec<_>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    let kills: usize = played.iter().filter_map(|(_, ended)| ended.as_ref().ok()).sum();
    let failed =
        played.iter().filter_map(|(at, ended)| Some(format!("{at}: {:?}: {}", all[*at], ended.as_ref().err()?)));
    let failed: Vec<String> = failed.collect();
    println!(
        "fault matrix: {} of {} combinations, {kills} kills, seed {seed}, {} failed",
        chosen.len(),
        all.len(),
        failed.len()
    );
    assert!(
        failed.is_empty(),
        "{} failed, the first of them:\n{}",
        failed.len(),
        failed[..failed.len().min(12)].join("\n")
    );
    assert!(kills * 2 > chosen.len(), "the operator was hardly ever killed: {kills}");
}
