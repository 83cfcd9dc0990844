//! Nothing secret shows, whatever is called.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hookswitch_gateway_config::{envelope, report};
use hookswitch_sandbox::faults::FaultKind;
use hookswitch_telemetry::{logs, testing::Lines};
use serde_json::{Value, json};

use crate::scene::{SECRET, Scene, got, refuse, sms};

/// The forms in which a text might show: as it is, set apart, as a list of bytes, in hexadecimal, in base64 at any offset.
fn forms(text: &str) -> Vec<String> {
    let hex = text.bytes().fold(String::new(), |all, byte| format!("{all}{byte:02x}"));
    let list = text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>();
    let apart = |with: &str| text.chars().map(String::from).collect::<Vec<_>>().join(with);
    let mut forms = vec![text.to_owned(), apart(" "), apart(", "), apart(". "), list.join(", "), list.join(",")];
    forms.extend([hex.to_uppercase(), hex]);
    for offset in 0..3 {
        let bytes = [&b"__"[..offset], text.as_bytes()].concat();
        // The first and the last characters depend on what stands before and after.
        let whole = bytes.len() / 3 * 4;
        let from = if offset == 0 { 0 } else { 4 };
        forms.push(STANDARD_NO_PAD.encode(&bytes)[from..whole].to_owned());
        forms.push(URL_SAFE_NO_PAD.encode(&bytes)[from..whole].to_owned());
    }
    forms
}

fn leaked(haystack: &str, secrets: &[String]) -> Vec<String> {
    secrets.iter().flat_map(|secret| forms(secret)).filter(|form| haystack.contains(form.as_str())).collect()
}

/// One SMS with a passcode, number and text that appear nowhere else.
fn private(event: &str) -> Value {
    let mut body = sms(event);
    let profile = &mut body["data"]["messageProfile"];
    profile["otpCode"] = json!("k7Wq93ZxT5pB");
    profile["phoneNumber"] = json!("+46739184627");
    profile["msgTemplate"] = json!("Zebrafinch says k7Wq93ZxT5pB");
    body
}

/// Calls of all kinds; with the metrics and the report after them.
async fn calls_of_all_kinds(scene: &Scene) -> String {
    let mut voice = private("e-voice");
    voice["data"]["messageProfile"]["deliveryChannel"] = json!("voice call");
    for body in [private("e-good"), private("e-good"), voice] {
        assert_eq!(scene.call(&body).await.answer().0, "SUCCESSFUL");
    }
    let mut contradicting = private("e-good");
    contradicting["data"]["messageProfile"]["deliveryChannel"] = json!("CALL");
    let mut other_channel = private("e-channel");
    other_channel["data"]["messageProfile"]["deliveryChannel"] = json!("k7Wq93ZxT5pB");
    let mut misplaced = private("e-misplaced");
    misplaced["data"]["messageProfile"] = json!("k7Wq93ZxT5pB");
    let mut no_number = private("e-number");
    no_number["data"]["messageProfile"]["phoneNumber"] = json!("+46739184627k7Wq93ZxT5pB");
    for body in [contradicting, other_channel, misplaced, no_number] {
        assert_eq!(scene.call(&body).await.answer().0, "FAILED", "{body}");
    }
    let whole = private("e-half").to_string();
    let half = scene.post(whole[..whole.len() - 3].to_owned()).header("authorization", SECRET);
    assert_eq!(got(half).await.answer().0, "FAILED");
    let asked = scene
        .http
        .post(format!("{}/k7Wq93ZxT5pB?to=46739184627", scene.url("h")))
        .header("authorization", "k7Wq93ZxT5pB");
    assert_eq!(got(asked).await.status, 404);
    let wrong = scene.post(private("e-wrong").to_string()).header("authorization", "Bearer k7Wq93ZxT5pB");
    assert_eq!(got(wrong).await.status, 401);
    let kinds = [
        refuse("permanent-destination", None),
        refuse("fraud-blocked", None),
        refuse("message-rejected", None),
        FaultKind::Unknown { delivered: true },
        FaultKind::Garbage { delivered: true },
        FaultKind::Reset { delivered: true },
        FaultKind::Hang { delivered: false },
        // A provider that quotes what it was given.
        FaultKind::Refuse { code: "k7Wq93ZxT5pB".into(), status: Some(403), class: None, scope: None },
        FaultKind::Down,
    ];
    for (turn, kind) in kinds.into_iter().enumerate() {
        scene.sandbox.provider("one").unwrap().clear_faults(None);
        scene.fault("one", kind);
        scene.call(&private(&format!("e-fault-{turn}"))).await.answer();
    }
    std::fs::write(scene.folder.join("config").join(envelope::KEY), b"{\"1\": \"k7Wq93ZxT5pB\"}").unwrap();
    tokio::time::sleep(Duration::from_millis(2_300)).await;

    let counters = reqwest::get(format!("http://{}/metrics", scene.at.metrics)).await.unwrap();
    let pinned = reqwest::Certificate::from_pem(scene.config.report.certificate.as_bytes()).unwrap();
    let operator = reqwest::Client::builder()
        .tls_certs_only([pinned])
        .resolve("report", scene.at.report)
        .no_proxy()
        .build()
        .unwrap();
    let reported = operator
        .get(format!("https://report:{}{}", scene.at.report.port(), report::PATH))
        .bearer_auth("a-token-of-the-report")
        .send()
        .await
        .unwrap();
    assert_eq!((counters.status().as_u16(), reported.status().as_u16()), (200, 200));
    format!("{}{}", counters.text().await.unwrap(), reported.text().await.unwrap())
}

#[tokio::test]
async fn no_passcode_number_text_or_credential_shows_in_logs_metrics_or_the_report() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing::subscriber::set_global_default(logs::subscriber("trace", move || writer.clone()).unwrap()).unwrap();
    let scene = Scene::new().await;
    let shown = calls_of_all_kinds(&scene).await;

    let mut secrets: Vec<String> =
        ["k7Wq93ZxT5pB", "739184627", "Zebrafinch", "0123456789abcdef", "token-of-one", "a-token-of-the-report"]
            .map(str::to_owned)
            .into();
    let mut texts: Vec<String> = scene.sandbox.inbox().messages(None).into_iter().map(|message| message.text).collect();
    texts.dedup();
    assert!(texts.len() >= 3, "text, voice and text again");
    secrets.extend(texts);
    for secret in &secrets {
        let encoded = STANDARD_NO_PAD.encode(format!("{{\"x\":\"{secret}\"}}"));
        assert!(!leaked(&encoded, &secrets).is_empty(), "the search finds nothing");
    }
    let logged = lines.text();
    // The sandbox says which faults are set, and one of them quotes the passcode.
    let of_sandbox = |line: &&str| line.contains("\"target\":\"hookswitch_sandbox::");
    let logged = logged.lines().filter(|line| !of_sandbox(line)).collect::<Vec<_>>().join("\n");
    for expected in ["e-voice", "e-fault-8", "call not acted on", "configuration in service", "46…27"] {
        assert!(logged.contains(expected), "{expected} is not logged: was anything?");
    }
    assert!(shown.contains("hookswitch_") && shown.contains("gateway-0"));
    for (place, text) in [("logs", &logged), ("metrics or report", &shown)] {
        let found = leaked(text, &secrets);
        let line = text.lines().find(|line| found.iter().any(|form| line.contains(form.as_str())));
        assert!(found.is_empty(), "in {place}: {found:?} as in {line:?}");
    }
}
