//! Metric families that are registered as they are made: each is named once, beside its help and the field that counts.

use std::hash::Hash;

use prometheus_client::{
    metrics::{family::Family, histogram::Histogram},
    registry::{Metric, Registry},
};

/// A family of histograms that are all made alike.
pub type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Makes families of a registry.
pub trait Families {
    /// A metric or family that begins empty.
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M;

    /// A family of histograms, each made by `histogram`.
    fn add_histograms<L: Clone + Hash + Eq>(
        &mut self,
        name: &str,
        help: &str,
        histogram: fn() -> Histogram,
    ) -> Histograms<L>
    where
        Histograms<L>: Metric + Clone;
}

impl Families for Registry {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.register(name, help, metric.clone());
        metric
    }

    fn add_histograms<L: Clone + Hash + Eq>(
        &mut self,
        name: &str,
        help: &str,
        histogram: fn() -> Histogram,
    ) -> Histograms<L>
    where
        Histograms<L>: Metric + Clone,
    {
        let family = Family::new_with_constructor(histogram);
        self.register(name, help, family.clone());
        family
    }
}
