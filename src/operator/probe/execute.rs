//! Okta's own call to its active hook, asked for by `execute`: the only proof of DNS, TLS and secret as Okta sees them.

use std::{sync::Arc, time::Duration};

use kube::ResourceExt as _;
use tokio::time::Instant;

use super::{super::context::Context, Finding};
use crate::{
    api::TelephonyHook,
    config::probe,
    failover::signal::Sight,
    okta::{CallError, Failure, HookId, ObjectRef, client::CallResult},
};

use super::super::{gateway, org::dial::OrgApi, switch};

/// Okta gives the hook three seconds, and a second try.
const DEADLINE: Duration = Duration::from_secs(10);

/// Calls of the rate limit that are left to the planner.
const RESERVE: u32 = 10;

/// Asks Okta to call a hook, which is the one named `stands` there. What it says of a hook that it does not use is not
/// documented.
pub async fn ask(ctx: &Context, hook: &TelephonyHook, stands: &str) -> Finding {
    let (org, api, id, key) = match prepare(ctx, hook, stands).await {
        Ok(prepared) => prepared,
        Err(why) => return (Sight::Unknown, why.to_owned()),
    };
    let marker = super::marker(&key, &hook.name_any());
    let result = api.execute(&id, &probe::body(&marker), DEADLINE).await;
    let namespace = hook.namespace().unwrap_or_default();
    ctx.orgs.session(&namespace, &org).state.lock().await.took(&result, Instant::now());
    judge(result, &key.proof(&hook.name_any(), &marker))
}

type Prepared = (String, Arc<dyn OrgApi>, HookId, probe::Key);

async fn prepare(ctx: &Context, hook: &TelephonyHook, stands: &str) -> Result<Prepared, &'static str> {
    let namespace = hook.namespace().unwrap_or_default();
    let org = switch::org_of(hook, ctx).ok_or("It has no org.")?.name;
    let view = ctx.orgs.view(&namespace, &org);
    let view = view.hooks.get(&ObjectRef::new(&namespace, stands));
    let id = view.and_then(|view| view.verdict.hook.clone()).ok_or("Okta does not have it.")?;
    let gateway = ctx.caches.gateways.get(&namespace, &hook.spec.target.gateway_ref.name);
    let key = match &gateway {
        Some(gateway) => gateway::probe_key(gateway, ctx).await.ok().flatten(),
        None => None,
    };
    let key = key.ok_or("Its gateway has no credentials yet.")?;
    let session = ctx.orgs.session(&namespace, &org);
    let (api, busy) = {
        let state = session.state.lock().await;
        let now = Instant::now();
        (state.api.clone(), state.must_wait(1, RESERVE, now).is_some() || state.still_in_trouble(now).is_some())
    };
    if busy {
        return Err("Okta's management API is in trouble, or its rate limit is kept for what is more urgent.");
    }
    Ok((org, api.ok_or("The org was not reached yet.")?, id, key))
}

fn judge(result: CallResult<serde_json::Value>, proof: &str) -> Finding {
    let failure = match result {
        Ok(answer) if probe::is_answered(&answer.value, proof) => {
            return (Sight::Pass, "Okta reaches the gateway.".to_owned());
        }
        Ok(_) => return (Sight::Fail, "Okta reaches something else than the hook's gateway.".to_owned()),
        Err(CallError { failure, .. }) => failure,
    };
    match failure {
        Failure::Refused { status: 400, summary, causes, .. } => {
            let causes = causes.join(" ");
            (Sight::Fail, format!("Okta cannot use the hook: {summary} {causes}").trim_end().to_owned())
        }
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
            let value = json!({"commands": [{"value": [{"transactionId": id}]}]});
            Ok(Answer { value, request_id: None, rate: None })
        };
        let failed = |failure| Err(CallError { doing: "execute a hook", failure, request_id: None, rate: None });
        let refused =
            |status| failed(Failure::Refused { status, code: None, summary: "no".into(), causes: vec!["tls".into()] });
        for (result, expected) in [
            (ok("proof"), Sight::Pass),
            (ok("other"), Sight::Fail),
            (refused(400), Sight::Fail),
            (refused(409), Sight::Unknown),
            (failed(Failure::Server { status: 500 }), Sight::Unknown),
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
