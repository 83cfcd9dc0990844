//! What is said of a gateway. Pure.

use k8s_openapi::api::apps::v1::Deployment;

use super::{
    Held,
    compile::{At, ConfigProblem, ConfigSubject},
    credentials::ServingCertificate,
    turn::{OUT_OF_TURN, Waits},
};
use crate::operator::{
    model::{
        gateway_names::GATEWAY_LABEL,
        tenancy::{self, TenancyRefusal},
    },
    runtime::{
        conditions::{self, Is, Progress},
        problem::Problem,
    },
    state::reports::Replicas,
};
use hookswitch_api::{
    TelephonyGateway, TelephonyGatewayStatus,
    reason::{Healthy, PubliclyTrusted, Ready},
};

/// What a reconcile saw.
#[derive(Debug)]
pub(super) struct GatewayFindings {
    /// What could not be compiled.
    pub problems: Vec<ConfigProblem>,
    /// Why the configuration is not in force and the previous one stays.
    pub held: Option<Held>,
    /// What the installation does not allow.
    pub refused: Vec<TenancyRefusal>,
    /// Hash of the configuration in force.
    pub hash: String,
    /// The Deployment as the API server has it.
    pub deployment: Deployment,
    /// What a change of the pods waits for.
    pub waits: Option<Waits>,
    /// What replicas report.
    pub replicas: Replicas,
    /// Whether the configuration is so new that replicas and their reports may still be on the way.
    pub arriving: bool,
    /// The serving certificate.
    pub certificate: ServingCertificate,
}

/// The status of a gateway whose reconcile could be done.
pub(super) fn build(gateway: &TelephonyGateway, findings: &GatewayFindings) -> TelephonyGatewayStatus {
    let mut status = gateway.status.clone().unwrap_or_default();
    let generation = gateway.metadata.generation;
    conditions::set_progress(&mut status.conditions, progress(gateway, findings), generation);
    // A leader that has just begun knows less than the one before it did: what that one saw stays for the moment.
    let waits = findings.arriving
        && findings.replicas.reporting == 0
        && conditions::get(&status.conditions, "Healthy").is_some();
    if !waits {
        let (is, reason, message) = health(&findings.replicas);
        conditions::set(&mut status.conditions, is, reason, message, generation);
    }
    let (is, reason, message) = trust(&findings.certificate);
    conditions::set(&mut status.conditions, is, reason, message, generation);

    let deployment = findings.deployment.status.clone().unwrap_or_default();
    let ready = deployment.ready_replicas.unwrap_or(0);
    status.observed_generation = generation;
    status.replicas = Some(deployment.replicas.unwrap_or(0));
    status.ready_replicas = Some(ready);
    status.ready = Some(format!("{ready}/{}", gateway.spec.replicas()));
    status.selector = Some(format!(
        "app.kubernetes.io/component=gateway,app.kubernetes.io/name=hookswitch,{GATEWAY_LABEL}={}",
        gateway.metadata.name.as_deref().unwrap_or_default()
    ));
    status.config_hash = Some(findings.hash.clone());
    status
}

/// The status of a gateway whose reconcile ended early; what was known of the rest stays.
pub(super) fn refused(gateway: &TelephonyGateway, problem: Problem) -> TelephonyGatewayStatus {
    let mut status = gateway.status.clone().unwrap_or_default();
    let generation = gateway.metadata.generation;
    conditions::set_progress(&mut status.conditions, problem.progress(), generation);
    status.observed_generation = generation;
    status
}

fn progress(gateway: &TelephonyGateway, findings: &GatewayFindings) -> Progress {
    match &findings.held {
        Some(Held::TooLarge(_)) => {
            let message = "The compiled configuration does not fit into a Secret; the last good one keeps serving. Use fewer or shorter rules.";
            return Progress::Stalled(Ready::ConfigTooLarge, message.into());
        }
        Some(Held::Refused(error)) => {
            let message = format!("The new configuration is invalid ({error}); the last good one keeps serving.");
            return Progress::Stalled(Ready::InvalidSpec, message);
        }
        None => {}
    }
    if !findings.refused.is_empty() {
        return Progress::Stalled(Ready::NotAllowed, tenancy::sentence(&findings.refused));
    }
    let of_gateway = findings.problems.iter().find_map(|problem| match problem.at {
        At::Gateway(about) => Some((about, problem)),
        At::Policy | At::Provider | At::Hook => None,
    });
    if let Some((about, problem)) = of_gateway {
        return match about {
            ConfigSubject::NoPolicy => Progress::Retrying(Ready::PolicyNotFound, sentence(problem)),
            ConfigSubject::TooManyPolicies => Progress::Retrying(Ready::TooManyPolicies, sentence(problem)),
            ConfigSubject::TooManyHooks => Progress::Retrying(Ready::TooManyHooks, sentence(problem)),
            ConfigSubject::TooManyProviders => Progress::Retrying(Ready::TooManyCarriers, sentence(problem)),
            ConfigSubject::Timing => Progress::Stalled(Ready::InvalidSpec, sentence(problem)),
        };
    }
    if findings.certificate == ServingCertificate::Missing {
        let name = gateway.spec.tls.as_ref().map(|tls| tls.secret_ref.name.as_str()).unwrap_or_default();
        let message = format!("Secret {name} does not exist or has no tls.crt and tls.key; pods start once it does.");
        return Progress::Retrying(Ready::SecretNotFound, message);
    }
    if let ServingCertificate::Denied { why } = &findings.certificate {
        return Progress::Retrying(Ready::SecretNotFound, why.clone());
    }
    if let ServingCertificate::Overwritten { by } = &findings.certificate {
        return Progress::Retrying(Ready::NameTaken, overwritten(gateway, by));
    }
    if findings.certificate == ServingCertificate::Leftover {
        let message = "spec.tls.secretRef names the Secret whose certificate was generated when none was named. Name another Secret, \
                       or delete this one and have it made by whoever provides your certificates.";
        return Progress::Stalled(Ready::InvalidSpec, message.into());
    }
    if let Some(waits) = &findings.waits {
        let message = format!(
            "The new pods wait for their turn: {waits}. To change them now, set the annotation \
             {OUT_OF_TURN}=true."
        );
        return Progress::Working(Ready::RolloutWaits, message);
    }
    if let Some(problem) = rollout(gateway, &findings.deployment) {
        return problem;
    }
    if !findings.replicas.refused.is_empty() {
        return Progress::Retrying(Ready::InvalidSpec, refusals(&findings.replicas));
    }
    let wanted = u32::try_from(gateway.spec.replicas()).unwrap_or(0);
    // What the gateway refers to changes without a change of the gateway: that is no reason to leave Ready for the seconds
    // that pods take to follow.
    let was_ready = gateway.status.as_ref().is_some_and(|status| {
        status.observed_generation == gateway.metadata.generation && conditions::is_true(&status.conditions, "Ready")
    });
    if findings.replicas.current < wanted && !(findings.arriving && was_ready) {
        let message = format!("{} of {wanted} replicas report the current configuration.", findings.replicas.current);
        return Progress::Working(Ready::Progressing, message);
    }
    // What others cannot have is reported at them; here it only says that something is served as before.
    let message = if findings.problems.is_empty() {
        format!("All {wanted} replicas serve the configuration.")
    } else {
        let problems = findings.problems.iter().take(3).map(sentence).collect::<Vec<_>>().join(" ");
        format!("All {wanted} replicas serve the configuration, except: {problems}")
    };
    Progress::Done(message)
}

/// The most refusals of replicas that are listed.
const MOST_REFUSALS: usize = 5;

fn refusals(replicas: &Replicas) -> String {
    let reasons = &replicas.refused;
    let shown = reasons.iter().take(MOST_REFUSALS).map(String::as_str).collect::<Vec<_>>().join("; ");
    let left = u64::try_from(reasons.len().saturating_sub(MOST_REFUSALS)).unwrap_or(u64::MAX);
    let more = match left.saturating_add(replicas.unlisted) {
        0 => String::new(),
        more => format!("; and {more} more, see the logs of its pods"),
    };
    format!("A replica refused the configuration, or a part of it, and serves the last good one: {shown}{more}")
}

fn sentence(problem: &ConfigProblem) -> String {
    let about = match problem.at {
        At::Gateway(_) => String::new(),
        At::Policy => format!("RoutingPolicy {}: ", problem.name),
        At::Provider => format!("TelephonyProvider {}: ", problem.name),
        At::Hook => format!("TelephonyHook {}: ", problem.name),
    };
    let kept = if problem.kept { " (the last good one keeps serving)" } else { "" };
    format!("{about}{}{kept}.", problem.message.trim_end_matches('.'))
}

/// What the Deployment still lacks.
fn rollout(gateway: &TelephonyGateway, deployment: &Deployment) -> Option<Progress> {
    let wanted = gateway.spec.replicas();
    let status = deployment.status.clone().unwrap_or_default();
    let stuck = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "Progressing"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    if stuck.is_some() {
        let name = deployment.metadata.name.as_deref().unwrap_or_default();
        let message = format!(
            "Deployment {name} makes no progress. Look at its pods: kubectl describe pods -l {GATEWAY_LABEL}=…"
        );
        return Some(Progress::Retrying(Ready::DeploymentFailed, message));
    }
    let observed = status.observed_generation >= deployment.metadata.generation;
    let (updated, ready) = (status.updated_replicas.unwrap_or(0), status.ready_replicas.unwrap_or(0));
    if observed && updated >= wanted && ready >= wanted {
        return None;
    }
    let message = format!("{ready} of {wanted} pods are ready; {updated} are of the current version.");
    Some(Progress::Working(Ready::PodsNotReady, message))
}

fn health(replicas: &Replicas) -> (Is, Healthy, String) {
    match (replicas.reporting, replicas.usable) {
        (0, _) => (Is::Unknown, Healthy::NoReport, "No replica has reported recently.".into()),
        (all, 0) => (Is::False, Healthy::Down, format!("None of {all} replicas has a usable provider.")),
        (all, usable) if usable < all => {
            (Is::True, Healthy::Degraded, format!("{usable} of {all} replicas have a usable provider."))
        }
        (all, _) => (Is::True, Healthy::Usable, format!("All {all} replicas that report have a usable provider.")),
    }
}

fn overwritten(gateway: &TelephonyGateway, by: &str) -> String {
    let name = gateway.metadata.name.as_deref().unwrap_or_default();
    format!(
        "Secret {name}-gateway-tls is for the generated certificate, and {by} has written another one into it, which is left alone. \
         Give {by} a Secret of its own and name it in spec.tls.secretRef (for the pods) or spec.ingress.tlsSecretRef (for an Ingress), \
         then delete this one."
    )
}

fn trust(certificate: &ServingCertificate) -> (Is, PubliclyTrusted, &'static str) {
    match certificate {
        ServingCertificate::Given => {
            (Is::True, PubliclyTrusted::CertificateGiven, "The certificate of spec.tls is served.")
        }
        ServingCertificate::Generated | ServingCertificate::Leftover => (
            Is::False,
            PubliclyTrusted::CertificateGenerated,
            "Okta does not trust the generated certificate that is served. Set spec.tls, or end TLS at a proxy in front.",
        ),
        ServingCertificate::Invalid => (
            Is::False,
            PubliclyTrusted::CertificateUnfit,
            "The certificate of spec.tls has expired or does not name the host of publicURL; Okta will not call.",
        ),
        ServingCertificate::Overwritten { .. } => (
            Is::Unknown,
            PubliclyTrusted::CertificateUnfit,
            "Somebody else wrote a certificate into the Secret of the generated one, and the pods serve it.",
        ),
        ServingCertificate::Missing | ServingCertificate::Denied { .. } => {
            (Is::Unknown, PubliclyTrusted::CertificateUnfit, "The certificate that is served cannot be read.")
        }
    }
}

#[cfg(test)]
mod tests;
