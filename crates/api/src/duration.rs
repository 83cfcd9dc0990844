//! Durations as people write them: `2500ms`, `60s`, `5m`, `1h`.

use std::{borrow::Cow, fmt, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A whole number and one unit: `ms`, `s`, `m` or `h`. CEL's `duration()` reads the same form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(time::Duration);

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: a whole number of at most 9 digits followed by ms, s, m or h is expected, such as 2500ms")]
pub struct InvalidDuration;

impl Duration {
    /// The same duration as the standard library has it.
    #[must_use]
    pub const fn get(self) -> time::Duration {
        self.0
    }

    /// Whole milliseconds.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(time::Duration::from_millis(millis))
    }
}

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if !(1..=9).contains(&digits) {
            return Err(InvalidDuration);
        }
        let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(InvalidDuration),
        };
        Ok(Self::from_millis(number * factor))
    }
}

impl TryFrom<String> for Duration {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.millis() {
            0 => f.write_str("0s"),
            ms if ms % 3_600_000 == 0 => write!(f, "{}h", ms / 3_600_000),
            ms if ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]{1,9}(ms|s|m|h)$", "maxLength": 11})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_in_the_same_form() {
        for (text, millis) in [("2500ms", 2_500), ("60s", 60_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0)] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.millis(), millis, "{text}");
            assert_eq!(duration.to_string().parse(), Ok(duration), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "-1s", "1.5s", "1d", "1s30", "1234567890s", " 1s"] {
            assert_eq!(text.parse::<Duration>(), Err(InvalidDuration), "{text:?}");
        }
    }
}
