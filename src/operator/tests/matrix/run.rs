//! An operator at work on one thing that it does to hooks, between an API server in memory and the planner's model of an org.
//! One that is killed is followed by another, which remembers nothing.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::operator::{
    model::org_access::Access,
    outbound::okta::{HookCaller, OktaClientFactory, OrgApi},
    runtime::{clock::BootInstant, lease, reconcile::Reconcile as _},
    state::reports::Serving,
    testing::world::{GATEWAYS, HOOKS, ORGS, Org, SECRETS, SWITCHES, Server, World},
    tests::flow::{gateway, hook, org, secret},
};
use hookswitch_api::{HookSwitch, OktaOrg, TelephonyHook};
use hookswitch_net::NetError;
use hookswitch_okta::{
    Api, ApiAnswer, HookId, ObjectRef, ObservedHook,
    client::CallResult,
    log,
    owner_tag::InstallationTag,
    testing::{Behaviour, Model, SecondActivation, theirs, written},
    types::{HookContent, HookStatus, OrgDocument, OrgIdentity},
};

/// What befalls calls on their way to Okta, whoever makes them.
#[derive(Default)]
pub(super) struct Way {
    /// How long each takes, there and back.
    pub(super) takes: Mutex<Duration>,
    /// When each began, and whether it was to change something.
    pub(super) began: Mutex<Vec<(Instant, bool)>>,
    /// How many changed something in Okta when the lease of their caller was over.
    pub(super) late: AtomicUsize,
}

/// One leader's way to Okta.
#[derive(Clone)]
struct Line {
    model: Arc<Model>,
    way: Arc<Way>,
    lease: lease::Handle,
}

impl Line {
    fn call<'a, T: 'a>(&'a self, changes: bool, call: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
        async move {
            self.way.began.lock().unwrap().push((Instant::now(), changes));
            let takes = *self.way.takes.lock().unwrap();
            // Okta acts at the end: what was sent in time may come to act too late
            if !takes.is_zero() {
                sleep(takes).await;
            }
            if changes && !self.lease.is_leader() {
                self.way.late.fetch_add(1, Ordering::Relaxed);
            }
            call.await
        }
        .boxed()
    }
}

impl Api for Line {
    fn list_hooks(&self) -> BoxFuture<'_, CallResult<Vec<ObservedHook>>> {
        self.call(false, self.model.list_hooks())
    }

    fn get<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.call(false, self.model.get(id))
    }

    fn create<'a>(&'a self, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.call(true, self.model.create(content))
    }

    fn replace<'a>(&'a self, id: &'a HookId, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.call(true, self.model.replace(id, content))
    }

    fn activate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.call(true, self.model.activate(id))
    }

    fn deactivate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.call(true, self.model.deactivate(id))
    }

    fn delete<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<()>> {
        self.call(true, self.model.delete(id))
    }
}

impl OrgApi for Line {
    fn identity(&self) -> BoxFuture<'_, CallResult<OrgDocument>> {
        let value = OrgDocument { identity: OrgIdentity::Id("00o1".into()), domains: Vec::new() };
        let answer = ApiAnswer { value, request_id: None, rate: None };
        futures::future::ready(Ok(answer)).boxed()
    }

    fn execute<'a>(&'a self, _: &'a HookId, _: &'a Value, _: Duration) -> BoxFuture<'a, CallResult<Value>> {
        panic!("nothing executes hooks here")
    }

    fn log<'a>(&'a self, _: &'a log::From) -> BoxFuture<'a, CallResult<log::Page>> {
        panic!("nothing reads the log here")
    }
}

impl OktaClientFactory for Line {
    fn client(&self, _: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        Ok(Arc::new(self.clone()))
    }

    fn caller(&self, _: &str, _: Option<&str>, _: &[ipnet::IpNet]) -> Result<Arc<dyn HookCaller>, NetError> {
        panic!("nothing calls hooks here")
    }
}

/// What the operator is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
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
    /// The object is gone, and one of another name takes over its hook, which a person says.
    Rename,
    /// An object hands its hook over to another, which is there beside it, and is deleted.
    Succeed,
}

pub(super) const TASKS: [Task; 14] = [
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
    Task::Rename,
    Task::Succeed,
];

impl Task {
    pub(super) const fn is_of_switch(self) -> bool {
        self.repoints() || matches!(self, Self::Switch | Self::Failover | Self::Failback)
    }

    pub(super) const fn repoints(self) -> bool {
        matches!(self, Self::Repoint | Self::RepointFailover | Self::RepointFailback)
    }

    /// Whether another object takes over the hook of the first one.
    pub(super) const fn takes_over(self) -> bool {
        matches!(self, Self::Rename | Self::Succeed)
    }

    /// Whether none of ours is to be active at its end.
    pub(super) const fn empties(self) -> bool {
        matches!(self, Self::Deactivate | Self::Delete)
    }

    /// Whether one of ours is active when it begins and is to be, or another is, when it ends.
    pub(super) const fn keeps_one(self) -> bool {
        let begins_one = matches!(self, Self::Create | Self::Adopt | Self::Switch | Self::Repoint);
        !begins_one && !self.empties()
    }

    /// Whether there is a way to its end in such an org.
    pub(super) fn ends_in(self, org: &Behaviour) -> bool {
        let switches = matches!(self, Self::HandOver | Self::Switch | Self::Failover | Self::Failback);
        let leads_over = org.second_activation != SecondActivation::Refused;
        !org.deactivating_last_refused || !self.empties() && (!switches || leads_over)
    }

    pub(super) const fn is_failover(self) -> bool {
        matches!(self, Self::Failover | Self::RepointFailover)
    }

    pub(super) const fn is_failback(self) -> bool {
        matches!(self, Self::Failback | Self::RepointFailback)
    }
}

/// An operator at work on one task.
pub(super) struct Run {
    pub(super) task: Task,
    pub(super) model: Arc<Model>,
    pub(super) world: World,
    pub(super) way: Arc<Way>,
    /// Leaders that others followed.
    pub(super) kills: usize,
    gateway_there: bool,
    renewing: AbortOnDropHandle<()>,
}

impl Run {
    pub(super) fn new(task: Task, behaviour: Behaviour) -> Self {
        let foreign =
            written(HookId::new("foreign").unwrap(), HookStatus::Inactive, &theirs("Theirs", "https://x.test/"));
        let mut there = vec![foreign];
        let mut may_take = BTreeSet::new();
        if task == Task::Adopt {
            let id = HookId::new("calmain").unwrap();
            may_take.insert(id.clone());
            there.push(written(id, HookStatus::Active, &theirs("Acme main", "https://otp.acme.com/hooks/main")));
        }
        let model = Model::new(behaviour, InstallationTag::new("test").unwrap(), there, may_take, Vec::new());
        let (model, server) = (Arc::new(model), Server::default());
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "otp"}});
        server.put("/api/v1/namespaces/otp", namespace);
        server.put(&format!("{ORGS}/acme"), org());
        server.put(&format!("{GATEWAYS}/main"), gateway());
        let mut reserve = gateway();
        reserve["metadata"]["name"] = json!("reserve");
        server.put(&format!("{GATEWAYS}/reserve"), reserve);
        server.put(&format!("{SECRETS}/okta"), secret("okta", "token", "00token-of-the-org"));
        if task.takes_over() {
            let mut next = gateway();
            next["metadata"]["name"] = json!("next");
            server.put(&format!("{GATEWAYS}/next"), next);
        }
        for name in ["main", "other", "next"] {
            let value = format!("a value of enough characters for {name}");
            server.put(&format!("{SECRETS}/{name}-own"), secret(&format!("{name}-own"), "value", &value));
        }
        let way = Arc::default();
        let (world, renewing) = begin(&server, &model, &way, true);
        Self { task, model, world, way, kills: 0, gateway_there: true, renewing }
    }

    fn declare(&self, name: &str, state: &str) {
        let mut object = hook(name, state);
        object["spec"]["auth"] = json!({"header": {"secretRef": {"name": format!("{name}-own"), "key": "value"}}});
        if name == "next" {
            object["metadata"]["annotations"] = json!({"hookswitch.dev/takes-over": "main"});
            object["spec"]["target"] = json!({"gatewayRef": {"name": "next"}});
            object["spec"]["okta"]["name"] = json!("Acme main");
        }
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

    pub(super) fn annotate(&self, name: &str, value: &str) {
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
    pub(super) async fn prepare(&mut self) {
        match self.task {
            Task::Create | Task::Adopt | Task::Switch | Task::Repoint => return,
            Task::HandOver => {
                self.declare("main", "Active");
                self.declare("other", "Inactive");
            }
            Task::Update | Task::Deactivate | Task::Delete | Task::Rename | Task::Succeed => {
                self.declare("main", "Active");
            }
            Task::Failover | Task::Failback | Task::RepointFailover | Task::RepointFailback => self.declare_switch(),
        }
        self.rounds(6, Duration::from_secs(6)).await;
        if self.task.is_failback() {
            self.annotate("hookswitch.dev/promote", "other");
            self.rounds(6, Duration::from_secs(6)).await;
            let says = self.says();
            assert_eq!(says["active"], "other", "promoted: {says}");
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

    pub(super) fn ask(&mut self) {
        match self.task {
            Task::Switch | Task::Repoint => self.declare_switch(),
            Task::Failover | Task::RepointFailover => {
                self.gateway_there = false;
                self.world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Unknown);
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
            Task::Rename => {
                self.world.server.delete(&format!("{HOOKS}/main"));
                self.declare("next", "Active");
            }
            Task::Succeed => {
                let path = format!("{HOOKS}/main");
                let mut object = self.world.server.get(&path).unwrap();
                object["metadata"]["annotations"] = json!({"hookswitch.dev/hands-over-to": "next"});
                self.world.server.put(&path, object);
                self.declare("next", "Active");
                self.world.server.ask_to_delete(&path, Duration::ZERO);
            }
        }
    }

    /// The task, and all the time that it may take when things go wrong.
    pub(super) async fn perform(&mut self) {
        self.ask();
        self.end().await;
    }

    /// All the time that the task may take when things went wrong.
    pub(super) async fn end(&mut self) {
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

    pub(super) async fn rounds(&mut self, rounds: usize, pause: Duration) {
        for _ in 0..rounds {
            self.round().await;
            sleep(pause).await;
        }
        self.round().await;
    }

    /// Lets the lease of whoever leads end then: no renewal after the one that was 30 s before comes through.
    pub(super) fn end_lease(&mut self, at: Duration) {
        let lease = self.world.ctx.runtime.lease.clone();
        let last = lease.now().plus(at).back(lease::DURATION);
        self.renewing = renew(lease, Some(last));
    }

    /// Reconciles over everything; an operator that is killed, frozen at a call, or that loses its lease is followed by another.
    pub(super) async fn round(&mut self) {
        let (model, server, lease) =
            (Arc::clone(&self.model), self.world.server.clone(), self.world.ctx.runtime.lease.clone());
        let killed = tokio::select! {
            biased;
            () = over(&lease) => true,
            () = model.crashed.notified() => true,
            () = server.died.notified() => true,
            () = model.holds.notified() => true,
            () = passes(&mut self.world) => false,
        };
        if killed {
            // one that was frozen goes on, and finds that its lease ran out; a run of one that is dead is to write no more either
            lease.lost();
            self.kills += 1;
            (self.world, self.renewing) = begin(&server, &model, &self.way, self.gateway_there);
        }
    }

    /// The status of the switch.
    pub(super) fn says(&self) -> Value {
        self.world.server.get(&format!("{SWITCHES}/acme")).unwrap()["status"].clone()
    }

    /// The hook whose destination Okta sends to.
    pub(super) fn in_use(&self) -> String {
        let hooks = self.model.observed();
        let active = hooks.into_iter().find(|hook| hook.status == HookStatus::Active);
        let uri = active.and_then(|hook| hook.uri).unwrap_or_default();
        uri.rsplit('/').next().unwrap_or_default().to_owned()
    }

    pub(super) fn active(&self) -> Vec<String> {
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
        let history = self.says()["history"].as_array().cloned().unwrap_or_default();
        history.last().is_some_and(|last| last["outcome"] == "Failed")
    }

    fn is_done(&self) -> bool {
        self.wrong().is_none()
    }

    /// What is not as it is to be at the end.
    pub(super) fn wrong(&self) -> Option<String> {
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
            let status = self.says();
            let phase = if self.task.is_failover() { "OnStandby" } else { "Healthy" };
            if status["phase"] != phase || !status["switching"].is_null() {
                return Some(format!("the switch says {status}"));
            }
        }
        if self.task.takes_over() && self.world.server.get(&format!("{HOOKS}/main")).is_some() {
            return Some("the object whose hook was taken over is still there".into());
        }
        let both = self.task == Task::HandOver || self.task.is_of_switch() && !self.task.repoints();
        let declared: &[&str] = match self.task {
            Task::Rename | Task::Succeed => &["next"],
            _ if both => &["main", "other"],
            _ => &["main"],
        };
        for name in declared {
            let called = if *name == "next" { "main" } else { name };
            let found = named(&format!("Acme {called}"));
            // some orgs take no second hook; it is made when it is its turn
            if found.is_empty() && self.task == Task::Switch && *name == "other" && self.ready(name) {
                continue;
            }
            let [stored] = found[..] else { return Some(format!("{} hooks of {name}", found.len())) };
            let tagged = stored.hook.headers.iter().any(|header| header.value == format!("test/otp/{name}"));
            let extra = stored.hook.headers.iter().any(|header| header.name == "X-Env");
            let destination = if self.task == Task::RepointFailover { "other" } else { name };
            let there = stored.hook.uri.as_ref().is_some_and(|uri| uri.ends_with(&format!("/hooks/{destination}")));
            let secret = there && stored.secret == format!("a value of enough characters for {destination}");
            if !(tagged && secret && extra == (self.task == Task::Update)) {
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

/// Another operator, which holds the lease from now on.
fn begin(server: &Server, model: &Arc<Model>, way: &Arc<Way>, gateway_there: bool) -> (World, AbortOnDropHandle<()>) {
    server.write_fault(None);
    let lease = lease::Handle::by(BootInstant::simulated);
    let line = Line { model: Arc::clone(model), way: Arc::clone(way), lease: lease.clone() };
    let mut world = World::between(server.clone(), Org::default(), Arc::new(line));
    world.change(|parts| parts.lease = lease.clone());
    if gateway_there {
        world.ctx.memory.reports.serve("otp", "main", &["main", "other"]);
    } else {
        world.ctx.memory.reports.set_serving("otp", "main", "main", Serving::Unknown);
    }
    world.ctx.memory.reports.serve("otp", "reserve", &["other"]);
    world.ctx.memory.reports.serve("otp", "next", &["next"]);
    for (gateway, name) in [("main", "main"), ("reserve", "other"), ("next", "next")] {
        let value = format!("a value of enough characters for {name}");
        let fingerprint = world.ctx.installation.key.secret(&ObjectRef::new("otp", name), "Authorization", &value);
        world.ctx.memory.reports.set_accepted("otp", gateway, name, fingerprint);
    }
    (world, renew(lease, None))
}

/// Renews a lease as its holder does, the last time then.
fn renew(lease: lease::Handle, last: Option<BootInstant>) -> AbortOnDropHandle<()> {
    let once = move || {
        let now = lease.now();
        lease.renewed(last.map_or(now, |last| last.min(now)));
        match last {
            Some(last) if last <= now => None,
            Some(last) => Some(last.since(now).min(lease::RENEW_EVERY)),
            None => Some(lease::RENEW_EVERY),
        }
    };
    let mut next = once();
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(pause) = next {
            sleep(pause).await;
            next = once();
        }
    }))
}

/// Waits until a lease is over.
async fn over(lease: &lease::Handle) {
    loop {
        match lease.left() {
            Duration::ZERO => return,
            left => sleep(left).await,
        }
    }
}

async fn passes(world: &mut World) {
    world.sync();
    // a report grows old in real time only
    let hooks = world.ctx.memory.caches.hooks.in_namespace("otp");
    for hook in hooks {
        let current = world.ctx.memory.caches.hooks.get("otp", &hook.name_any());
        if let Some(hook) = current {
            let _ = TelephonyHook::reconcile(hook, Arc::clone(&world.ctx)).await;
        }
        world.sync();
    }
    if let Some(switch) = world.ctx.memory.caches.switches.get("otp", "acme") {
        let _ = HookSwitch::reconcile(switch, Arc::clone(&world.ctx)).await;
        world.sync();
    }
    if let Some(org) = world.ctx.memory.caches.orgs.get("otp", "acme") {
        let _ = OktaOrg::reconcile(org, Arc::clone(&world.ctx)).await;
    }
    world.sync();
}
