//! Errors of the descriptions themselves: what the judge complains of and the vendor takes. Each is needed; one that no golden
//! case meets any more fails the test.

use crate::complaint::{Complaint, Kind};
use crate::judge::Verdict;

/// One error, and how it is known to be one.
pub struct Known {
    pub provider: &'static str,
    /// `None` when the description lacks the operation itself.
    pub operation: Option<&'static str>,
    pub kind: Kind,
    pub place: &'static str,
    pub because: &'static str,
}

pub const KNOWN: &[Known] = &[Known {
    provider: "twilio",
    operation: None,
    kind: Kind::Path,
    place: "GET /2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/IncomingPhoneNumbers.json",
    because: "the extract is reduced; twilio_api_v2010.yaml has it as ListIncomingPhoneNumber, with PageSize",
}];

impl Known {
    fn is(&self, provider: &str, verdict: &Verdict<'_>, complaint: &Complaint) -> bool {
        self.provider == provider
            && self.operation == verdict.operation.map(|operation| operation.id.as_str())
            && self.kind == complaint.kind
            && self.place == complaint.place
    }
}

/// What is left to complain of, and the positions in [`KNOWN`] of what was met.
pub fn sifted<'a>(provider: &str, verdict: &'a Verdict<'_>) -> (Vec<&'a Complaint>, Vec<usize>) {
    let (mut left, mut met) = (Vec::new(), Vec::new());
    for complaint in &verdict.complaints {
        match KNOWN.iter().position(|known| known.is(provider, verdict, complaint)) {
            Some(position) => met.push(position),
            None => left.push(complaint),
        }
    }
    (left, met)
}
