//! Where a `TelephonyHook` leads: to a gateway of ours, or to a URL that somebody else serves.

use std::{borrow::Cow, time};

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{Duration, NameRef};
use hookswitch_message::{Channel, E164};

/// Where Okta sends to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Blocks", into = "Blocks")]
pub enum HookTarget {
    /// A `TelephonyGateway` in the same namespace.
    Gateway(NameRef),
    /// A URL that somebody else serves.
    Url(UrlTarget),
}

impl HookTarget {
    /// The name of the gateway; nothing where somebody else serves the hook.
    #[must_use]
    pub fn gateway(&self) -> Option<&str> {
        match self {
            Self::Gateway(gateway) => Some(&gateway.name),
            Self::Url(_) => None,
        }
    }

    /// Whether this gateway serves it.
    #[must_use]
    pub fn is_gateway(&self, name: &str) -> bool {
        self.gateway() == Some(name)
    }

    /// The number that a test body may be sent to.
    #[must_use]
    pub fn test(&self) -> Option<&UrlTest> {
        match self {
            Self::Gateway(_) => None,
            Self::Url(url) => url.test.as_ref(),
        }
    }
}

/// The target as it is written: one block of the two.
#[derive(Debug, Clone, Default, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.gatewayRef) != has(self.url)").message("exactly one of gatewayRef and url is needed"))]
struct Blocks {
    /// A `TelephonyGateway` in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway_ref: Option<NameRef>,
    /// A URL that somebody else serves, with what its owner allows to be sent to it. `auth.header.secretRef` is needed
    /// then: whoever serves it knows the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<UrlTarget>,
}

impl TryFrom<Blocks> for HookTarget {
    type Error = &'static str;

    fn try_from(blocks: Blocks) -> Result<Self, Self::Error> {
        match (blocks.gateway_ref, blocks.url) {
            (Some(gateway), None) => Ok(Self::Gateway(gateway)),
            (None, Some(url)) => Ok(Self::Url(url)),
            _ => Err("exactly one of gatewayRef and url is needed"),
        }
    }
}

impl From<HookTarget> for Blocks {
    fn from(target: HookTarget) -> Self {
        match target {
            HookTarget::Gateway(gateway) => Self { gateway_ref: Some(gateway), url: None },
            HookTarget::Url(url) => Self { gateway_ref: None, url: Some(url) },
        }
    }
}

impl JsonSchema for HookTarget {
    fn schema_name() -> Cow<'static, str> {
        "HookTarget".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Blocks::json_schema(generator)
    }
}

/// A URL that somebody else serves, with what its owner allows to be sent to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct UrlTarget {
    /// What Okta calls: `https`, without user, password or fragment. Okta and this object's status show it in clear.
    #[schemars(length(min = 9, max = 1024), regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?][^\s#]*)?$"))]
    pub address: String,
    /// A request that its owner allows at any time. Absent: a connection is made (name, TCP, TLS, certificate), and no
    /// request is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<UrlProbe>,
    /// A number that whole passcodes may be sent to. Absent: none is ever sent, and that the URL delivers is not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<UrlTest>,
}

/// A GET that may be made at any time, without the hook's secret and headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct UrlProbe {
    /// The path (and query) at the host and port of `address`; it begins with `/`.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/[^\s#]*$"))]
    pub path: String,
    /// Statuses that say that all is well. Absent: 200 alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(range(min = 100, max = 599)))]
    pub expected_status: Vec<u16>,
}

impl UrlProbe {
    /// Whether this status says that all is well.
    #[must_use]
    pub fn expects(&self, status: u16) -> bool {
        if self.expected_status.is_empty() { status == 200 } else { self.expected_status.contains(&status) }
    }
}

/// Whole passcodes that may be sent, as Okta sends them: with the hook's secret and headers, and a code that is good for
/// nothing. The operator sends one every `interval`, and five minutes after one that failed; while the hook is active it has
/// Okta send one at `interval` too, and once a minute while something of the hook fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct UrlTest {
    /// The one number they are sent to, in E.164. Whoever has it receives them.
    #[schemars(with = "String", length(max = 16), regex(pattern = r"^\+[1-9][0-9]{6,14}$"))]
    pub phone_number: E164,
    /// How they are sent. Absent: SMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Time between two while they are taken. Absent: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5m') && duration(self) <= duration('24h')").message("a test's interval must be between 5m and 24h"))]
    pub interval: Option<Duration>,
}

impl UrlTest {
    /// How they are sent, in force.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.unwrap_or(Channel::Sms)
    }

    /// Time between two, in force.
    #[must_use]
    pub fn interval(&self) -> time::Duration {
        self.interval.map_or(time::Duration::from_hours(1), Duration::get)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(target: Value) -> Result<HookTarget, String> {
        serde_json::from_value(target).map_err(|error| error.to_string())
    }

    #[test]
    fn a_target_is_one_of_the_two_and_is_written_as_it_was_read() {
        for one in [
            json!({"gatewayRef": {"name": "main"}}),
            json!({"url": {"address": "https://otp.partner.example/okta", "probe": {"path": "/health"},
                "test": {"phoneNumber": "+12025550199", "channel": "Voice", "interval": "5m"}}}),
        ] {
            assert_eq!(serde_json::to_value(read(one.clone()).unwrap()).unwrap(), one);
        }
        let both = json!({"gatewayRef": {"name": "main"}, "url": {"address": "https://otp.partner.example"}});
        for wrong in [json!({}), both] {
            assert!(read(wrong).unwrap_err().contains("exactly one of gatewayRef and url"));
        }
    }

    #[test]
    fn a_number_is_in_the_spec_and_in_no_debug_output() {
        let target = read(json!({"url": {"address": "https://a.example", "test": {"phoneNumber": "+12025550199"}}}));
        let shown = format!("{target:?}");
        assert!(shown.contains("+12…99") && !shown.contains("2025550199"), "{shown}");
    }

    #[test]
    fn a_probe_expects_what_it_says_and_else_200() {
        let probe = |expected: &[u16]| UrlProbe { path: "/".into(), expected_status: expected.to_vec() };
        assert!(probe(&[]).expects(200) && !probe(&[]).expects(204));
        assert!(probe(&[204, 401]).expects(401) && !probe(&[204, 401]).expects(200));
    }
}
