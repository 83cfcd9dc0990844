//! An operator at work on one thing that it does to hooks, between an API server in memory and the planner's model of an org.
//! One that is killed is followed by another, which remembers nothing.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt as _};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::super::{
    double::{GATEWAYS, HOOKS, ORGS, Org, SECRETS, SWITCHES, Server, World},
    flow_tests::{gateway, hook, org, secret},
    org::dial::{Access, Dial, HookCaller, OrgApi},
    pass::Reconcile as _,
    reports::Serving,
};
use hookswitch_api::{HookSwitch, OktaOrg, TelephonyHook};
use hookswitch_message::Secret;
use hookswitch_net::NetError;
use hookswitch_okta::{
    Answer, HookId, ObjectRef,
    client::CallResult,
    log,
    mark::Installation,
    testing::{Behaviour, Model, SecondActivation, written},
    types::{HookContent, HookStatus, OrgDocument, OrgIdentity},
};

impl OrgApi for Model {
    fn identity(&self) -> BoxFuture<'_, CallResult<OrgDocument>> {
        let value = OrgDocument { identity: OrgIdentity::Id("00o1".into()), domains: Vec::new() };
        let answer = Answer { value, request_id: None, rate: None };
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
}

pub(super) const TASKS: [Task; 12] = [
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
    pub(super) const fn is_of_switch(self) -> bool {
        self.repoints() || matches!(self, Self::Switch | Self::Failover | Self::Failback)
    }

    pub(super) const fn repoints(self) -> bool {
        matches!(self, Self::Repoint | Self::RepointFailover | Self::RepointFailback)
    }

    /// Whether there is a way to its end in such an org.
    pub(super) fn ends_in(self, org: &Behaviour) -> bool {
        let switches = matches!(self, Self::HandOver | Self::Switch | Self::Failover | Self::Failback);
        let empties = matches!(self, Self::Deactivate | Self::Delete);
        let leads_over = org.second_activation != SecondActivation::Refused;
        !org.deactivating_last_refused || !empties && (!switches || leads_over)
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
    pub(super) kills: usize,
    gateway_there: bool,
}

fn content(name: &str, uri: &str) -> HookContent {
    HookContent {
        name: name.into(),
        uri: uri.into(),
        headers: Vec::new(),
        auth_header: "Authorization".into(),
        secret: Secret::from("theirs"),
        metadata: None,
    }
}

impl Run {
    pub(super) fn new(task: Task, behaviour: Behaviour) -> Self {
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
            Task::Update | Task::Deactivate | Task::Delete => self.declare("main", "Active"),
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
    pub(super) async fn perform(&mut self) {
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

    pub(super) async fn rounds(&mut self, rounds: usize, pause: Duration) {
        for _ in 0..rounds {
            self.round().await;
            tokio::time::advance(pause).await;
        }
        self.round().await;
    }

    /// Passes over everything; an operator that is killed, or frozen at a call, is followed by another.
    async fn round(&mut self) {
        let (model, server) = (Arc::clone(&self.model), self.world.server.clone());
        let killed = tokio::select! {
            () = passes(&mut self.world) => false,
            () = model.crashed.notified() => true,
            () = server.died.notified() => true,
            () = model.holds.notified() => true,
        };
        if killed {
            // one that was frozen goes on, and finds that its lease ran out; a run of one that is dead is to write no more either
            self.world.ctx.lease.lost();

            self.kills += 1;
            self.world = begin(&server, &model, self.gateway_there);
        }
    }

    /// The status of the switch.
    pub(super) fn says(&self) -> Value {
        self.world.server.get(&format!("{SWITCHES}/acme")).unwrap()["status"].clone()
    }

    /// The hook whose place Okta sends to.
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
        let mark = world.ctx.installation.key.secret(&ObjectRef::new("otp", name), "Authorization", &value);
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
