//! Twilio's error codes and what each means for failover.
//!
//! Source: Twilio's error dictionary and API description; codes of receipts stand here too, since a message resource can
//! carry one in its `error_code`.

use crate::providers::{Class, Scope};

const DESTINATION: Class = Class::PermanentDestination;
const ACCOUNT: Class = Class::PermanentConfig(Scope::Account);
const SENDER: Class = Class::PermanentConfig(Scope::Sender);
const COUNTRY: Class = Class::PermanentConfig(Scope::Country);

/// Code ranges, sorted and without overlap: first, last, class.
const CODES: &[(u32, u32, Class)] = &[
    (10_001, 10_001, ACCOUNT),                // account not active
    (10_004, 10_004, Class::Throttled),       // too many calls at once
    (13_223, 13_224, DESTINATION),            // number malformed or not in service
    (13_225, 13_225, Class::FraudBlocked),    // on Twilio's block list
    (13_227, 13_227, COUNTRY),                // voice to this country not enabled
    (14_107, 14_107, Class::Throttled),       // message rate
    (20_003, 20_003, ACCOUNT),                // credentials refused
    (20_005, 20_005, ACCOUNT),                // account not active
    (20_403, 20_403, ACCOUNT),                // forbidden
    (20_429, 20_429, Class::Throttled),       // too many requests
    (20_500, 20_500, Class::Transient),       // internal error
    (20_503, 20_503, Class::Transient),       // unavailable
    (21_202, 21_202, DESTINATION),            // premium number
    (21_203, 21_203, COUNTRY),                // international calls not enabled
    (21_210, 21_210, SENDER),                 // caller id not verified
    (21_211, 21_211, DESTINATION),            // not a phone number
    (21_212, 21_212, SENDER),                 // not a usable sender
    (21_214, 21_214, DESTINATION),            // cannot be reached
    (21_215, 21_215, COUNTRY),                // voice to this country not enabled
    (21_216, 21_216, Class::FraudBlocked),    // on Twilio's block list
    (21_217, 21_217, DESTINATION),            // not a phone number
    (21_219, 21_219, ACCOUNT),                // trial account, number not verified
    (21_401, 21_401, DESTINATION),            // not a phone number
    (21_408, 21_408, COUNTRY),                // SMS to this country not enabled
    (21_421, 21_421, DESTINATION),            // not a phone number
    (21_602, 21_602, Class::MessageRejected), // no text
    (21_603, 21_603, SENDER),                 // no sender
    (21_604, 21_604, DESTINATION),            // no number
    (21_606, 21_606, SENDER),                 // sender cannot send SMS
    (21_608, 21_608, ACCOUNT),                // trial account, number not verified
    (21_610, 21_610, DESTINATION),            // the person has opted out
    (21_611, 21_611, Class::Throttled),       // the sender's queue is full
    (21_612, 21_612, DESTINATION),            // cannot be reached by SMS
    (21_614, 21_614, DESTINATION),            // not a mobile phone
    (21_617, 21_617, Class::MessageTooLong),  // text too long
    (21_618, 21_618, Class::MessageRejected), // text cannot be sent
    (21_619, 21_619, Class::Transient),       // could not be processed
    (21_657, 21_657, SENDER),                 // sender not registered
    (21_701, 21_705, SENDER),                 // Messaging Service has no usable sender
    (21_730, 21_730, Class::Transient),       // maintenance
    (30_001, 30_001, Class::Throttled),       // queue overflow
    (30_002, 30_002, ACCOUNT),                // account suspended
    (30_003, 30_006, DESTINATION),            // handset off, blocked, unknown, or a landline
    (30_007, 30_007, Class::MessageRejected), // filtered
    (30_008, 30_008, Class::Transient),       // unknown error
    (30_017, 30_017, Class::Transient),       // congestion
    (30_018, 30_018, SENDER),                 // sender not registered
    (30_019, 30_019, Class::MessageRejected), // content larger than the network takes
    (30_022, 30_023, Class::Throttled),       // rate or daily cap of a US campaign
    (30_024, 30_024, SENDER),                 // sender not provisioned
    (30_027, 30_027, Class::Throttled),       // daily cap of a US brand
    (30_032, 30_034, SENDER),                 // toll-free or US long code not registered
    (30_410, 30_410, Class::Transient),       // the network did not answer
    (30_450, 30_450, Class::FraudBlocked),    // SMS pumping protection
    (60_200, 60_200, DESTINATION),            // Verify: bad parameter, mostly the number
    (60_203, 60_203, Class::Throttled),       // Verify: too many sends to this number
    (60_205, 60_205, DESTINATION),            // Verify: landline
    (60_207, 60_207, Class::Throttled),       // Verify: rate limit
    (60_212, 60_212, Class::Throttled),       // Verify: too many at once
    (60_220, 60_220, COUNTRY),                // Verify: country needs approval
    (60_223, 60_223, SENDER),                 // Verify: channel disabled
    (60_238, 60_238, Class::FraudBlocked),    // Verify: fraud
    (60_410, 60_410, Class::FraudBlocked),    // Verify: Fraud Guard
    (60_413, 60_413, Class::FraudBlocked),    // Verify: Fraud Guard
    (60_605, 60_605, COUNTRY),                // Verify: country not enabled
    (63_038, 63_038, Class::Throttled),       // daily cap
];

/// The class of a code; `None` for one that is not in the table.
pub(super) fn class(code: u32) -> Option<Class> {
    let after = CODES.partition_point(|(first, _, _)| *first <= code);
    let (_, last, class) = CODES.get(after.checked_sub(1)?)?;
    (code <= *last).then_some(*class)
}
