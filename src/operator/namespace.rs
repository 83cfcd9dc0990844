//! Namespaces that go, with everything in them.
//!
//! An object in one is let go whatever it owes. With a namespace go the operator's rights in it, and with the operator's own
//! its pod, so such namespaces are looked at as long as objects in them are held. The API server waits some seconds between
//! marking a namespace and deleting what is in it; that is the time there is.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::{
    context::Context,
    finalizer::{self, LetGo},
    pass::PassError,
};

/// How often namespaces are looked at while objects in them are held.
const LOOK: Duration = Duration::from_secs(2);

/// Whether a namespace is being deleted. One that may not be read is taken to stay.
///
/// # Errors
/// [`PassError::Api`].
pub async fn is_terminating(ctx: &Context, name: &str) -> Result<bool, PassError> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    match api.get_opt(name).await {
        Ok(found) => Ok(found.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some())),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(false),
        Err(error) => Err(PassError::api(format!("read Namespace {name}"))(error)),
    }
}

/// Lets objects go once their namespace is being deleted, where the operator's rights go with it: in the namespaces that it
/// is told to look after, and in its own.
pub fn watch(ctx: &Arc<Context>) -> BoxFuture<'static, ()> {
    let ctx = Arc::clone(ctx);
    Box::pin(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let mut namespaces = ctx.options.namespaces();
            if !namespaces.contains(&ctx.options.operator_namespace) {
                namespaces.push(ctx.options.operator_namespace.clone());
            }
            for namespace in namespaces {
                look(&ctx, &namespace).await;
            }
        }
    })
}

async fn look(ctx: &Context, namespace: &str) {
    if !may_hold_any(ctx, namespace) || !matches!(is_terminating(ctx, namespace).await, Ok(true)) {
        return;
    }
    match finalizer::let_go(&ctx.client, Some(namespace)).await {
        Ok(LetGo { count: 0, denied: None }) => {}
        Ok(LetGo { count, denied: None }) => {
            tracing::warn!(namespace, count, "a namespace goes: its objects are let go");
        }
        Ok(LetGo { denied: Some(error), .. }) | Err(error) => {
            tracing::warn!(namespace, %error, "objects of a namespace that goes could not be let go");
        }
    }
}

/// Whether an object in a namespace is held, or nobody knows.
fn may_hold_any(ctx: &Context, namespace: &str) -> bool {
    let caches = &ctx.caches;
    !caches.listing.is_listed(namespace, finalizer::HELD)
        || caches.hooks.in_namespace(namespace).iter().any(|hook| finalizer::is_held(&**hook))
        || caches.gateways.in_namespace(namespace).iter().any(|gateway| finalizer::is_held(&**gateway))
        || caches.orgs.in_namespace(namespace).iter().any(|org| finalizer::is_held(&**org))
}
