//! `TelephonyProvider`: one provider.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaBundleRef, Duration, KeyRef};
use hookswitch_message::{Channel, CountryCode};

/// A provider: one account that messages are sent through.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "hookswitch.dev",
    version = "v1alpha1",
    kind = "TelephonyProvider",
    plural = "telephonyproviders",
    shortname = "tprov",
    category = "telephony",
    namespaced,
    status = "TelephonyProviderStatus",
    derive = "PartialEq",
    doc = "A provider: one account that passcodes can be sent through.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Healthy", type_ = "string", json_path = ".status.conditions[?(@.type==\"Healthy\")].status"),
    printcolumn(name = "Carrier", type_ = "string", json_path = ".status.carrier"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Healthy\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.twilio) != has(self.http)").message("exactly one of twilio and http is needed"))]
pub struct TelephonyProviderSpec {
    /// Twilio's Programmable Messaging and Voice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twilio: Option<TwilioProvider>,
    /// Any service that speaks the documented JSON request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProvider>,
    /// Senders; the first whose channel and country fit the message is used.
    #[schemars(length(min = 1, max = 64))]
    pub senders: Vec<SenderSpec>,
    /// How the provider is probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSpec>,
    /// Messages under way to this provider at once, per gateway replica. Absent: 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub max_in_flight: Option<u32>,
    /// Certificates trusted for this provider besides the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<CaBundleRef>,
}

impl TelephonyProviderSpec {
    /// Messages under way at once, in force.
    #[must_use]
    pub fn max_in_flight(&self) -> u32 {
        self.max_in_flight.unwrap_or(256)
    }

    /// The account; nothing where the spec names none, which the API server does not take.
    #[must_use]
    pub const fn account(&self) -> Option<ProviderAccount<'_>> {
        // whoever adds a kind of provider is told here
        let Self { twilio, http, senders: _, probe: _, max_in_flight: _, ca_bundle_ref: _ } = self;
        match (twilio, http) {
            (Some(twilio), _) => Some(ProviderAccount::Twilio(twilio)),
            (None, Some(http)) => Some(ProviderAccount::Http(http)),
            (None, None) => None,
        }
    }
}

/// The account of a provider, by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderAccount<'s> {
    /// `spec.twilio`
    Twilio(&'s TwilioProvider),
    /// `spec.http`
    Http(&'s HttpProvider),
}

impl<'s> ProviderAccount<'s> {
    /// The kind, as status says it: the name of its block in the spec.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Twilio(_) => "twilio",
            Self::Http(_) => "http",
        }
    }

    /// The Secret's key that holds its credential.
    #[must_use]
    pub fn secret_ref(self) -> Option<&'s KeyRef> {
        match self {
            Self::Twilio(twilio) => twilio.secret_ref(),
            Self::Http(http) => Some(&http.token_ref),
        }
    }
}

/// A Twilio account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.authTokenRef) != has(self.apiKey)").message("exactly one of authTokenRef and apiKey is needed"))]
pub struct TwilioProvider {
    /// The account's SID.
    #[schemars(regex(pattern = r"^AC[0-9a-fA-F]{32}$"), length(max = 34))]
    pub account_sid: String,
    /// The Secret's key that holds the account's auth token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_token_ref: Option<KeyRef>,
    /// An API key of the account, in place of its auth token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<TwilioApiKey>,
    /// Another address of Twilio's API, such as a regional one. Absent: `https://api.twilio.com`.
    #[serde(default, rename = "baseURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255), regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"))]
    pub base_url: Option<String>,
}

impl TwilioProvider {
    /// The address in force.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.base_url.as_deref().unwrap_or("https://api.twilio.com")
    }

    /// The Secret's key that holds the auth token, or the API key's secret.
    #[must_use]
    pub fn secret_ref(&self) -> Option<&KeyRef> {
        self.api_key.as_ref().map(|key| &key.secret_ref).or(self.auth_token_ref.as_ref())
    }
}

/// An API key of a Twilio account. A restricted one needs to be allowed to create messages and calls, and to list incoming
/// phone numbers, which is what the probe does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct TwilioApiKey {
    /// The key's SID.
    #[schemars(regex(pattern = r"^SK[0-9a-fA-F]{32}$"), length(max = 34))]
    pub sid: String,
    /// The Secret's key that holds the API key's secret.
    pub secret_ref: KeyRef,
}

/// A service that speaks the documented JSON request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct HttpProvider {
    /// Where messages are posted and the probe asks.
    #[schemars(length(max = 1024), regex(pattern = r"^https://[^\s#@]+$"))]
    pub url: String,
    /// The Secret's key that holds the bearer token.
    pub token_ref: KeyRef,
}

/// One sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(r"self.channel != 'Voice' || self.from.matches('^[+][1-9][0-9]{6,14}$')").message("a call comes from a number in E.164, such as +15005550006"))]
#[x_kube(validation = Rule::new(r"self.channel != 'SMS' || self.from.matches('^([+][1-9][0-9]{6,14}|[0-9]{3,8}|MG[0-9a-fA-F]{32})$') || (size(self.from) <= 11 && self.from.matches('[A-Za-z]'))").message("an SMS comes from a number in E.164, a short code of 3 to 8 digits, a name of at most 11 characters with a letter in it, or a Messaging Service SID"))]
pub struct SenderSpec {
    /// What it can send.
    pub channel: Channel,
    /// Countries it serves. Absent or empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub countries: Vec<CountryCode>,
    /// For SMS a number in E.164, a short code of 3 to 8 digits, an alphanumeric sender ID (at most 11 letters, digits, spaces
    /// and `+`, `-`, `_`, `&`, with a letter among them), or a Messaging Service SID (`MG…`). For voice a number in E.164.
    #[schemars(length(min = 1, max = 34), regex(pattern = r"^[A-Za-z0-9 +_&-]+$"))]
    pub from: String,
}

/// How a provider is probed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct ProbeSpec {
    /// Time between two probes, shared by the replicas. Absent: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("interval must be between 1s and 1h"))]
    pub interval: Option<Duration>,
    /// How long an answer may take. Absent: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms') && duration(self) <= duration('30s')").message("timeout must be between 100ms and 30s"))]
    pub timeout: Option<Duration>,
    /// Failures in a row until the provider is down. Absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub fall: Option<u32>,
    /// Passes in a row until it is up again. Absent: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub rise: Option<u32>,
}

/// What the operator knows of the provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TelephonyProviderStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: accepted and its references resolve. `Healthy`: gateways can reach and use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Which kind of provider: `twilio` or `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub carrier: Option<String>,
}
