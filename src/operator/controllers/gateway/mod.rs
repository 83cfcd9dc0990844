//! `TelephonyGateway`: a configuration compiled from what it refers to, and the objects that serve it.

pub mod build;
pub mod compile;
pub mod credentials;
mod deletion;
mod dereference;
mod judges;
#[cfg(test)]
mod last_good_tests;
pub mod network_policy;
mod poll;
mod status;
#[cfg(test)]
mod tests;
pub mod turn;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use kube::ResourceExt as _;

use self::{compile::Compiled, credentials::ServingCertificate, judges::JUDGES};
use super::context::Context;
use crate::operator::{
    model::{
        gateway_names::{Names, OWNED_LABEL},
        tenancy::{self, WorkloadPart},
    },
    runtime::{
        Runtime,
        apply::{apply, present, prune},
        cache::Index,
        conditions::{self, Progress},
        error::ReconcileError,
        listing::WatchScope,
        problem::Problem,
        reconcile::{Reconcile, Requeue, target},
        resources,
        status::write,
        triggers::Target,
        watch,
    },
    state::{
        caches::By,
        reports::{FRESH, SendingRule},
    },
};
use hookswitch_api::{Kind, TelephonyGateway, reason::Ready};
use hookswitch_gateway_config::{
    check,
    document::{self, GatewayConfig},
    envelope,
};
use hookswitch_okta::{
    ObjectRef,
    fingerprint::{Fingerprint, FingerprintKey},
};

/// How often an unchanged gateway is reconciled because of its certificate.
const CERTIFICATE_LOOK: Duration = Duration::from_mins(10);

impl Reconcile for TelephonyGateway {
    type Context = Context;

    const KIND: Kind = Kind::TelephonyGateway;
    const READS: &'static [Kind] = &[Self::KIND, Kind::TelephonyHook, Kind::RoutingPolicy, Kind::TelephonyProvider];

    fn index(ctx: &Context) -> &Index<Self> {
        &ctx.memory.caches.gateways
    }

    fn dependents(&self, ctx: &Context) -> Vec<Target> {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let hooks = ctx.memory.caches.hooks.found(&namespace, &By::Gateway(name));
        hooks.iter().map(|hook| target(&**hook)).collect()
    }

    fn watches(ctx: &Arc<Context>) -> Vec<BoxFuture<'static, ()>> {
        let owned = OWNED_LABEL;
        let poller = poll::Poller {
            memory: ctx.memory.clone(),
            references: ctx.runtime.references.clone(),
            triggers: ctx.runtime.triggers.clone(),
            ask: Arc::clone(&ctx.ask_pod),
        };
        vec![
            resources::owned::<Deployment>(&ctx.runtime, Kind::TelephonyGateway, owned),
            resources::owned::<Service>(&ctx.runtime, Kind::TelephonyGateway, owned),
            resources::owned::<Secret>(&ctx.runtime, Kind::TelephonyGateway, owned),
            resources::owned::<ServiceAccount>(&ctx.runtime, Kind::TelephonyGateway, owned),
            resources::owned::<Role>(&ctx.runtime, Kind::TelephonyGateway, owned),
            resources::owned::<RoleBinding>(&ctx.runtime, Kind::TelephonyGateway, owned),
            resources::owned::<PodDisruptionBudget>(&ctx.runtime, Kind::TelephonyGateway, owned),
            resources::owned::<Ingress>(&ctx.runtime, Kind::TelephonyGateway, owned),
            resources::owned::<NetworkPolicy>(&ctx.runtime, Kind::TelephonyGateway, owned),
            Box::pin(poll::run(poller, endpoint_slices(&ctx.runtime), ctx.runtime.metrics.clone())),
        ]
    }

    async fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> Result<Requeue, ReconcileError> {
        let Some(deletion::GatewayDeletion { gateway: object, held_by }) =
            deletion::settle(&object, &ctx.runtime.kube, &ctx.memory.caches).await?
        else {
            return Ok(Requeue::OnChange);
        };
        match Box::pin(reconcile_parts(&object, &ctx)).await {
            Ok(findings) => {
                let mut status = status::build(&object, &findings);
                if let Some(hook) = held_by {
                    let held = Progress::Working(Ready::InUse, deletion::message(&hook));
                    conditions::set_progress(&mut status.conditions, held, object.metadata.generation);
                }
                write(&ctx.runtime.kube, &*object, status).await?;
                Ok(Requeue::After(match &findings.waits {
                    Some(_) => turn::LOOK,
                    None if findings.arriving => FRESH,
                    None => CERTIFICATE_LOOK,
                }))
            }
            Err(Failure::Problem(problem)) => {
                write(&ctx.runtime.kube, &*object, status::refused(&object, problem)).await?;
                Ok(Requeue::Retry)
            }
            Err(Failure::Reconcile(ReconcileError::NameTaken { kind, namespace, name })) => {
                let message = format!(
                    "{kind} {namespace}/{name} exists and is not this gateway's. Rename or delete it, or rename the gateway."
                );
                write(
                    &ctx.runtime.kube,
                    &*object,
                    status::refused(&object, Problem::transient(Ready::NameTaken, message)),
                )
                .await?;
                Ok(Requeue::Retry)
            }
            Err(Failure::Reconcile(error)) => {
                let Some(problem) = error.refusal() else { return Err(error) };
                write(&ctx.runtime.kube, &*object, status::refused(&object, problem)).await?;
                Ok(Requeue::Retry)
            }
        }
    }
}

fn is_same(one: &TelephonyGateway, other: &TelephonyGateway) -> bool {
    one.metadata.name == other.metadata.name
}

enum Failure {
    Problem(Problem),
    Reconcile(ReconcileError),
}

impl From<ReconcileError> for Failure {
    fn from(error: ReconcileError) -> Self {
        Self::Reconcile(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

async fn reconcile_parts(gateway: &TelephonyGateway, ctx: &Context) -> Result<status::GatewayFindings, Failure> {
    let (kube, names) = (&ctx.runtime.kube, Names::of(gateway)?);
    let facts = dereference::dereference(gateway, &ctx.resolver, &ctx.runtime, &names).await?;
    let report = credentials::report(gateway, kube, &names, facts.report.as_deref()).await?;
    let certificate = match &facts.tls {
        Ok(tls) => credentials::serving(gateway, kube, &names, tls.as_deref()).await?,
        Err(denied) => ServingCertificate::Denied { why: denied.message.clone() },
    };

    let Compiled { config, problems } = compile::compile(
        facts.previous.as_ref(),
        facts.input(gateway, &ctx.options, ctx.extra_roots.as_deref(), report.clone()),
        &JUDGES,
    );
    let (sealed, held) = seal(&config, facts.sealed.as_deref())?;
    let hash = envelope::hash(&sealed);
    apply(kube, gateway, names.config(sealed)?).await?;
    // it is in force from now on, whatever becomes of the rest: a secret that Okta is to have waits for it
    let namespace = gateway.namespace().unwrap_or_default();
    let in_force = if held.is_some() { facts.previous.as_ref() } else { Some(&config) };
    let accepted = in_force.map(|config| fingerprints(config, &ctx.installation.key, &namespace)).unwrap_or_default();
    let rules = in_force.map(sending).unwrap_or_default();
    let arriving = ctx.memory.reports.expect(&namespace, &gateway.name_any(), &hash, accepted, rules);
    // configuration reaches the pods whatever is named wrongly beside it
    let all = ctx.memory.caches.gateways.in_namespace(&gateway.namespace().unwrap_or_default());
    Names::check_secrets(
        gateway,
        all.iter().map(AsRef::as_ref).filter(|other| !is_same(other, gateway)).chain([gateway]),
    )?;

    let refused = ctx.options.tenancy.refused(&namespace, &gateway.spec);
    // what is not allowed is neither made nor changed; what is there serves on
    let may = |part| refused.iter().all(|refusal| refusal.part != part);
    let workload = build::Workload { names: &names, spec: &gateway.spec, options: &ctx.options };
    apply(kube, gateway, workload.service_account()?).await?;
    apply(kube, gateway, workload.role()?).await?;
    apply(kube, gateway, workload.role_binding()?).await?;
    if may(WorkloadPart::Service) {
        apply(kube, gateway, workload.service()?).await?;
    }
    let rollout = turn::Rollout { kube, memory: &ctx.memory, listing: &ctx.runtime.listing, options: &ctx.options };
    let (deployment, waits) = if may(WorkloadPart::Pods) {
        Box::pin(turn::take(gateway, &rollout, workload.deployment()?)).await?
    } else {
        let present = present::<Deployment>(kube, gateway, &names.workload).await?;
        (present.ok_or_else(|| Problem::permanent(Ready::NotAllowed, tenancy::sentence(&refused)))?, None)
    };
    match workload.disruption_budget()? {
        Some(budget) => drop(apply(kube, gateway, budget).await?),
        None => drop(prune::<_, PodDisruptionBudget>(kube, gateway, &names.workload).await?),
    }
    match workload.ingress()? {
        Some(ingress) if may(WorkloadPart::Ingress) => drop(apply(kube, gateway, ingress).await?),
        Some(_) => {}
        None => drop(prune::<_, Ingress>(kube, gateway, &names.workload).await?),
    }
    match network_policy::build(&names, &ctx.options)? {
        Some(policy) => drop(apply(kube, gateway, policy).await?),
        None => drop(prune::<_, NetworkPolicy>(kube, gateway, &names.workload).await?),
    }
    let replicas = ctx.memory.reports.replicas(&namespace, &gateway.name_any(), &hash);
    Ok(status::GatewayFindings { problems, held, refused, hash, deployment, waits, replicas, arriving, certificate })
}

/// The rules of a configuration that send, for the health of the hooks that point at it.
fn sending(config: &GatewayConfig) -> Vec<SendingRule> {
    let sends = config.rules.iter().filter_map(|rule| match &rule.action {
        document::Action::Send(providers) => Some(SendingRule {
            name: format!("{}/{}", rule.policy, rule.name),
            critical: rule.critical,
            providers: providers.iter().filter(|provider| *provider != document::ABSENT).cloned().collect(),
        }),
        document::Action::Deny => None,
    });
    sends.collect()
}

/// Fingerprints of the secrets that each hook takes by a configuration.
fn fingerprints(config: &GatewayConfig, key: &FingerprintKey, namespace: &str) -> BTreeMap<String, Vec<Fingerprint>> {
    let of = |(name, hook): (&String, &document::HookConfig)| {
        let object = ObjectRef::new(namespace, name);
        let fingerprints = hook.credentials().map(|one| dereference::fingerprint(key, &object, &one));
        (name.clone(), fingerprints.collect())
    };
    config.hooks.iter().map(of).collect()
}

/// Why a configuration that was compiled is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    /// It does not fit into a Secret.
    TooLarge(String),
    /// Gateways would refuse it.
    Refused(String),
}

/// The envelope of a configuration; of the previous one when gateways could not take this one, and why.
fn seal(config: &GatewayConfig, previous: Option<&[u8]>) -> Result<(Vec<u8>, Option<Held>), Failure> {
    let mut documents = Vec::new();
    for (version, config) in config.versions() {
        let text = serde_json::to_vec(&*config);
        documents.push((version, text.map_err(|_| ReconcileError::encoding("seal the configuration".into()))?));
    }
    let sealed = match check::faults(config, &JUDGES).first() {
        Some(fault) => Err(Held::Refused(fault.to_string())),
        None => envelope::seal(&documents).map_err(|error| Held::TooLarge(error.to_string())),
    };
    match (sealed, previous) {
        (Ok(sealed), _) => Ok((sealed, None)),
        (Err(held), Some(previous)) => Ok((previous.to_vec(), Some(held))),
        (Err(Held::TooLarge(error)), None) => {
            let message = format!(
                "The configuration cannot be put into a Secret: {error}. Use fewer or shorter rules. \
                 With a provider of a kind that the release before does not know, the configuration takes the room of two."
            );
            Err(Problem::permanent(Ready::ConfigTooLarge, message).into())
        }
        (Err(Held::Refused(error)), None) => {
            let message = format!("The new configuration is invalid ({error}), so none was written.");
            Err(Problem::permanent(Ready::InvalidSpec, message).into())
        }
    }
}

/// Selects the `EndpointSlices` of gateways: they carry their Service's labels.
fn endpoint_slices(runtime: &Runtime) -> Vec<(WatchScope, kube::Api<EndpointSlice>)> {
    watch::apis::<EndpointSlice>(&runtime.kube.client, &runtime.namespaces)
}
