//! Before the operator is uninstalled: it is stopped, and the objects it holds are let go, since nobody would be left to.
//!
//! The chart runs this before it deletes anything. Nothing in Okta is changed.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{apply::MANAGER, finalizer, lease, pass::PassError, run};

/// How long the operator is waited for; longer than a pass and the giving back of the lease take.
const STOPS_WITHIN: Duration = Duration::from_secs(45);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Options of `hookswitch release`; every one can also be given by the environment.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Namespaces that the operator looks after, separated by commas. Absent: all.
    #[arg(long, env = "HOOKSWITCH_NAMESPACES", value_delimiter = ',', num_args = 0..)]
    pub namespaces: Vec<String>,
    /// The namespace the operator runs in.
    #[arg(long, env = "POD_NAMESPACE")]
    pub operator_namespace: String,
    /// The operator's Deployment; it is scaled to nothing first. Absent: the operator is stopped already.
    #[arg(long, env = "HOOKSWITCH_DEPLOYMENT")]
    pub deployment: Option<String>,
    /// Name of its Lease.
    #[arg(long, env = "HOOKSWITCH_LEASE", default_value = lease::NAME)]
    pub lease: String,
}

/// Why objects were not let go.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// There is no way to the API server.
    #[error(transparent)]
    Cluster(#[from] run::RunError),
    /// A call failed.
    #[error(transparent)]
    Call(#[from] PassError),
}

/// Stops the operator and lets everything go that it holds. Tells how many objects that were.
///
/// # Errors
/// [`ReleaseError`]; what could be let go was.
pub async fn release(options: &Options) -> Result<usize, ReleaseError> {
    let client = run::client().await?;
    if let Some(deployment) = &options.deployment {
        stop(&client, &options.operator_namespace, deployment, &options.lease).await?;
    }
    let namespaces: Vec<&str> =
        options.namespaces.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    if namespaces.is_empty() {
        return Ok(finalizer::let_go(&client, None).await?);
    }
    let (mut count, mut failed) = (0, None);
    for namespace in namespaces {
        match finalizer::let_go(&client, Some(namespace)).await {
            Ok(more) => count += more,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(count), |error| Err(error.into()))
}

/// Scales the operator to nothing and waits until nobody leads: a leader would hold again what is let go.
async fn stop(client: &Client, namespace: &str, name: &str, lease: &str) -> Result<(), PassError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match deployments.patch(name, &params, &Patch::Merge(&json!({"spec": {"replicas": 0}}))).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        Err(error) => return Err(PassError::api(format!("stop Deployment {namespace}/{name}"))(error)),
    }
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let until = Instant::now() + STOPS_WITHIN;
    while Instant::now() < until {
        let mut led = false;
        for held in [lease, lease::NAME] {
            let found = leases.get_opt(held).await.map_err(PassError::api("read the lease"))?;
            let holder = found.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
            // another release's operator goes on holding what is its own
            led |= !holder.is_empty() && (held == lease || lease::is_pod_of(&holder, name));
        }
        if !led {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    tracing::warn!(namespace, name, "the operator did not give its lease back in time; going on");
    Ok(())
}
