//! `RoutingPolicy`: whether the providers that its rules name are there.

use std::{collections::BTreeSet, sync::Arc};

use kube::ResourceExt as _;

use super::context::Context;
use crate::operator::runtime::{
    cache::Index,
    conditions::{self, Progress},
    error::ReconcileError,
    problem::Problem,
    reconcile::{Reconcile, Requeue, target},
    status,
    triggers::Target,
};
use hookswitch_api::{Kind, RoutingPolicy, RoutingPolicyStatus, TelephonyProvider, reason::Ready};

impl Reconcile for RoutingPolicy {
    type Context = Context;

    const KIND: Kind = Kind::RoutingPolicy;
    const READS: &'static [Kind] = &[Self::KIND, Kind::TelephonyProvider];

    fn index(ctx: &Context) -> &Index<Self> {
        &ctx.memory.caches.policies
    }

    fn dependents(&self, ctx: &Context) -> Vec<Target> {
        let gateways = ctx.memory.caches.gateways.in_namespace(&self.namespace().unwrap_or_default());
        gateways.iter().map(|gateway| target(&**gateway)).collect()
    }

    async fn reconcile(object: Arc<Self>, ctx: Arc<Context>) -> Result<Requeue, ReconcileError> {
        let known = ctx.memory.caches.providers.in_namespace(&object.namespace().unwrap_or_default());
        let built = build(&object, &known);
        status::write(&ctx.runtime.kube, &*object, built).await?;
        Ok(Requeue::OnChange)
    }
}

/// What is wrong with a policy's providers, the missing ones first. Pure.
fn judge(policy: &RoutingPolicy, known: &[Arc<TelephonyProvider>]) -> Result<(), Problem> {
    let named: BTreeSet<&str> = policy
        .spec
        .rules
        .iter()
        .filter_map(|rule| rule.send.as_ref())
        .flat_map(|send| send.providers.iter().map(|provider| provider.name.as_str()))
        .collect();
    let of = |name: &str| known.iter().find(|provider| provider.name_any() == name);
    let missing: Vec<&str> = named.iter().copied().filter(|name| of(name).is_none()).collect();
    if !missing.is_empty() {
        let message = format!(
            "TelephonyProvider {} does not exist. Until it does, gateways keep the policy's last good rules; \
             a rule with no other provider answers FAILED.",
            missing.join(", ")
        );
        return Err(Problem::transient(Ready::ProviderNotFound, message));
    }
    let unready: Vec<&str> = named
        .iter()
        .copied()
        .filter(|name| {
            let status = of(name).and_then(|provider| provider.status.as_ref());
            status
                .is_some_and(|status| conditions::get(&status.conditions, "Ready").is_some_and(conditions::says_false))
        })
        .collect();
    if unready.is_empty() {
        return Ok(());
    }
    let message = format!("TelephonyProvider {} is not Ready; its own condition says why.", unready.join(", "));
    Err(Problem::transient(Ready::ProviderNotReady, message))
}

fn build(policy: &RoutingPolicy, known: &[Arc<TelephonyProvider>]) -> RoutingPolicyStatus {
    let mut status = policy.status.clone().unwrap_or_default();
    let generation = policy.metadata.generation;
    let progress = match judge(policy, known) {
        Ok(()) => Progress::Done("The spec is valid, and every provider it names exists.".into()),
        Err(problem) => problem.progress(),
    };
    conditions::set_progress(&mut status.conditions, progress, generation);
    status.observed_generation = generation;
    status.rules = i32::try_from(policy.spec.rules.len()).ok();
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy() -> RoutingPolicy {
        serde_json::from_value(json!({
            "apiVersion": "hookswitch.dev/v1alpha1", "kind": "RoutingPolicy",
            "metadata": {"name": "p", "namespace": "ns", "generation": 2},
            "spec": {"rules": [{"name": "all", "send": {"providers": [{"name": "a"}, {"name": "b"}]}}, {"name": "no", "deny": {}}]},
        }))
        .unwrap()
    }

    fn provider(name: &str, ready: &str) -> Arc<TelephonyProvider> {
        let condition = json!({"type": "Ready", "status": ready, "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let provider = serde_json::from_value(json!({
            "apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyProvider", "metadata": {"name": name, "namespace": "ns"},
            "spec": {"http": {"url": "https://c.example/", "tokenRef": {"name": "s", "key": "k"}}, "senders": []},
            "status": {"conditions": [condition]},
        }));
        Arc::new(provider.unwrap())
    }

    #[test]
    fn a_policy_is_ready_when_every_provider_it_names_is() {
        let status = build(&policy(), &[provider("a", "True"), provider("b", "True")]);
        assert!(conditions::is_true(&status.conditions, "Ready"));
        assert_eq!((status.rules, status.observed_generation), (Some(2), Some(2)));
    }

    #[test]
    fn a_missing_provider_is_named() {
        let problem = judge(&policy(), &[provider("a", "False")]).unwrap_err();
        assert_eq!(problem.reason, Ready::ProviderNotFound);
        assert!(problem.message.contains("TelephonyProvider b "), "{}", problem.message);
    }

    #[test]
    fn a_provider_that_is_not_ready_is_named() {
        let problem = judge(&policy(), &[provider("a", "True"), provider("b", "False")]).unwrap_err();
        assert_eq!(problem.reason, Ready::ProviderNotReady);
        assert!(problem.message.contains("TelephonyProvider b "), "{}", problem.message);
    }
}
