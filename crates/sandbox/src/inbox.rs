//! The handset of everyone: the messages that were delivered, by whom, newest last.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The oldest message is forgotten when one more than this arrives.
pub const CAPACITY: usize = 10_000;

/// How a message reached the handset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A text message.
    Sms,
    /// A spoken call.
    Voice,
}

/// Who had it delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// A provider account of the sandbox.
    #[serde(rename = "carrier")]
    Provider,
    /// Okta's own sender, because the hook did not deliver.
    OktaFallback,
    /// Okta's own sender, because no hook is active.
    Okta,
}

/// One message on a handset. It holds the text: never log one (there is no `Debug`).
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// When it arrived.
    pub at: Timestamp,
    /// Text or call.
    pub channel: Channel,
    /// The handset's number.
    pub to: String,
    /// The sender shown, when there is one.
    pub from: Option<String>,
    /// What was written, or said once.
    pub text: String,
    /// How often a call says it; 1 for a text.
    pub said: u32,
    /// The passcode a person would read from the text.
    pub code: Option<String>,
    /// The provider account's name; `okta` for Okta's own sender.
    #[serde(rename = "carrier")]
    pub provider: String,
    /// Who had it delivered.
    pub via: Via,
    /// The provider's id of the message.
    pub id: String,
}

/// A bounded store of messages.
#[derive(Default)]
pub struct Inbox {
    messages: Mutex<VecDeque<Message>>,
}

impl Inbox {
    pub(crate) fn deliver(&self, message: Message) {
        tracing::info!(
            carrier = %message.provider,
            channel = ?message.channel,
            to = %super::phone::masked(&message.to),
            via = ?message.via,
            "delivered"
        );
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() == CAPACITY {
            messages.pop_front();
        }
        messages.push_back(message);
    }

    /// The messages delivered so far, oldest first; to one number when `to` is given.
    #[must_use]
    pub fn messages(&self, to: Option<&str>) -> Vec<Message> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().filter(|message| to.is_none_or(|to| message.to == to)).cloned().collect()
    }

    /// Forgets every message, or those to one number. Answers how many.
    pub fn clear(&self, to: Option<&str>) -> usize {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let before = messages.len();
        messages.retain(|message| to.is_some_and(|to| message.to != to));
        before - messages.len()
    }
}

/// The passcode a person would read from a text: the first word of four to twelve letters and
/// digits that holds a digit, or as many single ones set apart as a call speaks them.
pub(crate) fn code_in(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_code = |word: &str| (4..=12).contains(&word.len()) && word.bytes().any(|b| b.is_ascii_digit());
    if let Some(word) = words.iter().find(|word| is_code(word)) {
        return Some((*word).to_owned());
    }
    words.split(|word| word.len() > 1).map(<[&str]>::concat).find(|run| is_code(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(to: &str, id: &str) -> Message {
        Message {
            at: Timestamp::UNIX_EPOCH,
            channel: Channel::Sms,
            to: to.to_owned(),
            from: None,
            text: String::new(),
            said: 1,
            code: None,
            provider: "c".to_owned(),
            via: Via::Provider,
            id: id.to_owned(),
        }
    }

    #[test]
    fn the_code_is_found_written_and_spelled_out() {
        assert_eq!(code_in("Your code is 123456.").as_deref(), Some("123456"));
        assert_eq!(code_in("Code: a1B2c3D4e5F6").as_deref(), Some("a1B2c3D4e5F6"));
        assert_eq!(code_in("Your code is 1, 2, 3, 4, 5, 6. Goodbye").as_deref(), Some("123456"));
        assert_eq!(code_in("Hello there"), None);
    }

    #[test]
    fn the_oldest_message_makes_room_for_the_newest() {
        let inbox = Inbox::default();
        for n in 0..=CAPACITY {
            inbox.deliver(message("+46701234567", &n.to_string()));
        }
        let kept = inbox.messages(None);
        assert_eq!(kept.len(), CAPACITY);
        assert_eq!(kept[0].id, "1");
    }

    #[test]
    fn one_numbers_messages_are_cleared_without_touching_others() {
        let inbox = Inbox::default();
        inbox.deliver(message("+46701234567", "a"));
        inbox.deliver(message("+4520123456", "b"));
        assert_eq!(inbox.clear(Some("+46701234567")), 1);
        assert_eq!(inbox.messages(None).len(), 1);
        assert_eq!(inbox.clear(None), 1);
    }
}
