//! What the `twilio` block of a `TelephonyProvider` says besides the account.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether Twilio keeps the texts of messages. Twilio refuses the field (30029) of an account that Message Redaction is not
/// enabled for. Absent: as the account is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ContentRetention {
    /// It does.
    Retain,
    /// It does not.
    Discard,
}

/// Whether Twilio keeps the numbers that messages went to. Twilio refuses the field (30030) of an account that Message Redaction
/// is not enabled for. Absent: as the account is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum AddressRetention {
    /// It does.
    Retain,
    /// It keeps a part of it.
    Obfuscate,
}

/// Whether Twilio's fraud protection looks at texts: SMS Pumping Protection; with `verify` Fraud Guard and Geo Permissions.
/// Absent: as the account or the service is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RiskCheck {
    /// It does, as the account or the service is set.
    Enable,
    /// It does not.
    Disable,
}

/// A service of Twilio's Verify. Okta's passcode is sent in Twilio's own text and from Twilio's own senders, so `senders` are not
/// used; the service needs Enable Custom Verification Code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub struct TwilioVerify {
    /// The service's SID.
    #[schemars(regex(pattern = r"^VA[0-9a-fA-F]{32}$"), length(max = 34))]
    pub service_sid: String,
    /// A template in place of the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^HJ[0-9a-fA-F]{32}$"), length(max = 34))]
    pub template_sid: Option<String>,
}
