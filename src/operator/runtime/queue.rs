//! When objects have their next reconcile: one at a time each, woken at once or later, whichever comes first. Pure but for the bell
//! that hurries one which waits.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::triggers::Target;

/// Where an object is.
#[derive(Debug)]
enum Stage {
    /// Its reconcile is due then; whether it is urgent.
    Due(Instant, bool),
    /// Its reconcile waits for a permit. It will see what it is woken for meanwhile.
    Waits { hurry: Arc<Notify> },
    /// Its reconcile runs. Woken meanwhile it has another one; whether that is urgent.
    Runs { again: Option<bool> },
}

/// An object that is to have its reconcile now.
#[derive(Debug)]
pub struct Taken {
    /// The object.
    pub target: Target,
    /// Whether whoever asked for the reconcile said that it is urgent.
    pub urgent: bool,
    /// Told when it becomes urgent.
    pub hurry: Arc<Notify>,
}

/// The objects of one kind that are to have a reconcile.
#[derive(Debug, Default)]
pub struct Queue {
    stages: HashMap<Target, Stage>,
    due: BTreeSet<(Instant, Target)>,
}

impl Queue {
    /// These are to have a reconcile, one after the other, unless theirs is due before.
    pub fn spread(&mut self, all: Vec<Target>, spread: Duration, now: Instant) {
        let mut at = now;
        for target in all {
            match self.stages.get_mut(&target) {
                Some(Stage::Runs { again }) => *again = Some(again.unwrap_or_default()),
                Some(Stage::Waits { .. }) => {}
                Some(Stage::Due(due, _)) if *due <= at => {}
                Some(Stage::Due(due, urgent)) => {
                    let (due, urgent) = (*due, *urgent);
                    self.due.remove(&(due, target.clone()));
                    self.schedule(target, at, urgent);
                    at += spread;
                }
                None => {
                    self.schedule(target, at, false);
                    at += spread;
                }
            }
        }
    }

    fn schedule(&mut self, target: Target, at: Instant, urgent: bool) {
        self.due.insert((at, target.clone()));
        self.stages.insert(target, Stage::Due(at, urgent));
    }

    /// Something asks for a reconcile now, which is urgent when that says so, or else the object, which is asked where a permit is
    /// waited for.
    pub fn wake(&mut self, target: Target, urgent: bool, is_urgent: impl FnOnce() -> bool, now: Instant) {
        match self.stages.get_mut(&target) {
            Some(Stage::Waits { hurry }) => {
                if urgent || is_urgent() {
                    hurry.notify_one();
                }
            }
            Some(Stage::Runs { again }) => *again = Some(again.unwrap_or_default() || urgent || is_urgent()),
            Some(Stage::Due(at, before)) => {
                let (at, urgent) = (*at, *before || urgent);
                self.due.remove(&(at, target.clone()));
                self.schedule(target, at.min(now), urgent);
            }
            None => self.schedule(target, now, urgent),
        }
    }

    /// When the next reconcile is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// An object whose reconcile is due, which waits for a permit from now on.
    pub fn take(&mut self, now: Instant) -> Option<Taken> {
        let (at, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        let (_, target) = self.due.pop_first()?;
        let hurry = Arc::new(Notify::new());
        let waits = Stage::Waits { hurry: Arc::clone(&hurry) };
        let urgent = matches!(self.stages.insert(target.clone(), waits), Some(Stage::Due(_, true)));
        Some(Taken { target, urgent, hurry })
    }

    /// The reconcile over an object that has waited for a permit begins.
    pub fn begun(&mut self, target: &Target) {
        self.stages.insert(target.clone(), Stage::Runs { again: None });
    }

    /// A reconcile over an object ended, or was none to be had; the next one is due after `wait`, or not before somebody asks.
    pub fn ended(&mut self, target: &Target, wait: Option<Duration>, now: Instant) {
        let again = match self.stages.remove(target) {
            Some(Stage::Runs { again }) => again,
            _ => None,
        };
        match (again, wait) {
            (Some(urgent), _) => self.schedule(target.clone(), now, urgent),
            (None, Some(wait)) => self.schedule(target.clone(), now + wait, false),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookswitch_api::Kind;

    const SECOND: Duration = Duration::from_secs(1);

    fn target(name: &str) -> Target {
        Target::new(Kind::OktaOrg, "otp", name)
    }

    fn take(queue: &mut Queue, now: Instant) -> Option<(String, bool)> {
        queue.take(now).map(|taken| (taken.target.name, taken.urgent))
    }

    fn taken(name: &str, urgent: bool) -> (String, bool) {
        (name.to_owned(), urgent)
    }

    #[test]
    fn a_reconcile_is_due_at_the_earlier_of_its_time_and_a_wake_up() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.wake(target("a"), false, || false, now);
        queue.spread(vec![target("a"), target("x"), target("b"), target("c")], SECOND, now);
        let at_once = [take(&mut queue, now), take(&mut queue, now), take(&mut queue, now)];
        assert_eq!(at_once, [Some(taken("a", false)), Some(taken("x", false)), None]);
        queue.wake(target("c"), true, || false, now);
        assert_eq!((take(&mut queue, now), take(&mut queue, now)), (Some(taken("c", true)), None));
        assert_eq!(queue.next_due(), Some(now + SECOND));
        assert_eq!(take(&mut queue, now + SECOND), Some(taken("b", false)));
    }

    #[test]
    fn an_object_has_one_reconcile_at_a_time_and_another_at_once_when_it_was_woken_meanwhile() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.wake(target("a"), false, || false, now);
        assert_eq!(take(&mut queue, now), Some(taken("a", false)));
        queue.begun(&target("a"));
        for urgent in [false, true, false] {
            queue.wake(target("a"), false, || urgent, now);
        }
        assert_eq!(take(&mut queue, now), None);
        queue.ended(&target("a"), Some(SECOND), now);
        assert_eq!(take(&mut queue, now), Some(taken("a", true)));
        queue.begun(&target("a"));
        queue.ended(&target("a"), Some(SECOND), now);
        assert_eq!((take(&mut queue, now), take(&mut queue, now + SECOND)), (None, Some(taken("a", false))));
        queue.ended(&target("a"), None, now);
        assert!(queue.next_due().is_none() && queue.stages.is_empty(), "one that is gone is forgotten");
    }

    #[test]
    fn what_an_object_is_woken_for_while_it_waits_for_a_permit_is_seen_by_that_reconcile() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.wake(target("a"), false, || false, now);
        assert_eq!(take(&mut queue, now), Some(taken("a", false)));
        queue.wake(target("a"), true, || false, now);
        queue.spread(vec![target("a")], SECOND, now);
        assert_eq!(queue.next_due(), None);
        queue.begun(&target("a"));
        queue.ended(&target("a"), Some(SECOND), now);
        assert_eq!(queue.next_due(), Some(now + SECOND), "no other pass before its time");
        assert_eq!(take(&mut queue, now + SECOND), Some(taken("a", false)));
        queue.begun(&target("a"));
        queue.spread(vec![target("a")], SECOND, now);
        queue.ended(&target("a"), Some(SECOND), now);
        assert_eq!(queue.next_due(), Some(now), "a pass that runs may have read before");
    }

    #[tokio::test]
    async fn one_that_waits_is_hurried_when_it_becomes_urgent() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.spread(vec![target("a")], SECOND, now);
        let taken = queue.take(now).unwrap();
        queue.wake(target("a"), false, || true, now);
        taken.hurry.notified().await;
    }
}
