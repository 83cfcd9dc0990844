//! Events: one per transition, never one per pass, and never in a pass's way.

use std::time::Duration;

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::{mpsc, oneshot};

use super::conditions::{self, bounded};

/// The most bytes of a note; the API server refuses longer ones.
const LONGEST_NOTE: usize = 1_024;

/// The most events that wait to be told.
const WAITING: usize = 1_024;

/// How long telling an event may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The name events are told under.
const CONTROLLER: &str = "hookswitch.dev/operator";

/// Conditions whose transitions are told. `Reconciling` and `Stalled` say the same as `Ready`.
const TOLD: [&str; 8] = ["Ready", "Reachable", "Claimed", "Created", "Active", "Drifted", "Healthy", "FailoverReady"];

/// Something to tell about an object.
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

/// Tells events, one after the other and beside the passes: whoever has something to tell does not wait for the API server.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Queued>,
}

enum Queued {
    Event(Box<(ObjectReference, Event)>),
    /// Somebody waits until all before it were told.
    Flush(oneshot::Sender<()>),
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// Tells events in the name of the operator's pod `identity`, by a task that ends with the last copy of this.
    #[must_use]
    pub fn new(client: kube::Client, identity: &str) -> Self {
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(identity.to_owned()) };
        let (queue, queued) = mpsc::channel(WAITING);
        tokio::spawn(publish(Recorder::new(client, reporter), queued));
        Self { queue }
    }

    /// Has an event told about an object. One that cannot be told is logged and forgotten.
    pub fn tell(&self, about: &ObjectReference, note: Note) {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason,
            note: Some(bounded(note.text, LONGEST_NOTE)),
            action: note.action.to_owned(),
            secondary: None,
        };
        if let Err(
            mpsc::error::TrySendError::Full(Queued::Event(left))
            | mpsc::error::TrySendError::Closed(Queued::Event(left)),
        ) = self.queue.try_send(Queued::Event(Box::new((about.clone(), event))))
        {
            let (about, event) = *left;
            untold(&about, &event, "too many others wait to be told");
        }
    }

    /// Waits until every event before this call was told or given up.
    pub async fn flush(&self) {
        let (done, told) = oneshot::channel();
        if self.queue.send(Queued::Flush(done)).await.is_ok() {
            let _ = told.await;
        }
    }
}

async fn publish(recorder: Recorder, mut queued: mpsc::Receiver<Queued>) {
    while let Some(next) = queued.recv().await {
        match next {
            Queued::Event(event) => {
                let (about, event) = *event;
                match tokio::time::timeout(TIMEOUT, recorder.publish(&event, &about)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => untold(&about, &event, &super::pass::shown(&error)),
                    Err(_) => untold(&about, &event, "the API server did not take it in time"),
                }
            }
            Queued::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

fn untold(about: &ObjectReference, event: &Event, why: &str) {
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
    let told = after.iter().filter(|condition| TOLD.contains(&condition.type_.as_str()));
    told.filter_map(|condition| {
        let known = conditions::get(before, &condition.type_);
        let same = known.is_some_and(|known| known.status == condition.status && known.reason == condition.reason);
        // a first Unknown tells nobody anything
        let silent = same || (known.is_none() && condition.status == "Unknown");
        (!silent).then(|| note(condition))
    })
    .collect()
}

fn note(condition: &Condition) -> Note {
    let bad = match condition.type_.as_str() {
        "Drifted" => condition.status == "True",
        "Active" | "Created" => false,
        _ => condition.status == "False",
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
    use super::{super::conditions::Is, *};
    use crate::api::reason;

    fn ready(status: Is, reason: reason::Ready, message: &str) -> Vec<Condition> {
        let mut conditions = Vec::new();
        conditions::set(&mut conditions, status, reason, message, Some(1));
        conditions
    }

    #[test]
    fn another_reason_is_told_and_another_message_is_not() {
        let missing = ready(Is::False, reason::Ready::SecretNotFound, "a");
        assert_eq!(transitions(&missing, &ready(Is::False, reason::Ready::SecretNotFound, "b")), []);
        let told = transitions(&missing, &ready(Is::False, reason::Ready::SecretInvalid, "empty"));
        assert_eq!(told.len(), 1);
        assert!(told[0].warning && told[0].reason == "SecretInvalid" && told[0].text == "empty");
    }

    #[test]
    fn becoming_ready_is_no_warning_and_a_first_unknown_is_silent() {
        assert_eq!(transitions(&[], &ready(Is::Unknown, reason::Ready::Progressing, "")), []);
        assert!(!transitions(&[], &ready(Is::True, reason::Ready::Ready, ""))[0].warning);
    }
}
