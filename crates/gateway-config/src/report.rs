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
pub const MAX_REPORT: usize = 4 * 1024 * 1024;

/// The most hooks a report may contain.
pub const MAX_HOOKS: usize = 256;

/// The most providers a report may contain.
pub const MAX_PROVIDERS: usize = 256;

/// The most rules a report may contain: 16 policies of 256 rules.
pub const MAX_RULES: usize = 16 * 256;

/// The most classes, or statuses, that are counted apart.
pub const MAX_LABELS: usize = 32;

/// The most failing countries of one provider.
pub const MAX_COUNTRIES: usize = 64;

/// The most parts of one provider that are reported as refused.
pub const MAX_REFUSED: usize = 8;

/// The most codes of one provider that are reported.
pub const MAX_CODES: usize = 8;

/// The most faults of a configuration that are reported.
pub const MAX_FAULTS: usize = 16;

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
    /// The newest configuration that was refused, when it is newer than the one being served; or that one, when a part of it
    /// was.
    pub refused: Option<RefusedConfig>,
    /// What of the configuration that is being served is left out, or is served as it was before: the first
    /// [`MAX_FAULTS`], each for people and without anything secret. A replica of the release before reports the first one alone,
    /// as `refused`.
    #[serde(deserialize_with = "list::<_, MAX_FAULTS>")]
    pub faults: Vec<String>,
    /// How many those are in all.
    pub faults_in_all: u64,
    /// By name of the hook.
    #[serde(deserialize_with = "map::<_, _, MAX_HOOKS>")]
    pub hooks: BTreeMap<String, HookReport>,
    /// By name of the `TelephonyProvider`.
    #[serde(rename = "carriers", deserialize_with = "map::<_, _, MAX_PROVIDERS>")]
    pub providers: BTreeMap<String, ProviderReport>,
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
    /// Seconds since the last call that was answered in time and could be read; `None` when there was none.
    pub last_call_age_s: Option<u64>,
}

/// What one replica knows of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderReport {
    /// Health by probes and by what became of messages.
    pub probe: ProbeState,
    /// Seconds since the last probe ended; `None` when there was none.
    pub probe_age_s: Option<u64>,
    /// What became of attempts: `accepted`, `ambiguous`, or the label of a refusal's class.
    #[serde(deserialize_with = "map::<_, _, MAX_LABELS>")]
    pub outcomes: BTreeMap<String, u64>,
    /// State of the circuit breaker of the whole provider.
    pub breaker: BreakerState,
    /// While it cannot be used: milliseconds since the first of the failures that show it, by probes or by the breaker. 0
    /// while it can be used, or when nobody says.
    pub failing_for_ms: u64,
    /// Countries that the provider refuses at the moment, ISO 3166-1 alpha-2, sorted.
    #[serde(deserialize_with = "list::<_, MAX_COUNTRIES>")]
    pub failing_countries: Vec<String>,
    /// While it cannot be used: the code of the failure that showed it first, fit to be shown; empty else, or when nobody says.
    #[serde(deserialize_with = "name")]
    pub because: String,
    /// Parts of it that were refused again and again, and took nothing between: it is unhealthy for what needs them.
    #[serde(deserialize_with = "entries::<_, _, MAX_REFUSED>")]
    pub refused: Vec<RefusedPart>,
    /// Seconds that are left of the pause that it asked for; 0 when it asked for none, or for less than a minute.
    pub paused_for_s: u64,
    /// The latest codes that it refused messages with, fit to be shown.
    #[serde(deserialize_with = "entries::<_, _, MAX_CODES>")]
    pub codes: Vec<CodeReport>,
}

/// A part of a provider that refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RefusedPart {
    /// What is refused: all of it, what goes by a channel, a sender, a country.
    pub scope: RefusedScope,
    /// The channel, as its label; empty for the whole account.
    #[serde(deserialize_with = "name")]
    pub channel: String,
    /// The country, ISO 3166-1 alpha-2; empty where it is not a country, or numbers that belong to none.
    #[serde(deserialize_with = "name")]
    pub country: String,
    /// The code of the first refusal.
    #[serde(deserialize_with = "name")]
    pub code: String,
    /// Refusals in a row.
    pub in_a_row: u32,
    /// Seconds since the first of them.
    pub for_s: u64,
}

/// What a refusal reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefusedScope {
    /// The whole account.
    Account,
    /// What goes by a channel: the texts.
    Channel,
    /// A sender of a channel.
    Sender,
    /// A country by a channel.
    Country,
    /// Not reported.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A code that a provider refused messages with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CodeReport {
    /// The provider's own code, or why the outcome is unknown.
    #[serde(deserialize_with = "name")]
    pub code: String,
    /// What it was taken for: `ambiguous`, or the label of the refusal's class.
    #[serde(deserialize_with = "name")]
    pub outcome: String,
    /// How often it came since it was last forgotten, an hour after it came last.
    pub count: u64,
    /// Seconds since it came last.
    pub age_s: u64,
}

/// What one replica knows of a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleReport {
    /// Calls that the rule decided.
    pub calls: u64,
    /// Those of them for which no provider was usable.
    pub uncovered: u64,
    /// Calls of the last ten minutes.
    pub recent: u64,
    /// Those of them whose like has no provider now: all refuse the sender or the texts of that channel, or the country where
    /// the rule names countries, or are down besides. A rule all of whose providers are down is not reported here.
    pub refused: u64,
}

/// Health of a provider as one replica sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeState {
    /// It answers, or it took a message lately.
    Up,
    /// It definitely does not work.
    Down,
    /// Unknown.
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
    /// Not reported.
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
    /// is unhealthy.
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

fn entries<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T, const MAX: usize>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX} entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = access.next_element::<T>()? {
                if entries.len() == MAX {
                    return Err(A::Error::custom("too many entries"));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_seq(Bounded::<T, MAX>(std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn full() -> ReplicaReport {
        ReplicaReport {
            config_hash: "ba7816bf8f01cfea".into(),
            generation: 7,
            replica: "main-abc".into(),
            started_at: 1_700_000_000,
            refused: Some(RefusedConfig { hash: "0000000000000000".into(), reason: "no".into() }),
            faults: vec!["hook a: no".into(), "timing: no".into()],
            faults_in_all: 20,
            hooks: BTreeMap::from([(
                "main".into(),
                HookReport {
                    answers: BTreeMap::from([("SUCCESSFUL".into(), 3)]),
                    unauthorised: 1,
                    last_call_age_s: Some(2),
                },
            )]),
            providers: BTreeMap::from([(
                "twilio-eu".into(),
                ProviderReport {
                    probe: ProbeState::Up,
                    probe_age_s: Some(4),
                    outcomes: BTreeMap::from([("accepted".into(), 3), ("throttled".into(), 1)]),
                    breaker: BreakerState::HalfOpen,
                    failing_for_ms: 7_500,
                    failing_countries: vec!["NO".into(), "SE".into()],
                    because: "20503".into(),
                    refused: vec![RefusedPart {
                        scope: RefusedScope::Country,
                        channel: "sms".into(),
                        country: "NO".into(),
                        code: "21408".into(),
                        in_a_row: 25,
                        for_s: 90,
                    }],
                    paused_for_s: 3_000,
                    codes: vec![CodeReport {
                        code: "21408".into(),
                        outcome: "permanent-config-country".into(),
                        count: 25,
                        age_s: 1,
                    }],
                },
            )]),
            rules: BTreeMap::from([(
                "default/nordics".into(),
                RuleReport { calls: 4, uncovered: 1, recent: 3, refused: 1 },
            )]),
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let written = serde_json::to_value(full()).unwrap();
        let expected = json!({
            "configHash": "ba7816bf8f01cfea",
            "generation": 7,
            "replica": "main-abc",
            "startedAt": 1_700_000_000,
            "refused": {"hash": "0000000000000000", "reason": "no"},
            "faults": ["hook a: no", "timing: no"],
            "faultsInAll": 20,
            "hooks": {"main": {"answers": {"SUCCESSFUL": 3}, "unauthorised": 1, "lastCallAgeS": 2}},
            "carriers": {"twilio-eu": {
                "probe": "up", "probeAgeS": 4, "outcomes": {"accepted": 3, "throttled": 1},
                "breaker": "half-open", "failingForMs": 7_500, "failingCountries": ["NO", "SE"], "because": "20503",
                "refused": [{"scope": "country", "channel": "sms", "country": "NO", "code": "21408", "inARow": 25, "forS": 90}],
                "pausedForS": 3_000,
                "codes": [{"code": "21408", "outcome": "permanent-config-country", "count": 25, "ageS": 1}],
            }},
            "rules": {"default/nordics": {"calls": 4, "uncovered": 1, "recent": 3, "refused": 1}},
        });
        assert_eq!(written, expected);
        assert_eq!(ReplicaReport::read(&serde_json::to_vec(&written).unwrap()), Ok(full()));
    }

    #[test]
    fn what_another_release_adds_or_leaves_out_does_not_disturb_the_reader() {
        let other = json!({
            "configHash": "ab", "novelty": [1], "carriers": {"a": {
                "probe": "drowsy", "breaker": "ajar", "novelty": {}, "refused": [{"scope": "moon", "novelty": 1}],
            }},
        });
        let report = ReplicaReport::read(&serde_json::to_vec(&other).unwrap()).unwrap();
        let provider = ProviderReport { refused: vec![RefusedPart::default()], ..ProviderReport::default() };
        assert_eq!(report.providers["a"], provider);
        assert_eq!((report.providers["a"].probe, report.generation), (ProbeState::Unknown, 0));
    }

    #[test]
    fn there_is_room_for_the_longest_of_names() {
        assert_eq!(MAX_NAME, format!("{0}/{0}", "n".repeat(253)).len());
    }

    #[test]
    fn more_than_the_bounds_allow_is_not_read() {
        let entries = |count: usize| (0..count).map(|n| (n.to_string(), json!({}))).collect::<serde_json::Map<_, _>>();
        let countries = |count: usize| json!({"a": {"failingCountries": vec!["SE"; count]}});
        let of = |field: &str, count: usize| json!({"a": {field: vec![json!({}); count]}});
        let answers = |count: u64| {
            let answers: BTreeMap<String, u64> = (0..count).map(|n| (n.to_string(), n)).collect();
            json!({"a": {"answers": answers}})
        };
        for (field, fits, too_much) in [
            ("hooks", json!(entries(MAX_HOOKS)), json!(entries(MAX_HOOKS + 1))),
            ("carriers", json!(entries(MAX_PROVIDERS)), json!(entries(MAX_PROVIDERS + 1))),
            ("rules", json!(entries(MAX_RULES)), json!(entries(MAX_RULES + 1))),
            ("carriers", countries(MAX_COUNTRIES), countries(MAX_COUNTRIES + 1)),
            ("carriers", of("refused", MAX_REFUSED), of("refused", MAX_REFUSED + 1)),
            ("carriers", of("codes", MAX_CODES), of("codes", MAX_CODES + 1)),
            ("hooks", answers(32), answers(33)),
            ("replica", json!("x".repeat(MAX_NAME)), json!("x".repeat(MAX_NAME + 1))),
            ("faults", json!(["x".repeat(MAX_NAME)]), json!(["x".repeat(MAX_NAME + 1)])),
            ("hooks", json!({"x".repeat(MAX_NAME): {}}), json!({"x".repeat(MAX_NAME + 1): {}})),
        ] {
            let read = |value| ReplicaReport::read(json!({ field: value }).to_string().as_bytes());
            assert!(read(fits).is_ok(), "{field}");
            assert!(matches!(read(too_much), Err(UnreadableReport::Shape { .. })), "{field}");
        }
        let mut largest = b"{}".to_vec();
        largest.resize(MAX_REPORT, b' ');
        assert_eq!(ReplicaReport::read(&largest), Ok(ReplicaReport::default()));
        largest.push(b' ');
        assert_eq!(ReplicaReport::read(&largest), Err(UnreadableReport::TooLarge));
    }

    #[test]
    fn the_largest_report_that_a_gateway_may_write_is_one_that_is_read() {
        let name = |kind: &str, n: usize| format!("{kind}{n:0width$}", width = MAX_NAME - 1);
        let mut report = full();
        let provider = report.providers.get_mut("twilio-eu").unwrap();
        provider.refused = vec![RefusedPart { code: "c".repeat(64), ..provider.refused[0].clone() }; MAX_REFUSED];
        provider.codes = vec![CodeReport { code: "c".repeat(64), ..provider.codes[0].clone() }; MAX_CODES];
        provider.failing_countries = vec!["SE".into(); MAX_COUNTRIES];
        for n in 1..MAX_RULES {
            report.rules.insert(
                name("r", n),
                RuleReport { calls: u64::MAX, uncovered: u64::MAX, recent: u64::MAX, refused: u64::MAX },
            );
        }
        for n in 1..MAX_HOOKS {
            report.hooks.insert(name("h", n), report.hooks["main"].clone());
            report.providers.insert(name("c", n), report.providers["twilio-eu"].clone());
        }
        let body = serde_json::to_vec(&report).unwrap();
        assert_eq!(ReplicaReport::read(&body), Ok(report), "{} bytes", body.len());
    }
}
