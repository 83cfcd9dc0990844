//! Calling a hook the way Okta does: what is trusted, what is sent, and what it means that nothing came back.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, Method, header};
use kube::ResourceExt as _;
use serde_json::Value;
use url::Url;

use super::prober::Prober;
use crate::operator::{
    outbound::okta::HookCaller,
    resolve::{endpoint::Endpoint, secret_value},
    state::probes::Finding,
};
use hookswitch_api::TelephonyHook;
use hookswitch_failover::signal::CheckResult;
use hookswitch_message::Secret;
use hookswitch_net::{NoAnswer, Request, SendError, Unsent};

/// What calls a hook's address, trusting what its org is reached with.
///
/// # Errors
/// Why there is none, for people.
pub async fn caller(prober: &Prober, hook: &TelephonyHook) -> Result<Arc<dyn HookCaller>, String> {
    let namespace = hook.namespace().unwrap_or_default();
    let org =
        prober.memory.caches.org_of(hook).and_then(|org| prober.memory.caches.orgs.get(&org.namespace, &org.name));
    let bundle = match org.as_ref().and_then(|org| org.spec.ca_bundle_ref.as_ref()) {
        Some(bundle) => {
            let read =
                secret_value::ca_bundle(&prober.resolver.references, &namespace, bundle).await.map_err(|_| UNREAD)?;
            Some(read.map_err(|problem| problem.message)?)
        }
        None => None,
    };
    let ranges = prober.resolver.options.private_ranges(&namespace);
    prober.okta.caller(&namespace, bundle.as_deref(), &ranges).map_err(|error| format!("It cannot be called: {error}."))
}

/// Why a probe is not made while the API server does not answer.
pub const UNREAD: &str = "What the hook refers to cannot be read now.";

/// The request that Okta would make with this body.
///
/// # Errors
/// Why it cannot be made, for people.
pub fn request(endpoint: Endpoint, body: &Value) -> Result<Request, String> {
    let url = Url::parse(&endpoint.url).map_err(|_| "Its address is not a URL.")?;
    let named =
        |name: &str| HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name} is no header's name."));
    let mut headers = vec![
        (header::ACCEPT, Secret::from("application/json")),
        (header::CONTENT_TYPE, Secret::from("application/json")),
        (named(&endpoint.auth_header)?, endpoint.secret),
    ];
    for extra in endpoint.headers {
        headers.push((named(&extra.name)?, Secret::from(extra.value.as_str())));
    }
    Ok(Request { method: Method::POST, url, headers, body: Secret::new(body.to_string().into_bytes()) })
}

/// What is found when nothing came back.
pub fn unanswered(error: SendError, timeout: Duration) -> Finding {
    let (result, why) = match error {
        SendError::NotSent { cause: Unsent::Guard } => (
            CheckResult::Unknown,
            "Its public address resolves to a private address here. Allow it in network.allowedCIDRs, or set detection.publicURL.enabled to false.",
        ),
        SendError::NotSent { cause: Unsent::Proxy } => (
            CheckResult::Unknown,
            "The operator calls through a proxy, so a bare connection shows nothing. Declare target.url.probe, or set detection.publicURL.enabled to false.",
        ),
        SendError::NotSent { cause: Unsent::Dns } => (CheckResult::Fail, "Its host name does not resolve."),
        SendError::NotSent { cause: Unsent::Tls } => {
            (CheckResult::Fail, "Its certificate is not valid for it (expired, another name, or not trusted).")
        }
        SendError::NotSent { cause: Unsent::ConnectTimeout } | SendError::Unclear { cause: NoAnswer::Timeout } => {
            return Finding::new(
                CheckResult::Fail,
                format!("Its public address does not answer within {} ms.", timeout.as_millis()),
            );
        }
        // it answers, and nobody reads on to the end of a large page
        SendError::Unclear { cause: NoAnswer::TooLarge } => (
            CheckResult::Unknown,
            "Its answer is larger than a probe reads (256 KiB). Give target.url.probe a path with a small answer.",
        ),
        // no connection is kept for these calls, so none is full
        SendError::Full => (CheckResult::Unknown, "It was not asked."),
        SendError::NotSent { .. } => (CheckResult::Fail, "Its public address accepts no connection."),
        SendError::Unclear { .. } => (CheckResult::Fail, "Its public address does not answer with valid HTTP."),
    };
    Finding::new(result, why)
}
