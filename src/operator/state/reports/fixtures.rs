//! Reports as tests need them.

use super::*;

impl Reports {
    /// Lets a gateway of one replica serve these hooks and no others.
    pub fn serve(&self, namespace: &str, gateway: &str, hooks: &[&str]) {
        let mut report = ReplicaReport::default();
        report.hooks.extend(
            hooks.iter().map(|hook| ((*hook).to_owned(), hookswitch_gateway_config::report::HookReport::default())),
        );
        self.take(&(namespace.to_owned(), gateway.to_owned()), [("pod-0".to_owned(), Some(report))].into());
    }

    /// Lets a gateway with one replica report that Okta called a hook so many seconds ago.
    pub fn set_called(&self, namespace: &str, gateway: &str, hook: &str, age: u64) {
        let mut report = ReplicaReport::default();
        let called = hookswitch_gateway_config::report::HookReport { last_call_age_s: Some(age), ..Default::default() };
        report.hooks.insert(hook.to_owned(), called);
        let round = [("pod-0".to_owned(), Some(report))].into();
        self.take(&(namespace.to_owned(), gateway.to_owned()), round);
    }

    /// Lets a gateway with one replica report how many calls of a hook it answered FAILED since it started.
    pub fn set_failed(&self, namespace: &str, gateway: &str, hook: &str, failed: u64) {
        let mut report = ReplicaReport::default();
        let answers = [("FAILED".to_owned(), failed)].into();
        report
            .hooks
            .insert(hook.to_owned(), hookswitch_gateway_config::report::HookReport { answers, ..Default::default() });
        self.take(&(namespace.to_owned(), gateway.to_owned()), [("pod-0".to_owned(), Some(report))].into());
    }

    /// Lets a gateway with one replica report how many calls of a hook it refused and answered since it started.
    pub fn set_counted(&self, namespace: &str, gateway: &str, hook: &str, unauthorised: u64, answered: u64) {
        let mut report = ReplicaReport::default();
        let answers = [("SUCCESSFUL".to_owned(), answered)].into();
        let hook_report =
            hookswitch_gateway_config::report::HookReport { answers, unauthorised, last_call_age_s: None };
        report.hooks.insert(hook.to_owned(), hook_report);
        self.take(&(namespace.to_owned(), gateway.to_owned()), [("pod-0".to_owned(), Some(report))].into());
    }

    /// Lets every replica of a gateway take a hook's secret.
    pub fn set_accepted(&self, namespace: &str, gateway: &str, hook: &str, secret: Fingerprint) {
        let hash = ReplicaReport::default().config_hash;
        _ = self.expect(namespace, gateway, &hash, [(hook.to_owned(), vec![secret])].into(), Vec::new());
    }

    /// Lets a gateway serve a hook, or not.
    pub fn set_serving(&self, namespace: &str, gateway: &str, hook: &str, serving: Serving) {
        let mut report = ReplicaReport::default();
        if matches!(serving, Serving::Yes { .. }) {
            report.hooks.insert(hook.to_owned(), hookswitch_gateway_config::report::HookReport::default());
        }
        let replicas = match serving {
            Serving::Yes { replicas } => replicas,
            Serving::No => 1,
            Serving::Unknown => 0,
        };
        let round = (0..replicas).map(|number| (format!("pod-{number}"), Some(report.clone()))).collect();
        self.take(&(namespace.to_owned(), gateway.to_owned()), round);
    }
}
