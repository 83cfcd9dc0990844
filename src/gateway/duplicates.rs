//! One call, one message: a call that comes again gets the answer of the first.
//!
//! Kept in process: [`CAPACITY`] calls for [`KEPT`]. The first call of an id does the work in a task of its own, so that a
//! connection that breaks neither stops nor repeats it; others wait for its answer.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use moka::{future::Cache, policy::EvictionPolicy};
use tokio::sync::watch;

use super::protocol::{Answer, Call};
use crate::message::{Channel, EventId};

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_mins(10);
/// How many answers are kept; the least recently used go first.
pub const CAPACITY: u64 = 100_000;

type Key = (Arc<str>, EventId);
type Fingerprint = [u8; 16];

/// The calls of the last minutes.
pub struct Duplicates {
    seen: Cache<Key, Arc<Seen>>,
    key: hmac::Key,
}

struct Seen {
    fingerprint: Fingerprint,
    answer: watch::Receiver<Option<Answer>>,
}

/// What a call is.
pub enum Sighting {
    /// The first of its id: whoever gets this does the work and says the answer here.
    First(watch::Sender<Option<Answer>>, watch::Receiver<Option<Answer>>),
    /// Seen before: its answer comes, or came, here.
    Again(watch::Receiver<Option<Answer>>),
    /// The same id with another number, passcode or channel: nothing Okta does, so nothing is sent.
    Contradiction,
}

impl Default for Duplicates {
    fn default() -> Self {
        let key: [u8; 32] = rand::random();
        Self {
            seen: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(KEPT)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        }
    }
}

impl Duplicates {
    /// Looks a call up and remembers it.
    pub async fn look(&self, hook: &Arc<str>, id: &EventId, call: &Call) -> Sighting {
        let fingerprint = self.fingerprint(call);
        let (sender, receiver) = watch::channel(None);
        let seen = Arc::new(Seen { fingerprint, answer: receiver.clone() });
        let entry = self.seen.entry((Arc::clone(hook), id.clone())).or_insert_with(async { seen }).await;
        if entry.is_fresh() {
            Sighting::First(sender, receiver)
        } else if entry.value().fingerprint == fingerprint {
            Sighting::Again(entry.value().answer.clone())
        } else {
            Sighting::Contradiction
        }
    }

    /// Tells two messages apart without keeping either: the key never leaves the process.
    fn fingerprint(&self, call: &Call) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.key);
        let channel: &[u8] = match call.channel {
            Channel::Sms => b"sms",
            Channel::Voice => b"voice",
        };
        for part in [channel, call.number.expose().as_bytes(), call.code.expose().as_bytes()] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut fingerprint = Fingerprint::default();
        fingerprint.copy_from_slice(&context.sign().as_ref()[..16]);
        fingerprint
    }
}

impl fmt::Debug for Duplicates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Duplicates({})", self.seen.entry_count())
    }
}
