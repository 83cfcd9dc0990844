//! Calls as Okta and those who serve its hooks have published them. Shapes are theirs, names and numbers ours.
//!
//! Sources: `reference`: developer.okta.com/docs/reference/telephony-hook (sample request, a preview). `specification`:
//! okta/okta-management-openapi-spec, `TelephonyPayloadExample`, where number and passcode are JSON numbers and `requestType`
//! is missing. `capture`: 8x8's guide for Okta, a voice preview. `lambda`: aws-solutions-library-samples, guidance for Okta
//! phone-based MFA (`voice call`, a number without a plus sign, a locale of two letters). `early`: the first edition of the
//! reference (`CALL`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions, not the functions they share")]

use hookswitch_gateway::protocol::{Call, UnreadableCall};
use hookswitch_message::{Channel, RequestType};
use serde_json::{Value, json};

const PREVIEW: &str = "/api/internal/v1/inlineHooks/com.okta.telephony.provider/generatePreview";

fn reference() -> Value {
    json!({
        "eventId": "uS5871kJThSsU8qlA1LTcg", "eventTime": "2022-01-28T21:43:40.000Z",
        "eventType": "com.okta.telephony.provider", "eventTypeVersion": "1.0", "contentType": "application/json",
        "cloudEventVersion": "0.1", "source": "https://acme.okta.com/api/v1/inlineHooks/calz6lVQA77AwFeEe0g3",
        "requestType": "com.okta.user.telephony.pre-enrollment",
        "data": {
            "context": {"request": {"id": "reqRgSk8IBBRhuo0YdlEDTmUw", "method": "POST", "url": {"value": PREVIEW}, "ipAddress": "127.0.0.1"}},
            "userProfile": {"firstName": "test", "lastName": "user", "login": "test.user@okta.com", "userId": "00uyxxSknGtK8022w0g3"},
            "messageProfile": {
                "msgTemplate": "(HOOK)Your code is 11111", "phoneNumber": "9876543210", "otpExpires": "2022-01-28T21:48:34.321Z",
                "deliveryChannel": "SMS", "otpCode": "11111", "locale": "EN-US"
            }
        }
    })
}

/// The reference's sample with fields put in place of its own; null takes one away.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut body = reference();
    for (pointer, value) in changes {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value == "(absent)" {
            parent.remove(field);
        } else {
            parent.insert(field.to_owned(), value.clone());
        }
    }
    body
}

fn read(body: &Value) -> Result<Call, UnreadableCall> {
    Call::read(body.to_string().as_bytes()).map_err(|refused| refused.reason)
}

#[test]
fn every_published_call_is_read_whole() {
    let profile = |field: &str| format!("/data/messageProfile/{field}");
    let (number, code, channel, locale) =
        (profile("phoneNumber"), profile("otpCode"), profile("deliveryChannel"), profile("locale"));
    let url = "/data/context/request/url/value";
    let rows = [
        ("reference", reference(), Channel::Sms, "9876543210", "11111", true),
        (
            "specification",
            with(&[(&number, json!(9_876_543_210_u64)), (&code, json!(11_111)), ("/requestType", json!("(absent)"))]),
            Channel::Sms,
            "9876543210",
            "11111",
            true,
        ),
        (
            "capture",
            with(&[(&channel, json!("Voice")), (&number, json!("+6591234567"))]),
            Channel::Voice,
            "+6591234567",
            "11111",
            true,
        ),
        (
            "lambda",
            with(&[
                (&channel, json!("voice call")),
                (&number, json!("12065550100")),
                (&locale, json!("en")),
                (&code, json!("493817")),
                (url, json!("/idp/idx/challenge")),
            ]),
            Channel::Voice,
            "12065550100",
            "493817",
            false,
        ),
        (
            "early",
            with(&[(&channel, json!("CALL")), (url, json!("/api/v1/authn"))]),
            Channel::Voice,
            "9876543210",
            "11111",
            false,
        ),
    ];
    for (source, body, channel, number, code, is_preview) in rows {
        let call = read(&body).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(call.channel, channel, "{source}");
        assert_eq!((call.number.expose().as_str(), call.code.expose().as_str()), (number, code), "{source}");
        assert_eq!(call.is_preview, is_preview, "{source}");
        assert_eq!(call.event_id.unwrap().as_str(), "uS5871kJThSsU8qlA1LTcg", "{source}");
        assert_eq!(call.text.is_some(), channel == Channel::Sms, "{source}: what is spoken is not Okta's text");
        assert!(call.expires.is_some() && call.locale.is_some(), "{source}");
    }
}

#[test]
fn null_and_odd_values_are_absent_and_unknown_fields_pass() {
    let odd = [json!(null), json!("(absent)"), json!({"a": 1}), json!([1]), json!(true), json!(1.5), json!("")];
    for pointer in [
        "/eventId",
        "/source",
        "/requestType",
        "/eventTime",
        "/data/context",
        "/data/context/request",
        "/data/context/request/url",
        "/data/userProfile",
        "/data/messageProfile/msgTemplate",
        "/data/messageProfile/otpExpires",
        "/data/messageProfile/locale",
        "/novelty",
        "/data/novelty",
        "/data/messageProfile/novelty",
    ] {
        for value in &odd {
            let call = read(&with(&[(pointer, value.clone())]));
            assert!(call.is_ok(), "{pointer} {value}: {call:?}");
        }
    }
    let empty = json!({});
    assert_eq!(read(&with(&[("/data/messageProfile", empty)])).unwrap_err(), UnreadableCall::Channel);
    for (pointer, reason) in [
        ("/data/messageProfile/phoneNumber", UnreadableCall::Number),
        ("/data/messageProfile/otpCode", UnreadableCall::Code),
        ("/data/messageProfile/deliveryChannel", UnreadableCall::Channel),
        ("/data/messageProfile", UnreadableCall::Shape),
        ("/data", UnreadableCall::Shape),
    ] {
        for value in
            odd.iter().filter(|value| !(pointer.ends_with("Profile") && (value.is_object() || value.is_array())))
        {
            assert_eq!(read(&with(&[(pointer, value.clone())])).unwrap_err(), reason, "{pointer} {value}");
        }
    }
}

#[test]
fn ids_may_be_numbers_and_blanks_and_case_make_no_difference() {
    let call = read(&with(&[
        ("/eventId", json!(4_711)),
        ("/requestType", json!("com.okta.user.telephony.MFA-verification")),
        ("/data/messageProfile/otpCode", json!(" 493817\n")),
        ("/data/messageProfile/deliveryChannel", json!("sms ")),
        ("/data/messageProfile/locale", json!(" en_us ")),
    ]))
    .unwrap();
    assert_eq!(call.event_id.unwrap().as_str(), "4711");
    assert_eq!(call.request_type, Some(RequestType::MfaVerification));
    assert_eq!(
        (call.code.expose().as_str(), call.channel, call.locale.as_deref()),
        ("493817", Channel::Sms, Some("en-us"))
    );
    let call = read(&with(&[("/eventId", json!(" uS58 "))])).unwrap();
    assert_eq!(call.event_id.unwrap().as_str(), "uS58");
}

#[test]
fn a_preview_is_known_by_the_path_that_okta_was_asked_by() {
    let ordinary = ("/data/context/request/url/value", json!("/idp/idx/challenge"));
    assert!(!read(&with(std::slice::from_ref(&ordinary))).unwrap().is_preview);
    let source = ("/source", json!(format!("https://acme.okta.com{PREVIEW}")));
    let call = read(&with(&[ordinary, source])).unwrap();
    assert!(call.is_preview);
    assert_eq!(call.okta_id, None, "the path's end is no hook's id");
    let named = ("/data/context/request/url/value", json!("/generatePreviews/x"));
    assert!(!read(&with(&[named])).unwrap().is_preview);
}

#[test]
fn a_voice_call_is_not_lost_for_the_length_of_a_text_that_it_does_not_use() {
    let long = ("/data/messageProfile/msgTemplate", json!("x".repeat(5_000)));
    assert_eq!(read(&with(std::slice::from_ref(&long))).unwrap_err(), UnreadableCall::Text);
    let voice = ("/data/messageProfile/deliveryChannel", json!("voice"));
    assert!(read(&with(&[long, voice])).unwrap().text.is_none());
}

#[test]
fn the_end_of_a_passcode_is_read_however_iso_8601_writes_it() {
    for text in [
        "2022-01-28T21:48:34.321Z",
        "2022-01-28T21:48:34.321+00:00",
        "2022-01-28T21:48:34.321+0000",
        "2022-01-28T22:48:34.321+01",
        "20220128T214834.321Z",
        " 2022-01-28T21:48:34.321Z\n",
        "2022-01-28t21:48:34,321z",
    ] {
        let call = read(&with(&[("/data/messageProfile/otpExpires", json!(text))])).unwrap();
        assert_eq!(call.expires.map(|at| at.to_string()).as_deref(), Some("2022-01-28T21:48:34.321Z"), "{text:?}");
    }
}
