//! One call, one message: a call that comes again gets the answer of the first.
//!
//! Kept in process: [`CAPACITY`] calls for [`KEPT`]. The first call of an id does the work in a task of its own, so that a
//! connection that breaks neither stops nor repeats it; others wait for its answer.
//!
//! An id is bound to its message once that message may have left. While nothing has, another message of the same id is new:
//! an administrator who corrects the number of a preview keeps its id. The very same message is not tried again: Okta was answered
//! FAILED and sends it itself. A preview is distinguished from others of its id by its message, and tried as often as it fails: nobody
//! sends it otherwise.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use moka::{
    future::Cache,
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
};
use tokio::sync::watch;

use super::protocol::{Call, HookAnswer};
use hookswitch_message::{Channel, EventId};

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_mins(10);
/// How many answers are kept; the least recently used go first.
pub const CAPACITY: u64 = 100_000;

type MessageDigest = [u8; 16];
/// Hook, id, and the message where it distinguishes calls of one id.
type Key = (Arc<str>, EventId, Option<MessageDigest>);

/// The calls of the last minutes.
pub struct Duplicates {
    known_calls: Cache<Key, Arc<KnownCall>>,
    key: hmac::Key,
}

struct KnownCall {
    fingerprint: MessageDigest,
    answer: watch::Receiver<Option<HookAnswer>>,
}

impl KnownCall {
    /// Whether a call of the same id is worked on in its place.
    fn gives_way(&self, fingerprint: MessageDigest, is_preview: bool) -> bool {
        let left_nothing = self.answer.borrow().as_ref().is_some_and(HookAnswer::left_nothing);
        left_nothing && (is_preview || self.fingerprint != fingerprint)
    }
}

/// What a call is.
pub enum DuplicateCheck {
    /// The first of its id: whoever gets this does the work and says the answer here.
    First(watch::Sender<Option<HookAnswer>>, watch::Receiver<Option<HookAnswer>>),
    /// Known before: its answer comes, or came, here.
    Again(watch::Receiver<Option<HookAnswer>>),
    /// Another message of its id is being worked on; once its answer is here, this call is to be checked again.
    Behind(watch::Receiver<Option<HookAnswer>>),
    /// The same id with another number, passcode or channel, and the first message may have left: nothing Okta does, so
    /// nothing is sent.
    Contradiction,
}

impl Default for Duplicates {
    fn default() -> Self {
        let key: [u8; 32] = rand::random();
        Self {
            known_calls: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(KEPT)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        }
    }
}

impl Duplicates {
    /// Checks a call against the known ones and remembers it.
    pub async fn check(&self, hook: &Arc<str>, id: &EventId, call: &Call) -> DuplicateCheck {
        let fingerprint = self.fingerprint(call);
        let (sender, receiver) = watch::channel(None);
        let this_call = Arc::new(KnownCall { fingerprint, answer: receiver.clone() });
        let key = (Arc::clone(hook), id.clone(), call.is_preview.then_some(fingerprint));
        let taken = self.known_calls.entry(key).and_compute_with(|known| {
            let stays = known.is_some_and(|known| !known.value().gives_way(fingerprint, call.is_preview));
            std::future::ready(if stays { Op::Nop } else { Op::Put(this_call) })
        });
        match taken.await {
            CompResult::Unchanged(known) if known.value().fingerprint == fingerprint => {
                DuplicateCheck::Again(known.value().answer.clone())
            }
            CompResult::Unchanged(known) if known.value().answer.borrow().is_none() => {
                DuplicateCheck::Behind(known.value().answer.clone())
            }
            CompResult::Unchanged(_) => DuplicateCheck::Contradiction,
            _ => DuplicateCheck::First(sender, receiver),
        }
    }

    /// Tells two messages apart without keeping either: the key never leaves the process.
    fn fingerprint(&self, call: &Call) -> MessageDigest {
        let mut context = hmac::Context::with_key(&self.key);
        let channel: &[u8] = match call.channel {
            Channel::Sms => b"sms",
            Channel::Voice => b"voice",
        };
        for part in [channel, call.number.expose().as_bytes(), call.code.expose().as_bytes()] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut fingerprint = MessageDigest::default();
        fingerprint.copy_from_slice(&context.sign().as_ref()[..16]);
        fingerprint
    }
}

impl fmt::Debug for Duplicates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Duplicates({})", self.known_calls.entry_count())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(number: &str, is_preview: bool) -> Call {
        let profile = json!({"phoneNumber": number, "otpCode": "493817", "deliveryChannel": "SMS"});
        let mut call = Call::read(json!({"data": {"messageProfile": profile}}).to_string().as_bytes()).unwrap();
        call.is_preview = is_preview;
        call
    }

    struct Calls(Duplicates);

    impl Calls {
        async fn check(&self, call: &Call) -> DuplicateCheck {
            self.0.check(&"h".into(), &"event-1".parse().unwrap(), call).await
        }

        async fn first(&self, call: &Call) -> watch::Sender<Option<HookAnswer>> {
            match self.check(call).await {
                DuplicateCheck::First(sender, _) => sender,
                other => panic!("{}", name(&other)),
            }
        }

        async fn outcome(&self, call: &Call) -> &'static str {
            name(&self.check(call).await)
        }
    }

    const fn name(check: &DuplicateCheck) -> &'static str {
        match check {
            DuplicateCheck::First(..) => "first",
            DuplicateCheck::Again(_) => "again",
            DuplicateCheck::Behind(_) => "behind",
            DuplicateCheck::Contradiction => "contradiction",
        }
    }

    const ONE: &str = "+46701740605";
    const OTHER: &str = "+46701740606";

    #[tokio::test]
    async fn an_id_is_bound_to_a_message_that_may_have_left_and_to_no_other() {
        let successful = HookAnswer { status: crate::protocol::Status::Successful, ..HookAnswer::failed() };
        for (answer, other) in [
            (successful, "contradiction"),
            (HookAnswer::pending(), "contradiction"),
            (HookAnswer::failed(), "first"),
            (HookAnswer::blocked(), "first"),
        ] {
            let calls = Calls(Duplicates::default());
            let sender = calls.first(&call(ONE, false)).await;
            assert_eq!(
                calls.outcome(&call(OTHER, false)).await,
                "behind",
                "nobody knows yet what becomes of the first"
            );
            sender.send_replace(Some(answer.clone()));
            assert_eq!(calls.outcome(&call(ONE, false)).await, "again", "{answer:?}");
            assert_eq!(calls.outcome(&call(OTHER, false)).await, other, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_message_whose_work_ended_without_an_answer_may_have_left() {
        let calls = Calls(Duplicates::default());
        drop(calls.first(&call(ONE, false)).await);
        assert_eq!(calls.outcome(&call(OTHER, false)).await, "behind");
        assert_eq!(calls.outcome(&call(ONE, false)).await, "again");
    }

    #[tokio::test]
    async fn previews_of_one_id_are_distinguished_by_their_message_and_tried_again_when_they_failed() {
        let calls = Calls(Duplicates::default());
        calls.first(&call(ONE, true)).await.send_replace(Some(HookAnswer::pending()));
        assert_eq!(calls.outcome(&call(ONE, true)).await, "again", "one request, one message");
        let sender = calls.first(&call(OTHER, true)).await;
        assert_eq!(calls.outcome(&call(OTHER, true)).await, "again", "it is under way");
        sender.send_replace(Some(HookAnswer::failed()));
        assert_eq!(calls.outcome(&call(OTHER, true)).await, "first");
    }
}
