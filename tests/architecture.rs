//! Who may know whom. The compiler keeps it by the manifests; these tests keep the manifests.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the workspace must fail")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// Crates of values in, values out.
const PURE: [&str; 7] = ["message", "request", "api", "gateway-config", "routing", "providers", "failover"];

/// What does input or output, or runs things: no pure crate has it, nor has anything that a pure crate stands on.
const IO: [&str; 12] = [
    "futures-executor",
    "hyper",
    "hyper-util",
    "kube-client",
    "kube-runtime",
    "mio",
    "reqwest",
    "rustls",
    "socket2",
    "tokio",
    "tower",
    "tracing-subscriber",
];

/// Which crates of ours a crate may know, beside what these know. The root package is on top and may know all but the sandbox.
const ARROWS: [(&str, &[&str]); 14] = [
    ("message", &[]),
    ("request", &["message"]),
    ("failover", &[]),
    ("fair", &[]),
    ("telemetry", &[]),
    ("api", &["message"]),
    ("gateway-config", &["message"]),
    ("routing", &["gateway-config", "message"]),
    ("providers", &["gateway-config", "message", "request"]),
    ("net", &["fair", "message", "request"]),
    ("okta", &["message", "net"]),
    ("gateway", &["gateway-config", "message", "net", "providers", "routing", "telemetry"]),
    ("sandbox", &[]),
    ("bench", &["gateway-config", "message", "sandbox"]),
];

/// Who opens connections: the guarded way out, who serves an API server's or gateways' answers, and the simulated vendors.
const HTTP_CLIENTS: [(&str, &[&str]); 2] =
    [("reqwest", &["hookswitch-net", "hookswitch-sandbox"]), ("hyper-rustls", &["hookswitch"])];

/// Who calls an API server.
const KUBE_CLIENTS: [&str; 2] = ["hookswitch", "hookswitch-gateway"];

struct Workspace {
    /// By package, what its manifest names: `None` is a dependency of the program, the others are of tests and builds.
    named: BTreeMap<String, Vec<(String, Option<String>)>>,
    /// The packages whose program has `kube` with its client.
    kube_clients: Vec<String>,
}

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo).args(arguments).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Workspace {
    fn read() -> Self {
        let metadata = cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"]);
        let metadata: Value = serde_json::from_slice(&metadata).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let named = metadata["packages"].as_array().unwrap().iter().map(|package| {
            let named = package["dependencies"].as_array().unwrap().iter();
            let named = named.map(|one| (text(&one["name"]).unwrap(), text(&one["kind"])));
            (text(&package["name"]).unwrap(), named.collect())
        });
        let packages = metadata["packages"].as_array().unwrap().iter();
        let calls = packages.filter(|package| {
            let mut named = package["dependencies"].as_array().unwrap().iter();
            named.any(|one| {
                let client = || one["features"].as_array().unwrap().iter().any(|feature| feature == "client");
                one["name"] == "kube" && one["kind"].is_null() && client()
            })
        });
        let mut kube_clients: Vec<String> = calls.map(|package| text(&package["name"]).unwrap()).collect();
        kube_clients.sort();
        Self { named: named.collect(), kube_clients }
    }

    /// The crates of ours that a package's program knows by its manifest, without the prefix of their names.
    fn ours(&self, package: &str) -> BTreeSet<&str> {
        let named = self.named[package].iter().filter(|(_, kind)| kind.is_none());
        named.filter_map(|(name, _)| name.strip_prefix("hookswitch-")).collect()
    }
}

/// Everything that a package's program stands on, however deep.
fn stands_on(package: &str) -> BTreeSet<String> {
    let tree = cargo(&[
        "tree",
        "--locked",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{lib}",
    ]);
    String::from_utf8(tree).unwrap().lines().map(|line| line.trim_end_matches(" (*)").replace('_', "-")).collect()
}

#[test]
fn every_crate_knows_whom_it_may_know() {
    let workspace = Workspace::read();
    let members: BTreeSet<&str> = workspace.named.keys().filter_map(|name| name.strip_prefix("hookswitch-")).collect();
    assert_eq!(members, ARROWS.iter().map(|(name, _)| *name).collect(), "say of each crate whom it may know");
    for (name, allowed) in ARROWS {
        let known = workspace.ours(&format!("hookswitch-{name}"));
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(
            known, allowed,
            "Cargo.toml of {name}: move what is needed to a crate that both may know, or pass it in"
        );
    }
    assert!(!workspace.ours("hookswitch").contains("sandbox"));
}

#[test]
fn a_pure_crate_stands_on_nothing_that_does_input_or_output() {
    for name in PURE {
        let found = stands_on(&format!("hookswitch-{name}"));
        assert!(found.contains("serde-json") || found.len() < 40, "{name}: was anything read? {found:?}");
        let wrong: Vec<&str> = IO.into_iter().filter(|io| found.contains(*io)).collect();
        assert_eq!(wrong, [""; 0], "crates/{name}: decide on values here, and do the input or output above");
    }
    let product = stands_on("hookswitch");
    assert!(!product.contains("kube-cel"), "the rules of the CRDs are the API server's to keep, and tests' to try");
    let gateway = stands_on("hookswitch-gateway");
    assert!(gateway.contains("tokio") && gateway.contains("hyper"), "the search finds nothing");
}

#[test]
fn the_sandbox_shares_nothing_with_what_it_tests() {
    let workspace = Workspace::read();
    let named = workspace.named["hookswitch-sandbox"].iter().filter(|(name, _)| name.starts_with("hookswitch"));
    assert_eq!(named.count(), 0, "neither its program nor its tests: one misreading could hide on both sides");
}

#[test]
fn http_clients_are_where_their_addresses_are_asked_for() {
    let workspace = Workspace::read();
    for (client, owners) in HTTP_CLIENTS {
        let having = workspace
            .named
            .iter()
            .filter(|(_, named)| named.iter().any(|(name, kind)| name == client && kind.is_none()));
        let having: Vec<&str> = having.map(|(name, _)| name.as_str()).collect();
        assert_eq!(having, owners, "{client}: call by hookswitch-net, which asks the address guard");
    }
    assert_eq!(workspace.kube_clients, KUBE_CLIENTS, "take what is needed as a value");
}

/// Functions that lead out of the process and ask no address guard.
const WAYS_OUT: [&str; 16] = [
    "tokio::net::TcpStream::connect",
    "tokio::net::TcpSocket::connect",
    "tokio::net::UdpSocket::bind",
    "tokio::net::UnixStream::connect",
    "tokio::net::lookup_host",
    "std::net::TcpStream::connect",
    "std::net::TcpStream::connect_timeout",
    "std::net::UdpSocket::bind",
    "std::os::unix::net::UnixStream::connect",
    "std::net::ToSocketAddrs::to_socket_addrs",
    "reqwest::Client::new",
    "reqwest::Client::builder",
    "reqwest::get",
    "hyper_util::client::legacy::Client::builder",
    "hyper::client::conn::http1::handshake",
    "hyper::client::conn::http2::handshake",
];

#[test]
fn connections_made_around_the_address_guard_are_refused_by_the_lints() {
    let lints = include_str!("../clippy.toml");
    let refused: BTreeSet<&str> = lints.split("path = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(refused, WAYS_OUT.into_iter().collect(), "clippy.toml");
}
