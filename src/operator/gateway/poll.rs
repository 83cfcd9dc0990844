//! Reading the reports of all gateways' pods, every few seconds, as long as this operator leads.
//!
//! Pods are found by their `EndpointSlices` and dialled by address, with a dialer of this module's own: they are ours, and
//! the address guard for carriers would refuse them. The connection is trusted for one certificate alone, the one that the
//! operator made for this gateway.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    ResourceExt as _,
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    super::{
        cache::By,
        context::Context,
        listing::Scope,
        reports::{GatewayKey, POLL, ROUND},
        switch,
        wake::{Kind, Target},
        watches,
    },
    build::{GATEWAY_LABEL, Names, OWNED_LABEL, REPORT_PORT},
    credentials::REPORT_NAME,
    dereference,
};
use hookswitch_api::TelephonyGateway;
use hookswitch_fair::{Bounds, Fair, Lane};
use hookswitch_gateway_config::{
    document,
    report::{MAX_REPORT, PATH, ReplicaReport},
};

/// How long one pod may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kind that is watched, in figures.
const SLICES: &str = "EndpointSlice";

/// Pods asked at once; the tenants are the namespaces. What a switch looks at is urgent.
const PLACES: Bounds = Bounds { all: 64, each: 16, urgent: 16, all_urgent: 256 };

/// Polls for ever; the caller drops it when the lease is lost.
pub async fn run(ctx: Arc<Context>) {
    let mut watches = Vec::new();
    let mut seen = Vec::new();
    for (scope, api) in super::endpoint_slices(&ctx) {
        let (reader, writer) = reflector::store();
        let selected = watches::config().labels(OWNED_LABEL);
        let slices = watches::lasting(move || watcher(api.clone(), selected.clone()));
        let slices = slices.modify(|slice: &mut EndpointSlice| slice.managed_fields_mut().clear());
        let (metrics, place) = (ctx.metrics.clone(), scope.clone());
        watches.push(reflector::reflector(writer, slices).for_each(move |event| {
            match event {
                Ok(watcher::Event::InitDone) => metrics.listed(place.as_str(), SLICES, true),
                Err(watcher::Error::InitialListFailed(_)) => metrics.listed(place.as_str(), SLICES, false),
                _ => {}
            }
            futures::future::ready(())
        }));
        seen.push((scope, reader));
    }
    let following = futures::future::join_all(watches);
    let polling = async {
        // a store that is not filled yet would show every gateway there without a replica
        let replicas = || {
            let filled = seen.iter().filter(|(_, store)| store.wait_until_ready().now_or_never().is_some());
            let (scopes, stores): (Vec<Scope>, Vec<_>) = filled.map(|(scope, store)| (scope.clone(), store)).unzip();
            Replicas { scopes, pods: pods(stores.into_iter().flat_map(reflector::Store::state)) }
        };
        poll(&ctx, replicas, &*ctx.ask_pod).await;
    };
    tokio::join!(following, polling);
}

/// How a pod is asked for its report, at its addresses.
pub type Ask =
    dyn Fn(Arc<document::Report>, BTreeSet<IpAddr>) -> BoxFuture<'static, Option<ReplicaReport>> + Send + Sync;

/// Asks pods over the network.
#[must_use]
pub fn over_network() -> Arc<Ask> {
    Arc::new(|report, addresses| ask(report, addresses).boxed())
}

/// Begins in each round what is due, so that what one gateway's silence costs is its own.
async fn poll(ctx: &Context, mut replicas: impl FnMut() -> Replicas, ask: &Ask) {
    let places = &Fair::new(PLACES);
    let (mut busy, mut polls) = (BTreeSet::new(), FuturesUnordered::new());
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rounds.tick() => for due in due(ctx, replicas()) {
                if busy.insert(due.key.clone()) {
                    polls.push(async move { due.poll(ctx, places, ask).await });
                }
            },
            Some(key) = polls.next() => { busy.remove(&key); }
        }
    }
}

/// Ready pods by their names, each with its addresses: one for each IP family of the Service.
type Pods = BTreeMap<String, BTreeSet<IpAddr>>;

/// The ready pods of the gateways in the namespaces whose pods are known.
struct Replicas {
    scopes: Vec<Scope>,
    pods: BTreeMap<GatewayKey, Pods>,
}

/// The ready pods of each gateway.
fn pods(slices: impl Iterator<Item = Arc<EndpointSlice>>) -> BTreeMap<GatewayKey, Pods> {
    let mut pods: BTreeMap<GatewayKey, Pods> = BTreeMap::new();
    for slice in slices {
        let Some(gateway) = slice.labels().get(GATEWAY_LABEL) else { continue };
        let known = pods.entry((slice.namespace().unwrap_or_default(), gateway.clone())).or_default();
        for endpoint in &slice.endpoints {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let name = endpoint.target_ref.as_ref().and_then(|target| target.name.clone());
            let address = endpoint.addresses.first().and_then(|address| address.parse().ok());
            if let (true, Some(name), Some(address)) = (ready, name, address) {
                known.entry(name).or_default().insert(address);
            }
        }
    }
    pods
}

/// A gateway that is to be asked.
struct Due {
    gateway: Arc<TelephonyGateway>,
    key: GatewayKey,
    pods: Pods,
    lane: Lane,
}

/// The gateways that are to be asked now.
fn due(ctx: &Context, Replicas { scopes, mut pods }: Replicas) -> Vec<Due> {
    let intervals = switch::intervals(ctx);
    let (mut keys, mut due) = (BTreeSet::new(), Vec::new());
    for gateway in ctx.caches.gateways.all() {
        let key = (gateway.namespace().unwrap_or_default(), gateway.name_any());
        let pods = pods.remove(&key).unwrap_or_default();
        let names = pods.keys().map(String::as_str).collect();
        let interval = intervals.get(&key);
        let every = interval.map_or(POLL, |interval| (*interval).clamp(ROUND, POLL));
        keys.insert(key.clone());
        let is_known = scopes.iter().any(|scope| scope.covers(&key.0));
        if is_known && ctx.reports.is_due(&key, &names, every) {
            let lane = if interval.is_some() { Lane::Urgent } else { Lane::Routine };
            due.push(Due { gateway, key, pods, lane });
        }
    }
    ctx.reports.keep(&keys);
    due
}

impl Due {
    /// Asks the pods and takes in what they report.
    async fn poll(self, ctx: &Context, places: &Fair, ask: &Ask) -> GatewayKey {
        let Self { gateway, key, pods, lane } = self;
        let enter = || places.enter(&key.0, &key.1, lane);
        let read = async {
            let _place = enter().await;
            let secret = ctx.references.secret(&key.0, &Names::of(&gateway).ok()?.report).await.ok()??;
            dereference::report(&secret).map(Arc::new)
        };
        let Some(report) = read.await else { return key };
        let asked = pods.into_iter().map(|(pod, addresses)| {
            let report = Arc::clone(&report);
            async {
                let _place = enter().await;
                (pod, timeout(PATIENCE, ask(report, addresses)).await.ok().flatten())
            }
        });
        let reports: FuturesUnordered<_> = asked.collect();
        let changed = ctx.reports.take(&key, reports.collect().await);
        wake(ctx, &key, changed);
        key
    }
}

/// Wakes whose status changes by what a gateway's pods reported, and who waits for it.
fn wake(ctx: &Context, key: &GatewayKey, changed: BTreeSet<Target>) {
    // A hook that begins to be served is what its org's plan waits for.
    let orgs =
        changed.iter().filter(|target| target.kind == Kind::TelephonyHook).filter_map(|target| org_of(ctx, target));
    let mut orgs: BTreeSet<Target> = orgs.collect();
    if changed.iter().any(|target| target.kind == Kind::TelephonyGateway) {
        // a configuration that reached its replicas may have a secret that Okta is to be given now
        let hooks = ctx.caches.hooks.found(&key.0, &By::Gateway(key.1.clone()));
        orgs.extend(hooks.iter().filter_map(|hook| switch::org_of(hook, ctx)));
    }
    ctx.wake.wake_all(orgs);
    if !changed.is_empty() {
        // what shows in status may fail a hook, and its switch need not wait for its next look to begin the delay
        ctx.wake.wake_all(switch::over(ctx, key));
    }
    ctx.wake.wake_all(changed);
}

fn org_of(ctx: &Context, hook: &Target) -> Option<Target> {
    switch::org_of(&*ctx.caches.hooks.get(&hook.namespace, &hook.name)?, ctx)
}

/// The report of the pod at these addresses, from the first that answers with one.
async fn ask(report: Arc<document::Report>, addresses: BTreeSet<IpAddr>) -> Option<ReplicaReport> {
    let asking = &Asking::new(&report)?;
    let mut asked: FuturesUnordered<_> =
        addresses.into_iter().map(|address| asking.exchange(SocketAddr::new(address, REPORT_PORT))).collect();
    while let Some(report) = asked.next().await {
        if report.is_some() {
            return report;
        }
    }
    None
}

/// How the pods of one gateway are asked.
struct Asking {
    tls: TlsConnector,
    token: hookswitch_message::Secret<String>,
}

impl Asking {
    fn new(report: &document::Report) -> Option<Self> {
        let pinned = CertificateDer::pem_slice_iter(report.certificate.as_bytes()).next()?.ok()?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { certificate: pinned, provider }))
            .with_no_client_auth();
        Some(Self { tls: TlsConnector::from(Arc::new(config)), token: report.token.clone() })
    }

    #[expect(clippy::disallowed_methods, reason = "a pod of the gateway, whose certificate is known")]
    async fn exchange(&self, address: SocketAddr) -> Option<ReplicaReport> {
        let stream = TcpStream::connect(address).await.ok()?;
        let name = ServerName::try_from(REPORT_NAME).ok()?;
        let stream = self.tls.connect(name, stream).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = http::Request::get(PATH)
            .header(http::header::HOST, REPORT_NAME)
            .header(http::header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .body(Empty::<Bytes>::new())
            .ok()?;
        let asked = async {
            let answer = sender.send_request(request).await.ok()?;
            if answer.status() != http::StatusCode::OK {
                return None;
            }
            let body = Limited::new(answer.into_body(), MAX_REPORT).collect().await.ok()?.to_bytes();
            ReplicaReport::read(&body).ok()
        };
        tokio::select! {
            report = asked => report,
            // The connection is driven beside the exchange; when it ends first there is no answer.
            _ = connection => None,
        }
    }
}

/// Trusts one certificate and looks at nothing else of it: it was made for this and never leaves the cluster.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tokio::time::{Instant, sleep};

    use super::{
        super::super::{
            double::{GATEWAYS, REPORT_TOKEN, SECRETS, World},
            flow_tests::{gateway, secret},
            reports::Reports,
        },
        *,
    };

    fn slice(address_type: &str, address: &str, ready: bool) -> Arc<EndpointSlice> {
        let object = json!({
            "metadata": {"name": "otp-gateway-x", "namespace": "ns", "labels": {GATEWAY_LABEL: "otp"}},
            "addressType": address_type,
            "endpoints": [{
                "addresses": [address], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": "otp-1"},
            }],
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_pod_of_two_ip_families_is_one_pod_with_two_addresses() {
        let slices =
            [slice("IPv4", "10.0.0.7", true), slice("IPv6", "fd00::7", true), slice("FQDN", "otp.example", true)];
        let pods = pods(slices.into_iter());
        let of_gateway = &pods[&("ns".to_owned(), "otp".to_owned())];
        let addresses = BTreeSet::from(["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()]);
        assert_eq!(*of_gateway, Pods::from([("otp-1".to_owned(), addresses)]));
    }

    #[test]
    fn a_pod_that_is_not_ready_is_not_asked() {
        let pods = pods([slice("IPv6", "fd00::7", false)].into_iter());
        assert_eq!(pods[&("ns".to_owned(), "otp".to_owned())], Pods::new());
    }

    /// Puts a gateway there, with what its pods are asked with.
    fn declare(world: &World, namespace: &str, name: &str) {
        let within = |path: &str, name: &str| format!("{}/{name}", path.replace("/otp/", &format!("/{namespace}/")));
        let mut object = gateway();
        object["metadata"] = json!({"name": name, "namespace": namespace, "generation": 1});
        world.server.put(&within(GATEWAYS, name), object);
        let name = format!("{name}-gateway-report");
        let mut report = secret(&name, "token", REPORT_TOKEN);
        report["metadata"]["namespace"] = json!(namespace);
        for part in ["tls.crt", "tls.key"] {
            report["data"][part] = json!("eA==");
        }
        world.server.put(&within(SECRETS, &name), report);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_is_asked_in_time_beside_320_silent_pods_of_another_tenant_or_of_its_own() {
        for silent in ["other", "otp"] {
            let mut world = World::new();
            Arc::get_mut(&mut world.ctx).unwrap().reports = Arc::new(Reports::by(|| Instant::now().into_std()));
            declare(&world, "otp", "main");
            (0..10).for_each(|number| declare(&world, silent, &format!("silent-{number}")));
            world.sync();
            let pods = || {
                let pod = |number: u8, of: u8| (format!("pod-{number}"), BTreeSet::from([[10, 0, of, number].into()]));
                let silent = (0..10).map(|of| {
                    ((silent.to_owned(), format!("silent-{of}")), (0..32).map(|number| pod(number, of)).collect())
                });
                let ours = (("otp".to_owned(), "main".to_owned()), Pods::from([pod(1, 255)]));
                Replicas { scopes: Scope::of(&[]), pods: silent.chain([ours]).collect() }
            };
            let (begun, asked) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
            let times = Arc::clone(&asked);
            let ask = move |_, addresses: BTreeSet<IpAddr>| {
                let is_ours = addresses.contains(&IpAddr::from([10, 0, 255, 1]));
                if is_ours {
                    times.lock().unwrap().push(begun.elapsed().as_secs());
                }
                async move { if is_ours { None } else { futures::future::pending().await } }.boxed()
            };
            tokio::select! {
                () = poll(&world.ctx, pods, &ask) => {}
                () = sleep(Duration::from_mins(2)) => {}
            }
            let asked = asked.lock().unwrap();
            let late = asked.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(asked[0] <= 3 && late <= Some(8) && asked.len() >= 16, "{silent}: {asked:?}");
        }
    }
}
