//! Forms and queries: pairs of texts, and the values that a schema makes of them.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::complaint::{Complaint, Kind};
use crate::schema::{Schema, Typed};

/// The pairs of `application/x-www-form-urlencoded`, read strictly.
///
/// # Errors
/// What is no such form: a `%` without two hexadecimal digits, a byte that must be written with one, bytes that are not UTF-8.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(|| "a pair without an equals sign".to_owned())?;
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<String, String> {
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let is_well_written = match byte {
            b'%' => (0..2).all(|_| rest.next().is_some_and(|b| b.is_ascii_hexdigit())),
            _ => byte.is_ascii_graphic(),
        };
        if !is_well_written {
            return Err("a byte that is not written as a form writes it".to_owned());
        }
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(String::from).map_err(|error| error.to_string())
}

/// The fields as an object of what their schema says they are. A text that is not of its field's type stays one.
pub fn object(pairs: &[(String, String)], schema: &Schema, place: &str) -> (Value, Vec<Complaint>) {
    if schema.document().get("x-query-protocol").is_some() {
        return nested(pairs, schema.document(), place);
    }
    let (mut fields, mut complaints) = (Map::new(), Vec::new());
    for (name, text) in pairs {
        match (schema.typed(name), fields.get_mut(name)) {
            (Typed::List(_), Some(Value::Array(list))) => list.push(value(text, &item(schema, name))),
            (Typed::List(_), _) => {
                fields.insert(name.clone(), Value::Array(vec![value(text, &item(schema, name))]));
            }
            (typed, None) => {
                fields.insert(name.clone(), value(text, &typed));
            }
            (_, Some(_)) => complaints.push(Complaint::new(Kind::Repeated, format!("{place}/{name}"), "")),
        }
    }
    (Value::Object(fields), complaints)
}

fn item(schema: &Schema, name: &str) -> Typed {
    match schema.typed(name) {
        Typed::List(item) => *item,
        other => other,
    }
}

/// What a text is as a value of a type.
pub fn value(text: &str, typed: &Typed) -> Value {
    let read = match typed {
        Typed::Integer => text.parse::<i64>().ok().map(Value::from),
        Typed::Number => text.parse::<f64>().ok().map(Value::from),
        Typed::Boolean => text.parse::<bool>().ok().map(Value::from),
        Typed::List(item) => Some(Value::Array(text.split(',').map(|text| value(text, item)).collect())),
        Typed::Text => None,
    };
    read.unwrap_or_else(|| Value::from(text))
}

/// AWS's query protocol: `Attributes.entry.1.Name=a&Attributes.entry.1.Value.StringValue=b`, `List.member.1=c`.
fn nested(pairs: &[(String, String)], document: &Value, place: &str) -> (Value, Vec<Complaint>) {
    let (mut whole, mut complaints) = (Value::Object(Map::new()), Vec::new());
    for (name, text) in pairs {
        let steps: Vec<_> = name.split('.').collect();
        if !put(&mut whole, &steps, text) {
            complaints.push(Complaint::new(Kind::Repeated, format!("{place}/{name}"), ""));
        }
    }
    (folded(whole, document, document, 0), complaints)
}

fn put(at: &mut Value, steps: &[&str], text: &str) -> bool {
    let [step, rest @ ..] = steps else { return false };
    let Value::Object(fields) = at else { return false };
    if rest.is_empty() {
        return fields.insert((*step).to_owned(), Value::from(text)).is_none();
    }
    put(fields.entry(*step).or_insert_with(|| Value::Object(Map::new())), rest, text)
}

/// Objects as they are; `{"member": {"1": …}}` becomes a list, and `{"entry": {"1": {"Name": …, "Value": …}}}` a map. What is
/// not of its schema's form stays as it is, for the schema to refuse.
fn folded(value: Value, schema: &Value, document: &Value, depth: usize) -> Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    if let (Some(target), true) = (target.and_then(|target| document.pointer(target)), depth < 32) {
        return folded(value, target, document, depth + 1);
    }
    let below = |value: Value, schema: &Value| folded(value, schema, document, depth + 1);
    if let (Some(item), Some(Value::Object(members))) = (schema.get("items"), value.get("member")) {
        return numbered(members).map(|member| below(member, item)).collect();
    }
    if let (Some(entry), Some(Value::Object(entries))) = (schema.get("x-entry"), value.get("entry")) {
        let name = |index: usize| entry[index].as_str().unwrap_or_default();
        let values = schema.get("additionalProperties").unwrap_or(&Value::Null);
        let pair = |each: Value| {
            let key = each.get(name(0)).and_then(Value::as_str).unwrap_or_default().to_owned();
            (key, below(each.get(name(1)).cloned().unwrap_or_default(), values))
        };
        return Value::Object(numbered(entries).map(pair).collect());
    }
    let typed = match (&value, schema.get("type").and_then(Value::as_str)) {
        (Value::String(text), Some("integer")) => Some(self::value(text, &Typed::Integer)),
        (Value::String(text), Some("boolean")) => Some(self::value(text, &Typed::Boolean)),
        _ => None,
    };
    match (typed, value) {
        (Some(typed), _) => typed,
        (None, Value::Object(fields)) => {
            let branches = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
            let schemas: Vec<_> =
                std::iter::once(schema).chain(branches).map(|part| resolved(part, document)).collect();
            let of = |name: &String| schemas.iter().find_map(|part| part.get("properties")?.get(name));
            let each = fields.into_iter().map(|(name, value)| match of(&name) {
                Some(schema) => (name, below(value, schema)),
                None => (name, value),
            });
            Value::Object(each.collect())
        }
        (None, value) => value,
    }
}

fn resolved<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    target.and_then(|target| document.pointer(target)).unwrap_or(schema)
}

/// The values of `1`, `2`, … in that order.
fn numbered(fields: &Map<String, Value>) -> impl Iterator<Item = Value> {
    let mut numbered: Vec<_> =
        fields.iter().map(|(name, value)| (name.parse().unwrap_or(0_u32), value.clone())).collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, value)| value)
}
