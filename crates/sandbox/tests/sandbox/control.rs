//! The control API and the command line over it.

use std::process::Stdio;

use clap::Parser as _;
use hookswitch_sandbox::cli::Cli;
use serde_json::{Value, json};

use crate::scene::{HANDSET, Says, Scene, got};

impl Scene {
    fn control(&self, path: &str) -> String {
        format!("http://{}{path}", self.sandbox.control_addr().unwrap())
    }

    /// Runs a command line against the scene; its output, or its error.
    pub(crate) async fn run(&self, line: &str) -> Result<String, String> {
        let control = self.control("");
        let words = ["hookswitch-sandbox", "--control", &control].into_iter().chain(line.split_whitespace());
        let mut out = Vec::new();
        Cli::try_parse_from(words).map_err(|e| e.to_string())?.run(&mut out).await.map_err(|e| format!("{e:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }
}

#[tokio::test]
async fn a_person_sends_a_passcode_and_reads_it_in_the_inbox() {
    let scene = Scene::new().await;
    let answered = scene.run(&format!("send --to {HANDSET} --code 482913")).await.unwrap();
    assert!(answered.contains("no hook is active"), "{answered}");
    let inbox = scene.run(&format!("inbox --to {HANDSET}")).await.unwrap();
    assert!(inbox.contains("482913") && inbox.contains("via okta"), "{inbox}");
    let json: Value = serde_json::from_str(&scene.run("inbox --json --clear").await.unwrap()).unwrap();
    assert_eq!(json[0]["code"], "482913");
    assert!(scene.run("inbox").await.unwrap().contains("no messages"));
}

#[tokio::test]
async fn a_send_says_what_the_hook_answered() {
    let scene = Scene::new().await;
    let _hook = scene.hooked(Says::successful()).await;
    let answered = scene.run(&format!("send --to {HANDSET}")).await.unwrap();
    for word in ["delivered by the hook", "standing", "SUCCESSFUL", "TWILIO", "SM1", " ms"] {
        assert!(answered.contains(word), "{word} in {answered}");
    }
    let json: Value = serde_json::from_str(&scene.run(&format!("send --to {HANDSET} --json")).await.unwrap()).unwrap();
    assert_eq!(json["delivery"], "hook");
    assert_eq!(json["hook"]["status"], "SUCCESSFUL");
    let hooks = scene.run("hooks").await.unwrap();
    assert!(hooks.contains("ACTIVE") && hooks.contains("X-Env: test"), "{hooks}");
    let log = scene.run("log").await.unwrap();
    assert!(log.contains("system.sms.send_factor_verify_message"), "{log}");
    let calls = scene.run("calls").await.unwrap();
    assert!(calls.contains("/api/v1/inlineHooks"), "{calls}");
}

#[tokio::test]
async fn a_fault_is_set_shown_and_cleared() {
    let scene = Scene::new().await;
    let set = scene.run("fault twilio slow --ms 700 --country SE --times 3").await.unwrap();
    assert!(set.contains("700") && set.contains("+46") && set.contains('3'), "{set}");
    assert_eq!(scene.sandbox.provider("twilio").unwrap().faults().len(), 1);
    let cleared = scene.run("fault twilio clear").await.unwrap();
    assert!(cleared.contains("healthy"), "{cleared}");
    let unknown = scene.run("fault nobody down").await.unwrap_err();
    assert!(unknown.contains("no such provider"), "{unknown}");
}

#[tokio::test]
async fn a_sandbox_that_is_not_there_is_an_error_without_the_number() {
    let line = ["hookswitch-sandbox", "--control", "http://127.0.0.1:1", "inbox", "--to", HANDSET];
    let error = Cli::try_parse_from(line).unwrap().run(&mut Vec::new()).await.unwrap_err();
    let shown = format!("{error:?}");
    assert!(shown.contains("speaking to the sandbox"), "{shown}");
    assert!(!shown.contains("46701234567"), "{shown}");
}

#[tokio::test]
async fn the_control_api_sets_behaviour_faults_and_holds() {
    let scene = Scene::new().await;
    let health = scene.http.get(scene.control("/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    let ask = |request: reqwest::RequestBuilder, body: Value| async move {
        got(request.body(body.to_string())).await.unwrap()
    };
    let behaviour = scene.control("/v1/orgs/acme/behaviour");
    let changed = ask(scene.http.patch(&behaviour), json!({"secondActivation": "takes-over"})).await;
    assert_eq!(changed.body["secondActivation"], "takes-over");
    assert_eq!(changed.body["fallbackPerMinute"], 5, "the rest stays");
    let unknown = ask(scene.http.patch(&behaviour), json!({"secondActivaton": "x"})).await;
    assert_eq!(unknown.status, 400);
    let faults = scene.control("/v1/orgs/acme/faults");
    let fault = json!({"call": "list", "when": "before", "fault": {"kind": "status", "status": 500}});
    assert_eq!(ask(scene.http.post(&faults), fault).await.status, 200);
    let listed = scene.okta(reqwest::Method::GET, "/api/v1/inlineHooks", None).await;
    assert_eq!(listed.status, 500);
    let hold = json!({"call": "logs", "when": "after"});
    let made = ask(scene.http.post(scene.control("/v1/orgs/acme/holds")), hold).await;
    let hold = scene.control(&format!("/v1/holds/{}", made.body["hold"]));
    let reading = tokio::spawn({
        let request =
            scene.http.get(scene.url("/api/v1/logs")).header("authorization", format!("SSWS {}", crate::scene::TOKEN));
        async move { got(request).await.unwrap().status }
    });
    while got(scene.http.get(&hold)).await.unwrap().body["arrivals"] == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(!reading.is_finished());
    assert_eq!(got(scene.http.delete(&hold)).await.unwrap().status, 200);
    assert_eq!(reading.await.unwrap(), 200);
    assert_eq!(got(scene.http.delete(&hold)).await.unwrap().status, 404);
}

#[tokio::test]
async fn each_change_of_the_active_hook_is_written_down_with_its_time_and_author() {
    let scene = Scene::new().await;
    let begun = jiff::Timestamp::now();
    let id = scene.create(&crate::scene::telephony("ours", "https://ours.example.com/")).await.id();
    let lifecycle = format!("/api/v1/inlineHooks/{id}/lifecycle");
    scene.post(&format!("{lifecycle}/activate")).await;
    scene.org().admin(reqwest::Method::POST, &format!("{lifecycle}/deactivate"), &Value::Null).await;
    scene.post(&format!("{lifecycle}/activate")).await;
    let turns = got(scene.http.get(scene.control("/v1/orgs/acme/turns"))).await.unwrap().body;
    let turns: Vec<hookswitch_sandbox::okta::Turn> = serde_json::from_value(turns).unwrap();
    let answered: Vec<Value> = turns.iter().map(|turn| json!([turn.by, turn.active])).collect();
    let expected = [json!(["client", ["ours"]]), json!(["admin", []]), json!(["client", ["ours"]])];
    let shown = scene.run("turns").await.unwrap();
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(shown.contains("by admin   none") && shown.contains("by client  ours"), "{shown}");
    assert_eq!(answered, expected, "an activation that changes nothing is none");
    assert!(turns.is_sorted_by_key(|turn| turn.at) && turns[0].at >= begun, "{turns:?}");
}

#[tokio::test]
async fn someone_else_changes_a_hook_behind_the_clients_back() {
    let scene = Scene::new().await;
    let body = json!({"method": "POST", "path": "/api/v1/inlineHooks",
                      "body": crate::scene::telephony("foreign", "https://other.example.com/")});
    let request = scene.http.post(scene.control("/v1/orgs/acme/admin")).body(body.to_string());
    let done = got(request).await.unwrap();
    assert_eq!(done.body["status"], 200);
    assert_eq!(scene.org().hooks()[0]["name"], "foreign");
    assert!(scene.org().calls().is_empty(), "it is not counted as the client's call");
}

#[tokio::test]
async fn a_send_the_control_api_cannot_read_is_refused_without_repeating_it() {
    let scene = Scene::new().await;
    for body in
        [json!({"to": HANDSET, "cod": "482913"}), json!({"to": ""}), json!({"to": HANDSET, "requestType": 482_913})]
    {
        let request = scene.http.post(scene.control("/v1/send")).body(body.to_string());
        let refused = got(request).await.unwrap();
        assert_eq!(refused.status, 400);
        let shown = refused.body.to_string();
        assert!(!shown.contains("482913") && !shown.contains(HANDSET), "{shown}");
    }
    assert!(scene.sandbox.inbox().messages(None).is_empty());
}

#[tokio::test]
async fn the_binary_serves_keeps_its_authority_and_logs_no_message() {
    let dir = std::env::temp_dir().join(format!("hookswitch-sandbox-{}", std::process::id()));
    let binary = env!("CARGO_BIN_EXE_hookswitch-sandbox");
    let made = std::process::Command::new(binary)
        .args(["certs", "--host", "otp.example.com", "127.0.0.1", "--name", "gateway", "--dir"])
        .arg(&dir)
        .output()
        .unwrap();
    assert!(made.status.success());
    for file in ["ca.crt", "ca.key", "gateway.crt", "gateway.key"] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = tokio::process::Command::new(binary)
        .args(["serve", "--okta-listen", "127.0.0.1:0", "--carrier-listen", "127.0.0.1:0"])
        .args(["--org", "acme:org-token-value", "--json-account", "json:json-token-value"])
        .arg("--control-listen")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--tls-dir")
        .arg(&dir)
        .env("HOOKSWITCH_SANDBOX_LOG", "trace")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let base = format!("http://127.0.0.1:{port}");
    for _ in 0..100 {
        if http.get(format!("{base}/healthz")).send().await.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let passcode = json!({"to": HANDSET, "code": "a1b2c3d4e5f6"}).to_string();
    let sent = got(http.post(format!("{base}/v1/send")).body(passcode)).await.unwrap();
    assert_eq!(sent.body["delivery"], "okta");
    let ca = got(http.get(format!("{base}/v1/ca"))).await.unwrap();
    let kept = std::fs::read_to_string(dir.join("ca.crt")).unwrap();
    assert_eq!(ca.body["pem"], kept);
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    let asked = std::process::Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(asked.success());
    let output = child.wait_with_output_bounded().await;
    assert!(output.contains("delivered"), "{output}");
    for secret in ["a1b2c3d4e5f6", "46701234567", "org-token-value", "json-token-value"] {
        assert!(!output.contains(secret), "{secret}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

trait Bounded {
    /// What a child wrote to its error stream until it ended by itself.
    async fn wait_with_output_bounded(&mut self) -> String;
}

impl Bounded for tokio::process::Child {
    async fn wait_with_output_bounded(&mut self) -> String {
        use tokio::io::AsyncReadExt as _;
        let mut text = String::new();
        let mut stderr = self.stderr.take().unwrap();
        let ended = async {
            stderr.read_to_string(&mut text).await.unwrap();
            self.wait().await.unwrap()
        };
        let status = tokio::time::timeout(std::time::Duration::from_secs(5), ended)
            .await
            .expect("the sandbox stops when it is told to");
        assert!(status.success());
        text
    }
}
