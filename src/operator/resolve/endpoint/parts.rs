//! The parts of an endpoint that follow from the declaration alone: its address, and where its secret is.

use kube::ResourceExt as _;
use url::Url;

use hookswitch_api::{HookTarget, KeyRef, TelephonyGateway, TelephonyHook};

/// The key of the generated value.
pub const KEY: &str = "value";

/// The name of the generated Secret.
#[must_use]
pub fn secret_name(hook: &TelephonyHook) -> String {
    format!("{}-hook-auth", hook.name_any())
}

/// Where the hook's secret is: the user's own, or the generated one.
#[must_use]
pub fn secret_key(hook: &TelephonyHook) -> KeyRef {
    hook.spec.auth_secret().cloned().unwrap_or_else(|| KeyRef { name: secret_name(hook), key: KEY.into() })
}

/// The address at which Okta is to call a hook; nothing while its gateway does not exist.
#[must_use]
pub fn address(hook: &TelephonyHook, gateway: Option<&TelephonyGateway>) -> Option<String> {
    match &hook.spec.target {
        HookTarget::Gateway(_) => gateway.map(|gateway| gateway.spec.hook_url(&hook.name_any())),
        HookTarget::Url(url) => Some(url.address.clone()),
    }
}

/// The host that is called at an address.
#[must_use]
pub fn host(address: &str) -> Option<String> {
    Url::parse(address).ok()?.host_str().map(str::to_owned)
}
