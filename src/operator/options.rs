//! What the operator is told at start.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use url::Url;

use crate::operator::{model::tenancy::Tenancy, runtime::lease};
use hookswitch_message::Secret;
use hookswitch_net::Exception;

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
    /// Private address ranges that providers and orgs may live in, separated by commas. Absent: public addresses only.
    #[arg(long = "allowed-cidrs", env = "HOOKSWITCH_ALLOWED_CIDRS", value_delimiter = ',', num_args = 0..)]
    pub allowed_cidrs: Vec<IpNet>,
    /// What the authors of resources may ask for in each namespace, as JSON; the same as the chart's value `tenancy`. Absent:
    /// everything.
    #[arg(long, env = "HOOKSWITCH_TENANCY", default_value = "{}")]
    pub tenancy: Tenancy,
    /// HTTP proxy for calls to Okta and providers. Absent: none; the usual `HTTPS_PROXY` is not read.
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
    /// Name of this release's Lease in that namespace. Two releases in one namespace have two.
    #[arg(long, env = "HOOKSWITCH_LEASE", default_value = lease::NAME)]
    pub lease: String,
    /// The operator's own Deployment in that namespace: once all its pods are of this version, the Lease that older versions
    /// had in common is not needed. Absent: it is held as well.
    #[arg(long, env = "HOOKSWITCH_DEPLOYMENT")]
    pub deployment: Option<String>,
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
    /// File with PEM certificates trusted besides the public ones, for Okta and providers alike; read at start. Absent: none.
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

    /// The Leases to lead by.
    #[must_use]
    pub fn leases(&self) -> lease::Leases {
        lease::Leases { own: self.lease.clone(), deployment: self.deployment.clone() }
    }

    /// Private ranges that may be called for objects of a namespace.
    #[must_use]
    pub fn private_ranges(&self, namespace: &str) -> Vec<IpNet> {
        self.allowed_cidrs.iter().chain(self.tenancy.ranges(namespace)).copied().collect()
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
    use serde_json::Value;

    use super::*;
    use crate::operator::testing::world::arguments;
    use hookswitch_okta::owner_tag;

    fn read(more: &[&str]) -> Result<Options, clap::Error> {
        let line = ["--image", "i", "--operator-namespace", "s", "--identity", "i"];
        arguments(line.into_iter().chain(more.iter().copied()))
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

    /// Whether the chart's schema takes a value: the bound on its length, and its pattern or one of several.
    fn chart_takes(value: &str, at: &str) -> bool {
        fn takes(whole: &Value, schema: &Value, value: &str) -> bool {
            if let Some(pointer) = schema["$ref"].as_str() {
                return takes(whole, whole.pointer(pointer.trim_start_matches('#')).unwrap(), value);
            }
            if let Some(all) = schema["anyOf"].as_array() {
                return all.iter().any(|one| takes(whole, one, value));
            }
            let pattern = regex_automata::dfa::regex::Regex::new(schema["pattern"].as_str().unwrap()).unwrap();
            let longest = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
            u64::try_from(value.chars().count()).unwrap() <= longest && pattern.is_match(value)
        }
        let whole: Value = serde_json::from_str(include_str!("../../charts/hookswitch/values.schema.json")).unwrap();
        takes(&whole, whole.pointer(at).unwrap(), value)
    }

    /// What the chart takes and the operator does not, ends the operator at start, again and again.
    #[test]
    fn the_charts_schema_takes_what_the_operator_takes_at_start() {
        let ranges = [
            ("10.0.0.0/8", true),
            ("10.1.2.3/32", true),
            ("0.0.0.0/0", true),
            ("255.255.255.255/0", true),
            ("fd00::/8", true),
            ("::/0", true),
            ("::1/128", true),
            ("1:2:3:4:5:6:7:8/64", true),
            ("1:2:3:4:5:6:7::/64", true),
            ("::2:3:4:5:6:7:8/64", true),
            ("1::3:4:5:6:7:8/64", true),
            ("::ffff:10.0.0.0/104", true),
            ("64:ff9b::192.0.2.0/120", true),
            ("1:2:3:4:5:6:1.2.3.4/128", true),
            ("10.0.0.0/33", false),
            ("10.0.0.0/99", false),
            ("10.0.0.0/", false),
            ("10.0.0/8", false),
            ("10.0.0.256/8", false),
            ("10.0.0.0.0/8", false),
            ("fd00::/129", false),
            ("fd00::/999", false),
            ("fd00:/8", false),
            ("1:2:3:4:5:6:7/64", false),
            ("1:2:3:4:5:6:7:8:9/64", false),
            ("1::2::3/64", false),
            ("12345::/16", false),
            (":::/0", false),
            ("::1.2.3/96", false),
        ];
        for (text, taken) in ranges {
            assert_eq!(read(&["--allowed-cidrs", text]).is_ok(), taken, "the operator: {text}");
            assert_eq!(chart_takes(text, "/properties/network/properties/allowedCIDRs/items"), taken, "{text}");
        }
        let long = format!("{}.corp", vec!["a".repeat(60); 5].join("."));
        let exceptions = [
            ("sms.corp", true),
            (".corp", true),
            ("*.corp", true),
            ("svc", true),
            ("a_b.corp-1", true),
            ("10.1.2.3", true),
            ("999.1.1.1", true),
            ("fd00::1", true),
            ("::", true),
            ("::ffff:1.2.3.4", true),
            ("*foo", false),
            ("*", false),
            (".", false),
            ("*.", false),
            ("..corp", false),
            ("a..b", false),
            ("corp.", false),
            ("sms.corp:8443", false),
            ("https://sms.corp", false),
            ("10.0.0.0:80", false),
            ("[fd00::1]", false),
            ("fd00:::1", false),
            ("a b", false),
            (&long, false),
        ];
        for (text, taken) in exceptions.into_iter().chain(ranges) {
            assert_eq!(read(&["--no-proxy", text]).is_ok(), taken, "the operator: {text}");
            assert_eq!(chart_takes(text, "/properties/network/properties/noProxy/items"), taken, "{text}");
        }
        for (text, taken) in [
            ("http://proxy.internal:3128", true),
            ("https://proxy/", true),
            ("http://3proxy.corp.", true),
            ("http://10.0.0.7:65535", true),
            ("http://[fd00::7]:3128", true),
            ("http://proxy:65536", false),
            ("http://proxy:99999", false),
            ("http://10.0.0.256:3128", false),
            ("http://[fd00:::7]:3128", false),
            ("http://:3128", false),
            ("http://", false),
            ("http://a b", false),
        ] {
            let operator = read(&["--proxy", text]).is_ok_and(|options| options.proxy().is_some());
            assert_eq!(operator, taken, "the operator: {text}");
            assert_eq!(chart_takes(text, "/properties/network/properties/proxy"), taken, "{text}");
        }
        for (text, taken) in
            [("prod", true), ("a.b_c-d", true), ("a/b", false), (&"a".repeat(63), true), (&"a".repeat(64), false)]
        {
            assert_eq!(owner_tag::InstallationTag::new(text).is_ok(), taken, "the operator: {text}");
            assert_eq!(chart_takes(text, "/properties/installation"), taken, "{text}");
        }
    }

    #[test]
    fn the_charts_schema_takes_the_hosts_and_annotations_that_the_operator_takes_at_start() {
        let label = "a".repeat(64);
        let hosts = ["otp.acme.com", "*.acme.com", "*", "203.0.113.5", "localhost", "a-b.C"];
        let no_hosts = ["", "*acme.com", "*.", "a..b", "otp.acme.com:443", "https://a.b", "a b", "a.*.b", &label];
        let keys = ["example.com/key", "example.com/*", "plain", "*", "a_b.c-d"];
        let no_keys = ["", "a*b", "**", "a b", "a:b"];
        for (field, taken, texts) in [
            ("hosts", true, hosts.as_slice()),
            ("hosts", false, &no_hosts),
            ("ingressAnnotations", true, &keys),
            ("serviceAnnotations", false, &no_keys),
            ("podAnnotations", false, &no_keys),
        ] {
            for text in texts {
                let tenancy = serde_json::json!({"default": {field: [text]}}).to_string();
                assert_eq!(read(&["--tenancy", &tenancy]).is_ok(), taken, "the operator: {field} {text}");
                let pointer =
                    if field == "hosts" { "/definitions/limits/properties/hosts" } else { "/definitions/keys" };
                assert_eq!(chart_takes(text, &format!("{pointer}/items")), taken, "{field} {text}");
            }
        }
        assert_eq!(read(&[]).unwrap().tenancy, Tenancy::default());
    }

    #[test]
    fn nobody_runs_as_root() {
        assert!(read(&["--run-as-user", "0"]).is_err());
        assert_eq!(read(&["--run-as-user", "1000"]).unwrap().run_as_user, Some(1000));
    }
}
