//! What of a call must not be repeated by anybody: its passcode, its number, its text.
//!
//! A code is a provider's own word, and it is shown: in the log, in the report, in a status, in Okta's System Log. It is shown
//! as it is, or not at all.

use hookswitch_providers::{Message, Outcome, Refusal};

/// What stands for a code that is not shown.
pub const WITHHELD: &str = "withheld";

/// As many digits in a row are taken for a number: vendors' codes have five or six.
const NUMBER: usize = 7;

/// How many of its last digits identify a number.
const TELLING: usize = 6;

/// A code that is a text, when a part of that length is in the message.
const TEXT: usize = 8;

/// What must not be repeated of one call.
pub struct Private<'a> {
    passcode: &'a str,
    message: &'a Message,
}

impl<'a> Private<'a> {
    /// Of the call with that passcode.
    #[must_use]
    pub const fn new(passcode: &'a str, message: &'a Message) -> Self {
        Self { passcode, message }
    }

    /// An outcome whose code may be shown.
    #[must_use]
    pub fn without(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Refused(refusal) if self.is_quoted_by(&refusal.code) => {
                Outcome::Refused(Refusal { code: WITHHELD.to_owned(), ..refusal })
            }
            outcome => outcome,
        }
    }

    fn is_quoted_by(&self, code: &str) -> bool {
        let bare = letters_and_digits(code);
        let digits: String = code.chars().filter(char::is_ascii_digit).collect();
        let (passcode, number) = (letters_and_digits(self.passcode), self.message.to.digits());
        let telling = &number[number.len().saturating_sub(TELLING)..];
        !is_code(code)
            || !passcode.is_empty() && (bare.contains(&passcode) || digits.contains(&passcode))
            || digits.contains(telling)
            || bare.len() >= TEXT && letters_and_digits(self.message.text.expose()).contains(&bare)
    }
}

/// A refusal that no call is behind, a probe's, whose code may be shown.
#[must_use]
pub fn shown(code: &str) -> &str {
    if is_code(code) { code } else { WITHHELD }
}

/// Whether a word can be a code: what identifiers are made of, and no number in it.
fn is_code(code: &str) -> bool {
    let mut digits = 0;
    !code.is_empty()
        && code.chars().all(|c| {
            digits = match c {
                '0'..='9' => digits + 1,
                // numbers are written with these in between
                '-' | '.' | '/' => digits,
                _ => 0,
            };
            digits < NUMBER && (c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/'))
        })
}

fn letters_and_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookswitch_message::{Channel, Secret};
    use hookswitch_providers::{Class, Scope};

    fn message() -> Message {
        Message {
            id: "e-1".into(),
            channel: Channel::Sms,
            to: "+46701740605".parse().unwrap(),
            country: None,
            text: Secret::from("Your Acme sign-in code is 493817"),
            code: Secret::from("493817"),
            locale: None,
            ttl: None,
            original: None,
        }
    }

    fn code(passcode: &str, code: &str) -> String {
        let message = message();
        let class = Class::PermanentConfig(Scope::Sender);
        let refused = Outcome::Refused(Refusal { class, code: code.to_owned(), retry_after_s: None });
        match Private::new(passcode, &message).without(refused) {
            Outcome::Refused(refusal) => refusal.code,
            outcome => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn a_vendors_code_is_shown_as_it_is() {
        for shown in ["21660", "http-503", "geo-7", "status-suspended", "ThrottlingException", "EC_1:22/x.y", "429001"]
        {
            assert_eq!(code("493817", shown), shown);
        }
    }

    #[test]
    fn a_code_that_quotes_the_passcode_the_number_or_the_text_is_not_shown() {
        for quoting in [
            "493817",
            "bad-493817",
            "49-38-17",
            "4.9_3:8/17",
            "+46701740605",
            "46701740605",
            "0701740605",
            "070-174-06-05",
            "to:740605",
            "7_4_0_6_0_5",
            "YourAcmesign-incode",
            "1234567",
            "12-34-567",
            "no{such}",
            "",
        ] {
            assert_eq!(code("493817", quoting), WITHHELD, "{quoting}");
        }
        assert_eq!(code("Ab3dE9", "code-ab3De9-x"), WITHHELD, "letters count, in either case");
        assert_eq!((shown("20003"), shown("46701740605")), ("20003", WITHHELD), "a probe's");
    }
}
