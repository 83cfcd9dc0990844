//! How the time of one call is shared among providers. Pure.

use std::time::Duration;

/// How much less than the floor an attempt may have. Timers fire late and answers take time to read: without this, a provider
/// that hangs to the end of its share would take the next one's turn by a millisecond.
const SLACK: Duration = Duration::from_millis(50);

/// The time that the next attempt may use, or `None` when it cannot have the floor and is not begun.
///
/// `left` is what remains of the call's deadline, `to_come` how many candidates may still follow this one. Each of those
/// has a floor set aside; when not all can have theirs, the present attempt has its own first.
#[must_use]
pub fn allot(left: Duration, floor: Duration, to_come: u32) -> Option<Duration> {
    (left + SLACK >= floor).then(|| left.saturating_sub(floor.saturating_mul(to_come)).max(floor).min(left))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLOOR: Duration = Duration::from_millis(500);

    #[test]
    fn an_attempt_leaves_a_floor_for_each_candidate_to_come() {
        let ms = Duration::from_millis;
        for (left, to_come, expected) in [
            (2_300, 0, Some(2_300)),
            (2_300, 1, Some(1_800)),
            (2_300, 2, Some(1_300)),
            (900, 1, Some(500)),
            (500, 2, Some(500)),
            (490, 0, Some(490)),
            (449, 0, None),
            (0, 0, None),
        ] {
            assert_eq!(allot(ms(left), FLOOR, to_come), expected.map(ms), "{left} ms left, {to_come} to come");
        }
    }

    proptest! {
        #[test]
        fn attempts_that_use_all_they_may_never_pass_the_deadline(left in 0_u64..3_000, floor in 1_u64..2_000, providers in 1_u32..8) {
            let floor = Duration::from_millis(floor);
            let mut left = Duration::from_millis(left);
            for provider in 0..providers {
                match allot(left, floor, providers - provider - 1) {
                    None => prop_assert!(left + SLACK < floor),
                    Some(allotted) => {
                        prop_assert!(allotted + SLACK >= floor && allotted <= left);
                        left -= allotted;
                    }
                }
            }
        }

        #[test]
        fn every_candidate_gets_its_turn_when_there_is_a_floor_for_each(floor in 1_u64..500, providers in 1_u32..8, extra in 0_u64..1_000) {
            let floor = Duration::from_millis(floor);
            let mut left = floor * providers + Duration::from_millis(extra);
            for provider in 0..providers {
                let allotted = allot(left, floor, providers - provider - 1);
                prop_assert!(allotted.is_some());
                left -= allotted.unwrap_or_default();
            }
        }
    }
}
