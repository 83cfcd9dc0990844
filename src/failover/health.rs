//! One judgement of a hook from its signals.

use super::signal::{Sight, Signal};

/// What is judged of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether it can deliver.
    pub sight: Sight,
    /// How much of what counts it can deliver, in percent, when known.
    pub percent: Option<u8>,
}

impl Health {
    /// The judgement: it fails when its gateway has no ready replica or too little has a usable carrier; it passes when
    /// every signal passes; else nobody can tell.
    #[must_use]
    pub fn of(signals: &[Signal], percent: Option<u8>) -> Self {
        let any = |sight| signals.iter().any(|signal| signal.sight == sight);
        let sight = match (any(Sight::Fail), any(Sight::Unknown) || signals.is_empty()) {
            (true, _) => Sight::Fail,
            (false, true) => Sight::Unknown,
            (false, false) => Sight::Pass,
        };
        Self { sight, percent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::signal::Source;

    #[test]
    fn one_failing_signal_fails_and_only_all_passing_ones_pass() {
        use Sight::{Fail, Pass, Unknown};
        let judge = |sights: &[Sight]| {
            let signals: Vec<_> = sights
                .iter()
                .map(|sight| Signal { source: Source::Gateway, sight: *sight, why: String::new() })
                .collect();
            Health::of(&signals, None).sight
        };
        assert_eq!(judge(&[Pass, Pass]), Pass);
        assert_eq!(judge(&[Pass, Fail]), Fail);
        assert_eq!(judge(&[Unknown, Fail]), Fail);
        assert_eq!(judge(&[Pass, Unknown]), Unknown);
        assert_eq!(judge(&[]), Unknown);
    }
}
