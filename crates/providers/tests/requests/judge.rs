//! Judges a request that arrived by what the vendor's description says.

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::complaint::{Complaint, Kind};
use crate::description::{Body, Description, Operation, Parameter, Place, Scheme, essence};
use crate::form;
use crate::schema::Schema;
use crate::wire::Received;

/// Headers that carry a message rather than say something of it.
const TRANSPORT: &[&str] =
    &["accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"];

/// What an operation is found by.
struct Found<'a> {
    description: &'a Description,
    operation: &'a Operation,
    holes: Vec<(&'a str, String)>,
    is_host: bool,
    is_method: bool,
}

/// What a judge says.
#[derive(Debug)]
pub struct Verdict<'a> {
    pub description: Option<&'a Description>,
    pub operation: Option<&'a Operation>,
    pub complaints: Vec<Complaint>,
}

/// Judges a request by the operation, among those of all descriptions, that it means.
pub fn judge<'a>(descriptions: &[&'a Description], request: &Received) -> Verdict<'a> {
    let mut found: Vec<_> = descriptions
        .iter()
        .flat_map(|description| {
            description.operations.iter().filter_map(|operation| find(description, operation, request))
        })
        .collect();
    found.sort_by_key(|found| (!found.is_host, !found.is_method, found.holes.len()));
    let Some(found) = found.into_iter().next() else {
        let path = Complaint::new(Kind::Path, format!("{} {}", request.method, request.path), "");
        return Verdict { description: None, operation: None, complaints: vec![path] };
    };
    let Found { description, operation, holes, is_host, is_method } = found;
    let mut complaints = Vec::new();
    if !is_host {
        complaints.push(Complaint::new(Kind::Host, request.host.clone(), ""));
    }
    if is_method {
        complaints.extend(parameters(operation, request, &holes));
        complaints.extend(security(operation, request));
        complaints.extend(body(operation.body.as_ref(), request));
    } else {
        complaints.push(Complaint::new(Kind::Method, format!("{} {}", request.method, request.path), ""));
    }
    Verdict { description: Some(description), operation: Some(operation), complaints }
}

fn find<'a>(description: &'a Description, operation: &'a Operation, request: &Received) -> Option<Found<'a>> {
    let fitting = operation.paths.iter().filter_map(|path| Some((path.holes(), path.matched(&request.path, '/')?)));
    let (_, holes) = fitting.min_by_key(|(holes, _)| *holes)?;
    if let Some((name, value)) = &operation.marker {
        let header = request.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let field = || request.form().into_iter().find(|(field, _)| field == name).map(|(_, value)| value);
        if header.or_else(field).as_ref() != Some(value) {
            return None;
        }
    }
    let is_host = operation.hosts.iter().any(|host| host.matched(&request.host, '/').is_some());
    Some(Found { description, operation, holes, is_host, is_method: operation.method == request.method })
}

fn parameters(operation: &Operation, request: &Received, holes: &[(&str, String)]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let query = form::pairs(request.query.as_deref().unwrap_or_default());
    let query = query.unwrap_or_else(|says| {
        complaints.push(Complaint::new(Kind::Unreadable, "query", says));
        Vec::new()
    });
    for parameter in &operation.parameters {
        let (word, texts): (_, Vec<String>) = match parameter.place {
            Place::Path => ("path", named(holes.iter().map(|(name, hole)| (*name, hole.as_str())), parameter)),
            Place::Query => {
                ("query", named(query.iter().map(|(name, text)| (name.as_str(), text.as_str())), parameter))
            }
            Place::Header => {
                let values = request.headers.get_all(&parameter.name).into_iter();
                ("header", values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect())
            }
        };
        let place = format!("{word}/{}", parameter.name);
        complaints.extend(values(parameter, &place, &texts));
    }
    let is_named = |place: Place, name: &str| {
        operation.parameters.iter().any(|parameter| parameter.place == place && parameter.name == name)
    };
    let schemes = || operation.security.iter().flatten();
    for (name, _) in &query {
        if !is_named(Place::Query, name) && !schemes().any(|scheme| *scheme == Scheme::Query(name.clone())) {
            complaints.push(Complaint::new(Kind::Unknown, format!("query/{name}"), ""));
        }
    }
    let marker = operation.marker.as_ref().map(|(name, _)| name.to_lowercase());
    for name in request.headers.keys().map(http::HeaderName::as_str) {
        // who describes no security is silent about this header too
        let shows_who = name == "authorization"
            && (operation.security.is_empty() || schemes().any(|scheme| !matches!(scheme, Scheme::Query(_))));
        let is_scheme = shows_who || schemes().any(|scheme| *scheme == Scheme::Header(name.to_owned()));
        let is_known = TRANSPORT.contains(&name) || is_named(Place::Header, name) || marker.as_deref() == Some(name);
        if !is_known && !is_scheme {
            complaints.push(Complaint::new(Kind::Unknown, format!("header/{name}"), ""));
        }
    }
    complaints
}

fn named<'a>(all: impl Iterator<Item = (&'a str, &'a str)>, parameter: &Parameter) -> Vec<String> {
    let texts = all.filter(|(name, _)| *name == parameter.name).map(|(_, text)| text);
    let is_path = parameter.place == Place::Path;
    texts
        .map(|text| if is_path { percent_decode_str(text).decode_utf8_lossy().into_owned() } else { text.to_owned() })
        .collect()
}

fn values(parameter: &Parameter, place: &str, texts: &[String]) -> Vec<Complaint> {
    match (texts, parameter.schema.typed_whole()) {
        ([], _) if parameter.is_required => vec![Complaint::new(Kind::Missing, place, "")],
        ([], _) => Vec::new(),
        ([text], typed) => parameter.schema.complaints(place, &form::value(text, &typed)),
        (texts, crate::schema::Typed::List(item)) => {
            let list = texts.iter().map(|text| form::value(text, &item)).collect();
            parameter.schema.complaints(place, &Value::Array(list))
        }
        _ => vec![Complaint::new(Kind::Repeated, place, "")],
    }
}

fn security(operation: &Operation, request: &Received) -> Option<Complaint> {
    let is_met = |way: &Vec<Scheme>| way.iter().all(|scheme| shows(scheme, request));
    let is_fine = operation.security.is_empty() || operation.security.iter().any(is_met);
    (!is_fine).then(|| Complaint::new(Kind::Security, format!("{:?}", operation.security), ""))
}

fn shows(scheme: &Scheme, request: &Received) -> bool {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match scheme {
        Scheme::Basic => header("authorization")
            .strip_prefix("Basic ")
            .and_then(|pair| BASE64_STANDARD.decode(pair).ok())
            .and_then(|pair| String::from_utf8(pair).ok())
            .and_then(|pair| pair.split_once(':').map(|(user, password)| !user.is_empty() && !password.is_empty()))
            .unwrap_or(false),
        Scheme::Bearer => header("authorization")
            .strip_prefix("Bearer ")
            .is_some_and(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())),
        Scheme::Header(name) => !header(name).trim().is_empty(),
        Scheme::Query(name) => {
            let query = form::pairs(request.query.as_deref().unwrap_or_default()).unwrap_or_default();
            query.iter().any(|(field, text)| field == name && !text.is_empty())
        }
    }
}

fn body(described: Option<&Body>, request: &Received) -> Vec<Complaint> {
    let wrong = |kind, says: &str| vec![Complaint::new(kind, "body", says)];
    let (described, is_empty) = (described.filter(|body| !body.media.is_empty()), request.body.is_empty());
    let Some(described) = described else {
        return if is_empty { Vec::new() } else { wrong(Kind::Unknown, "the operation takes none") };
    };
    if is_empty {
        return if described.is_required { wrong(Kind::Missing, "") } else { Vec::new() };
    }
    let media_type = essence(&request.header("content-type"));
    let Some((_, schema)) = described.media.iter().find(|(name, _)| *name == media_type) else {
        return wrong(Kind::MediaType, &media_type);
    };
    content(&media_type, schema, &request.body).unwrap_or_else(|says| wrong(Kind::Unreadable, &says))
}

fn content(media_type: &str, schema: &Schema, body: &[u8]) -> Result<Vec<Complaint>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    if media_type == "application/x-www-form-urlencoded" {
        let (value, mut complaints) = form::object(&form::pairs(text)?, schema, "body");
        complaints.extend(schema.complaints("body", &value));
        return Ok(complaints);
    }
    if media_type.ends_with("json") || media_type.starts_with("application/x-amz-json-") {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return Ok(schema.complaints("body", &value));
    }
    Err(format!("nobody here reads {media_type}"))
}
