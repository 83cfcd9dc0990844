//! Passcodes that people ask for all the time, several a second, while something happens.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::json;

use crate::stage::{Sent, Stage};

/// How many people ask at once.
const PEOPLE: usize = 3;

/// How long each waits between two passcodes: three or more a second are asked for in all.
const PAUSE: Duration = Duration::from_millis(300);

/// How many are asked for before what happens and after it, so that it happens under load.
const AROUND: usize = 15;

/// One passcode, and when it was asked for.
pub struct Asked {
    pub from: Timestamp,
    pub until: Timestamp,
    pub sent: Sent,
}

impl Asked {
    /// Whether the hook that Okta calls delivered it.
    pub fn by_hook(&self) -> bool {
        (self.sent.text("status"), self.sent.text("delivery")) == ("SUCCESSFUL", "hook")
    }
}

/// Ends the load, also when what happens meanwhile fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All that was asked for while something happened, a while before it and after it, by whom it was asked for first.
pub fn during(stage: &Stage, patience: Duration, happens: impl FnOnce()) -> Vec<Asked> {
    let (ended, next, all) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let lock = || all.lock().unwrap_or_else(PoisonError::into_inner);
    let person = || {
        while !ended.load(Ordering::Relaxed) {
            let from = Timestamp::now();
            let sent = stage.send(&number(next.fetch_add(1, Ordering::Relaxed)), json!({}));
            lock().push(Asked { from, until: Timestamp::now(), sent });
            thread::sleep(PAUSE);
        }
    };
    thread::scope(|scope| {
        let _end = End(&ended);
        for _ in 0..PEOPLE {
            scope.spawn(person);
        }
        let more = |what: &str| {
            let before = lock().len();
            stage.until(what, patience, || lock().len() >= before + AROUND);
        };
        more("passcodes are asked for");
        happens();
        more("passcodes are asked for afterwards");
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers that belong to nobody, each another person's.
fn number(of: usize) -> String {
    const AREAS: [&str; 8] = ["202", "212", "303", "312", "404", "415", "512", "617"];
    format!("+1{}55501{:02}", AREAS[of / 100 % AREAS.len()], of % 100)
}
