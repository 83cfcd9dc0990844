//! The sandbox stands by itself, in code and at run time.

use hookswitch_sandbox::certs::Authority;
use hookswitch_sandbox::okta::{OrgOptions, SendRequest};
use hookswitch_sandbox::{Options, ProviderOptions, Sandbox};

use crate::scene::{HANDSET, SID, Scene};

#[tokio::test]
async fn sandboxes_in_one_process_do_not_see_each_other() {
    let (one, two) = (Scene::new().await, Scene::new().await);
    one.org().send(SendRequest::sms(HANDSET)).await;
    assert_eq!(one.sandbox.inbox().messages(None).len(), 1);
    assert!(two.sandbox.inbox().messages(None).is_empty());
    assert_ne!(one.org().id(), two.org().id());
}

#[tokio::test]
async fn one_sandbox_runs_several_orgs_with_one_inbox() {
    let sandbox = Sandbox::start(Options {
        orgs: vec![OrgOptions::new("a", "t"), OrgOptions::new("b", "t")],
        ..Options::default()
    })
    .await
    .unwrap();
    for org in sandbox.orgs() {
        org.send(SendRequest::sms(HANDSET)).await;
    }
    assert_eq!(sandbox.inbox().messages(None).len(), 2);
    assert_ne!(sandbox.orgs()[0].addr(), sandbox.orgs()[1].addr());
}

#[tokio::test]
async fn a_stopped_sandbox_lets_its_addresses_go() {
    let scene = Scene::new().await;
    let addr = scene.org().addr();
    scene.sandbox.stop();
    for _ in 0..50 {
        if tokio::net::TcpListener::bind(addr).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the address is still taken");
}

#[tokio::test]
async fn options_without_sense_do_not_start() {
    let twice = vec![ProviderOptions::json("a", "t"), ProviderOptions::json("a", "t")];
    let bad_sid = vec![ProviderOptions::twilio("a", "AC1", "t")];
    let bad_name = vec![ProviderOptions::twilio("a/b", SID, "t")];
    for providers in [twice, bad_sid, bad_name] {
        let options = Options { providers, ..Options::default() };
        assert!(Sandbox::start(options).await.is_err());
    }
}

#[test]
fn an_authority_in_a_directory_is_made_once_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = std::env::temp_dir().join(format!("hookswitch-authority-{}", std::process::id()));
    let first = Authority::in_dir(&dir).unwrap();
    let again = Authority::in_dir(&dir).unwrap();
    assert_eq!(first.cert_pem(), again.cert_pem());
    let mode = std::fs::metadata(dir.join("ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_documentation_names_every_undocumented_behaviour_and_every_fault() {
    let docs = include_str!("../../../../docs/development/sandbox.md");
    let behaviour = serde_json::to_value(hookswitch_sandbox::okta::behaviour::Behaviour::default()).unwrap();
    for field in behaviour.as_object().unwrap().keys() {
        assert!(docs.contains(&format!("`{field}`")), "{field}");
    }
    for fault in ["down", "slow", "hang", "reset", "refuse", "garbage", "trickle", "unknown"] {
        assert!(docs.contains(&format!("| `{fault}` |")), "{fault}");
    }
}

#[tokio::test]
async fn a_head_with_too_many_headers_or_bytes_is_refused() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let scene = Scene::new().await;
    let addr = scene.sandbox.control_addr().unwrap();
    let headers = "x-a: b\r\n".repeat(100);
    let mut many = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    many.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    many.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut large = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!("GET /{} HTTP/1.1\r\n", "x".repeat(60_000));
    let _ = large.write_all(head.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = large.read_to_end(&mut bytes).await;
    assert!(!bytes.starts_with(b"HTTP/1.1 2"));
}
