//! `Retry-After` as a number of seconds: its other form is a date, and adapters know no clock.

use jiff::{Timestamp, fmt::strtime};

/// The three forms of a date in HTTP (RFC 9110, 5.6.7): the one that is written, and two that are still to be read.
const DATES: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// What was asked for, as a number of seconds: a date that has passed is 0; what is neither stays as it is. A date is one of the
/// provider's clock, so it counts from what the provider's answer said the time was; from `now` where it said nothing.
#[must_use]
pub fn in_seconds(asked: &str, said: Option<&str>, now: Timestamp) -> String {
    let Some(until) = date(asked.trim()) else { return asked.to_owned() };
    let since = said.and_then(|said| date(said.trim())).unwrap_or(now);
    u64::try_from(until.duration_since(since).as_secs()).unwrap_or_default().to_string()
}

fn date(text: &str) -> Option<Timestamp> {
    let read = |format| strtime::parse(format, text).ok()?.to_datetime().ok()?.in_tz("UTC").ok();
    DATES.into_iter().find_map(read).map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_in_any_of_the_three_forms_is_the_time_until_then_and_anything_else_stays() {
        // the examples of RFC 9110, 5.6.7 and 10.2.3
        let now: Timestamp = "1994-11-06T08:48:37Z".parse().unwrap();
        for (asked, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", "60"),
            ("Sunday, 06-Nov-94 08:49:37 GMT", "60"),
            ("Sun Nov  6 08:49:37 1994", "60"),
            ("Fri, 31 Dec 1999 23:59:59 GMT", "162573082"),
            ("Sun, 06 Nov 1994 08:00:00 GMT", "0"),
            ("120", "120"),
            ("Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994 08:49:37 CET"),
            ("Sun, 36 Nov 1994 08:49:37 GMT", "Sun, 36 Nov 1994 08:49:37 GMT"),
            ("soon", "soon"),
            ("", ""),
        ] {
            assert_eq!(in_seconds(asked, None, now), seconds, "{asked}");
        }
    }

    #[test]
    fn a_date_counts_from_the_providers_own_time_however_wrong_our_clock_is() {
        let asked = "Sun, 06 Nov 1994 08:49:37 GMT";
        for now in ["1994-11-06T07:48:37Z", "1994-11-06T08:48:37Z", "1994-11-06T09:48:37Z"] {
            let now = now.parse().unwrap();
            assert_eq!(in_seconds(asked, Some("Sun, 06 Nov 1994 08:49:07 GMT"), now), "30", "{now}");
            assert_eq!(in_seconds("120", Some("Sun, 06 Nov 1994 08:49:07 GMT"), now), "120", "{now}");
        }
        let now = "1994-11-06T08:48:37Z".parse().unwrap();
        assert_eq!(in_seconds(asked, Some("yesterday"), now), "60");
    }
}
