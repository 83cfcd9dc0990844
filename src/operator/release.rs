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

use crate::operator::{
    controllers::terminating,
    runtime::{apply::MANAGER, cluster, error::ReconcileError, finalizer::LetGo, lease},
};

/// How long the operator is waited for; longer than a reconcile and the giving back of the lease take.
const STOPS_WITHIN: Duration = Duration::from_secs(45);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Options of `hookswitch release`; every one can also be given by the environment.
#[derive(Debug, Clone, clap::Args)]
pub struct ReleaseOptions {
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
    Cluster(#[from] cluster::NoCluster),
    /// A call failed.
    #[error(transparent)]
    Call(#[from] ReconcileError),
}

/// Stops the operator and lets everything go that it holds. Tells how many objects that were.
///
/// A namespace that may not be looked into is told of, and holds up nothing: it may be gone with its Role, the operator is
/// stopped already, and an uninstall that fails helps nobody.
///
/// # Errors
/// [`ReleaseError`]; what could be let go was.
pub async fn release(options: &ReleaseOptions) -> Result<usize, ReleaseError> {
    let client = cluster::in_cluster().await?;
    if let Some(deployment) = &options.deployment {
        stop(&client, &options.operator_namespace, deployment, &options.lease).await?;
    }
    Ok(let_go(&client, options).await?)
}

async fn let_go(client: &Client, options: &ReleaseOptions) -> Result<usize, ReconcileError> {
    let named: Vec<&str> = options.namespaces.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    let namespaces = if named.is_empty() { vec![None] } else { named.into_iter().map(Some).collect() };
    let (mut count, mut failed) = (0, None);
    for namespace in namespaces {
        match terminating::let_go(client, namespace).await {
            Ok(LetGo { count: more, denied }) => {
                count += more;
                if let Some(error) = denied {
                    let namespace = namespace.unwrap_or("*");
                    tracing::warn!(
                        namespace,
                        %error,
                        "objects here may still be held: if one of them is not deleted for it, take the finalizers \
                         hookswitch.dev/okta and hookswitch.dev/in-use off it by kubectl"
                    );
                }
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(count), Err)
}

/// Scales the operator to nothing and waits until nobody leads: a leader would hold again what is let go.
async fn stop(client: &Client, namespace: &str, name: &str, lease: &str) -> Result<(), ReconcileError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match deployments.patch(name, &params, &Patch::Merge(&json!({"spec": {"replicas": 0}}))).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        Err(error) => return Err(ReconcileError::api(format!("stop Deployment {namespace}/{name}"))(error)),
    }
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let until = Instant::now() + STOPS_WITHIN;
    while Instant::now() < until {
        let mut led = false;
        for held in [lease, lease::NAME] {
            let found = leases.get_opt(held).await.map_err(ReconcileError::api("read the lease"))?;
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

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::operator::testing::world::{Server, arguments};

    fn options(namespaces: &str) -> ReleaseOptions {
        arguments(["--operator-namespace", "telephony", "--namespaces", namespaces]).unwrap()
    }

    fn hooks(namespace: &str) -> String {
        format!("/apis/hookswitch.dev/v1alpha1/namespaces/{namespace}/telephonyhooks")
    }

    fn held(server: &Server, namespaces: &[&str]) {
        for namespace in namespaces {
            let held = json!({"apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyHook",
                "metadata": {"name": "main", "namespace": namespace, "finalizers": [crate::operator::runtime::finalizer::OKTA, "else.example/own"]}});
            server.put(&format!("{}/main", hooks(namespace)), held);
        }
    }

    fn finalizers(server: &Server, namespace: &str) -> usize {
        let object = server.get(&format!("{}/main", hooks(namespace))).unwrap();
        object["metadata"]["finalizers"].as_array().map_or(0, Vec::len)
    }

    #[tokio::test]
    async fn a_namespace_that_may_not_be_read_holds_up_no_uninstall() {
        let server = Server::default();
        held(&server, &["a", "gone", "z"]);
        server.refuse_to_read(&hooks("gone"), Some(StatusCode::FORBIDDEN));
        let count = let_go(&server.client(), &options("a,gone,z")).await.unwrap();
        assert_eq!(count, 2);
        assert_eq!(["a", "gone", "z"].map(|namespace| finalizers(&server, namespace)), [1, 2, 1]);
    }

    #[tokio::test]
    async fn an_object_that_may_not_be_changed_holds_up_no_other() {
        let server = Server::default();
        held(&server, &["a", "z"]);
        server.fail_next_write(StatusCode::FORBIDDEN);
        assert_eq!(let_go(&server.client(), &options("a,z")).await.unwrap(), 1);
        assert_eq!(["a", "z"].map(|namespace| finalizers(&server, namespace)), [2, 1]);
    }

    #[tokio::test]
    async fn an_api_server_that_fails_is_tried_again_and_a_kind_that_is_gone_holds_nothing() {
        let server = Server::default();
        held(&server, &["a", "z"]);
        server.refuse_to_read(&hooks("a"), Some(StatusCode::INTERNAL_SERVER_ERROR));
        assert!(let_go(&server.client(), &options("a,z")).await.is_err(), "the Job runs again");
        assert_eq!(finalizers(&server, "z"), 1, "what could be let go was");
        server.refuse_to_read(&hooks("a"), Some(StatusCode::NOT_FOUND));
        assert_eq!(let_go(&server.client(), &options("a,z")).await.unwrap(), 0);
    }

    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/telephony/leases";

    /// Leases by their names, and who holds each.
    type Leases = &'static [(&'static str, &'static str)];

    /// An operator's Deployment, and its Leases.
    fn led(leases: Leases) -> Server {
        let server = Server::default();
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "mine", "namespace": "telephony"},
            "spec": {"replicas": 2, "selector": {}, "template": {}}});
        server.put(DEPLOYMENT, deployment);
        for (name, holder) in leases {
            hold(&server, name, holder);
        }
        server
    }

    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/telephony/deployments/mine";

    fn hold(server: &Server, name: &str, holder: &str) {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": "telephony"}, "spec": {"holderIdentity": holder}});
        server.put(&format!("{LEASES}/{name}"), lease);
    }

    /// How long stopping the operator takes.
    async fn stops(server: &Server) -> Result<Duration, ReconcileError> {
        let begun = Instant::now();
        stop(&server.client(), "telephony", "mine", "mine").await?;
        Ok(begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn whose_leases_are_waited_for_before_anything_is_let_go() {
        const OURS: &str = "mine-7d4f9c6b5d-x2x9k";
        let cases: [(&str, Leases, bool); 6] = [
            ("nobody ever led", &[], false),
            ("it was given back", &[("mine", "")], false),
            ("ours leads", &[("mine", OURS)], true),
            ("whoever holds ours leads", &[("mine", "somebody")], true),
            ("an older one of ours leads by the name of before", &[("mine", ""), (lease::NAME, OURS)], true),
            ("another release leads by the name of before", &[(lease::NAME, "other-7d4f9c6b5d-x2x9k")], false),
        ];
        for (case, leases, waits) in cases {
            let server = led(leases);
            let took = stops(&server).await.unwrap();
            assert_eq!(server.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 0, "{case}");
            assert_eq!(took >= STOPS_WITHIN, waits, "{case}: {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_once_the_lease_is_given_back() {
        let server = led(&[("mine", "mine-7d4f9c6b5d-x2x9k")]);
        let giving = server.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(7)).await;
            hold(&giving, "mine", "");
        });
        let took = stops(&server).await.unwrap();
        assert!(took >= Duration::from_secs(7) && took <= Duration::from_secs(7) + LOOK, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_that_is_gone_is_not_waited_for_and_one_that_may_not_be_stopped_is_reported() {
        let server = led(&[("mine", "mine-7d4f9c6b5d-x2x9k")]);
        server.fail_next_write(StatusCode::NOT_FOUND);
        assert_eq!(stops(&server).await.unwrap(), Duration::ZERO);
        server.fail_next_write(StatusCode::FORBIDDEN);
        let error = stops(&server).await.unwrap_err();
        assert!(error.is_forbidden() && error.to_string().contains("stop Deployment telephony/mine"), "{error}");
    }
}
