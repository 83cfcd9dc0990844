//! Events: one per transition, never one per reconcile, and never in a reconcile's way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::watch;

use super::conditions::{self, bounded};
use hookswitch_fair::{Bounds, Fair, Lane};

/// The most bytes of a note; the API server refuses longer ones.
const LONGEST_NOTE: usize = 1_024;

/// The most events of one namespace that wait to be published.
const WAITING: usize = 256;

/// Events published at once; those of one namespace one after the other.
const PERMITS: Bounds = Bounds { all: 8, each: 1, urgent: 0, all_urgent: 0 };

/// How long publishing an Event may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The name that Events are published under.
const CONTROLLER: &str = "hookswitch.dev/operator";

/// Conditions whose transitions are published. `Reconciling` and `Stalled` say the same as `Ready`.
const PUBLISHED: [&str; 8] =
    ["Ready", "Reachable", "Claimed", "Created", "Active", "Drifted", "Healthy", "FailoverReady"];

/// Something to publish about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether it needs somebody's attention.
    pub warning: bool,
    /// Reason, in upper camel case.
    pub reason: String,
    /// What was being done, in upper camel case.
    pub action: &'static str,
    /// What a person reads.
    pub text: String,
}

/// Publishes Events, those of a namespace one after the other and all beside the reconciles: whoever has something to publish does not wait
/// for the API server.
#[derive(Clone)]
pub struct Events(Arc<Telling>);

struct Telling {
    recorder: Recorder,
    permits: Fair,
    /// How many of each namespace wait to be told.
    waiting: watch::Sender<BTreeMap<String, usize>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// Tells events in the name of the operator's pod `identity`.
    #[must_use]
    pub fn new(client: kube::Client, identity: &str) -> Self {
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(identity.to_owned()) };
        let (recorder, permits) = (Recorder::new(client, reporter), Fair::new(PERMITS));
        Self(Arc::new(Telling { recorder, permits, waiting: watch::Sender::default() }))
    }

    /// Publishes an Event about an object. One that cannot be published is logged and forgotten.
    pub fn publish(&self, about: &ObjectReference, note: Note) {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason,
            note: Some(bounded(note.text, LONGEST_NOTE)),
            action: note.action.to_owned(),
            secondary: None,
        };
        let namespace = about.namespace.clone().unwrap_or_default();
        let is_taken = self.0.waiting.send_if_modified(|waiting| {
            let waiting = waiting.entry(namespace.clone()).or_default();
            let has_room = *waiting < WAITING;
            *waiting += usize::from(has_room);
            has_room
        });
        if !is_taken {
            return not_sent(about, &event, "too many others of its namespace wait to be told");
        }
        let (telling, about) = (Arc::clone(&self.0), about.clone());
        let turn = telling.permits.enter(&namespace, "", Lane::Routine);
        tokio::spawn(async move {
            let permit = turn.await;
            telling.publish(&about, &event).await;
            drop(permit);
            telling.waiting.send_modify(|waiting| {
                if let Some(left) = waiting.get_mut(&namespace) {
                    *left -= 1;
                }
                waiting.retain(|_, left| *left > 0);
            });
        });
    }

    /// Waits until every Event was published or given up.
    pub async fn flush(&self) {
        // an error means that nobody is left who could publish one
        let _ = self.0.waiting.subscribe().wait_for(BTreeMap::is_empty).await;
    }
}

impl Telling {
    async fn publish(&self, about: &ObjectReference, event: &Event) {
        match tokio::time::timeout(TIMEOUT, self.recorder.publish(event, about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => not_sent(about, event, &super::error::shown(&error)),
            Err(_) => not_sent(about, event, "the API server did not take it in time"),
        }
    }
}

fn not_sent(about: &ObjectReference, event: &Event, why: &str) {
    tracing::warn!(
        namespace = about.namespace,
        name = about.name,
        reason = event.reason,
        error = why,
        "an event could not be told"
    );
}

/// The transitions between two states of an object's conditions: another status or another reason is one, another
/// message is not.
#[must_use]
pub fn transitions(before: &[Condition], after: &[Condition]) -> Vec<Note> {
    let published = after.iter().filter(|condition| PUBLISHED.contains(&condition.type_.as_str()));
    published
        .filter_map(|condition| {
            let known = conditions::get(before, &condition.type_);
            let same = known.is_some_and(|known| known.status == condition.status && known.reason == condition.reason);
            // a first Unknown is no news
            let silent = same || (known.is_none() && condition.status == "Unknown");
            (!silent).then(|| note(condition))
        })
        .collect()
}

fn note(condition: &Condition) -> Note {
    let bad = match condition.type_.as_str() {
        "Drifted" => conditions::says_true(condition),
        "Active" | "Created" => false,
        _ => conditions::says_false(condition),
    };
    let text = if condition.message.is_empty() {
        format!("{} is {}", condition.type_, condition.status)
    } else {
        condition.message.clone()
    };
    Note { warning: bad, reason: condition.reason.clone(), action: "Reconcile", text }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Mutex};

    use http::{Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use tokio::time::sleep;

    use super::*;
    use crate::operator::runtime::conditions::Is;
    use hookswitch_api::reason;

    #[tokio::test(start_paused = true)]
    async fn events_that_nobody_takes_do_not_keep_those_of_another_namespace_from_being_published_in_their_order() {
        let published = Arc::new(Mutex::new(Vec::new()));
        let server = Arc::clone(&published);
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = Arc::clone(&server);
            async move {
                if request.uri().path().contains("/flood/") {
                    std::future::pending::<()>().await;
                }
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
                server.lock().unwrap().push(event["reason"].as_str().unwrap().to_owned());
                Ok::<_, Infallible>(Response::new(Body::from(body.to_vec())))
            }
        });
        let events = Events::new(kube::Client::new(service, "otp"), "test");
        let publish = |namespace: &str, number: usize| {
            let about = ObjectReference {
                namespace: Some(namespace.to_owned()),
                name: Some(format!("one-{number}")),
                ..ObjectReference::default()
            };
            let note = Note { warning: false, reason: format!("R{number}"), action: "Test", text: String::new() };
            events.publish(&about, note);
        };
        (0..2_000).for_each(|number| publish("flood", number));
        (0..20).for_each(|number| publish("otp", number));
        sleep(Duration::from_secs(1)).await;
        let expected: Vec<String> = (0..20).map(|number| format!("R{number}")).collect();
        assert_eq!(*published.lock().unwrap(), expected);
        assert_eq!(events.0.waiting.borrow().get("flood"), Some(&WAITING));
    }

    fn ready(status: Is, reason: reason::Ready, message: &str) -> Vec<Condition> {
        let mut conditions = Vec::new();
        conditions::set(&mut conditions, status, reason, message, Some(1));
        conditions
    }

    #[test]
    fn another_reason_is_published_and_another_message_is_not() {
        let missing = ready(Is::False, reason::Ready::SecretNotFound, "a");
        assert_eq!(transitions(&missing, &ready(Is::False, reason::Ready::SecretNotFound, "b")), []);
        let published = transitions(&missing, &ready(Is::False, reason::Ready::SecretInvalid, "empty"));
        assert_eq!(published.len(), 1);
        assert!(published[0].warning && published[0].reason == "SecretInvalid" && published[0].text == "empty");
    }

    #[test]
    fn becoming_ready_is_no_warning_and_a_first_unknown_is_silent() {
        assert_eq!(transitions(&[], &ready(Is::Unknown, reason::Ready::Progressing, "")), []);
        assert!(!transitions(&[], &ready(Is::True, reason::Ready::Ready, ""))[0].warning);
    }
}
