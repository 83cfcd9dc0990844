//! One call, one message: a call that comes again gets the answer of the first.
//!
//! Kept in process: [`CAPACITY`] calls for [`KEPT`]. The first call of an id does the work in a task of its own, so that a
//! connection that breaks neither stops nor repeats it; others wait for its answer.
//!
//! An id is bound to its message once that message may have left. While nothing has, another message of the same id is new:
//! an administrator who corrects the number of a preview keeps its id. The very same message is not tried again: Okta was answered
//! FAILED and sends it itself. A preview is distinguished from others of its id by its message, and tried as often as it fails: nobody
//! sends it otherwise.
//!
//! A busy gateway always remembers as many as it may, so each is small: two keyed digests and the texts of its answer, about
//! 160 bytes. [`memory`] keeps them; the oldest goes first.

mod memory;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::hmac;
use tokio::{sync::watch, time::Instant};

use self::memory::{Memory, Remembered};
use super::protocol::{Call, HookAnswer};
use hookswitch_message::{Channel, EventId};

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_mins(10);
/// How many answers are kept; the oldest go first.
pub const CAPACITY: usize = 100_000;

/// Distinguishes calls or messages without keeping them: its key never leaves the process.
type Digest = [u8; 16];

/// The answer of a call that is worked on, once it is there.
pub type PendingAnswer = watch::Receiver<Option<HookAnswer>>;

/// The calls of the last minutes.
pub struct Duplicates {
    memory: Mutex<Memory>,
    key: hmac::Key,
    begun: Instant,
}

/// What a call is.
pub enum DuplicateCheck {
    /// The first of its id: whoever gets this does the work.
    First(Work, PendingAnswer),
    /// Known, and this is its answer.
    Answered(HookAnswer),
    /// Known, and worked on: its answer comes here.
    Again(PendingAnswer),
    /// Another message of its id is being worked on; once its answer is here, this call is to be checked again.
    Behind(PendingAnswer),
    /// The same id with another number, passcode or channel, and the first message may have left: nothing Okta does, so
    /// nothing is sent.
    Contradiction,
}

/// The work on a call, whose answer others may wait for. Dropped without one, nobody can tell whether the message left.
pub struct Work {
    answer: watch::Sender<Option<HookAnswer>>,
    remembered: Option<(Arc<Duplicates>, u64)>,
}

impl Work {
    /// On a call that cannot be recognised when it comes again.
    #[must_use]
    pub fn unremembered() -> (Self, PendingAnswer) {
        let (answer, awaited) = watch::channel(None);
        (Self { answer, remembered: None }, awaited)
    }

    /// Says the answer, to all who wait for it or come later.
    pub fn settle(self, answer: HookAnswer) {
        if let Some((duplicates, number)) = self.remembered {
            duplicates.memory().settle(number, &answer);
        }
        self.answer.send_replace(Some(answer));
    }
}

impl Default for Duplicates {
    fn default() -> Self {
        let key: [u8; 32] = rand::random();
        Self {
            memory: Mutex::new(Memory::of(CAPACITY, KEPT)),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            begun: Instant::now(),
        }
    }
}

impl Duplicates {
    /// Checks a call against the known ones and remembers it.
    #[must_use]
    pub fn check(self: &Arc<Self>, hook: &str, id: &EventId, call: &Call) -> DuplicateCheck {
        let fingerprint = self.fingerprint(call);
        let message: &[u8] = if call.is_preview { &fingerprint } else { &[] };
        let key = self.digest([b"call", hook.as_bytes(), id.as_str().as_bytes(), message]);
        let mut memory = self.memory();
        let now = self.begun.elapsed();
        memory.forget(now);
        if let Some(known) = memory.find(&key, now) {
            let (is_same, answer) = (known.fingerprint == fingerprint, known.answer());
            // where nothing left, a call of the same id is worked on in its place
            let gives_way = answer.as_ref().is_some_and(HookAnswer::left_nothing) && (call.is_preview || !is_same);
            match (answer, known.awaited()) {
                _ if gives_way => {}
                (Some(answer), _) if is_same => return DuplicateCheck::Answered(answer),
                (None, Some(awaited)) if is_same => return DuplicateCheck::Again(awaited),
                (None, Some(awaited)) => return DuplicateCheck::Behind(awaited),
                _ => return DuplicateCheck::Contradiction,
            }
        }
        let (answer, awaited) = watch::channel(None);
        let number = memory.remember(Remembered::new(key, fingerprint, awaited.clone(), now));
        DuplicateCheck::First(Work { answer, remembered: Some((Arc::clone(self), number)) }, awaited)
    }

    fn fingerprint(&self, call: &Call) -> Digest {
        let channel: &[u8] = match call.channel {
            Channel::Sms => b"sms",
            Channel::Voice => b"voice",
        };
        self.digest([channel, call.number.expose().as_bytes(), call.code.expose().as_bytes(), &[]])
    }

    fn digest(&self, parts: [&[u8]; 4]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(&context.sign().as_ref()[..16]);
        digest
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Duplicates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Duplicates({})", self.memory().len())
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

    #[derive(Default)]
    struct Calls(Arc<Duplicates>);

    impl Calls {
        fn check(&self, call: &Call) -> DuplicateCheck {
            self.0.check("h", &"event-1".parse().unwrap(), call)
        }

        fn first(&self, call: &Call) -> Work {
            match self.check(call) {
                DuplicateCheck::First(work, _) => work,
                other => panic!("{}", name(&other)),
            }
        }

        fn outcome(&self, call: &Call) -> &'static str {
            name(&self.check(call))
        }
    }

    const fn name(check: &DuplicateCheck) -> &'static str {
        match check {
            DuplicateCheck::First(..) => "first",
            DuplicateCheck::Answered(_) => "answered",
            DuplicateCheck::Again(_) => "again",
            DuplicateCheck::Behind(_) => "behind",
            DuplicateCheck::Contradiction => "contradiction",
        }
    }

    const ONE: &str = "+46701740605";
    const OTHER: &str = "+46701740606";

    #[test]
    fn an_id_is_bound_to_a_message_that_may_have_left_and_to_no_other() {
        let successful = HookAnswer { status: crate::protocol::Status::Successful, ..HookAnswer::failed() };
        for (answer, other) in [
            (successful, "contradiction"),
            (HookAnswer::pending(), "contradiction"),
            (HookAnswer::failed(), "first"),
            (HookAnswer::blocked(), "first"),
        ] {
            let calls = Calls::default();
            let work = calls.first(&call(ONE, false));
            assert_eq!(calls.outcome(&call(OTHER, false)), "behind", "nobody knows yet what becomes of the first");
            work.settle(answer.clone());
            assert_eq!(calls.outcome(&call(ONE, false)), "answered", "{answer:?}");
            assert_eq!(calls.outcome(&call(OTHER, false)), other, "{answer:?}");
        }
    }

    #[test]
    fn a_message_whose_work_ended_without_an_answer_may_have_left() {
        let calls = Calls::default();
        drop(calls.first(&call(ONE, false)));
        assert_eq!(calls.outcome(&call(OTHER, false)), "behind");
        assert_eq!(calls.outcome(&call(ONE, false)), "again");
    }

    #[test]
    fn previews_of_one_id_are_told_apart_by_their_message_and_tried_again_when_they_failed() {
        let calls = Calls::default();
        calls.first(&call(ONE, true)).settle(HookAnswer::pending());
        assert_eq!(calls.outcome(&call(ONE, true)), "answered", "one request, one message");
        let work = calls.first(&call(OTHER, true));
        assert_eq!(calls.outcome(&call(OTHER, true)), "again", "it is under way");
        work.settle(HookAnswer::failed());
        assert_eq!(calls.outcome(&call(OTHER, true)), "first");
    }

    #[tokio::test]
    async fn whoever_waits_and_whoever_comes_later_get_the_answer_of_the_first() {
        let calls = Calls::default();
        let answer = HookAnswer {
            provider: Some("twilio-eu".to_owned()),
            transaction_id: Some("SM1".to_owned()),
            metadata: Some("attempts=1".to_owned()),
            ..HookAnswer::pending()
        };
        let work = calls.first(&call(ONE, false));
        let waiting: Vec<PendingAnswer> = (0..3)
            .map(|_| match calls.check(&call(ONE, false)) {
                DuplicateCheck::Again(awaited) => awaited,
                other => panic!("{}", name(&other)),
            })
            .collect();
        work.settle(answer.clone());
        for mut awaited in waiting {
            assert_eq!(awaited.wait_for(Option::is_some).await.unwrap().as_ref(), Some(&answer));
        }
        match calls.check(&call(ONE, false)) {
            DuplicateCheck::Answered(again) => assert_eq!(again, answer),
            other => panic!("{}", name(&other)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_remembered_for_ten_minutes() {
        let calls = Calls::default();
        calls.first(&call(ONE, false)).settle(HookAnswer::pending());
        tokio::time::advance(KEPT).await;
        assert_eq!(calls.outcome(&call(ONE, false)), "answered");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(calls.outcome(&call(ONE, false)), "first");
    }

    #[test]
    fn calls_of_other_hooks_and_ids_are_others() {
        let (calls, call) = (Calls::default(), call(ONE, false));
        for (hook, id) in [("h", "e-1"), ("h", "e-2"), ("he", "-1"), ("g", "e-1")] {
            let seen = calls.0.check(hook, &id.parse().unwrap(), &call);
            assert_eq!(name(&seen), "first", "{hook} {id}");
        }
    }
}
