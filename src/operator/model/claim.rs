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
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use serde_json::json;

    use super::*;
    use hookswitch_okta::{ApiToken, Credential};

    const OURS: &str = "https://acme.okta.com";
    const CUSTOM: &str = "https://id.acme.com";
    const ELSEWHERE: &str = "https://okta.evil.example";

    fn org(namespace: &str, created: i64, url: &str) -> OktaOrg {
        let mut org: OktaOrg = serde_json::from_value(json!({
            "metadata": {"name": "acme", "namespace": namespace, "uid": format!("{namespace}-{created}")},
            "spec": {"url": url, "auth": {"apiToken": {"secretRef": {"name": "okta", "key": "token"}}}},
        }))
        .unwrap();
        org.metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
        org
    }

    fn access(url: &str, ca_bundle: Option<&str>) -> Access {
        let (namespace, url) = ("otp".to_owned(), OrgUrl::parse(url).unwrap());
        let credential = Credential::ApiToken(ApiToken::new("token").unwrap());
        Access { namespace, url, credential, ca_bundle: ca_bundle.map(str::to_owned), ranges: Vec::new() }
    }

    fn location(url: &str, id: &str, domains: &[&str]) -> OrgLocation {
        let domains = domains.iter().map(|&domain| domain.to_owned()).collect();
        let document = OrgDocument { identity: OrgIdentity::Id(id.into()), domains };
        OrgLocation::of(&access(url, None), &document)
    }

    fn trusting(location: &OrgLocation, ca_bundle: &str) -> OrgLocation {
        OrgLocation { certificates: Certificates::of(&access(OURS, Some(ca_bundle))), ..location.clone() }
    }

    fn proven(url: &str, id: &str, domains: &[&str]) -> OrgStanding {
        OrgStanding::Proven(location(url, id, domains))
    }

    fn visible(settled: bool) -> Visibility<'static> {
        Visibility { settled, any_hidden: false, hidden: &|_| false }
    }

    fn theirs(namespace: &str) -> ClaimDecision {
        ClaimDecision::Theirs(ObjectRef::new(namespace, "acme"))
    }

    /// What becomes of an org at `here` beside an older object of another tenant.
    fn beside(here: &OrgLocation, standing: OrgStanding, url: &str) -> ClaimDecision {
        let mut older = org("other", 10, url);
        older.status = serde_json::from_value(json!({"orgID": "00oOURS"})).unwrap();
        decide(&org("otp", 20, OURS), here, &[(standing, Arc::new(older))], &visible(true))
    }

    #[test]
    fn an_older_object_whose_own_server_gives_our_id_takes_nothing_away() {
        let here = location(OURS, "00oOURS", &["id.acme.com"]);
        for (standing, url) in [
            (proven(ELSEWHERE, "00oOURS", &["acme.okta.com", "id.acme.com"]), ELSEWHERE),
            (proven("https://acme.okta.com:8443", "00oOURS", &["acme.okta.com"]), "https://acme.okta.com:8443"),
            (proven("https://acme.okta.com.evil.example", "00oOURS", &[]), ELSEWHERE),
            (proven("https://notokta.com", "00oOURS", &[]), ELSEWHERE),
            // an org of the attacker's at Okta that names our custom domain, and gives its own id
            (proven("https://evil.okta.com", "00oEVIL", &["id.acme.com", "acme.okta.com"]), "https://evil.okta.com"),
        ] {
            assert_eq!(beside(&here, standing.clone(), url), ClaimDecision::Ours, "{standing:?}");
            // the same where ours is called by its custom domain, or by a name that Okta does not know
            for own in [CUSTOM, "https://okta-proxy.acme.internal"] {
                let here = location(own, "00oOURS", &["id.acme.com"]);
                assert_eq!(beside(&here, standing.clone(), url), ClaimDecision::Ours, "{own} {standing:?}");
            }
        }
    }

    #[test]
    fn what_a_host_proved_by_an_objects_own_certificates_counts_for_those_who_trust_the_same() {
        let custom = ["id.acme.com"];
        let (here, renamed) =
            (location(OURS, "00oOURS", &custom), location("https://acme-inc.okta.com", "00oOURS", &[]));
        for other in [&here, &location(CUSTOM, "00oOURS", &custom), &renamed] {
            let with = |ca_bundle| OrgStanding::Proven(trusting(other, ca_bundle));
            assert_eq!(beside(&here, with("theirs"), OURS), ClaimDecision::Ours, "{other:?}");
            assert_eq!(beside(&trusting(&here, "ours"), with("theirs"), OURS), ClaimDecision::Ours, "{other:?}");
            assert_eq!(beside(&trusting(&here, "both's"), with("both's"), OURS), theirs("other"), "{other:?}");
            // the public ones are trusted by everybody
            let public = OrgStanding::Proven(other.clone());
            assert_eq!(beside(&trusting(&here, "ours"), public, OURS), theirs("other"), "{other:?}");
        }
        // who is called at another host is not vouched for by what its own certificates make of Okta
        let here = location(CUSTOM, "00oOURS", &[]);
        let okta = OrgStanding::Proven(trusting(&location(OURS, "00oOURS", &custom), "theirs"));
        assert_eq!(beside(&here, okta, OURS), ClaimDecision::Ours);
    }

    #[test]
    fn an_org_is_elsewhere_by_another_address_or_by_other_certificates() {
        let here = trusting(&location(OURS, "00oOURS", &[]), "ours");
        assert!(here.is_reached_by(&access("https://ACME.okta.com./", Some("ours"))));
        for (url, ca_bundle) in [(CUSTOM, Some("ours")), (OURS, Some("others")), (OURS, None)] {
            assert!(!here.is_reached_by(&access(url, ca_bundle)), "{url} {ca_bundle:?}");
        }
    }

    #[test]
    fn an_older_object_that_has_proven_nothing_takes_nothing_away() {
        let here = location(OURS, "00oOURS", &[]);
        for standing in [OrgStanding::Unknown, OrgStanding::Silent, OrgStanding::Refused] {
            assert_eq!(beside(&here, standing.clone(), OURS), ClaimDecision::Ours, "{standing:?}");
        }
    }

    #[test]
    fn the_oldest_that_has_proven_itself_at_the_same_host_manages_the_org() {
        let here = location(OURS, "00oOURS", &[]);
        assert_eq!(beside(&here, proven("https://ACME.okta.com./", "00oOURS", &[]), OURS), theirs("other"));
        let internal = "https://okta-proxy.acme.internal:8443";
        let here = location(internal, "00oOURS", &[]);
        assert_eq!(beside(&here, proven(internal, "00oOURS", &[]), internal), theirs("other"), "whoever's host it is");
        let all: Vec<_> = [("b", 20), ("a", 10), ("c", 10)]
            .map(|(namespace, created)| (proven(OURS, "00oOURS", &[]), Arc::new(org(namespace, created, OURS))))
            .into();
        let here = location(OURS, "00oOURS", &[]);
        let decided = all.iter().map(|(_, this)| decide(this, &here, &all, &visible(true))).collect::<Vec<_>>();
        assert_eq!(
            decided,
            [theirs("a"), ClaimDecision::Ours, theirs("a")],
            "of equally old ones the first by namespace"
        );
    }

    #[test]
    fn a_custom_domain_is_the_orgs_where_okta_says_so() {
        let (here, there) = (["id.acme.com"], ["id.other.com"]);
        let at_okta = location(OURS, "00oOURS", &here);
        assert_eq!(beside(&at_okta, proven(CUSTOM, "00oOURS", &here), CUSTOM), theirs("other"));
        assert_eq!(beside(&location(CUSTOM, "00oOURS", &[]), proven(OURS, "00oOURS", &here), OURS), theirs("other"));
        assert_eq!(
            beside(&location(CUSTOM, "00oOURS", &here), proven(OURS, "00oOURS", &there), OURS),
            ClaimDecision::Ours
        );
        let renamed = "https://acme-inc.okta.com";
        assert_eq!(beside(&at_okta, proven(renamed, "00oOURS", &[]), renamed), theirs("other"), "both are Okta's");
        assert_eq!(beside(&at_okta, proven(renamed, "00oELSE", &[]), renamed), ClaimDecision::Ours);
    }

    #[test]
    fn who_recorded_another_waits_for_that_ones_answer_and_no_longer() {
        let here = location(OURS, "00oOURS", &[]);
        let mut this = org("otp", 20, OURS);
        this.status = serde_json::from_value(json!({"claimedBy": "other/acme"})).unwrap();
        let older = Arc::new(org("other", 10, OURS));
        let recorded = || ClaimDecision::Recorded(ObjectRef::new("other", "acme"));
        for settled in [false, true] {
            let with = |standing| decide(&this, &here, &[(standing, Arc::clone(&older))], &visible(settled));
            assert_eq!(with(OrgStanding::Unknown), recorded());
            assert_eq!(with(OrgStanding::Refused), ClaimDecision::Ours);
            assert_eq!(with(OrgStanding::Silent), ClaimDecision::Ours);
            assert_eq!(with(proven(OURS, "00oOURS", &[])), theirs("other"));
            assert_eq!(with(proven(ELSEWHERE, "00oOURS", &[])), ClaimDecision::Ours, "what an older release believed");
            assert_eq!(decide(&this, &here, &[], &visible(settled)), ClaimDecision::Ours, "it is gone");
            let visibility = Visibility { settled, any_hidden: true, hidden: &|namespace| namespace == "other" };
            assert_eq!(decide(&this, &here, &[], &visibility), recorded(), "it is not gone because it is not listed");
        }
    }

    #[test]
    fn a_new_object_waits_a_while_for_older_ones_and_for_lists_and_one_that_managed_its_org_does_not() {
        let here = location(OURS, "00oOURS", &[]);
        let this = org("otp", 20, OURS);
        let mut hinting = org("other", 10, ELSEWHERE);
        hinting.status = serde_json::from_value(json!({"orgID": "00oOURS"})).unwrap();
        let hidden = |settled| Visibility { settled, any_hidden: true, hidden: &|namespace| namespace == "other" };
        let older = [(OrgStanding::Unknown, Arc::new(hinting))];
        let waits = ClaimDecision::Waits(Awaited::Answer(ObjectRef::new("other", "acme")));
        assert_eq!(decide(&this, &here, &older, &visible(false)), waits);
        assert_eq!(decide(&this, &here, &[], &hidden(false)), ClaimDecision::Waits(Awaited::Lists));
        assert_eq!(decide(&this, &here, &[], &visible(false)), ClaimDecision::Ours, "there is nobody to wait for");
        for visibility in [visible(true), hidden(true)] {
            assert_eq!(decide(&this, &here, &older, &visibility), ClaimDecision::Ours, "nobody waits for ever");
        }
        let mut managing = this;
        managing.status = serde_json::from_value(json!({"conditions": [{"type": "Claimed", "status": "True",
            "reason": "Claimed", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
        .unwrap();
        assert_eq!(decide(&managing, &here, &older, &hidden(false)), ClaimDecision::Ours);
    }

    #[test]
    fn who_manages_an_org_lets_those_end_what_they_do_there_that_are_of_it_or_are_to_yield() {
        let here = location(OURS, "00oOURS", &[]);
        let mut this = org("otp", 20, OURS);
        let waits = |this: &OktaOrg, at: &OrgLocation, created| {
            let other = (ObjectRef::new("other", "acme"), Tenure::of(&org("other", created, OURS), at));
            before(this, &here, &[other]).is_some()
        };
        let (elsewhere, theirs) = (location(ELSEWHERE, "00oOURS", &[]), trusting(&here, "theirs"));
        for managing in [false, true] {
            let claimed = json!({"conditions": [{"type": "Claimed", "status": "True", "reason": "Claimed", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
            this.status = managing.then(|| serde_json::from_value(claimed).unwrap());
            assert!(waits(&this, &here, 10) && waits(&this, &here, 30), "{managing}");
            assert!(!waits(&this, &elsewhere, 30), "{managing}");
            assert!(waits(&this, &theirs, 30), "it believes what this one has proven, and yields");
            assert!(!waits(&this, &theirs, 10), "whoever answers it by certificates of its own holds nobody off");
        }
        this.metadata.deletion_timestamp = this.metadata.creation_timestamp.clone();
        assert!(waits(&this, &here, 30) && !waits(&this, &theirs, 30), "nobody yields to one that is being deleted");
    }

    #[test]
    fn who_may_be_of_the_same_org_is_reconciled_again() {
        let mut recorded = org("told", 1, CUSTOM);
        recorded.status = serde_json::from_value(json!({"claimedBy": "otp/acme"})).unwrap();
        let all = [org("same", 1, OURS), recorded, org("else", 1, ELSEWHERE), org("otp", 20, OURS)].map(Arc::new);
        let woken: Vec<_> = concerned(&all[3], &all).into_iter().map(|target| target.namespace).collect();
        assert_eq!(woken, ["same", "told"]);
    }
}
