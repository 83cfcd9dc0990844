//! Reading a provider's answer: what all providers share, before any of them has its say.

use std::{borrow::Cow, fmt};

use serde_json::{Map, Value};

use super::outcome::{Class, Outcome, Refusal, Scope};

/// The most that is read of a provider's answer, in bytes. The longest documented answer is under 4 KiB.
pub const MAX_ANSWER: usize = 64 * 1024;

/// The longest id of a message that is passed on.
const MAX_ID: usize = 128;
/// The longest code of a refusal that is passed on.
const MAX_CODE: usize = 64;
/// The longest pause that a provider may ask for, in seconds; a daily cap is the longest that makes sense.
const MAX_RETRY_AFTER_S: u64 = 24 * 60 * 60;

/// What a provider answered. `Debug` shows the status and the length alone: providers repeat numbers and texts.
#[derive(Clone)]
pub struct ProviderAnswer {
    /// HTTP status.
    pub status: u16,
    /// The header `Retry-After`, as it came.
    pub retry_after: Option<String>,
    /// At most [`MAX_ANSWER`] bytes.
    pub body: Vec<u8>,
}

impl fmt::Debug for ProviderAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderAnswer")
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl ProviderAnswer {
    /// Whether the status says that the request was carried out.
    pub(super) const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body as JSON is read from.
    pub(super) fn json(&self) -> &[u8] {
        self.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.body)
    }

    /// The body's fields, when it is a JSON object.
    pub(super) fn fields(&self) -> Option<Fields> {
        serde_json::from_slice(self.json()).ok().map(Fields)
    }

    /// What became of the message when the status alone says it.
    pub(super) fn by_status(&self) -> Outcome {
        class_by_status(self.status).map_or(Outcome::Ambiguous { cause: "garbage" }, |class| {
            Outcome::Refused(self.refusal(class, self.status_code()))
        })
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

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The fields of a JSON object that somebody else wrote. Null is absent, and so is a value of a kind that makes no sense in
/// its place; a whole number may be written as text and a text of digits as a number; what is not asked for passes.
#[derive(Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// A text without the white space around it, or the digits of a whole number.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.0.get(name)? {
            Value::String(text) => Some(Cow::Borrowed(text.trim())),
            Value::Number(number) if number.is_u64() || number.is_i64() => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// A number that is neither negative nor larger than 32 bits.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.text(name)?.parse().ok()
    }

    /// A yes or no, which may be written as a text.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Whether there is a list of that name.
    pub(super) fn has_list(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(Value::is_array)
    }
}

/// Whether a status is the word of somebody who stopped waiting, or who found the same message in hand already: the provider
/// may have sent it. Besides HTTP's own these are what common proxies answer then.
pub(super) const fn leaves_open(status: u16) -> bool {
    matches!(status, 408 | 409 | 460 | 499 | 502 | 504 | 520 | 522 | 524 | 598 | 599)
}

/// The class of an error status whose body says nothing; `None` for a status that leaves open whether the message was sent.
///
/// A 5xx that does not leave it open is the provider's own word that it was not. A 4xx that is nobody's in particular may
/// be about the number, the sender, the text or the account.
/// A redirect is never followed with a passcode in hand, so it means that the configured URL is wrong.
pub(super) const fn class_by_status(status: u16) -> Option<Class> {
    match status {
        _ if leaves_open(status) => None,
        300..=399 | 401..=403 => Some(Class::PermanentConfig(Scope::Account)),
        429 => Some(Class::Throttled),
        400..=499 => Some(Class::Unknown),
        500..=599 => Some(Class::Transient),
        _ => None,
    }
}

/// A message id from a provider, when it is printable and of reasonable length.
pub(super) fn id(text: &str) -> Option<String> {
    let fits = (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// What is left of a provider's code when only printable characters are kept and it is cut to length; `None` when that
/// is nothing.
pub(super) fn code(text: &str) -> Option<String> {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(MAX_CODE).collect();
    (!kept.is_empty()).then_some(kept)
}
