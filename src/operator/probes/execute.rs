//! Okta's own call to its active hook, asked for by `execute`: the only proof of DNS, TLS and secret as Okta sees them.

use std::{sync::Arc, time::Duration};

use kube::ResourceExt as _;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    external_url,
    passcode::{self, Passcode},
    prober::{About, Prober},
};
use crate::operator::{outbound::okta::OrgApi, state::probes::Finding};
use hookswitch_api::{HookTarget, TelephonyHook};
use hookswitch_failover::{refusals::Oktas, signal::CheckResult};
use hookswitch_gateway_config::probe::{self, Answered};
use hookswitch_okta::{CallError, Failure, HookId, ObjectRef, client::CallResult, limits::Priority};

/// Okta gives the hook three seconds, and a second try.
const DEADLINE: Duration = Duration::from_secs(10);

/// Asks Okta to call a hook, which is the one named `stands` there. What it says of a hook that it does not use is not
/// documented.
pub async fn ask((prober, hook): About, stands: String, priority: Priority) -> Finding {
    let prepared = async {
        let (org, api, id) = prepare(&prober, &hook, &stands, priority).await?;
        Ok((org, api, id, Question::of(&prober, &hook, &stands).await?))
    };
    let (org, api, id, question) = match prepared.await {
        Ok(prepared) => prepared,
        Err::<_, &str>(why) => return Finding::new(CheckResult::Unknown, why),
    };
    let session = prober.memory.orgs.session(&org.namespace, &org.name);
    if session.state.lock().await.connection.must_wait(1, priority, Instant::now()).is_some() {
        return Finding::new(CheckResult::Unknown, super::prober::HELD_BACK);
    }
    let result = api.execute(&id, question.body(), DEADLINE).await;
    session.state.lock().await.connection.took(&result, Instant::now());
    super::prober::count(&prober, "execute", &result);
    judge(result, |answer| question.judge(answer))
}

/// What Okta is made to send.
enum Question {
    /// A probe, and the proof that only the hook's gateway can give.
    Probe(Value, String),
    /// A whole passcode, to a URL that somebody else serves.
    Passcode(Passcode),
}

impl Question {
    async fn of(prober: &Prober, hook: &TelephonyHook, stands: &str) -> Result<Self, &'static str> {
        if let HookTarget::Url(_) = hook.spec.target {
            return external_url::draw(prober, hook, stands).map(Self::Passcode).ok_or("No number was given for that.");
        }
        let key = super::prober::key(prober, hook).await?;
        let marker = super::prober::marker(&key, &hook.name_any());
        Ok(Self::Probe(probe::body(&marker), key.proof(&hook.name_any(), &marker)))
    }

    const fn body(&self) -> &Value {
        match self {
            Self::Probe(body, _) => body,
            Self::Passcode(passcode) => passcode.expose(),
        }
    }

    fn judge(&self, answer: &Value) -> Finding {
        let (result, why) = match self {
            Self::Passcode(_) => return external_url::judge_said(passcode::said(answer)),
            Self::Probe(_, proof) => match probe::who_answered(answer, proof) {
                Answered::ByGateway => (CheckResult::Pass, "Okta reaches the gateway."),
                Answered::ByHook => (CheckResult::Unknown, super::address::UNPROVEN),
                Answered::ByOther => (CheckResult::Fail, "Okta reaches something other than the hook's gateway."),
            },
        };
        Finding::new(result, why)
    }
}

/// Whose the calls are that the gateway refuses, by what Okta says of the one that it was asked to make, and how long its
/// answers have been bad. That was not refused where Okta got in, got no answer at all, or an answer of something else.
#[must_use]
pub fn whose_refusals(said: CheckResult, bad_for: Option<Duration>) -> Oktas {
    match (said, bad_for) {
        (CheckResult::Unknown, _) => Oktas::Perhaps,
        (CheckResult::Fail, Some(so_long)) => Oktas::Likely(so_long),
        (CheckResult::Pass | CheckResult::Fail, _) => Oktas::No,
    }
}

/// What Okta says by a code, of the hook: whether its answer is a bad one, and the reason for people.
fn of_hook(code: &str) -> Option<Finding> {
    let (is_answer_bad, why) = match code {
        "E0000134" => (false, "Okta cannot reach the hook: its name, certificate or network is at fault."),
        "E0000135" => (true, "Okta reaches the hook but gets no valid answer; the secret in Okta may be wrong."),
        "E0000137" => (false, "The hook does not answer Okta in time."),
        _ => return None,
    };
    Some(Finding { is_answer_bad, ..Finding::new(CheckResult::Fail, why) })
}

async fn prepare(
    prober: &Prober,
    hook: &TelephonyHook,
    stands: &str,
    priority: Priority,
) -> Result<(ObjectRef, Arc<dyn OrgApi>, HookId), &'static str> {
    let org = prober.memory.caches.org_of(hook).ok_or("It has no org.")?;
    let org = ObjectRef::new(org.namespace, org.name);
    let id = super::prober::id(prober, &org, stands).ok_or("Okta does not have it.")?;
    let api = super::prober::api(prober, &org, priority).await?;
    Ok((org, api, id))
}

fn judge(result: CallResult<Value>, of_answer: impl Fn(&Value) -> Finding) -> Finding {
    let failure = match result {
        Ok(answer) => return of_answer(&answer.value),
        Err(CallError { failure, .. }) => failure,
    };
    if let Some(finding) = failure.code().and_then(of_hook) {
        return finding;
    }
    let why = match failure {
        // how long changes with every evaluation
        Failure::RateLimited { .. } => super::prober::HELD_BACK.to_owned(),
        failure => format!("Okta could not be asked: {failure}."),
    };
    Finding::new(CheckResult::Unknown, why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hookswitch_okta::ApiAnswer;

    #[test]
    fn an_okta_that_cannot_be_asked_is_reported_with_what_to_do() {
        let forbidden = |code: &str| Failure::Forbidden { code: code.into(), summary: "no".into() };
        let refused = |status, code: &str| Failure::Refused {
            status,
            code: code.into(),
            summary: "no".into(),
            causes: Vec::new(),
        };
        for (failure, says) in [
            (forbidden("E0000006"), "okta.inlinehooks.manage"),
            (Failure::NotOkta { status: 403 }, "Security > Networks"),
            (forbidden("E0000247"), "Okta Support"),
            (refused(401, "E0000015"), "Okta Support"),
            (refused(400, "E0000001"), "change what Okta names"),
            (Failure::Unauthorized, "put a new one into the Secret"),
            (Failure::NotFound, "spec.url"),
            (Failure::Server { status: 503, code: None }, "status.okta.com"),
        ] {
            let error = CallError { doing: "execute a hook", failure, request_id: None, rate: None };
            let Finding { result, why, .. } = judge(Err(error), |_| unreachable!());
            assert_eq!(result, CheckResult::Unknown);
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn only_what_okta_says_of_the_hook_fails_it() {
        let ok = |id: &str| {
            let value = json!({"commands": [{"value": [{"status": "SUCCESSFUL", "transactionId": id}]}]});
            Ok(ApiAnswer { value, request_id: None, rate: None })
        };
        let failed = |failure| Err(CallError { doing: "execute a hook", failure, request_id: None, rate: None });
        let refused = |code: &str| {
            failed(Failure::Refused { status: 400, code: code.into(), summary: "no".into(), causes: Vec::new() })
        };
        let server = |code: Option<&str>| failed(Failure::Server { status: 502, code: code.map(Into::into) });
        let question = Question::Probe(json!({}), "proof".into());
        for (result, expected) in [
            (ok("proof"), CheckResult::Pass),
            (ok("other"), CheckResult::Unknown),
            (Ok(ApiAnswer { value: json!({}), request_id: None, rate: None }), CheckResult::Fail),
            (refused("E0000135"), CheckResult::Fail),
            (refused("E0000001"), CheckResult::Unknown),
            (server(Some("E0000134")), CheckResult::Fail),
            (server(Some("E0000137")), CheckResult::Fail),
            (server(Some("E0000009")), CheckResult::Unknown),
            (server(None), CheckResult::Unknown),
            (failed(Failure::Unclear { detail: "none".into() }), CheckResult::Unknown),
            (failed(Failure::Unauthorized), CheckResult::Unknown),
            (failed(Failure::Forbidden { code: "E0000006".into(), summary: "no".into() }), CheckResult::Unknown),
            (failed(Failure::Forbidden { code: "E0000135".into(), summary: "no".into() }), CheckResult::Fail),
            (failed(Failure::NotOkta { status: 403 }), CheckResult::Unknown),
            (failed(Failure::RateLimited { wait: DEADLINE, concurrency: false }), CheckResult::Unknown),
        ] {
            let shown = format!("{result:?}");
            assert_eq!(judge(result, |answer| question.judge(answer)).result, expected, "{shown}");
        }
    }
}
