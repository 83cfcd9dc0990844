//! Reading an answer of the management API: its headers, its failures, its pages.

use std::time::Duration;

use http::StatusCode;
use http::header::{DATE, HeaderMap, LINK, RETRY_AFTER};
use jiff::Timestamp;
use url::Url;

use crate::error::{self, CallError, FEATURE_NOT_ENABLED, Failure, INVALID_SESSION};
use crate::text::without_secrets;
use crate::types::{ApiAnswer, RateLimit, RequestId};
use crate::wire;

/// Pause after a 429 that does not say how long.
const UNTOLD_WAIT: Duration = Duration::from_mins(1);

/// Longest time to a reset that is believed; Okta's windows are a minute.
const LONGEST_RESET: Duration = Duration::from_hours(1);

/// A 2xx, read whole.
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) rate: Option<RateLimit>,
}

impl Received {
    /// Decodes the body; a body that is not what was asked for leaves the outcome unclear.
    pub(crate) fn read<T>(
        self,
        doing: &'static str,
        decode: impl FnOnce(&[u8]) -> Result<T, &'static str>,
    ) -> Result<ApiAnswer<T>, CallError> {
        let Self { body, request_id, rate, .. } = self;
        match decode(&body) {
            Ok(value) => Ok(ApiAnswer { value, request_id, rate }),
            Err(detail) => {
                Err(CallError { doing, failure: Failure::Unclear { detail: detail.into() }, request_id, rate })
            }
        }
    }
}

pub(crate) fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    RequestId::new(headers.get("x-okta-request-id")?.to_str().ok()?)
}

/// The rate-limit headers; `None` where one is missing or makes no sense.
pub(crate) fn rate_limit(headers: &HeaderMap) -> Option<RateLimit> {
    Some(RateLimit {
        limit: u32::try_from(number(headers, "x-rate-limit-limit")?).ok()?,
        remaining: u32::try_from(number(headers, "x-rate-limit-remaining")?).ok()?,
        resets_in: resets_in(headers)?,
    })
}

/// Time to the reset. It is an instant of Okta's clock, so it is measured against the answer's own `Date` where there is one:
/// our clock may be wrong. One that is long over or further away than any window is not believed.
fn resets_in(headers: &HeaderMap) -> Option<Duration> {
    let reset = number(headers, "x-rate-limit-reset")?;
    let now = answered_at(headers).unwrap_or_else(|| Timestamp::now().as_second());
    let ahead = reset.saturating_sub(now);
    let longest = i64::try_from(LONGEST_RESET.as_secs()).ok()?;
    (-60..=longest).contains(&ahead).then(|| Duration::from_secs(u64::try_from(ahead).unwrap_or(0)))
}

/// How long a 429 says to stay away: by Okta's header, else by that of whoever stands before it.
fn wait(headers: &HeaderMap) -> Duration {
    let retry_after = || {
        let seconds = number(headers, RETRY_AFTER.as_str()).and_then(|seconds| u64::try_from(seconds).ok());
        seconds.map(Duration::from_secs).filter(|wait| *wait <= LONGEST_RESET)
    };
    resets_in(headers).or_else(retry_after).map_or(UNTOLD_WAIT, |wait| wait.max(Duration::from_secs(1)))
}

/// Whether a 429 is for too many calls at once: then limit and what is left of it are both 0.
fn is_for_concurrency(headers: &HeaderMap) -> bool {
    ["x-rate-limit-limit", "x-rate-limit-remaining"].iter().all(|name| number(headers, name) == Some(0))
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn answered_at(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok().map(Timestamp::as_second)
}

/// The next page's address: the first `Link` whose relation is `next`.
pub(crate) fn next_page(headers: &HeaderMap, here: &Url) -> Option<Url> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|value| {
        // A URL may hold commas, so links are found by their brackets.
        value.split('<').skip(1).find_map(|link| {
            let (target, rest) = link.split_once('>')?;
            let parameters = rest.split(',').next().unwrap_or_default();
            let next = parameters.split(';').filter_map(|p| p.split_once('=')).any(|(key, value)| {
                let value = value.trim().trim_matches('"');
                key.trim().eq_ignore_ascii_case("rel")
                    && value.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
            });
            if next { here.join(target).ok() } else { None }
        })
    })
}

/// A failure whose status came but whose body did not come whole: who sent it is unknown.
pub(crate) fn unfinished(status: StatusCode, headers: &HeaderMap, detail: &str) -> Failure {
    if status.is_success() {
        Failure::Unclear { detail: detail.to_owned() }
    } else {
        failure(status, headers, &[], &[])
    }
}

/// Sorts an answer that is not 2xx. `hidden` is blanked out of whatever text is kept.
pub(crate) fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8], hidden: &[&str]) -> Failure {
    let said = wire::read_error(body);
    let clean = |text: &str, max| without_secrets(text, hidden, max);
    let summary = said.summary.as_deref().map(|text| clean(text, 300)).filter(|text| !text.is_empty());
    let summary: Box<str> = summary.map_or_else(|| "no reason given".into(), Into::into);
    let code: Option<Box<str>> =
        said.code.as_deref().map(|code| clean(code, 32)).filter(|code| error::is_oktas(code)).map(Into::into);
    match (status.as_u16(), code) {
        (429, Some(_)) => Failure::RateLimited { wait: wait(headers), concurrency: is_for_concurrency(headers) },
        // whoever limits the rate before Okta keeps a failover waiting no longer than Okta would
        (429, None) => {
            Failure::RateLimited { wait: wait(headers).min(UNTOLD_WAIT), concurrency: is_for_concurrency(headers) }
        }
        (status @ 500..=599, code) => Failure::Server { status, code },
        // a refusal is Okta's only in Okta's own words
        (status @ 300..=499, None) => Failure::NotOkta { status },
        // the token's own end has one code with 401 and one with 403, and 401 has one that is not about the token
        (401, Some(code)) if *code == *FEATURE_NOT_ENABLED => {
            Failure::Refused { status: 401, code, summary, causes: causes(&said.causes, hidden) }
        }
        (401, Some(_)) => Failure::Unauthorized,
        (403, Some(code)) if *code == *INVALID_SESSION => Failure::Unauthorized,
        (403, Some(code)) => Failure::Forbidden { code, summary },
        (404, Some(_)) => Failure::NotFound,
        (status @ 300..=499, Some(code)) => {
            Failure::Refused { status, code, summary, causes: causes(&said.causes, hidden) }
        }
        (other, _) => Failure::Unclear { detail: format!("status {other}") },
    }
}

fn causes(causes: &[String], hidden: &[&str]) -> Vec<String> {
    causes.iter().take(5).map(|cause| without_secrets(cause, hidden, 200)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_reset_is_measured_by_oktas_own_clock() {
        let rate = rate_limit(&headers(&[
            ("x-rate-limit-limit", "600"),
            ("x-rate-limit-remaining", "7"),
            ("x-rate-limit-reset", "1000000042"),
            ("date", "Sun, 09 Sep 2001 01:46:40 GMT"),
        ]));
        assert_eq!(rate, Some(RateLimit { limit: 600, remaining: 7, resets_in: Duration::from_secs(42) }));
    }

    #[test]
    fn rate_limit_headers_that_make_no_sense_are_no_knowledge() {
        for reset in ["", "soon", "-"] {
            let mut map = headers(&[("x-rate-limit-limit", "600"), ("x-rate-limit-remaining", "7")]);
            map.insert("x-rate-limit-reset", HeaderValue::from_static(reset));
            assert_eq!(rate_limit(&map), None);
        }
        let far = headers(&[
            ("x-rate-limit-limit", "1"),
            ("x-rate-limit-remaining", "1"),
            ("x-rate-limit-reset", "9223372036854775807"),
        ]);
        assert_eq!(rate_limit(&far), None, "nobody stays away for that long on the word of one header");
    }

    #[test]
    fn the_next_page_is_found_among_several_links() {
        let here = Url::parse("https://acme.okta.com/api/v1/inlineHooks").unwrap();
        let one = headers(&[("link", "<https://acme.okta.com/a?x=1,2>; rel=\"self\", </b?after=3>; rel=\"next\"")]);
        assert_eq!(next_page(&one, &here).unwrap().as_str(), "https://acme.okta.com/b?after=3");
        assert_eq!(next_page(&headers(&[("link", "<https://x/>; rel=\"prev\"")]), &here), None);
        assert_eq!(next_page(&headers(&[("link", "garbage")]), &here), None);
    }
}
