//! Credentials held by the sandbox: comparable, never printable.

use std::fmt;
use std::sync::{Mutex, PoisonError};

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

/// Credentials of which each is taken, until others are: an account may have more than one while it changes them.
#[derive(Debug)]
pub(crate) struct Tokens(Mutex<Vec<(Secret, u64)>>);

impl Tokens {
    pub(crate) fn new(tokens: Vec<Secret>) -> Self {
        Self(Mutex::new(tokens.into_iter().map(|token| (token, 0)).collect()))
    }

    /// Takes these from now on and no other.
    pub(crate) fn replace(&self, tokens: Vec<Secret>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tokens.into_iter().map(|token| (token, 0)).collect();
    }

    /// Whether `given` is one of them. Each is compared, so that time does not tell which one came close.
    pub(crate) fn take(&self, given: &str) -> bool {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter_mut().fold(false, |taken, (token, shown)| {
            let is_it = token.is(given);
            *shown += u64::from(is_it);
            taken | is_it
        })
    }

    /// How often each was shown since it is taken, in their order.
    pub(crate) fn shown(&self) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, shown)| *shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_two_tokens_is_taken_and_counted_until_one_is_revoked() {
        let tokens = Tokens::new(vec![Secret::new("old"), Secret::new("new")]);
        assert!(tokens.take("old") && tokens.take("new") && tokens.take("new") && !tokens.take("other"));
        assert_eq!(tokens.shown(), [1, 2]);
        tokens.replace(vec![Secret::new("new")]);
        assert!(!tokens.take("old") && tokens.take("new"));
        assert_eq!(tokens.shown(), [1], "since then");
    }
}
