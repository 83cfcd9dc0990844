//! A URL that somebody else serves: only what its owner allows is sent there. A connection, a GET that the owner described,
//! and whole passcodes for one number.

use std::time::Duration;

use http::Method;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::Instant;
use url::Url;

use super::{
    call,
    passcode::{self, Passcode, Said},
    prober::{About, Prober},
};
use crate::operator::{model::switch_settings::ADDRESS_TIMEOUT, resolve::endpoint, state::probes::Finding};
use hookswitch_api::{TelephonyHook, UrlProbe, UrlTarget};
use hookswitch_failover::signal::CheckResult;
use hookswitch_message::Secret;
use hookswitch_net::{Answer, NoAnswer, Request, SendError};
use hookswitch_okta::ObjectRef;

/// Connects to the URL's host, and makes the request that its owner described.
pub async fn reach((prober, hook): About, target: UrlTarget, timeout: Duration) -> Finding {
    let caller = match call::caller(&prober, &hook).await {
        Ok(caller) => caller,
        Err(why) => return Finding::new(CheckResult::Unknown, why),
    };
    let Some(url) = asked(&target) else { return Finding::new(CheckResult::Unknown, "Its address is not a URL.") };
    let deadline = Instant::now() + timeout;
    let Some(probe) = &target.probe else {
        return match caller.reach(&url, deadline).await {
            Ok(()) => Finding::new(CheckResult::Pass, "Its host takes connections, and its certificate is good."),
            Err(error) => call::unanswered(error, timeout),
        };
    };
    // nothing of the hook goes along
    let request = Request { method: Method::GET, url, headers: Vec::new(), body: Secret::new(Vec::new()) };
    judge_probe(&caller.call(&request, deadline).await, probe, timeout)
}

/// What is asked for: the address, or the path of the probe at its scheme, host and port.
fn asked(target: &UrlTarget) -> Option<Url> {
    let mut url = Url::parse(&target.address).ok()?;
    if let Some(probe) = &target.probe {
        let (path, query) =
            probe.path.split_once('?').map_or((probe.path.as_str(), None), |(path, query)| (path, Some(query)));
        url.set_path(path);
        url.set_query(query);
    }
    Some(url)
}

fn judge_probe(answer: &Result<Answer, SendError>, probe: &UrlProbe, timeout: Duration) -> Finding {
    match answer {
        Ok(answer) if probe.expects(answer.status) => {
            Finding::new(CheckResult::Pass, format!("Its probe answers {}.", answer.status))
        }
        Ok(answer) => Finding::new(
            CheckResult::Fail,
            format!("Its probe answers {}, which is not an expected status.", answer.status),
        ),
        Err(error) => call::unanswered(*error, timeout),
    }
}

/// Sends a whole passcode to the number that was given for that. The hook in Okta is the one named `stands` there.
pub async fn test((prober, hook): About, stands: String) -> Finding {
    let prepared = async {
        let passcode = draw(&prober, &hook, &stands).ok_or("No number was given for that.")?;
        let (_, endpoint) = endpoint::endpoint(&hook, &prober.resolver).await.map_err(|_| call::UNREAD)?;
        let request = call::request(endpoint.map_err(|problem| problem.message)?, passcode.expose())?;
        Ok::<_, String>((call::caller(&prober, &hook).await?, request))
    };
    match prepared.await {
        Ok((caller, request)) => judge_test(&caller.call(&request, Instant::now() + ADDRESS_TIMEOUT).await),
        Err(why) => Finding::new(CheckResult::Unknown, why),
    }
}

/// A passcode that may be sent to a hook, as if its org sent it; nothing where none may.
pub fn draw(prober: &Prober, hook: &TelephonyHook, stands: &str) -> Option<Passcode> {
    let test = hook.spec.target.test()?;
    let org = prober.memory.caches.org_of(hook).map(|org| ObjectRef::new(org.namespace, org.name));
    let id = org.as_ref().and_then(|org| super::prober::id(prober, org, stands));
    let id = id.map_or_else(|| hook.name_any(), |id| id.as_str().to_owned());
    let org = org.and_then(|org| prober.memory.caches.orgs.get(&org.namespace, &org.name));
    let host = org.map_or_else(|| "hookswitch.invalid".to_owned(), |org| org.spec.host().to_owned());
    let source = format!("https://{host}/api/v1/inlineHooks/{id}");
    Some(Passcode::new(&test.phone_number, test.channel(), &source, Timestamp::now(), rand::random()))
}

fn judge_test(answer: &Result<Answer, SendError>) -> Finding {
    match answer {
        Ok(answer) if answer.status == 200 => judge_said(passcode::said_in(&answer.body)),
        Ok(Answer { status: 401 | 403, .. }) => {
            Finding::new(CheckResult::Fail, "The hook's secret is refused at its URL.")
        }
        Ok(answer) => {
            Finding::new(CheckResult::Fail, format!("A passcode for the test number is answered {}.", answer.status))
        }
        // `PublicURL` sees the same network, and one cause is not two corroborating signals
        Err(SendError::NotSent { .. } | SendError::Full) => Finding::new(
            CheckResult::Unknown,
            "No passcode could be sent: the operator gets no connection to its host.",
        ),
        Err(SendError::Unclear { cause: NoAnswer::Timeout }) => Finding::new(
            CheckResult::Fail,
            format!("A passcode for the test number is not answered within {} ms.", ADDRESS_TIMEOUT.as_millis()),
        ),
        Err(SendError::Unclear { cause: NoAnswer::TooLarge }) => Finding::new(
            CheckResult::Fail,
            "A passcode for the test number is answered with 256 KiB or more, which Okta does not read.",
        ),
        Err(SendError::Unclear { .. }) => {
            Finding::new(CheckResult::Fail, "A passcode for the test number is not answered with valid HTTP.")
        }
    }
}

/// What the answer to a passcode says of a hook, whoever sent it.
pub fn judge_said(said: Said) -> Finding {
    let (result, why) = match said {
        Said::Taken => (CheckResult::Pass, "A passcode for the test number is accepted."),
        Said::NotTaken => (CheckResult::Fail, "A passcode for the test number is answered FAILED."),
        Said::Nothing => {
            (CheckResult::Fail, "The answer to a passcode for the test number has a form that Okta does not accept.")
        }
    };
    Finding::new(result, why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hookswitch_net::Unsent;

    const TIMEOUT: Duration = Duration::from_secs(3);

    fn answered(status: u16, body: &str) -> Answer {
        Answer { status, headers: http::HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    fn target(target: serde_json::Value) -> UrlTarget {
        serde_json::from_value(target).unwrap()
    }

    #[test]
    fn a_probe_stays_at_the_scheme_host_and_port_of_the_address_whatever_its_path() {
        let asked = |path: &str| {
            let target =
                target(json!({"address": "https://otp.partner.example:8443/okta?tenant=1", "probe": {"path": path}}));
            asked(&target).unwrap().to_string()
        };
        for (path, expected) in [
            ("/", "https://otp.partner.example:8443/"),
            ("/health?deep=1", "https://otp.partner.example:8443/health?deep=1"),
            ("//evil.example/x", "https://otp.partner.example:8443//evil.example/x"),
            ("/\\evil.example", "https://otp.partner.example:8443//evil.example"),
            ("/../..", "https://otp.partner.example:8443/"),
        ] {
            assert_eq!(asked(path), expected, "{path}");
        }
        let without = target(json!({"address": "https://otp.partner.example/okta"}));
        assert_eq!(super::asked(&without).unwrap().as_str(), "https://otp.partner.example/okta");
    }

    #[test]
    fn a_probe_passes_by_the_status_that_its_owner_named_and_by_no_other() {
        let probe = |expected: &[u16]| UrlProbe { path: "/".into(), expected_status: expected.to_vec() };
        for (answer, expected, result) in [
            (Ok(answered(200, "any")), &[][..], CheckResult::Pass),
            (Ok(answered(204, "")), &[], CheckResult::Fail),
            (Ok(answered(401, "")), &[200, 401], CheckResult::Pass),
            (Ok(answered(301, "")), &[200, 401], CheckResult::Fail),
            (Err(SendError::NotSent { cause: Unsent::Tls }), &[], CheckResult::Fail),
            (Err(SendError::NotSent { cause: Unsent::Guard }), &[], CheckResult::Unknown),
            (Err(SendError::NotSent { cause: Unsent::Proxy }), &[], CheckResult::Unknown),
            (Err(SendError::Unclear { cause: NoAnswer::Timeout }), &[], CheckResult::Fail),
            (Err(SendError::Unclear { cause: NoAnswer::TooLarge }), &[], CheckResult::Unknown),
        ] {
            assert_eq!(judge_probe(&answer, &probe(expected), TIMEOUT).result, result, "{answer:?}");
        }
    }

    #[test]
    fn a_test_passes_by_oktas_shape_and_what_could_not_be_sent_says_nothing() {
        let said = |status: &str| {
            json!({"commands": [{"type": "com.okta.telephony.action", "value": [{"status": status}]}]}).to_string()
        };
        for (answer, result) in [
            (Ok(answered(200, &said("SUCCESSFUL"))), CheckResult::Pass),
            (Ok(answered(200, &said("PENDING"))), CheckResult::Pass),
            (Ok(answered(200, &said("FAILED"))), CheckResult::Fail),
            (Ok(answered(200, &said("SUCCESSFUL").replacen('{', r#"{"error":null,"#, 1))), CheckResult::Pass),
            (Ok(answered(200, &format!("\u{feff}{}", said("SUCCESSFUL")))), CheckResult::Pass),
            (Ok(answered(200, "{}")), CheckResult::Fail),
            (Err(SendError::Unclear { cause: NoAnswer::TooLarge }), CheckResult::Fail),
            (Ok(answered(200, "<html>")), CheckResult::Fail),
            (Ok(answered(202, &said("SUCCESSFUL"))), CheckResult::Fail),
            (Ok(answered(401, "")), CheckResult::Fail),
            (Ok(answered(503, "")), CheckResult::Fail),
            (Err(SendError::Unclear { cause: NoAnswer::Timeout }), CheckResult::Fail),
            (Err(SendError::Unclear { cause: NoAnswer::Reset }), CheckResult::Fail),
            (Err(SendError::NotSent { cause: Unsent::Dns }), CheckResult::Unknown),
            (Err(SendError::NotSent { cause: Unsent::Tls }), CheckResult::Unknown),
            (Err(SendError::NotSent { cause: Unsent::Guard }), CheckResult::Unknown),
        ] {
            assert_eq!(judge_test(&answer).result, result, "{answer:?}");
        }
    }
}
