//! What a gateway refers to, read and not judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::LabelSelector, jiff::Timestamp};
use kube::{
    Api, ResourceExt as _,
    core::{Expression, Selector, SelectorExt as _},
};

use super::compile::{Input, KnownInOkta};
use crate::operator::{
    model::gateway_names::Names,
    options::Options,
    resolve::{Resolver, endpoint, provider, secret_value},
    runtime::{
        Runtime,
        apply::controls,
        error::{Checked, ReconcileError, or_denied},
        finalizer,
        problem::Problem,
        reconcile::target,
        references::{Reference, References},
    },
    state::caches::Caches,
};
use hookswitch_api::{Kind, RoutingPolicy, TelephonyGateway, reason::Ready};
use hookswitch_gateway_config::{
    document::{self, GatewayConfig, HookCredential, ProviderConfig},
    envelope,
};
use hookswitch_okta::{
    ObjectRef,
    fingerprint::{Fingerprint, FingerprintKey},
};

/// What is said of an object that exists and cannot be read.
const UNREADABLE: &str =
    "the operator cannot read it; are the CustomResourceDefinitions of the operator's own release?";

/// What a gateway refers to.
#[derive(Debug)]
pub struct GatewayFacts {
    /// Policies that it names or selects.
    pub policies: BTreeMap<String, Option<Arc<RoutingPolicy>>>,
    /// Providers of the namespace.
    pub providers: BTreeMap<String, Result<ProviderConfig, String>>,
    /// Hooks that target it.
    pub hooks: BTreeMap<String, Result<document::HookConfig, String>>,
    /// What Okta has of them, as far as is known.
    pub in_okta: BTreeMap<String, KnownInOkta>,
    /// Its configuration's envelope as it is now.
    pub sealed: Option<Vec<u8>>,
    /// What is in it.
    pub previous: Option<GatewayConfig>,
    /// The Secret of its report's credentials.
    pub report: Option<Arc<Secret>>,
    /// The Secret of its serving certificate, given or generated; a problem where it may not be read.
    pub tls: Result<Option<Arc<Secret>>, Problem>,
}

impl GatewayFacts {
    /// What the configuration is compiled from.
    pub(super) fn input<'a>(
        &'a self,
        gateway: &'a TelephonyGateway,
        options: &Options,
        extra_roots: Option<&str>,
        report: document::Report,
    ) -> Input<'a> {
        let namespace = gateway.namespace().unwrap_or_default();
        Input {
            gateway: format!("{namespace}/{}", gateway.name_any()),
            generation: gateway.metadata.generation.unwrap_or_default(),
            spec: &gateway.spec,
            policies: self
                .policies
                .iter()
                .map(|(name, policy)| (name.clone(), policy.as_ref().map(|policy| &policy.spec)))
                .collect(),
            providers: self.providers.clone(),
            hooks: self.hooks.clone(),
            in_okta: self.in_okta.clone(),
            now: Timestamp::now().as_second(),
            report,
            allowed_cidrs: options.private_ranges(&namespace),
            proxy: options.proxy().map(|proxy| proxy.as_str().into()),
            proxy_exceptions: options.no_proxy.iter().map(ToString::to_string).collect(),
            extra_roots: extra_roots.map(str::to_owned),
        }
    }
}

/// Reads what a gateway refers to, and has its reconcile run when any of it changes.
///
/// # Errors
/// [`Problem`] when the selector cannot be used; [`ReconcileError`] when the API server does not answer.
pub(super) async fn dereference(
    gateway: &TelephonyGateway,
    resolver: &Resolver,
    runtime: &Runtime,
    names: &Names,
) -> Result<GatewayFacts, super::Failure> {
    let (namespace, name) = (gateway.namespace().unwrap_or_default(), gateway.name_any());
    let caches = &resolver.memory.caches;
    let known = caches.providers.in_namespace(&namespace);
    let references = &resolver.references;
    let hooks: Vec<_> = caches
        .hooks
        .in_namespace(&namespace)
        .into_iter()
        // one that is being deleted is called for as long as it is held
        .filter(|hook| hook.metadata.deletion_timestamp.is_none() || finalizer::is_held(&**hook))
        .filter(|hook| hook.spec.target.is_gateway(&name))
        .collect();
    let tls = gateway.spec.tls.as_ref().map_or(names.tls.as_str(), |tls| tls.secret_ref.name.as_str());

    let mut wanted: BTreeSet<Reference> = known.iter().flat_map(|provider| provider::references(provider)).collect();
    wanted.extend(hooks.iter().map(|hook| Reference::secret(&namespace, endpoint::secret_key(hook).name)));
    wanted.extend([tls, &names.report, &names.config].map(|secret| Reference::secret(&namespace, secret)));
    references.follow(&target(gateway), &wanted);

    let mut providers = BTreeMap::new();
    for provider in &known {
        let settings = provider::settings(provider, references).await?;
        providers.insert(provider.name_any(), settings.map_err(|problem| problem.message));
    }
    for name in runtime.unreadable.names(Kind::TelephonyProvider, &namespace) {
        providers.entry(name).or_insert_with(|| Err(UNREADABLE.to_owned()));
    }
    // read afresh: what serves on is taken from it, and a watch may lag behind our own last write
    let configs: Api<Secret> = Api::namespaced(runtime.kube.client.clone(), &namespace);
    let config = configs.get_opt(&names.config).await;
    let config = config.map_err(ReconcileError::api(format!("read Secret {namespace}/{}", names.config)));
    let config = or_denied(config, Ready::SecretNotFound)??;
    if config.as_ref().is_some_and(|secret| !controls(gateway, secret)) {
        return Err(ReconcileError::taken::<Secret>(&namespace, &names.config).into());
    }
    let sealed = config.and_then(|secret| secret.data?.remove(envelope::KEY)).map(|bytes| bytes.0);
    let previous = sealed.as_deref().map(envelope::open).transpose().map_err(|error| {
        let message = format!(
            "Secret {namespace}/{} holds a configuration that cannot be read ({error}), and what it holds may be all that serves. \
             Install the release that wrote it, or delete the Secret to have it compiled anew.",
            names.config
        );
        Problem::permanent(Ready::ConfigUnreadable, message)
    })?;
    let known_hooks = previous.as_ref().map(|previous: &GatewayConfig| &previous.hooks);
    let (mut of_hooks, mut in_okta) = (BTreeMap::new(), BTreeMap::new());
    for hook in &hooks {
        let entry = hook_entry(hook, references, &namespace).await?.map_err(|problem| problem.message);
        let before = known_hooks.and_then(|known| known.get(&hook.name_any()));
        let has = entry.as_ref().ok().and_then(|entry| self::in_okta(hook, resolver, entry, before));
        in_okta.extend(has.map(|has| (hook.name_any(), has)));
        of_hooks.insert(hook.name_any(), entry);
    }
    for name in runtime.unreadable.names(Kind::TelephonyHook, &namespace) {
        if known_hooks.is_some_and(|hooks| hooks.contains_key(&name)) {
            of_hooks.entry(name).or_insert_with(|| Err(UNREADABLE.to_owned()));
        }
    }
    Ok(GatewayFacts {
        policies: policies(gateway, caches, &namespace)?,
        providers,
        hooks: of_hooks,
        previous,
        in_okta,
        sealed,
        report: or_denied(references.secret(&namespace, &names.report).await, Ready::SecretNotFound)??,
        tls: or_denied(references.secret(&namespace, tls).await, Ready::SecretNotFound)?,
    })
}

async fn hook_entry(
    hook: &hookswitch_api::TelephonyHook,
    references: &References,
    namespace: &str,
) -> Result<Checked<document::HookConfig>, ReconcileError> {
    let key = endpoint::secret_key(hook);
    let secret = or_denied(references.secret(namespace, &key.name).await, Ready::SecretNotFound)?;
    let value = secret.and_then(|secret| secret_value::hook_secret(secret.as_deref(), namespace, &key));
    Ok(value.map(|value| document::HookConfig {
        okta_id: hook.status.as_ref().and_then(|status| status.okta_id.clone()),
        ..document::HookConfig::new(hook.spec.auth_header().to_ascii_lowercase(), vec![value])
    }))
}

/// What Okta has of a hook, as far as is known. One in Okta that is pointed at another's destination has that one's secret.
fn in_okta(
    hook: &hookswitch_api::TelephonyHook,
    resolver: &Resolver,
    declared: &document::HookConfig,
    before: Option<&document::HookConfig>,
) -> Option<KnownInOkta> {
    let namespace = hook.namespace().unwrap_or_default();
    let is_elsewhere = hook.status.as_ref().is_some_and(|status| status.repointed.is_some());
    let pointed = resolver.memory.caches.pointed_here(hook);
    let holder = match pointed.as_deref() {
        Some(other) => other,
        None if hook.spec.okta.is_none() || is_elsewhere => return Some(KnownInOkta::Nothing),
        None => hook,
    };
    let object = ObjectRef::new(namespace, holder.name_any());
    let applied = holder.status.as_ref()?.applied_secret_mark.as_deref()?;
    let known = declared.credentials().chain(before.into_iter().flat_map(document::HookConfig::credentials));
    known
        .into_iter()
        .find(|one| fingerprint(&resolver.installation.key, &object, one).as_str() == applied)
        .map(KnownInOkta::Has)
}

/// The fingerprint of what a hook is called with.
pub(super) fn fingerprint(key: &FingerprintKey, object: &ObjectRef, credential: &HookCredential) -> Fingerprint {
    key.secret(object, &credential.header, credential.secret.expose())
}

fn policies(
    gateway: &TelephonyGateway,
    caches: &Caches,
    namespace: &str,
) -> Result<BTreeMap<String, Option<Arc<RoutingPolicy>>>, Problem> {
    let source = &gateway.spec.policies;
    if let Some(names) = &source.names {
        return Ok(names.iter().map(|name| (name.clone(), caches.policies.get(namespace, name))).collect());
    }
    let selector = selector(source.selector.clone().unwrap_or_default())?;
    let all = caches.policies.in_namespace(namespace);
    Ok(all
        .into_iter()
        .filter(|policy| selector.matches(policy.labels()))
        .map(|policy| (policy.name_any(), Some(policy)))
        .collect())
}

/// A label selector as the API server would read it.
fn selector(selector: LabelSelector) -> Result<Selector, Problem> {
    let invalid = |operator: &str| {
        Problem::permanent(
            Ready::InvalidSpec,
            format!(
                "spec.policies.selector has an expression with the operator {operator}; In, NotIn, Exists and DoesNotExist are known."
            ),
        )
    };
    let mut read = Selector::default();
    for (key, value) in selector.match_labels.unwrap_or_default() {
        read.extend(Expression::Equal(key, value));
    }
    for expression in selector.match_expressions.unwrap_or_default() {
        let (key, values) = (expression.key, expression.values.unwrap_or_default().into_iter().collect());
        read.extend(match expression.operator.as_str() {
            "In" => Expression::In(key, values),
            "NotIn" => Expression::NotIn(key, values),
            "Exists" => Expression::Exists(key),
            "DoesNotExist" => Expression::DoesNotExist(key),
            other => return Err(invalid(other)),
        });
    }
    Ok(read)
}
