//! `TelephonyGateway`: a configuration compiled from what it refers to, and the objects that serve it.

pub mod build;
pub mod compile;
pub mod credentials;
mod deletion;
mod dereference;
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

use self::{compile::Compiled, credentials::Serving};
use super::{
    apply::{apply, present, prune},
    cache::{By, Caches, Index},
    conditions::{self, Progress},
    context::Context,
    listing::Scope,
    pass::{PassError, Reconcile, Requeue},
    problem::Problem,
    provider,
    reports::{FRESH, SendingRule},
    tenancy::{self, Part},
    wake::{Kind, Target},
    watches,
};
use hookswitch_api::{TelephonyGateway, reason::Ready};
use hookswitch_gateway_config::{
    check::{self, Judges},
    document::{self, GatewayConfig},
    envelope, probe,
};
use hookswitch_net as net;
use hookswitch_okta::{ObjectRef, keyed::ChangeMark};

pub use poll::{Ask, over_network};

/// What judges the parts of a configuration that `config` does not know itself.
pub(super) const JUDGES: Judges = Judges {
    provider: provider::validate::judge,
    report: |report| {
        net::server_identity(&report.certificate, report.key.expose()).map(drop).map_err(|error| error.to_string())
    },
};

/// How often an unchanged gateway is looked at because of its certificate.
const CERTIFICATE_LOOK: Duration = Duration::from_mins(10);

/// What makes and checks probes of a gateway's hooks; nothing while it has no credentials.
///
/// # Errors
/// [`PassError`] when the API server does not answer.
pub async fn probe_key(gateway: &TelephonyGateway, ctx: &Context) -> Result<Option<probe::Key>, PassError> {
    let Ok(names) = build::Names::of(gateway) else { return Ok(None) };
    let namespace = gateway.namespace().unwrap_or_default();
    let secret = ctx.references.secret(&namespace, &names.report).await?;
    Ok(secret.as_deref().and_then(dereference::report).map(|report| probe::Key::of(&report)))
}

impl Reconcile for TelephonyGateway {
    const KIND: Kind = Kind::TelephonyGateway;
    const READS: &'static [Kind] = &[Self::KIND, Kind::TelephonyHook, Kind::RoutingPolicy, Kind::TelephonyProvider];

    fn index(caches: &Caches) -> &Index<Self> {
        &caches.gateways
    }

    fn dependents(&self, ctx: &Context) -> Vec<Target> {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let hooks = ctx.caches.hooks.found(&namespace, &By::Gateway(name));
        hooks.iter().map(|hook| watches::target(&**hook)).collect()
    }

    fn watches(ctx: &Arc<Context>) -> Vec<BoxFuture<'static, ()>> {
        let owned = build::OWNED_LABEL;
        vec![
            watches::owned::<Deployment>(ctx, Kind::TelephonyGateway, owned),
            watches::owned::<Service>(ctx, Kind::TelephonyGateway, owned),
            watches::owned::<Secret>(ctx, Kind::TelephonyGateway, owned),
            watches::owned::<ServiceAccount>(ctx, Kind::TelephonyGateway, owned),
            watches::owned::<Role>(ctx, Kind::TelephonyGateway, owned),
            watches::owned::<RoleBinding>(ctx, Kind::TelephonyGateway, owned),
            watches::owned::<PodDisruptionBudget>(ctx, Kind::TelephonyGateway, owned),
            watches::owned::<Ingress>(ctx, Kind::TelephonyGateway, owned),
            watches::owned::<NetworkPolicy>(ctx, Kind::TelephonyGateway, owned),
            Box::pin(poll::run(Arc::clone(ctx))),
        ]
    }

    async fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> Result<Requeue, PassError> {
        let Some(deletion::Settled { gateway: object, held_by }) = deletion::settle(&object, &ctx).await? else {
            return Ok(Requeue::OnChange);
        };
        match Box::pin(pass(&object, &ctx)).await {
            Ok(seen) => {
                let mut status = status::build(&object, &seen);
                if let Some(hook) = held_by {
                    let held = Progress::Working(Ready::InUse, deletion::message(&hook));
                    conditions::set_progress(&mut status.conditions, held, object.metadata.generation);
                }
                super::status::write(&ctx, &*object, status).await?;
                Ok(Requeue::After(match &seen.waits {
                    Some(_) => turn::LOOK,
                    None if seen.arriving => FRESH,
                    None => CERTIFICATE_LOOK,
                }))
            }
            Err(Failure::Problem(problem)) => {
                super::status::write(&ctx, &*object, status::refused(&object, problem)).await?;
                Ok(Requeue::Retry)
            }
            Err(Failure::Pass(PassError::NameTaken { kind, namespace, name })) => {
                let message = format!(
                    "{kind} {namespace}/{name} exists and is not this gateway's. Rename or delete it, or rename the gateway."
                );
                super::status::write(
                    &ctx,
                    &*object,
                    status::refused(&object, Problem::passing(Ready::NameTaken, message)),
                )
                .await?;
                Ok(Requeue::Retry)
            }
            Err(Failure::Pass(error)) => {
                let Some(problem) = error.refusal() else { return Err(error) };
                super::status::write(&ctx, &*object, status::refused(&object, problem)).await?;
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
    Pass(PassError),
}

impl From<PassError> for Failure {
    fn from(error: PassError) -> Self {
        Self::Pass(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

async fn pass(gateway: &TelephonyGateway, ctx: &Context) -> Result<status::Seen, Failure> {
    let names = build::Names::of(gateway)?;
    let facts = dereference::dereference(gateway, ctx, &names).await?;
    let report = credentials::report(gateway, ctx, &names, facts.report.as_deref()).await?;
    let certificate = match &facts.tls {
        Ok(tls) => credentials::serving(gateway, ctx, &names, tls.as_deref()).await?,
        Err(denied) => Serving::Denied { why: denied.message.clone() },
    };

    let Compiled { config, problems } =
        compile::compile(facts.previous.as_ref(), facts.input(gateway, ctx, report.clone()), &JUDGES);
    let (sealed, held) = seal(&config, facts.sealed.as_deref())?;
    let hash = envelope::hash(&sealed);
    apply(ctx, gateway, names.config(sealed)?).await?;
    // it is in force from now on, whatever becomes of the rest: a secret that Okta is to have waits for it
    let namespace = gateway.namespace().unwrap_or_default();
    let in_force = if held.is_some() { facts.previous.as_ref() } else { Some(&config) };
    let accepted = in_force.map(|config| marks(config, ctx, &namespace)).unwrap_or_default();
    let rules = in_force.map(sending).unwrap_or_default();
    let arriving = ctx.reports.expect(&namespace, &gateway.name_any(), &hash, accepted, rules);
    // configuration reaches the pods whatever is named wrongly beside it
    let all = ctx.caches.gateways.in_namespace(&gateway.namespace().unwrap_or_default());
    build::Names::check_secrets(
        gateway,
        all.iter().map(AsRef::as_ref).filter(|other| !is_same(other, gateway)).chain([gateway]),
    )?;

    let refused = ctx.options.tenancy.refused(&namespace, &gateway.spec);
    // what is not allowed is neither made nor changed; what is there serves on
    let may = |part| refused.iter().all(|refusal| refusal.part != part);
    let workload = build::Workload { names: &names, spec: &gateway.spec, options: &ctx.options };
    apply(ctx, gateway, workload.service_account()?).await?;
    apply(ctx, gateway, workload.role()?).await?;
    apply(ctx, gateway, workload.role_binding()?).await?;
    if may(Part::Service) {
        apply(ctx, gateway, workload.service()?).await?;
    }
    let (deployment, waits) = if may(Part::Pods) {
        Box::pin(turn::take(gateway, ctx, workload.deployment()?)).await?
    } else {
        let present = present::<Deployment>(ctx, gateway, &names.workload).await?;
        (present.ok_or_else(|| Problem::lasting(Ready::NotAllowed, tenancy::told(&refused)))?, None)
    };
    match workload.disruption_budget()? {
        Some(budget) => drop(apply(ctx, gateway, budget).await?),
        None => drop(prune::<_, PodDisruptionBudget>(ctx, gateway, &names.workload).await?),
    }
    match workload.ingress()? {
        Some(ingress) if may(Part::Ingress) => drop(apply(ctx, gateway, ingress).await?),
        Some(_) => {}
        None => drop(prune::<_, Ingress>(ctx, gateway, &names.workload).await?),
    }
    match network_policy::build(&names, &ctx.options)? {
        Some(policy) => drop(apply(ctx, gateway, policy).await?),
        None => drop(prune::<_, NetworkPolicy>(ctx, gateway, &names.workload).await?),
    }
    let replicas = ctx.reports.replicas(&namespace, &gateway.name_any(), &hash);
    Ok(status::Seen { problems, held, refused, hash, deployment, waits, replicas, arriving, certificate })
}

/// The rules of a configuration that send, for the health of the hooks that point at it.
fn sending(config: &GatewayConfig) -> Vec<SendingRule> {
    let sends = config.rules.iter().filter_map(|rule| match &rule.action {
        document::Action::Send(carriers) => Some(SendingRule {
            name: format!("{}/{}", rule.policy, rule.name),
            critical: rule.critical,
            carriers: carriers.iter().filter(|carrier| *carrier != document::ABSENT).cloned().collect(),
        }),
        document::Action::Deny => None,
    });
    sends.collect()
}

/// Marks of the secrets that each hook takes by a configuration.
fn marks(config: &GatewayConfig, ctx: &Context, namespace: &str) -> BTreeMap<String, Vec<ChangeMark>> {
    let of = |(name, hook): (&String, &document::Hook)| {
        let object = ObjectRef::new(namespace, name);
        let marks = hook.credentials().map(|one| dereference::mark(ctx, &object, &one));
        (name.clone(), marks.collect())
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
    let text = serde_json::to_vec(config).map_err(|_| PassError::encoding("seal the configuration".into()))?;
    let sealed = match check::faults(config, &JUDGES).first() {
        Some(fault) => Err(Held::Refused(fault.to_string())),
        None => envelope::seal(&[(document::VERSION, text)]).map_err(|error| Held::TooLarge(error.to_string())),
    };
    match (sealed, previous) {
        (Ok(sealed), _) => Ok((sealed, None)),
        (Err(held), Some(previous)) => Ok((previous.to_vec(), Some(held))),
        (Err(Held::TooLarge(error)), None) => {
            let message =
                format!("The configuration cannot be put into a Secret: {error}. Use fewer or shorter rules.");
            Err(Problem::lasting(Ready::ConfigTooLarge, message).into())
        }
        (Err(Held::Refused(error)), None) => {
            let message = format!("The new configuration is invalid ({error}), so none was written.");
            Err(Problem::lasting(Ready::InvalidSpec, message).into())
        }
    }
}

/// Selects the `EndpointSlices` of gateways: they carry their Service's labels.
pub(super) fn endpoint_slices(ctx: &Context) -> Vec<(Scope, kube::Api<EndpointSlice>)> {
    watches::apis::<EndpointSlice>(&ctx.client, &ctx.options.namespaces())
}
