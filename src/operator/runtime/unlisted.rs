//! What is said of an object that no reconcile is run over, because objects that it would read cannot be listed.

use std::collections::BTreeMap;

use kube::ResourceExt as _;

use super::{
    conditions,
    error::ReconcileError,
    listing::{GRACE, ListError},
    problem::Problem,
    reconcile::{Reconcile, Requeue},
    status::{self, Conditions as _},
};
use hookswitch_api::{Kind, reason::Ready};

/// Says at `object` what is not listed of what its reconcile reads, once that has lasted. It has its reconcile as soon as it is listed.
///
/// # Errors
/// [`ReconcileError`] when it cannot be said either: the metrics and the alert made of them say it then.
pub async fn report<K: Reconcile>(
    object: &K,
    ctx: &K::Context,
    lacking: &BTreeMap<Kind, Option<ListError>>,
) -> Result<Requeue, ReconcileError> {
    if let Some(problem) = problem(&object.namespace().unwrap_or_default(), lacking) {
        let mut built = K::unobserved(object, ctx);
        conditions::set_progress(built.conditions_mut(), problem.progress(), object.meta().generation);
        status::write(&ctx.as_ref().kube, object, built).await?;
    }
    Ok(Requeue::After(GRACE))
}

/// What is wrong; nothing while it may pass by itself. Pure but for the time.
fn problem(namespace: &str, lacking: &BTreeMap<Kind, Option<ListError>>) -> Option<Problem> {
    let mut failing = lacking.iter().filter_map(|(kind, error)| Some((*kind, error.as_ref()?)));
    let (kind, error) = failing.find(|(_, error)| error.lasts())?;
    let message = format!(
        "The operator cannot list {} objects in namespace {namespace} ({}), so this object is not reconciled. Grant its \
         service account the chart's Role there; helm upgrade creates it again.",
        kind.as_str(),
        error.why
    );
    Some(Problem::transient(Ready::NotListed, message))
}
