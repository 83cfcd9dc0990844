//! The resources of `hookswitch.dev/v1alpha1`: one file per kind, and what kinds share.
//!
//! Types and their validation only: no client. Specs are never changed by us, so defaults are not written into the schema;
//! each optional field says what its absence means and has a method that gives the value in force. A gateway's `replicas` is
//! the exception, because the scale subresource reads it.

mod duration;
mod gateway;
mod hook;
mod kind;
mod org;
pub mod pages;
mod policy;
mod provider;
pub mod reason;
mod reference;
#[cfg(test)]
mod rules_tests;
mod switch;
mod target;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod twilio;

pub use duration::{Duration, InvalidDuration};
pub use gateway::{
    AttemptsSpec, IngressSpec, IpFamily, IpFamilyPolicy, OnAmbiguous, PolicySource, ServiceSpec, ServiceType,
    TelephonyGateway, TelephonyGatewaySpec, TelephonyGatewayStatus, TlsSpec, TrafficPolicy,
};
pub use hook::{
    HANDS_OVER_TO, HeaderAuth, HookAdoption, HookAuth, HookDeletion, HookDrift, HookHeader, HookState, OktaHook,
    Repointed, TAKES_OVER, TelephonyHook, TelephonyHookSpec, TelephonyHookStatus,
};
pub use kind::Kind;
pub use org::{ActiveHook, ApiTokenAuth, OktaChange, OktaOrg, OktaOrgSpec, OktaOrgStatus, OrgAuth};
pub use policy::{
    Deny, ProviderRef, RoutingPolicy, RoutingPolicySpec, RoutingPolicyStatus, RoutingRule, RuleMatch, Send,
};
pub use provider::{
    ClientAuthentication, HttpProvider, OAuth2Client, OktaHookAuth, OktaHookProvider, ProbeSpec, ProviderAccount,
    SecretHeader, SenderSpec, TelephonyProvider, TelephonyProviderSpec, TelephonyProviderStatus, TwilioApiKey,
    TwilioProvider,
};
pub use reference::{CaBundleRef, KeyRef, NameRef};
pub use switch::{
    ACKNOWLEDGE, FAILBACK, HandledRequests, HookSwitch, HookSwitchSpec, HookSwitchStatus, MaintenanceWindow, PROMOTE,
    SwitchBudget, SwitchDetection, SwitchExecute, SwitchFailback, SwitchMode, SwitchPublicUrl, SwitchRecord,
    SwitchSignal, SwitchStep, SwitchStrategy, SwitchSystemLog, SwitchedHook, Switching, UnprovenStandby,
};
pub use target::{HookTarget, UrlProbe, UrlTarget, UrlTest};
pub use twilio::{AddressRetention, ContentRetention, RiskCheck, TwilioVerify};

/// The API group.
pub const GROUP: &str = "hookswitch.dev";

/// All CRDs, in the order in which they are written to files.
#[must_use]
pub fn crds() -> Vec<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> {
    use kube::CustomResourceExt as _;
    vec![
        HookSwitch::crd(),
        OktaOrg::crd(),
        RoutingPolicy::crd(),
        TelephonyGateway::crd(),
        TelephonyHook::crd(),
        TelephonyProvider::crd(),
    ]
}

/// The CRDs as files: names with their texts.
#[must_use]
pub fn crd_files() -> Vec<(String, String)> {
    let files = crds().into_iter().filter_map(|crd| {
        let name = format!("{}.yaml", crd.metadata.name.as_deref().unwrap_or_default());
        let yaml = serde_saphyr::to_string(&crd).ok()?;
        Some((name, format!("# Made by `hookswitch crds --dir crds`; do not edit.\n---\n{yaml}")))
    });
    files.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crds_in_the_repository_are_fresh() {
        let files = crd_files();
        assert_eq!(files.len(), crds().len());
        for (name, text) in files {
            let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds")).join(&name);
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == text, "crds/{name} is not what the types say: run make generate");
        }
    }

    #[test]
    fn every_crd_stays_far_below_the_size_that_breaks_clients() {
        for crd in crds() {
            let size = serde_json::to_string(&crd).unwrap().len();
            assert!(size < 200 * 1024, "{:?} has {size} bytes", crd.metadata.name);
        }
    }
}
