use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::json;

use super::*;
use hookswitch_okta::{ApiToken, OktaCredential};

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
    let credential = OktaCredential::ApiToken(ApiToken::new("token").unwrap());
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
    let (here, renamed) = (location(OURS, "00oOURS", &custom), location("https://acme-inc.okta.com", "00oOURS", &[]));
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
    assert_eq!(decided, [theirs("a"), ClaimDecision::Ours, theirs("a")], "of equally old ones the first by namespace");
}

#[test]
fn a_custom_domain_is_the_orgs_where_okta_says_so() {
    let (here, there) = (["id.acme.com"], ["id.other.com"]);
    let at_okta = location(OURS, "00oOURS", &here);
    assert_eq!(beside(&at_okta, proven(CUSTOM, "00oOURS", &here), CUSTOM), theirs("other"));
    assert_eq!(beside(&location(CUSTOM, "00oOURS", &[]), proven(OURS, "00oOURS", &here), OURS), theirs("other"));
    assert_eq!(beside(&location(CUSTOM, "00oOURS", &here), proven(OURS, "00oOURS", &there), OURS), ClaimDecision::Ours);
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
