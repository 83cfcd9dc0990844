//! Okta's own call to its active hook, asked for by `execute`: the only proof of DNS, TLS and secret as Okta sees them.

use std::{sync::Arc, time::Duration};

use kube::ResourceExt as _;
use tokio::time::Instant;

use super::{
    super::{context::Context, org::dial::OrgApi, switch},
    About, Finding,
};
use crate::{
    api::TelephonyHook,
    config::probe::{self, Answered},
    failover::signal::Sight,
    okta::{CallError, Failure, HookId, ObjectRef, client::CallResult, limits::Priority},
};

/// Okta gives the hook three seconds, and a second try.
const DEADLINE: Duration = Duration::from_secs(10);

/// Asks Okta to call a hook, which is the one named `stands` there. What it says of a hook that it does not use is not
/// documented.
pub async fn ask((ctx, hook): About, stands: String, priority: Priority) -> Finding {
    let (org, api, id, key) = match prepare(&ctx, &hook, &stands, priority).await {
        Ok(prepared) => prepared,
        Err(why) => return (Sight::Unknown, why.to_owned()),
    };
    let session = ctx.orgs.session(&org.namespace, &org.name);
    if session.state.lock().await.must_wait(1, priority, Instant::now()).is_some() {
        return (Sight::Unknown, super::HELD_BACK.to_owned());
    }
    let marker = super::marker(&key, &hook.name_any());
    let result = api.execute(&id, &probe::body(&marker), DEADLINE).await;
    session.state.lock().await.took(&result, Instant::now());
    super::count(&ctx, "execute", &result);
    judge(result, &key.proof(&hook.name_any(), &marker))
}

/// The codes by which Okta says that the hook is at fault, with what they say.
const OF_HOOK: [(&str, &str); 3] = [
    ("E0000134", "Okta cannot reach the hook: its name, certificate or network is at fault."),
    ("E0000135", "Okta reaches the hook and gets no good answer: its secret may be wrong."),
    ("E0000137", "Okta gets no answer from the hook in time."),
];

type Prepared = (ObjectRef, Arc<dyn OrgApi>, HookId, probe::Key);

async fn prepare(
    ctx: &Context,
    hook: &TelephonyHook,
    stands: &str,
    priority: Priority,
) -> Result<Prepared, &'static str> {
    let namespace = hook.namespace().unwrap_or_default();
    let org = switch::org_of(hook, ctx).ok_or("It has no org.")?.name;
    let view = ctx.orgs.view(&namespace, &org);
    let view = view.hooks.get(&ObjectRef::new(&namespace, stands));
    let id = view.and_then(|view| view.verdict.hook.clone()).ok_or("Okta does not have it.")?;
    let key = super::key(ctx, hook).await?;
    let org = ObjectRef::new(namespace, org);
    let api = super::api(ctx, &org, priority).await?;
    Ok((org, api, id, key))
}

fn judge(result: CallResult<serde_json::Value>, proof: &str) -> Finding {
    let failure = match result {
        Ok(answer) => {
            let (sight, why) = match probe::who_answered(&answer.value, proof) {
                Answered::ByGateway => (Sight::Pass, "Okta reaches the gateway."),
                Answered::ByHook => (Sight::Unknown, super::address::UNPROVEN),
                Answered::ByOther => (Sight::Fail, "Okta reaches something else than the hook's gateway."),
            };
            return (sight, why.to_owned());
        }
        Err(CallError { failure, .. }) => failure,
    };
    let code = match &failure {
        Failure::Refused { code, .. } | Failure::Server { code, .. } => code.as_deref(),
        _ => None,
    };
    if let Some((_, why)) = OF_HOOK.iter().find(|(known, _)| Some(*known) == code) {
        return (Sight::Fail, (*why).to_owned());
    }
    match failure {
        Failure::Forbidden { .. } => (Sight::Unknown, "The API token's admin may not execute inline hooks.".to_owned()),
        Failure::NotFound => (Sight::Unknown, "Okta does not have it.".to_owned()),
        _ => (Sight::Unknown, "Okta could not be asked: its management API does not answer as it should.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::okta::Answer;

    #[test]
    fn only_what_okta_says_of_the_hook_fails_it() {
        let ok = |id: &str| {
            let value = json!({"commands": [{"value": [{"status": "SUCCESSFUL", "transactionId": id}]}]});
            Ok(Answer { value, request_id: None, rate: None })
        };
        let failed = |failure| Err(CallError { doing: "execute a hook", failure, request_id: None, rate: None });
        let refused = |code: &str| {
            failed(Failure::Refused { status: 400, code: Some(code.into()), summary: "no".into(), causes: Vec::new() })
        };
        let server = |code: Option<&str>| failed(Failure::Server { status: 502, code: code.map(Into::into) });
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
            (failed(Failure::Forbidden { summary: "no".into() }), Sight::Unknown),
            (failed(Failure::RateLimited { wait: DEADLINE, concurrency: false }), Sight::Unknown),
        ] {
            let shown = format!("{result:?}");
            assert_eq!(judge(result, "proof").0, expected, "{shown}");
        }
    }
}
