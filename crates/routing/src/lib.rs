//! Routing: from what Okta calls a phone number to a number and its country, and from there to the rule that decides.
//!
//! Pure. Rules come compiled from `config`'s document; the gateway acts on the decision.

mod country_of_number;
mod index;
mod numbering_plan;
mod table;

pub use country_of_number::{Normalized, UnreadableNumber, normalize};
pub use table::{Explanation, Facts, RouteAction, RouteDecision, RuleRef, Skipped, Table};
