//! What is counted of the controllers of all kinds. Names are those of controller-runtime where it has one, so that stock
//! dashboards work.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::lease;
use hookswitch_telemetry::families::{Families as _, Histograms};

/// Labels of reconciles that ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    controller: &'static str,
    result: &'static str,
}

/// How a reconcile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconcileResult {
    /// It did all that there was to do.
    Success,
    /// It comes back after a time of its own choice.
    RequeueAfter,
    /// It is to be tried again.
    Requeue,
    /// It failed.
    Error,
}

impl ReconcileResult {
    /// As the label `result` says it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RequeueAfter => "requeue_after",
            Self::Requeue => "requeue",
            Self::Error => "error",
        }
    }
}

/// Labels of what a controller counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

/// Labels of a kind in a namespace that is watched; `*` for all. Not `namespace`: a scrape has a label of that name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    watched: String,
    kind: &'static str,
}

/// Labels of leadership.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Leader {
    name: &'static str,
}

/// Borders of the times of reconciles, in seconds.
const TIMES: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What is counted of the controllers of all kinds. Clones share it.
#[derive(Debug, Clone)]
pub struct RuntimeMetrics {
    ended: Family<Ended, Counter>,
    errors: Family<Controller, Counter>,
    times: Histograms<Controller>,
    active: Family<Controller, Gauge>,
    unreadable: Family<Controller, Counter>,
    watch_errors: Family<Controller, Counter>,
    unlisted: Family<Watched, Gauge>,
    leader: Family<Leader, Gauge>,
}

impl RuntimeMetrics {
    /// Families under controller-runtime's names, and those that this operator alone has.
    #[must_use]
    pub fn new(own: &mut Registry, shared: &mut Registry) -> Self {
        Self {
            ended: shared.add("controller_runtime_reconcile", "Reconciles that ended, by result"),
            errors: shared.add("controller_runtime_reconcile_errors", "Reconciles that failed"),
            times: shared.add_histograms("controller_runtime_reconcile_time_seconds", "Time of a reconcile", || {
                Histogram::new(TIMES)
            }),
            active: shared.add("controller_runtime_active_workers", "Reconciles under way"),
            leader: shared.add("leader_election_master_status", "1 while this pod leads"),
            unreadable: own.add("unreadable_objects", "Watched objects that could not be read"),
            watch_errors: own.add("watch_errors", "Watches that were interrupted"),
            unlisted: own
                .add("unlisted", "1 while objects of a kind in a watched namespace cannot be listed, or were not yet"),
        }
    }

    /// A reconcile begins; the guard's drop ends it.
    #[must_use]
    pub fn begin(&self, controller: &'static str) -> Working {
        let gauge = self.active.get_or_create(&Controller { controller }).clone();
        gauge.inc();
        Working { gauge: Arc::new(gauge) }
    }

    /// A reconcile ended.
    pub fn ended(&self, controller: &'static str, result: ReconcileResult, took: Duration) {
        self.ended.get_or_create(&Ended { controller, result: result.as_str() }).inc();
        if result == ReconcileResult::Error {
            self.errors.get_or_create(&Controller { controller }).inc();
        }
        self.times.get_or_create(&Controller { controller }).observe(took.as_secs_f64());
    }

    /// A watched object could not be read.
    pub fn unreadable(&self, controller: &'static str) {
        self.unreadable.get_or_create(&Controller { controller }).inc();
    }

    /// A watch was interrupted.
    pub fn watch_error(&self, controller: &'static str) {
        self.watch_errors.get_or_create(&Controller { controller }).inc();
    }

    /// Whether objects of a kind are listed in a namespace that is watched.
    pub fn listed(&self, watched: &str, kind: &'static str, listed: bool) {
        let labels = Watched { watched: watched.to_owned(), kind };
        self.unlisted.get_or_create(&labels).set(i64::from(!listed));
    }

    /// Whether this pod leads.
    pub fn leads(&self, leads: bool) {
        self.leader.get_or_create(&Leader { name: lease::NAME }).set(i64::from(leads));
    }
}

/// A reconcile under way.
#[derive(Debug)]
pub struct Working {
    gauge: Arc<Gauge>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
