//! What Twilio shows of an account, its numbers, a message and a call.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::params::Form;
use super::{Answer, Asked, TwilioAccount, is_e164, random_hex, twilio_time};

impl TwilioAccount {
    pub(super) fn account(&self) -> Answer {
        let uri = format!("/2010-04-01/Accounts/{}", self.sid);
        Answer::json(
            StatusCode::OK,
            &json!({
                "sid": self.sid,
                "owner_account_sid": self.sid,
                "friendly_name": "Sandbox",
                "auth_token": "hidden",
                "status": "active",
                "type": "Full",
                "date_created": twilio_time(self.made),
                "date_updated": twilio_time(self.made),
                "uri": format!("{uri}.json"),
                "subresource_uris": {
                    "calls": format!("{uri}/Calls.json"),
                    "messages": format!("{uri}/Messages.json"),
                },
            }),
        )
    }

    pub(super) fn numbers(&self, query: &Form) -> Answer {
        let size: usize = query.get("PageSize").and_then(|size| size.parse().ok()).unwrap_or(50);
        let uri = format!("/2010-04-01/Accounts/{}/IncomingPhoneNumbers.json", self.sid);
        let numbers: Vec<_> = self
            .senders
            .iter()
            .filter(|sender| is_e164(sender))
            .take(size)
            .map(|number| json!({"account_sid": self.sid, "phone_number": number, "friendly_name": number}))
            .collect();
        Answer::json(
            StatusCode::OK,
            &json!({
                "end": numbers.len().saturating_sub(1),
                "first_page_uri": format!("{uri}?PageSize={size}&Page=0"),
                "incoming_phone_numbers": numbers,
                "next_page_uri": null,
                "page": 0,
                "page_size": size,
                "previous_page_uri": null,
                "start": 0,
                "uri": format!("{uri}?PageSize={size}&Page=0"),
            }),
        )
    }

    pub(super) fn message_resource(&self, asked: &Asked, id: &str) -> Value {
        let now = twilio_time(Timestamp::now());
        let uri = format!("/2010-04-01/Accounts/{}/Messages/{id}", self.sid);
        json!({
            "account_sid": self.sid,
            "api_version": "2010-04-01",
            "body": asked.text,
            "date_created": now,
            "date_sent": null,
            "date_updated": now,
            "direction": "outbound-api",
            "error_code": null,
            "error_message": null,
            "from": asked.from,
            "messaging_service_sid": asked.service,
            "num_media": "0",
            "num_segments": segments(&asked.text).to_string(),
            "price": null,
            "price_unit": null,
            "sid": id,
            "status": if asked.from.is_some() { "queued" } else { "accepted" },
            "subresource_uris": {"media": format!("{uri}/Media.json")},
            "to": asked.to,
            "uri": format!("{uri}.json"),
        })
    }

    pub(super) fn call_resource(&self, asked: &Asked, id: &str) -> Value {
        let uri = format!("/2010-04-01/Accounts/{}/Calls/{id}", self.sid);
        json!({
            "account_sid": self.sid,
            "answered_by": null,
            "api_version": "2010-04-01",
            "caller_name": null,
            "date_created": null,
            "date_updated": null,
            "direction": "outbound-api",
            "duration": null,
            "end_time": null,
            "forwarded_from": null,
            "from": asked.from,
            "from_formatted": asked.from,
            "group_sid": null,
            "parent_call_sid": null,
            "phone_number_sid": format!("PN{}", random_hex(32)),
            "price": null,
            "price_unit": "USD",
            "queue_time": "0",
            "sid": id,
            "start_time": null,
            "status": "queued",
            "subresource_uris": {
                "events": format!("{uri}/Events.json"),
                "notifications": format!("{uri}/Notifications.json"),
                "recordings": format!("{uri}/Recordings.json"),
            },
            "to": asked.to,
            "to_formatted": asked.to,
            "trunk_sid": null,
            "uri": format!("{uri}.json"),
        })
    }
}

/// Segments of a text: GSM-7 160 or 153 characters, else UCS-2 70 or 67. ASCII stands for GSM-7.
fn segments(text: &str) -> usize {
    let (units, one, each) =
        if text.is_ascii() { (text.len(), 160, 153) } else { (text.encode_utf16().count(), 70, 67) };
    if units <= one { 1 } else { units.div_ceil(each) }
}
