//! Whether objects stay Ready: every state of them that the API server reports, none between two reads missed.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::stage::{Stage, TELEPHONY};

/// What must stay Ready while another hook takes over.
const KINDS: [&str; 2] = ["hookswitches", "telephonyhooks"];

/// Watches the switch and its hooks until it is dropped.
pub struct Watch {
    watching: Vec<(Child, PathBuf)>,
}

/// One state of an object.
pub struct State {
    /// `<kind>/<name>`.
    pub object: String,
    /// Status and reason of the condition `Ready`.
    pub ready: String,
    /// Of a switch.
    pub phase: String,
}

impl Watch {
    pub fn begin(stage: &Stage) -> Self {
        let watching = KINDS.map(|kind| {
            let log = stage.work.join(format!("watch-{kind}"));
            let path = format!("/apis/hookswitch.dev/v1alpha1/namespaces/{TELEPHONY}/{kind}?watch=true");
            let into = File::create(&log).expect("the run's folder can be written to");
            let child =
                Command::new("kubectl").args(["get", "--raw", &path]).stdout(into).stderr(Stdio::null()).spawn();
            (child.expect("kubectl runs"), log)
        });
        Self { watching: watching.into() }
    }

    /// Every state so far, of each object in its order.
    pub fn states(&self) -> Vec<State> {
        let texts = self.watching.iter().map(|(_, log)| fs::read_to_string(log).expect("what was seen can be read"));
        let all: Vec<State> = texts.flat_map(|text| text.lines().filter_map(state).collect::<Vec<_>>()).collect();
        for object in ["HookSwitch/acme", "TelephonyHook/acme", "TelephonyHook/acme-standby"] {
            assert!(all.iter().any(|state| state.object == object), "{object} was not watched");
        }
        all
    }

    /// Ends, and says that everything was Ready all the time.
    pub fn all_ready(mut self) {
        for (child, _) in &mut self.watching {
            let ended = child.try_wait().expect("kubectl can be asked");
            assert!(ended.is_none(), "the watch broke off: {ended:?}");
        }
        let states = self.states();
        let not: Vec<String> = states
            .iter()
            .filter(|state| state.ready != "True Ready")
            .map(|state| format!("{} was {}", state.object, state.ready))
            .collect();
        assert!(not.is_empty(), "{not:?}");
        println!("     Ready in each of {} states of the switch and its hooks", states.len());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for (child, _) in &mut self.watching {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One event of a watch; nothing for one that is still being written.
fn state(line: &str) -> Option<State> {
    let event: Value = serde_json::from_str(line).ok()?;
    let object = &event["object"];
    let conditions = object["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(State {
        object: format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"])),
        ready: format!("{} {}", text(&ready["status"]), text(&ready["reason"])),
        phase: text(&object["status"]["phase"]),
    })
}
