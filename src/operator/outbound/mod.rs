//! How what is outside of the API server is reached.

pub mod okta;
pub mod pods;
