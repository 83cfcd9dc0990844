//! Okta's id of one hook call.

use std::fmt;

/// Okta's `eventId`: 1 to 128 printable ASCII characters. The key of deduplication.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(String);

/// Why a text is not usable as an event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event id: 1 to 128 printable ASCII characters are expected")]
pub struct InvalidEventId;

impl EventId {
    /// The id as Okta wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidEventId) }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_short_and_printable_and_kept_as_okta_wrote_it() {
        let longest = "e".repeat(128);
        for id in ["uS5871kJThSsU8qlA1LTcg", "a-b_c.1", &longest] {
            assert_eq!(id.parse::<EventId>().unwrap().as_str(), id);
        }
        for text in ["", "with space", "line\nfeed", "\u{e5}", &format!("{longest}e")] {
            assert_eq!(text.parse::<EventId>(), Err(InvalidEventId), "{text:?}");
        }
    }
}
