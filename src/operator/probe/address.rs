//! A call to a hook's public address the way Okta makes it: its name, its certificate, its secret, and a body that only the
//! hook's own gateway knows for a probe.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, Method, header};
use kube::ResourceExt as _;
use tokio::time::Instant;
use url::Url;

use super::{
    super::{context::Context, hook, org::dial::HookCaller, secret_value, switch},
    About, Finding,
};
use crate::{
    api::TelephonyHook,
    config::probe::{self, Answered},
    failover::signal::Sight,
    message::Secret,
    net::{Answer, Request, SendError},
};

/// Calls a hook's address.
pub async fn ask((ctx, hook): About, timeout: Duration) -> Finding {
    let Prepared { caller, key, request, marker } = match prepare(&ctx, &hook).await {
        Ok(prepared) => prepared,
        Err(why) => return (Sight::Unknown, why),
    };
    let answer = caller.call(&request, Instant::now() + timeout).await;
    judge(&answer, &key.proof(&hook.name_any(), &marker), timeout)
}

struct Prepared {
    caller: Arc<dyn HookCaller>,
    key: probe::Key,
    request: Request,
    marker: String,
}

async fn prepare(ctx: &Context, hook: &TelephonyHook) -> Result<Prepared, String> {
    let namespace = hook.namespace().unwrap_or_default();
    let unread = |_| "What the hook refers to cannot be read now.".to_owned();
    let (_, endpoint) = hook::endpoint(hook, ctx).await.map_err(unread)?;
    let endpoint = endpoint.map_err(|problem| problem.message)?;
    let key = super::key(ctx, hook).await?;
    let org = switch::org_of(hook, ctx).and_then(|org| ctx.caches.orgs.get(&org.namespace, &org.name));
    let bundle = org.as_ref().and_then(|org| org.spec.ca_bundle_ref.as_ref());
    let bundle = match bundle {
        Some(bundle) => {
            let read = secret_value::ca_bundle(ctx, &namespace, bundle).await.map_err(unread)?;
            Some(read.map_err(|problem| problem.message)?)
        }
        None => None,
    };
    let caller = ctx.dial.caller(bundle.as_deref()).map_err(|error| format!("It cannot be called: {error}."))?;
    let marker = super::marker(&key, &hook.name_any());
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
    let body = Secret::new(probe::body(&marker).to_string().into_bytes());
    Ok(Prepared { caller, key, request: Request { method: Method::POST, url, headers, body }, marker })
}

/// Why an answer without a proof says nothing.
pub const UNPROVEN: &str = "A hook's service answers, and does not prove that it is this gateway: its replicas may be of another \
                            release, or its clock differs.";

fn judge(answer: &Result<Answer, SendError>, proof: &str, timeout: Duration) -> Finding {
    let (sight, why) = match answer {
        Ok(answer) if answer.status == 200 => {
            let said = serde_json::from_slice(&answer.body).unwrap_or_default();
            match probe::who_answered(&said, proof) {
                Answered::ByGateway => (Sight::Pass, "The gateway answers at its public address."),
                Answered::ByHook => (Sight::Unknown, UNPROVEN),
                Answered::ByOther => {
                    (Sight::Fail, "Something else than the hook's gateway answers at its public address.")
                }
            }
        }
        Ok(Answer { status: 401 | 403, .. }) => (Sight::Fail, "The hook's secret is not taken at its public address."),
        Ok(answer) => {
            return (Sight::Fail, format!("Its public address answers {}.", answer.status));
        }
        Err(SendError::NotSent { cause: "guard" }) => (
            Sight::Unknown,
            "Its public address is a private one for this operator: allow it in network.allowedCIDRs, or set detection.publicURL.enabled to false.",
        ),
        Err(SendError::NotSent { cause: "dns" }) => (Sight::Fail, "Its host name is not known."),
        Err(SendError::NotSent { cause: "tls" }) => {
            (Sight::Fail, "Its certificate is not valid for it (expired, another name, or not trusted).")
        }
        Err(SendError::NotSent { cause: "timeout-connect" } | SendError::Unclear { cause: "timeout" }) => {
            return (Sight::Fail, format!("Its public address does not answer within {} ms.", timeout.as_millis()));
        }
        Err(SendError::NotSent { .. }) => (Sight::Fail, "Its public address takes no connection."),
        Err(SendError::Unclear { .. }) => (Sight::Fail, "Its public address does not answer as a web server does."),
    };
    (sight, why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(status: u16, body: &str) -> Answer {
        Answer { status, headers: http::HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn only_the_gateways_own_answer_passes_and_what_the_guard_refuses_is_unknown() {
        let timeout = Duration::from_secs(3);
        let judged = |answer: Result<Answer, SendError>| judge(&answer, "proof", timeout).0;
        let said = json!({"commands": [{"value": [{"status": "SUCCESSFUL", "transactionId": "proof"}]}]}).to_string();
        assert_eq!(judged(Ok(answered(200, &said))), Sight::Pass);
        let unproven = said.replace("proof", "other");
        assert_eq!(judged(Ok(answered(200, &unproven))), Sight::Unknown, "another release, perhaps");
        for (status, body) in [(200, "{}"), (200, "<html>"), (301, ""), (401, &said), (404, ""), (503, "")] {
            assert_eq!(judged(Ok(answered(status, body))), Sight::Fail, "{status} {body}");
        }
        assert_eq!(judged(Err(SendError::NotSent { cause: "guard" })), Sight::Unknown);
        for cause in ["dns", "tls", "connect", "timeout-connect"] {
            assert_eq!(judged(Err(SendError::NotSent { cause })), Sight::Fail, "{cause}");
        }
        assert_eq!(judged(Err(SendError::Unclear { cause: "timeout" })), Sight::Fail);
    }
}
