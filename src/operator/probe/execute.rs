//! Okta's own call to its active hook, asked for by `execute`: the only proof of DNS, TLS and secret as Okta sees them.

use std::{sync::Arc, time::Duration};

use kube::ResourceExt as _;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    super::{context::Context, org::dial::OrgApi, switch},
    About, Finding, foreign,
    passcode::{self, Passcode},
};
use hookswitch_api::{HookTarget, TelephonyHook};
use hookswitch_failover::{
    refusals::Oktas,
    signal::{Sight, Signal},
};
use hookswitch_gateway_config::probe::{self, Answered};
use hookswitch_okta::{CallError, Failure, HookId, ObjectRef, client::CallResult, limits::Priority};

/// Okta gives the hook three seconds, and a second try.
const DEADLINE: Duration = Duration::from_secs(10);

/// Asks Okta to call a hook, which is the one named `stands` there. What it says of a hook that it does not use is not
/// documented.
pub async fn ask((ctx, hook): About, stands: String, priority: Priority) -> Finding {
    let prepared = async {
        let (org, api, id) = prepare(&ctx, &hook, &stands, priority).await?;
        Ok((org, api, id, Question::of(&ctx, &hook, &stands).await?))
    };
    let (org, api, id, question) = match prepared.await {
        Ok(prepared) => prepared,
        Err::<_, &str>(why) => return (Sight::Unknown, why.to_owned()),
    };
    let session = ctx.orgs.session(&org.namespace, &org.name);
    if session.state.lock().await.must_wait(1, priority, Instant::now()).is_some() {
        return (Sight::Unknown, super::HELD_BACK.to_owned());
    }
    let result = api.execute(&id, question.body(), DEADLINE).await;
    session.state.lock().await.took(&result, Instant::now());
    super::count(&ctx, "execute", &result);
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
    async fn of(ctx: &Context, hook: &TelephonyHook, stands: &str) -> Result<Self, &'static str> {
        if let HookTarget::Url(_) = hook.spec.target {
            return foreign::draw(ctx, hook, stands).map(Self::Passcode).ok_or("No number was given for that.");
        }
        let key = super::key(ctx, hook).await?;
        let marker = super::marker(&key, &hook.name_any());
        Ok(Self::Probe(probe::body(&marker), key.proof(&hook.name_any(), &marker)))
    }

    const fn body(&self) -> &Value {
        match self {
            Self::Probe(body, _) => body,
            Self::Passcode(passcode) => passcode.expose(),
        }
    }

    fn judge(&self, answer: &Value) -> Finding {
        let (sight, why) = match self {
            Self::Passcode(_) => return foreign::judge_said(passcode::said(answer)),
            Self::Probe(_, proof) => match probe::who_answered(answer, proof) {
                Answered::ByGateway => (Sight::Pass, "Okta reaches the gateway."),
                Answered::ByHook => (Sight::Unknown, super::address::UNPROVEN),
                Answered::ByOther => (Sight::Fail, "Okta reaches something else than the hook's gateway."),
            },
        };
        (sight, why.to_owned())
    }
}

const NO_GOOD_ANSWER: &str = "Okta reaches the hook and gets no good answer: its secret may be wrong.";

/// Whose the calls are that the gateway refuses, by what Okta has said for so long of the one that it was asked to make. That
/// was not refused where Okta got in, got no answer at all, or an answer of something else.
#[must_use]
pub fn whose_refusals(said: &Signal, so_long: Duration) -> Oktas {
    match said.sight {
        Sight::Unknown => Oktas::Perhaps,
        Sight::Fail if said.why == NO_GOOD_ANSWER => Oktas::Likely(so_long),
        Sight::Pass | Sight::Fail => Oktas::No,
    }
}

/// The codes by which Okta says that the hook is at fault, with what they say.
const OF_HOOK: [(&str, &str); 3] = [
    ("E0000134", "Okta cannot reach the hook: its name, certificate or network is at fault."),
    ("E0000135", NO_GOOD_ANSWER),
    ("E0000137", "Okta gets no answer from the hook in time."),
];

async fn prepare(
    ctx: &Context,
    hook: &TelephonyHook,
    stands: &str,
    priority: Priority,
) -> Result<(ObjectRef, Arc<dyn OrgApi>, HookId), &'static str> {
    let org = switch::org_of(hook, ctx).ok_or("It has no org.")?;
    let org = ObjectRef::new(org.namespace, org.name);
    let id = super::id(ctx, &org, stands).ok_or("Okta does not have it.")?;
    let api = super::api(ctx, &org, priority).await?;
    Ok((org, api, id))
}

fn judge(result: CallResult<Value>, of_answer: impl Fn(&Value) -> Finding) -> Finding {
    let failure = match result {
        Ok(answer) => return of_answer(&answer.value),
        Err(CallError { failure, .. }) => failure,
    };
    if let Some((_, why)) = OF_HOOK.iter().find(|(known, _)| Some(*known) == failure.code()) {
        return (Sight::Fail, (*why).to_owned());
    }
    let why = match failure {
        // how long changes with every look
        Failure::RateLimited { .. } => super::HELD_BACK.to_owned(),
        failure => format!("Okta could not be asked: {failure}."),
    };
    (Sight::Unknown, why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hookswitch_okta::Answer;

    #[test]
    fn an_okta_that_cannot_be_asked_is_told_with_what_to_do() {
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
            (Failure::Unauthorized, "put a new one in the Secret"),
            (Failure::NotFound, "spec.url"),
            (Failure::Server { status: 503, code: None }, "status.okta.com"),
        ] {
            let error = CallError { doing: "execute a hook", failure, request_id: None, rate: None };
            let (sight, why) = judge(Err(error), |_| unreachable!());
            assert_eq!(sight, Sight::Unknown);
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn only_what_okta_says_of_the_hook_fails_it() {
        let ok = |id: &str| {
            let value = json!({"commands": [{"value": [{"status": "SUCCESSFUL", "transactionId": id}]}]});
            Ok(Answer { value, request_id: None, rate: None })
        };
        let failed = |failure| Err(CallError { doing: "execute a hook", failure, request_id: None, rate: None });
        let refused = |code: &str| {
            failed(Failure::Refused { status: 400, code: code.into(), summary: "no".into(), causes: Vec::new() })
        };
        let server = |code: Option<&str>| failed(Failure::Server { status: 502, code: code.map(Into::into) });
        let question = Question::Probe(json!({}), "proof".into());
        for (result, expected) in [
            (ok("proof"), Sight::Pass),
            (ok("other"), Sight::Unknown),
            (Ok(Answer { value: json!({}), request_id: None, rate: None }), Sight::Fail),
            (refused("E0000135"), Sight::Fail),
            (refused("E0000001"), Sight::Unknown),
            (server(Some("E0000134")), Sight::Fail),
            (server(Some("E0000137")), Sight::Fail),
            (server(Some("E0000009")), Sight::Unknown),
            (server(None), Sight::Unknown),
            (failed(Failure::Unclear { detail: "none".into() }), Sight::Unknown),
            (failed(Failure::Unauthorized), Sight::Unknown),
            (failed(Failure::Forbidden { code: "E0000006".into(), summary: "no".into() }), Sight::Unknown),
            (failed(Failure::Forbidden { code: "E0000135".into(), summary: "no".into() }), Sight::Fail),
            (failed(Failure::NotOkta { status: 403 }), Sight::Unknown),
            (failed(Failure::RateLimited { wait: DEADLINE, concurrency: false }), Sight::Unknown),
        ] {
            let shown = format!("{result:?}");
            assert_eq!(judge(result, |answer| question.judge(answer)).0, expected, "{shown}");
        }
    }
}
