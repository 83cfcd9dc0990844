//! What is so, by what is declared and seen: values in, values out.

pub mod claim;
pub mod gateway_names;
pub mod object_ref;
pub mod org_access;
pub mod ownership;
pub mod switch_progress;
pub mod switch_settings;
pub mod tenancy;
pub mod urgency;
