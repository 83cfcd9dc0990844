//! One request for each operation that sends, in the fields of the vendors' own pages: their descriptions take it, and refuse it
//! with a field that they do not know. What the adapters send is judged elsewhere; this shows that the judge can.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::complaint::Kind;
use crate::description::Description;
use crate::self_tests::{FORM, JSON, request};
use crate::{judge::judge, specs_folder};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The file.
    description: String,
    operation: String,
    /// Host, path and query.
    target: String,
    headers: BTreeMap<String, String>,
    /// An object is JSON, a text a form.
    body: Value,
}

#[test]
fn each_vendors_description_takes_a_right_request_and_no_field_more() {
    let Some(folder) = specs_folder() else { return };
    let rows: Vec<Row> = serde_json::from_str(include_str!("vendors.json")).unwrap();
    for Row { description, operation, target, headers, body } in &rows {
        let read = Description::load(&folder.join(description));
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            headers.push(("content-type", if body.is_string() { FORM } else { JSON }));
        }
        let judged = |body: &Value| {
            let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let request = request("POST", target, &headers, &text);
            let verdict = judge(&[&read], &request);
            assert_eq!(verdict.operation.map(|found| found.id.as_str()), Some(operation.as_str()), "{description}");
            verdict.complaints
        };
        let complaints = judged(body);
        assert!(complaints.is_empty(), "{description} {operation}: {complaints:?}");
        let mut more = body.clone();
        match &mut more {
            Value::Object(fields) => drop(fields.insert("hookswitch".to_owned(), json!("1"))),
            Value::String(text) => text.push_str("&hookswitch=1"),
            _ => {}
        }
        let said: Vec<_> = judged(&more).into_iter().map(|complaint| (complaint.kind, complaint.place)).collect();
        assert_eq!(said, [(Kind::Unknown, "body/hookswitch".to_owned())], "{description} {operation}");
    }
}
