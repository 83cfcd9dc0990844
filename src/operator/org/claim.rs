//! Which `OktaOrg` manages an org when several point at it: the oldest. Pure.

use std::sync::Arc;

use kube::ResourceExt as _;

use crate::api::OktaOrg;

/// The `OktaOrg` that claims `id`, when it is another than `this`: the oldest of those known to be that org; of equally
/// old ones the first by namespace and name.
#[must_use]
pub fn claimed_by_other(this: &OktaOrg, id: &str, all: &[Arc<OktaOrg>]) -> Option<(String, String)> {
    let is_rival = |other: &&Arc<OktaOrg>| {
        let known = other.status.as_ref().and_then(|status| status.org_id.as_deref());
        other.uid() != this.uid() && known == Some(id) && other.metadata.deletion_timestamp.is_none()
    };
    let oldest = all.iter().filter(is_rival).min_by_key(|other| age(other))?;
    (age(oldest) < age(this)).then(|| (oldest.namespace().unwrap_or_default(), oldest.name_any()))
}

type Age = (bool, Option<k8s_openapi::jiff::Timestamp>, Option<String>, String);

fn age(org: &OktaOrg) -> Age {
    let created = org.creation_timestamp().map(|time| time.0);
    (created.is_none(), created, org.namespace(), org.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;
    use crate::api::{ApiToken, KeyRef, OktaOrgSpec, OktaOrgStatus, OrgAuth};

    fn org(namespace: &str, created: i64, id: Option<&str>) -> Arc<OktaOrg> {
        let key = KeyRef { name: "okta".into(), key: "token".into() };
        let auth = OrgAuth { api_token: ApiToken { secret_ref: key } };
        let url = "https://acme.okta.com".to_owned();
        let mut org =
            OktaOrg::new("acme", OktaOrgSpec { url, auth, poll_interval: None, rate_limit: None, ca_bundle_ref: None });
        org.metadata.namespace = Some(namespace.to_owned());
        org.metadata.uid = Some(format!("{namespace}-{created}"));
        org.metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
        org.status = id.map(|id| OktaOrgStatus { org_id: Some(id.to_owned()), ..OktaOrgStatus::default() });
        Arc::new(org)
    }

    #[test]
    fn the_oldest_object_claims_the_org_and_others_are_told_which_one() {
        let all =
            [org("b", 20, Some("00o1")), org("a", 10, Some("00o1")), org("c", 5, Some("00o2")), org("d", 1, None)];
        assert_eq!(claimed_by_other(&all[0], "00o1", &all), Some(("a".into(), "acme".into())));
        assert_eq!(claimed_by_other(&all[1], "00o1", &all), None);
        assert_eq!(claimed_by_other(&all[2], "00o2", &all), None, "another org");
    }

    #[test]
    fn of_equally_old_objects_the_first_by_namespace_claims() {
        let all = [org("b", 10, Some("00o1")), org("a", 10, Some("00o1"))];
        assert_eq!(claimed_by_other(&all[0], "00o1", &all), Some(("a".into(), "acme".into())));
        assert_eq!(claimed_by_other(&all[1], "00o1", &all), None);
    }
}
