//! What a switch took, for the table in docs/reference/defaults-and-timing.md.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{FIRST, PATIENCE, STANDBY, status};
use crate::{
    record::{gaps, turns_since},
    stage::Stage,
};

/// What a machine that is busy with other things may add to an aim before a scenario fails.
const SLACK: Duration = Duration::from_secs(10);

/// How soon after an outage the standby is to be active: `fall × interval + timeout + delay + 2 s`, in seconds.
#[derive(Clone, Copy)]
pub struct Aim {
    /// Between two checks of whoever sees the outage.
    pub interval: u64,
    /// What one check may take.
    pub timeout: u64,
}

impl Aim {
    /// Of everybody who checks, and of the switch in examples/sandbox-standby.
    const FALL: u64 = 3;
    const DELAY: u64 = 2;
    const REST: u64 = 2;

    const fn time(self) -> Duration {
        Duration::from_secs(Self::FALL * self.interval + self.timeout + Self::DELAY + Self::REST)
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interval, timeout } = self;
        let timeout = if *timeout == 0 { String::new() } else { format!("{timeout} s + ") };
        let (fall, delay, rest, all) = (Self::FALL, Self::DELAY, Self::REST, self.time().as_secs());
        write!(f, "{fall} × {interval} s + {timeout}{delay} s + {rest} s = {all} s")
    }
}

/// Waits until the standby is active, and returns how long after the outage it was, by Okta's own record.
pub fn taken_over(stage: &Stage, outage: Timestamp) -> Duration {
    taken_over_by(stage, STANDBY, outage)
}

/// The same for a hook of that name in Okta.
pub fn taken_over_by(stage: &Stage, hook: &str, outage: Timestamp) -> Duration {
    let mut at = None;
    stage.until(&format!("{hook} is active"), PATIENCE, || {
        let turns = turns_since(stage, outage);
        at = turns.iter().find(|turn| turn.active == [hook]).map(|turn| turn.at);
        at.is_some()
    });
    let took = at.unwrap_or(outage).duration_since(outage);
    took.unsigned_abs()
}

/// The switch that ended last, as the history has it.
pub fn last_record(stage: &Stage) -> Value {
    status(stage)["history"].as_array().and_then(|all| all.last().cloned()).unwrap_or_default()
}

/// From the decision of a switch to Okta's confirmation.
pub fn confirmed(record: &Value) -> Duration {
    record["tookMs"].as_u64().map(Duration::from_millis).unwrap_or_else(|| panic!("no switch: {record}"))
}

/// What one switch took.
pub struct Row {
    /// From the decision to Okta's confirmation.
    pub confirmed: Duration,
    /// Without an active hook; nothing for a hook that was never inactive.
    pub gap: Option<SignedDuration>,
}

/// Prints a row for the switch that began after the outage: what it took beside what it may take, and which calls it made.
pub fn row(stage: &Stage, fault: &str, (took, aim): (Duration, Aim), outage: Timestamp) -> Row {
    stage.until("the switch ended", PATIENCE, || status(stage)["switching"].is_null());
    let record = last_record(stage);
    let confirmed = confirmed(&record);
    let ended = record["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect("when the switch ended");
    let steps = record["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let calls: Vec<&str> =
        steps.iter().filter_map(|step| step["step"].as_str()).filter(|step| *step != "Record").collect();

    let turns = turns_since(stage, outage);
    let expected: &[&[&str]] = if turns.is_empty() { &[] } else { &[&[], &[STANDBY]] };
    assert!(turns.iter().map(|turn| &turn.active[..]).eq(expected.iter().copied()), "from {FIRST}: {turns:?}");
    let gap = gaps(&turns).first().map(|gap| gap.lasted);
    let effect = turns.last().map_or(ended, |turn| turn.at);
    let decided = took.saturating_sub(effect.duration_since(ended - confirmed).unsigned_abs());

    let met = if took <= aim.time() { "met" } else { "missed" };
    let without = gap.map_or("no time".to_owned(), |gap| format!("{} ms", gap.as_millis()));
    println!(
        "TABLE | {fault} | {aim} | {:.1} s | {:.1} s, {met} | {} ms | {without} | {}: {} |",
        decided.as_secs_f64(),
        took.as_secs_f64(),
        confirmed.as_millis(),
        calls.len(),
        calls.join(", ")
    );
    assert!(took <= aim.time() + SLACK, "{took:?} instead of {aim}");
    Row { confirmed, gap }
}
