//! The Secret itself, watched by name through the API server.
//!
//! Entirely optional: the gateway serves without it, and when it cannot be reached it is tried again for ever. Needs
//! `list` and `watch` on this one Secret, which a Role can grant by name because the requests select by that name.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Config,
    runtime::watcher::{self, Event, watcher},
};
use rand::Rng;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::selection::{Origin, Report};
use hookswitch_gateway_config::envelope::KEY;

/// Bounds of the time between two tries, which doubles and varies by a fifth.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How long the first answer may take.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// Seconds after which the server is asked to end a watch, which is then begun again: a connection that died silently
/// is noticed a little later.
const WATCH_S: u32 = 60;

/// How long a connection may be silent before it counts as broken; longer than a watch lasts.
const SILENCE: Duration = Duration::from_secs(75);

/// How long connecting to the API server may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The Secret to watch.
#[derive(Clone)]
pub struct SecretSource {
    api: Api<Secret>,
    name: String,
}

/// There is no API server to be reached from here: no service account is mounted, or its files cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not in a cluster: the pod has no usable service account")]
pub struct NoApiServer;

impl SecretSource {
    /// A Secret of the namespace of this pod, with the service account of this pod. Calls nobody yet.
    ///
    /// # Errors
    ///
    /// [`NoApiServer`].
    pub fn in_cluster(name: &str) -> Result<Self, NoApiServer> {
        let mut config = Config::incluster().map_err(|_| NoApiServer)?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        config.default_retry = false;
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|_| NoApiServer)?;
        Ok(Self::new(client, &namespace, name))
    }

    /// A Secret that a given client can reach.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
    }
}

/// Reports what is in the Secret whenever it changes, for ever.
pub(super) async fn observe(source: SecretSource, reports: mpsc::Sender<Report>) {
    let mut backoff = BACKOFF.0;
    let mut reported = None;
    loop {
        let ended = session(&source, &reports).await;
        if ended.worked {
            (backoff, reported) = (BACKOFF.0, None);
        }
        if reported.as_ref() != Some(&ended.cause) {
            tracing::warn!(cause = ended.cause, "the configuration Secret is not being watched; trying again");
            reported = Some(ended.cause);
        }
        if reports.send(Report::Blind).await.is_err() {
            return;
        }
        sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

fn jittered(backoff: Duration) -> Duration {
    backoff.mul_f64(rand::rng().random_range(0.8..1.2))
}

/// How a watch ended.
struct Ended {
    worked: bool,
    cause: String,
}

/// Lists, then watches until something goes wrong.
async fn session(source: &SecretSource, reports: &mpsc::Sender<Report>) -> Ended {
    let selected = watcher::Config::default().fields(&format!("metadata.name={}", source.name)).timeout(WATCH_S);
    let mut events = watcher(source.api.clone(), selected).boxed();
    let mut listed: Option<Secret> = None;
    let mut worked = false;
    let ended = |worked, cause: &str| Ended { worked, cause: cause.to_owned() };
    loop {
        let next = if worked {
            events.next().await
        } else {
            match timeout(FIRST_ANSWER, events.next()).await {
                Ok(next) => next,
                Err(_) => return ended(worked, "no answer"),
            }
        };
        let report = match next {
            None => return ended(worked, "the watch ended"),
            Some(Err(error)) => return ended(worked, &cause(&error)),
            Some(Ok(Event::Init)) => {
                listed = None;
                continue;
            }
            Some(Ok(Event::InitApply(secret))) => {
                listed = Some(secret);
                continue;
            }
            Some(Ok(Event::InitDone)) => {
                worked = true;
                match listed.take() {
                    Some(secret) => read(secret, true),
                    None => Report::Empty(Origin::Secret, "the Secret does not exist"),
                }
            }
            Some(Ok(Event::Apply(secret))) => read(secret, false),
            Some(Ok(Event::Delete(_))) => Report::Empty(Origin::Secret, "the Secret was deleted"),
        };
        if reports.send(report).await.is_err() {
            return ended(worked, "nobody listens");
        }
    }
}

fn read(secret: Secret, fresh: bool) -> Report {
    match secret.data.and_then(|mut data| data.remove(KEY)) {
        Some(sealed) => Report::Watched { sealed: sealed.0, fresh },
        None => Report::Empty(Origin::Secret, "the Secret has no configuration in it"),
    }
}

/// What went wrong, without the text of the error: one about an answer that cannot be parsed may quote it, and the
/// answer is a Secret.
fn cause(error: &watcher::Error) -> String {
    use kube::Error::Api;
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};

    match error {
        InitialListFailed(Api(status)) | WatchStartFailed(Api(status)) | WatchFailed(Api(status)) => {
            format!("refused with status {}", status.code)
        }
        WatchError(status) => format!("refused with status {}", status.code),
        InitialListFailed(_) => "listing failed".into(),
        WatchStartFailed(_) => "watching could not start".into(),
        WatchFailed(_) => "the watch broke".into(),
        NoResourceVersion => "the answer has no resource version".into(),
    }
}
