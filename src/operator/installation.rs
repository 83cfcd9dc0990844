//! Who this installation is: the mark of its hooks in Okta, and the key of its hashes.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Secret},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};

use super::{context::Installation, options::Options, pass::PassError};
use crate::okta::{
    keyed::{KeyTooShort, MarkKey},
    mark::{self, InvalidInstallation},
};

/// The Secret with the installation's key, in the operator's namespace.
pub const SECRET: &str = "hookswitch-installation";

/// The key of its data.
const KEY: &str = "key";

/// Bytes of the key.
const BYTES: usize = 32;

/// Why it is not known who this installation is.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The name given at start cannot be one.
    #[error("--installation: {0}")]
    Name(#[from] InvalidInstallation),
    /// The API server did not take or answer a call.
    #[error(transparent)]
    Api(#[from] PassError),
    /// The key was changed by hand.
    #[error(
        "Secret {namespace}/{SECRET} key {KEY}: {source}. Delete the Secret to have another key made; every hook's \
             secret is then written to Okta once more"
    )]
    Key {
        /// Namespace of the Secret.
        namespace: String,
        /// What is wrong with the key.
        source: KeyTooShort,
    },
    /// The system has no randomness.
    #[error("draw a random key: the system gave none")]
    Random,
}

/// Finds out who this installation is.
///
/// Without a name the mark is the UID of the cluster's `kube-system` namespace, or that of the operator's own namespace
/// where `kube-system` may not be read. Neither survives a rebuilt cluster.
///
/// # Errors
/// [`InstallationError`].
pub async fn identify(client: &Client, options: &Options) -> Result<Installation, InstallationError> {
    let name = match options.installation.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        None => match namespace_uid(client, "kube-system").await {
            Ok(uid) => uid,
            Err(_) => namespace_uid(client, &options.operator_namespace).await?,
        },
    };
    let mark = mark::Installation::new(name)?;
    let namespace = &options.operator_namespace;
    let bytes = key(client, namespace).await?;
    let key = MarkKey::new(&bytes).map_err(|source| InstallationError::Key { namespace: namespace.clone(), source })?;
    Ok(Installation { mark, key })
}

async fn namespace_uid(client: &Client, name: &str) -> Result<String, PassError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let doing = || format!("read the UID of namespace {name} (or give --installation)");
    let found = api.get(name).await.map_err(PassError::api(doing()))?;
    found.uid().ok_or_else(|| PassError::encoding(doing()))
}

/// The key; made when there is none. Two operators that make one at once end with the same.
async fn key(client: &Client, namespace: &str) -> Result<Vec<u8>, InstallationError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let doing = |what: &str| format!("{what} Secret {namespace}/{SECRET}");
    if let Some(found) = api.get_opt(SECRET).await.map_err(PassError::api(doing("read")))? {
        return Ok(value(found));
    }
    let mut bytes = vec![0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| InstallationError::Random)?;
    let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "hookswitch".to_owned())]);
    let secret = Secret {
        metadata: ObjectMeta { name: Some(SECRET.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(bytes.clone()))])),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(bytes),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            Ok(value(api.get(SECRET).await.map_err(PassError::api(doing("read")))?))
        }
        Err(error) => Err(PassError::api(doing("create"))(error).into()),
    }
}

fn value(secret: Secret) -> Vec<u8> {
    secret.data.and_then(|mut data| data.remove(KEY)).map(|bytes| bytes.0).unwrap_or_default()
}
