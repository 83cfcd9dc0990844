//! Permits at what many share, given out fairly: one tenant's slow things do not keep another's waiting.
//!
//! There are so many permits in all, and each tenant has so many of them at most. When one is free, the tenants who wait have it
//! in turn, and within a tenant those who wait have it in turn, whoever asks most often. What is urgent has room of its own in
//! each tenant, which nobody else can fill: it waits for none but the same tenant's urgent things, until so many are urgent in
//! all that they, too, are taken in turn.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{Future, pending},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// How soon a permit is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// In its turn.
    Routine,
    /// At once: a failover may wait for it.
    Urgent,
}

/// How many permits there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of all tenants together, urgent ones left out.
    pub all: usize,
    /// Of one tenant, urgent ones left out.
    pub each: usize,
    /// For urgent things of one tenant, besides.
    pub urgent: usize,
    /// For urgent things of all tenants together.
    pub all_urgent: usize,
}

/// Permits for all tenants. Clones share them.
#[derive(Debug, Clone)]
pub struct Fair(Arc<Mutex<Permits>>);

#[derive(Debug)]
struct Permits {
    bounds: Bounds,
    taken: usize,
    taken_urgently: usize,
    tenants: BTreeMap<String, Tenant>,
    /// Whose turn was last.
    last: String,
    last_urgent: String,
}

#[derive(Debug, Default)]
struct Tenant {
    taken: usize,
    taken_urgently: usize,
    routine: Line,
    urgent: Line,
}

/// Those of one tenant who wait, by who they are.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<String, VecDeque<oneshot::Sender<Permit>>>,
    last: String,
}

/// A permit, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    fair: Fair,
    tenant: String,
    of: Lane,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let tenant = std::mem::take(&mut self.tenant);
        self.fair.change(|permits| permits.give_back(&tenant, self.of));
    }
}

impl Fair {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(Permits {
            bounds,
            taken: 0,
            taken_urgently: 0,
            tenants: BTreeMap::new(),
            last: String::new(),
            last_urgent: String::new(),
        })))
    }

    /// Lines up for a permit of `tenant` in the turn of `who`, and waits for it. Whoever stops waiting gives the turn up.
    pub fn enter(&self, tenant: &str, who: &str, lane: Lane) -> impl Future<Output = Permit> + Send + use<> {
        let (given, permit) = oneshot::channel();
        self.change(|permits| permits.line_up(tenant, who, lane, given));
        let fair = self.clone();
        async move {
            let permit = permit.await;
            // who waits is kept for as long as somebody knows the permits
            drop(fair);
            match permit {
                Ok(permit) => permit,
                Err(_) => pending().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Permits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes who is there, and gives out what is free then.
    fn change(&self, change: impl FnOnce(&mut Permits)) {
        let mut permits = self.lock();
        change(&mut permits);
        let mut given = Vec::new();
        while let Some((tenant, of, waiter)) = permits.next() {
            given.push((waiter, Permit { fair: self.clone(), tenant, of }));
        }
        permits.tenants.retain(|_, tenant| !tenant.is_away());
        // one that nobody waits for any more comes back, and is given out again
        drop(permits);
        for (waiter, permit) in given {
            drop(waiter.send(permit));
        }
    }
}

impl Permits {
    fn line_up(&mut self, tenant: &str, who: &str, lane: Lane, waiter: oneshot::Sender<Permit>) {
        let tenant = self.tenants.entry(tenant.to_owned()).or_default();
        let waits = if lane == Lane::Urgent { &mut tenant.urgent } else { &mut tenant.routine };
        let waiting = waits.waiting.entry(who.to_owned()).or_default();
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push_back(waiter);
    }

    fn give_back(&mut self, tenant: &str, of: Lane) {
        let Some(known) = self.tenants.get_mut(tenant) else { return };
        match of {
            Lane::Urgent => {
                known.taken_urgently -= 1;
                self.taken_urgently -= 1;
            }
            Lane::Routine => {
                known.taken -= 1;
                self.taken -= 1;
            }
        }
    }

    /// Who has the next free permit, and which one that is.
    fn next(&mut self) -> Option<(String, Lane, oneshot::Sender<Permit>)> {
        let bounds = self.bounds;
        let urgent = |tenant: &mut Tenant| {
            let waiter = if tenant.taken_urgently < bounds.urgent { tenant.urgent.next() } else { None }?;
            tenant.taken_urgently += 1;
            Some(waiter)
        };
        if self.taken_urgently < bounds.all_urgent
            && let Some((name, waiter)) = in_turn(&mut self.tenants, &self.last_urgent, urgent)
        {
            self.taken_urgently += 1;
            self.last_urgent.clone_from(&name);
            return Some((name, Lane::Urgent, waiter));
        }
        if self.taken >= bounds.all {
            return None;
        }
        let (name, waiter) = in_turn(&mut self.tenants, &self.last, |tenant| {
            if tenant.taken >= bounds.each {
                return None;
            }
            let waiter = tenant.urgent.next().or_else(|| tenant.routine.next())?;
            tenant.taken += 1;
            Some(waiter)
        })?;
        self.taken += 1;
        self.last.clone_from(&name);
        Some((name, Lane::Routine, waiter))
    }
}

impl Tenant {
    fn is_away(&self) -> bool {
        self.taken + self.taken_urgently == 0 && self.routine.waiting.is_empty() && self.urgent.waiting.is_empty()
    }
}

impl Line {
    /// Who is next, of those who still wait.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        self.waiting.retain(|_, waiting| {
            waiting.retain(|waiter| !waiter.is_closed());
            !waiting.is_empty()
        });
        let (who, waiter) = in_turn(&mut self.waiting, &self.last, VecDeque::pop_front)?;
        if self.waiting.get(&who).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(&who);
        }
        self.last = who;
        Some(waiter)
    }
}

/// The first after `last` that gives something, beginning anew at the end.
fn in_turn<V, T>(
    all: &mut BTreeMap<String, V>,
    last: &str,
    mut give: impl FnMut(&mut V) -> Option<T>,
) -> Option<(String, T)> {
    let after = (Bound::Excluded(last), Bound::Unbounded);
    if let Some(found) = all.range_mut::<str, _>(after).find_map(|(name, value)| Some((name.clone(), give(value)?))) {
        return Some(found);
    }
    let until = (Bound::Unbounded, Bound::Included(last));
    all.range_mut::<str, _>(until).find_map(|(name, value)| Some((name.clone(), give(value)?)))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const BOUNDS: Bounds = Bounds { all: 4, each: 2, urgent: 1, all_urgent: 8 };

    fn now(fair: &Fair, tenant: &str, lane: Lane) -> Option<Permit> {
        fair.enter(tenant, "one", lane).now_or_never()
    }

    #[test]
    fn a_tenant_has_no_more_than_its_share_and_all_have_no_more_than_there_is() {
        let fair = Fair::new(BOUNDS);
        let mut held: Vec<_> = ["a", "a", "a", "b", "c", "c"].map(|tenant| now(&fair, tenant, Lane::Routine)).into();
        let given: Vec<_> = held.iter().map(Option::is_some).collect();
        assert_eq!(given, [true, true, false, true, true, false]);
        held.truncate(1);
        assert!(now(&fair, "c", Lane::Routine).is_some(), "what is given back is given again");
        assert!(now(&fair, "a", Lane::Routine).is_some(), "also to whom it was taken from");
        drop(held);
        assert!(fair.lock().tenants.is_empty(), "who is away is forgotten");
    }

    #[tokio::test]
    async fn tenants_have_what_is_free_in_turn_and_so_have_those_within_a_tenant() {
        let fair = Fair::new(Bounds { all: 1, each: 1, urgent: 0, all_urgent: 0 });
        let held = now(&fair, "z", Lane::Routine);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for (tenant, who) in [("a", "x"), ("a", "x"), ("a", "x"), ("a", "y"), ("b", "x"), ("c", "x")] {
            let (fair, order) = (fair.clone(), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let permit = fair.enter(tenant, who, Lane::Routine).await;
                order.lock().unwrap().push(format!("{tenant}{who}"));
                drop(permit);
            }));
            tokio::task::yield_now().await;
        }
        drop(held);
        for waiting in waiting {
            waiting.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["ax", "bx", "cx", "ay", "ax", "ax"]);
    }

    #[test]
    fn what_is_urgent_has_room_that_nobody_else_can_fill_and_goes_first_where_that_is_full() {
        let fair = Fair::new(BOUNDS);
        let mut others = Vec::new();
        for tenant in ["a", "b", "c"] {
            for lane in [Lane::Routine, Lane::Urgent] {
                others.extend((0..4).filter_map(|_| now(&fair, tenant, lane)));
            }
        }
        assert!(now(&fair, "ours", Lane::Routine).is_none(), "all is taken");
        let ours = now(&fair, "ours", Lane::Urgent);
        assert!(ours.is_some() && now(&fair, "ours", Lane::Urgent).is_none());
        let mut routine = Box::pin(fair.enter("ours", "one", Lane::Routine));
        let mut urgent = Box::pin(fair.enter("ours", "two", Lane::Urgent));
        assert!(routine.as_mut().now_or_never().is_none() && urgent.as_mut().now_or_never().is_none());
        let position = others.iter().position(|permit| permit.of == Lane::Routine).unwrap();
        others.remove(position);
        assert!(routine.as_mut().now_or_never().is_none());
        assert!(urgent.as_mut().now_or_never().is_some(), "a place of all is as good");
    }

    #[test]
    fn who_stops_waiting_takes_no_permit_and_leaves_nothing_behind() {
        let fair = Fair::new(Bounds { all: 1, each: 1, urgent: 1, all_urgent: 8 });
        let held = now(&fair, "a", Lane::Routine);
        for _ in 0..100 {
            assert!(now(&fair, "a", Lane::Routine).is_none() && now(&fair, "b", Lane::Routine).is_none());
        }
        let waiting: usize =
            fair.lock().tenants.values().flat_map(|t| t.routine.waiting.values()).map(VecDeque::len).sum();
        assert!(waiting <= 2, "{waiting}");
        drop(held);
        assert!(now(&fair, "a", Lane::Routine).is_some());
        assert!(fair.lock().tenants.is_empty());
    }

    #[test]
    fn urgent_things_of_many_tenants_have_so_many_permits_and_then_their_turns() {
        let fair = Fair::new(Bounds { all: 0, each: 0, urgent: 2, all_urgent: 3 });
        let enter = |tenant: &str| fair.enter(tenant, "x", Lane::Urgent);
        let mut given: Vec<Permit> =
            ["a", "a", "b"].into_iter().filter_map(|tenant| enter(tenant).now_or_never()).collect();
        assert_eq!(given.len(), 3);
        let mut waiting = [enter("a"), enter("b"), enter("c")].map(Box::pin);
        assert!(waiting.iter_mut().all(|permit| permit.now_or_never().is_none()), "three are taken");
        given.remove(2);
        let next: Vec<bool> = waiting.iter_mut().map(|permit| permit.now_or_never().is_some()).collect();
        assert_eq!(next, [false, false, true], "after b comes c, and a has its two");
    }
}
