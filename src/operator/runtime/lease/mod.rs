//! Who may act: one operator at a time holds the Lease, and knows by its own clock how long it may still act.
//!
//! Each release of the chart has a Lease of its own, by its name. Older releases all had one of the same name, [`NAME`]: as long
//! as operators of such a version may run, a newer one leads only while it holds both ([`former`]).

mod election;
mod former;
mod handle;
pub mod holder;
mod terms;
#[cfg(test)]
mod tests;

pub use self::former::is_pod_of;
pub use self::handle::Handle;
pub use self::holder::{Holder, Lost};
pub use self::terms::{DURATION, Leases, NAME, RENEW_EVERY};
