//! Schemas of a description as JSON Schema 2020-12, closed: a field that the description does not name is refused, also where
//! the description leaves the object open.

use std::sync::OnceLock;

use jsonschema::{Draft, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::{Map, Value, json};

use crate::complaint::{Complaint, Kind};

/// What OpenAPI means by a schema, which differs by version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAPI 3.1: JSON Schema as it is.
    Json,
    /// OpenAPI 3.0 and Swagger 2: `nullable`, a boolean `exclusiveMinimum`, and nothing counts beside a `$ref`.
    Older,
}

/// A schema together with the definitions that it refers to.
#[derive(Debug)]
pub struct Schema {
    document: Value,
    validator: OnceLock<Validator>,
}

/// What a text in a form or a query stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    Text,
    Integer,
    Number,
    Boolean,
    List(Box<Typed>),
}

impl Schema {
    /// `schema` is closed; `shared` are the definitions, made by [`shared`].
    pub fn new(schema: &Value, shared: &Map<String, Value>) -> Self {
        let mut document = schema.clone();
        close(&mut document, &|reference| pointer(shared, reference), true);
        let mut document = document.as_object().cloned().unwrap_or_default();
        document.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        for (name, definitions) in shared {
            document.insert(name.clone(), definitions.clone());
        }
        Self { document: Value::Object(document), validator: OnceLock::new() }
    }

    /// What is wrong with a value that stands at `place`.
    ///
    /// # Panics
    /// When the schema itself is none.
    pub fn complaints(&self, place: &str, value: &Value) -> Vec<Complaint> {
        let errors: Vec<_> = self.validator().iter_errors(value).collect();
        let all: Vec<_> = errors.iter().map(|error| complaints(place, error)).collect();
        let mut told = Vec::new();
        for (index, (error, complaints)) in errors.iter().zip(&all).enumerate() {
            let at = format!("{place}{}", error.instance_path());
            let others = all.iter().enumerate().filter(|(other, _)| *other != index).flat_map(|(_, all)| all);
            let fails_otherwise = others.into_iter().any(|other| other.place.starts_with(&at));
            // A branch that fails for another reason names its fields in vain; the reason is told, and is enough.
            let is_echo = |complaint: &Complaint| {
                let name = complaint.place.strip_prefix(&at).unwrap_or_default().trim_start_matches('/');
                complaint.kind == Kind::Unknown && fails_otherwise && self.lists(error.schema_path().as_str(), name)
            };
            for complaint in complaints.iter().filter(|complaint| !is_echo(complaint)) {
                let is_same = |told: &Complaint| (told.kind, &told.place) == (complaint.kind, &complaint.place);
                if !told.iter().any(is_same) {
                    told.push(complaint.clone());
                }
            }
        }
        told
    }

    /// Whether the object that a keyword stands in lists a field, if only in a branch.
    fn lists(&self, keyword: &str, field: &str) -> bool {
        let object = keyword.rsplit_once('/').and_then(|(object, _)| self.document.pointer(object));
        let mut found = Vec::new();
        if let Some(object) = object {
            collect(object, field, &|reference| self.document.pointer(reference.strip_prefix('#')?), 0, &mut found);
        }
        !found.is_empty()
    }

    /// Panics when the schema is none.
    pub fn validator(&self) -> &Validator {
        self.validator.get_or_init(|| {
            let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
            options.build(&self.document).unwrap_or_else(|error| panic!("the description has no schema here: {error}"))
        })
    }

    /// What the text of a field stands for; a text where the schema does not say.
    pub fn typed(&self, field: &str) -> Typed {
        let at = |reference: &str| self.document.pointer(reference.strip_prefix('#')?);
        let mut found = Vec::new();
        collect(&self.document, field, &at, 0, &mut found);
        found.into_iter().find_map(|schema| typed(schema, &at)).unwrap_or(Typed::Text)
    }

    /// What the text stands for when the whole schema is of one value.
    pub fn typed_whole(&self) -> Typed {
        typed(&self.document, &|reference| self.document.pointer(reference.strip_prefix('#')?)).unwrap_or(Typed::Text)
    }

    /// The schema, with what it refers to.
    pub fn document(&self) -> &Value {
        &self.document
    }
}

/// The definitions of a description, in the form that [`Schema::new`] takes.
pub fn shared(description: &Value) -> Map<String, Value> {
    let mut shared = Map::new();
    if let Some(schemas) = description.pointer("/components/schemas") {
        shared.insert("components".to_owned(), json!({ "schemas": schemas }));
    }
    if let Some(definitions) = description.get("definitions") {
        shared.insert("definitions".to_owned(), definitions.clone());
    }
    let open = shared.clone();
    let resolve = |reference: &str| pointer(&open, reference);
    let lists = [("/components/schemas", "components"), ("/definitions", "definitions")];
    for (at, name) in lists {
        let Some(whole) = shared.get_mut(name) else { continue };
        let schemas = if at == "/definitions" { Some(whole) } else { whole.get_mut("schemas") };
        for schema in schemas.and_then(Value::as_object_mut).into_iter().flat_map(|all| all.values_mut()) {
            close(schema, &resolve, false);
        }
    }
    shared
}

fn pointer<'a>(shared: &'a Map<String, Value>, reference: &str) -> Option<&'a Value> {
    let (name, rest) = reference.strip_prefix("#/")?.split_once('/')?;
    shared.get(name)?.pointer(&format!("/{rest}"))
}

/// Writes a whole description in the words of JSON Schema 2020-12.
pub fn translate(node: &mut Value, dialect: Dialect) {
    if let Value::Object(fields) = node {
        if dialect == Dialect::Older {
            if fields.get("$ref").is_some_and(Value::is_string) {
                fields.retain(|name, _| name == "$ref");
            }
            older(fields);
        }
        bound(fields);
    }
    match node {
        Value::Object(fields) => fields.values_mut().for_each(|value| translate(value, dialect)),
        Value::Array(values) => values.iter_mut().for_each(|value| translate(value, dialect)),
        _ => {}
    }
}

fn older(fields: &mut Map<String, Value>) {
    if fields.get("nullable") == Some(&Value::Bool(true)) {
        if let Some(kind) = fields.get("type").filter(|kind| kind.is_string()).cloned() {
            fields.insert("type".to_owned(), json!([kind, "null"]));
        }
        if let Some(Value::Array(values)) = fields.get_mut("enum") {
            values.push(Value::Null);
        }
    }
    for (exclusive, inclusive) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(Value::Bool(is_exclusive)) = fields.get(exclusive).cloned() {
            fields.remove(exclusive);
            if let Some(limit) = fields.get(inclusive).filter(|limit| is_exclusive && limit.is_number()).cloned() {
                fields.remove(inclusive);
                fields.insert(exclusive.to_owned(), limit);
            }
        }
    }
}

/// `int32` and `int64` are bounds, which JSON Schema has no format for.
fn bound(fields: &mut Map<String, Value>) {
    let (least, most) = match fields.get("format").and_then(Value::as_str) {
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Some("int64") => (i64::MIN, i64::MAX),
        _ => return,
    };
    fields.entry("minimum").or_insert(json!(least));
    fields.entry("maximum").or_insert(json!(most));
}

/// Closes what stands below a schema, and the schema itself where it is the whole of what is allowed at its place. A branch
/// of `allOf` and its like stays open: what it does not name, another branch may.
fn close<'a>(schema: &mut Value, resolve: &dyn Fn(&str) -> Option<&'a Value>, is_whole: bool) {
    let lists = is_whole && lists_fields(schema, resolve, 0);
    let Value::Object(fields) = schema else { return };
    refuse_read_only(fields);
    for list in ["properties", "patternProperties"] {
        let properties = fields.get_mut(list).and_then(Value::as_object_mut);
        properties.into_iter().flat_map(Map::values_mut).for_each(|value| close(value, resolve, true));
    }
    for one in ["items", "additionalProperties"] {
        if let Some(below) = fields.get_mut(one) {
            close(below, resolve, true);
        }
    }
    for branches in ["allOf", "anyOf", "oneOf"] {
        let branches = fields.get_mut(branches).and_then(Value::as_array_mut);
        branches.into_iter().flatten().for_each(|branch| close(branch, resolve, false));
    }
    let says_open = |open: &Value| *open == Value::Bool(true) || *open == json!({});
    if fields.get("properties").is_some() && fields.get("additionalProperties").is_some_and(says_open) {
        fields.remove("additionalProperties");
    }
    if lists {
        fields.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
    }
}

/// What only the vendor writes has no place in a request.
fn refuse_read_only(fields: &mut Map<String, Value>) {
    let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let is = |schema: &Value, word: &str| schema.get(word) == Some(&Value::Bool(true));
    let mut refused = Vec::new();
    for (name, schema) in properties.iter_mut() {
        if is(schema, "readOnly") && !is(schema, "writeOnly") {
            *schema = Value::Bool(false);
            refused.push(name.clone());
        }
    }
    if let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !refused.iter().any(|refused| name == refused));
    }
}

/// How deep references are followed; a schema may refer to itself.
const DEPTH: usize = 16;

/// The schemas that stand for one: itself, what it refers to, and its branches.
fn parts<'a>(schema: &'a Value, resolve: &dyn Fn(&str) -> Option<&'a Value>) -> Vec<&'a Value> {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(resolve);
    let branches = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|list| schema.get(list)?.as_array()).flatten();
    target.into_iter().chain(branches).collect()
}

fn lists_fields<'a>(schema: &Value, resolve: &dyn Fn(&str) -> Option<&'a Value>, depth: usize) -> bool {
    if depth > DEPTH {
        return false;
    }
    let own = schema.get("properties").and_then(Value::as_object).is_some_and(|fields| !fields.is_empty());
    let target = schema.get("$ref").and_then(Value::as_str).and_then(resolve);
    let branches = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|list| schema.get(list)?.as_array()).flatten();
    own || target.into_iter().chain(branches).any(|part| lists_fields(part, resolve, depth + 1))
}

fn collect<'a>(
    schema: &'a Value,
    field: &str,
    resolve: &dyn Fn(&str) -> Option<&'a Value>,
    depth: usize,
    found: &mut Vec<&'a Value>,
) {
    if depth > DEPTH {
        return;
    }
    found.extend(schema.get("properties").and_then(|properties| properties.get(field)));
    for part in parts(schema, resolve) {
        collect(part, field, resolve, depth + 1, found);
    }
}

fn typed<'a>(schema: &'a Value, resolve: &dyn Fn(&str) -> Option<&'a Value>) -> Option<Typed> {
    let kinds = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return parts(schema, resolve).into_iter().find_map(|part| typed(part, resolve)),
    };
    kinds.into_iter().find_map(|kind| match kind {
        "integer" => Some(Typed::Integer),
        "number" => Some(Typed::Number),
        "boolean" => Some(Typed::Boolean),
        "array" => {
            let items = schema.get("items").and_then(|items| typed(items, resolve));
            Some(Typed::List(Box::new(items.unwrap_or(Typed::Text))))
        }
        "null" => None,
        _ => Some(Typed::Text),
    })
}

/// What a validator's error says, in the judge's words; one complaint for each field that is too much.
fn complaints(place: &str, error: &ValidationError<'_>) -> Vec<Complaint> {
    let at = format!("{place}{}", error.instance_path());
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| Complaint::new(Kind::Unknown, format!("{at}/{name}"), "")).collect()
        }
        ValidationErrorKind::FalseSchema => vec![Complaint::new(Kind::Unknown, at, "")],
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Complaint::new(Kind::Missing, format!("{at}/{name}"), "")]
        }
        _ => vec![Complaint::new(Kind::Value, at, error.masked())],
    }
}
