//! The arrows between the modules, kept by walking every path that the source names.
//!
//! Tokens are read with comments and literals taken out; `use` trees are spread, `self` and `super` resolved. So a path
//! counts wherever it stands: in a `use`, in an expression, in a type, in tests inside the source.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the source must fail")]

#[path = "architecture/paths.rs"]
mod paths;

use std::{
    fs,
    path::{Path, PathBuf},
};

use paths::{Named, named_paths};

/// Modules that are pure whole: values in, values out.
const PURE: [&str; 7] = ["message", "api", "config", "routing", "protection", "providers", "failover"];

/// Files of `okta` that are pure although the module does input and output.
const PURE_OKTA: [&str; 4] = ["plan", "drift", "mark", "limits"];

/// Crates that do input or output, or run things.
const IO_CRATES: [&str; 11] = [
    "tokio",
    "tokio_util",
    "tokio_rustls",
    "hyper",
    "hyper_util",
    "reqwest",
    "tower",
    "rustls",
    "futures",
    "tracing_subscriber",
    "kube_runtime",
];

/// Of kube, what describes a resource without reaching a server.
const KUBE_TYPES: [&str; 6] = ["CustomResource", "CustomResourceExt", "KubeSchema", "Resource", "ResourceExt", "core"];

/// Which modules of the crate a module may name. One that is not here may not exist.
const ARROWS: [(&str, &[&str]); 14] = [
    ("message", &[]),
    ("api", &["message"]),
    ("config", &["message", "api"]),
    ("routing", &["message", "config"]),
    ("providers", &["message", "config"]),
    ("protection", &["message", "config"]),
    ("failover", &["message"]),
    ("fair", &[]),
    ("net", &["message", "fair"]),
    ("telemetry", &[]),
    ("gateway", &["message", "config", "routing", "protection", "providers", "net", "telemetry"]),
    ("okta", &["message", "net", "telemetry"]),
    (
        "operator",
        &[
            "message",
            "api",
            "config",
            "routing",
            "protection",
            "providers",
            "failover",
            "net",
            "telemetry",
            "okta",
            "fair",
        ],
    ),
    ("sandbox", &[]),
];

/// A source file as the rules see it.
struct Source {
    /// Path below `src`, with slashes.
    file: String,
    paths: Vec<Named>,
}

impl Source {
    fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), paths: named_paths(file, text) }
    }

    /// The module right below the crate that the file belongs to; `None` for the crate's roots.
    fn module(&self) -> Option<&str> {
        let first = self.file.split('/').next()?;
        match first {
            "bin" if self.file.contains("sandbox") => Some("sandbox"),
            // `command` is the binary's own: it puts modules together and nobody names it.
            "lib.rs" | "main.rs" | "command" | "bin" => None,
            file => Some(file.strip_suffix(".rs").unwrap_or(file)),
        }
    }

    fn within(&self, place: &str) -> bool {
        self.file.strip_prefix(place).is_some_and(|rest| rest.starts_with(['/', '.']) || rest.starts_with('_'))
    }

    fn is_pure(&self) -> bool {
        self.module().is_some_and(|module| PURE.contains(&module))
            || PURE_OKTA.iter().any(|part| self.within(&format!("okta/{part}")))
    }

    /// The modules of the crate that are named, with the line.
    fn modules_named(&self) -> impl Iterator<Item = (&str, usize)> {
        // A binary reaches the library by its name.
        self.paths.iter().filter(|path| matches!(path.root(), "crate" | "hookswitch")).filter_map(|path| {
            let module = path.segments.get(1)?;
            module.starts_with(|c: char| c.is_lowercase()).then_some((module.as_str(), path.line))
        })
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new("src");
    let mut files = Vec::new();
    collect(root, &mut files);
    assert!(files.len() > 10, "the walk found only {} files below {}", files.len(), root.display());
    files.sort();
    files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(root).unwrap().components().map(|c| c.as_os_str().to_string_lossy());
            Source::new(&name.collect::<Vec<_>>().join("/"), &fs::read_to_string(file).unwrap())
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n\n{}\n", violations.join("\n"));
}

fn forbidden_arrows(sources: &[Source], of: &str) -> Vec<String> {
    let allowed = ARROWS.iter().find(|(module, _)| *module == of).map_or(&[][..], |(_, allowed)| *allowed);
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| source.module() == Some(of)) {
        for (module, line) in source.modules_named().filter(|(module, _)| *module != of && !allowed.contains(module)) {
            violations.push(format!(
                "src/{}:{line}: `{of}` names `{module}`; it may name only {allowed:?}. Move what is needed to a module \
                 that both may know, or pass it in as a value.",
                source.file
            ));
        }
    }
    violations.dedup();
    violations
}

fn forbidden_crates(sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| source.is_pure()) {
        for path in source.paths.iter().filter(|path| IO_CRATES.contains(&path.root())) {
            violations.push(format!(
                "src/{}:{}: a pure module names `{}`. Decide here on values, and do the input or output in `gateway`, \
                 `net`, `okta` or `operator`.",
                source.file,
                path.line,
                path.segments.join("::")
            ));
        }
    }
    violations
}

fn forbidden_kube(sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    for source in sources {
        let described = |path: &Named| path.segments.get(1).is_none_or(|item| KUBE_TYPES.contains(&item.as_str()));
        for path in source.paths.iter().filter(|path| matches!(path.root(), "kube" | "kube_client" | "kube_runtime")) {
            let advice = match source.module() {
                Some("api") if path.root() == "kube" && described(path) => continue,
                Some("operator") | None => continue,
                Some("gateway") if source.within("gateway/source") => continue,
                Some("gateway") => "Only `gateway/source` talks to an API server: calls are served without one.",
                Some("api") => "`api` describes resources; talking to the API server is the operator's.",
                Some(_) => "Take what is needed as a value; only `operator` and `gateway/source` use a client.",
            };
            violations.push(format!(
                "src/{}:{}: names `{}`. {advice}",
                source.file,
                path.line,
                path.segments.join("::")
            ));
        }
    }
    violations
}

/// Ways out of the process that do not ask the guard.
const WAYS_OUT: [&[&str]; 9] = [
    &["reqwest"],
    &["hyper", "client"],
    &["hyper_util", "client"],
    &["TcpSocket"],
    &["TcpStream", "connect"],
    &["TcpStream", "connect_timeout"],
    &["UdpSocket"],
    &["UnixStream"],
    &["lookup_host"],
];

/// Where connections are made all the same, and to what.
const OWN_WAYS: [(&str, &str); 5] = [
    ("net", "the guarded way out"),
    ("operator/cluster", "the API server, whose address and certificates the cluster gives"),
    ("operator/gateway/poll", "gateways' own pods, whose certificate is known"),
    ("telemetry", "tests alone: to an endpoint that they opened"),
    ("gateway/report", "tests alone: to an endpoint that they opened"),
];

fn ways_around(sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    let inside = sources.iter().filter(|source| source.module() != Some("sandbox"));
    for source in inside.filter(|source| !OWN_WAYS.iter().any(|(place, _)| source.within(place))) {
        let leads_out = |path: &&Named| {
            let named = |way: &&[&str]| path.segments.windows(way.len()).any(|part| part.iter().eq(way.iter()));
            WAYS_OUT.iter().any(named)
        };
        for path in source.paths.iter().filter(leads_out) {
            violations.push(format!(
                "src/{}:{}: names `{}`, which asks no address guard. Call by `net::Connector` or `net::Client`.",
                source.file,
                path.line,
                path.segments.join("::")
            ));
        }
    }
    violations
}

macro_rules! arrow_tests {
    ($($name:ident: $module:literal;)*) => {$(
        #[test]
        fn $name() {
            assert_none(&forbidden_arrows(&sources(), $module));
        }
    )*};
}

arrow_tests! {
    message_knows_nobody: "message";
    api_knows_only_values_of_a_message: "api";
    config_knows_only_values_and_resources: "config";
    routing_knows_only_the_document_and_values: "routing";
    providers_know_only_the_document_and_values: "providers";
    protection_knows_only_the_document_and_values: "protection";
    failover_knows_only_values: "failover";
    fair_knows_nobody: "fair";
    net_knows_nobody_who_uses_it: "net";
    telemetry_knows_nobody: "telemetry";
    the_gateway_knows_neither_the_operator_nor_okta_nor_the_resources: "gateway";
    okta_knows_neither_resources_nor_the_gateway: "okta";
    the_operator_knows_neither_the_gateway_nor_the_sandbox: "operator";
    the_sandbox_shares_nothing_with_what_it_tests: "sandbox";
}

#[test]
fn pure_modules_name_no_runtime_and_no_http_client() {
    assert_none(&forbidden_crates(&sources()));
}

#[test]
fn only_the_operator_and_the_configuration_source_use_a_kube_client() {
    assert_none(&forbidden_kube(&sources()));
}

#[test]
fn nobody_leaves_the_process_around_the_address_guard() {
    assert_none(&ways_around(&sources()));
}

#[test]
fn a_planted_way_around_the_guard_is_found() {
    for (file, text, found) in [
        ("okta/client.rs", "fn f(http: reqwest::Client) {}", 1),
        ("operator/probe/call.rs", "use tokio::net::TcpStream;\nfn f() { TcpStream::connect(at) }", 1),
        ("operator/probe/call.rs", "fn f() { std::net::TcpStream::connect_timeout(at, t) }", 1),
        ("gateway/oauth.rs", "use hyper_util::client::legacy;", 1),
        ("gateway/accept.rs", "use tokio::net::{TcpListener, TcpStream};", 0),
        ("net/dial.rs", "fn f() { TcpStream::connect(at) }", 0),
        ("operator/gateway/poll.rs", "fn f() { TcpStream::connect(at) }", 0),
    ] {
        let violations = ways_around(&[Source::new(file, text)]);
        assert_eq!(violations.len(), found, "{file}: {text}\n{violations:?}");
    }
}

#[test]
fn every_module_has_its_arrows_written_down() {
    let sources = sources();
    let unknown = sources.iter().filter_map(|source| {
        let module = source.module()?;
        let known = ARROWS.iter().any(|(known, _)| *known == module);
        (!known).then(|| {
            format!(
                "src/{}: `{module}` has no line in ARROWS of tests/architecture.rs; say whom it may know.",
                source.file
            )
        })
    });
    assert_none(&unknown.collect::<Vec<_>>());
}

#[test]
fn a_planted_arrow_is_found_however_it_is_written() {
    let plants = [
        ("gateway/dispatch.rs", "use crate::operator::Plan;", 1),
        ("gateway/dispatch.rs", "use crate::{\n    config,\n    operator::{self, Plan},\n};", 3),
        ("gateway/dispatch.rs", "fn f() {\n    let x = crate::okta::client();\n}", 2),
        ("gateway/mod.rs", "use super::operator;", 1),
        ("gateway/source/mod.rs", "mod a {\n    use super::super::super::api::X;\n}", 2),
        ("gateway/dispatch.rs", "fn f(x: &dyn super::super::sandbox::T) {}", 1),
        ("gateway/dispatch.rs", "pub(in crate::gateway) use crate::{self as root, api as x};", 1),
        ("gateway/dispatch.rs", "#[cfg(test)]\nmod tests {\n    use hookswitch::operator;\n}", 3),
    ];
    for (file, text, line) in plants {
        let found = forbidden_arrows(&[Source::new(file, text)], "gateway");
        assert_eq!(found.len(), 1, "{text}\n{found:?}");
        assert!(found[0].starts_with(&format!("src/{file}:{line}: ")), "{text}\n{found:?}");
    }
}

#[test]
fn a_planted_crate_in_a_pure_module_is_found() {
    for (file, text) in [
        ("routing/table.rs", "use tokio::sync::watch;"),
        ("okta/plan.rs", "fn f(c: &reqwest::Client) {}"),
        ("okta/plan/steps.rs", "use ::hyper::body;"),
        ("providers/http.rs", "async fn f() { tokio::time::sleep(D).await }"),
    ] {
        assert_eq!(forbidden_crates(&[Source::new(file, text)]).len(), 1, "{file}: {text}");
    }
    assert_eq!(forbidden_crates(&[Source::new("okta/client.rs", "use reqwest::Client;")]), Vec::<String>::new());
}

#[test]
fn a_planted_kube_client_is_found() {
    for (file, text, found) in [
        ("api/provider.rs", "use kube::{Client, CustomResource};", 1),
        ("api/provider.rs", "use kube::{CustomResource, KubeSchema, core::ObjectMeta};", 0),
        ("gateway/serve.rs", "fn f(c: kube::Client) {}", 1),
        ("gateway/source/secret.rs", "use kube::Client;", 0),
        ("okta/client.rs", "use kube::Api;", 1),
        ("operator/run.rs", "use kube::Api;", 0),
    ] {
        let violations = forbidden_kube(&[Source::new(file, text)]);
        assert_eq!(violations.len(), found, "{file}: {text}\n{violations:?}");
    }
}

#[test]
fn comments_literals_and_neighbours_are_no_arrows() {
    for text in [
        "// use crate::operator;\n/* crate::operator::X /* nested */ crate::okta */",
        "//! See [`crate::operator`].",
        "const A: &str = \"crate::operator::X \\\" crate::okta\"; const B: &str = r#\"crate::okta::\"x\"\"#; const C: u8 = b'\"';",
        "fn f<'a>(x: &'a str) -> char { '\"' }\nuse crate::config::document;",
        "use super::super::config;",
        "use crate::gateway::operator;",
        "fn f() { x.crate_::operator() }",
    ] {
        assert_eq!(forbidden_arrows(&[Source::new("gateway/a/b.rs", text)], "gateway"), Vec::<String>::new(), "{text}");
    }
}
