//! How a hook in Okta differs from what is declared, field by field. Pure.
//!
//! The secret is never returned by Okta, so it cannot be compared; what stands in for it is whether the secret last
//! applied is the one declared (see [`crate::fingerprint`]). Values are not part of a difference: an address or header in
//! Okta may hold what a person should not have put there.

use std::fmt;

use url::Url;

use crate::text::one_line;
use crate::types::{Header, HookContent, ObservedHook, VERSION};

/// A field of a hook that is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Name in Okta.
    Name,
    /// Version of the hook.
    Version,
    /// `HTTP` or `OAUTH`.
    ChannelType,
    /// Version of the channel.
    ChannelVersion,
    /// Where Okta sends to.
    Uri,
    /// HTTP method.
    Method,
    /// A custom header, by its lower-case name.
    Header(String),
    /// Kind of authentication.
    AuthType,
    /// Name of the header that carries the secret.
    AuthHeader,
    /// The secret: the one declared is not the one last applied, or which was applied is not known.
    Secret,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("name"),
            Self::Version => f.write_str("version"),
            Self::ChannelType => f.write_str("channel type"),
            Self::ChannelVersion => f.write_str("channel version"),
            Self::Uri => f.write_str("uri"),
            Self::Method => f.write_str("method"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::AuthType => f.write_str("auth type"),
            Self::AuthHeader => f.write_str("auth header name"),
            Self::Secret => f.write_str("secret"),
        }
    }
}

/// How a field differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// Declared, and absent in Okta.
    Missing,
    /// In Okta, and not declared.
    Unexpected,
    /// Both have it, not alike.
    Different,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Where.
    pub field: Field,
    /// How.
    pub how: How,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Missing => "missing",
            How::Unexpected => "unexpected",
            How::Different => "different",
        };
        write!(f, "{} {how}", self.field)
    }
}

/// Names every difference between `observed` and `desired`, the secret apart, in a stable order.
#[must_use]
pub fn differences(observed: &ObservedHook, desired: &HookContent) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut note = |field, how: Option<How>| found.extend(how.map(|how| Difference { field, how }));
    note(Field::Name, text(Some(&observed.name), &desired.name));
    note(Field::Version, text(observed.version.as_deref(), VERSION));
    note(Field::ChannelType, text(observed.channel_type.as_deref(), "HTTP"));
    note(Field::ChannelVersion, text(observed.channel_version.as_deref(), VERSION));
    note(Field::Uri, uri(observed.uri.as_deref(), &desired.uri));
    note(Field::Method, text(observed.method.as_deref(), "POST"));
    // Samples spell `header`, recorded traffic `HEADER`.
    note(Field::AuthType, text(observed.auth_type.as_deref().map(str::to_ascii_uppercase).as_deref(), "HEADER"));
    note(Field::AuthHeader, header_name(observed.auth_header.as_deref(), &desired.auth_header));
    headers(&observed.headers, &desired.headers, &mut found);
    found.sort();
    found
}

/// Whether an address in Okta is the declared one: as spelled, or the same once read as a URL.
#[must_use]
pub fn same_uri(observed: &str, desired: &str) -> bool {
    observed == desired || matches!((Url::parse(observed), Url::parse(desired)), (Ok(a), Ok(b)) if a == b)
}

fn text(observed: Option<&str>, desired: &str) -> Option<How> {
    match observed {
        None => Some(How::Missing),
        Some(observed) => (observed != desired).then_some(How::Different),
    }
}

fn uri(observed: Option<&str>, desired: &str) -> Option<How> {
    match observed {
        None => Some(How::Missing),
        Some(observed) => (!same_uri(observed, desired)).then_some(How::Different),
    }
}

fn header_name(observed: Option<&str>, desired: &str) -> Option<How> {
    match observed {
        None => Some(How::Missing),
        Some(observed) => (!observed.eq_ignore_ascii_case(desired)).then_some(How::Different),
    }
}

fn headers(observed: &[Header], desired: &[Header], found: &mut Vec<Difference>) {
    let values_of = |headers: &[Header], name: &str| -> Vec<String> {
        let same = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let mut values: Vec<String> = same.map(|header| header.value.clone()).collect();
        values.sort();
        values
    };
    let mut names: Vec<String> = observed.iter().chain(desired).map(|h| h.name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let how = match (values_of(observed, &name), values_of(desired, &name)) {
            (ours, theirs) if ours == theirs => continue,
            (observed, _) if observed.is_empty() => How::Missing,
            (_, desired) if desired.is_empty() => How::Unexpected,
            _ => How::Different,
        };
        found.push(Difference { field: Field::Header(one_line(&name, 64)), how });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{HookId, HookStatus};
    use hookswitch_message::Secret;

    fn desired() -> HookContent {
        HookContent {
            name: "Acme OTP".into(),
            uri: "https://otp.acme.com/hooks/main".into(),
            headers: vec![Header::new("X-Env", "prod"), Header::new("X-Hookswitch-Owner", "i/ns/main")],
            auth_header: "Authorization".into(),
            secret: Secret::from("hidden"),
            metadata: None,
        }
    }

    fn observed() -> ObservedHook {
        desired().in_okta(HookId::new("cal1").unwrap(), HookStatus::Active)
    }

    fn shown(hook: &ObservedHook) -> Vec<String> {
        differences(hook, &desired()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_hook_as_declared_has_no_difference_whatever_the_order_and_case_of_its_headers() {
        let mut hook = observed();
        hook.headers.reverse();
        hook.headers[0].name = "x-hookswitch-owner".into();
        hook.auth_header = Some("authorization".into());
        hook.auth_type = Some("header".into());
        hook.uri = Some("https://otp.acme.com:443/hooks/main".into());
        assert_eq!(shown(&hook), Vec::<String>::new());
    }

    #[test]
    fn each_edit_in_the_console_is_named() {
        type Edit = fn(&mut ObservedHook);
        let cases: [(Edit, &str); 12] = [
            (|h| h.name = "Other".into(), "name different"),
            (|h| h.version = Some("1.0.1".into()), "version different"),
            (|h| h.channel_type = Some("OAUTH".into()), "channel type different"),
            (|h| h.channel_version = None, "channel version missing"),
            (|h| h.uri = Some("https://evil.example/hooks/main".into()), "uri different"),
            (|h| h.uri = None, "uri missing"),
            (|h| h.method = Some("PUT".into()), "method different"),
            (|h| h.headers[0].value = "dev".into(), "header x-env different"),
            (|h| drop(h.headers.remove(1)), "header x-hookswitch-owner missing"),
            (|h| h.headers.push(Header::new("X-New", "1")), "header x-new unexpected"),
            (|h| h.auth_type = None, "auth type missing"),
            (|h| h.auth_header = Some("X-Key".into()), "auth header name different"),
        ];
        for (edit, expected) in cases {
            let mut hook = observed();
            edit(&mut hook);
            assert_eq!(shown(&hook), [expected]);
        }
    }

    #[test]
    fn a_doubled_header_is_a_difference_and_no_value_is_shown() {
        let mut hook = observed();
        hook.headers.push(Header::new("x-env", "leaked-value"));
        assert_eq!(shown(&hook), ["header x-env different"]);
    }
}
