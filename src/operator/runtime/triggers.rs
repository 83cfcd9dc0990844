//! Wake-ups: how one object's reconcile is asked for because something else changed.
//!
//! Watches, references and reports send; every controller listens for its own kind. What waits to be heard is kept once for each
//! object, so that no flood of wake-ups loses one, or grows beyond the objects there are.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use hookswitch_api::Kind;

/// One object that reconciles are run for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Target {
    /// Names an object.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// What a listener gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Woken {
    /// The object to reconcile.
    pub target: Target,
    /// Whether a failover waits for it.
    pub urgent: bool,
}

/// The board that wake-ups are written on.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    listeners: Arc<Mutex<Vec<Weak<Listener>>>>,
}

/// Wake-ups of one kind that wait to be heard.
#[derive(Debug)]
struct Listener {
    kind: Kind,
    waiting: Mutex<Waiting>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<Target>,
    /// Whether each is urgent.
    urgent: HashMap<Target, bool>,
}

impl Waiting {
    fn add(&mut self, target: &Target, urgent: bool) {
        if let Some(known) = self.urgent.get_mut(target) {
            *known |= urgent;
        } else {
            self.urgent.insert(target.clone(), urgent);
            self.order.push_back(target.clone());
        }
    }

    fn next(&mut self) -> Option<Woken> {
        let target = self.order.pop_front()?;
        let urgent = self.urgent.remove(&target).unwrap_or_default();
        Some(Woken { target, urgent })
    }
}

impl Wake {
    /// Asks for a reconcile over an object. Without a listener nothing happens: a controller that starts reconciles everything.
    pub fn wake(&self, target: Target) {
        self.wake_each([target], false);
    }

    /// Asks for a reconcile that a failover waits for.
    pub fn hurry(&self, target: Target) {
        self.wake_each([target], true);
    }

    /// Asks for reconciles over several objects.
    pub fn wake_all(&self, targets: impl IntoIterator<Item = Target>) {
        self.wake_each(targets, false);
    }

    /// Asks for reconciles over objects when what is given back goes: at the end of the work that those reconciles are to see, however
    /// that ends.
    #[must_use]
    pub fn at_the_end(&self, targets: impl IntoIterator<Item = Target>) -> AtTheEnd<'_> {
        AtTheEnd { wake: self, targets: targets.into_iter().collect() }
    }

    fn wake_each(&self, targets: impl IntoIterator<Item = Target>, urgent: bool) {
        for target in targets {
            let listeners = lock(&self.listeners);
            for listener in listeners.iter().filter_map(Weak::upgrade).filter(|listener| listener.kind == target.kind) {
                lock(&listener.waiting).add(&target, urgent);
                listener.woken.notify_one();
            }
        }
    }

    /// Wake-ups of one kind from now on.
    pub fn listen(&self, kind: Kind) -> impl futures::Stream<Item = Woken> + Send + use<> {
        let listener = Arc::new(Listener { kind, waiting: Mutex::default(), woken: Notify::new() });
        let mut listeners = lock(&self.listeners);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&listener));
        drop(listeners);
        futures::stream::unfold(listener, |listener| async {
            loop {
                let next = lock(&listener.waiting).next();
                match next {
                    Some(woken) => return Some((woken, listener)),
                    None => listener.woken.notified().await,
                }
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wake-ups that are still to come.
#[derive(Debug)]
pub struct AtTheEnd<'w> {
    wake: &'w Wake,
    targets: Vec<Target>,
}

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.wake.wake_all(std::mem::take(&mut self.targets));
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    #[tokio::test]
    async fn a_listener_hears_its_own_kind_only() {
        let wake = Wake::default();
        let mut hooks = std::pin::pin!(wake.listen(Kind::TelephonyHook));
        let main = Target::new(Kind::TelephonyHook, "otp", "main");
        wake.wake(Target::new(Kind::OktaOrg, "otp", "acme"));
        wake.wake(main.clone());
        assert_eq!(hooks.next().await, Some(Woken { target: main, urgent: false }));
        assert_eq!(hooks.next().now_or_never(), None);
    }

    #[test]
    fn a_listener_that_fell_behind_hears_of_each_object_once_and_whether_any_wake_up_was_urgent() {
        let wake = Wake::default();
        let mut hooks = std::pin::pin!(wake.listen(Kind::TelephonyHook));
        let hook = |number: usize| Target::new(Kind::TelephonyHook, "otp", number.to_string());
        for round in 0..3 {
            wake.wake_all((0..5_000).map(hook));
            if round == 1 {
                wake.hurry(hook(7));
            }
        }
        let mut heard = Vec::new();
        while let Some(Some(woken)) = hooks.next().now_or_never() {
            heard.push(woken);
        }
        let expected: Vec<_> = (0..5_000).map(|number| Woken { target: hook(number), urgent: number == 7 }).collect();
        assert_eq!(heard, expected);
    }

    #[test]
    fn an_object_is_shown_as_kubernetes_names_it() {
        let shown: Vec<String> = Kind::ALL.map(|kind| Target::new(kind, "otp", "a").to_string()).into();
        assert_eq!(
            shown,
            [
                "OktaOrg otp/a",
                "TelephonyHook otp/a",
                "TelephonyGateway otp/a",
                "TelephonyProvider otp/a",
                "RoutingPolicy otp/a",
                "HookSwitch otp/a"
            ]
        );
    }
}
