//! Computes `data.rs` from libphonenumber's metadata (as the crate `phonenumber` carries it, a dependency of tests alone),
//! and checks that it is fresh. After an update of that crate:
//! `UPDATE_PLAN=1 cargo test --lib routing::plan::generate`.
//!
//! libphonenumber finds the region of a shared calling code by trying each region's patterns on the whole number. Here all
//! regions' patterns run as automata side by side over every possible beginning, until only one region (or the same answer
//! whatever follows) is left: that beginning goes into the table.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
};

use phonenumber::{Metadata, metadata::DATABASE};
use regex_automata::{
    Anchored, Input,
    dfa::{Automaton, dense},
    util::primitives::StateID,
};

/// One region of a shared code: the numbers it claims.
struct Claim {
    id: String,
    numbers: dense::DFA<Vec<u32>>,
}

fn automaton(pattern: &str) -> dense::DFA<Vec<u32>> {
    dense::Builder::new()
        .configure(dense::Config::new().minimize(true).start_kind(regex_automata::dfa::StartKind::Anchored))
        .build(&format!("(?x)(?-u)^(?:{pattern})$"))
        .unwrap()
}

fn patterns(metadata: &Metadata) -> Vec<String> {
    let all = metadata.descriptors();
    [
        all.fixed_line(),
        all.mobile(),
        all.toll_free(),
        all.premium_rate(),
        all.shared_cost(),
        all.personal_number(),
        all.voip(),
        all.pager(),
        all.uan(),
        all.voicemail(),
    ]
    .into_iter()
    .flatten()
    .map(|descriptor| format!("(?:{})", descriptor.national_number().as_str()))
    .collect()
}

fn lengths(metadata: &Metadata) -> BTreeSet<u16> {
    let all = metadata.descriptors();
    [all.fixed_line(), all.mobile(), all.toll_free(), all.premium_rate(), all.shared_cost(), all.personal_number()]
        .into_iter()
        .chain([all.voip(), all.pager(), all.uan(), all.voicemail(), Some(all.general())])
        .flatten()
        .flat_map(|descriptor| descriptor.possible_length().iter().copied())
        .filter(|len| *len > 0)
        .collect()
}

impl Claim {
    fn of(metadata: &Metadata) -> Self {
        let pattern = metadata
            .leading_digits()
            .map_or_else(|| patterns(metadata).join("|"), |leading| format!("(?:{})[0-9]*", leading.as_str()));
        Self { id: metadata.id().to_owned(), numbers: automaton(&pattern) }
    }

    fn start(&self) -> StateID {
        self.numbers.start_state_forward(&Input::new("").anchored(Anchored::Yes)).unwrap()
    }

    fn accepts(&self, state: StateID) -> bool {
        self.numbers.is_match_state(self.numbers.next_eoi_state(state))
    }
}

/// What a beginning decides.
#[derive(Clone, PartialEq)]
enum Verdict {
    Nobody,
    One(String),
    Split(Vec<Verdict>),
}

fn walk(claims: &[Claim], states: &[StateID], depth: usize, seen: &mut HashMap<Vec<StateID>, Verdict>) -> Verdict {
    if let Some(known) = seen.get(states) {
        return known.clone();
    }
    let alive: Vec<_> =
        claims.iter().zip(states).filter(|(claim, state)| !claim.numbers.is_dead_state(**state)).collect();
    let ends_here = claims.iter().zip(states).find(|(claim, state)| claim.accepts(**state)).map(|(claim, _)| &claim.id);
    let verdict = match alive.as_slice() {
        [] => Verdict::Nobody,
        [(claim, _)] => Verdict::One(claim.id.clone()),
        _ if depth == 15 => ends_here.map_or(Verdict::Nobody, |id| Verdict::One(id.clone())),
        _ => {
            let next = (b'0'..=b'9').map(|digit| {
                let states: Vec<_> =
                    claims.iter().zip(states).map(|(claim, state)| claim.numbers.next_state(*state, digit)).collect();
                walk(claims, &states, depth + 1, seen)
            });
            let next: Vec<_> = next.collect();
            let mut answers: Vec<_> = next.iter().filter(|verdict| **verdict != Verdict::Nobody).collect();
            answers.dedup();
            match (answers.as_slice(), ends_here) {
                ([], None) => Verdict::Nobody,
                ([], Some(id)) => Verdict::One(id.clone()),
                ([Verdict::One(only)], None) => Verdict::One(only.clone()),
                ([Verdict::One(only)], Some(id)) if only == id => Verdict::One(only.clone()),
                _ => Verdict::Split(next),
            }
        }
    };
    seen.insert(states.to_vec(), verdict.clone());
    verdict
}

fn collect(verdict: &Verdict, prefix: &str, main: &str, found: &mut Vec<(String, String)>) {
    match verdict {
        Verdict::One(id) if id != main => found.push((prefix.to_owned(), id.clone())),
        Verdict::Split(next) => {
            for (digit, verdict) in next.iter().enumerate() {
                collect(verdict, &format!("{prefix}{digit}"), main, found);
            }
        }
        _ => {}
    }
}

/// The text of `data.rs`.
fn generate() -> String {
    let mut regions = BTreeMap::new();
    let mut codes: BTreeMap<String, (String, Vec<(String, String)>)> = BTreeMap::new();
    for code in 1..1_000_u16 {
        let Some(all) = DATABASE.by_code(&code) else { continue };
        let main = all.iter().find(|metadata| metadata.is_main_country_for_code()).unwrap_or(&all[0]);
        let mut prefixes = Vec::new();
        if all.len() > 1 {
            let claims: Vec<_> = all.iter().map(|metadata| Claim::of(metadata)).collect();
            let start: Vec<_> = claims.iter().map(Claim::start).collect();
            collect(&walk(&claims, &start, 0, &mut HashMap::new()), "", main.id(), &mut prefixes);
        }
        let main = if main.id() == "001" { "" } else { main.id() };
        codes.insert(code.to_string(), (main.to_owned(), prefixes));
        for metadata in all.into_iter().filter(|metadata| metadata.id() != "001") {
            let trunk = metadata.national_prefix().unwrap_or_default().to_owned();
            let any = automaton(&patterns(metadata).join("|"));
            let start = any.start_state_forward(&Input::new("").anchored(Anchored::Yes)).unwrap();
            let after_trunk = trunk.bytes().fold(start, |state, digit| any.next_state(state, digit));
            let then = (b'0'..=b'9').enumerate().fold(0_u16, |bits, (at, digit)| {
                if any.is_dead_state(any.next_state(after_trunk, digit)) { bits } else { bits | 1 << at }
            });
            let then = if trunk.is_empty() { 0 } else { then };
            let bits = lengths(metadata).into_iter().fold(0_u32, |bits, len| bits | 1 << len);
            regions.insert(metadata.id().to_owned(), (code, trunk, then, bits));
        }
    }

    let mut text = String::from(
        "//! Generated from libphonenumber's metadata by `generate.rs` next to this file; not to be edited.\n\n\
         use super::{Code, Region};\n\n\
         /// Regions by id.\npub(super) const REGIONS: &[Region] = &[\n",
    );
    for (id, (code, trunk, then, lengths)) in regions {
        writeln!(
            text,
            "    Region {{ id: {id:?}, code: \"{code}\", trunk: {trunk:?}, trunk_then: 0x{then:03x}, lengths: 0x{lengths:04x} }},"
        )
        .unwrap();
    }
    text.push_str("];\n\n/// Calling codes in the order of their digits.\npub(super) const CODES: &[Code] = &[\n");
    for (code, (main, prefixes)) in codes {
        write!(text, "    Code {{ digits: \"{code}\", main: {main:?}, prefixes: &[").unwrap();
        for (at, (prefix, region)) in prefixes.iter().enumerate() {
            let gap = if at % 8 == 0 { "\n        " } else { " " };
            write!(text, "{gap}({prefix:?}, {region:?}),").unwrap();
        }
        text.push_str(if prefixes.is_empty() { "] },\n" } else { "\n    ] },\n" });
    }
    text.push_str("];\n");
    text
}

#[test]
fn the_tables_are_what_libphonenumber_says_today() {
    let (made, path) = (generate(), "src/routing/plan/data.rs");
    if std::env::var_os("UPDATE_PLAN").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(kept == made, "data.rs is stale: run UPDATE_PLAN=1 cargo test --lib routing::plan::generate");
}
