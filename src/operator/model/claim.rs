//! Which `OktaOrg` manages an org when several are of it: the oldest that has proven to be. Pure.
//!
//! What a document says that everybody may read, and everybody may serve, proves nothing; a credential that is taken proves that
//! the object may manage what answers at its own host, which TLS proves, and no more. So two objects are of the same org when they
//! call the same host, or when Okta itself says so, at a domain of its own. What TLS proves by certificates that an object brought
//! itself is proven to nobody who does not bring the very same.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use kube::ResourceExt as _;

use super::{object_ref::object_ref, org_access::Access};
use crate::operator::runtime::{conditions, reconcile::target, triggers::Target};
use hookswitch_api::OktaOrg;
use hookswitch_okta::{
    ObjectRef, OrgUrl,
    types::{OrgDocument, OrgIdentity},
};

/// Which certificates an object trusts besides those that everybody does: a digest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Certificates([u8; digest::SHA256_OUTPUT_LEN]);

impl Certificates {
    fn of(access: &Access) -> Option<Self> {
        let digest = digest::digest(&digest::SHA256, access.ca_bundle.as_ref()?.as_bytes());
        digest.as_ref().try_into().ok().map(Self)
    }
}

/// Where an object's credential was taken, and what the org there says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgLocation {
    authority: String,
    is_oktas: bool,
    /// Certificates of the object's own by which the host may have proven itself.
    certificates: Option<Certificates>,
    document: OrgDocument,
}

impl OrgLocation {
    /// What answers where `access` leads, and says `document`.
    #[must_use]
    pub fn of(access: &Access, document: &OrgDocument) -> Self {
        let (authority, is_oktas) = (access.url.authority(), access.url.is_oktas());
        Self { authority, is_oktas, certificates: Certificates::of(access), document: document.clone() }
    }

    /// Whether `access` leads here, and whoever answers has to prove itself in the same way.
    #[must_use]
    pub fn is_reached_by(&self, access: &Access) -> bool {
        self.authority == access.url.authority() && self.certificates == Certificates::of(access)
    }

    /// Whether `other` has certainly proven to be of this org. That a host which is not Okta's gives the id is no reason, and what a
    /// host proved by certificates that this one does not trust is none either.
    fn is_also(&self, other: &Self) -> bool {
        let is_trusted = other.certificates.is_none() || other.certificates == self.certificates;
        is_trusted && (self.authority == other.authority || self.vouches_for(other) || other.vouches_for(self))
    }

    /// Whether Okta says here that the other host is this org's, and it gives the same id.
    fn vouches_for(&self, other: &Self) -> bool {
        let (id, its_own) = (&self.document.identity, &self.document.domains);
        let is_known = other.is_oktas || its_own.contains(&other.authority);
        self.is_oktas && is_known && matches!(id, OrgIdentity::Id(_)) && *id == other.document.identity
    }
}

/// What an object has proven since this process began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OrgStanding {
    /// Nothing is certain yet.
    #[default]
    Unknown,
    /// Nothing is certain, though it has been called long enough: [`PROVES_WITHIN`].
    Silent,
    /// Its credential is refused, or it has none.
    Refused,
    /// Its credential is taken.
    Proven(OrgLocation),
}

/// How long an object that managed an org may prove nothing before another one takes its place. Longer than a run may take: what it
/// began before it was silent has ended.
pub const PROVES_WITHIN: Duration = Duration::from_mins(10);

/// Who manages an org, as an object's status says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The object itself.
    Ours,
    /// Another one, which has proven it.
    Theirs(ObjectRef),
    /// Another one, by what this object recorded last; it has not proven itself since.
    Recorded(ObjectRef),
}

impl Claim {
    /// The other one.
    #[must_use]
    pub const fn other(&self) -> Option<&ObjectRef> {
        match self {
            Self::Ours => None,
            Self::Theirs(other) | Self::Recorded(other) => Some(other),
        }
    }
}

/// Who is to manage an org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimDecision {
    /// The object itself.
    Ours,
    /// Another one, which has proven it.
    Theirs(ObjectRef),
    /// The one that this object recorded: it is to prove itself first.
    Recorded(ObjectRef),
    /// It is not known yet.
    Waits(Awaited),
}

/// What has to come before it is known who manages an org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// The answer of an older object that may be of the same org.
    Answer(ObjectRef),
    /// The list of a namespace that may have such an object.
    Lists,
    /// The end of what an object does that managed the org until now.
    End(ObjectRef),
}

/// How much can be seen of other objects.
pub struct Visibility<'s> {
    /// Every object had its time to prove what it can.
    pub settled: bool,
    /// There is a namespace whose objects are not listed.
    pub any_hidden: bool,
    /// Whether a namespace is managed and its objects are not listed.
    pub hidden: &'s dyn Fn(&str) -> bool,
}

/// Who manages the org at `location`, where the credential of `this` was taken.
///
/// An object that managed the org goes on without waiting for anybody's answer, and one that recorded another waits for that one's own answer, in a namespace
/// that cannot be listed too: who manages an org does not change because somebody cannot be seen. One that is seen and called, and
/// proves nothing for [`PROVES_WITHIN`], changes nothing in Okta either: another may take its place until it does. One that is new
/// waits for older ones that say they are of the same org, and for namespaces to be listed, but no longer than until everybody had time to answer:
/// what is said without a proof stops nobody for good.
#[must_use]
pub fn decide(
    this: &OktaOrg,
    location: &OrgLocation,
    others: &[(OrgStanding, Arc<OktaOrg>)],
    visibility: &Visibility<'_>,
) -> ClaimDecision {
    let older: Vec<_> = others
        .iter()
        .filter(|(_, other)| other.uid() != this.uid() && other.metadata.deletion_timestamp.is_none())
        .filter(|(_, other)| age(other) < age(this))
        .collect();
    let oldest = |found: &dyn Fn(&OrgStanding, &OktaOrg) -> bool| {
        let found = older.iter().filter(|(standing, other)| found(standing, other));
        found.min_by_key(|(_, other)| age(other)).map(|(_, other)| object_ref(&**other))
    };
    let proven =
        |standing: &OrgStanding, _: &OktaOrg| matches!(standing, OrgStanding::Proven(at) if location.is_also(at));
    if let Some(other) = oldest(&proven) {
        return ClaimDecision::Theirs(other);
    }
    if let Some(recorded) = recorded(this) {
        let known = others.iter().find(|(_, other)| object_ref(&**other) == recorded);
        let is_open = match known {
            Some((standing, _)) => *standing == OrgStanding::Unknown,
            None => (visibility.hidden)(&recorded.namespace),
        };
        if is_open {
            return ClaimDecision::Recorded(recorded);
        }
    }
    if visibility.settled || managed(this) {
        return ClaimDecision::Ours;
    }
    let id = location.document.identity.as_str();
    let hints = |standing: &OrgStanding, other: &OktaOrg| {
        *standing == OrgStanding::Unknown
            && (known_id(other) == Some(id) || authority(other) == Some(location.authority.clone()))
    };
    match oldest(&hints) {
        Some(other) => ClaimDecision::Waits(Awaited::Answer(other)),
        None if visibility.any_hidden => ClaimDecision::Waits(Awaited::Lists),
        None => ClaimDecision::Ours,
    }
}

/// Where an object acts that manages an org, for as long as its reconcile or its run lasts: also when the object is gone by then, or is
/// at another address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    location: OrgLocation,
    age: Age,
}

impl Tenure {
    /// That of `this` at `location`.
    #[must_use]
    pub fn of(this: &OktaOrg, location: &OrgLocation) -> Self {
        Self { location: location.clone(), age: age(this) }
    }
}

/// Who acts on the org at `location` at the moment: what it does is to end before `this` does anything there.
///
/// One that this object does not know to be of its org is waited for where it is to yield: it reconciles after this one's proof with its
/// next reconcile. Whoever does not yield would be waited for again and again.
#[must_use]
pub fn before(this: &OktaOrg, location: &OrgLocation, acting: &[(ObjectRef, Tenure)]) -> Option<ObjectRef> {
    let yields = |other: &Tenure| this.metadata.deletion_timestamp.is_none() && age(this) < other.age;
    let is_one =
        |other: &Tenure| location.is_also(&other.location) || other.location.is_also(location) && yields(other);
    acting.iter().find(|(_, other)| is_one(other)).map(|(object, _)| object.clone())
}

/// Objects that may be of the same org as `this`, or recorded that it is the one that manages theirs.
#[must_use]
pub fn concerned(this: &OktaOrg, all: &[Arc<OktaOrg>]) -> Vec<Target> {
    let (id, at, own) = (known_id(this), authority(this), object_ref(this));
    let is_one = |other: &&Arc<OktaOrg>| {
        let same = id.is_some() && known_id(other) == id || at.is_some() && authority(other) == at;
        other.uid() != this.uid() && (same || recorded(other).as_ref() == Some(&own))
    };
    all.iter().filter(is_one).map(|other| target(&**other)).collect()
}

/// The id that an object recorded last: a hint, since whoever may write its status may say so.
fn known_id(org: &OktaOrg) -> Option<&str> {
    org.status.as_ref()?.org_id.as_deref()
}

/// The object that manages the org in this one's place, by its own status.
fn recorded(org: &OktaOrg) -> Option<ObjectRef> {
    let (namespace, name) = org.status.as_ref()?.claimed_by.as_deref()?.split_once('/')?;
    Some(ObjectRef::new(namespace, name))
}

/// Whether an object managed its org when it was reconciled last.
fn managed(org: &OktaOrg) -> bool {
    let Some(status) = &org.status else { return false };
    status.claimed_by.is_none() && conditions::is_true(&status.conditions, "Claimed")
}

fn authority(org: &OktaOrg) -> Option<String> {
    OrgUrl::parse(&org.spec.url).ok().map(|url| url.authority())
}

type Age = (bool, Option<k8s_openapi::jiff::Timestamp>, Option<String>, String);

fn age(org: &OktaOrg) -> Age {
    let created = org.creation_timestamp().map(|time| time.0);
    (created.is_none(), created, org.namespace(), org.name_any())
}

#[cfg(test)]
mod tests;
