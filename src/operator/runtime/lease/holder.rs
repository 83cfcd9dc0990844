//! Getting and keeping the Lease: the calls around [`super::election`].

use std::time::Duration;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        coordination::v1::{Lease, LeaseSpec},
    },
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    election::{Election, ElectionDecision},
    former::{self, Rollout, Way},
    handle::Handle,
    terms::{Leases, NAME, RENEW_EVERY},
};
use crate::operator::runtime::{clock::BootInstant, error::shown};

/// How long one call may take. Shorter than the time between two renewals, so that a hanging API server costs one.
const CALL: Duration = Duration::from_secs(4);

/// The lease was lost: another may be acting already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease was lost; another operator may lead now")]
pub struct Lost;

/// A contender for the Lease.
pub struct Holder {
    leases: Api<Lease>,
    own: Seat,
    former: Option<Former>,
    handle: Handle,
}

/// One Lease that is contended for.
struct Seat {
    name: String,
    election: Election,
}

/// The Lease that all releases shared, when it is not one's own.
struct Former {
    seat: Seat,
    deployments: Api<Deployment>,
    deployment: Option<String>,
    rollout: Rollout,
}

/// Who holds the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LeaseState {
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
    pub fn new(client: Client, namespace: &str, identity: &str, handle: Handle, leases: Leases) -> Self {
        let seat = |name: String| Seat { name, election: Election::new(identity.to_owned()) };
        let former = (leases.own != NAME).then(|| Former {
            seat: seat(NAME.to_owned()),
            deployments: Api::namespaced(client.clone(), namespace),
            deployment: leases.deployment,
            rollout: Rollout::default(),
        });
        Self { leases: Api::namespaced(client, namespace), own: seat(leases.own), former, handle }
    }

    /// Waits until the Lease is ours. `false`: asked to stop before that.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        loop {
            let Some(state) = stop.run_until_cancelled(self.contend()).await else { return false };
            if state == LeaseState::Ours {
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
            let left = self.handle.left();
            if left.is_zero() {
                return self.lose();
            }
            if stop.run_until_cancelled(sleep(RENEW_EVERY.min(left))).await.is_none() {
                return Ok(());
            }
            // an answer after the end would be too late to be of use
            let left = self.handle.left();
            match timeout(left, self.contend()).await {
                Ok(LeaseState::Ours | LeaseState::Unclear) => {}
                Ok(LeaseState::Theirs) | Err(_) => return self.lose(),
            }
        }
    }

    /// Gives the Lease up, if it is still ours, so that another may lead at once.
    pub async fn release(&mut self) {
        self.handle.lost();
        let seats = self.former.iter().map(|former| &former.seat).chain([&self.own]);
        let released = timeout(CALL, async {
            for seat in seats {
                seat.release(&self.leases).await?;
            }
            Ok::<_, kube::Error>(())
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

    async fn contend(&mut self) -> LeaseState {
        // Counted from before the request: an answer may take long, and the other side counts from what it sees.
        let sent = self.handle.now();
        match timeout(CALL, self.try_hold(sent)).await {
            Ok(Ok(LeaseState::Ours)) => {
                self.handle.renewed(sent);
                LeaseState::Ours
            }
            Ok(Ok(state)) => state,
            Ok(Err(error)) => {
                tracing::warn!(error = shown(&error), "the lease could not be read or renewed");
                LeaseState::Unclear
            }
            Err(_) => {
                tracing::warn!("the API server did not answer about the lease in time");
                LeaseState::Unclear
            }
        }
    }

    /// Tries to hold what is needed: one's own Lease, and the shared one as long as an operator of before may contend for it.
    async fn try_hold(&mut self, now: BootInstant) -> Result<LeaseState, kube::Error> {
        let lease = self.leases.get_opt(&self.own.name).await?;
        let mut way = Way::Alone;
        if let Some(former) = &mut self.former {
            way = former.way(lease.as_ref()).await?;
            let state = former.hold(&self.leases, way, now).await?;
            if state != LeaseState::Ours {
                if let Some(lease) = lease.filter(|_| way == Way::Alone && state == LeaseState::Theirs) {
                    // somebody went back to a version that knows the shared one alone: from now on both are needed again
                    self.own.remove_alone_annotation(&self.leases, lease).await?;
                }
                return Ok(state);
            }
        }
        let state = self.own.hold(&self.leases, lease, way == Way::Leave, now).await?;
        if let Some(former) = self.former.as_ref().filter(|_| state == LeaseState::Ours && way == Way::Leave) {
            // a failure leaves it to run out by itself
            if let Err(error) = former.seat.release(&self.leases).await {
                tracing::warn!(error = shown(&error), "the lease of older releases could not be given up");
            }
        }
        Ok(state)
    }
}

impl Former {
    async fn way(&mut self, own: Option<&Lease>) -> Result<Way, kube::Error> {
        let deployment = match &self.deployment {
            // it is asked for only as long as that matters
            Some(name) if !own.is_some_and(former::is_alone) => match self.deployments.get_opt(name).await {
                Err(kube::Error::Api(status)) if status.is_forbidden() => None,
                read => read?,
            },
            _ => None,
        };
        Ok(self.rollout.way(own, deployment.as_ref(), Instant::now()))
    }

    /// Holds the shared Lease where that is needed, else sees to it that no pod of the same release does.
    async fn hold(&mut self, leases: &Api<Lease>, way: Way, now: BootInstant) -> Result<LeaseState, kube::Error> {
        let lease = leases.get_opt(&self.seat.name).await?;
        if way == Way::Both {
            return self.seat.hold(leases, lease, false, now).await;
        }
        let Some(lease) = lease else { return Ok(LeaseState::Ours) };
        Ok(match self.seat.election.decide(Some(&lease), now, Timestamp::now()) {
            ElectionDecision::Wait { holder } if self.is_sibling(&holder) => {
                tracing::debug!(holder, "an operator of an older version of this release leads");
                LeaseState::Theirs
            }
            _ => LeaseState::Ours,
        })
    }

    fn is_sibling(&self, holder: &str) -> bool {
        self.deployment.as_ref().is_none_or(|deployment| former::is_pod_of(holder, deployment))
    }
}

impl Seat {
    /// Takes or renews a Lease as it was read; `alone`: and writes on it that it is the only one needed.
    async fn hold(
        &mut self,
        leases: &Api<Lease>,
        lease: Option<Lease>,
        alone: bool,
        now: BootInstant,
    ) -> Result<LeaseState, kube::Error> {
        let written = match (self.election.decide(lease.as_ref(), now, Timestamp::now()), lease) {
            (ElectionDecision::Wait { holder }, _) => {
                tracing::debug!(holder, lease = self.name, "another operator leads");
                return Ok(LeaseState::Theirs);
            }
            (ElectionDecision::Replace(spec), Some(lease)) => self.replace(leases, lease, spec, alone).await,
            (ElectionDecision::Create(spec) | ElectionDecision::Replace(spec), _) => {
                self.create(leases, spec, alone).await
            }
        };
        match written {
            Ok(()) => Ok(LeaseState::Ours),
            // somebody wrote meanwhile: whose it is now is read, and renewing is left to the next attempt
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                let holder = leases.get_opt(&self.name).await?.and_then(|lease| lease.spec?.holder_identity);
                let ours = holder.is_some_and(|holder| self.election.is(&holder));
                Ok(if ours { LeaseState::Unclear } else { LeaseState::Theirs })
            }
            Err(error) => Err(error),
        }
    }

    /// Takes off a Lease that it is the only one needed, whoever holds it.
    async fn remove_alone_annotation(&self, leases: &Api<Lease>, mut lease: Lease) -> Result<(), kube::Error> {
        lease.metadata.annotations.as_mut().and_then(|annotations| annotations.remove(former::ALONE));
        leases.replace(&self.name, &PostParams::default(), &lease).await.map(|_| ())
    }

    /// Gives the Lease up, when it is ours.
    async fn release(&self, leases: &Api<Lease>) -> Result<(), kube::Error> {
        let Some(lease) = leases.get_opt(&self.name).await? else { return Ok(()) };
        match self.election.release(&lease, Timestamp::now()) {
            Some(spec) => self.replace(leases, lease, spec, false).await,
            None => Ok(()),
        }
    }

    async fn create(&self, leases: &Api<Lease>, spec: LeaseSpec, alone: bool) -> Result<(), kube::Error> {
        let mut lease = Lease { spec: Some(spec), ..Lease::default() };
        lease.metadata.name = Some(self.name.clone());
        annotate_alone(&mut lease, alone);
        leases.create(&PostParams::default(), &lease).await.map(|_| ())
    }

    async fn replace(
        &self,
        leases: &Api<Lease>,
        mut lease: Lease,
        spec: LeaseSpec,
        alone: bool,
    ) -> Result<(), kube::Error> {
        lease.spec = Some(spec);
        annotate_alone(&mut lease, alone);
        leases.replace(&self.name, &PostParams::default(), &lease).await.map(|_| ())
    }
}

fn annotate_alone(lease: &mut Lease, alone: bool) {
    if alone {
        lease.metadata.annotations.get_or_insert_default().insert(former::ALONE.to_owned(), "true".to_owned());
    }
}
