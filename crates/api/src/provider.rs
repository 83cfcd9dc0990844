//! `TelephonyProvider`: one provider.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AddressRetention, CaBundleRef, ContentRetention, Duration, HookHeader, KeyRef, RiskCheck, TwilioVerify};
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
#[x_kube(validation = Rule::new("[has(self.twilio), has(self.http), has(self.oktaHook)].filter(block, block).size() == 1").message("exactly one of twilio, http and oktaHook is needed"))]
#[x_kube(validation = Rule::new("!has(self.twilio) || has(self.twilio.verify) || (has(self.senders) && size(self.senders) > 0)").message("twilio needs senders, except with verify, which chooses its own"))]
pub struct TelephonyProviderSpec {
    /// Twilio's Programmable Messaging and Voice, or its Verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twilio: Option<TwilioProvider>,
    /// Any service that speaks the documented JSON request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProvider>,
    /// An Okta telephony hook that somebody else serves: a vendor's hosted hook, or a function of your own. It is given Okta's
    /// own request, so `senders` play no part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub okta_hook: Option<OktaHookProvider>,
    /// Senders; the first whose channel and country fit the message is used. Twilio needs at least one, unless by Verify.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
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
        let Self { twilio, http, okta_hook, senders: _, probe: _, max_in_flight: _, ca_bundle_ref: _ } = self;
        match (twilio, http, okta_hook) {
            (Some(twilio), ..) => Some(ProviderAccount::Twilio(twilio)),
            (None, Some(http), _) => Some(ProviderAccount::Http(http)),
            (None, None, Some(hook)) => Some(ProviderAccount::OktaHook(hook)),
            (None, None, None) => None,
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
    /// `spec.oktaHook`
    OktaHook(&'s OktaHookProvider),
}

impl<'s> ProviderAccount<'s> {
    /// The kind, as status says it: the name of its block in the spec.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Twilio(_) => "twilio",
            Self::Http(_) => "http",
            Self::OktaHook(_) => "oktaHook",
        }
    }

    /// The Secret's key that holds its credential.
    #[must_use]
    pub fn secret_ref(self) -> Option<&'s KeyRef> {
        match self {
            Self::Twilio(twilio) => twilio.secret_ref(),
            Self::Http(http) => Some(&http.token_ref),
            Self::OktaHook(hook) => hook.secret_ref(),
        }
    }
}

/// A Twilio account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.authTokenRef) != has(self.apiKey)").message("exactly one of authTokenRef and apiKey is needed"))]
#[x_kube(validation = Rule::new("has(self.region) == has(self.edge)").message("region and edge go together, such as ie1 and dublin"))]
#[x_kube(validation = Rule::new("!(has(self.baseURL) && has(self.region))").message("baseURL, and region with edge, both name the host: give one of them"))]
#[x_kube(validation = Rule::new("!has(self.verify) || !(has(self.contentRetention) || has(self.addressRetention) || has(self.statusCallback))").message("contentRetention, addressRetention and statusCallback are of messages and calls, in whose place verify sends"))]
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
    /// The Twilio Region that processes and keeps what is sent, such as `ie1`; its credentials are its own. Absent: Twilio's
    /// default, the United States.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[a-z]{2}[0-9]{1,2}$"))]
    pub region: Option<String>,
    /// The edge location of the region, such as `dublin`, which is in its host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[a-z]+(-[a-z]+)*$"))]
    pub edge: Option<String>,
    /// Another address of Twilio's API, such as that of a proxy. Absent: that of the region, or `https://api.twilio.com`, or
    /// `https://verify.twilio.com` with `verify`.
    #[serde(default, rename = "baseURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255), regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"))]
    pub base_url: Option<String>,
    /// Whether Twilio keeps the texts of messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_retention: Option<ContentRetention>,
    /// Whether Twilio keeps the numbers that messages went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_retention: Option<AddressRetention>,
    /// Whether Twilio's fraud protection looks at texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk_check: Option<RiskCheck>,
    /// A URL of yours that Twilio tells what became of each message and call. Twilio sends it the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[^\s#]*)?$"))]
    pub status_callback: Option<String>,
    /// A service of Twilio's Verify that sends texts and calls, with Twilio's own words and senders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<TwilioVerify>,
}

impl TwilioProvider {
    /// The address in force.
    #[must_use]
    pub fn base_url(&self) -> String {
        let product = if self.verify.is_some() { "verify" } else { "api" };
        match (&self.base_url, &self.edge, &self.region) {
            (Some(url), _, _) => url.clone(),
            (None, Some(edge), Some(region)) => format!("https://{product}.{edge}.{region}.twilio.com"),
            (None, _, _) => format!("https://{product}.twilio.com"),
        }
    }

    /// The Secret's key that holds the auth token, or the API key's secret.
    #[must_use]
    pub fn secret_ref(&self) -> Option<&KeyRef> {
        self.api_key.as_ref().map(|key| &key.secret_ref).or(self.auth_token_ref.as_ref())
    }
}

/// An API key of a Twilio account. A restricted one needs to be allowed to create messages and calls, and to list incoming
/// phone numbers, which is what the probe does; with `verify`, to create verifications and to read the service.
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

/// An Okta telephony hook that somebody else serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct OktaHookProvider {
    /// Where the hook is; what stands in Okta as the URL of the hook.
    #[schemars(length(max = 1024), regex(pattern = r"^https://[^\s#@]+$"))]
    pub url: String,
    /// What the hook is shown to know its caller, as Okta would show it.
    pub auth: OktaHookAuth,
    /// Further headers, as they stand in Okta.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Vec<HookHeader>,
}

impl OktaHookProvider {
    /// The Secret's key that holds the header's value, or the client's secret.
    #[must_use]
    pub fn secret_ref(&self) -> Option<&KeyRef> {
        let OktaHookAuth { header, oauth2 } = &self.auth;
        header.as_ref().map(|header| &header.secret_ref).or(oauth2.as_ref().map(|client| &client.client_secret_ref))
    }
}

/// What an Okta hook is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.header) != has(self.oauth2)").message("exactly one of header and oauth2 is needed"))]
pub struct OktaHookAuth {
    /// A header with a secret value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<SecretHeader>,
    /// A token of an authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2Client>,
}

/// A header whose value is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct SecretHeader {
    /// Its name. Absent: `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    #[x_kube(validation = Rule::new("!(self.lowerAscii() in ['accept', 'content-type', 'content-length', 'host', 'connection', 'transfer-encoding', 'user-agent'])").message("this header cannot carry the secret: it is reserved"))]
    pub name: Option<String>,
    /// The Secret's key that holds its whole value, such as `Basic …`.
    pub secret_ref: KeyRef,
}

impl SecretHeader {
    /// The name in force.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("Authorization")
    }
}

/// An OAuth 2.0 client that gets tokens for itself, by the grant `client_credentials`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2Client {
    /// The token endpoint.
    #[serde(rename = "tokenURL")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://[^\s#@]+$"))]
    pub token_url: String,
    /// The client's id.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 256))]
    pub client_id: String,
    /// The Secret's key that holds the client's secret.
    pub client_secret_ref: KeyRef,
    /// The scope to ask for; several are separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub scope: Option<String>,
    /// Where id and secret stand. Absent: `ClientSecretPost`, as Okta does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<ClientAuthentication>,
}

/// Where an OAuth 2.0 client shows its id and secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ClientAuthentication {
    /// In the form.
    ClientSecretPost,
    /// In the header `Authorization`.
    ClientSecretBasic,
}

/// One sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(r"self.channel != 'Voice' || self.from.matches('^[+][1-9][0-9]{6,14}$')").message("a call comes from a number in E.164, such as +15005550006"))]
#[x_kube(validation = Rule::new(r"!has(self.countries) || self.channel != 'SMS' || self.from.matches('^([+]?[0-9]+|MG[0-9a-fA-F]{32})$') || !self.countries.exists(country, country in ['AS', 'CA', 'GU', 'PR', 'US', 'VI'])").message("networks in the US, its territories and Canada take no names: list a number, a short code or a Messaging Service SID for these countries"))]
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
    /// Which kind of provider: the name of its block in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub carrier: Option<String>,
    /// What a probe that passes proves of it: `Reachable`, `Credential`, `Account`, `Service`, `Token`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub probe_proves: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_twilio_host_is_made_of_product_edge_and_region() {
        let verify = json!({"serviceSid": format!("VA{}", "0".repeat(32))});
        for (block, host) in [
            (json!({}), "api.twilio.com"),
            (json!({"region": "ie1", "edge": "dublin"}), "api.dublin.ie1.twilio.com"),
            (json!({"verify": verify}), "verify.twilio.com"),
            (json!({"verify": verify, "region": "us1", "edge": "ashburn"}), "verify.ashburn.us1.twilio.com"),
            (json!({"verify": verify, "baseURL": "https://proxy.test:8443"}), "proxy.test:8443"),
        ] {
            let mut twilio = json!({"accountSid": "AC"});
            twilio.as_object_mut().unwrap().extend(block.as_object().unwrap().clone());
            let twilio: TwilioProvider = serde_json::from_value(twilio).unwrap();
            assert_eq!(twilio.base_url(), format!("https://{host}"));
        }
    }
}
