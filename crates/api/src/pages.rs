//! Reference pages made from the program, so that they cannot say something else than it does.

use std::fmt::Write as _;

use super::reason::{DOCUMENTED, Documented};

/// The pages, as file names with their texts.
#[must_use]
pub fn files() -> Vec<(String, String)> {
    vec![("conditions.md".to_owned(), conditions())]
}

fn conditions() -> String {
    let mut page = String::from(
        "<!-- Made by `hookswitch reference --dir docs/reference`; do not edit. -->\n\n\
         # Conditions and their reasons\n\n\
         A reason is part of the API and never renamed: scripts and alerts may match on it. Messages may change.\n\
         `Reconciling` and `Stalled` are what kstatus reads: an object is done when it is `Ready` and has neither.\n",
    );
    for documented in DOCUMENTED {
        section(&mut page, &documented);
    }
    page
}

fn section(page: &mut String, documented: &Documented) {
    // writing to a String does not fail
    let _ = writeln!(
        page,
        "\n## {}\n\n{}\n\n| reason | what it says |\n| --- | --- |",
        documented.condition,
        documented.about.trim()
    );
    for (reason, says) in documented.reasons {
        let _ = writeln!(page, "| `{reason}` | {} |", says.trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_pages_in_the_repository_are_fresh() {
        for (name, text) in files() {
            let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference")).join(&name);
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == text, "docs/reference/{name} is not what the program says: run make generate");
        }
    }

    #[test]
    fn no_reason_is_documented_twice_and_each_says_something() {
        for documented in DOCUMENTED {
            let mut reasons: Vec<&str> = documented.reasons.iter().map(|(reason, _)| *reason).collect();
            reasons.sort_unstable();
            reasons.dedup();
            assert_eq!(reasons.len(), documented.reasons.len(), "{}", documented.condition);
            assert!(documented.reasons.iter().all(|(_, says)| says.trim().ends_with('.')), "{}", documented.condition);
        }
    }
}
