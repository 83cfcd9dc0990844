//! The gateway's configuration: one versioned document, compiled from resources, carried in a Secret.
//!
//! The operator writes it and gateways read it, so it is the one contract between two images that may differ by a
//! release; the report goes the other way. Pure: no input or output here.

pub mod check;
pub mod document;
pub mod envelope;
pub mod probe;
pub mod report;
pub mod twilio;
