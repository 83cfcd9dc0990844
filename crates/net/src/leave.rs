//! Whether a message may have left: one word that its sender and whoever waits for it agree on.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// A message waits, until either its sending is begun or it is given up; the first of the two settles it.
///
/// Sending asks [`begin`](Self::begin) before its first byte and sends nothing when the answer is no. Whoever waits asks
/// [`give_up`](Self::give_up) and says "not sent" only when the answer is yes. So the two can never both be right, whatever
/// threads they run on and however late the sender comes.
#[derive(Debug, Clone, Default)]
pub(super) struct Leave(Arc<AtomicU8>);

impl Leave {
    /// Of something that has left already.
    pub(super) fn begun() -> Self {
        Self(Arc::new(AtomicU8::new(BEGUN)))
    }

    /// Whether the message may leave now.
    pub(super) fn begin(&self) -> bool {
        self.settle(BEGUN)
    }

    /// Whether the message will never leave from now on.
    pub(super) fn give_up(&self) -> bool {
        self.settle(GIVEN_UP)
    }

    /// The very first thing that was sent of it did not get out, and nothing else will.
    pub(super) fn undo(&self) {
        self.0.store(GIVEN_UP, Ordering::Release);
    }

    fn settle(&self, as_what: u8) -> bool {
        let before = self.0.compare_exchange(WAITING, as_what, Ordering::AcqRel, Ordering::Acquire);
        before.is_ok() || before == Err(as_what)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn of_beginning_and_giving_up_the_first_one_counts_for_good() {
        let begun = Leave::default();
        assert!(begun.begin() && !begun.give_up() && begun.begin());
        let given_up = Leave::default();
        assert!(given_up.give_up() && !given_up.begin() && given_up.give_up());
        assert!(!Leave::begun().give_up());
        let undone = Leave::begun();
        undone.undo();
        assert!(undone.give_up() && !undone.begin());
    }

    #[test]
    fn two_threads_never_both_win() {
        for _ in 0..2_000 {
            let (leave, start) = (Leave::default(), Arc::new(Barrier::new(2)));
            let (other, both) = (leave.clone(), Arc::clone(&start));
            let sender = thread::spawn(move || {
                both.wait();
                other.begin()
            });
            start.wait();
            let given_up = leave.give_up();
            assert_ne!(given_up, sender.join().unwrap());
        }
    }
}
