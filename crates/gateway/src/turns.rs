//! Handshakes take turns, so that who knocks does not hold up who is served.
//!
//! A handshake takes the processor for longer than a call does, and anybody may ask for one. Those that are due at the same time
//! would all be made before the next call goes on; here each waits for the one before it, and lets go on whatever else is ready
//! in between. One processor is left to the calls where there are several.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
    task::yield_now,
};

/// The turns of all handshakes.
pub struct Turns(Semaphore);

impl Turns {
    /// Those of a runtime of so many threads.
    #[must_use]
    pub fn of(threads: usize) -> Self {
        Self(Semaphore::new(threads.saturating_sub(1).max(1)))
    }

    /// Those of this runtime. Must be called within one.
    #[must_use]
    pub fn here() -> Self {
        Self::of(Handle::current().metrics().num_workers())
    }

    /// Does work step by step, each in its turn.
    pub async fn take<F: Future>(&self, work: F) -> F::Output {
        let woken = Arc::new(Woken(Notify::new()));
        let waker = Waker::from(Arc::clone(&woken));
        let mut work = pin!(work);
        loop {
            let turn = self.0.acquire().await;
            let step = work.as_mut().poll(&mut Context::from_waker(&waker));
            // to the end of the line: whoever is served goes first
            yield_now().await;
            drop(turn);
            match step {
                Poll::Ready(output) => return output,
                Poll::Pending => woken.0.notified().await,
            }
        }
    }
}

/// Wakes the task that waits for its next step, and none that waits for its turn.
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Mutex};

    use tokio::{sync::oneshot, task::JoinSet};

    use super::*;

    #[tokio::test]
    async fn between_two_handshakes_whoever_is_served_goes_on() {
        const HANDSHAKES: usize = 100;
        let (turns, order) = (Arc::new(Turns::here()), Arc::new(Mutex::new(Vec::new())));
        let mut all = JoinSet::new();
        for _ in 0..HANDSHAKES {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            all.spawn(async move { turns.take(async { order.lock().unwrap().push('h') }).await });
        }
        let served = tokio::spawn({
            let order = Arc::clone(&order);
            async move {
                for _ in 0..HANDSHAKES {
                    order.lock().unwrap().push('s');
                    yield_now().await;
                }
            }
        });
        all.join_all().await;
        served.await.unwrap();
        let order: String = order.lock().unwrap().iter().collect();
        assert_eq!(order.matches('h').count(), HANDSHAKES);
        assert!(!order.trim_end_matches('h').contains("hhh"), "{order}");
    }

    #[tokio::test]
    async fn who_waits_for_the_other_side_keeps_nobody_from_his_turn() {
        let turns = Arc::new(Turns::of(2));
        let (say, said) = oneshot::channel::<u8>();
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.take(said).await }
        });
        for turn in 0..20 {
            assert_eq!(turns.take(async { turn }).await, turn);
        }
        say.send(7).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(7));
        let mut steps = 0;
        let in_steps = poll_fn(|context| {
            steps += 1;
            context.waker().wake_by_ref();
            if steps < 5 { Poll::Pending } else { Poll::Ready(steps) }
        });
        assert_eq!(turns.take(in_steps).await, 5);
        assert_eq!(turns.0.available_permits(), 1);
        for (threads, at_once) in [(0, 1), (1, 1), (2, 1), (3, 2), (8, 7)] {
            assert_eq!(Turns::of(threads).0.available_permits(), at_once);
        }
    }
}
