//! What is said of a provider. Pure.

use crate::operator::{
    runtime::{
        conditions::{self, Is, Progress},
        problem::Problem,
    },
    state::reports::ReportedHealth,
};
use hookswitch_api::{TelephonyProvider, TelephonyProviderStatus, reason::Healthy};
use hookswitch_gateway_config::document::ProviderConfig;
use hookswitch_providers as providers;

/// The status of a provider; without `health` what was said of it stays.
pub(super) fn build(
    provider: &TelephonyProvider,
    settings: Result<ProviderConfig, Problem>,
    health: Option<&ReportedHealth>,
) -> TelephonyProviderStatus {
    let mut status = provider.status.clone().unwrap_or_default();
    let generation = provider.metadata.generation;
    let progress = match settings {
        Ok(settings) => {
            status.probe_proves = providers::proves(&settings).iter().map(|proof| proof.as_str().to_owned()).collect();
            Progress::Done("The spec is valid and its Secrets exist.".into())
        }
        Err(problem) => {
            status.probe_proves.clear();
            problem.progress()
        }
    };
    conditions::set_progress(&mut status.conditions, progress, generation);
    if let Some(health) = health {
        let (is, reason, message) = said(health);
        conditions::set(&mut status.conditions, is, reason, message, generation);
    }
    status.observed_generation = generation;
    status.carrier = provider.spec.account().map(|account| account.kind().to_owned());
    status
}

fn said(health: &ReportedHealth) -> (Is, Healthy, String) {
    match health {
        ReportedHealth::Up => (Is::True, Healthy::Usable, "Gateways can send through this provider.".to_owned()),
        ReportedHealth::Degraded(why) => (Is::True, Healthy::Degraded, why.clone()),
        ReportedHealth::Down(why) => (Is::False, Healthy::Down, why.clone()),
        ReportedHealth::Unknown => {
            (Is::Unknown, Healthy::NoReport, "No gateway that uses this provider has reported recently.".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hookswitch_api::reason::Ready;

    fn provider() -> TelephonyProvider {
        serde_json::from_value(json!({
            "apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyProvider",
            "metadata": {"name": "a", "namespace": "ns", "generation": 4},
            "spec": {"http": {"url": "https://c.example/", "tokenRef": {"name": "s", "key": "k"}}, "senders": [{"channel": "SMS", "from": "ACME"}]},
        }))
        .unwrap()
    }

    fn shown(status: &TelephonyProviderStatus) -> Vec<String> {
        status.conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect()
    }

    fn settings() -> ProviderConfig {
        let probe = hookswitch_gateway_config::document::Probe { interval_ms: 1, timeout_ms: 1, fall: 1, rise: 1 };
        let account = hookswitch_gateway_config::document::Account::Http { url: String::new(), token: "t".into() };
        ProviderConfig { account, senders: vec![], probe, max_in_flight: 1, ca_bundle: None }
    }

    #[test]
    fn a_provider_that_is_down_is_ready_all_the_same() {
        let status = build(&provider(), Ok(settings()), Some(&ReportedHealth::Down("it does not answer".into())));
        assert_eq!(shown(&status), ["Healthy False Down", "Ready True Ready"]);
        assert_eq!((status.observed_generation, status.carrier.as_deref()), (Some(4), Some("http")));
    }

    #[test]
    fn a_provider_without_its_secret_is_not_ready() {
        let problem = Problem::transient(Ready::SecretNotFound, "Secret ns/s does not exist.");
        let status = build(&provider(), Err(problem), Some(&ReportedHealth::Unknown));
        assert_eq!(
            shown(&status),
            ["Healthy Unknown NoReport", "Ready False SecretNotFound", "Reconciling True Retrying"]
        );
    }

    #[test]
    fn what_the_leader_before_observed_stays_until_this_one_can_know() {
        let mut object = provider();
        object.status = Some(build(&object, Ok(settings()), Some(&ReportedHealth::Up)));
        assert_eq!(object.status, Some(build(&object, Ok(settings()), None)));
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let mut object = provider();
        object.status = Some(build(&object, Ok(settings()), Some(&ReportedHealth::Up)));
        assert_eq!(object.status, Some(build(&object, Ok(settings()), Some(&ReportedHealth::Up))));
    }
}
