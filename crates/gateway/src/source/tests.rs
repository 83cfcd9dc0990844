use std::{convert::Infallible, fs, os::unix::fs::symlink, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower_test::mock::{self, Handle};

use super::*;
use hookswitch_gateway_config::{
    document::VERSION,
    envelope::{KEY, hash, seal},
};

const SOON: Duration = Duration::from_secs(10);
const V1: &str = include_str!("../../../gateway-config/src/testdata/document.v1.json");

/// An envelope of a generation; `variant` changes it within the generation, as a rotated credential does.
fn sealed(generation: i64, variant: &str) -> Vec<u8> {
    let mut document: Value = serde_json::from_str(V1).unwrap();
    document["generation"] = json!(generation);
    document["gateway"] = json!(format!("telephony/{variant}"));
    seal(&[(VERSION, document.to_string())]).unwrap()
}

fn any() -> Check {
    Arc::new(|_| Ok(()))
}

fn mounted(generation: i64, variant: &str) -> Report {
    Report::Mounted(sealed(generation, variant))
}

fn event(generation: i64, variant: &str) -> Report {
    Report::Watched { sealed: sealed(generation, variant), fresh: false }
}

fn list(generation: i64, variant: &str) -> Report {
    Report::Watched { sealed: sealed(generation, variant), fresh: true }
}

/// What is served after each report.
fn served(reports: impl IntoIterator<Item = Report>) -> Vec<String> {
    let mut selection = Selection::default();
    let after = |report| {
        selection.weigh(report, &any());
        selection.current().map_or_else(String::new, |current| {
            format!("{}{}", current.config.gateway.trim_start_matches("telephony/"), current.config.generation)
        })
    };
    reports.into_iter().map(after).collect()
}

#[test]
fn the_newest_generation_wins_wherever_it_is_found() {
    assert_eq!(served([mounted(1, "a"), list(2, "b"), mounted(3, "c"), event(4, "d")]), ["a1", "b2", "c3", "d4"]);
    assert_eq!(served([list(2, "b"), mounted(1, "a")]), ["b2", "b2"]);
    assert_eq!(served([mounted(3, "c"), event(2, "b")]), ["c3", "c3"]);
}

#[test]
fn a_copy_that_lags_does_not_undo_a_rotation_within_a_generation() {
    let reports = [list(1, "a"), event(1, "b"), mounted(1, "a"), mounted(1, "b"), event(1, "c")];
    assert_eq!(served(reports), ["a1", "b1", "b1", "b1", "c1"]);
}

#[test]
fn a_change_of_the_file_that_did_not_count_counts_once_the_watch_is_lost() {
    assert_eq!(served([list(1, "a"), mounted(1, "b"), Report::Blind]), ["a1", "a1", "b1"]);
    let overtaken = [list(1, "a"), mounted(1, "b"), event(1, "c"), Report::Blind];
    assert_eq!(served(overtaken), ["a1", "a1", "c1", "c1"]);
}

#[test]
fn without_a_watch_every_change_of_the_file_counts() {
    let reports = [mounted(1, "a"), mounted(1, "b"), mounted(1, "a"), mounted(2, "c"), mounted(1, "d")];
    assert_eq!(served(reports), ["a1", "b1", "a1", "c2", "d1"]);
}

#[test]
fn a_list_is_believed_even_with_a_lower_generation() {
    assert_eq!(served([mounted(9, "old"), list(1, "new")]), ["old9", "new1"]);
    assert_eq!(
        served([list(9, "old"), Report::Blind, list(1, "new"), mounted(1, "x")]),
        ["old9", "old9", "new1", "new1"]
    );
}

#[test]
fn what_is_missing_or_lost_leaves_the_last_good_one() {
    let reports = [
        list(1, "a"),
        Report::Empty(Origin::Secret, "the Secret was deleted"),
        Report::Empty(Origin::Mount, "the file does not exist"),
        Report::Blind,
    ];
    assert_eq!(served(reports), ["a1"; 4]);
}

#[test]
fn a_refused_configuration_is_reported_once_and_until_a_good_one_follows() {
    let check: Check =
        Arc::new(|config| if config.gateway.ends_with("bad") { Err("no such provider".into()) } else { Ok(()) });
    let mut selection = Selection::default();
    selection.weigh(list(1, "a"), &check);
    let bad = sealed(2, "bad");
    let refused = RefusedConfig { hash: hash(&bad), reason: "no such provider".into() };
    assert_eq!(selection.weigh(event(2, "bad"), &check), Verdict::Refused(refused.clone()));
    assert_eq!(selection.weigh(list(2, "bad"), &check), Verdict::Kept);
    assert_eq!(selection.weigh(mounted(2, "bad"), &check), Verdict::Kept);
    assert_eq!(selection.refused(), Some(refused));
    assert_eq!(selection.current().unwrap().config.generation, 1);
    assert!(matches!(selection.weigh(event(3, "c"), &check), Verdict::Taken(_)));
    assert_eq!(selection.refused(), None);
}

#[test]
fn going_back_to_what_is_served_ends_the_refusal() {
    let mut selection = Selection::default();
    selection.weigh(list(1, "a"), &any());
    let garbage = Report::Watched { sealed: b"garbage".to_vec(), fresh: false };
    assert!(matches!(selection.weigh(garbage, &any()), Verdict::Refused(_)));
    assert!(selection.refused().is_some());
    assert_eq!(selection.weigh(event(1, "a"), &any()), Verdict::Kept);
    assert_eq!(selection.refused(), None);
}

#[test]
fn a_good_file_serves_although_the_secret_holds_garbage() {
    let mut selection = Selection::default();
    selection.weigh(Report::Watched { sealed: b"garbage".to_vec(), fresh: true }, &any());
    assert!(matches!(selection.weigh(mounted(1, "a"), &any()), Verdict::Taken(_)));
    assert!(selection.refused().is_some(), "the operator must still hear of it");
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hookswitch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn mount(&self) -> Mount {
        Mount { file: self.0.join(KEY), poll: Duration::from_millis(10) }
    }

    /// Changes the contents as the kubelet does: a new folder, and one link renamed over the old one.
    fn swap(&self, version: &str, sealed: &[u8]) {
        fs::create_dir(self.0.join(version)).unwrap();
        fs::write(self.0.join(version).join(KEY), sealed).unwrap();
        symlink(version, self.0.join("..data_tmp")).unwrap();
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
        if fs::symlink_metadata(self.0.join(KEY)).is_err() {
            symlink(format!("..data/{KEY}"), self.0.join(KEY)).unwrap();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn until(
    selected: &mut watch::Receiver<SelectedConfig>,
    wanted: impl FnMut(&SelectedConfig) -> bool,
) -> SelectedConfig {
    timeout(SOON, selected.wait_for(wanted)).await.expect("not seen in time").unwrap().clone()
}

fn serves(wanted: &str) -> impl FnMut(&SelectedConfig) -> bool {
    let wanted = format!("telephony/{wanted}");
    move |selected| selected.current.as_ref().is_some_and(|current| current.config.gateway == wanted)
}

#[tokio::test]
async fn a_mounted_file_may_come_late_and_is_followed_through_the_kubelets_swaps() {
    let folder = Folder::new("swaps");
    let stop = CancellationToken::new();
    let mut selected = follow(Some(folder.mount()), None, any(), stop.clone());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(selected.borrow().current.is_none());

    folder.swap("..1", &sealed(1, "first"));
    let found = until(&mut selected, serves("first")).await;
    let current = found.current.unwrap();
    assert_eq!((current.hash.clone(), current.origin), (hash(&sealed(1, "first")), Origin::Mount));

    folder.swap("..2", b"half a fi");
    let found = until(&mut selected, |selected| selected.refused.is_some()).await;
    assert_eq!(found.current.unwrap().hash, current.hash);

    folder.swap("..3", &sealed(1, "third"));
    assert_eq!(until(&mut selected, serves("third")).await.refused, None);
    stop.cancel();
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_and_a_folder_is_not_read() {
    let folder = Folder::new("large");
    fs::write(folder.0.join(KEY), vec![b' '; 64 * 1024 * 1024]).unwrap();
    let stop = CancellationToken::new();
    let mut selected = follow(Some(folder.mount()), None, any(), stop.clone());
    let found = until(&mut selected, |selected| selected.refused.is_some()).await;
    assert!(found.refused.unwrap().reason.starts_with("the configuration is too large: 921601 bytes"));
    fs::remove_file(folder.0.join(KEY)).unwrap();
    fs::create_dir(folder.0.join(KEY)).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(selected.borrow().current.is_none());
    stop.cancel();
}

type Sent = UnsyncBoxBody<Bytes, Infallible>;
type Api = Handle<Request<Body>, Response<Sent>>;

fn api() -> (SecretSource, Api) {
    let (service, handle) = mock::pair::<Request<Body>, Response<Sent>>();
    (SecretSource::new(Client::new(service, "telephony"), "telephony", "main-config"), handle)
}

fn whole(document: &Value) -> Sent {
    Full::from(document.to_string()).boxed_unsync()
}

fn secret(version: u32, sealed: &[u8]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "main-config", "namespace": "telephony", "resourceVersion": version.to_string()},
        "data": {KEY: STANDARD.encode(sealed)},
    })
}

fn listing(version: u32, items: &[Value]) -> Sent {
    let list = json!({
        "apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": version.to_string()}, "items": items,
    });
    whole(&list)
}

fn changed(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

/// Answers one request and says what was asked.
async fn answer(api: &mut Api, status: StatusCode, body: Sent) -> String {
    let (request, send) = timeout(SOON, api.next_request()).await.expect("nothing was asked").unwrap();
    send.send_response(Response::builder().status(status).body(body).unwrap());
    request.uri().to_string()
}

/// A watch whose events the test sends one after the other.
fn stream() -> (mpsc::Sender<String>, Sent) {
    let (events, inbox) = mpsc::channel::<String>(4);
    let frames = futures::stream::unfold(inbox, |mut inbox| async {
        let event = inbox.recv().await?;
        Some((Ok(Frame::data(Bytes::from(event))), inbox))
    });
    (events, StreamBody::new(frames).boxed_unsync())
}

#[tokio::test]
async fn the_secret_is_listed_and_watched_by_its_name_alone() {
    let (source, mut api) = api();
    let stop = CancellationToken::new();
    let mut selected = follow(None, Some(source), any(), stop.clone());
    let listed = answer(&mut api, StatusCode::OK, listing(5, &[secret(5, &sealed(1, "listed"))])).await;
    assert!(listed.starts_with("/api/v1/namespaces/telephony/secrets?"), "{listed}");
    assert!(listed.contains("fieldSelector=metadata.name%3Dmain-config"), "{listed}");
    assert_eq!(until(&mut selected, serves("listed")).await.current.unwrap().origin, Origin::Secret);

    let (events, body) = stream();
    let watched = answer(&mut api, StatusCode::OK, body).await;
    assert!(
        watched.contains("watch=true") && watched.contains("fieldSelector=metadata.name%3Dmain-config"),
        "{watched}"
    );
    events.send(changed("MODIFIED", &secret(6, &sealed(1, "rotated")))).await.unwrap();
    until(&mut selected, serves("rotated")).await;
    events.send(changed("MODIFIED", &secret(7, b"garbage"))).await.unwrap();
    until(&mut selected, |selected| selected.refused.is_some()).await;
    events.send(changed("DELETED", &secret(8, b"garbage"))).await.unwrap();
    events.send(changed("ADDED", &secret(9, &sealed(1, "again")))).await.unwrap();
    assert_eq!(until(&mut selected, serves("again")).await.refused, None);
    stop.cancel();
}

#[tokio::test]
async fn an_api_server_that_refuses_or_hangs_up_does_not_keep_the_file_from_serving_and_is_tried_again() {
    let folder = Folder::new("no-api");
    folder.swap("..1", &sealed(1, "file"));
    let (source, mut api) = api();
    let stop = CancellationToken::new();
    let mut selected = follow(Some(folder.mount()), Some(source), any(), stop.clone());
    until(&mut selected, serves("file")).await;
    let forbidden =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403});
    answer(&mut api, StatusCode::FORBIDDEN, whole(&forbidden)).await;
    folder.swap("..2", &sealed(2, "newer"));
    until(&mut selected, serves("newer")).await;
    answer(&mut api, StatusCode::OK, listing(5, &[secret(5, &sealed(3, "listed"))])).await;
    until(&mut selected, serves("listed")).await;
    stop.cancel();
}

#[tokio::test]
async fn the_stop_ends_it_while_the_api_server_hangs() {
    let (source, mut api) = api();
    let stop = CancellationToken::new();
    let mut selected = follow(None, Some(source), any(), stop.clone());
    let hanging = timeout(SOON, api.next_request()).await.unwrap();
    assert!(hanging.is_some());
    stop.cancel();
    assert!(timeout(SOON, selected.changed()).await.expect("still running").is_err());
}
