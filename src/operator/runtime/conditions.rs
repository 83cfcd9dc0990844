//! Conditions: set so that nothing moves unless something happened.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use hookswitch_api::reason::{self, Reason};

/// The most bytes of a message.
pub const LONGEST_MESSAGE: usize = 1_024;

/// A condition's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// `True`
    True,
    /// `False`
    False,
    /// `Unknown`
    Unknown,
}

impl Is {
    /// As Kubernetes spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Is {
    fn from(is: bool) -> Self {
        if is { Self::True } else { Self::False }
    }
}

/// Sets the condition that `reason` belongs to and returns whether anything changed. The transition time moves only with
/// the status; the list stays sorted by type.
pub fn set<R: Reason>(
    conditions: &mut Vec<Condition>,
    status: Is,
    reason: R,
    message: impl Into<String>,
    generation: Option<i64>,
) -> bool {
    let condition = Condition {
        type_: R::CONDITION.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: bounded(message.into(), LONGEST_MESSAGE),
        observed_generation: generation,
        last_transition_time: Time(now()),
    };
    put(conditions, condition)
}

fn put(conditions: &mut Vec<Condition>, mut condition: Condition) -> bool {
    match conditions.binary_search_by(|known| known.type_.as_str().cmp(&condition.type_)) {
        Ok(at) => {
            if conditions[at].status == condition.status {
                condition.last_transition_time = conditions[at].last_transition_time.clone();
            }
            let changed = conditions[at] != condition;
            conditions[at] = condition;
            changed
        }
        Err(at) => {
            conditions.insert(at, condition);
            true
        }
    }
}

/// Lets a condition say what it says since then, to the second: what it speaks of is another thing from then on.
pub fn begin<R: Reason>(conditions: &mut [Condition], at: Timestamp) {
    for condition in conditions.iter_mut().filter(|condition| condition.type_ == R::CONDITION) {
        condition.last_transition_time = Time(to_the_second(at));
    }
}

/// Takes a condition away and returns whether it was there.
pub fn clear<R: Reason>(conditions: &mut Vec<Condition>) -> bool {
    let before = conditions.len();
    conditions.retain(|known| known.type_ != R::CONDITION);
    conditions.len() != before
}

/// The condition of a type.
#[must_use]
pub fn get<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    conditions.iter().find(|known| known.type_ == kind)
}

/// Whether a condition is so.
#[must_use]
pub fn says_true(condition: &Condition) -> bool {
    condition.status == "True"
}

/// Whether a condition is not so.
#[must_use]
pub fn says_false(condition: &Condition) -> bool {
    condition.status == "False"
}

/// Whether the condition of a type is True.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    get(conditions, kind).is_some_and(says_true)
}

/// How far an object is, as `Ready` and the two conditions of kstatus express it together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// All is as declared.
    Done(String),
    /// Work is under way and goes on by itself.
    Working(reason::Ready, String),
    /// Something failed that may pass by itself; it is tried again.
    Retrying(reason::Ready, String),
    /// A person has to act.
    Stalled(reason::Ready, String),
}

/// Sets `Ready`, `Reconciling` and `Stalled` together, so that they never contradict each other.
pub fn set_progress(conditions: &mut Vec<Condition>, progress: Progress, generation: Option<i64>) -> bool {
    let mut changed = false;
    match progress {
        Progress::Done(message) => {
            changed |= set(conditions, Is::True, reason::Ready::Ready, message, generation);
            changed |= clear::<reason::Reconciling>(conditions);
            changed |= clear::<reason::Stalled>(conditions);
        }
        Progress::Working(ready, message) => {
            changed |= set(conditions, Is::Unknown, ready, message.clone(), generation);
            changed |= set(conditions, Is::True, reason::Reconciling::Progressing, message, generation);
            changed |= clear::<reason::Stalled>(conditions);
        }
        Progress::Retrying(ready, message) => {
            changed |= set(conditions, Is::False, ready, message.clone(), generation);
            changed |= set(conditions, Is::True, reason::Reconciling::Retrying, message, generation);
            changed |= clear::<reason::Stalled>(conditions);
        }
        Progress::Stalled(ready, message) => {
            changed |= set(conditions, Is::False, ready, message.clone(), generation);
            changed |= set(conditions, Is::True, reason::Stalled::NeedsAttention, message, generation);
            changed |= clear::<reason::Reconciling>(conditions);
        }
    }
    changed
}

/// Cuts a text at a character border so that it has at most `most` bytes.
#[must_use]
pub fn bounded(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mut end = most.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

fn now() -> Timestamp {
    to_the_second(Timestamp::now())
}

/// The second in which it was: a status shows no more.
#[must_use]
pub fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut conditions = Vec::new();
        assert!(set(&mut conditions, Is::False, reason::Ready::SecretNotFound, "one", Some(1)));
        conditions[0].last_transition_time = at(7);
        assert!(set(&mut conditions, Is::False, reason::Ready::InvalidSpec, "two", Some(2)));
        assert_eq!(conditions[0].last_transition_time, at(7), "another reason is no transition");
        assert!(set(&mut conditions, Is::True, reason::Ready::Ready, "", Some(2)));
        assert_ne!(conditions[0].last_transition_time, at(7));
    }

    #[test]
    fn setting_the_same_again_changes_nothing() {
        let mut conditions = Vec::new();
        let done = || Progress::Done("as declared".into());
        assert!(set_progress(&mut conditions, done(), Some(3)));
        let before = conditions.clone();
        assert!(!set_progress(&mut conditions, done(), Some(3)));
        assert_eq!(conditions, before);
    }

    #[test]
    fn ready_reconciling_and_stalled_never_contradict_each_other() {
        let mut conditions = Vec::new();
        let steps = [
            (Progress::Working(reason::Ready::Progressing, String::new()), "Unknown", true, false),
            (Progress::Stalled(reason::Ready::SecretNotFound, String::new()), "False", false, true),
            (Progress::Retrying(reason::Ready::OktaUnreachable, String::new()), "False", true, false),
            (Progress::Done(String::new()), "True", false, false),
        ];
        for (progress, ready, reconciling, stalled) in steps {
            set_progress(&mut conditions, progress.clone(), Some(1));
            assert_eq!(get(&conditions, "Ready").unwrap().status, ready, "{progress:?}");
            assert_eq!(is_true(&conditions, "Reconciling"), reconciling, "{progress:?}");
            assert_eq!(is_true(&conditions, "Stalled"), stalled, "{progress:?}");
        }
    }

    #[test]
    fn a_message_is_cut_at_a_character() {
        let cut = bounded("é".repeat(1_000), LONGEST_MESSAGE);
        assert!(cut.len() <= LONGEST_MESSAGE && cut.ends_with('…'));
        assert_eq!(bounded("short".into(), LONGEST_MESSAGE), "short");
    }
}
