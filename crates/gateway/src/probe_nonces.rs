//! Probes that were answered: each marker is good once.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use hookswitch_gateway_config::probe::{Nonce, SKEW};

/// Most nonces remembered; one process asks some hundred times a minute at most.
const MOST: usize = 10_000;

/// Nonces seen within the time in which they are good.
#[derive(Debug, Default)]
pub struct ProbeNonces(Mutex<BTreeSet<(u64, Nonce)>>);

impl ProbeNonces {
    /// Takes note of a good marker; false when it was there before, or when so many came that it cannot be known.
    pub fn is_new(&self, marker: (u64, Nonce), now: u64) -> bool {
        let mut nonces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *nonces = nonces.split_off(&(now.saturating_sub(SKEW), Nonce::default()));
        nonces.len() < MOST && nonces.insert(marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_new_once_and_forgotten_when_it_is_good_no_more() {
        let probe_nonces = ProbeNonces::default();
        assert!(probe_nonces.is_new((1_000, [1; 16]), 1_000));
        assert!(!probe_nonces.is_new((1_000, [1; 16]), 1_060));
        assert!(probe_nonces.is_new((1_061, [2; 16]), 1_061));
        assert_eq!(probe_nonces.0.lock().unwrap().len(), 1, "the first is too old to be sent again");
        for number in 0..u16::try_from(MOST).unwrap() {
            let mut nonce = [0; 16];
            nonce[..2].copy_from_slice(&number.to_be_bytes());
            probe_nonces.is_new((1_062, nonce), 1_062);
        }
        assert_eq!(probe_nonces.0.lock().unwrap().len(), MOST);
        assert!(!probe_nonces.is_new((1_063, [9; 16]), 1_063), "full: no more proofs");
    }
}
