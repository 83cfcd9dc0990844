//! The search for what must never be written.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The forms in which a secret text could hide in an output.
///
/// Base64 of a text inside a longer one depends on where it begins, so that form is searched for at three offsets, without
/// the characters that the neighbours decide about.
pub fn forms(secret: &str) -> Vec<(&'static str, String)> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let url: String = secret
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let mut forms =
        vec![("as it is", secret.to_owned()), ("in hex", hex.clone()), ("in upper-case hex", hex.to_uppercase())];
    if url != secret {
        forms.push(("URL-escaped", url));
        forms.push((
            "JSON-escaped",
            secret.chars().map(|c| if c == '+' { "\\u002b".to_owned() } else { c.to_string() }).collect(),
        ));
    }
    for offset in 0..3 {
        let padded = [vec![0_u8; offset], secret.as_bytes().to_vec()].concat();
        let encoded = STANDARD.encode(&padded);
        let head = (offset * 8).div_ceil(6);
        let whole = (padded.len() * 8) / 6;
        forms.push(("in base64", encoded[head..whole].to_owned()));
    }
    forms
}

/// Which secrets are in the text, and in which form.
pub fn search<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut found = Vec::new();
    for secret in secrets {
        for (form, needle) in forms(secret) {
            if let Some(at) = text.find(&needle) {
                let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
                let shown: String = text[line..end].chars().take(300).collect();
                found.push(format!("{secret} {form}: {shown}"));
            }
        }
    }
    found
}

/// The search must be able to find: a planted secret in each form.
pub fn prove_the_search_finds() {
    let secret = "k3Xq9ZpLm2Vw";
    for offset in 0..3 {
        let planted = STANDARD.encode([vec![b'x'; offset], secret.as_bytes().to_vec(), b"tail".to_vec()].concat());
        assert!(!search(&planted, [secret]).is_empty(), "base64 at offset {offset} is not found");
    }
    for (form, text) in forms(secret) {
        assert!(!search(&format!("before {text} after"), [secret]).is_empty(), "{form} is not found");
    }
    assert!(search("nothing here", [secret]).is_empty());
}
