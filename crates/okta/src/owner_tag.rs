//! Whose hook it is: the custom header `X-Hookswitch-Owner: <installation>/<namespace>/<name>`.
//!
//! Okta has no field for labels, and returns custom headers in clear. An owner tag in the hook itself outlives a lost status
//! and a lost answer to a create. Only an exact tag of this installation makes a hook ours.

use std::fmt;

use crate::types::{Header, ObjectRef, ObservedHook};

/// The header's name.
pub const OWNER_HEADER: &str = "X-Hookswitch-Owner";

/// Why a name cannot be an installation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an installation's name must be 1 to 63 letters, digits, '-', '_' or '.'")]
pub struct InvalidInstallation;

/// The name by which this installation distinguishes its hooks from another's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstallationTag(String);

impl InstallationTag {
    /// Takes a name.
    ///
    /// # Errors
    /// [`InvalidInstallation`] when it could not be distinguished from the rest of the tag.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidInstallation> {
        let name = name.into();
        if part_is_sound(&name, 63) { Ok(Self(name)) } else { Err(InvalidInstallation) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The header that tags a hook as `object`'s.
    #[must_use]
    pub fn tag(&self, object: &ObjectRef) -> Header {
        Header::new(OWNER_HEADER, format!("{}/{object}", self.0))
    }

    /// Whose hook this is, seen from this installation.
    #[must_use]
    pub fn whose(&self, hook: &ObservedHook) -> Whose {
        let mut tags = hook.headers.iter().filter(|header| header.name.trim().eq_ignore_ascii_case(OWNER_HEADER));
        let Some(first) = tags.next() else { return Whose::Untagged };
        if tags.any(|other| other.value != first.value) {
            return Whose::Unreadable;
        }
        match read(&first.value) {
            Some((installation, object)) if installation == self.0 => Whose::Ours(object),
            Some((installation, object)) => Whose::Others { installation, object },
            None => Whose::Unreadable,
        }
    }
}

impl fmt::Display for InstallationTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose hook it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// This installation's, for that object.
    Ours(ObjectRef),
    /// Another installation's.
    Others {
        /// Its name.
        installation: String,
        /// Its object.
        object: ObjectRef,
    },
    /// Somebody's tag that cannot be read, or two that disagree: treated as another's.
    Unreadable,
    /// No tag: made by a person or another tool.
    Untagged,
}

fn read(value: &str) -> Option<(String, ObjectRef)> {
    let mut parts = value.trim().split('/');
    let (installation, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none();
    let sound = part_is_sound(installation, 63) && part_is_sound(namespace, 63) && part_is_sound(name, 253);
    (whole && sound).then(|| (installation.to_owned(), ObjectRef::new(namespace, name)))
}

fn part_is_sound(part: &str, longest: usize) -> bool {
    (1..=longest).contains(&part.len())
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{HookId, HookStatus};

    fn hook(headers: &[(&str, &str)]) -> ObservedHook {
        ObservedHook {
            id: HookId::new("cal1").unwrap(),
            name: "x".into(),
            status: HookStatus::Active,
            version: None,
            channel_type: None,
            channel_version: None,
            uri: None,
            method: None,
            headers: headers.iter().map(|(name, value)| Header::new(*name, *value)).collect(),
            auth_type: None,
            auth_header: None,
            metadata: None,
        }
    }

    #[test]
    fn a_tag_reads_back_as_its_object_whatever_the_case_of_the_header() {
        let ours = InstallationTag::new("prod-eu").unwrap();
        let object = ObjectRef::new("otp", "main");
        let tag = ours.tag(&object);
        assert_eq!(tag.value, "prod-eu/otp/main");
        assert_eq!(ours.whose(&hook(&[("x-hookswitch-OWNER", &tag.value)])), Whose::Ours(object));
    }

    #[test]
    fn only_an_exact_tag_is_ours() {
        let ours = InstallationTag::new("prod").unwrap();
        let cases = [
            (hook(&[]), Whose::Untagged),
            (
                hook(&[(OWNER_HEADER, "prod2/otp/main")]),
                Whose::Others { installation: "prod2".into(), object: ObjectRef::new("otp", "main") },
            ),
            (hook(&[(OWNER_HEADER, "prod/otp")]), Whose::Unreadable),
            (hook(&[(OWNER_HEADER, "prod/otp/main/x")]), Whose::Unreadable),
            (hook(&[(OWNER_HEADER, "")]), Whose::Unreadable),
            (hook(&[(OWNER_HEADER, "prod/otp/a b")]), Whose::Unreadable),
            (hook(&[(OWNER_HEADER, "prod/o p/a")]), Whose::Unreadable),
            (hook(&[(OWNER_HEADER, "pr d/otp/a")]), Whose::Unreadable),
            (hook(&[(OWNER_HEADER, &format!("prod/{}/a", "n".repeat(64)))]), Whose::Unreadable),
            (hook(&[(OWNER_HEADER, &format!("prod/otp/{}", "n".repeat(254)))]), Whose::Unreadable),
            (hook(&[(OWNER_HEADER, "prod/otp/a"), (OWNER_HEADER, "prod/otp/b")]), Whose::Unreadable),
        ];
        for (hook, expected) in cases {
            assert_eq!(ours.whose(&hook), expected, "{:?}", hook.headers);
        }
    }

    #[test]
    fn an_installation_cannot_be_named_so_that_tags_mix() {
        assert!(InstallationTag::new("a/b").is_err());
        assert!(InstallationTag::new("").is_err());
        assert!(InstallationTag::new("x".repeat(64)).is_err());
        assert_eq!(InstallationTag::new("x".repeat(63)).unwrap().as_str(), "x".repeat(63));
    }
}
