//! botocore's models, the only description of an AWS service that AWS publishes besides Smithy's, as OpenAPI 3.1.
//!
//! Every operation of such a service has the same path. What tells them apart stands after a `#`, as in APIs.guru's
//! descriptions: `/#X-Amz-Target=…` of the JSON protocols, `/#Action=…` of the query protocol.

use serde_json::{Map, Value, json};

pub fn is_model(document: &Value) -> bool {
    document.pointer("/metadata/protocol").is_some() && document.get("shapes").is_some()
}

/// # Panics
/// When the model's protocol is neither `json` nor `query`.
pub fn openapi(model: &Value) -> Value {
    let word = |at: &str| model.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let protocol = word("/metadata/protocol");
    let mut paths = Map::new();
    for (name, operation) in model["operations"].as_object().into_iter().flatten() {
        let path = operation.pointer("/http/requestUri").and_then(Value::as_str).unwrap_or("/");
        let input = operation.pointer("/input/shape").and_then(Value::as_str);
        let input = input.map_or(json!({ "type": "object" }), |shape| json!({ "$ref": reference(shape) }));
        let (marker, media_type, schema) = match protocol {
            "json" => {
                let marker = format!("X-Amz-Target={}.{name}", word("/metadata/targetPrefix"));
                (marker, format!("application/x-amz-json-{}", word("/metadata/jsonVersion")), input)
            }
            "query" => {
                let own = json!({
                    "properties": { "Action": { "const": name }, "Version": { "const": word("/metadata/apiVersion") } },
                    "required": ["Action", "Version"],
                });
                let schema = json!({ "allOf": [own, input], "x-query-protocol": true });
                (format!("Action={name}"), "application/x-www-form-urlencoded".to_owned(), schema)
            }
            other => panic!("models of the protocol {other} are not read"),
        };
        let post = json!({
            "operationId": name,
            "security": [{ "signature": [] }],
            "parameters": signature_headers(),
            "requestBody": { "required": true, "content": { media_type: { "schema": schema } } },
        });
        paths.insert(format!("{path}#{marker}"), json!({ "post": post }));
    }
    let schemas: Map<_, _> =
        model["shapes"].as_object().into_iter().flatten().map(|(name, shape)| (name.clone(), schema(shape))).collect();
    json!({
        "openapi": "3.1.0",
        "servers": [{ "url": format!("https://{}.{{region}}.amazonaws.com", word("/metadata/endpointPrefix")) }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "signature": { "type": "apiKey", "in": "header", "name": "Authorization" } },
        },
    })
}

/// What a signature of version 4 is made with, besides `Authorization`.
fn signature_headers() -> Value {
    json!([
        { "in": "header", "name": "X-Amz-Date", "required": true,
          "schema": { "type": "string", "pattern": r"^\d{8}T\d{6}Z$" } },
        { "in": "header", "name": "X-Amz-Security-Token", "schema": { "type": "string" } },
        { "in": "header", "name": "X-Amz-Content-Sha256", "schema": { "type": "string", "pattern": "^[0-9a-f]{64}$" } },
    ])
}

fn reference(shape: &str) -> String {
    format!("#/components/schemas/{shape}")
}

fn schema(shape: &Value) -> Value {
    let to = |at: &Value| json!({ "$ref": reference(at["shape"].as_str().unwrap_or_default()) });
    let mut schema = match shape["type"].as_str().unwrap_or_default() {
        "structure" => {
            let members = shape["members"].as_object().into_iter().flatten();
            let properties: Map<_, _> = members.map(|(name, member)| (name.clone(), to(member))).collect();
            json!({ "type": "object", "properties": properties, "required": shape.get("required").unwrap_or(&json!([])) })
        }
        "list" => json!({ "type": "array", "items": to(&shape["member"]) }),
        "map" => {
            let name = |at: &str, otherwise: &str| shape[at]["locationName"].as_str().unwrap_or(otherwise).to_owned();
            let entry = json!([name("key", "key"), name("value", "value")]);
            json!({ "type": "object", "additionalProperties": to(&shape["value"]), "x-entry": entry })
        }
        "integer" | "long" => json!({ "type": "integer" }),
        "float" | "double" | "timestamp" => json!({ "type": "number" }),
        "boolean" => json!({ "type": "boolean" }),
        _ => json!({ "type": "string" }),
    };
    let (least, most) = match shape["type"].as_str() {
        Some("string" | "blob") => ("minLength", "maxLength"),
        Some("list") => ("minItems", "maxItems"),
        Some("map") => ("minProperties", "maxProperties"),
        _ => ("minimum", "maximum"),
    };
    for (theirs, ours) in [("min", least), ("max", most), ("enum", "enum")] {
        if let Some(value) = shape.get(theirs) {
            schema[ours] = value.clone();
        }
    }
    if let Some(pattern) = shape["pattern"].as_str() {
        // a model's pattern is of the whole text
        schema["pattern"] = json!(format!("^(?:{pattern})$"));
    }
    schema
}
