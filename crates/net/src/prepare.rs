//! What TLS begins with its first use, begun before.

use rustls::crypto::aws_lc_rs;

use super::roots;

/// Begins the random source of TLS, which gathers randomness for a tenth of a second and more, and reads the public roots, so
/// that the first message waits for neither. Blocks meanwhile; nothing is left to do the second time.
pub fn prepare() {
    let drawn = aws_lc_rs::default_provider().secure_random.fill(&mut [0; 32]);
    // without randomness there is no connection: each says so for itself
    if drawn.is_err() {
        tracing::warn!("the random source of TLS does not answer");
    }
    roots::public();
}
