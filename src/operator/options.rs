//! What the operator is told at start.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use url::Url;

/// Options of `hookswitch operator`; every one can also be given by the environment.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Namespaces to look after, separated by commas. Absent: all (the service account then needs cluster-wide rights).
    #[arg(long, env = "HOOKSWITCH_NAMESPACES", value_delimiter = ',', num_args = 0..)]
    pub namespaces: Vec<String>,
    /// Image of the gateways this operator deploys.
    #[arg(long, env = "HOOKSWITCH_IMAGE")]
    pub image: String,
    /// Pull policy of that image: Always, `IfNotPresent` or Never. Absent: the cluster's default.
    #[arg(long, env = "HOOKSWITCH_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: Option<String>,
    /// Secrets with which nodes pull that image, separated by commas; they must exist in each gateway's namespace.
    #[arg(long, env = "HOOKSWITCH_IMAGE_PULL_SECRETS", value_delimiter = ',', num_args = 0..)]
    pub image_pull_secrets: Vec<String>,
    /// Private address ranges that carriers and orgs may live in, separated by commas. Absent: public addresses only.
    #[arg(long = "allowed-cidrs", env = "HOOKSWITCH_ALLOWED_CIDRS", value_delimiter = ',', num_args = 0..)]
    pub allowed_cidrs: Vec<IpNet>,
    /// HTTP proxy for calls to Okta and carriers. Absent: none; the usual `HTTPS_PROXY` is not read.
    #[arg(long, env = "HOOKSWITCH_PROXY")]
    pub proxy: Option<Url>,
    /// Name by which this installation marks its hooks in Okta; only a name given here survives a rebuilt cluster.
    #[arg(long, env = "HOOKSWITCH_INSTALLATION")]
    pub installation: Option<String>,
    /// The namespace the operator runs in: its Lease and its key live there.
    #[arg(long, env = "POD_NAMESPACE")]
    pub operator_namespace: String,
    /// The operator's own name in the Lease, in Events and in logs.
    #[arg(long, env = "POD_NAME")]
    pub identity: String,
    /// Where metrics and health are served.
    #[arg(long, env = "HOOKSWITCH_METRICS_ADDRESS", default_value = "[::]:9090")]
    pub metrics_address: SocketAddr,
    /// Whether each gateway gets a `NetworkPolicy` that fits its ports.
    #[arg(long, env = "HOOKSWITCH_NETWORK_POLICY", default_value_t = true, action = clap::ArgAction::Set)]
    pub network_policy: bool,
    /// Namespaces whose pods may read a gateway's metrics under that policy, separated by commas. Absent: all.
    #[arg(long, env = "HOOKSWITCH_METRICS_NAMESPACES", value_delimiter = ',', num_args = 0..)]
    pub metrics_namespaces: Vec<String>,
    /// Log filter: a level, or `target=level` pairs.
    #[arg(long, env = "HOOKSWITCH_LOG", default_value = "info")]
    pub log: String,
    /// File with PEM certificates trusted besides the public ones, for Okta and carriers alike. Absent: none.
    #[arg(long, env = "HOOKSWITCH_CA_FILE")]
    pub ca_file: Option<PathBuf>,
}

impl Options {
    /// The namespaces looked after, tidied; empty means all.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let mut namespaces: Vec<String> =
            self.namespaces.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        namespaces.sort();
        namespaces.dedup();
        namespaces
    }
}
