//! Which hook was active when, by the org's own record: what no check from outside can miss.

use hookswitch_sandbox::okta::{By, Turn};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::stage::Stage;

/// No swap of ours leaves the org without an active hook for longer, on whatever machine, unless a scenario holds it up.
const LONGEST_GAP: SignedDuration = SignedDuration::from_secs(5);

/// Every change of which telephony hooks are active, oldest first.
pub fn turns(stage: &Stage) -> Vec<Turn> {
    let turns = stage.control("GET", "/v1/orgs/acme/turns", &Value::Null);
    serde_json::from_value(turns).expect("the sandbox answers with its turns")
}

/// The changes since then.
pub fn turns_since(stage: &Stage, then: Timestamp) -> Vec<Turn> {
    turns(stage).into_iter().filter(|turn| turn.at > then).collect()
}

/// A time without an active telephony hook, that ended.
pub struct Gap {
    began: Timestamp,
    pub lasted: SignedDuration,
    /// Whether the operator both began and ended it: then it is the inside of a swap.
    ours: bool,
}

impl Gap {
    /// Whether something that lasted from then until then was under way within it.
    pub fn meets(&self, from: Timestamp, until: Timestamp) -> bool {
        from <= self.began + self.lasted && until >= self.began
    }
}

/// The times without an active hook.
pub fn gaps(turns: &[Turn]) -> Vec<Gap> {
    let pairs = turns.windows(2).filter(|pair| pair[0].active.is_empty());
    let gap = |pair: &[Turn]| Gap {
        began: pair[0].at,
        lasted: pair[1].at.duration_since(pair[0].at),
        ours: pair.iter().all(|turn| turn.by == By::Client),
    };
    pairs.map(gap).collect()
}

fn is_ours(name: &&String) -> bool {
    name.starts_with("Acme passcodes")
}

/// Replays a run in which nothing was swapped.
pub fn always_one(stage: &Stage) {
    let turns = turns(stage);
    never_two(&turns);
    let gaps = gaps(&turns).len();
    println!("     {} changes, never two of ours, never none", turns.len());
    assert_eq!(gaps, 0, "no hook was active: {turns:#?}");
}

fn never_two(turns: &[Turn]) {
    let two = turns.iter().position(|turn| turn.active.iter().filter(is_ours).count() > 1);
    let around = two.map(|at| &turns[at.saturating_sub(4)..turns.len().min(at + 3)]);
    assert!(around.is_none(), "two hooks of ours were active: {around:#?}");
}

/// Replays the whole run.
pub fn one_at_a_time(stage: &Stage) {
    let turns = turns(stage);
    never_two(&turns);
    let gaps = gaps(&turns);
    let (swaps, others): (Vec<Gap>, Vec<Gap>) = gaps.into_iter().partition(|gap| gap.ours);
    let (held, free): (Vec<&Gap>, Vec<&Gap>) =
        swaps.iter().partition(|gap| stage.holds.any(gap.began, gap.began + gap.lasted));
    let longest = |gaps: &[&Gap]| gaps.iter().map(|gap| gap.lasted.as_millis()).max().unwrap_or_default();
    println!(
        "     {} changes, never two of ours; {} swaps, the longest without an active hook for {} ms",
        turns.len(),
        free.len(),
        longest(&free)
    );
    println!(
        "     {} more in which a scenario held Okta's answer, at most {} ms; {} times somebody else began or ended it",
        held.len(),
        longest(&held),
        others.len()
    );
    assert!(!free.is_empty(), "nothing was swapped");
    let long: Vec<String> = free
        .iter()
        .filter(|gap| gap.lasted > LONGEST_GAP)
        .map(|gap| format!("{} for {}", gap.began, gap.lasted))
        .collect();
    assert!(long.is_empty(), "no active hook, and nobody held it up: {long:?}");
}
