//! Providers' own codes as data: one table for each provider, which its adapter reads and `docs/providers` prints.
//!
//! One rule holds for what a table does not have: **an unlisted refusal asks the next provider.** It is read by its HTTP
//! status, and never as the word that a number cannot be reached or that a message is fraud.

use std::fmt::{self, Write as _};

use super::outcome::Class;

/// The codes of one provider.
#[derive(Debug)]
pub struct CodeTable {
    /// The provider, as its page is called: `docs/providers/<provider>-codes.md`.
    pub provider: &'static str,
    /// Its name, for people.
    pub name: &'static str,
    /// Where the codes are from.
    pub source: &'static str,
    /// The codes, in the order of the page; none of them twice.
    pub codes: &'static [Code],
}

/// One code of a provider, or several in a row.
#[derive(Debug)]
pub struct Code {
    /// As the provider writes it.
    pub code: CodeText,
    /// What it says of the message.
    pub says: Says,
    /// Why, for people: half a sentence.
    pub means: &'static str,
}

/// How a provider writes a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeText {
    /// Numbers from the first to the last.
    Numbers(u32, u32),
    /// A word, compared as it is written.
    Word(&'static str),
}

/// What a code says of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It was not sent.
    Refused(Class),
    /// It may have been sent.
    Unclear,
}

/// A code that is one number.
pub(super) const fn one(code: u32, class: Class, means: &'static str) -> Code {
    several(code, code, class, means)
}

/// Codes that are numbers in a row.
pub(super) const fn several(first: u32, last: u32, class: Class, means: &'static str) -> Code {
    Code { code: CodeText::Numbers(first, last), says: Says::Refused(class), means }
}

/// A number that leaves open whether the message was sent.
pub(super) const fn unclear(code: u32, means: &'static str) -> Code {
    Code { code: CodeText::Numbers(code, code), says: Says::Unclear, means }
}

/// The tables of all providers that have codes.
pub const TABLES: &[&CodeTable] = &[&super::twilio::CODES];

impl CodeTable {
    /// What a number says; `None` for one that is not listed.
    #[must_use]
    pub fn number(&self, code: u32) -> Option<Says> {
        let is_listed = |listed: &&Code| match listed.code {
            CodeText::Numbers(first, last) => (first..=last).contains(&code),
            CodeText::Word(_) => false,
        };
        self.codes.iter().find(is_listed).map(|listed| listed.says)
    }

    /// What a word says; `None` for one that is not listed.
    #[must_use]
    pub fn word(&self, code: &str) -> Option<Says> {
        let is_listed = |listed: &&Code| matches!(listed.code, CodeText::Word(word) if word == code);
        self.codes.iter().find(is_listed).map(|listed| listed.says)
    }

    /// The page that shows the table, in Markdown.
    #[must_use]
    pub fn page(&self) -> String {
        let Self { provider, name, source, codes } = self;
        let mut page = format!(
            "# Codes of {name}\n\n\
             For whoever reads a code of {name} in a log, a report or a status: after this page you know what it leads to.\n\
             How to set it up is in [Provider: {name}]({provider}.md).\n\n\
             Source: {source}.\n\n\
             **A code that is not listed asks the next provider**, as [every unlisted refusal\n\
             does](../concepts/gateway.md#codes-that-are-not-listed).\n\n\
             | code | class | next provider | what it means |\n| --- | --- | --- | --- |\n"
        );
        for Code { code, says, means } in *codes {
            let (class, next) = match says {
                Says::Refused(class) => (class.label(), next_provider(*class)),
                Says::Unclear => ("unclear", "`onAmbiguous`"),
            };
            // writing to a String does not fail
            let _ = writeln!(page, "| {code} | `{class}` | {next} | {means} |");
        }
        page
    }
}

/// Whether the next provider is asked, in a word.
const fn next_provider(class: Class) -> &'static str {
    match class {
        Class::PermanentDestination | Class::FraudBlocked | Class::MessageTooLong => "no",
        Class::MessageRejected => "once",
        Class::UnreachableHere | Class::PermanentConfig(_) | Class::Throttled | Class::Transient | Class::Unknown => {
            "yes"
        }
    }
}

impl fmt::Display for CodeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(first, last) if first == last => write!(f, "{first}"),
            Self::Numbers(first, last) => write!(f, "{first}–{last}"),
            Self::Word(word) => write!(f, "`{word}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_listed_twice_and_each_says_why() {
        for table in TABLES {
            for (at, code) in table.codes.iter().enumerate() {
                assert!(code.means.len() > 3 && !code.means.contains(['|', '\n']), "{code:?}");
                for other in &table.codes[at + 1..] {
                    let apart = match (code.code, other.code) {
                        // numbers are sorted, so that a person finds one
                        (CodeText::Numbers(first, last), CodeText::Numbers(next, _)) => first <= last && last < next,
                        (one, other) => one != other,
                    };
                    assert!(apart, "{}: {} and {}", table.provider, code.code, other.code);
                }
            }
        }
    }

    #[test]
    fn a_code_is_found_as_a_number_or_as_a_word() {
        static CODES: &[Code] = &[
            several(7, 9, Class::Throttled, "several in a row"),
            unclear(12, "nobody knows"),
            Code { code: CodeText::Word("NoCredit"), says: Says::Refused(Class::Transient), means: "a word" },
        ];
        let table = CodeTable { provider: "test", name: "Test", source: "nowhere", codes: CODES };
        let throttled = Some(Says::Refused(Class::Throttled));
        assert_eq!(
            [6, 7, 9, 10, 12].map(|code| table.number(code)),
            [None, throttled, throttled, None, Some(Says::Unclear)]
        );
        assert_eq!(table.word("NoCredit"), Some(Says::Refused(Class::Transient)));
        assert_eq!((table.word("nocredit"), table.word("7")), (None, None));
        let page = table.page();
        for row in [
            "| 7–9 | `throttled` | yes | several in a row |",
            "| 12 | `unclear` | `onAmbiguous` | nobody knows |",
            "| `NoCredit` | `transient` | yes | a word |",
        ] {
            assert!(page.contains(row), "{page}");
        }
    }
}
