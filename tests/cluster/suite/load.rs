//! Passcodes that people ask for all the time, at a stated rate, while something happens.

use std::time::Duration;

use hookswitch_sandbox::okta::Asked;
use serde_json::{Value, json};

use crate::stage::Stage;

/// Passcodes a second. Each is asked for when it is due, whatever became of those before.
pub const PER_SECOND: u64 = 10;

/// How many are asked for before what happens and after it, so that it happens under load.
pub const AROUND: u64 = 15;

const PATH: &str = "/v1/orgs/acme/traffic";

/// People who log in, until [`during`] ends them.
pub struct Load<'s> {
    stage: &'s Stage,
    patience: Duration,
}

impl Load<'_> {
    /// How many passcodes have been asked for; the sandbox waits a while for so many.
    fn asked(&self, enough: u64) -> u64 {
        let asked = self.stage.control("GET", &format!("{PATH}?asked={enough}"), &Value::Null);
        asked["asked"].as_u64().unwrap_or_else(|| panic!("nobody logs in: {asked}"))
    }

    /// Waits until so many more passcodes have been asked for.
    pub fn more(&self, passcodes: u64) {
        let enough = self.asked(0) + passcodes;
        let what = format!("{passcodes} more passcodes are asked for");
        self.stage.until(&what, self.patience, || self.asked(enough) >= enough);
    }
}

/// All that was asked for while something happened, a while before it and after it, by when each was due. Whatever happens has
/// `Stage::calm` end it.
pub fn during(stage: &Stage, patience: Duration, happens: impl FnOnce(&Load<'_>)) -> Vec<Asked> {
    let begun = stage.control("POST", PATH, &json!({ "perSecond": PER_SECOND }));
    assert_eq!(begun["perSecond"], PER_SECOND, "{begun}");
    let load = Load { stage, patience };
    load.more(AROUND);
    happens(&load);
    load.more(AROUND);
    end(stage).unwrap_or_else(|answer| panic!("the load cannot be ended: {answer}"))
}

/// Ends what load there is, and waits for those who still wait for their passcode.
pub fn end(stage: &Stage) -> Result<Vec<Asked>, Value> {
    let answer = stage.control("DELETE", PATH, &Value::Null);
    serde_json::from_value(answer.clone()).map_err(|_| answer)
}

/// Tells how it went, and fails unless everybody got one message by the hook, in time.
pub fn nobody_lost(all: &[Asked]) {
    let lost: Vec<String> = all.iter().filter_map(|asked| Some(format!("{} {}", asked.due, asked.lost()?))).collect();
    let slowest = all.iter().map(|asked| asked.ms).max().unwrap_or_default();
    println!(
        "     {} asked, {PER_SECOND} a second: {} SUCCESSFUL by the hook in time and one message each, the slowest after \
         {slowest} ms; {} lost",
        all.len(),
        all.len() - lost.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "{} lost of {}: {lost:#?}", lost.len(), all.len());
}
