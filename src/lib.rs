//! Hookswitch.

pub mod sandbox;
