//! A call to a hook's public address the way Okta makes it: its name, its certificate, its secret, and a body that only the
//! hook's own gateway knows for a probe.

use std::{sync::Arc, time::Duration};

use kube::ResourceExt as _;
use tokio::time::Instant;

use super::{
    call,
    prober::{About, Prober},
};
use crate::operator::{outbound::okta::HookCaller, resolve::endpoint, state::probes::Finding};
use hookswitch_api::TelephonyHook;
use hookswitch_failover::signal::CheckResult;
use hookswitch_gateway_config::probe::{self, Answered};
use hookswitch_net::{Answer, Request, SendError};

/// Calls a hook's address.
pub async fn ask((prober, hook): About, timeout: Duration) -> Finding {
    let Prepared { caller, key, request, marker } = match prepare(&prober, &hook).await {
        Ok(prepared) => prepared,
        Err(why) => return Finding::new(CheckResult::Unknown, why),
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

async fn prepare(prober: &Prober, hook: &TelephonyHook) -> Result<Prepared, String> {
    let (_, endpoint) = endpoint::endpoint(hook, &prober.resolver).await.map_err(|_| call::UNREAD)?;
    let endpoint = endpoint.map_err(|problem| problem.message)?;
    let key = super::prober::key(prober, hook).await?;
    let caller = call::caller(prober, hook).await?;
    let marker = super::prober::marker(&key, &hook.name_any());
    let request = call::request(endpoint, &probe::body(&marker))?;
    Ok(Prepared { caller, key, request, marker })
}

/// Why an answer without a proof says nothing.
pub const UNPROVEN: &str = "Something answers at the address without proving that it is this gateway: its replicas may be of \
                            another release, or its clock differs.";

fn judge(answer: &Result<Answer, SendError>, proof: &str, timeout: Duration) -> Finding {
    let (result, why) = match answer {
        Ok(answer) if answer.status == 200 => {
            let said = serde_json::from_slice(&answer.body).unwrap_or_default();
            match probe::who_answered(&said, proof) {
                Answered::ByGateway => (CheckResult::Pass, "The gateway answers at its public address."),
                Answered::ByHook => (CheckResult::Unknown, UNPROVEN),
                Answered::ByOther => {
                    (CheckResult::Fail, "Something other than the hook's gateway answers at its public address.")
                }
            }
        }
        Ok(Answer { status: 401 | 403, .. }) => {
            (CheckResult::Fail, "The hook's secret is refused at its public address.")
        }
        Ok(answer) => {
            return Finding::new(CheckResult::Fail, format!("Its public address answers {}.", answer.status));
        }
        Err(error) => return call::unanswered(*error, timeout),
    };
    Finding::new(result, why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hookswitch_net::{NoAnswer, Unsent};

    fn answered(status: u16, body: &str) -> Answer {
        Answer { status, headers: http::HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn only_the_gateways_own_answer_passes_and_what_the_guard_refuses_is_unknown() {
        let timeout = Duration::from_secs(3);
        let judged = |answer: Result<Answer, SendError>| judge(&answer, "proof", timeout).result;
        let said = json!({"commands": [{"value": [{"status": "SUCCESSFUL", "transactionId": "proof"}]}]}).to_string();
        assert_eq!(judged(Ok(answered(200, &said))), CheckResult::Pass);
        let unproven = said.replace("proof", "other");
        assert_eq!(judged(Ok(answered(200, &unproven))), CheckResult::Unknown, "another release, perhaps");
        for (status, body) in [(200, "{}"), (200, "<html>"), (301, ""), (401, &said), (404, ""), (503, "")] {
            assert_eq!(judged(Ok(answered(status, body))), CheckResult::Fail, "{status} {body}");
        }
        assert_eq!(judged(Err(SendError::NotSent { cause: Unsent::Guard })), CheckResult::Unknown);
        for cause in [Unsent::Dns, Unsent::Tls, Unsent::Connect, Unsent::ConnectTimeout] {
            assert_eq!(judged(Err(SendError::NotSent { cause })), CheckResult::Fail, "{cause}");
        }
        assert_eq!(judged(Err(SendError::Unclear { cause: NoAnswer::Timeout })), CheckResult::Fail);
    }
}
