//! What a one-time passcode message is made of: numbers, countries, channels, ids, and values that must not be printed.
//!
//! Pure values, shared by every other module. Anything that could identify a person or let somebody log in has a
//! `Debug` that hides it, so that no log line can leak it by accident.

mod channel;
mod country_code;
mod event;
mod number;
mod quote;
mod secret;

pub use channel::{Channel, RequestType};
pub use country_code::{CountryCode, InvalidCountry};
pub use event::{EventId, InvalidEventId};
pub use number::{E164, InvalidNumber};
pub use quote::quotes;
pub use secret::Secret;
