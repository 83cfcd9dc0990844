//! Getting and keeping the Lease: the calls around [`super::election`].

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    super::{clock::BootInstant, pass::shown},
    Handle, NAME, RENEW_EVERY,
    election::{Decision, Election},
};

/// How long one call may take. Shorter than the time between two renewals, so that a hanging API server costs one.
const CALL: Duration = Duration::from_secs(4);

/// The lease was lost: another may be acting already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease {NAME} was lost; another operator may lead now")]
pub struct Lost;

/// A contender for the Lease.
pub struct Holder {
    api: Api<Lease>,
    election: Election,
    handle: Handle,
}

/// How one look at the Lease went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    /// We hold it, since before this instant.
    Ours,
    /// Another holds it, or was quicker.
    Theirs,
    /// Nobody knows.
    Unclear,
}

impl Holder {
    /// A contender by the name of `identity` in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: &str, handle: Handle) -> Self {
        Self { api: Api::namespaced(client, namespace), election: Election::new(identity.to_owned()), handle }
    }

    /// Waits until the Lease is ours. `false`: told to stop before that.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        loop {
            let Some(look) = stop.run_until_cancelled(self.look()).await else { return false };
            if look == Look::Ours {
                return true;
            }
            // contenders that were started together do not keep step
            let pause = RENEW_EVERY.mul_f64(0.8 + 0.4 * rand::random::<f64>());
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return false;
            }
        }
    }

    /// Renews the Lease until `stop`, or until it is lost.
    ///
    /// # Errors
    /// [`Lost`] as soon as another holds it, or when no renewal was confirmed for its whole duration.
    pub async fn keep(&mut self, stop: &CancellationToken) -> Result<(), Lost> {
        loop {
            let left = self.handle.remaining(BootInstant::now());
            if left.is_zero() {
                return self.lose();
            }
            if stop.run_until_cancelled(sleep(RENEW_EVERY.min(left))).await.is_none() {
                return Ok(());
            }
            // an answer after the end would be too late to be of use
            let left = self.handle.remaining(BootInstant::now());
            match timeout(left, self.look()).await {
                Ok(Look::Ours | Look::Unclear) => {}
                Ok(Look::Theirs) | Err(_) => return self.lose(),
            }
        }
    }

    /// Gives the Lease up, if it is still ours, so that another may lead at once.
    pub async fn release(&mut self) {
        self.handle.lost();
        let released = timeout(CALL, async {
            let Some(lease) = self.api.get_opt(NAME).await? else { return Ok(()) };
            match self.election.release(&lease, Timestamp::now()) {
                Some(spec) => self.replace(lease, spec).await,
                None => Ok(()),
            }
        });
        match released.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = shown(&error), "the lease could not be given up; it runs out by itself");
            }
            Err(_) => tracing::warn!("the lease could not be given up in time; it runs out by itself"),
        }
    }

    fn lose(&self) -> Result<(), Lost> {
        self.handle.lost();
        Err(Lost)
    }

    async fn look(&mut self) -> Look {
        // Counted from before the request: an answer may take long, and the other side counts from what it sees.
        let sent = BootInstant::now();
        match timeout(CALL, self.try_hold(sent)).await {
            Ok(Ok(Look::Ours)) => {
                self.handle.renewed(sent);
                Look::Ours
            }
            Ok(Ok(look)) => look,
            Ok(Err(error)) => {
                tracing::warn!(error = shown(&error), "the lease could not be read or renewed");
                Look::Unclear
            }
            Err(_) => {
                tracing::warn!("the API server did not answer about the lease in time");
                Look::Unclear
            }
        }
    }

    async fn try_hold(&mut self, now: BootInstant) -> Result<Look, kube::Error> {
        let lease = self.api.get_opt(NAME).await?;
        let written = match (self.election.decide(lease.as_ref(), now, Timestamp::now()), lease) {
            (Decision::Wait { holder }, _) => {
                tracing::debug!(holder, "another operator leads");
                return Ok(Look::Theirs);
            }
            (Decision::Replace(spec), Some(lease)) => self.replace(lease, spec).await,
            (Decision::Create(spec) | Decision::Replace(spec), _) => self.create(spec).await,
        };
        match written {
            Ok(()) => Ok(Look::Ours),
            // somebody wrote meanwhile: whose it is now is read, and renewing is left to the next look
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                let holder = self.api.get_opt(NAME).await?.and_then(|lease| lease.spec?.holder_identity);
                let ours = holder.is_some_and(|holder| self.election.is(&holder));
                Ok(if ours { Look::Unclear } else { Look::Theirs })
            }
            Err(error) => Err(error),
        }
    }

    async fn create(&self, spec: LeaseSpec) -> Result<(), kube::Error> {
        let mut lease = Lease { spec: Some(spec), ..Lease::default() };
        lease.metadata.name = Some(NAME.to_owned());
        self.api.create(&PostParams::default(), &lease).await.map(|_| ())
    }

    async fn replace(&self, mut lease: Lease, spec: LeaseSpec) -> Result<(), kube::Error> {
        lease.spec = Some(spec);
        self.api.replace(NAME, &PostParams::default(), &lease).await.map(|_| ())
    }
}
