//! What a gateway replica reports about itself: the answer of `GET /v1/report`.
//!
//! The gateway writes it and the operator reads it, with this one type. Reading is lenient, because the two may differ
//! by a release: a field that is not known is ignored, one that is missing has its default, a state that is not known
//! is `unknown`. Everything is bounded on both sides. Counters run since the replica started; a reader that wants a
//! rate takes the difference of two reports with the same `startedAt`.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

/// The path of the report.
pub const PATH: &str = "/v1/report";

/// The most bytes a report may have; a reader stops there.
pub const MAX_REPORT: usize = 2 * 1024 * 1024;

/// The most hooks a report may tell about.
pub const MAX_HOOKS: usize = 256;

/// The most carriers a report may tell about.
pub const MAX_CARRIERS: usize = 256;

/// The most rules a report may tell about: 16 policies of 256 rules.
pub const MAX_RULES: usize = 16 * 256;

/// The most classes, or statuses, that are counted apart.
pub const MAX_LABELS: usize = 32;

/// The most failing countries of one carrier.
pub const MAX_COUNTRIES: usize = 64;

/// The most bytes of a name or a label: two Kubernetes names and the slash between them.
pub const MAX_NAME: usize = 2 * 253 + 1;

/// What one replica knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaReport {
    /// [`super::envelope::hash`] of the configuration that is being served; empty while there is none.
    #[serde(deserialize_with = "name")]
    pub config_hash: String,
    /// Generation of the `TelephonyGateway` in that configuration.
    pub generation: i64,
    /// Name of the pod.
    #[serde(deserialize_with = "name")]
    pub replica: String,
    /// When the process started, in seconds since 1970: counters of reports that differ here cannot be compared.
    pub started_at: u64,
    /// The newest configuration that was refused, when it is newer than the one being served.
    pub refused: Option<RefusedConfig>,
    /// By name of the hook.
    #[serde(deserialize_with = "map::<_, _, MAX_HOOKS>")]
    pub hooks: BTreeMap<String, HookReport>,
    /// By name of the `TelephonyProvider`.
    #[serde(deserialize_with = "map::<_, _, MAX_CARRIERS>")]
    pub carriers: BTreeMap<String, CarrierReport>,
    /// By `<policy>/<rule>`.
    #[serde(deserialize_with = "map::<_, _, MAX_RULES>")]
    pub rules: BTreeMap<String, RuleReport>,
}

/// A configuration that a replica did not take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RefusedConfig {
    /// [`super::envelope::hash`] of it.
    #[serde(deserialize_with = "name")]
    pub hash: String,
    /// Why, for people; never holds anything of the configuration's secrets.
    #[serde(deserialize_with = "name")]
    pub reason: String,
}

/// What one replica knows of a hook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HookReport {
    /// Answers given to Okta, by their status: `SUCCESSFUL`, `PENDING`, `FAILED`.
    #[serde(deserialize_with = "map::<_, _, MAX_LABELS>")]
    pub answers: BTreeMap<String, u64>,
    /// Calls without a valid secret.
    pub unauthorised: u64,
    /// Seconds since the last authenticated call; `None` when there was none.
    pub last_call_age_s: Option<u64>,
}

/// What one replica knows of a carrier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CarrierReport {
    /// Health by probes and by what became of messages.
    pub probe: ProbeState,
    /// Seconds since the last probe ended; `None` when there was none.
    pub probe_age_s: Option<u64>,
    /// What became of attempts: `accepted`, `ambiguous`, or the label of a refusal's class.
    #[serde(deserialize_with = "map::<_, _, MAX_LABELS>")]
    pub outcomes: BTreeMap<String, u64>,
    /// State of the circuit breaker of the whole carrier.
    pub breaker: BreakerState,
    /// Countries that the carrier refuses at the moment, ISO 3166-1 alpha-2, sorted.
    #[serde(deserialize_with = "list::<_, MAX_COUNTRIES>")]
    pub failing_countries: Vec<String>,
}

/// What one replica knows of a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleReport {
    /// Calls that the rule decided.
    pub calls: u64,
    /// Those of them for which no carrier was usable.
    pub uncovered: u64,
}

/// Health of a carrier as one replica sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeState {
    /// It answers, or it took a message lately.
    Up,
    /// It definitely does not work.
    Down,
    /// Nobody can tell.
    #[default]
    #[serde(other)]
    Unknown,
}

/// State of a circuit breaker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Attempts go through.
    Closed,
    /// Attempts are refused.
    Open,
    /// One attempt is let through to see.
    HalfOpen,
    /// Not told.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Why a report could not be read. Holds nothing of the report: it comes from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableReport {
    /// More than [`MAX_REPORT`] bytes.
    #[error("the report is larger than {MAX_REPORT} bytes")]
    TooLarge,
    /// Not JSON, not of this shape, or with more entries than allowed.
    #[error("the report is not of the expected shape (line {line}, column {column})")]
    Shape {
        /// Line of the first error, from 1.
        line: usize,
        /// Column of the first error, from 1.
        column: usize,
    },
}

impl ReplicaReport {
    /// Reads what a replica answered.
    ///
    /// # Errors
    ///
    /// [`UnreadableReport`]; the reader then knows nothing of that replica, which is not the same as knowing that it
    /// is unwell.
    pub fn read(body: &[u8]) -> Result<Self, UnreadableReport> {
        if body.len() > MAX_REPORT {
            return Err(UnreadableReport::TooLarge);
        }
        serde_json::from_slice(body)
            .map_err(|error| UnreadableReport::Shape { line: error.line(), column: error.column() })
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.len() > MAX_NAME { Err(D::Error::custom("text too long")) } else { Ok(name) }
}

fn map<'de, D, V, const MAX: usize>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Bounded<V, const MAX: usize>(std::marker::PhantomData<V>);

    impl<'de, V: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<V, MAX> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a map of at most {MAX} entries")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<String, V>()? {
                if entries.len() == MAX || key.len() > MAX_NAME {
                    return Err(A::Error::custom("too many entries or too long a key"));
                }
                entries.insert(key, value);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(Bounded::<V, MAX>(std::marker::PhantomData))
}

fn list<'de, D, const MAX: usize>(deserializer: D) -> Result<Vec<String>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Bounded<const MAX: usize>;

    impl<'de, const MAX: usize> Visitor<'de> for Bounded<MAX> {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX} entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = access.next_element::<String>()? {
                if entries.len() == MAX || entry.len() > MAX_NAME {
                    return Err(A::Error::custom("too many entries or too long an entry"));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_seq(Bounded::<MAX>)
}
