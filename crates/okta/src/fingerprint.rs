//! Keyed fingerprints of values that must not be stored: a change is seen by comparing fingerprints, and the value cannot be guessed
//! from one without the installation's key.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::types::{HookStatus, ObjectRef, ObservedHook};

/// Shortest key taken.
const SHORTEST_KEY: usize = 32;

/// The key is too short to protect anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key for change marks must have at least {SHORTEST_KEY} bytes")]
pub struct KeyTooShort;

/// The installation's key for change fingerprints.
pub struct FingerprintKey(hmac::Key);

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl FingerprintKey {
    /// Takes the key's bytes.
    ///
    /// # Errors
    /// [`KeyTooShort`] below 32 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyTooShort> {
        if bytes.len() < SHORTEST_KEY { Err(KeyTooShort) } else { Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))) }
    }

    /// The fingerprint of a hook's secret and of the header that carries it, since neither is of use without the other. Two objects
    /// with the same secret have different fingerprints.
    #[must_use]
    pub fn secret(&self, object: &ObjectRef, header: &str, secret: &str) -> Fingerprint {
        self.over("secret", &[&object.namespace, &object.name, &header.to_ascii_lowercase(), secret])
    }

    /// The fingerprint of everything that is known of a hook, for the audit's before and after. Header order is ignored; `secret` is
    /// the fingerprint of the secret it has, where that is known.
    #[must_use]
    pub fn hook(&self, object: &ObjectRef, hook: &ObservedHook, secret: Option<&Fingerprint>) -> Fingerprint {
        let mut headers: Vec<(String, &str)> =
            hook.headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.as_str())).collect();
        headers.sort();
        let status = match hook.status {
            HookStatus::Active => "ACTIVE",
            HookStatus::Inactive => "INACTIVE",
            HookStatus::Unreadable => "UNKNOWN",
        };
        let mut parts: Vec<&str> = vec![&object.namespace, &object.name, &hook.name, status];
        let fields = [&hook.version, &hook.channel_type, &hook.channel_version, &hook.uri, &hook.method];
        let fields = fields.into_iter().chain([&hook.auth_type, &hook.auth_header]);
        parts.extend(fields.map(|field| field.as_deref().unwrap_or("\0")));
        parts.push(secret.map_or("\0", Fingerprint::as_str));
        parts.extend(headers.iter().flat_map(|(name, value)| [name.as_str(), *value]));
        self.over("hook", &parts)
    }

    fn over(&self, purpose: &str, parts: &[&str]) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.0);
        for part in std::iter::once(&purpose).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Fingerprint(URL_SAFE_NO_PAD.encode(context.sign()))
    }
}

/// A keyed fingerprint; safe to store and to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// A fingerprint as it was stored. A text that is none simply equals no fingerprint.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to store: 43 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_depends_on_key_object_and_secret_and_on_their_borders() {
        let key = FingerprintKey::new(&[7; 32]).unwrap();
        let object = ObjectRef::new("ns", "a");
        let fingerprint = key.secret(&object, "x-auth", "s3cret");
        assert_eq!(fingerprint, key.secret(&object, "X-Auth", "s3cret"), "the name of a header has no case");
        assert_eq!(fingerprint.as_str().len(), 43);
        assert_ne!(fingerprint, key.secret(&object, "x-auth", "s3cret2"));
        assert_ne!(fingerprint, key.secret(&object, "x-other", "s3cret"));
        assert_ne!(fingerprint, key.secret(&ObjectRef::new("ns", "b"), "x-auth", "s3cret"));
        assert_ne!(key.secret(&object, "a", "bc"), key.secret(&object, "ab", "c"));
        assert_ne!(fingerprint, FingerprintKey::new(&[8; 32]).unwrap().secret(&object, "x-auth", "s3cret"));
        assert!(!fingerprint.as_str().contains("s3cret"));
    }

    #[test]
    fn a_short_key_is_refused_and_a_key_does_not_show() {
        assert_eq!(FingerprintKey::new(&[1; 31]).err(), Some(KeyTooShort));
        assert_eq!(format!("{:?}", FingerprintKey::new(&[1; 32]).unwrap()), "[secret]");
    }
}
