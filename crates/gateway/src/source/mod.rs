//! Where the gateway's configuration comes from: the mounted file, and the Secret itself when an API server answers.
//!
//! The file makes the gateway start and restart without the API server; the Secret is seconds faster than the kubelet
//! that updates the file. Both lead to [`selection`], which keeps the newest that is valid; the last good one serves on
//! whatever follows. Nothing here is on the path of a call: readers read a watch channel.

mod mount;
mod secret;
mod selection;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::{
    mount::poll,
    secret::observe,
    selection::{Report, Selection, Verdict},
};
pub use self::{
    mount::{Mount, POLL},
    secret::{NoApiServer, SecretSource},
    selection::{ConfigCandidate, Origin},
};
use hookswitch_gateway_config::{document::GatewayConfig, report::RefusedConfig};

/// Checks a configuration that could be read and says why it cannot be served, if so; the text must hold nothing of
/// its secrets. It is called away from the threads that serve.
pub type Check = Arc<dyn Fn(&GatewayConfig) -> Result<(), String> + Send + Sync>;

/// What is known about the configuration now.
#[derive(Debug, Clone, Default)]
pub struct SelectedConfig {
    /// The one to serve; `None` until the first good one.
    pub current: Option<Arc<ConfigCandidate>>,
    /// The last one that was refused, until a good one follows it.
    pub refused: Option<RefusedConfig>,
}

impl SelectedConfig {
    fn same(&self, other: &Self) -> bool {
        let hash = |selected: &Self| selected.current.as_ref().map(|current| current.hash.clone());
        hash(self) == hash(other) && self.refused == other.refused
    }
}

/// Follows the sources until `stop`. The receiver sees the first good configuration as soon as it is read, which may be
/// never: whoever needs one waits for `current`.
///
/// Must be called within a tokio runtime.
pub fn follow(
    mount: Option<Mount>,
    secret: Option<SecretSource>,
    check: Check,
    stop: CancellationToken,
) -> watch::Receiver<SelectedConfig> {
    let (reports, inbox) = mpsc::channel(4);
    let (selected, receiver) = watch::channel(SelectedConfig::default());
    if let Some(mount) = mount {
        tokio::spawn(stop.clone().run_until_cancelled_owned(poll(mount, reports.clone())));
    }
    if let Some(secret) = secret {
        tokio::spawn(stop.clone().run_until_cancelled_owned(observe(secret, reports)));
    }
    tokio::spawn(stop.run_until_cancelled_owned(decide(inbox, check, selected)));
    receiver
}

async fn decide(mut inbox: mpsc::Receiver<Report>, check: Check, selected: watch::Sender<SelectedConfig>) {
    let selection = Arc::new(Mutex::new(Selection::default()));
    while let Some(report) = inbox.recv().await {
        let (selection, check) = (Arc::clone(&selection), Arc::clone(&check));
        // Decompressing and checking may take tens of milliseconds, which calls should not wait for.
        let weighing = tokio::task::spawn_blocking(move || {
            let mut selection = selection.lock().unwrap_or_else(PoisonError::into_inner);
            let verdict = selection.weigh(report, &check);
            (verdict, SelectedConfig { current: selection.current(), refused: selection.refused() })
        });
        let Ok((verdict, weighed)) = weighing.await else {
            tracing::error!("a configuration could not be checked; the last good one is served");
            continue;
        };
        log(&verdict);
        if !selected.borrow().same(&weighed) {
            selected.send_replace(weighed);
        }
    }
}

fn log(verdict: &Verdict) {
    match verdict {
        Verdict::Kept => {}
        Verdict::Taken(candidate) => {
            let ConfigCandidate { hash, origin, config } = &**candidate;
            tracing::info!(hash, ?origin, generation = config.generation, "configuration taken");
        }
        Verdict::Refused(RefusedConfig { hash, reason }) => {
            tracing::warn!(hash, reason, "configuration refused; the last good one is served");
        }
        Verdict::Missing(origin, reason) => {
            tracing::warn!(?origin, reason, "no configuration there; the last good one is served");
        }
    }
}

#[cfg(test)]
mod tests;
