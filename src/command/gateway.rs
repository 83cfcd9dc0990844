//! `hookswitch gateway`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use hookswitch_api::Duration;
use hookswitch_gateway::{
    listener,
    serve::{Gateway as Process, GatewaySettings},
};
use hookswitch_telemetry::files;

/// Serve Okta's hook calls by a configuration that the operator compiled.
#[derive(Debug, Args)]
pub(super) struct Gateway {
    /// Folder of the mounted configuration Secret.
    #[arg(long, default_value = "/etc/hookswitch/config")]
    config_dir: PathBuf,
    /// Folder of the mounted serving certificate: tls.crt and tls.key.
    #[arg(long, default_value = "/etc/hookswitch/tls")]
    tls_dir: PathBuf,
    /// Name of the configuration Secret; watched when there is an API server, since mounts follow late.
    #[arg(long)]
    secret_name: Option<String>,
    /// Where Okta is served. `[::]` is every address, of IPv4 too, also on a node without IPv6.
    #[arg(long, default_value = "[::]:8443")]
    listen: SocketAddr,
    /// Where the operator reads the report.
    #[arg(long, default_value = "[::]:9443")]
    report: SocketAddr,
    /// Where metrics and health are served.
    #[arg(long, default_value = "[::]:9090")]
    metrics: SocketAddr,
    /// Name of the pod; spreads the probes of replicas.
    #[arg(long, env = "POD_NAME", default_value = "gateway")]
    pod_name: String,
    /// How long to serve on after SIGTERM, until nobody sends here any more.
    #[arg(long, default_value = "10s")]
    lame_duck: Duration,
    /// How long a connection without a request is kept open: longer than the proxy in front keeps its own. Absent: 75s.
    #[arg(long)]
    keep_alive: Option<Duration>,
    /// Log filter: a level, or target=level pairs separated by commas.
    #[arg(long, env = "HOOKSWITCH_LOG", default_value = "info")]
    log: String,
}

impl Gateway {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        hookswitch_telemetry::logs::init(&self.log)?;
        let settings = GatewaySettings {
            config_dir: self.config_dir,
            tls_dir: self.tls_dir,
            secret_name: self.secret_name,
            listen: self.listen,
            report: self.report,
            metrics: self.metrics,
            pod: self.pod_name,
            lame_duck: self.lame_duck.get(),
            bounds: listener::ListenerBounds::within(
                files::as_many_as_allowed(),
                self.keep_alive.map_or(listener::KEEP_ALIVE, Duration::get),
            ),
        };
        let stop = crate::command::asked_to_stop()?;
        Process::open(settings).await?.run(stop).await?;
        Ok(())
    }
}
