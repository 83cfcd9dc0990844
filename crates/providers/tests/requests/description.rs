//! A vendor's description of its API: OpenAPI 3.0, 3.1 or Swagger 2 in YAML or JSON, or a botocore model.

use std::path::Path;

use http::Method;
use serde_json::{Map, Value};

use crate::botocore;
use crate::schema::{Dialect, Schema, shared, translate};
use crate::template::Template;

/// A description, read.
#[derive(Debug)]
pub struct Description {
    pub file: String,
    /// Who wrote it, and where it was found.
    pub source: String,
    /// The commit it was found at.
    pub commit: String,
    pub operations: Vec<Operation>,
}

/// What can be asked.
#[derive(Debug)]
pub struct Operation {
    pub id: String,
    pub method: Method,
    /// Each with the base path of one server.
    pub paths: Vec<Template>,
    pub hosts: Vec<Template>,
    /// What tells apart the operations that share a path: a header or a field, and its value.
    pub marker: Option<(String, String)>,
    /// Ways to show who asks; of each all are needed. Empty where the description is silent.
    pub security: Vec<Vec<Scheme>>,
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
}

/// Where a credential stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    Basic,
    Bearer,
    Header(String),
    Query(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Header,
}

#[derive(Debug)]
pub struct Parameter {
    pub place: Place,
    pub name: String,
    pub is_required: bool,
    pub schema: Schema,
}

#[derive(Debug)]
pub struct Body {
    pub is_required: bool,
    /// By media type, without parameters.
    pub media: Vec<(String, Schema)>,
}

impl Description {
    /// # Panics
    /// When the file is none of the kinds that are read, or does not say where it is from.
    pub fn load(path: &Path) -> Self {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::read(&file, &text)
    }

    /// # Panics
    /// As [`Description::load`].
    pub fn read(file: &str, text: &str) -> Self {
        let is_json = Path::new(file).extension().is_some_and(|extension| extension == "json");
        let document: Result<Value, String> = if is_json {
            serde_json::from_str(text).map_err(|error| error.to_string())
        } else {
            // `no` and `n` are texts: countries and names of fields
            let options = serde_saphyr::options! { strict_booleans: true };
            serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
        };
        let document = document.unwrap_or_else(|error| panic!("{file} cannot be read: {error}"));
        let extract = document.pointer("/info/x-extract").or_else(|| document.get("x-extract")).unwrap_or(&Value::Null);
        let source = extract.as_str().or_else(|| extract.get("source")?.as_str()).unwrap_or_default().to_owned();
        let named = extract.get("commit").and_then(Value::as_str).or_else(|| commit_in(&source)).unwrap_or_default();
        let commit = named.to_owned();
        let mut document = if botocore::is_model(&document) { botocore::openapi(&document) } else { document };
        let is_newer =
            document.get("openapi").and_then(Value::as_str).is_some_and(|version| version.starts_with("3.1"));
        translate(&mut document, if is_newer { Dialect::Json } else { Dialect::Older });
        let operations = Reader { document: &document, shared: shared(&document) }.operations();
        assert!(!operations.is_empty(), "{file} describes no operation");
        Self { file: file.to_owned(), source, commit, operations }
    }

    pub fn operation(&self, id: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.id == id)
    }
}

/// The commit that a text names after an `@`, or the first one that it names at all.
fn commit_in(text: &str) -> Option<&str> {
    let is_commit = |word: &&str| word.len() == 40 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let places = [text.split_once('@').map_or("", |(_, after)| after), text];
    places.into_iter().find_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()).find(is_commit))
}

struct Reader<'a> {
    document: &'a Value,
    shared: Map<String, Value>,
}

const METHODS: &[&str] = &["get", "post", "put", "patch", "delete"];

impl<'a> Reader<'a> {
    fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, item) in self.document.get("paths").and_then(Value::as_object).into_iter().flatten() {
            for method in METHODS {
                if let Some(operation) = item.get(method) {
                    operations.push(self.operation(path, method, item, operation));
                }
            }
        }
        operations
    }

    fn operation(&self, path: &str, method: &str, item: &'a Value, operation: &'a Value) -> Operation {
        let (path, marker) = path.split_once('#').unwrap_or((path, ""));
        let (hosts, bases) = self.servers(item, operation);
        let joined = |base: &String| {
            let base = base.trim_end_matches('/');
            let alone = (path == "/" && !base.is_empty()).then(|| Template::new(base));
            [Some(Template::new(&format!("{base}{path}"))), alone]
        };
        let id = operation.get("operationId").and_then(Value::as_str);
        let method = method.to_uppercase();
        let mut parameters = self.parameters(item);
        parameters.extend(self.parameters(operation));
        Operation {
            id: id.map_or_else(|| format!("{method} {path}"), str::to_owned),
            method: method.parse().expect("a method"),
            paths: bases.iter().flat_map(joined).flatten().collect(),
            hosts,
            marker: marker.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())),
            security: self.security(operation),
            parameters,
            body: self.body(operation).or_else(|| self.older_body(item, operation)),
        }
    }

    /// The name of each server, and the path that its paths stand below.
    fn servers(&self, item: &Value, operation: &Value) -> (Vec<Template>, Vec<String>) {
        if let Some(host) = self.document.get("host").and_then(Value::as_str) {
            let base = self.document.get("basePath").and_then(Value::as_str).unwrap_or_default();
            return (vec![Template::new(host)], vec![base.to_owned()]);
        }
        let nearest = [operation, item, self.document].into_iter().find_map(|at| at.get("servers")?.as_array());
        let urls = nearest.into_iter().flatten().filter_map(|server| server.get("url")?.as_str());
        let mut pairs = urls.map(|url| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            rest.split_at(rest.find('/').unwrap_or(rest.len()))
        });
        let (mut hosts, mut bases) = (Vec::new(), Vec::new());
        for (host, base) in &mut pairs {
            hosts.push(Template::new(host));
            if !bases.iter().any(|known| known == base) {
                bases.push(base.to_owned());
            }
        }
        if bases.is_empty() { (hosts, vec![String::new()]) } else { (hosts, bases) }
    }

    fn resolved(&self, node: &'a Value) -> &'a Value {
        let target = node.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        target.and_then(|target| self.document.pointer(target)).unwrap_or(node)
    }

    fn security(&self, operation: &Value) -> Vec<Vec<Scheme>> {
        let named = operation.get("security").or_else(|| self.document.get("security"));
        let ways = named.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
        ways.map(|way| way.keys().filter_map(|name| self.scheme(name)).collect()).collect()
    }

    fn scheme(&self, name: &str) -> Option<Scheme> {
        let newer = self.document.pointer(&format!("/components/securitySchemes/{name}"));
        let scheme = newer.or_else(|| self.document.pointer(&format!("/securityDefinitions/{name}")))?;
        let word = |field: &str| scheme.get(field).and_then(Value::as_str).unwrap_or_default();
        let name = word("name").to_lowercase();
        Some(match (word("type"), word("scheme").to_lowercase().as_str(), word("in")) {
            ("http", "basic", _) | ("basic", ..) => Scheme::Basic,
            ("apiKey", _, "query") => Scheme::Query(word("name").to_owned()),
            ("apiKey", _, "header") => Scheme::Header(name),
            ("http", "bearer", _) | ("oauth2" | "openIdConnect", ..) => Scheme::Bearer,
            _ => Scheme::Header("authorization".to_owned()),
        })
    }

    fn parameters(&self, at: &'a Value) -> Vec<Parameter> {
        let all = at.get("parameters").and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|parameter| self.parameter(self.resolved(parameter))).collect()
    }

    fn parameter(&self, parameter: &Value) -> Option<Parameter> {
        let name = parameter.get("name")?.as_str()?;
        let (place, name) = match parameter.get("in")?.as_str()? {
            "path" => (Place::Path, name.to_owned()),
            "query" => (Place::Query, name.to_owned()),
            // a description's word on these three does not count (OpenAPI 3, Parameter Object)
            "header" if ["accept", "authorization", "content-type"].contains(&name.to_lowercase().as_str()) => None?,
            "header" => (Place::Header, name.to_lowercase()),
            _ => None?,
        };
        // Swagger 2 writes the schema's words into the parameter
        let schema = parameter.get("schema").cloned().unwrap_or_else(|| inline(parameter));
        let is_required = place == Place::Path || parameter.get("required") == Some(&Value::Bool(true));
        Some(Parameter { place, name, is_required, schema: Schema::new(&schema, &self.shared) })
    }

    fn body(&self, operation: &'a Value) -> Option<Body> {
        let body = self.resolved(operation.get("requestBody")?);
        let media = body.get("content")?.as_object()?.iter().map(|(name, media)| {
            let schema = media.get("schema").unwrap_or(&Value::Null);
            (essence(name), Schema::new(schema, &self.shared))
        });
        Some(Body { is_required: body.get("required") == Some(&Value::Bool(true)), media: media.collect() })
    }

    /// The body of Swagger 2, which is one of the parameters.
    fn older_body(&self, item: &'a Value, operation: &'a Value) -> Option<Body> {
        let listed = [item, operation].into_iter().filter_map(|at| at.get("parameters")?.as_array()).flatten();
        let all: Vec<_> = listed.map(|parameter| self.resolved(parameter)).collect();
        let within = |parameter: &&Value, place: &str| parameter.get("in").and_then(Value::as_str) == Some(place);
        let is_required = |parameter: &Value| parameter.get("required") == Some(&Value::Bool(true));
        if let Some(body) = all.iter().find(|parameter| within(parameter, "body")) {
            let consumes = operation.get("consumes").or_else(|| self.document.get("consumes"));
            let media = consumes.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let schema = body.get("schema").unwrap_or(&Value::Null);
            let media = media.map(|name| (essence(name), Schema::new(schema, &self.shared))).collect();
            return Some(Body { is_required: is_required(body), media });
        }
        let fields: Vec<_> = all.iter().filter(|parameter| within(parameter, "formData")).collect();
        let name = |field: &&&Value| field.get("name").and_then(Value::as_str).map(str::to_owned);
        let properties: Map<_, _> = fields.iter().filter_map(|field| Some((name(field)?, inline(field)))).collect();
        let required: Vec<_> = fields.iter().filter(|field| is_required(field)).filter_map(name).collect();
        let schema = serde_json::json!({ "type": "object", "properties": properties, "required": required });
        let media = vec![("application/x-www-form-urlencoded".to_owned(), Schema::new(&schema, &self.shared))];
        (!fields.is_empty()).then_some(Body { is_required: !required.is_empty(), media })
    }
}

/// The words of a parameter of Swagger 2 that are its schema's.
fn inline(parameter: &Value) -> Value {
    let mut fields = parameter.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !["name", "in", "required", "description"].contains(&name.as_str()));
    Value::Object(fields)
}

/// A media type without its parameters.
pub fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_lowercase()
}
