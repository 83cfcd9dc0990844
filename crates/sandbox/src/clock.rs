//! The two spellings of an instant the vendors use, and random ids.

use jiff::Timestamp;
use rand::Rng as _;
use rand::distr::Alphanumeric;

/// Okta's spelling: UTC with milliseconds and a `Z`.
pub(crate) fn okta_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Twilio's spelling: RFC 2822 in UTC.
pub(crate) fn twilio_time(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// `len` random letters and digits.
pub(crate) fn random_id(len: usize) -> String {
    rand::rng().sample_iter(&Alphanumeric).take(len).map(char::from).collect()
}

/// `len` random lower-case hexadecimal digits.
pub(crate) fn random_hex(len: usize) -> String {
    let mut rng = rand::rng();
    (0..len).map(|_| char::from(b"0123456789abcdef"[rng.random_range(0..16)])).collect()
}

/// A random version 4 UUID, as the System Log names its events.
pub(crate) fn random_uuid() -> String {
    let hex = random_hex(30);
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_spelled_as_each_vendor_does() {
        let at: Timestamp = "2025-03-13T23:38:58.1234Z".parse().unwrap();
        assert_eq!(okta_time(at), "2025-03-13T23:38:58.123Z");
        assert_eq!(twilio_time(at), "Thu, 13 Mar 2025 23:38:58 +0000");
    }

    #[test]
    fn a_uuid_has_the_five_groups_of_a_uuid() {
        let lengths: Vec<usize> = random_uuid().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
