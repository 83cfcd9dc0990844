//! Credentials held by the sandbox: comparable, never printable.

use std::fmt;

use serde::Deserialize;
use subtle::ConstantTimeEq as _;

/// A credential. `Debug` prints a placeholder, and there is no `Display`.
#[derive(Clone, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Takes the credential as it stands.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The credential itself, for the one place that must send or compare it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `given` is this credential, in time that does not depend on where they differ.
    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
