//! What tests work with: an API server and an org in memory.

pub mod world;

/// Whether everything is played (`HOOKSWITCH_TESTS=full`), and not a sample.
pub fn is_full() -> bool {
    std::env::var("HOOKSWITCH_TESTS").is_ok_and(|tests| tests == "full")
}
