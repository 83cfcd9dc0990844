//! People who log in all the time: passcodes at a stated rate, each asked for when it is due, whatever became of those before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Org;
use super::caller::HookStatus;
use super::passcode::{Delivery, SendReport, SendRequest};

/// The most passcodes a second.
pub const MOST_PER_SECOND: u32 = 100;
/// What a person waits for a passcode that the hook is to send.
const IN_TIME: Duration = Duration::from_secs(3);

/// One passcode that was asked for, without its number and its code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// When it was due.
    pub due: Timestamp,
    /// From then until Okta knew what became of it, in milliseconds.
    pub ms: u64,
    /// How many messages with it the handset got.
    pub messages: usize,
    /// What became of it.
    pub report: SendReport,
}

impl Asked {
    /// When Okta knew what became of it.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        let lasted = SignedDuration::from_millis(i64::try_from(self.ms).unwrap_or(i64::MAX));
        self.due.checked_add(lasted).unwrap_or(Timestamp::MAX)
    }

    /// Whether the hook says that it was sent.
    #[must_use]
    pub fn by_hook(&self) -> bool {
        let said = self.report.hook.as_ref().and_then(|hook| hook.status);
        self.report.delivery == Delivery::Hook && said == Some(HookStatus::Successful)
    }

    /// The provider that the hook named.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.report.hook.as_ref().and_then(|hook| hook.provider.as_deref()).unwrap_or_default()
    }

    /// Why it counts as lost: the hook did not deliver it in time, or the handset did not get exactly one message.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        let why = self.report.hook.as_ref().and_then(|hook| hook.error_message.as_deref()).unwrap_or("no error");
        if !self.by_hook() {
            return Some(format!("{:?} after {} ms, {} messages: {why}", self.report.delivery, self.ms, self.messages));
        }
        if u128::from(self.ms) > IN_TIME.as_millis() {
            return Some(format!("SUCCESSFUL after {} ms", self.ms));
        }
        (self.messages != 1).then(|| format!("SUCCESSFUL, {} messages", self.messages))
    }
}

/// A passcode whose end is known, and by what its messages are found.
struct Ended {
    due: Timestamp,
    ms: u64,
    handset: (String, String),
    report: SendReport,
}

/// People who log in, until this is ended or dropped.
pub(crate) struct Traffic {
    org: Arc<Org>,
    asked: watch::Sender<usize>,
    ended: Arc<Mutex<Vec<Ended>>>,
    people: TaskTracker,
    asking: JoinHandle<()>,
    stop: DropGuard,
}

impl Traffic {
    /// The most people of one run: at its end the inbox still has every message of each, also if each came twice.
    pub(crate) const MOST: u64 = 5_000;

    /// Lets so many people a second log in. `first` is the first one's number among all that the sandbox has had.
    pub(crate) fn begin(org: Arc<Org>, per_second: u32, first: u64) -> Self {
        let (asked, ended, people) = (watch::Sender::new(0), Arc::default(), TaskTracker::new());
        let stop = CancellationToken::new();
        let crowd = Crowd {
            org: Arc::clone(&org),
            asked: asked.clone(),
            ended: Arc::clone(&ended),
            people: people.clone(),
            first,
        };
        let asking = tokio::spawn(crowd.ask(Duration::from_secs(1) / per_second.max(1), stop.clone()));
        Self { org, asked, ended, people, asking, stop: stop.drop_guard() }
    }

    /// How many passcodes were asked for so far.
    pub(crate) fn asked(&self) -> watch::Receiver<usize> {
        self.asked.subscribe()
    }

    /// Lets nobody ask any more, and answers what became of all, by when each was due.
    pub(crate) async fn end(self) -> Vec<Asked> {
        drop(self.stop);
        let _ = self.asking.await;
        self.people.close();
        self.people.wait().await;
        let mut messages: HashMap<(String, String), usize> = HashMap::new();
        for message in self.org.inbox.messages(None) {
            *messages.entry((message.to, message.code.unwrap_or_default())).or_default() += 1;
        }
        let ended = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let told = |one: Ended| Asked {
            due: one.due,
            ms: one.ms,
            messages: messages.get(&one.handset).copied().unwrap_or_default(),
            report: one.report,
        };
        let mut all: Vec<Asked> = ended.into_iter().map(told).collect();
        all.sort_by_key(|asked| asked.due);
        all
    }
}

/// Those who ask.
struct Crowd {
    org: Arc<Org>,
    asked: watch::Sender<usize>,
    ended: Arc<Mutex<Vec<Ended>>>,
    people: TaskTracker,
    first: u64,
}

impl Crowd {
    /// Whoever is due asks, also when nobody before has been answered; after a pause of the machine all who are due ask at once.
    async fn ask(self, every: Duration, stop: CancellationToken) {
        let mut turn = tokio::time::interval(every);
        for number in self.first..self.first + Traffic::MOST {
            let due = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                due = turn.tick() => due,
            };
            self.asked.send_modify(|asked| *asked += 1);
            self.people.spawn(one(Arc::clone(&self.org), number, due, Arc::clone(&self.ended)));
        }
    }
}

async fn one(org: Arc<Org>, number: u64, due: Instant, ended: Arc<Mutex<Vec<Ended>>>) {
    let late = SignedDuration::try_from(due.elapsed()).unwrap_or_default();
    let was_due = Timestamp::now().checked_sub(late).unwrap_or(Timestamp::UNIX_EPOCH);
    let handset = handset(number);
    let report = org.send(SendRequest::sms(&handset.0).with_code(&handset.1)).await;
    let ms = u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX);
    ended.lock().unwrap_or_else(PoisonError::into_inner).push(Ended { due: was_due, ms, handset, report });
}

/// A person's number, and the passcode.
fn handset(number: u64) -> (String, String) {
    (phone(number), format!("{:06}", number % 1_000_000))
}

/// Numbers that belong to nobody: another person's each, until they begin anew. None is in the area in which demo and tests have
/// the people they look at one by one.
fn phone(number: u64) -> String {
    const AREAS: [&str; 8] = ["212", "303", "312", "404", "415", "512", "617", "718"];
    let area = usize::try_from(number / 100 % 8).unwrap_or_default();
    format!("+1{}55501{:02}", AREAS[area], number % 100)
}

#[cfg(test)]
mod tests {
    use super::super::passcode::HookReport;
    use super::*;

    fn asked(delivery: Delivery, status: Option<HookStatus>, ms: u64, messages: usize) -> Asked {
        let hook = HookReport {
            id: String::new(),
            name: String::new(),
            http_status: None,
            status,
            provider: None,
            transaction_id: None,
            transaction_metadata: None,
            failure: None,
            error_message: None,
            duration_ms: ms,
        };
        let report = SendReport { request_id: String::new(), event_id: String::new(), delivery, hook: Some(hook) };
        Asked { due: Timestamp::UNIX_EPOCH, ms, messages, report }
    }

    #[test]
    fn only_what_the_hook_sent_once_and_in_time_is_not_lost() {
        let successful = Some(HookStatus::Successful);
        assert_eq!(asked(Delivery::Hook, successful, 3_000, 1).lost(), None);
        for lost in [
            asked(Delivery::Hook, successful, 3_001, 1),
            asked(Delivery::Hook, successful, 5, 0),
            asked(Delivery::Hook, successful, 5, 2),
            asked(Delivery::HookPending, Some(HookStatus::Pending), 5, 1),
            asked(Delivery::OktaFallback, None, 5, 1),
            asked(Delivery::Okta, None, 5, 1),
            asked(Delivery::Denied, Some(HookStatus::Failed), 5, 0),
        ] {
            assert!(lost.lost().is_some(), "{lost:?}");
        }
    }

    #[test]
    fn no_number_and_code_come_twice_within_a_run() {
        let all: std::collections::HashSet<_> = (0..Traffic::MOST).map(handset).collect();
        assert_eq!(all.len(), 5_000);
        assert!(all.len() * 2 <= crate::inbox::CAPACITY);
        assert_eq!((phone(0), phone(799), phone(800)), ("+12125550100".into(), "+17185550199".into(), phone(0)));
    }
}
