//! Reference pages made from the program, so that they cannot say something else than it does.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    crds,
    reason::{DOCUMENTED, Documented},
};

/// How each page begins.
pub const MADE: &str = "<!-- Made by `hookswitch reference --dir docs/reference`; do not edit. -->\n\n";

/// Fields whose type is Kubernetes' own. Their description is left to Kubernetes.
const OF_KUBERNETES: [(&str, &str); 6] = [
    ("spec.affinity", "`Affinity` of a pod"),
    ("spec.policies.selector", "`LabelSelector`"),
    ("spec.resources", "`ResourceRequirements` of a container"),
    ("spec.tolerations", "list of `Toleration` of a pod"),
    ("spec.topologySpreadConstraints", "list of `TopologySpreadConstraint` of a pod"),
    ("status.conditions", "list of `Condition`"),
];

/// The pages, as file names with their texts.
#[must_use]
pub fn files() -> Vec<(String, String)> {
    vec![("conditions.md".to_owned(), conditions()), ("kinds.md".to_owned(), kinds())]
}

fn conditions() -> String {
    let mut page = String::from(MADE);
    page.push_str(
        "# Conditions and their reasons\n\n\
         For everybody who reads status or matches on it in scripts and alerts: after this page you know every condition and every\n\
         reason it can have. [The runbook](../runbook.md#find-a-reason) says what to do about each.\n\n\
         A reason is part of the API and is never renamed. Messages may change.\n\
         `Reconciling` and `Stalled` are for kstatus: an object is done when it is `Ready` and has neither of them.\n",
    );
    for documented in DOCUMENTED {
        section(&mut page, &documented);
    }
    page
}

fn section(page: &mut String, documented: &Documented) {
    // writing to a String does not fail
    let _ = writeln!(
        page,
        "\n## {}\n\n{}\n\n| reason | what it says |\n| --- | --- |",
        documented.condition,
        documented.about.trim()
    );
    for (reason, says) in documented.reasons {
        let _ = writeln!(page, "| `{reason}` | {} |", says.trim());
    }
}

/// Every kind with its fields, as the schemas of the CRDs have them.
fn kinds() -> String {
    let crds: Vec<Value> = crds().iter().filter_map(|crd| serde_json::to_value(crd).ok()).collect();
    let mut page = String::from(MADE);
    page.push_str(
        "# Kinds and their fields\n\n\
         For everybody who writes manifests: after this page you know every field of every kind, its type and its bounds.\n\
         `kubectl explain` shows the same. Defaults with their reasons are in [Defaults and timing](defaults-and-timing.md).\n\n\
         All kinds are of `hookswitch.dev/v1alpha1`, live in a namespace, and name objects of that namespace only.\n\
         `kubectl get telephony` lists them all. A duration is a whole number and a unit: `2500ms`, `30s`, `5m` or `1h`.\n\n\
         | kind | short name | what it is |\n| --- | --- | --- |\n",
    );
    for crd in &crds {
        let (names, schema) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
        let kind = text(&names["kind"]);
        let _ = writeln!(
            page,
            "| [`{kind}`](#{}) | `{}` | {} |",
            kind.to_lowercase(),
            text(&names["shortNames"][0]),
            cell(&schema["description"])
        );
    }
    for crd in &crds {
        kind(&mut page, crd);
    }
    page
}

fn kind(page: &mut String, crd: &Value) {
    let (names, version) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]);
    let schema = &version["schema"]["openAPIV3Schema"];
    let _ = writeln!(page, "\n## {}\n\n{}", text(&names["kind"]), text(&schema["description"]).trim());
    let columns = version["additionalPrinterColumns"].as_array();
    let shown: Vec<String> = columns
        .into_iter()
        .flatten()
        .map(|column| {
            let wide = if column["priority"].as_i64().unwrap_or_default() > 0 { " (with `-o wide`)" } else { "" };
            format!("{}{wide}", text(&column["name"]))
        })
        .collect();
    let _ = writeln!(page, "\nColumns of `kubectl get {}`: {}.", text(&names["plural"]), shown.join(", "));
    for part in ["spec", "status"] {
        let (mut rows, mut rules) = (String::new(), Vec::new());
        fields(&schema["properties"][part], part, &mut rows, &mut rules);
        let _ = write!(page, "\n### {part} of {}\n\n", text(&names["kind"]));
        let _ = write!(page, "| field | type | what it is |\n| --- | --- | --- |\n{rows}");
        if !rules.is_empty() {
            let _ = write!(page, "\nThe API server refuses an object unless:\n\n{}", rules.concat());
        }
    }
}

/// A row for each field below `schema`, and the rules that the API server checks there.
fn fields(schema: &Value, path: &str, rows: &mut String, rules: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        rules.push(format!("- `{}`: {}\n", shown(path), text(&rule["message"]).trim()));
    }
    let none = Map::new();
    let required = schema["required"].as_array();
    for (name, field) in schema["properties"].as_object().unwrap_or(&none) {
        let path = format!("{path}.{name}");
        let must = required.is_some_and(|required| required.iter().any(|one| one == name));
        let kubernetes = OF_KUBERNETES.iter().find(|(known, _)| *known == path).map(|(_, name)| (*name).to_owned());
        let _ = writeln!(
            rows,
            "| `{}`{} | {} | {} |",
            shown(&path),
            if must { " (required)" } else { "" },
            kubernetes.clone().unwrap_or_else(|| type_of(field)),
            cell(&field["description"])
        );
        if kubernetes.is_some() {
            continue;
        }
        if field["items"]["properties"].is_object() {
            let listed = format!("{path}[]");
            fields(&field["items"], &listed, rows, rules);
        } else {
            fields(field, &path, rows, rules);
        }
    }
}

/// A path without the part that the heading has already.
fn shown(path: &str) -> &str {
    path.split_once('.').map_or(path, |(_, rest)| rest)
}

fn type_of(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<String> =
            values.iter().filter(|v| !v.is_null()).map(|value| format!("`{}`", text(value))).collect();
        return values.join(", ");
    }
    match text(&field["type"]) {
        "array" => {
            let most = field["maxItems"].as_u64().map(|most| format!(", at most {most}")).unwrap_or_default();
            format!("list of {}{most}", type_of(&field["items"]))
        }
        "object" if field["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&field["additionalProperties"]))
        }
        "object" | "" => "object".to_owned(),
        "string" if text(&field["pattern"]) == "^[0-9]{1,9}(ms|s|m|h)$" => "duration".to_owned(),
        "string" => match field["maxLength"].as_u64() {
            Some(most) => format!("string, at most {most} characters"),
            None => "string".to_owned(),
        },
        "integer" => match (whole(&field["minimum"]), whole(&field["maximum"])) {
            (Some(least), Some(most)) => format!("integer, {least} to {most}"),
            _ => "integer".to_owned(),
        },
        other => other.to_owned(),
    }
}

/// A bound of an integer, which the schema has as a number.
fn whole(bound: &Value) -> Option<String> {
    bound.as_f64().map(|bound| format!("{bound:.0}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A description as a cell of a table.
fn cell(description: &Value) -> String {
    text(description).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_pages_in_the_repository_are_fresh() {
        for (name, text) in files() {
            let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference")).join(&name);
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == text, "docs/reference/{name} is not what the program says: run make generate");
        }
    }

    #[test]
    fn no_reason_is_documented_twice_and_each_says_something() {
        for documented in DOCUMENTED {
            let mut reasons: Vec<&str> = documented.reasons.iter().map(|(reason, _)| *reason).collect();
            reasons.sort_unstable();
            reasons.dedup();
            assert_eq!(reasons.len(), documented.reasons.len(), "{}", documented.condition);
            assert!(documented.reasons.iter().all(|(_, says)| says.trim().ends_with('.')), "{}", documented.condition);
        }
    }

    #[test]
    fn the_page_of_kinds_has_every_kind_and_its_fields() {
        let page = kinds();
        for line in [
            "## HookSwitch\n",
            "| `hooks` (required) | list of object, at most 8 |",
            "| `detection.fall` | integer, 1 to 20 |",
            "| `mode` | `Automatic`, `Observe`, `Manual`, `Disabled` |",
            "| `rules[].match.prefixes` | list of string, at most 16 characters, at most 64 |",
            "| `deadline` | duration |",
            "| `affinity` | `Affinity` of a pod |",
            "- `delay`: delay must be between 1s and 10m\n",
        ] {
            assert!(page.contains(line), "{line}");
        }
        assert!(!page.contains("nodeAffinity"), "Kubernetes describes its own types");
    }
}
