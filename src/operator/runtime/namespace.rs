//! Whether a namespace is being deleted, with everything in it.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use super::error::ReconcileError;

/// Whether a namespace is being deleted. One that may not be read is taken to stay.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn is_terminating(client: &Client, name: &str) -> Result<bool, ReconcileError> {
    match goes(client, name).await {
        Err(error) if error.is_forbidden() => Ok(false),
        goes => goes,
    }
}

/// Whether a namespace is being deleted, or gone.
///
/// # Errors
/// [`ReconcileError::Api`].
pub async fn goes(client: &Client, name: &str) -> Result<bool, ReconcileError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_opt(name).await.map_err(ReconcileError::api(format!("read Namespace {name}")))?;
    Ok(found.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()))
}
