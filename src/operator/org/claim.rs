//! Which `OktaOrg` manages an org when several are of it: the oldest that has proven to be. Pure.
//!
//! What a document says that everybody may read, and everybody may serve, proves nothing; a credential that is taken proves that
//! the object may manage what answers at its own host, which TLS proves, and no more. So two objects are of the same org when they
//! call the same host, or when Okta itself says so, at a domain of its own.

use std::sync::Arc;

use kube::ResourceExt as _;

use super::super::{conditions, wake::Target, watches};
use hookswitch_api::OktaOrg;
use hookswitch_okta::{
    ObjectRef, OrgUrl,
    types::{OrgDocument, OrgIdentity},
};

/// Where an object's credential was taken, and what the org there says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    authority: String,
    is_oktas: bool,
    document: OrgDocument,
}

impl Place {
    /// What answers at `url` and says `document`.
    #[must_use]
    pub fn of(url: &OrgUrl, document: &OrgDocument) -> Self {
        Self { authority: url.authority(), is_oktas: url.is_oktas(), document: document.clone() }
    }

    /// Whether both are certainly one org. That a host which is not Okta's tells the other's id is no reason.
    fn is_same(&self, other: &Self) -> bool {
        self.authority == other.authority || self.vouches_for(other) || other.vouches_for(self)
    }

    /// Whether Okta says here that the other host is this org's, and it tells the same id.
    fn vouches_for(&self, other: &Self) -> bool {
        let (id, its_own) = (&self.document.identity, &self.document.domains);
        let is_known = other.is_oktas || its_own.contains(&other.authority);
        self.is_oktas && is_known && matches!(id, OrgIdentity::Id(_)) && *id == other.document.identity
    }
}

/// What an object has proven since this process began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is certain yet.
    #[default]
    Unknown,
    /// Its credential is refused, or it has none.
    Refused,
    /// Its credential is taken.
    Proven(Place),
}

/// Who manages an org, as an object's status says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The object itself.
    Ours,
    /// Another one.
    Theirs(ObjectRef),
}

impl Claim {
    /// The other one.
    #[must_use]
    pub const fn other(&self) -> Option<&ObjectRef> {
        match self {
            Self::Ours => None,
            Self::Theirs(other) => Some(other),
        }
    }
}

/// Who is to manage an org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The object itself.
    Ours,
    /// Another one.
    Theirs(ObjectRef),
    /// This one is to have its say first, or one in a namespace that is not listed yet.
    Waits(Option<ObjectRef>),
}

/// How much can be seen of other objects.
pub struct Sight<'s> {
    /// Every object had its time to prove what it can.
    pub settled: bool,
    /// There is a namespace whose objects are not listed.
    pub any_hidden: bool,
    /// Whether a namespace is looked after and its objects are not listed.
    pub hidden: &'s dyn Fn(&str) -> bool,
}

/// Who manages the org at `place`, where the credential of `this` was taken.
///
/// An object that managed the org goes on at once, and one that was told of another waits for that one's own answer, in a namespace
/// that cannot be listed too: who manages an org does not change because somebody cannot be seen. One that is new waits for older
/// ones that say they are of the same org, and for namespaces to be listed, but no longer than until everybody had time to answer:
/// what is said without a proof stops nobody for good.
#[must_use]
pub fn decide(this: &OktaOrg, place: &Place, others: &[(Standing, Arc<OktaOrg>)], sight: &Sight<'_>) -> Decision {
    let older: Vec<_> = others
        .iter()
        .filter(|(_, other)| other.uid() != this.uid() && other.metadata.deletion_timestamp.is_none())
        .filter(|(_, other)| age(other) < age(this))
        .collect();
    let oldest = |found: &dyn Fn(&Standing, &OktaOrg) -> bool| {
        let found = older.iter().filter(|(standing, other)| found(standing, other));
        found.min_by_key(|(_, other)| age(other)).map(|(_, other)| object_ref(other))
    };
    let proven = |standing: &Standing, _: &OktaOrg| matches!(standing, Standing::Proven(at) if at.is_same(place));
    if let Some(other) = oldest(&proven) {
        return Decision::Theirs(other);
    }
    if let Some(told) = told(this) {
        let known = others.iter().find(|(_, other)| object_ref(other) == told);
        let is_open = match known {
            Some((standing, _)) => *standing == Standing::Unknown,
            None => (sight.hidden)(&told.namespace),
        };
        if is_open {
            return Decision::Theirs(told);
        }
    }
    if sight.settled || managed(this) {
        return Decision::Ours;
    }
    let id = place.document.identity.as_str();
    let hints = |standing: &Standing, other: &OktaOrg| {
        *standing == Standing::Unknown
            && (known_id(other) == Some(id) || authority(other) == Some(place.authority.clone()))
    };
    match oldest(&hints) {
        Some(other) => Decision::Waits(Some(other)),
        None if sight.any_hidden => Decision::Waits(None),
        None => Decision::Ours,
    }
}

/// Objects that may be of the same org as `this`, or were told that it is the one that manages theirs.
pub fn concerned(this: &OktaOrg, all: &[Arc<OktaOrg>]) -> Vec<Target> {
    let (id, at, own) = (known_id(this), authority(this), object_ref(this));
    let is_one = |other: &&Arc<OktaOrg>| {
        let same = id.is_some() && known_id(other) == id || at.is_some() && authority(other) == at;
        other.uid() != this.uid() && (same || told(other).as_ref() == Some(&own))
    };
    all.iter().filter(is_one).map(|other| watches::target(&**other)).collect()
}

/// The id that an object was told last: a hint, since whoever may write its status may say so.
fn known_id(org: &OktaOrg) -> Option<&str> {
    org.status.as_ref()?.org_id.as_deref()
}

/// The object that manages the org in this one's place, by its own status.
fn told(org: &OktaOrg) -> Option<ObjectRef> {
    let (namespace, name) = org.status.as_ref()?.claimed_by.as_deref()?.split_once('/')?;
    Some(ObjectRef::new(namespace, name))
}

/// Whether an object managed its org when it was looked at last.
fn managed(org: &OktaOrg) -> bool {
    let Some(status) = &org.status else { return false };
    status.claimed_by.is_none() && conditions::is_true(&status.conditions, "Claimed")
}

fn authority(org: &OktaOrg) -> Option<String> {
    OrgUrl::parse(&org.spec.url).ok().map(|url| url.authority())
}

fn object_ref(org: &OktaOrg) -> ObjectRef {
    ObjectRef::new(org.namespace().unwrap_or_default(), org.name_any())
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

    fn place(url: &str, id: &str, domains: &[&str]) -> Place {
        let domains = domains.iter().map(|&domain| domain.to_owned()).collect();
        let document = OrgDocument { identity: OrgIdentity::Id(id.into()), domains };
        Place::of(&OrgUrl::parse(url).unwrap(), &document)
    }

    fn proven(url: &str, id: &str, domains: &[&str]) -> Standing {
        Standing::Proven(place(url, id, domains))
    }

    fn seen(settled: bool) -> Sight<'static> {
        Sight { settled, any_hidden: false, hidden: &|_| false }
    }

    fn theirs(namespace: &str) -> Decision {
        Decision::Theirs(ObjectRef::new(namespace, "acme"))
    }

    /// What becomes of an org at `here` beside an older object of another tenant.
    fn beside(here: &Place, standing: Standing, url: &str) -> Decision {
        let mut older = org("other", 10, url);
        older.status = serde_json::from_value(json!({"orgID": "00oOURS"})).unwrap();
        decide(&org("otp", 20, OURS), here, &[(standing, Arc::new(older))], &seen(true))
    }

    #[test]
    fn an_older_object_whose_own_server_tells_our_id_takes_nothing_away() {
        let here = place(OURS, "00oOURS", &["id.acme.com"]);
        for (standing, url) in [
            (proven(ELSEWHERE, "00oOURS", &["acme.okta.com", "id.acme.com"]), ELSEWHERE),
            (proven("https://acme.okta.com:8443", "00oOURS", &["acme.okta.com"]), "https://acme.okta.com:8443"),
            (proven("https://acme.okta.com.evil.example", "00oOURS", &[]), ELSEWHERE),
            (proven("https://notokta.com", "00oOURS", &[]), ELSEWHERE),
            // an org of the attacker's at Okta that names our custom domain, and tells its own id
            (proven("https://evil.okta.com", "00oEVIL", &["id.acme.com", "acme.okta.com"]), "https://evil.okta.com"),
        ] {
            assert_eq!(beside(&here, standing.clone(), url), Decision::Ours, "{standing:?}");
            // the same where ours is called by its custom domain, or by a name that Okta does not know
            for own in [CUSTOM, "https://okta-proxy.acme.internal"] {
                let here = place(own, "00oOURS", &["id.acme.com"]);
                assert_eq!(beside(&here, standing.clone(), url), Decision::Ours, "{own} {standing:?}");
            }
        }
    }

    #[test]
    fn an_older_object_that_has_proven_nothing_takes_nothing_away() {
        let here = place(OURS, "00oOURS", &[]);
        for standing in [Standing::Unknown, Standing::Refused] {
            assert_eq!(beside(&here, standing.clone(), OURS), Decision::Ours, "{standing:?}");
        }
    }

    #[test]
    fn the_oldest_that_has_proven_itself_at_the_same_host_manages_the_org() {
        let here = place(OURS, "00oOURS", &[]);
        assert_eq!(beside(&here, proven("https://ACME.okta.com./", "00oOURS", &[]), OURS), theirs("other"));
        let internal = "https://okta-proxy.acme.internal:8443";
        let here = place(internal, "00oOURS", &[]);
        assert_eq!(beside(&here, proven(internal, "00oOURS", &[]), internal), theirs("other"), "whoever's host it is");
        let all: Vec<_> = [("b", 20), ("a", 10), ("c", 10)]
            .map(|(namespace, created)| (proven(OURS, "00oOURS", &[]), Arc::new(org(namespace, created, OURS))))
            .into();
        let here = place(OURS, "00oOURS", &[]);
        let decided = all.iter().map(|(_, this)| decide(this, &here, &all, &seen(true))).collect::<Vec<_>>();
        assert_eq!(decided, [theirs("a"), Decision::Ours, theirs("a")], "of equally old ones the first by namespace");
    }

    #[test]
    fn a_custom_domain_is_the_orgs_where_okta_says_so() {
        let (here, there) = (["id.acme.com"], ["id.other.com"]);
        let at_okta = place(OURS, "00oOURS", &here);
        assert_eq!(beside(&at_okta, proven(CUSTOM, "00oOURS", &here), CUSTOM), theirs("other"));
        assert_eq!(beside(&place(CUSTOM, "00oOURS", &[]), proven(OURS, "00oOURS", &here), OURS), theirs("other"));
        assert_eq!(beside(&place(CUSTOM, "00oOURS", &here), proven(OURS, "00oOURS", &there), OURS), Decision::Ours);
        let renamed = "https://acme-inc.okta.com";
        assert_eq!(beside(&at_okta, proven(renamed, "00oOURS", &[]), renamed), theirs("other"), "both are Okta's");
        assert_eq!(beside(&at_okta, proven(renamed, "00oELSE", &[]), renamed), Decision::Ours);
    }

    #[test]
    fn who_was_told_of_another_waits_for_that_ones_answer_and_no_longer() {
        let here = place(OURS, "00oOURS", &[]);
        let mut this = org("otp", 20, OURS);
        this.status = serde_json::from_value(json!({"claimedBy": "other/acme"})).unwrap();
        let older = Arc::new(org("other", 10, OURS));
        for settled in [false, true] {
            let with = |standing| decide(&this, &here, &[(standing, Arc::clone(&older))], &seen(settled));
            assert_eq!(with(Standing::Unknown), theirs("other"));
            assert_eq!(with(Standing::Refused), Decision::Ours);
            assert_eq!(with(proven(ELSEWHERE, "00oOURS", &[])), Decision::Ours, "what an older release believed");
            assert_eq!(decide(&this, &here, &[], &seen(settled)), Decision::Ours, "it is gone");
            let sight = Sight { settled, any_hidden: true, hidden: &|namespace| namespace == "other" };
            assert_eq!(decide(&this, &here, &[], &sight), theirs("other"), "it is not gone because it is not listed");
        }
    }

    #[test]
    fn a_new_object_waits_a_while_for_older_ones_and_for_lists_and_one_that_managed_its_org_does_not() {
        let here = place(OURS, "00oOURS", &[]);
        let this = org("otp", 20, OURS);
        let mut hinting = org("other", 10, ELSEWHERE);
        hinting.status = serde_json::from_value(json!({"orgID": "00oOURS"})).unwrap();
        let hidden = |settled| Sight { settled, any_hidden: true, hidden: &|namespace| namespace == "other" };
        let older = [(Standing::Unknown, Arc::new(hinting))];
        let waits = Decision::Waits(Some(ObjectRef::new("other", "acme")));
        assert_eq!(decide(&this, &here, &older, &seen(false)), waits);
        assert_eq!(decide(&this, &here, &[], &hidden(false)), Decision::Waits(None));
        assert_eq!(decide(&this, &here, &[], &seen(false)), Decision::Ours, "there is nobody to wait for");
        for sight in [seen(true), hidden(true)] {
            assert_eq!(decide(&this, &here, &older, &sight), Decision::Ours, "nobody waits for ever");
        }
        let mut managing = this;
        managing.status = serde_json::from_value(json!({"conditions": [{"type": "Claimed", "status": "True",
            "reason": "Claimed", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
        .unwrap();
        assert_eq!(decide(&managing, &here, &older, &hidden(false)), Decision::Ours);
    }

    #[test]
    fn who_may_be_of_the_same_org_looks_again() {
        let mut told = org("told", 1, CUSTOM);
        told.status = serde_json::from_value(json!({"claimedBy": "otp/acme"})).unwrap();
        let all = [org("same", 1, OURS), told, org("else", 1, ELSEWHERE), org("otp", 20, OURS)].map(Arc::new);
        let woken: Vec<_> = concerned(&all[3], &all).into_iter().map(|target| target.namespace).collect();
        assert_eq!(woken, ["same", "told"]);
    }
}
