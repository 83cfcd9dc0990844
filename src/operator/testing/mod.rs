//! What tests work with: an API server and an org in memory.

pub mod world;
