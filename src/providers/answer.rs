//! Reading a carrier's answer: what all carriers share, before any of them has its say.

use std::fmt;

use super::outcome::{Class, Refusal, Scope};

/// The most that is read of a carrier's answer, in bytes. The longest documented answer is under 4 KiB.
pub const MAX_ANSWER: usize = 64 * 1024;

/// The longest id of a message that is passed on.
const MAX_ID: usize = 128;
/// The longest code of a refusal that is passed on.
const MAX_CODE: usize = 64;
/// The longest pause that a carrier may ask for, in seconds; a daily cap is the longest that makes sense.
const MAX_RETRY_AFTER_S: u64 = 24 * 60 * 60;

/// What a carrier answered. `Debug` shows the status and the length alone: carriers repeat numbers and texts.
#[derive(Clone)]
pub struct CarrierAnswer {
    /// HTTP status.
    pub status: u16,
    /// The header `Retry-After`, as it came.
    pub retry_after: Option<String>,
    /// At most [`MAX_ANSWER`] bytes.
    pub body: Vec<u8>,
}

impl fmt::Debug for CarrierAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarrierAnswer")
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What a probe shows. `Unknown` is an answer that proves neither: it counts neither for nor against the carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// The account can send.
    Up,
    /// It cannot, and this is why.
    Down(Refusal),
    /// Nothing is shown.
    Unknown,
}

impl CarrierAnswer {
    /// Whether the status says that the request was carried out.
    pub(super) const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body as a JSON object, when it is one.
    pub(super) fn object(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The refusal of a class, with the pause that the header asks for where pausing helps.
    pub(super) fn refusal(&self, class: Class, code: String) -> Refusal {
        let pausing_helps = matches!(class, Class::Throttled | Class::Transient);
        Refusal { class, code, retry_after_s: self.retry_after_s().filter(|_| pausing_helps) }
    }

    /// The code of a refusal that has none of its own.
    pub(super) fn status_code(&self) -> String {
        format!("http-{}", self.status)
    }

    /// `Retry-After` in seconds. The form with a date is ignored, since adapters know no clock.
    fn retry_after_s(&self) -> Option<u64> {
        let seconds: u64 = self.retry_after.as_deref()?.trim().parse().ok()?;
        Some(seconds.min(MAX_RETRY_AFTER_S))
    }
}

/// The class of an error status whose body says nothing; `None` for a status that leaves open whether the message was sent.
///
/// A 408, 502 or 504 says that somebody on the way gave up waiting: the carrier may have sent the message, so nothing is said.
/// Any other 5xx is the carrier's own word that it did not.
/// A redirect is never followed with a passcode in hand, so it means that the configured URL is wrong.
pub(super) const fn class_by_status(status: u16) -> Option<Class> {
    match status {
        300..=399 | 401..=403 => Some(Class::PermanentConfig(Scope::Account)),
        408 | 502 | 504 => None,
        409 | 500..=599 => Some(Class::Transient),
        429 => Some(Class::Throttled),
        400..=499 => Some(Class::MessageRejected),
        _ => None,
    }
}

/// A message id from a carrier, when it is printable and of reasonable length.
pub(super) fn id(text: &str) -> Option<String> {
    let fits = (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// What is left of a carrier's code when only printable characters are kept and it is cut to length; `None` when that
/// is nothing.
pub(super) fn code(text: &str) -> Option<String> {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(MAX_CODE).collect();
    (!kept.is_empty()).then_some(kept)
}
