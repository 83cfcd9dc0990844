//! Calls in the order in which they came, found by their key.
//!
//! A queue holds them, and a table the newest call of each chain: its size never changes, so no call pays for a table that
//! grows. Pure; the clock is an argument, as the time since it began.

use std::{collections::VecDeque, time::Duration};

use super::{Digest, PendingAnswer};
use crate::protocol::{HookAnswer, Status};

/// Calls that are forgotten when one comes, at most: nobody waits until ten thousand are.
const AT_ONCE: usize = 8;
/// Calls that there is room for at first.
const FEW: usize = 64;

/// One call. As many as there may be are kept for long, so its size counts.
pub(super) struct Remembered {
    key: Digest,
    /// Tells its message from others of its id.
    pub(super) fingerprint: Digest,
    answer: Answer,
    /// The number of the call before it in its chain; 0 for none.
    before: u64,
    /// In seconds.
    since: u32,
}

enum Answer {
    Awaited(PendingAnswer),
    Given(Packed),
}

impl Remembered {
    /// A call that is worked on.
    pub(super) fn new(key: Digest, fingerprint: Digest, awaited: PendingAnswer, now: Duration) -> Self {
        Self { key, fingerprint, answer: Answer::Awaited(awaited), before: 0, since: seconds(now) }
    }

    /// Its answer, where there is one.
    pub(super) fn answer(&self) -> Option<HookAnswer> {
        match &self.answer {
            Answer::Given(packed) => Some(packed.answer()),
            Answer::Awaited(_) => None,
        }
    }

    /// Where its answer comes, while it is worked on.
    pub(super) fn awaited(&self) -> Option<PendingAnswer> {
        match &self.answer {
            Answer::Given(_) => None,
            Answer::Awaited(awaited) => Some(awaited.clone()),
        }
    }
}

/// The calls. Each has a number, higher than that of all before it.
pub(super) struct Memory {
    calls: VecDeque<Remembered>,
    /// The number of the first of them.
    first: u64,
    /// By a part of the key, the newest call of a chain; 0 for none.
    chains: Box<[u64]>,
    capacity: usize,
    kept: Duration,
}

impl Memory {
    pub(super) fn of(capacity: usize, kept: Duration) -> Self {
        let chains = vec![0; capacity.next_power_of_two()].into_boxed_slice();
        Self { calls: VecDeque::new(), first: 1, chains, capacity, kept }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The call with a key, unless it is too old.
    pub(super) fn find(&self, key: &Digest, now: Duration) -> Option<&Remembered> {
        self.number(key).and_then(|number| self.call(number)).filter(|call| !self.is_over(call, now))
    }

    /// Remembers a call, in place of one with the same key. Its number.
    pub(super) fn remember(&mut self, mut call: Remembered) -> u64 {
        if let Some(known) = self.number(&call.key) {
            self.unlink(known);
        }
        if self.calls.len() >= self.capacity {
            self.forget_first();
        }
        let length = self.calls.len();
        if length == self.calls.capacity() {
            // twice the room, and never more than there may be calls
            self.calls.reserve_exact(length.max(FEW).min(self.capacity - length));
        }
        let (chain, number) = (self.chain(&call.key), self.first + length as u64);
        call.before = std::mem::replace(&mut self.chains[chain], number);
        self.calls.push_back(call);
        number
    }

    /// The answer of a call, if it is remembered still.
    pub(super) fn settle(&mut self, number: u64, answer: &HookAnswer) {
        if let Some(call) = self.call_mut(number) {
            call.answer = Answer::Given(Packed::of(answer));
        }
    }

    /// Forgets calls that are too old, some of them.
    pub(super) fn forget(&mut self, now: Duration) {
        for _ in 0..AT_ONCE {
            if self.calls.front().is_none_or(|call| !self.is_over(call, now)) {
                return;
            }
            self.forget_first();
        }
    }

    fn is_over(&self, call: &Remembered, now: Duration) -> bool {
        now > Duration::from_secs(call.since.into()) + self.kept
    }

    fn forget_first(&mut self) {
        self.unlink(self.first);
        self.calls.pop_front();
        self.first += 1;
    }

    /// Takes a call out of its chain, if it is in it still: it is not found any more.
    fn unlink(&mut self, number: u64) {
        let Some((key, before)) = self.call(number).map(|call| (call.key, call.before)) else { return };
        let chain = self.chain(&key);
        if self.chains[chain] == number {
            self.chains[chain] = before;
            return;
        }
        let mut after = self.chains[chain];
        while let Some(call) = self.call_mut(after) {
            if call.before == number {
                call.before = before;
                return;
            }
            after = call.before;
        }
    }

    fn number(&self, key: &Digest) -> Option<u64> {
        let mut number = self.chains[self.chain(key)];
        while let Some(call) = self.call(number) {
            if call.key == *key {
                return Some(number);
            }
            number = call.before;
        }
        None
    }

    fn chain(&self, key: &Digest) -> usize {
        let [a, b, c, d, ..] = *key;
        u32::from_le_bytes([a, b, c, d]) as usize % self.chains.len()
    }

    fn call(&self, number: u64) -> Option<&Remembered> {
        self.calls.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn call_mut(&mut self, number: u64) -> Option<&mut Remembered> {
        self.calls.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// An answer in one piece of memory: its status, then each of its texts behind its length, [`ABSENT`] where there is none.
struct Packed(Box<[u8]>);

const ABSENT: u32 = u32::MAX;
const STATUSES: [Status; 3] = [Status::Successful, Status::Pending, Status::Failed];

impl Packed {
    fn of(answer: &HookAnswer) -> Self {
        let texts = [&answer.provider, &answer.transaction_id, &answer.metadata].map(Option::as_deref);
        let length: usize = texts.iter().map(|text| size_of::<u32>() + text.map_or(0, str::len)).sum();
        let mut bytes = Vec::with_capacity(1 + length);
        bytes.extend(STATUSES.iter().zip(0..).find(|(status, _)| **status == answer.status).map(|(_, at): (_, u8)| at));
        for text in texts {
            let length = text.map_or(ABSENT, |text| u32::try_from(text.len()).unwrap_or(ABSENT));
            bytes.extend(length.to_le_bytes());
            bytes.extend(text.filter(|_| length != ABSENT).unwrap_or_default().bytes());
        }
        Self(bytes.into_boxed_slice())
    }

    fn answer(&self) -> HookAnswer {
        let (status, mut rest) = self.0.split_first().map_or((None, [].as_slice()), |(at, rest)| (Some(*at), rest));
        let status = status.and_then(|at| STATUSES.get(usize::from(at))).copied().unwrap_or(Status::Pending);
        let mut text = || {
            let (length, texts) = rest.split_first_chunk()?;
            let length = Some(u32::from_le_bytes(*length)).filter(|length| *length != ABSENT);
            let (text, others) = texts.split_at_checked(length.map_or(0, |length| length as usize))?;
            rest = others;
            length.map(|_| String::from_utf8_lossy(text).into_owned())
        };
        HookAnswer { status, provider: text(), transaction_id: text(), metadata: text() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tokio::sync::watch;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(of: u8) -> Digest {
        // few chains, of several keys each
        let mut key = [of; 16];
        key[..4].copy_from_slice(&u32::from(of % 3).to_le_bytes());
        key
    }

    fn call(of: u8, now: Duration) -> Remembered {
        Remembered::new(key(of), [of; 16], watch::channel(None).1, now)
    }

    fn answer(of: u8) -> HookAnswer {
        HookAnswer { transaction_id: Some(format!("id-{of}")), ..HookAnswer::pending() }
    }

    #[test]
    fn a_remembered_call_takes_few_bytes() {
        let answer = HookAnswer {
            status: Status::Successful,
            provider: Some("twilio-eu".to_owned()),
            transaction_id: Some(format!("SM{}", "0".repeat(32))),
            metadata: Some("attempts=1".to_owned()),
        };
        let (in_queue, in_table, beside) = (size_of::<Remembered>(), size_of::<u64>(), Packed::of(&answer).0.len());
        assert_eq!((in_queue, in_table, beside), (72, 8, 66), "tell docs/concepts/gateway.md");
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let texts = [None, Some(""), Some("x"), Some("ö\0ä")].map(|text| text.map(str::to_owned));
        for status in STATUSES {
            for provider in &texts {
                for id in &texts {
                    for metadata in &texts {
                        let (provider, transaction_id, metadata) = (provider.clone(), id.clone(), metadata.clone());
                        let answer = HookAnswer { status, provider, transaction_id, metadata };
                        assert_eq!(Packed::of(&answer).answer(), answer);
                    }
                }
            }
        }
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room_and_what_is_too_old_goes_by_and_by() {
        let mut memory = Memory::of(20, SECOND * 600);
        for of in 0..30 {
            memory.remember(call(of, SECOND * of.into()));
        }
        let found =
            |memory: &Memory, now| (0..30).filter(|of| memory.find(&key(*of), now).is_some()).collect::<Vec<_>>();
        assert_eq!(found(&memory, SECOND * 30), (10..30).collect::<Vec<_>>());
        assert_eq!(found(&memory, SECOND * 621), (21..30).collect::<Vec<_>>());
        memory.forget(SECOND * 621);
        assert_eq!(memory.len(), 12, "no more than a few at once");
        memory.forget(SECOND * 621);
        assert_eq!(memory.len(), 9);
        memory.forget(SECOND * 10_000);
        memory.forget(SECOND * 10_000);
        assert_eq!(memory.len(), 0);
        assert!(memory.chains.iter().all(|chain| *chain == 0), "nothing is left behind");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Remember(u8),
        Settle(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..12_u8).prop_map(Step::Remember),
            4 => (0..40_usize).prop_map(Step::Settle),
            1 => (0..9_u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn it_knows_what_a_simple_map_knows(steps in prop::collection::vec(step(), 0..80)) {
            const CAPACITY: usize = 8;
            let (mut memory, mut now) = (Memory::of(CAPACITY, SECOND * 10), Duration::ZERO);
            // by key: its turn, when it came, whether it was answered; and the turns in order
            let mut known: BTreeMap<u8, (usize, Duration, bool)> = BTreeMap::new();
            let mut turns: Vec<(u8, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Remember(of) => {
                        memory.forget(now);
                        turns.push((of, memory.remember(call(of, now))));
                        known.insert(of, (turns.len() - 1, now, false));
                        known.retain(|_, (turn, ..)| *turn + CAPACITY >= turns.len());
                    }
                    Step::Settle(turn) => {
                        let Some((of, number)) = turns.get(turn).copied() else { continue };
                        memory.settle(number, &answer(of));
                        if let Some((of_turn, _, is_answered)) = known.get_mut(&of) && *of_turn == turn {
                            *is_answered = true;
                        }
                    }
                    Step::Pass(seconds) => now += SECOND * u32::try_from(seconds).unwrap(),
                }
                prop_assert!(memory.len() <= CAPACITY);
                for of in 0..12 {
                    let expected = known.get(&of).filter(|(_, since, _)| now <= *since + SECOND * 10);
                    let found = memory.find(&key(of), now);
                    prop_assert_eq!(found.is_some(), expected.is_some(), "{}", of);
                    let answered = expected.filter(|(.., is_answered)| *is_answered).map(|_| answer(of));
                    prop_assert_eq!(found.and_then(Remembered::answer), answered);
                }
            }
        }
    }
}
