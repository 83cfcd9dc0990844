//! Twilio's error codes and what each means for failover.
//!
//! Source: Twilio's error dictionary, its pages of 2026, and its API description. Codes of receipts stand here too, since a
//! message resource can carry one in its `error_code`. Verify's stand here for proxies that answer with them. A code that
//! can mean several things has the class that is right for all of them; what is not listed is read by its status.

use crate::{Class, Scope};

/// Sure to be about the number, whoever is asked; anything less is [`Class::UnreachableHere`].
const NUMBER: Class = Class::PermanentDestination;
const ACCOUNT: Class = Class::PermanentConfig(Scope::Account);
const SENDER: Class = Class::PermanentConfig(Scope::Sender);
const COUNTRY: Class = Class::PermanentConfig(Scope::Country);

/// The network behind Twilio did not answer in time. Twilio fails such a message without trying again, because it may have
/// been delivered.
const NETWORK_TIMEOUT: u32 = 30_410;

/// Code ranges, sorted and without overlap: first, last, class.
const CODES: &[(u32, u32, Class)] = &[
    (10_001, 10_001, ACCOUNT),                  // account not active
    (10_004, 10_004, Class::Throttled),         // too many calls at once
    (10_005, 10_005, SENDER),                   // calls are disabled for the account; messages may not be
    (13_223, 13_223, NUMBER),                   // not a phone number
    (13_224, 13_224, Class::UnreachableHere),   // no way there, or not a number
    (13_225, 13_225, Class::Unknown),           // see 21216
    (13_227, 13_227, COUNTRY),                  // calls to this country not enabled
    (14_107, 14_107, Class::Throttled),         // message rate
    (14_111, 14_111, Class::UnreachableHere),   // trial account, number not verified
    (20_003, 20_003, ACCOUNT),                  // credentials refused
    (20_005, 20_005, ACCOUNT),                  // account not active
    (20_006, 20_006, SENDER),                   // no privilege for this resource; there may be for others
    (20_008, 20_008, ACCOUNT),                  // test credentials
    (20_010, 20_010, SENDER),                   // this action is disabled for the account; others may not be
    (20_101, 20_107, ACCOUNT),                  // access token refused
    (20_151, 20_160, ACCOUNT),                  // authentication failed
    (20_403, 20_403, ACCOUNT),                  // account suspended or closed
    (20_409, 20_409, Class::Transient),         // conflict with the state of a resource
    (20_429, 20_429, Class::Throttled),         // too many requests
    (20_500, 20_500, Class::Transient),         // internal error
    (20_503, 20_504, Class::Transient),         // unavailable; internal error
    (21_202, 21_202, NUMBER),                   // premium-rate number
    (21_203, 21_203, COUNTRY),                  // international calls not enabled
    (21_210, 21_210, SENDER),                   // caller id not verified
    (21_211, 21_211, NUMBER),                   // not a phone number
    (21_212, 21_213, SENDER),                   // not a usable sender; none
    (21_214, 21_214, Class::UnreachableHere),   // cannot be called from here
    (21_215, 21_215, COUNTRY),                  // calls to this country not enabled
    (21_216, 21_216, Class::Unknown),           // a risky number, a law, or a call to +1 without a customer profile
    (21_217, 21_217, NUMBER),                   // not a phone number
    (21_219, 21_219, Class::UnreachableHere),   // trial account, number not verified
    (21_265, 21_265, NUMBER),                   // a short code
    (21_266, 21_266, Class::UnreachableHere),   // the number is the sender's own
    (21_267, 21_267, SENDER),                   // trial account with an alphanumeric sender
    (21_268, 21_268, NUMBER),                   // premium-rate or information service
    (21_401, 21_401, SENDER),                   // not a sender that can send SMS
    (21_408, 21_408, COUNTRY),                  // SMS to this country not enabled
    (21_470, 21_472, ACCOUNT),                  // account SID wrong, unknown or not active
    (21_601, 21_601, SENDER),                   // not a sender that can send SMS
    (21_602, 21_602, Class::MessageRejected),   // no text
    (21_603, 21_603, SENDER),                   // no sender
    (21_606, 21_607, SENDER),                   // not a sender of this account; a trial account's own is needed
    (21_608, 21_608, Class::UnreachableHere),   // trial account or no compliance profile, number not verified
    (21_610, 21_610, NUMBER),                   // the person has opted out
    (21_611, 21_611, Class::Throttled),         // the sender's queue is full
    (21_612, 21_612, SENDER),                   // this sender does not reach this number
    (21_614, 21_614, NUMBER),                   // not a mobile phone
    (21_616, 21_616, SENDER),                   // the sender is several numbers
    (21_617, 21_617, Class::MessageTooLong),    // text too long
    (21_618, 21_619, Class::MessageRejected),   // text cannot be sent; no text
    (21_635, 21_635, NUMBER),                   // a landline
    (21_657, 21_657, SENDER),                   // sender not supported in this country
    (21_659, 21_663, SENDER),                   // not the account's, not for SMS, not this region, or routed elsewhere
    (21_668, 21_668, SENDER),                   // not from this region
    (21_701, 21_705, SENDER),                   // Messaging Service unknown, closed, or without a sender
    (21_708, 21_709, SENDER),                   // alphanumeric sender missing or not authorised
    (21_711, 21_712, SENDER),                   // sender not in this Messaging Service, or in another
    (21_730, 21_730, Class::Transient),         // maintenance
    (21_910, 21_910, SENDER),                   // sender of another channel
    (22_001, 22_001, Class::Transient),         // call timed out before it was made
    (22_005, 22_005, Class::Throttled),         // a day of calls is queued
    (30_001, 30_001, Class::Throttled),         // queue overflow
    (30_002, 30_002, ACCOUNT),                  // account suspended
    (30_003, 30_006, Class::UnreachableHere),   // handset off, blocked, unknown or a landline, or the network
    (30_007, 30_007, Class::MessageRejected),   // filtered
    (30_008, 30_008, Class::Transient),         // unknown to Twilio too
    (30_017, 30_017, Class::Transient),         // congestion
    (30_019, 30_019, Class::MessageRejected),   // larger than the network takes
    (30_020, 30_021, Class::Transient),         // internal error
    (30_022, 30_023, Class::Throttled),         // rate or daily cap of a US campaign
    (30_024, 30_024, SENDER),                   // not provisioned yet
    (30_027, 30_027, Class::Throttled),         // daily cap of a US brand
    (30_032, 30_035, SENDER),                   // toll-free or US long code not registered, suspended or not ready
    (30_036, 30_036, Class::Transient),         // expired in the queue
    (30_037, 30_037, SENDER),                   // messages are disabled for the account; calls may not be
    (30_040, 30_043, SENDER),                   // not registered in this country, generic, or taken for a domestic one
    (30_044, 30_044, Class::MessageRejected),   // longer than a trial account may send
    (30_450, 30_450, Class::FraudBlocked),      // SMS pumping protection
    (30_453, 30_453, Class::FraudBlocked),      // the number is blocked for hours
    (30_454, 30_454, Class::Throttled),         // a trial account's limit
    (30_485, 30_485, Class::FraudBlocked),      // the number is blocked for hours
    (30_500, 30_500, Class::Transient),         // internal error
    (30_620, 30_620, SENDER),                   // the text is not what the sender is registered for
    (30_630, 30_630, NUMBER),                   // the person has opted out
    (60_203, 60_203, Class::UnreachableHere),   // Verify: too many passcodes for this number
    (60_205, 60_205, NUMBER),                   // Verify: landline
    (60_212, 60_212, Class::UnreachableHere),   // Verify: too many passcodes for this number at once
    (60_220, 60_220, COUNTRY),                  // Verify: China needs approval
    (60_223, 60_223, SENDER),                   // Verify: channel disabled
    (60_238, 60_238, Class::Unknown),           // Verify: an account under review, or an embargoed country
    (60_410, 60_410, Class::FraudBlocked),      // Verify: Fraud Guard blocks the prefix
    (60_412, 60_412, Class::FraudBlocked),      // Verify: fraudulent sign-up
    (60_605, 60_605, COUNTRY),                  // Verify: country not enabled
    (60_728, 60_728, Class::Throttled),         // hourly cap
    (63_002, 63_002, SENDER),                   // sender unknown on its channel
    (63_003, 63_003, Class::UnreachableHere),   // number unknown on the channel
    (63_007, 63_008, SENDER),                   // sender or channel not configured
    (63_009, 63_010, Class::Transient),         // the channel's or Twilio's internal error
    (63_012, 63_012, Class::Transient),         // the channel's internal error
    (63_017, 63_018, Class::Throttled),         // rate
    (63_035, 63_036, Class::UnreachableHere),   // cannot be reached by RCS
    (63_038, 63_038, Class::Throttled),         // daily cap
    (70_051, 70_051, SENDER),                   // also a restricted API key that may not do this one thing
    (572_002, 572_002, Class::UnreachableHere), // trial account, sender not the number's
    (572_005, 572_005, Class::UnreachableHere), // trial account, number not verified
    (573_002, 573_002, Class::UnreachableHere), // trial account, sender not the number's
    (573_005, 573_005, Class::UnreachableHere), // trial account, number not verified
];

/// The class of a code; `None` for one that is not in the table.
pub(super) fn class(code: u32) -> Option<Class> {
    let after = CODES.partition_point(|(first, _, _)| *first <= code);
    let (_, last, class) = CODES.get(after.checked_sub(1)?)?;
    (code <= *last).then_some(*class)
}

/// Whether a code leaves open if the message was sent.
pub(super) const fn leaves_open(code: u32) -> bool {
    code == NETWORK_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_ranges_do_not_overlap() {
        for pair in CODES.windows(2) {
            assert!(pair[0].0 <= pair[0].1 && pair[0].1 < pair[1].0, "{} and {}", pair[0].0, pair[1].0);
        }
    }

    #[test]
    fn a_code_between_two_ranges_is_in_neither() {
        for code in [0, 10_000, 21_264, 21_700, 21_706, NETWORK_TIMEOUT, 573_006, u32::MAX] {
            assert_eq!(class(code), None, "{code}");
        }
    }
}
