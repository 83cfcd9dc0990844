//! Namespaces that go, with everything in them.
//!
//! An object in one is let go whatever it owes. The operator's own namespace is a case of its own: with it go the operator's
//! pod and rights, so it is looked at as long as objects in it are held. The API server waits some seconds between marking
//! a namespace and deleting what is in it; that is the time there is.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::{context::Context, finalizer, pass::PassError};

/// How often the operator's own namespace is looked at while objects in it are held.
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

/// Lets objects in the operator's own namespace go once it is being deleted.
pub fn watch_own(ctx: &Arc<Context>) -> BoxFuture<'static, ()> {
    let ctx = Arc::clone(ctx);
    Box::pin(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let own = &ctx.options.operator_namespace;
            if !holds_any(&ctx, own) || !matches!(is_terminating(&ctx, own).await, Ok(true)) {
                continue;
            }
            match finalizer::let_go(&ctx.client, Some(own)).await {
                Ok(count) => {
                    tracing::warn!(namespace = own, count, "the operator's namespace goes: objects are let go");
                }
                Err(error) => tracing::warn!(namespace = own, %error, "objects could not be let go"),
            }
        }
    })
}

fn holds_any(ctx: &Context, namespace: &str) -> bool {
    let caches = &ctx.caches;
    caches.hooks.in_namespace(namespace).iter().any(|hook| finalizer::is_held(&**hook))
        || caches.gateways.in_namespace(namespace).iter().any(|gateway| finalizer::is_held(&**gateway))
        || caches.orgs.in_namespace(namespace).iter().any(|org| finalizer::is_held(&**org))
}
