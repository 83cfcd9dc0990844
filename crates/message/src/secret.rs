//! A value that cannot be printed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroize;

/// Holds a credential, a passcode or a message text. `Debug` prints `[secret]`, there is no `Display`, and the memory
/// is overwritten when the value goes. Reading it takes a call to [`Secret::expose`], which is easy to search for.
///
/// It serialises in clear, because the gateway's configuration document carries credentials inside a Kubernetes Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: only for the place that sends or compares it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize + Serialize> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let shown = format!("{:?}", Some(Secret::from("hunter2")));
        assert_eq!(shown, "Some([secret])");
    }

    #[test]
    fn a_secret_is_overwritten_when_it_goes() {
        struct Memory<'a>(&'a Cell<bool>);

        impl Zeroize for Memory<'_> {
            fn zeroize(&mut self) {
                self.0.set(true);
            }
        }

        let is_overwritten = Cell::new(false);
        let secret = Secret::new(Memory(&is_overwritten));
        assert!(!is_overwritten.get());
        drop(secret);
        assert!(is_overwritten.get());
    }
}
