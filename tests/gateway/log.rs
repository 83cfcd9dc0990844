//! The log of the real program, when whoever reads it stops reading.

use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use hookswitch_sandbox::certs::Authority;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStderr, Command};
use tokio::time::timeout;

use crate::scene::{SECRET, Scene, Spawned, sms};

/// Long enough for anything that does not wait for a reader.
const SOON: Duration = Duration::from_secs(20);

type Lines = tokio::io::Lines<BufReader<ChildStderr>>;

struct Piped {
    scene: Scene,
    gateway: Spawned,
    lines: Lines,
    http: reqwest::Client,
}

impl Piped {
    /// A gateway whose log goes into a pipe that is read when the test reads it.
    async fn new() -> Self {
        let scene = Scene::new().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookswitch"));
        command.stderr(Stdio::piped());
        let mut gateway = scene.spawn(command).await;
        let lines = BufReader::new(gateway.process.stderr.take().unwrap()).lines();
        let http = client(scene.sandbox.authority(), &gateway);
        Self { scene, gateway, lines, http }
    }

    async fn calls(&self, name: &str, count: usize) {
        for from in (0..count).step_by(32) {
            let calls = (from..from + 32).map(|turn| self.call(format!("{name}-{turn}-{}", "e".repeat(90))));
            let answered = timeout(SOON, join_all(calls)).await.expect("answered although nobody reads the log");
            let successful = answered.iter().filter(|answer| answer.contains("SUCCESSFUL")).count();
            assert_eq!(successful, answered.len(), "answered in time although nobody reads the log");
        }
    }

    async fn call(&self, event: String) -> String {
        let url = format!("https://localhost:{}/hooks/h", self.gateway.hooks.port());
        let request = self.http.post(url).header("authorization", SECRET).body(sms(&event).to_string());
        request.send().await.unwrap().text().await.unwrap()
    }

    async fn lost(&self) -> u64 {
        let (status, text) = self.gateway.told("metrics").await.expect("metrics are told");
        assert_eq!(status, 200);
        let name = "hookswitch_log_lines_lost_total ";
        text.lines().find_map(|line| line.strip_prefix(name)).expect("the counter").parse().unwrap()
    }

    /// Reads on until a line has this message.
    async fn line(&mut self, message: &str) -> Value {
        loop {
            let line = timeout(SOON, self.lines.next_line()).await.expect("lines come").unwrap().expect("more lines");
            let line: Value = serde_json::from_str(&line).expect("whole lines alone");
            if line["message"] == message {
                return line;
            }
        }
    }

    fn asked_to_stop(&self) {
        let id = self.gateway.process.id().unwrap();
        kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    }
}

fn client(authority: &Authority, gateway: &Spawned) -> reqwest::Client {
    let trusted = reqwest::Certificate::from_pem(authority.cert_pem().as_bytes()).unwrap();
    let builder = reqwest::Client::builder().tls_certs_only([trusted]).resolve("localhost", gateway.hooks).no_proxy();
    builder.build().unwrap()
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_call_and_says_later_what_is_missing() {
    let mut piped = Piped::new().await;
    assert_eq!(piped.lost().await, 0);
    let mut rounds = 0;
    while piped.lost().await == 0 {
        piped.calls(&format!("unread-{rounds}"), 320).await;
        rounds += 1;
        assert!(rounds < 20, "a log without a bound");
    }
    piped.calls("unread-last", 32).await;
    for path in ["livez", "readyz"] {
        let (status, _) = piped.gateway.told(path).await.expect("told although nobody reads the log");
        assert_eq!(status, 200, "{path}");
    }
    let lost = piped.lost().await;
    assert!(lost > 32, "{lost}");
    let told = piped.line("log lines were dropped: nobody took them in time").await;
    assert_eq!((&told["lines"], &told["level"]), (&lost.into(), &"WARN".into()));
    piped.call("read".to_owned()).await;
    assert_eq!(piped.line("answered").await["event"], "read");
    assert_eq!(piped.lost().await, lost);
    piped.asked_to_stop();
    piped.line("stopped").await;
    assert!(timeout(SOON, piped.gateway.process.wait()).await.expect("it ends").unwrap().success());
    drop(piped.scene);
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_keep_the_program_from_ending() {
    let mut piped = Piped::new().await;
    piped.calls("unread", 640).await;
    piped.asked_to_stop();
    assert!(timeout(SOON, piped.gateway.process.wait()).await.expect("it ends").unwrap().success());
    drop(piped.scene);
}
