//! Hookswitch.
