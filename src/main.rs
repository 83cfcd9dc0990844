//! The `hookswitch` binary.
fn main() {}
