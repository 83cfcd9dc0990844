//! Who this installation is: the tag of its hooks in Okta, and the key of its hashes.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Secret},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::operator::{
    options::Options,
    runtime::{apply::MANAGER, error::ReconcileError},
};
use hookswitch_okta::{
    fingerprint::{FingerprintKey, KeyTooShort},
    owner_tag::{self, InvalidInstallation},
};

/// The Secret with the installation's key, in the operator's namespace.
pub const SECRET: &str = "hookswitch-installation";

/// The key of its data with the key of our hashes.
const KEY: &str = "key";

/// The key of its data with who we were found to be.
const TAG: &str = "installation";

/// The key of its data with the UID that the Secret had then: a copy of it, in another cluster, says nothing of that one.
const TAGGED: &str = "installationOf";

/// Bytes of the key.
const BYTES: usize = 32;

/// Who this installation is.
#[derive(Debug)]
pub struct Installation {
    /// First part of the tag that our hooks carry in Okta.
    pub tag: owner_tag::InstallationTag,
    /// Key of the hashes by which changes of secrets are found.
    pub key: FingerprintKey,
}

/// Why it is not known who this installation is.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The name given at start cannot be one.
    #[error("--installation: {0}")]
    Name(#[from] InvalidInstallation),
    /// The API server did not take or answer a call.
    #[error(transparent)]
    Api(#[from] ReconcileError),
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
    /// Who we are was changed by hand.
    #[error(
        "Secret {namespace}/{SECRET} key {TAG}: {source}. Give --installation, or remove that key to have it found out \
             anew from the cluster"
    )]
    Tag {
        /// Namespace of the Secret.
        namespace: String,
        /// What is wrong with it.
        source: InvalidInstallation,
    },
    /// The system has no randomness.
    #[error("draw a random key: the system gave none")]
    Random,
}

/// Finds out who this installation is.
///
/// Without a name the tag is the UID of the cluster's `kube-system` namespace, or that of the operator's own namespace
/// where `kube-system` may not be read. It is found out once and recorded, so that other rights do not make another of us.
///
/// # Errors
/// [`InstallationError`]. One of the API server's is no reason to be somebody else: it is to be tried again.
pub async fn identify(client: &Client, options: &Options) -> Result<Installation, InstallationError> {
    let secret = secret(client, &options.operator_namespace).await?;
    let namespace = || options.operator_namespace.clone();
    let key = FingerprintKey::new(value(&secret, KEY).unwrap_or_default());
    let key = key.map_err(|source| InstallationError::Key { namespace: namespace(), source })?;
    let given = options.installation.as_deref().filter(|name| !name.is_empty());
    let tag = if let Some(name) = given {
        owner_tag::InstallationTag::new(name.to_owned())?
    } else if let Some(name) = recorded(&secret) {
        let tag = owner_tag::InstallationTag::new(name);
        tag.map_err(|source| InstallationError::Tag { namespace: namespace(), source })?
    } else {
        let tag = owner_tag::InstallationTag::new(found(client, options).await?)?;
        record(client, &secret, &tag).await?;
        tag
    };
    Ok(Installation { tag, key })
}

/// Who we were found to be before.
fn recorded(secret: &Secret) -> Option<String> {
    let is_copied = value(secret, TAGGED) != secret.metadata.uid.as_deref().map(str::as_bytes);
    let name = value(secret, TAG).filter(|_| !is_copied)?;
    Some(String::from_utf8_lossy(name).trim().to_owned())
}

/// Who we are, as the cluster says.
async fn found(client: &Client, options: &Options) -> Result<String, ReconcileError> {
    match namespace_uid(client, "kube-system").await {
        Err(error) if error.is_forbidden() || error.is_not_found() => {
            namespace_uid(client, &options.operator_namespace).await
        }
        told => told,
    }
}

/// Records who we are. Where that is not allowed, it is found out again at each start.
async fn record(client: &Client, secret: &Secret, tag: &owner_tag::InstallationTag) -> Result<(), ReconcileError> {
    let namespace = secret.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let patch = json!({
        // two that start at once end with the same
        "metadata": {"resourceVersion": secret.metadata.resource_version},
        "data": {TAG: bytes(&tag.to_string()), TAGGED: bytes(secret.metadata.uid.as_deref().unwrap_or_default())},
    });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let written = api.patch(SECRET, &params, &Patch::Merge(&patch)).await;
    match written.map_err(ReconcileError::api(format!("record who we are in Secret {namespace}/{SECRET}"))) {
        Err(error) if error.is_forbidden() || error.is_invalid() => {
            tracing::warn!(%error, "who this installation is could not be recorded: give --installation to be sure of it");
            Ok(())
        }
        written => written.map(|_| ()),
    }
}

async fn namespace_uid(client: &Client, name: &str) -> Result<String, ReconcileError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let doing = || format!("read the UID of namespace {name} (or give --installation)");
    let found = api.get(name).await.map_err(ReconcileError::api(doing()))?;
    found.uid().ok_or_else(|| ReconcileError::encoding(doing()))
}

/// The Secret; made when there is none. Two operators that make one at once end with the same.
async fn secret(client: &Client, namespace: &str) -> Result<Secret, InstallationError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let doing = |what: &str| format!("{what} Secret {namespace}/{SECRET}");
    if let Some(found) = api.get_opt(SECRET).await.map_err(ReconcileError::api(doing("read")))? {
        return Ok(found);
    }
    let mut bytes = vec![0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| InstallationError::Random)?;
    let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "hookswitch".to_owned())]);
    let namespaced = Some(namespace.to_owned());
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            namespace: namespaced,
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(bytes))])),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(made) => Ok(made),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            Ok(api.get(SECRET).await.map_err(ReconcileError::api(doing("read")))?)
        }
        Err(error) => Err(ReconcileError::api(doing("create"))(error).into()),
    }
}

fn value<'s>(secret: &'s Secret, key: &str) -> Option<&'s [u8]> {
    secret.data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::Value;

    use super::*;
    use crate::operator::testing::world::{Server, WriteFault, arguments};

    const OWN: &str = "/api/v1/namespaces/telephony";
    const SYSTEM: &str = "/api/v1/namespaces/kube-system";
    const STORED: &str = "/api/v1/namespaces/telephony/secrets/hookswitch-installation";

    fn options(more: &[&str]) -> Options {
        let line = ["--image", "i", "--operator-namespace", "telephony", "--identity", "i"];
        arguments(line.iter().chain(more).copied()).unwrap()
    }

    fn cluster(uid: &str) -> Server {
        let server = Server::default();
        server.put(SYSTEM, json!({"metadata": {"name": "kube-system", "uid": uid}}));
        server.put(OWN, json!({"metadata": {"name": "telephony", "uid": "own"}}));
        server
    }

    async fn find(server: &Server) -> Result<String, InstallationError> {
        let found = identify(&server.client(), &options(&[])).await;
        found.map(|installation| installation.tag.to_string())
    }

    async fn tag(server: &Server) -> String {
        find(server).await.unwrap()
    }

    fn change(server: &Server, change: impl FnOnce(&mut Value)) {
        let mut secret = server.get(STORED).unwrap();
        change(&mut secret);
        server.put(STORED, secret);
    }

    #[tokio::test]
    async fn an_api_server_that_fails_makes_nobody_else_of_us() {
        for status in [500, 503, 429, 401, 504] {
            let server = cluster("system");
            server.refuse_to_read(SYSTEM, StatusCode::from_u16(status).ok());
            let failed = find(&server).await;
            assert!(matches!(failed, Err(InstallationError::Api(_))), "{status}: {failed:?}");
            server.refuse_to_read(SYSTEM, None);
            assert_eq!(tag(&server).await, "system", "{status}");
        }
    }

    #[tokio::test]
    async fn where_kube_system_may_not_be_read_the_own_namespace_says_who_we_are() {
        for status in [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND] {
            let server = cluster("system");
            server.refuse_to_read(SYSTEM, Some(status));
            server.refuse_to_read(OWN, Some(StatusCode::INTERNAL_SERVER_ERROR));
            assert!(find(&server).await.is_err());
            server.refuse_to_read(OWN, None);
            assert_eq!(tag(&server).await, "own");
        }
    }

    #[tokio::test]
    async fn other_rights_do_not_change_who_we_are() {
        for (before, after) in [(None, Some(StatusCode::FORBIDDEN)), (Some(StatusCode::FORBIDDEN), None)] {
            let server = cluster("system");
            server.refuse_to_read(SYSTEM, before);
            let first = tag(&server).await;
            server.refuse_to_read(SYSTEM, after);
            assert_eq!(tag(&server).await, first);
            server.writes();
            assert_eq!(tag(&server).await, first);
            assert_eq!(server.writes(), Vec::<String>::new(), "it is recorded once");
        }
    }

    #[tokio::test]
    async fn an_installation_of_before_keeps_its_tag_and_its_key() {
        let server = cluster("system");
        let key = json!(ByteString(vec![7; BYTES]));
        server.put(STORED, json!({"metadata": {"name": SECRET, "namespace": "telephony"}, "data": {KEY: key}}));
        assert_eq!(tag(&server).await, "system");
        assert_eq!(server.get(STORED).unwrap()["data"][KEY], key);
        server.refuse_to_read(SYSTEM, Some(StatusCode::FORBIDDEN));
        assert_eq!(tag(&server).await, "system");
    }

    #[tokio::test]
    async fn a_copy_of_the_secret_in_another_cluster_is_another_installation() {
        let (one, other) = (cluster("one"), cluster("other"));
        assert_eq!(tag(&one).await, "one");
        other.put(STORED, one.get(STORED).unwrap());
        change(&other, |secret| secret["metadata"]["uid"] = json!("of-the-copy"));
        assert_eq!(tag(&other).await, "other");
        other.refuse_to_read(SYSTEM, Some(StatusCode::FORBIDDEN));
        assert_eq!(tag(&other).await, "other", "and stays it");
    }

    #[tokio::test]
    async fn a_name_that_was_given_counts_and_is_not_recorded() {
        let server = cluster("system");
        let named = identify(&server.client(), &options(&["--installation", "prod"])).await.unwrap();
        assert_eq!(named.tag.to_string(), "prod");
        assert_eq!(server.get(STORED).unwrap()["data"][TAG], Value::Null);
        assert_eq!(tag(&server).await, "system");
        let named = identify(&server.client(), &options(&["--installation", "prod"])).await.unwrap();
        assert_eq!(named.tag.to_string(), "prod", "whatever is recorded");
    }

    #[tokio::test]
    async fn what_cannot_be_recorded_now_is_tried_again_and_what_may_not_be_is_let_be() {
        for write_fault in [WriteFault::Conflict, WriteFault::Fails, WriteFault::LostAnswer] {
            let server = cluster("system");
            server.write_fault(Some((1, write_fault)));
            let failed = find(&server).await;
            assert!(matches!(failed, Err(InstallationError::Api(_))), "{write_fault:?}: {failed:?}");
            assert_eq!(tag(&server).await, "system");
        }
        let server = cluster("system");
        let _ = secret(&server.client(), "telephony").await.unwrap();
        server.fail_next_write(StatusCode::FORBIDDEN);
        assert_eq!(tag(&server).await, "system");
    }

    #[tokio::test]
    async fn a_record_that_was_spoilt_by_hand_says_what_to_do_and_makes_nobody_else_of_us() {
        let server = cluster("system");
        tag(&server).await;
        change(&server, |secret| secret["data"][TAG] = json!(ByteString(b"a/b".to_vec())));
        let error = find(&server).await.unwrap_err();
        assert!(matches!(error, InstallationError::Tag { .. }));
        assert!(error.to_string().contains("--installation"), "{error}");
        change(&server, |secret| secret["data"][KEY] = Value::Null);
        assert!(matches!(find(&server).await, Err(InstallationError::Key { .. })));
    }
}
