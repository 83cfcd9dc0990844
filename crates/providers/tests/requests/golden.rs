//! Golden files: requests that a vendor's description has judged. They judge where the descriptions are not at hand.
//!
//! `HOOKSWITCH_GOLDEN=update` writes them anew, which needs the descriptions: a file says that its request was judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::judge::Verdict;
use crate::wire::Received;

/// Headers that say nothing of the adapter.
const LEFT_OUT: &[&str] = &["host", "content-length"];

/// What is kept of a request: everything but credentials, of which the shape is kept.
pub fn kept(request: &Received) -> Value {
    let names = request.headers.keys().map(http::HeaderName::as_str).filter(|name| !LEFT_OUT.contains(name));
    let headers: BTreeMap<_, _> = names.map(|name| (name, shape(name, &request.header(name)))).collect();
    json!({
        "method": request.method.as_str(),
        "host": request.host,
        "path": request.path,
        "query": request.query,
        "headers": headers,
        "body": readable(request),
    })
}

/// A body as people read it: the fields of a form, the value of a JSON text, or the text itself.
pub fn readable(request: &Received) -> Value {
    let media_type = request.header("content-type");
    if media_type.starts_with("application/x-www-form-urlencoded") {
        let mut fields = Map::new();
        for (name, text) in request.form() {
            match fields.get_mut(&name) {
                None => drop(fields.insert(name, Value::from(text))),
                Some(Value::Array(texts)) => texts.push(Value::from(text)),
                Some(one) => *one = json!([one.take(), text]),
            }
        }
        return Value::Object(fields);
    }
    serde_json::from_slice(&request.body).unwrap_or_else(|_| match request.body.as_slice() {
        [] => Value::Null,
        body => Value::from(String::from_utf8_lossy(body)),
    })
}

/// A credential as its scheme, its public part, and the length of the rest.
fn shape(name: &str, value: &str) -> String {
    let secret = |text: &str| format!("<{} characters>", text.chars().count());
    let is_secret =
        name == "authorization" || ["key", "token", "secret", "signature"].iter().any(|w| name.ends_with(w));
    if !is_secret || name == "idempotency-key" {
        return value.to_owned();
    }
    let pair = value.strip_prefix("Basic ").and_then(|pair| BASE64_STANDARD.decode(pair).ok());
    if let Some(pair) = pair.and_then(|pair| String::from_utf8(pair).ok()) {
        let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
        return format!("Basic {user}:{}", secret(password));
    }
    match (value.rsplit_once("Signature="), value.split_once(' ')) {
        (Some((before, signature)), _) => format!("{before}Signature={}", secret(signature)),
        (None, Some((scheme, token))) => format!("{scheme} {}", secret(token)),
        (None, None) => secret(value),
    }
}

/// Who judged, by which word of theirs; null where nobody else than this project describes the request.
pub fn judged(verdict: &Verdict<'_>) -> Value {
    let operation = verdict.operation.map(|operation| operation.id.as_str());
    verdict.description.map_or(
        Value::Null,
        |description| json!({ "source": description.source, "commit": description.commit, "operation": operation }),
    )
}

/// The golden files of all providers.
pub struct Golden {
    root: PathBuf,
    is_update: bool,
    met: BTreeSet<PathBuf>,
}

impl Golden {
    pub fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests/golden");
        let is_update = std::env::var("HOOKSWITCH_GOLDEN").is_ok_and(|word| word == "update");
        Self { root, is_update, met: BTreeSet::new() }
    }

    /// Compares a request to what is kept of it. `judged` is the description's word, when the descriptions are at hand.
    ///
    /// # Errors
    /// What differs, and what to do then.
    pub fn compare(
        &mut self,
        provider: &str,
        case: &str,
        request: &Value,
        judged: Option<&Value>,
    ) -> Result<(), String> {
        let path = self.root.join(provider).join(format!("{case}.json"));
        self.met.insert(path.clone());
        let kept: Option<Value> = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let described = judged.or_else(|| kept.as_ref()?.get("description"));
        let now = json!({ "description": described, "request": request });
        if kept.as_ref() == Some(&now) {
            return Ok(());
        }
        let Some(judged) = judged.filter(|_| self.is_update) else {
            let kept = kept.map_or_else(|| "there is none".to_owned(), |kept| format!("{kept:#}"));
            return Err(format!(
                "{provider}/{case} differs from its golden file.\nkept: {kept}\nnow: {now:#}\nIf that is meant, name the \
                 descriptions' folder and write it anew: make test-providers HOOKSWITCH_SPECS=… HOOKSWITCH_GOLDEN=update"
            ));
        };
        let text = format!("{:#}\n", json!({ "description": judged, "request": request }));
        fs::create_dir_all(path.parent().unwrap_or(&self.root))
            .and_then(|()| fs::write(&path, text))
            .map_err(|e| e.to_string())
    }

    /// Files that belong to no case; an update removes them.
    pub fn left_over(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(&self.root).into_iter().flatten().map(|folder| folder.unwrap().path());
        let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()));
        let left: Vec<_> = files.filter(|file| !self.met.contains(file)).collect();
        if self.is_update {
            for file in &left {
                fs::remove_file(file).unwrap();
            }
            return Vec::new();
        }
        left
    }
}

#[test]
fn a_request_that_differs_or_was_never_judged_is_told() {
    let root = std::env::temp_dir().join(format!("hookswitch-golden-{}", std::process::id()));
    let golden = |is_update| Golden { root: root.clone(), is_update, met: BTreeSet::new() };
    let (request, judged) = (json!({ "path": "/a" }), json!({ "commit": "1" }));
    let told = |golden: &mut Golden, request: &Value, judged: Option<&Value>| {
        golden.compare("p", "c", request, judged).is_err()
    };
    assert!(told(&mut golden(false), &request, Some(&judged)), "there is none");
    assert!(told(&mut golden(true), &request, None), "it cannot be judged");
    assert!(!told(&mut golden(true), &request, Some(&judged)), "it is written");
    assert!(!told(&mut golden(false), &request, None), "it is the same");
    assert!(!told(&mut golden(false), &request, Some(&judged)), "it is the same");
    assert!(told(&mut golden(false), &json!({ "path": "/b" }), None), "another request");
    assert!(told(&mut golden(false), &request, Some(&json!({ "commit": "2" }))), "another description");
    assert_eq!(golden(false).left_over(), [root.join("p/c.json")], "no case makes it");
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn no_credential_is_kept() {
    let basic = format!("Basic {}", BASE64_STANDARD.encode("AC1:hidden"));
    for (name, value, kept) in [
        ("authorization", basic.as_str(), "Basic AC1:<6 characters>"),
        ("authorization", "Bearer hidden", "Bearer <6 characters>"),
        ("authorization", "hidden", "<6 characters>"),
        ("authorization", "HMAC SignedHeaders=a;b&Signature=hidden", "HMAC SignedHeaders=a;b&Signature=<6 characters>"),
        ("x-api-key", "hidden", "<6 characters>"),
        ("x-amz-security-token", "hidden", "<6 characters>"),
        ("idempotency-key", "id-1", "id-1"),
        ("content-type", "application/json", "application/json"),
    ] {
        assert_eq!(shape(name, value), kept);
    }
}
