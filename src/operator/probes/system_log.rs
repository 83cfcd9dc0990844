//! What Okta's System Log says of the hook that it uses: passcodes that Okta sent by itself.
//!
//! The log is read on where Okta said that the page before ended. A process that begins reads the window that counts anew, so
//! nothing is missed and nothing has to be remembered.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::prober::{About, Prober};
use crate::operator::{
    model::org_access::allowance,
    outbound::okta::OrgApi,
    state::probes::{Finding, OrgLog, WINDOW},
};
use hookswitch_api::TelephonyHook;
use hookswitch_failover::{
    fallback::{Ours, PasscodeEvent, Threshold},
    signal::{CheckResult, Source},
};
use hookswitch_okta::{
    CallError, Failure, ObjectRef,
    error::Denied,
    limits::{MayCall, Priority},
    log,
};

/// Pages read at once; more come with the next read.
const MOST_PAGES: usize = 5;

/// Reads what is new, and judges the hook, which is the one named `stands` in Okta and has been active since then.
pub async fn ask(
    (prober, hook): About,
    stands: String,
    active: Option<Timestamp>,
    threshold: Threshold,
    priority: Priority,
) -> Finding {
    let Some(of) = prober.memory.caches.org_of(&hook) else {
        return Finding::new(CheckResult::Unknown, "It has no org.");
    };
    let key = ObjectRef::new(&of.namespace, &of.name);
    let api = match super::prober::api(&prober, &key, priority).await {
        Ok(api) => api,
        Err(why) => return Finding::new(CheckResult::Unknown, why),
    };
    let declared = prober.memory.caches.orgs.get(&key.namespace, &key.name);
    let log = prober.memory.probes.log(&key);
    let mut known = log.lock().await;
    known.rate.allow(declared.as_ref().map(|org| allowance(org)).unwrap_or_default());
    if known.rate.may_call(Instant::now().into_std(), 1, priority) != MayCall::Now {
        return Finding::new(CheckResult::Unknown, super::prober::HELD_BACK);
    }
    let begin = Timestamp::now() - WINDOW;
    let read = read_on(&*api, &mut known, begin).await;
    known.log.forget(begin.as_millisecond());
    super::prober::count(&prober, "log", &read);
    match read {
        Ok(fallbacks) => {
            if let Some(org) = declared {
                prober.metrics.fallbacks(org.spec.host(), fallbacks);
            }
            let since = [active, secret_since(&prober, &key, &ObjectRef::new(&key.namespace, stands))];
            let since =
                since.into_iter().flatten().filter(|since| *since < begin + WINDOW * 2).fold(begin, Timestamp::max);
            let ours = ours(&prober, &hook, Timestamp::now().duration_since(since).unsigned_abs());
            said(known.log.judge(since.as_millisecond(), ours, threshold))
        }
        Err(error) => failed(&error.failure),
    }
}

/// Since when Okta has had the secret of a hook of an org: what it did before that was with another.
fn secret_since(prober: &Prober, org: &ObjectRef, hook: &ObjectRef) -> Option<Timestamp> {
    let declared = prober.memory.caches.hooks.get(&hook.namespace, &hook.name);
    let applied = declared.and_then(|declared| declared.status.as_ref()?.secret_applied_at.clone());
    // which the status may be about to say
    let written = prober.memory.orgs.session(&org.namespace, &org.name).resyncs.written(hook);
    [applied, written].into_iter().flatten().filter_map(|at| at.parse().ok()).max()
}

/// Takes in the pages there are; how many new events are fallbacks.
async fn read_on(api: &dyn OrgApi, known: &mut OrgLog, begin: Timestamp) -> Result<u64, CallError> {
    let mut fallbacks = 0;
    for _ in 0..MOST_PAGES {
        let from = known.from.take().unwrap_or(log::From::Since(begin));
        let page = match api.log(&from).await {
            Ok(answer) => {
                known.rate.answered(Instant::now().into_std(), answer.rate, 1);
                answer.value
            }
            Err(error) => {
                known.rate.failed(Instant::now().into_std(), &error);
                // a cursor that Okta does not know any more is given up; what is read again counts once
                known.from =
                    Some(from).filter(|_| !matches!(error.failure, Failure::Refused { .. } | Failure::NotFound));
                return Err(error);
            }
        };
        for event in page.events {
            let kind = match event.kind {
                log::LogEventKind::Sent { fell_back } => PasscodeEvent::Sent { fell_back },
                log::LogEventKind::HookFailed => PasscodeEvent::HookFailed,
            };
            let new = known.log.take(&event.id, event.at.as_millisecond(), kind);
            fallbacks += u64::from(new && kind == PasscodeEvent::Sent { fell_back: true });
        }
        known.from = page.next.map(log::From::Next);
        if !page.full {
            break;
        }
    }
    Ok(fallbacks)
}

fn ours(prober: &Prober, hook: &TelephonyHook, within: Duration) -> Ours {
    let (namespace, name) = (hook.namespace().unwrap_or_default(), hook.name_any());
    let failed = |gateway| prober.memory.reports.failed(&namespace, gateway, &name, within);
    let answers = hook.spec.target.gateway().map_or(0, failed);
    let failures = prober.memory.probes.failures(&ObjectRef::new(namespace, name), Source::Execute, within);
    Ours { answers: usize::try_from(answers).unwrap_or(usize::MAX), probes: failures }
}

fn said(result: CheckResult) -> Finding {
    let why = match result {
        CheckResult::Pass => "Okta sends passcodes through the active hook.",
        CheckResult::Fail => {
            "Okta sends passcodes itself or gets no answer from the active hook. Those that the gateway answered FAILED do not count."
        }
        CheckResult::Unknown => "Okta has sent too few passcodes recently to judge.",
    };
    Finding::new(result, why)
}

fn failed(failure: &Failure) -> Finding {
    let why = match failure {
        Failure::Forbidden { code, .. } if Denied::by(code) == Denied::Permission => {
            "The API token's admin may not read the System Log: give it the Super Admin role, or a custom role with okta.logs.read."
                .to_owned()
        }
        // how long changes with every evaluation
        Failure::RateLimited { .. } => super::prober::HELD_BACK.to_owned(),
        failure => format!("The System Log could not be read: {failure}."),
    };
    Finding::new(CheckResult::Unknown, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_cannot_be_read_is_reported_with_what_to_do() {
        let forbidden = |code: &str| Failure::Forbidden { code: code.into(), summary: "no".into() };
        for (failure, says) in [
            (forbidden("E0000006"), "okta.logs.read"),
            (Failure::NotOkta { status: 403 }, "Security > Networks"),
            (Failure::Unauthorized, "put a new one into the Secret"),
            (Failure::Unclear { detail: "none within 2000 ms".into() }, "check the org's address"),
            (Failure::RateLimited { wait: WINDOW, concurrency: false }, "rate limit"),
        ] {
            let Finding { result, why, .. } = failed(&failure);
            assert_eq!(result, CheckResult::Unknown);
            assert!(why.contains(says), "{why}");
        }
    }
}
