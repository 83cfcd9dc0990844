//! The gateway's configuration document.
//!
//! Everything a gateway needs to serve without an API server. References are resolved, defaults are filled in and
//! durations are milliseconds, so that a reader has nothing left to decide. Fields may be added within a version when
//! a reader of the previous release may ignore them safely; anything else is a new version.
//!
//! Version 2 has more kinds of accounts than version 1 (Twilio's Verify, Twilio with privacy settings, Okta hooks), and is the
//! same otherwise. A configuration without them is written in version 1 alone; one with them in both, where in version 1 nothing
//! is ever sent by such a provider.

use std::{borrow::Cow, collections::BTreeMap};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::twilio::TwilioOptions;
use hookswitch_message::{Channel, CountryCode, RequestType, Secret};

/// The newest version; all from 1 on are read.
pub const VERSION: u32 = 2;

/// The provider of rules that no provider is left for, which no `TelephonyProvider` can be called: they fail alone by
/// it. Its settings are [`ProviderConfig::absent`], so that a release that does not know this name calls nobody for it either.
pub const ABSENT: &str = "(none)";

/// The whole configuration of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayConfig {
    /// `<namespace>/<name>` of the `TelephonyGateway`.
    pub gateway: String,
    /// `metadata.generation` of the `TelephonyGateway` this was compiled from.
    pub generation: i64,
    /// Deadlines and attempts of one call.
    pub timing: Timing,
    /// What an ambiguous attempt means for the next provider.
    pub on_ambiguous: OnAmbiguous,
    /// The country that numbers without a plus sign are read in; `None` refuses them.
    pub default_region: Option<CountryCode>,
    /// Address ranges that providers may live in although they are private.
    pub allowed_cidrs: Vec<IpNet>,
    /// URL of an HTTP proxy that calls to providers go through; it may hold a password.
    #[serde(default)]
    pub proxy: Option<Secret<String>>,
    /// What is called without the proxy: a host and all below it, `.domain`, an address or a CIDR.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_exceptions: Vec<String>,
    /// PEM certificates trusted for every provider besides the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_roots: Option<String>,
    /// Replicas that share the work of probing.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Credentials of the report endpoint.
    pub report: Report,
    /// Hooks by name, which is the last part of their path `/hooks/<name>`.
    pub hooks: BTreeMap<String, HookConfig>,
    /// Providers by the name of their `TelephonyProvider`.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// All rules of all policies in the order in which they are tried; the first match wins.
    pub rules: Vec<Rule>,
}

const fn one() -> u32 {
    1
}

impl GatewayConfig {
    /// The versions that a configuration is written in, the newest first, so that a gateway of the release before finds
    /// one that it reads.
    #[must_use]
    pub fn versions(&self) -> Vec<(u32, Cow<'_, Self>)> {
        let is_newer = |provider: &ProviderConfig| provider.account.since() > 1;
        if !self.providers.values().any(is_newer) {
            return vec![(1, Cow::Borrowed(self))];
        }
        let mut older = self.clone();
        for provider in older.providers.values_mut().filter(|provider| is_newer(provider)) {
            *provider = ProviderConfig::absent();
        }
        vec![(VERSION, Cow::Borrowed(self)), (1, Cow::Owned(older))]
    }
}

/// Deadlines and attempts of one call; all in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// From the connection or the first byte to the answer, before the allowance is taken off.
    pub deadline_ms: u64,
    /// Time that proxies in front may use up.
    pub proxy_allowance_ms: u64,
    /// The least an attempt must have to be begun.
    pub attempt_floor_ms: u64,
    /// The most providers that are tried for one call.
    pub max_attempts: u32,
}

/// What follows an attempt whose outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnAmbiguous {
    /// Try the next provider: the user may get the passcode twice.
    Continue,
    /// Stop: the user may get no passcode.
    Stop,
}

/// Credentials of the report endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Bearer token that the operator presents.
    pub token: Secret<String>,
    /// PEM certificate chain; the operator pins its first certificate.
    pub certificate: String,
    /// PEM private key.
    pub key: Secret<String>,
}

/// One hook that Okta may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookConfig {
    /// Header that carries the secret, in lower case.
    pub header: String,
    /// Values of that header that are valid now; several during a rotation, never none.
    pub secrets: Vec<Secret<String>>,
    /// What was declared before with another header, and is valid like the older ones of `secrets`. A gateway of the release
    /// before takes none of it: its calls are refused until Okta has what is declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<HookCredential>,
    /// Which of [`HookConfig::credentials`] Okta was last known to have, however long ago; for the operator alone.
    #[serde(default, skip_serializing_if = "is_declared")]
    pub pinned: usize,
    /// When all but the first of them end, in seconds since 1970, which gateways see to by their own clock; `None` while Okta
    /// may still send an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retire_at: Option<i64>,
    /// Okta's id of the hook, when known: compared with the `source` of a call and counted, never trusted.
    pub okta_id: Option<String>,
}

impl HookConfig {
    /// A hook that takes these values of a header, the declared one first.
    #[must_use]
    pub const fn new(header: String, secrets: Vec<Secret<String>>) -> Self {
        Self { header, secrets, former: Vec::new(), pinned: 0, retire_at: None, okta_id: None }
    }

    /// All that the hook takes: what is declared, then what was before.
    pub fn credentials(&self) -> impl Iterator<Item = HookCredential> {
        let of_header =
            |secret: &Secret<String>| HookCredential { header: self.header.clone(), secret: secret.clone() };
        self.secrets.iter().map(of_header).chain(self.former.iter().cloned())
    }
}

/// Whether it is what is declared that Okta has.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_declared(at: &usize) -> bool {
    *at == 0
}

/// A header and the value by which Okta shows that it is Okta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookCredential {
    /// The header, in lower case.
    pub header: String,
    /// Its whole value.
    pub secret: Secret<String>,
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderConfig {
    /// The account, and how to reach it.
    #[serde(rename = "carrier")]
    pub account: Account,
    /// Senders; the first that fits the message is used.
    pub senders: Vec<Sender>,
    /// The active probe.
    pub probe: Probe,
    /// Messages under way to this provider at once, per replica.
    pub max_in_flight: u32,
    /// PEM certificates trusted besides the public ones; for providers behind a private CA.
    pub ca_bundle: Option<String>,
}

impl ProviderConfig {
    /// What stands for a provider that is not there: it has no sender, so nothing is ever sent by it, and its address
    /// is one that no name server knows.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            account: Account::Twilio {
                account_sid: format!("AC{}", "0".repeat(32)),
                api_key_sid: None,
                auth_token: Secret::from("absent"),
                base_url: "https://absent.invalid".to_owned(),
                options: TwilioOptions::default(),
            },
            senders: Vec::new(),
            probe: Probe { interval_ms: 3_600_000, timeout_ms: 1_000, fall: 1, rise: 20 },
            max_in_flight: 1,
            ca_bundle: None,
        }
    }
}

/// The account, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Account {
    /// Twilio's Programmable Messaging and Voice, or its Verify.
    Twilio {
        /// Account SID, `AC…`.
        account_sid: String,
        /// SID of the API key that stands in for the account, `SK…`; a reader of the release before takes the account's
        /// own, and this provider alone refuses it then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_key_sid: Option<String>,
        /// Auth token, or the API key's secret.
        auth_token: Secret<String>,
        /// `https://api.twilio.com`, or `https://verify.twilio.com` where Verify sends, unless the user gave another.
        base_url: String,
        /// What is asked for besides sending.
        #[serde(default, skip_serializing_if = "TwilioOptions::is_empty")]
        options: TwilioOptions,
    },
    /// The documented JSON request to a URL of the user's.
    Http {
        /// Where messages are sent and probes ask.
        url: String,
        /// Bearer token.
        token: Secret<String>,
    },
    /// An Okta telephony hook that somebody else serves, which is given Okta's own request. Since version 2.
    OktaHook {
        /// Where the hook is.
        url: String,
        /// How the hook knows that the request is from whoever may call it.
        auth: OktaHookCredential,
        /// Further headers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<PlainHeader>,
    },
}

impl Account {
    /// The version of the document that has this kind of account first.
    #[must_use]
    pub const fn since(&self) -> u32 {
        match self {
            Self::Twilio { options, .. } if options.needs_version_2() => 2,
            Self::Twilio { .. } | Self::Http { .. } => 1,
            Self::OktaHook { .. } => 2,
        }
    }
}

/// What an Okta hook is shown, as Okta would show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OktaHookCredential {
    /// A header with a value that both sides know.
    Header(HookCredential),
    /// A token of an authorization server, in the header `Authorization`.
    Token(TokenClient),
}

/// An OAuth 2.0 client that gets tokens for itself (the grant `client_credentials`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenClient {
    /// The token endpoint.
    pub token_url: String,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret<String>,
    /// The scope that is asked for; several are separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Where id and secret stand.
    pub authentication: SecretPlacement,
}

/// Where an OAuth 2.0 client shows its id and secret to the token endpoint; the names are those of `OpenID` Connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretPlacement {
    /// `client_secret_post`: in the form.
    ClientSecretPost,
    /// `client_secret_basic`: in the header `Authorization`.
    ClientSecretBasic,
}

/// A header that holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlainHeader {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// One sender of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sender {
    /// What it can send.
    pub channel: Channel,
    /// Countries it serves; empty means all.
    pub countries: Vec<CountryCode>,
    /// Number in E.164, short code, alphanumeric sender ID, or a Messaging Service SID.
    pub from: String,
}

/// The active probe of a provider; durations in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Time between two probes over all ready replicas together.
    pub interval_ms: u64,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Failures in a row until the provider is down.
    pub fall: u32,
    /// Passes in a row until it is up again.
    pub rise: u32,
}

/// One routing rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// `RoutingPolicy` it came from.
    pub policy: String,
    /// Its name there.
    pub name: String,
    /// The policy's priority. Rules stand in order already; it keeps their place when their policy cannot be read any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// What it applies to.
    pub matches: Match,
    /// What is done then.
    pub action: Action,
    /// Whether it counts for the health of hooks; for the operator alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
}

/// What a rule applies to: every list that is not empty must have a member that fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Countries of the number.
    pub countries: Vec<CountryCode>,
    /// Beginnings of the number in E.164, with plus sign.
    pub prefixes: Vec<String>,
    /// Channels.
    pub channels: Vec<Channel>,
    /// Request types; a type that Okta has not documented fits only an empty list.
    pub request_types: Vec<RequestType>,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Send by the first of these providers that accepts; names of `providers`.
    Send(Vec<String>),
    /// Send nothing and answer as if sent, marked blocked.
    Deny,
}
