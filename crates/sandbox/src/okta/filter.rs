//! The System Log's `filter`: the part of SCIM that `eq`, `ne`, `sw`, `co`, `pr`, `and`, `or`,
//! `not` and parentheses make.

use serde_json::Value;

/// Nesting and length a filter may have.
const MAX_DEPTH: usize = 16;
const MAX_TOKENS: usize = 512;
/// The attributes that can be searched.
const ATTRIBUTES: [&str; 10] = [
    "actor.id",
    "client.ipaddress",
    "debugcontext.debugdata.url",
    "displaymessage",
    "eventtype",
    "outcome.reason",
    "outcome.result",
    "severity",
    "target.id",
    "uuid",
];

/// A filter that was read.
#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    Test { path: String, op: Op, value: String },
    Present(String),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Op {
    Eq,
    Ne,
    StartsWith,
    Contains,
}

#[derive(Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Word(String),
    Text(String),
}

impl Filter {
    /// Reads a filter; the reason when it is none.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let tokens = tokens(text)?;
        let mut reader = Reader { tokens: &tokens, at: 0 };
        let filter = reader.either(0)?;
        if reader.at == tokens.len() { Ok(filter) } else { Err("Something follows the filter") }
    }

    /// Whether an event passes.
    pub(super) fn passes(&self, event: &Value) -> bool {
        match self {
            Self::Test { path, op, value } => {
                let found = lookup(event, path);
                match op {
                    Op::Eq => found.iter().any(|f| f.eq_ignore_ascii_case(value)),
                    Op::Ne => !found.iter().any(|f| f.eq_ignore_ascii_case(value)),
                    Op::StartsWith => {
                        found.iter().any(|f| f.to_ascii_lowercase().starts_with(&value.to_ascii_lowercase()))
                    }
                    Op::Contains => found.iter().any(|f| f.to_ascii_lowercase().contains(&value.to_ascii_lowercase())),
                }
            }
            Self::Present(path) => !lookup(event, path).is_empty(),
            Self::And(a, b) => a.passes(event) && b.passes(event),
            Self::Or(a, b) => a.passes(event) || b.passes(event),
            Self::Not(inner) => !inner.passes(event),
        }
    }
}

/// The texts at a path; a list on the way stands for each of its items.
fn lookup<'a>(event: &'a Value, path: &str) -> Vec<&'a str> {
    let mut here = vec![event];
    for part in path.split('.') {
        here = here
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(items) => items.iter().collect::<Vec<_>>(),
                other => vec![other],
            })
            .filter_map(|value| {
                value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(part)).map(|(_, value)| value)
            })
            .collect();
    }
    here.into_iter().filter_map(Value::as_str).collect()
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() == MAX_TOKENS {
            return Err("The filter is too long");
        }
        match c {
            c if c.is_whitespace() => {}
            '(' => out.push(Token::Open),
            ')' => out.push(Token::Close),
            '"' => {
                let mut value = String::new();
                loop {
                    match chars.next() {
                        None => return Err("A quote is not closed"),
                        Some('"') => break,
                        Some('\\') => value.extend(chars.next()),
                        Some(c) => value.push(c),
                    }
                }
                out.push(Token::Text(value));
            }
            c => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"')) {
                    word.push(c);
                }
                out.push(Token::Word(word));
            }
        }
    }
    Ok(out)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<&Token> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    fn takes_word(&mut self, wanted: &str) -> bool {
        let is_it = matches!(
            self.tokens.get(self.at),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted)
        );
        if is_it {
            self.at += 1;
        }
        is_it
    }

    fn either(&mut self, depth: usize) -> Result<Filter, &'static str> {
        let mut left = self.both(depth)?;
        while self.takes_word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both(depth)?));
        }
        Ok(left)
    }

    fn both(&mut self, depth: usize) -> Result<Filter, &'static str> {
        let mut left = self.one(depth)?;
        while self.takes_word("and") {
            left = Filter::And(Box::new(left), Box::new(self.one(depth)?));
        }
        Ok(left)
    }

    fn one(&mut self, depth: usize) -> Result<Filter, &'static str> {
        if depth > MAX_DEPTH {
            return Err("The filter is nested too deeply");
        }
        if self.takes_word("not") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        let path = match self.next() {
            Some(Token::Open) => {
                let inner = self.either(depth + 1)?;
                return match self.next() {
                    Some(Token::Close) => Ok(inner),
                    _ => Err("A parenthesis is not closed"),
                };
            }
            Some(Token::Word(path)) => path.clone(),
            _ => return Err("An attribute is missing"),
        };
        if path.eq_ignore_ascii_case("published") {
            return Err("The attribute published cannot be filtered, use since and until");
        }
        if !ATTRIBUTES.contains(&path.to_ascii_lowercase().as_str()) {
            return Err("The attribute cannot be searched");
        }
        let op = match self.next() {
            Some(Token::Word(op)) => op.to_ascii_lowercase(),
            _ => return Err("An operator is missing"),
        };
        let op = match op.as_str() {
            "pr" => return Ok(Filter::Present(path)),
            "eq" => Op::Eq,
            "ne" => Op::Ne,
            "sw" => Op::StartsWith,
            "co" => Op::Contains,
            _ => return Err("The operator is not known"),
        };
        match self.next() {
            Some(Token::Text(value)) => Ok(Filter::Test { path, op, value: value.clone() }),
            _ => Err("A quoted value is missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn passes(filter: &str) -> bool {
        let event = json!({
            "eventType": "system.sms.send_factor_verify_message",
            "outcome": {"result": "SUCCESS"},
            "target": [{"id": "a"}, {"id": "b"}],
        });
        Filter::read(filter).unwrap().passes(&event)
    }

    #[test]
    fn filters_are_read_with_their_precedence() {
        assert!(passes("eventType sw \"system.sms.send\""));
        assert!(passes("eventType eq \"inline_hook.executed\" or eventType sw \"system.sms.send\""));
        assert!(passes("outcome.result eq \"success\" and (eventType co \"nothing\" or target.id eq \"b\")"));
        assert!(!passes("not (eventType pr)"));
        assert!(passes("eventType eq \"x\" and eventType eq \"y\" or outcome.result ne \"FAILURE\""));
    }

    #[test]
    fn filters_that_cannot_be_read_say_why() {
        for bad in [
            "",
            "eventType",
            "eventType eq",
            "eventType eq x",
            "eventType is \"x\"",
            "published gt \"2020\"",
            "nothing eq \"x\"",
            "(eventType pr",
            "eventType pr eventType pr",
            "eventType eq \"x",
        ] {
            assert!(Filter::read(bad).is_err(), "{bad}");
        }
        let deep = "(".repeat(100) + "eventType pr";
        assert!(Filter::read(&deep).is_err());
    }
}
