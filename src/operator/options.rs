//! What the operator is told at start.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use url::Url;

use crate::{message::Secret, net::Exception};

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
    #[arg(long, env = "HOOKSWITCH_PROXY", hide_env_values = true)]
    proxy: Option<Url>,
    /// User at the proxy. Absent: the one in its URL, if any.
    #[arg(long, env = "HOOKSWITCH_PROXY_USERNAME", requires = "proxy")]
    proxy_username: Option<String>,
    /// Password at the proxy; better given by the environment than by a line that others can list.
    #[arg(long, env = "HOOKSWITCH_PROXY_PASSWORD", requires = "proxy_username", hide_env_values = true, value_parser = secret)]
    proxy_password: Option<Secret<String>>,
    /// What is called without the proxy, separated by commas: host (and all below it), .domain, address, CIDR.
    #[arg(long, env = "HOOKSWITCH_NO_PROXY", value_delimiter = ',', num_args = 0..)]
    pub no_proxy: Vec<Exception>,
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
    /// File with PEM certificates trusted besides the public ones, for Okta and carriers alike; read at start. Absent: none.
    #[arg(long, env = "HOOKSWITCH_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// User that gateways' containers run as. Absent: the image's, or the one that the platform gives them.
    #[arg(long, env = "HOOKSWITCH_RUN_AS_USER", value_parser = clap::value_parser!(i64).range(1..))]
    pub run_as_user: Option<i64>,
    /// Group that gateways' containers run as. Absent: as for the user.
    #[arg(long, env = "HOOKSWITCH_RUN_AS_GROUP", value_parser = clap::value_parser!(i64).range(1..))]
    pub run_as_group: Option<i64>,
    /// Group that gateways' volumes belong to. Absent: as for the user.
    #[arg(long, env = "HOOKSWITCH_FS_GROUP", value_parser = clap::value_parser!(i64).range(1..))]
    pub fs_group: Option<i64>,
}

#[expect(clippy::unnecessary_wraps, reason = "a parser of options may fail")]
fn secret(text: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

impl Options {
    /// The proxy, with user and password in its URL when it wants them.
    #[must_use]
    pub fn proxy(&self) -> Option<Url> {
        let mut url = self.proxy.clone()?;
        if let Some(username) = &self.proxy_username {
            // only a URL without a host takes none, and that is refused where it is used
            let _ = url.set_username(username);
            let _ = url.set_password(self.proxy_password.as_ref().map(|password| password.expose().as_str()));
        }
        Some(url)
    }

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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn read(more: &[&str]) -> Result<Options, clap::Error> {
        let line = ["x", "--image", "i", "--operator-namespace", "s", "--identity", "i"];
        Line::try_parse_from(line.iter().chain(more)).map(|line| line.options)
    }

    #[test]
    fn a_proxys_password_comes_beside_its_url_and_is_never_shown() {
        let line =
            ["--proxy", "http://proxy.internal:3128", "--proxy-username", "svc", "--proxy-password", "p@ss w0rd"];
        let options = read(&line).unwrap();
        assert_eq!(options.proxy().unwrap().as_str(), "http://svc:p%40ss%20w0rd@proxy.internal:3128/");
        assert!(!format!("{options:?}").contains("w0rd"));
        assert_eq!(read(&[]).unwrap().proxy(), None);
        assert!(read(&["--proxy-username", "svc"]).is_err(), "a user of which proxy?");
    }

    #[test]
    fn exceptions_to_the_proxy_are_read_and_checked_at_start() {
        let options = read(&["--no-proxy", ".corp,10.0.0.0/8"]).unwrap();
        assert_eq!(options.no_proxy.iter().map(ToString::to_string).collect::<Vec<_>>(), [".corp", "10.0.0.0/8"]);
        assert!(read(&["--no-proxy", "sms.corp:8443"]).is_err());
    }

    #[test]
    fn nobody_runs_as_root() {
        assert!(read(&["--run-as-user", "0"]).is_err());
        assert_eq!(read(&["--run-as-user", "1000"]).unwrap().run_as_user, Some(1000));
    }
}
