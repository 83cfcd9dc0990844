//! The System Log: bounded, in order of arrival, read by time, filter and opaque cursor.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::behaviour::{Behaviour, Spelling};
use super::errors::OktaError;
use super::filter::Filter;
use crate::clock::{okta_time, random_id, random_uuid};

/// Events kept.
const CAPACITY: usize = 10_000;
/// `limit`: its default and its most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;
/// The longest that an event stays invisible.
const LONGEST_DELAY_MS: u64 = 600_000;

/// An event about to be written.
pub(super) struct Entry {
    pub(super) kind: String,
    pub(super) message: &'static str,
    /// `SUCCESS`, `FAILURE`, `DENY`.
    pub(super) result: &'static str,
    pub(super) reason: Option<String>,
    /// Snake-case keys of `debugData`, spelled on the way out as the org is told to.
    pub(super) debug: Vec<(&'static str, Value)>,
    /// Type, id and name of what it is about.
    pub(super) target: Option<(&'static str, String, String)>,
    pub(super) request_id: String,
}

struct Written {
    number: u64,
    times: Times,
    event: Value,
}

/// When an event happened, and when the log had it.
#[derive(Clone, Copy)]
struct Times {
    published: Timestamp,
    persisted: Timestamp,
}

/// An event that happened and does not show yet.
struct Coming {
    due: Instant,
    times: Times,
    event: Value,
}

#[derive(Default)]
struct Events {
    /// Number of the event that shows next: cursors are of the order in which events show.
    next: u64,
    kept: VecDeque<Written>,
    /// In the order in which they happened.
    coming: Vec<Coming>,
    /// How many happened.
    happened: u64,
}

impl Events {
    /// Lets everything show that is due, the one that is due longest first.
    fn settle(&mut self, now: Instant) {
        if self.coming.iter().all(|coming| coming.due > now) {
            return;
        }
        let (mut due, rest): (Vec<_>, Vec<_>) = self.coming.drain(..).partition(|coming| coming.due <= now);
        self.coming = rest;
        due.sort_by_key(|coming| coming.due);
        for Coming { times, event, .. } in due {
            if self.kept.len() == CAPACITY {
                self.kept.pop_front();
            }
            self.kept.push_back(Written { number: self.next, times, event });
            self.next += 1;
        }
    }
}

/// The log of one org.
#[derive(Default)]
pub(super) struct SystemLog {
    events: Mutex<Events>,
}

/// One page, and where the next one starts.
pub(super) struct Page {
    pub(super) events: Vec<Value>,
    pub(super) next: Option<String>,
}

/// A query, read strictly.
#[derive(Default)]
pub(super) struct Query {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    after: Option<u64>,
    filter: Option<Filter>,
    words: Vec<String>,
    limit: Option<usize>,
    descending: bool,
}

impl Query {
    /// Reads a query's pairs; each is known and given once.
    pub(super) fn read(pairs: &[(String, String)]) -> Result<Self, OktaError> {
        let mut query = Self::default();
        for (at, (key, value)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(before, _)| before == key) {
                return Err(OktaError::validation(key, "must not repeat"));
            }
            let time = || {
                value.parse::<Timestamp>().map(Some).map_err(|_| OktaError::validation(key, "must be an ISO 8601 time"))
            };
            match key.as_str() {
                "since" => query.since = time()?,
                "until" => query.until = time()?,
                "after" => {
                    let number = cursor(value).ok_or_else(|| OktaError::validation("after", "is not a cursor"))?;
                    query.after = Some(number);
                }
                "filter" => {
                    query.filter = Some(Filter::read(value).map_err(OktaError::search)?);
                }
                "q" => {
                    query.words = value.split_whitespace().map(str::to_lowercase).collect();
                    if query.words.len() > 10 {
                        return Err(OktaError::validation("q", "has more than ten words"));
                    }
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|n| *n <= MAX_LIMIT);
                    query.limit =
                        Some(limit.ok_or_else(|| OktaError::validation("limit", "must be between 0 and 1000"))?);
                }
                "sortOrder" => {
                    query.descending = match value.as_str() {
                        "ASCENDING" => false,
                        "DESCENDING" => true,
                        _ => {
                            return Err(OktaError::validation("sortOrder", "must be ASCENDING or DESCENDING"));
                        }
                    };
                }
                other => return Err(OktaError::validation(other, "is not a known parameter")),
            }
        }
        Ok(query)
    }

    /// Whether it follows what is new: in the order of arrival, and without an end.
    fn polls(&self) -> bool {
        !self.descending && self.until.is_none()
    }

    fn takes(&self, written: &Written) -> bool {
        // Okta looks at when it had an event where a client follows the log, so that what came late is not passed over
        let at = if self.polls() { written.times.persisted } else { written.times.published };
        self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && self.filter.as_ref().is_none_or(|filter| filter.passes(&written.event))
            && (self.words.is_empty() || {
                let text = written.event.to_string().to_lowercase();
                self.words.iter().all(|word| text.contains(word))
            })
    }
}

impl SystemLog {
    /// Writes an event.
    pub(super) fn write(&self, entry: Entry, how: &Behaviour) {
        let at = Timestamp::now();
        let debug: Map<String, Value> =
            entry.debug.into_iter().map(|(key, value)| (spelled(key, how.spelling), value)).collect();
        let target = entry.target.map_or(
            Value::Null,
            |(kind, id, name)| json!([{"id": id, "type": kind, "displayName": name, "alternateId": id}]),
        );
        let event = json!({
            "uuid": random_uuid(),
            "published": okta_time(at),
            "eventType": entry.kind,
            "version": "0",
            "severity": if entry.result == "SUCCESS" { "INFO" } else { "WARN" },
            "legacyEventType": null,
            "displayMessage": entry.message,
            "actor": {
                "id": "00uSandbox0000000000",
                "type": "SystemPrincipal",
                "alternateId": "system@okta.com",
                "displayName": "Okta System",
            },
            "outcome": {"result": entry.result, "reason": entry.reason},
            "transaction": {"type": "WEB", "id": entry.request_id, "detail": {}},
            "debugContext": {"debugData": debug},
            "target": target,
        });
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let longer = if events.happened.is_multiple_of(2) { how.log_disorder_ms } else { 0 };
        let pause = how.log_delay_ms.saturating_add(longer).min(LONGEST_DELAY_MS);
        events.happened += 1;
        events.settle(now);
        if events.coming.len() == CAPACITY {
            events.coming.remove(0);
        }
        let pause = Duration::from_millis(pause);
        let times = Times { published: at, persisted: at.checked_add(pause).unwrap_or(at) };
        events.coming.push(Coming { due: now + pause, times, event });
        events.settle(now);
    }

    /// Reads a page. Polling (ascending, no `until`) always answers a next cursor.
    pub(super) fn page(&self, query: &Query) -> Page {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.settle(Instant::now());
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        let mut page = Vec::new();
        let mut more = false;
        let mut last = None;
        let ordered: Box<dyn Iterator<Item = &Written>> =
            if query.descending { Box::new(events.kept.iter().rev()) } else { Box::new(events.kept.iter()) };
        let is_past = |written: &Written| match query.after {
            None => true,
            Some(after) if query.descending => written.number < after,
            Some(after) => written.number >= after,
        };
        for written in ordered.filter(|w| is_past(w) && query.takes(w)) {
            if page.len() == limit {
                more = true;
                break;
            }
            page.push(written.event.clone());
            last = Some(written.number);
        }
        let next = match (last, more) {
            (Some(last), true) if query.descending => Some(last),
            (Some(last), true) => Some(last + 1),
            _ if query.polls() && limit > 0 => Some(events.next),
            _ => None,
        };
        Page { events: page, next: next.map(as_cursor) }
    }

    /// Every event kept, in the order in which they show; those that do not yet come last.
    pub(super) fn all(&self) -> Vec<Value> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.settle(Instant::now());
        let shown = events.kept.iter().map(|written| &written.event);
        shown.chain(events.coming.iter().map(|coming| &coming.event)).cloned().collect()
    }
}

/// A new id of a request, as in `X-Okta-Request-Id`.
pub(super) fn request_id() -> String {
    format!("req{}", random_id(22))
}

fn as_cursor(number: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("log:{number}"))
}

fn cursor(text: &str) -> Option<u64> {
    let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
    std::str::from_utf8(&decoded).ok()?.strip_prefix("log:")?.parse().ok()
}

fn spelled(key: &str, spelling: Spelling) -> String {
    if spelling == Spelling::Snake {
        return key.to_owned();
    }
    let mut words = key.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut chars = word.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(chars.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str) -> Entry {
        Entry {
            kind: kind.to_owned(),
            message: "m",
            result: "SUCCESS",
            reason: None,
            debug: vec![("is_sms_hook_failover", Value::from("true"))],
            target: None,
            request_id: "req1".to_owned(),
        }
    }

    fn query(pairs: &[(&str, &str)]) -> Query {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Query::read(&pairs).unwrap()
    }

    fn kinds(page: &Page) -> Vec<&str> {
        page.events.iter().filter_map(|event| event["eventType"].as_str()).collect()
    }

    #[test]
    fn polling_follows_its_cursor_and_sees_every_event_once() {
        let log = SystemLog::default();
        for kind in ["a", "b", "c"] {
            log.write(entry(kind), &Behaviour::default());
        }
        let first = log.page(&query(&[("limit", "2")]));
        assert_eq!(kinds(&first), ["a", "b"]);
        let cursor = first.next.unwrap();
        let second = log.page(&query(&[("limit", "2"), ("after", &cursor)]));
        assert_eq!(kinds(&second), ["c"]);
        let cursor = second.next.unwrap();
        assert!(log.page(&query(&[("after", &cursor)])).events.is_empty());
        log.write(entry("d"), &Behaviour::default());
        assert_eq!(kinds(&log.page(&query(&[("after", &cursor)]))), ["d"]);
    }

    #[test]
    fn who_follows_the_log_gets_what_came_late_and_who_asks_for_a_span_is_not() {
        let log = SystemLog::default();
        log.write(entry("late"), &Behaviour { log_delay_ms: 20, ..Behaviour::default() });
        let since = Timestamp::now().to_string();
        while log.page(&query(&[])).events.is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(kinds(&log.page(&query(&[("since", &since)]))), ["late"]);
        let span = query(&[("since", &since), ("until", "2100-01-01T00:00:00Z")]);
        assert!(log.page(&span).events.is_empty());
    }

    #[test]
    fn descending_pages_end() {
        let log = SystemLog::default();
        for kind in ["a", "b", "c"] {
            log.write(entry(kind), &Behaviour::default());
        }
        let first = log.page(&query(&[("sortOrder", "DESCENDING"), ("limit", "2")]));
        assert_eq!(kinds(&first), ["c", "b"]);
        let cursor = first.next.unwrap();
        let last = log.page(&query(&[("sortOrder", "DESCENDING"), ("limit", "2"), ("after", &cursor)]));
        assert_eq!(kinds(&last), ["a"]);
        assert!(last.next.is_none());
    }

    #[test]
    fn debug_data_is_spelled_as_the_org_is_given_it() {
        let log = SystemLog::default();
        log.write(entry("a"), &Behaviour::default());
        log.write(entry("b"), &Behaviour { spelling: Spelling::Snake, ..Behaviour::default() });
        let events = log.all();
        assert_eq!(events[0]["debugContext"]["debugData"]["isSmsHookFailover"], "true");
        assert_eq!(events[1]["debugContext"]["debugData"]["is_sms_hook_failover"], "true");
    }

    #[test]
    fn a_query_refuses_what_it_does_not_know() {
        for (key, value) in [
            ("since", "yesterday"),
            ("after", "5"),
            ("limit", "1001"),
            ("limit", "-1"),
            ("sortOrder", "ascending"),
            ("page", "2"),
            ("filter", "published gt \"2020\""),
        ] {
            let pairs = [(key.to_owned(), value.to_owned())];
            assert!(Query::read(&pairs).is_err(), "{key}={value}");
        }
    }
}
