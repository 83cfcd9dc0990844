//! What a kind has to say of itself so that its objects are reconciled.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use kube::{
    Resource, ResourceExt as _,
    core::{NamespaceResourceScope, object::HasStatus},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Runtime,
    cache::{Index, Kept},
    conditions::{self, Is},
    error::ReconcileError,
    status::Conditions,
    triggers::Target,
};
use hookswitch_api::{
    Kind,
    reason::{self, Reason as _},
};
use hookswitch_fair::Bounds;

/// What is said by a condition that was made of what is not seen any more.
pub const UNSEEN: &str = "Nobody looks at it: objects that it depends on cannot be listed, see the condition Ready.";

/// A kind that reconciles are run for.
pub trait Reconcile:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Kept
    + HasStatus<Status: Conditions + Clone + Default + PartialEq + Serialize + Send + Sync>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// What its reconciles work with.
    type Context: AsRef<Runtime> + Send + Sync + 'static;

    /// Which kind it is.
    const KIND: Kind;

    /// Reconciles at once; the tenants are the namespaces.
    const PERMITS: Bounds = Bounds { all: 8, each: 4, urgent: 8, all_urgent: 128 };

    /// The kinds of which a reconcile over one reads the objects of its namespace: it is run once they were all listed.
    const READS: &'static [Kind];

    /// Where its objects are kept.
    fn index(ctx: &Self::Context) -> &Index<Self>;

    /// Other objects whose reconciles read this one: they are woken when it changes or goes.
    fn dependents(&self, ctx: &Self::Context) -> Vec<Target>;

    /// Whether a failover may wait for a reconcile over it.
    fn is_urgent(_object: &Self, _ctx: &Self::Context) -> bool {
        false
    }

    /// What of its status nobody stands for as long as no reconcile is run over it, because objects that it reads cannot be listed.
    fn unobserved(object: &Self, _ctx: &Self::Context) -> Self::Status {
        let mut status = object.status().cloned().unwrap_or_default();
        let conditions = status.conditions_mut();
        if conditions::get(conditions, reason::Healthy::CONDITION).is_some() {
            let generation = object.meta().generation;
            conditions::set(conditions, Is::Unknown, reason::Healthy::NotListed, UNSEEN, generation);
        }
        status
    }

    /// Called before a reconcile over an object, and where none can be run because objects of other kinds cannot be listed.
    fn met(_object: &Self, _ctx: &Self::Context) {}

    /// Called when an object is gone, to forget what is kept of it in memory.
    fn gone(_object: &Self, _ctx: &Self::Context) {}

    /// Watches of other kinds whose changes wake objects of this one; they run as long as the operator leads.
    fn watches(_ctx: &Arc<Self::Context>) -> Vec<BoxFuture<'static, ()>> {
        Vec::new()
    }

    /// One reconcile over one object.
    fn reconcile(
        object: Arc<Self>,
        ctx: Arc<Self::Context>,
    ) -> impl Future<Output = Result<Requeue, ReconcileError>> + Send;
}

/// What follows a reconcile that did what it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// Nothing until something changes (or, at the latest, after ten minutes).
    OnChange,
    /// Another reconcile after this time, ± 20 %.
    After(Duration),
    /// Something outside failed: another reconcile after the object's backoff.
    Retry,
}

/// The target that an object of ours is.
pub fn target<K: Reconcile>(object: &K) -> Target {
    Target::new(K::KIND, object.namespace().unwrap_or_default(), object.name_any())
}
