//! Enough of TwiML to know what a call says: `<Response>` of `<Say>` and `<Pause>`.
//! Anything else, or XML that is not well-formed, is refused.

/// What a call says, and how often.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Speech {
    pub(super) text: String,
    pub(super) times: u32,
}

/// What is wrong with a document. Never holds any of its text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TwimlError {
    #[error("a tag is not closed, or closes another")]
    Tags,
    #[error("an entity is not one of XML's five, or a character reference")]
    Entity,
    #[error("an element or attribute is not known here")]
    Unknown,
    #[error("text outside <Say>")]
    StrayText,
    #[error("a value has the wrong type")]
    Value,
    #[error("nothing is said")]
    Silent,
}

/// Reads a whole document.
pub(super) fn read(document: &str) -> Result<Speech, TwimlError> {
    let mut rest = document.trim();
    if let Some(declared) = rest.strip_prefix("<?xml") {
        let (_, after) = declared.split_once("?>").ok_or(TwimlError::Tags)?;
        rest = after.trim_start();
    }
    let (response, mut rest) = tag(rest)?;
    if response.name != "Response" || response.closes || !response.attributes.is_empty() {
        return Err(TwimlError::Unknown);
    }
    if response.is_empty {
        return Err(TwimlError::Silent);
    }
    let mut said = Vec::new();
    let mut times = 0;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with('<') {
            return Err(if rest.is_empty() { TwimlError::Tags } else { TwimlError::StrayText });
        }
        let (element, after) = tag(rest)?;
        rest = after;
        match (element.name, element.closes) {
            ("Response", true) => break,
            ("Pause", false) => {
                element.check(|name, value| name == "length" && value.parse::<u32>().is_ok())?;
                if !element.is_empty {
                    rest = closing(rest.trim_start(), "Pause")?;
                }
            }
            ("Say", false) if !element.is_empty => {
                let mut loops = 1;
                element.check(|name, value| match name {
                    "loop" => value.parse().map(|n| loops = n).is_ok(),
                    "voice" | "language" => !value.is_empty(),
                    _ => false,
                })?;
                let end = rest.find('<').ok_or(TwimlError::Tags)?;
                let text = unescaped(&rest[..end])?;
                rest = closing(&rest[end..], "Say")?;
                said.push(text.trim().to_owned());
                times = times.max(loops);
            }
            _ => return Err(TwimlError::Unknown),
        }
    }
    if !rest.trim().is_empty() {
        return Err(TwimlError::StrayText);
    }
    let text = said.join(" ");
    if text.trim().is_empty() {
        return Err(TwimlError::Silent);
    }
    Ok(Speech { text, times })
}

struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, String)>,
    closes: bool,
    is_empty: bool,
}

impl Tag<'_> {
    fn check(&self, mut is_known: impl FnMut(&str, &str) -> bool) -> Result<(), TwimlError> {
        for (name, value) in &self.attributes {
            if !is_known(name, value) {
                return Err(TwimlError::Value);
            }
        }
        Ok(())
    }
}

fn closing<'a>(rest: &'a str, name: &str) -> Result<&'a str, TwimlError> {
    let (end, after) = tag(rest)?;
    if end.closes && end.name == name { Ok(after) } else { Err(TwimlError::Tags) }
}

/// Reads one tag; answers it and what follows.
fn tag(text: &str) -> Result<(Tag<'_>, &str), TwimlError> {
    let inner = text.strip_prefix('<').ok_or(TwimlError::Tags)?;
    let (closes, inner) = match inner.strip_prefix('/') {
        Some(inner) => (true, inner),
        None => (false, inner),
    };
    let name_end = inner.find(|c: char| !c.is_ascii_alphanumeric()).ok_or(TwimlError::Tags)?;
    let name = &inner[..name_end];
    if name.is_empty() {
        return Err(TwimlError::Tags);
    }
    let mut rest = &inner[name_end..];
    let mut attributes = Vec::new();
    loop {
        let spaced = rest.starts_with(|c: char| c.is_ascii_whitespace());
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            let tag = Tag { name, attributes, closes, is_empty: false };
            return Ok((tag, after));
        }
        if let Some(after) = rest.strip_prefix("/>") {
            if closes {
                return Err(TwimlError::Tags);
            }
            let tag = Tag { name, attributes, closes, is_empty: true };
            return Ok((tag, after));
        }
        if closes || !spaced {
            return Err(TwimlError::Tags);
        }
        let (key, after) = rest.split_once('=').ok_or(TwimlError::Tags)?;
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(TwimlError::Tags)?;
        let (value, after) = after[1..].split_once(quote).ok_or(TwimlError::Tags)?;
        if value.contains('<') || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(TwimlError::Tags);
        }
        attributes.push((key, unescaped(value)?));
        rest = after;
    }
}

fn unescaped(text: &str) -> Result<String, TwimlError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';').ok_or(TwimlError::Entity)?;
        let reference = |digits: &str, radix| {
            u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).ok_or(TwimlError::Entity)
        };
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            other => match (other.strip_prefix("#x"), other.strip_prefix('#')) {
                (Some(hex), _) => reference(hex, 16)?,
                (None, Some(decimal)) => reference(decimal, 10)?,
                (None, None) => return Err(TwimlError::Entity),
            },
        });
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passcode_call_is_heard_with_its_repeats() {
        let speech = read(
            "<?xml version=\"1.0\"?><Response><Pause length='1'/><Say language=\"en-US\" loop=\"2\">Code &amp; &#49;, 2</Say></Response>",
        );
        assert_eq!(speech, Ok(Speech { text: "Code & 1, 2".to_owned(), times: 2 }));
    }

    #[test]
    fn documents_that_are_not_well_formed_or_not_known_are_refused() {
        for (document, wrong) in [
            ("<Response><Say>a & b</Say></Response>", TwimlError::Entity),
            ("<Response><Say>a</Response>", TwimlError::Tags),
            ("<Response><Say>a</Say>", TwimlError::Tags),
            ("<Response>a</Response>", TwimlError::StrayText),
            ("<Response><Dial>1</Dial></Response>", TwimlError::Unknown),
            ("<Response/>", TwimlError::Silent),
            ("<Response><Say> </Say></Response>", TwimlError::Silent),
            ("<Response><Say loop=\"x\">a</Say></Response>", TwimlError::Value),
            ("Your code", TwimlError::Tags),
            ("<Response><Say>a</Say></Response><x", TwimlError::StrayText),
        ] {
            assert_eq!(read(document), Err(wrong), "{document}");
        }
    }
}
