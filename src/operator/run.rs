//! The operator's life: wait for the Lease, lead until asked to stop or until it is lost, give the Lease up.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kube::Client;
use tokio::{io::AsyncReadExt as _, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::operator::{
    controllers::context::{Context, Parts},
    installation::{self, Installation, InstallationError},
    options::Options,
    outbound::{
        okta::{Network, OktaClientFactory as _},
        pods::over_network,
    },
    runtime::{
        backoff::{after, jittered},
        cache::Writer,
        cluster, controller,
        error::DEADLINE,
        lease::{
            self,
            holder::{Holder, Lost},
        },
        listing::Listing,
        reconcile::Reconcile,
        resources,
    },
    state::{Memory, caches::Caches, metrics::OperatorMetrics},
};
use hookswitch_api::{HookSwitch, OktaOrg, RoutingPolicy, TelephonyGateway, TelephonyHook, TelephonyProvider};
use hookswitch_net::NetError;
use hookswitch_telemetry::{
    endpoint::{self, ListenError},
    metrics::{self, Readiness},
};

/// How long reconciles under way may go on after the stop: a reconcile's deadline.
const DRAIN: Duration = DEADLINE;

/// How long Events that wait may still be published after the stop.
const FLUSH: Duration = Duration::from_secs(3);

/// The most bytes of the CA file; gateways are given it within their configuration.
const LARGEST_CA_FILE: u64 = 512 * 1_024;

/// Why the operator ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to the API server.
    #[error(transparent)]
    Cluster(#[from] cluster::NoCluster),
    /// The address for metrics cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The CA file cannot be read.
    #[error("read the CA file {path}: {source}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The proxy or the certificates of the CA file cannot be used.
    #[error(transparent)]
    Net(#[from] NetError),
    /// It is not known who this installation is.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The lease was lost.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A controller ended though nobody asked it to.
    #[error("a controller ended by itself")]
    Ended,
}

/// Runs the operator until `stop`.
///
/// # Errors
/// [`RunError`]; the process is to end then, and to be started again.
pub async fn run(options: Options, stop: CancellationToken) -> Result<(), RunError> {
    let metrics = OperatorMetrics::default();
    let answered = Arc::new(AtomicBool::new(false));
    let listing = Listing::new(&options.namespaces());
    let served = serve(&options, &metrics, &answered, &listing, &stop).await?;
    let extra_roots = extra_roots(&options).await?;
    let factory = okta_client_factory(&options, extra_roots.clone())?;
    let client = cluster::in_cluster().await?;

    let handle = lease::Handle::default();
    let mut holder =
        Holder::new(client.clone(), &options.operator_namespace, &options.identity, handle.clone(), options.leases());
    metrics.runtime.leads(false);
    tracing::info!(identity = options.identity, "waiting for the lease");
    let ended = match settle(&client, &options, &answered, &stop).await {
        Some(Err(error)) => Err(error.into()),
        Some(Ok(installation)) if holder.acquire(&stop).await => {
            tracing::info!(identity = options.identity, installation = %installation.tag, "leading");
            metrics.runtime.leads(true);
            let (caches, writers) = caches();
            let parts = Parts {
                client,
                options,
                installation: Arc::new(installation),
                lease: handle,
                listing,
                memory: Memory::new(caches),
                metrics: metrics.clone(),
                okta: Arc::new(factory),
                ask_pod: over_network(),
                extra_roots,
            };
            let ended = Box::pin(lead(parts, writers, &mut holder, &stop)).await;
            metrics.runtime.leads(false);
            holder.release().await;
            ended
        }
        // asked to stop before there was anything to lead
        Some(Ok(_)) | None => Ok(()),
    };
    stop.cancel();
    let _ = served.await;
    ended
}

async fn extra_roots(options: &Options) -> Result<Option<String>, RunError> {
    let Some(path) = &options.ca_file else { return Ok(None) };
    let failed = |source| RunError::CaFile { path: path.clone(), source };
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    file.take(LARGEST_CA_FILE + 1).read_to_string(&mut text).await.map_err(failed)?;
    if text.len() as u64 > LARGEST_CA_FILE {
        return Err(failed(io::Error::other("it is larger than 512 KiB")));
    }
    Ok(Some(text))
}

/// How orgs are reached. Proxy and CA file are tried here: every gateway is given them too, and would refuse its
/// configuration because of them.
fn okta_client_factory(options: &Options, extra_roots: Option<String>) -> Result<Network, RunError> {
    let network = Network::new(options, extra_roots);
    network.caller(&options.operator_namespace, None, &[])?;
    Ok(network)
}

async fn serve(
    options: &Options,
    families: &OperatorMetrics,
    answered: &Arc<AtomicBool>,
    listing: &Listing,
    stop: &CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, RunError> {
    let listener = endpoint::listen(options.metrics_address).await?;
    let (answered, listing) = (Arc::clone(answered), listing.clone());
    // a standby is ready too: who leads is no matter of readiness, and one that does not lists nothing
    let ready: Readiness = Arc::new(move || {
        if answered.load(Ordering::Relaxed) {
            listing.readiness()
        } else {
            Err("the API server has not answered yet".to_owned())
        }
    });
    Ok(tokio::spawn(metrics::serve(listener, families.registry.clone(), ready, stop.child_token())))
}

/// Finds out who we are, as often as it takes. `None`: asked to stop.
async fn settle(
    client: &Client,
    options: &Options,
    answered: &AtomicBool,
    stop: &CancellationToken,
) -> Option<Result<Installation, InstallationError>> {
    for failures in 1.. {
        match stop.run_until_cancelled(installation::identify(client, options)).await? {
            Err(InstallationError::Api(error)) => {
                tracing::warn!(%error, "the installation is not known yet");
                stop.run_until_cancelled(sleep(jittered(after(failures), rand::random()))).await?;
            }
            settled => {
                answered.store(true, Ordering::Relaxed);
                return Some(settled);
            }
        }
    }
    None
}

/// Leads until `stop`, or until the lease is lost.
async fn lead(parts: Parts, writers: Writers, holder: &mut Holder, stop: &CancellationToken) -> Result<(), RunError> {
    let ctx = Arc::new(Context::new(parts));
    let reconciles_end = CancellationToken::new();
    let mut controllers = JoinSet::new();
    let mut watching = JoinSet::new();
    start_all(&ctx, writers, &mut watching, &mut controllers, &reconciles_end);

    let ended = {
        let keeping = CancellationToken::new();
        let mut kept = std::pin::pin!(holder.keep(&keeping));
        let ended = tokio::select! {
            lost = &mut kept => Err(lost.err().map_or(RunError::Ended, RunError::Lost)),
            _ = controllers.join_next() => Err(RunError::Ended),
            _ = watching.join_next() => Err(RunError::Ended),
            () = stop.cancelled() => Ok(()),
        };
        reconciles_end.cancel();
        if ended.is_ok() {
            // reconciles under way end while the lease is still renewed
            tracing::info!("stopping: reconciles under way are let finish");
            let drained = async {
                while controllers.join_next().await.is_some() {}
                // the lease is held meanwhile: what the API server does not take soon is not worth the next leader's time
                let _ = tokio::time::timeout(FLUSH, ctx.runtime.kube.events.flush()).await;
            };
            tokio::select! {
                _ = tokio::time::timeout(DRAIN, drained) => {}
                _ = &mut kept => {}
            }
        }
        ended
    };
    controllers.abort_all();
    watching.abort_all();
    ended
}

/// Begins the watches and the reconciles of every kind.
pub(super) fn start_all(
    ctx: &Arc<Context>,
    writers: Writers,
    watching: &mut JoinSet<()>,
    controllers: &mut JoinSet<()>,
    reconciles_end: &CancellationToken,
) {
    start::<OktaOrg>(ctx, writers.orgs, watching, controllers, reconciles_end);
    start::<TelephonyHook>(ctx, writers.hooks, watching, controllers, reconciles_end);
    start::<TelephonyGateway>(ctx, writers.gateways, watching, controllers, reconciles_end);
    start::<TelephonyProvider>(ctx, writers.providers, watching, controllers, reconciles_end);
    start::<RoutingPolicy>(ctx, writers.policies, watching, controllers, reconciles_end);
    start::<HookSwitch>(ctx, writers.switches, watching, controllers, reconciles_end);
}

fn start<K: Reconcile<Context = Context>>(
    ctx: &Arc<Context>,
    writer: Writer<K>,
    watching: &mut JoinSet<()>,
    controllers: &mut JoinSet<()>,
    reconciles_end: &CancellationToken,
) {
    watching.spawn(resources::resources(Arc::clone(ctx), writer));
    for watch in K::watches(ctx) {
        watching.spawn(watch);
    }
    controllers.spawn(controller::run::<K>(Arc::clone(ctx), reconciles_end.clone()));
}

/// The writing ends of the caches.
pub(super) struct Writers {
    orgs: Writer<OktaOrg>,
    hooks: Writer<TelephonyHook>,
    gateways: Writer<TelephonyGateway>,
    providers: Writer<TelephonyProvider>,
    policies: Writer<RoutingPolicy>,
    switches: Writer<HookSwitch>,
}

/// Empty caches, and what fills them.
pub(super) fn caches() -> (Caches, Writers) {
    let writers = Writers {
        orgs: Writer::default(),
        hooks: Writer::default(),
        gateways: Writer::default(),
        providers: Writer::default(),
        policies: Writer::default(),
        switches: Writer::default(),
    };
    let caches = Caches {
        orgs: writers.orgs.index(),
        hooks: writers.hooks.index(),
        gateways: writers.gateways.index(),
        providers: writers.providers.index(),
        policies: writers.policies.index(),
        switches: writers.switches.index(),
    };
    (caches, writers)
}
