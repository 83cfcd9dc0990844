//! The judge judged: for each kind of complaint a request that is wrong in just that way, and none for one that is right.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::complaint::Kind;
use crate::description::Description;
use crate::judge::judge;
use crate::wire::Received;
use crate::{Specs, specs_folder};

pub const FORM: &str = "application/x-www-form-urlencoded";
pub const JSON: &str = "application/json";

/// Written by hand: one operation of each kind of body, in the words of each version.
const NEWER: &str = r"
openapi: 3.0.3
info: {title: t, version: '1', x-extract: {source: 'a test @ 0123456789abcdef0123456789abcdef01234567'}}
servers: [{url: 'https://{region}.sms.example/v1', variables: {region: {default: eu}}}]
security: [{basic: []}, {key: []}]
paths:
  /accounts/{Sid}/messages.json:
    parameters:
    - {in: path, name: Sid, required: true, schema: {type: string, pattern: '^AC[0-9a-f]{4}$'}}
    post:
      operationId: send
      parameters:
      - {in: query, name: region, schema: {type: string, enum: [eu, us]}}
      - {in: query, name: day, required: true, schema: {type: integer, maximum: 31}}
      - {in: header, name: X-Request-Id, required: true, schema: {type: string, minLength: 2}}
      requestBody:
        required: true
        content:
          application/x-www-form-urlencoded:
            schema:
              type: object
              required: [To]
              properties:
                To: {type: string}
                Period: {type: integer, format: int32}
                Price: {type: number}
                Smart: {type: boolean}
                Tag: {type: array, items: {type: integer}}
                Mode: {$ref: '#/components/schemas/Mode'}
  /messages:
    get: {operationId: list, security: []}
    post:
      operationId: sendJson
      requestBody:
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Message'}
components:
  securitySchemes:
    basic: {type: http, scheme: basic}
    key: {type: apiKey, in: header, name: X-Api-Key}
  schemas:
    Mode: {type: string, enum: [keep, discard]}
    Base: {type: object, required: [to], properties: {to: {type: string, maxLength: 16}, id: {type: string, readOnly: true}}}
    Message:
      allOf:
      - {$ref: '#/components/schemas/Base'}
      - type: object
        properties:
          note: {type: string, nullable: true}
          options: {type: object, additionalProperties: true, properties: {ttl: {type: integer, minimum: 0, exclusiveMinimum: true}}}
          labels: {type: object, additionalProperties: {type: string}}
          parts: {type: array, items: {$ref: '#/components/schemas/Part'}}
          body: {oneOf: [{$ref: '#/components/schemas/Text'}, {$ref: '#/components/schemas/Part'}]}
    Part: {type: object, required: [n], properties: {n: {type: integer}}}
    Text: {type: object, required: [text], properties: {text: {type: string}}}
";

const OLDER: &str = r"
swagger: '2.0'
info: {title: t, version: '1'}
host: sms.example
basePath: /v2
consumes: [application/json]
paths:
  /sms:
    post:
      operationId: send
      parameters:
      - {in: query, name: api-version, required: true, type: string}
      - {in: body, name: any, required: true, schema: {$ref: '#/definitions/Sms'}}
  /form:
    post:
      operationId: form
      parameters: [{in: formData, name: To, type: string, required: true}, {in: formData, name: N, type: integer}]
definitions:
  Sms: {type: object, required: [to], properties: {to: {type: array, items: {type: object, properties: {n: {type: string}}}}}}
";

pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Received {
    let (host, path) = target.split_at(target.find('/').unwrap());
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.to_owned())));
    let header =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    Received {
        method: method.parse().unwrap(),
        host: host.to_owned(),
        path: path.to_owned(),
        query,
        headers: headers.iter().map(header).collect::<HeaderMap>(),
        body: body.as_bytes().to_vec(),
    }
}

/// What the judge complains of: kinds and places.
fn said(description: &Description, request: &Received) -> Vec<(Kind, String)> {
    let verdict = judge(&[description], request);
    verdict.complaints.into_iter().map(|complaint| (complaint.kind, complaint.place)).collect()
}

fn one(kind: Kind, place: &str) -> Vec<(Kind, String)> {
    vec![(kind, place.to_owned())]
}

const BASIC: (&str, &str) = ("authorization", "Basic QUM6cw==");
const SEND: &str = "eu.sms.example/v1/accounts/AC00ff/messages.json?day=7";

fn form(body: &str) -> Received {
    request("POST", SEND, &[BASIC, ("content-type", FORM), ("x-request-id", "r-1")], body)
}

fn with(change: impl Fn(&mut Received)) -> Received {
    let mut request = form("To=%2B1&Period=300");
    change(&mut request);
    request
}

#[test]
fn a_form_that_is_wrong_in_one_way_is_refused_for_it() {
    let description = Description::read("t.yaml", NEWER);
    let whole = "To=%2B1&Period=300&Price=0.5&Smart=true&Tag=1&Tag=2&Mode=keep";
    assert_eq!(said(&description, &form(whole)), []);
    for (body, expected) in [
        ("Period=300", one(Kind::Missing, "body/To")),
        ("To=1&Foo=1", one(Kind::Unknown, "body/Foo")),
        ("To=1&to=1", one(Kind::Unknown, "body/to")),
        ("To=1&To=2", one(Kind::Repeated, "body/To")),
        ("To=1&Period=soon", one(Kind::Value, "body/Period")),
        ("To=1&Period=4294967296", one(Kind::Value, "body/Period")),
        ("To=1&Price=cheap", one(Kind::Value, "body/Price")),
        ("To=1&Smart=yes", one(Kind::Value, "body/Smart")),
        ("To=1&Tag=1&Tag=x", one(Kind::Value, "body/Tag/1")),
        ("To=1&Mode=burn", one(Kind::Value, "body/Mode")),
        ("To", one(Kind::Unreadable, "body")),
        ("To=%2", one(Kind::Unreadable, "body")),
        ("To=%FF", one(Kind::Unreadable, "body")),
        ("To=a b", one(Kind::Unreadable, "body")),
        ("To=é", one(Kind::Unreadable, "body")),
        ("", one(Kind::Missing, "body")),
    ] {
        assert_eq!(said(&description, &form(body)), expected, "{body}");
    }
}

#[test]
fn what_stands_around_a_body_is_judged_too() {
    let description = Description::read("t.yaml", NEWER);
    let path = |path: &str| with(|request| path.clone_into(&mut request.path));
    let query = |query: &str| with(|request| request.query = Some(query.to_owned()));
    let header = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).unwrap();
        with(|request| drop(request.headers.insert(name, value.clone())))
    };
    let without = |name: &str| with(|request| drop(request.headers.remove(name)));
    let security = "[[Basic], [Header(\"x-api-key\")]]";
    let api_key = {
        let mut request = header("x-api-key", "k");
        request.headers.remove("authorization");
        request
    };
    assert_eq!(said(&description, &api_key), []);
    assert_eq!(said(&description, &header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")), []);
    for (request, expected) in [
        (path("/v1/accounts/AC00ff/messages"), one(Kind::Path, "POST /v1/accounts/AC00ff/messages")),
        (path("/accounts/AC00ff/messages.json"), one(Kind::Path, "POST /accounts/AC00ff/messages.json")),
        (path("/v1/accounts/AC00fg/messages.json"), one(Kind::Value, "path/Sid")),
        (with(|r| r.method = http::Method::PUT), one(Kind::Method, "PUT /v1/accounts/AC00ff/messages.json")),
        (with(|r| "sms.elsewhere".clone_into(&mut r.host)), one(Kind::Host, "sms.elsewhere")),
        (with(|r| r.query = None), one(Kind::Missing, "query/day")),
        (query("day=32"), one(Kind::Value, "query/day")),
        (query("day=x"), one(Kind::Value, "query/day")),
        (query("day=1&day=2"), one(Kind::Repeated, "query/day")),
        (query("day=1&region=mars"), one(Kind::Value, "query/region")),
        (query("day=1&night=1"), one(Kind::Unknown, "query/night")),
        (without("x-request-id"), one(Kind::Missing, "header/x-request-id")),
        (header("x-request-id", "r"), one(Kind::Value, "header/x-request-id")),
        (header("x-other", "1"), one(Kind::Unknown, "header/x-other")),
        (without("authorization"), one(Kind::Security, security)),
        (header("authorization", "Bearer t"), one(Kind::Security, security)),
        (header("authorization", "Basic no"), one(Kind::Security, security)),
        (header("authorization", "Basic QUM6"), one(Kind::Security, security)),
        (header("content-type", JSON), one(Kind::MediaType, "body")),
        (without("content-type"), one(Kind::MediaType, "body")),
    ] {
        assert_eq!(said(&description, &request), expected);
    }
    let list = request("GET", "eu.sms.example/v1/messages", &[], "{}");
    assert_eq!(said(&description, &list), one(Kind::Unknown, "body"));
}

#[test]
fn a_json_body_is_judged_to_its_last_object() {
    let description = Description::read("t.yaml", NEWER);
    let said = |body: &Value| {
        let headers = [BASIC, ("content-type", JSON)];
        said(&description, &request("POST", "eu.sms.example/v1/messages", &headers, &body.to_string()))
    };
    let whole = json!({"to": "+1", "note": null, "options": {"ttl": 1}, "labels": {"any": "x"}, "parts": [{"n": 1}],
        "body": {"text": "t"}});
    assert_eq!(said(&whole), []);
    for (body, kind, place) in [
        (json!({"note": "n"}), Kind::Missing, "body/to"),
        (json!({"to": "+1", "from": "x"}), Kind::Unknown, "body/from"),
        (json!({"to": "+1", "id": "x"}), Kind::Unknown, "body/id"),
        (json!({"to": null}), Kind::Value, "body/to"),
        (json!({"to": "+12345678901234567"}), Kind::Value, "body/to"),
        (json!({"to": "+1", "options": {"tll": 1}}), Kind::Unknown, "body/options/tll"),
        (json!({"to": "+1", "options": {"ttl": 0}}), Kind::Value, "body/options/ttl"),
        (json!({"to": "+1", "options": {"ttl": "1"}}), Kind::Value, "body/options/ttl"),
        (json!({"to": "+1", "labels": {"any": 1}}), Kind::Value, "body/labels/any"),
        (json!({"to": "+1", "parts": [{"n": 1, "m": 2}]}), Kind::Unknown, "body/parts/0/m"),
        (json!({"to": "+1", "parts": [{"n": 1}, {}]}), Kind::Missing, "body/parts/1/n"),
        (json!({"to": "+1", "body": {"text": "t", "txt": "t"}}), Kind::Unknown, "body/body/txt"),
        (json!({"to": "+1", "body": {"text": 1}}), Kind::Value, "body/body"),
        (json!(["to"]), Kind::Value, "body"),
    ] {
        assert_eq!(said(&body), one(kind, place), "{body}");
    }
    let headers = [BASIC, ("content-type", JSON)];
    let broken = request("POST", "eu.sms.example/v1/messages", &headers, "{\"to\":");
    assert_eq!(self::said(&description, &broken), one(Kind::Unreadable, "body"));
}

#[test]
fn swagger_2_says_the_same_in_other_words() {
    let description = Description::read("t.yaml", OLDER);
    let headers = [("content-type", JSON)];
    let sms =
        |query: &str, body: Value| request("POST", &format!("sms.example/v2/sms{query}"), &headers, &body.to_string());
    let form = |body: &str| request("POST", "sms.example/v2/form", &[("content-type", FORM)], body);
    for (request, expected) in [
        (sms("?api-version=1", json!({"to": [{"n": "1"}]})), vec![]),
        (sms("", json!({"to": []})), one(Kind::Missing, "query/api-version")),
        (sms("?api-version=1", json!({"to": [{"n": "1", "m": 1}]})), one(Kind::Unknown, "body/to/0/m")),
        (sms("?api-version=1", json!({})), one(Kind::Missing, "body/to")),
        (form("To=1&N=2"), vec![]),
        (form("N=2"), one(Kind::Missing, "body/To")),
        (form("To=1&N=two"), one(Kind::Value, "body/N")),
        (form("To=1&M=2"), one(Kind::Unknown, "body/M")),
    ] {
        assert_eq!(said(&description, &request), expected);
    }
}

fn model(protocol: &str) -> Description {
    let model = json!({
        "x-extract": "a test",
        "metadata": {"protocol": protocol, "targetPrefix": "Sms", "jsonVersion": "1.0", "apiVersion": "2010",
            "endpointPrefix": "sms"},
        "operations": {
            "Send": {"http": {"method": "POST", "requestUri": "/"}, "input": {"shape": "SendRequest"}},
            "List": {"http": {"method": "POST", "requestUri": "/"}},
        },
        "shapes": {
            "SendRequest": {"type": "structure", "required": ["To"], "members": {"To": {"shape": "Number"},
                "Ttl": {"shape": "Seconds"}, "Tags": {"shape": "Tags"}, "Context": {"shape": "Context"}}},
            "Number": {"type": "string", "min": 1, "max": 20, "pattern": "\\+?[1-9][0-9]+"},
            "Seconds": {"type": "integer", "min": 5},
            "Tags": {"type": "list", "member": {"shape": "Number"}, "max": 2},
            "Context": {"type": "map", "key": {"shape": "Number", "locationName": "Name"},
                "value": {"shape": "Entry", "locationName": "Value"}},
            "Entry": {"type": "structure", "members": {"Text": {"shape": "Number"}}},
        },
    });
    Description::read("model.json", &model.to_string())
}

#[test]
fn a_model_of_the_json_protocol_is_found_by_its_header() {
    let description = model("json");
    let send = |target: &str, body: Value| {
        let media_type = ("content-type", "application/x-amz-json-1.0");
        let signed = [("authorization", "AWS4-HMAC-SHA256 a"), ("x-amz-date", "20261201T000000Z"), media_type];
        let headers: Vec<_> = signed.into_iter().chain([("x-amz-target", target)]).collect();
        said(&description, &request("POST", "sms.eu-west-1.amazonaws.com/", &headers, &body.to_string()))
    };
    let whole = json!({"To": "+1500", "Ttl": 5, "Tags": ["12"], "Context": {"a": {"Text": "15"}}});
    assert_eq!(send("Sms.Send", whole), []);
    assert_eq!(send("Sms.Sent", json!({})), one(Kind::Path, "POST /"));
    for (body, kind, place) in [
        (json!({}), Kind::Missing, "body/To"),
        (json!({"To": "+1500", "Ttl": 4}), Kind::Value, "body/Ttl"),
        (json!({"To": "+1500x"}), Kind::Value, "body/To"),
        (json!({"To": "+1500", "TTL": 5}), Kind::Unknown, "body/TTL"),
        (json!({"To": "+1500", "Context": {"a": {"Test": "1"}}}), Kind::Unknown, "body/Context/a/Test"),
        (json!({"To": "+1500", "Tags": ["12", "12", "12"]}), Kind::Value, "body/Tags"),
    ] {
        assert_eq!(send("Sms.Send", body.clone()), one(kind, place), "{body}");
    }
}

#[test]
fn a_model_of_the_query_protocol_is_found_by_its_action() {
    let description = model("query");
    let send = |body: &str| {
        let media_type = ("content-type", FORM);
        let headers = [("authorization", "AWS4-HMAC-SHA256 a"), ("x-amz-date", "20261201T000000Z"), media_type];
        said(&description, &request("POST", "sms.eu-west-1.amazonaws.com/", &headers, body))
    };
    let whole = "Action=Send&Version=2010&To=%2B1500&Ttl=5&Tags.member.1=12&Context.entry.1.Name=a&Context.entry.1.Value.Text=15";
    assert_eq!(send(whole), []);
    assert_eq!(send("Action=List&Version=2010"), []);
    for (body, kind, place) in [
        ("Action=Sent&Version=2010", Kind::Path, "POST /"),
        ("Action=Send&Version=2010", Kind::Missing, "body/To"),
        ("Action=Send&Version=2011&To=15", Kind::Value, "body/Version"),
        ("Action=Send&Version=2010&To=15&Ttl=x", Kind::Value, "body/Ttl"),
        ("Action=Send&Version=2010&To=15&Tags.member.1=x", Kind::Value, "body/Tags/0"),
        ("Action=Send&Version=2010&To=15&Tags.1=12", Kind::Value, "body/Tags"),
        ("Action=Send&Version=2010&To=15&To.x=1", Kind::Repeated, "body/To.x"),
        (
            "Action=Send&Version=2010&To=15&Context.entry.1.Name=a&Context.entry.1.Value.Tex=15",
            Kind::Unknown,
            "body/Context/a/Tex",
        ),
    ] {
        assert_eq!(send(body), one(kind, place), "{body}");
    }
}

#[test]
fn a_description_says_where_it_is_from() {
    let description = Description::read("t.yaml", NEWER);
    assert_eq!(description.commit, "0123456789abcdef0123456789abcdef01234567");
    assert_eq!(description.operation("sendJson").unwrap().paths.len(), 1);
}

#[test]
fn twilios_own_description_refuses_what_twilio_refuses() {
    let Some(specs) = Specs::at_hand() else { return };
    let twilio = specs.named(&["twilio-api-v2010.yaml"])[0];
    let account = "AC0123456789abcdef0123456789abcdef";
    let path = format!("api.twilio.com/2010-04-01/Accounts/{account}/Messages.json");
    let send = |path: &str, media_type: &str, body: &str| {
        said(twilio, &request("POST", path, &[BASIC, ("content-type", media_type)], body))
    };
    assert_eq!(send(&path, FORM, "To=%2B14155552671&From=Acme&Body=1&ValidityPeriod=300"), []);
    let shorter = path.replace(".json", "");
    let short_sid = path.replace(account, "AC01");
    for (path, media_type, body, kind, place) in [
        (&path, FORM, "From=Acme&Body=1", Kind::Missing, "body/To"),
        (&path, FORM, "To=%2B1&Foo=1", Kind::Unknown, "body/Foo"),
        (&path, FORM, "To=%2B1&ValidityPeriod=soon", Kind::Value, "body/ValidityPeriod"),
        (&path, FORM, "To=%2B1&MessagingServiceSid=MG1", Kind::Value, "body/MessagingServiceSid"),
        (&path, FORM, "To=%2B1&StatusCallback=nowhere", Kind::Value, "body/StatusCallback"),
        (&path, FORM, "To=%2B1&ContentRetention=burn", Kind::Value, "body/ContentRetention"),
        (&shorter, FORM, "To=%2B1", Kind::Path, &format!("POST {}", shorter.trim_start_matches("api.twilio.com"))),
        (&short_sid, FORM, "To=%2B1", Kind::Value, "path/AccountSid"),
        (&path, JSON, "{\"To\": \"+1\"}", Kind::MediaType, "body"),
    ] {
        let complaints = send(path, media_type, body);
        assert!(complaints.contains(&(kind, place.to_owned())), "{path} {body}: {complaints:?}");
        assert!(complaints.iter().all(|(_, at)| at == place), "{path} {body}: {complaints:?}");
    }
}

#[test]
fn every_description_at_hand_can_be_read() {
    let Some(folder) = specs_folder() else { return };
    let mut read = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let is_description = path.extension().is_some_and(|extension| extension == "yaml" || extension == "json");
        if !is_description {
            continue;
        }
        let description = Description::load(&path);
        println!("{} @ {}", description.file, description.commit);
        for operation in &description.operations {
            let media: Vec<_> = operation.body.iter().flat_map(|body| &body.media).collect();
            let schemas = media.iter().map(|(_, schema)| schema);
            for schema in schemas.chain(operation.parameters.iter().map(|parameter| &parameter.schema)) {
                schema.validator();
            }
            let names: Vec<_> = media.iter().map(|(name, _)| name.as_str()).collect();
            println!("  {} {} {}", operation.method, operation.id, names.join(" "));
        }
        read += 1;
    }
    assert!(read > 0, "{} holds no description", folder.display());
}
