//! What follows an attempt, and what Okta is answered in the end. Pure: this is the outcome table.

use super::protocol::{HookAnswer, Status};
use hookswitch_gateway_config::document::OnAmbiguous;
use hookswitch_providers::{Class, Outcome, Refusal};

/// Whether another provider is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next candidate.
    Another,
    /// The call is over.
    Stop,
}

/// The attempts of one call so far.
#[derive(Debug, Default)]
pub struct Attempts {
    made: u32,
    accepted: Option<(String, String)>,
    ambiguous: Option<String>,
    fraud: bool,
    rejected: bool,
    last: Option<(String, String)>,
}

impl Attempts {
    /// Takes in what became of an attempt at a provider, and says whether another one follows.
    pub fn take(&mut self, provider: &str, outcome: &Outcome, on_ambiguous: OnAmbiguous) -> Next {
        self.made += 1;
        self.judge(provider, outcome, on_ambiguous)
    }

    /// Takes in why nothing left for a provider: that is no attempt, and may be the last word all the same.
    pub fn pass_over(&mut self, provider: &str, refusal: &Refusal) -> Next {
        self.judge(provider, &Outcome::Refused(refusal.clone()), OnAmbiguous::Continue)
    }

    fn judge(&mut self, provider: &str, outcome: &Outcome, on_ambiguous: OnAmbiguous) -> Next {
        match outcome {
            Outcome::Accepted { id } => {
                self.accepted = Some((provider.to_owned(), id.clone()));
                Next::Stop
            }
            Outcome::Ambiguous { .. } => {
                self.ambiguous = Some(provider.to_owned());
                match on_ambiguous {
                    OnAmbiguous::Continue => Next::Another,
                    OnAmbiguous::Stop => Next::Stop,
                }
            }
            Outcome::Refused(refusal) => {
                self.last = Some((provider.to_owned(), refusal.code.clone()));
                match refusal.class {
                    Class::PermanentDestination | Class::MessageTooLong => Next::Stop,
                    // Another provider would pay for the attacker.
                    Class::FraudBlocked => {
                        self.fraud = true;
                        Next::Stop
                    }
                    // Filters differ, so it is tried once more; a text that two refuse is the text's fault.
                    Class::MessageRejected if self.rejected => Next::Stop,
                    Class::MessageRejected => {
                        self.rejected = true;
                        Next::Another
                    }
                    Class::PermanentConfig(_)
                    | Class::UnreachableHere
                    | Class::Throttled
                    | Class::Transient
                    | Class::Unknown => Next::Another,
                }
            }
        }
    }

    /// How many were made: requests that left.
    #[must_use]
    pub const fn made(&self) -> u32 {
        self.made
    }

    /// Whether an attempt's outcome is not known.
    #[must_use]
    pub const fn is_ambiguous(&self) -> bool {
        self.ambiguous.is_some()
    }

    /// Whether a provider has the message, or may have it: FAILED would be a lie.
    #[must_use]
    pub const fn may_have_left(&self) -> bool {
        self.accepted.is_some() || self.ambiguous.is_some()
    }

    /// What Okta is answered: the truth, and never FAILED while a provider may have the message.
    #[must_use]
    pub fn answer(&self) -> HookAnswer {
        let metadata = Some(format!("attempts={}", self.made));
        if let Some((provider, id)) = &self.accepted {
            return HookAnswer {
                status: Status::Successful,
                provider: Some(provider.clone()),
                transaction_id: Some(id.clone()),
                metadata,
            };
        }
        if let Some(provider) = &self.ambiguous {
            return HookAnswer {
                status: Status::Pending,
                provider: Some(provider.clone()),
                transaction_id: None,
                metadata,
            };
        }
        if self.fraud {
            return HookAnswer { metadata, ..HookAnswer::blocked() };
        }
        let (provider, code) = self.last.clone().unzip();
        let metadata = code.map_or(metadata, |code| Some(format!("attempts={};code={code}", self.made)));
        HookAnswer { status: Status::Failed, provider, transaction_id: None, metadata }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookswitch_providers::{Refusal, Scope};

    const ACCEPTED: fn() -> Outcome = || Outcome::Accepted { id: "id-1".into() };
    type Row = (&'static str, Vec<Outcome>, OnAmbiguous, u32, Status, &'static str);

    const AMBIGUOUS: Outcome = Outcome::Ambiguous { cause: "timeout" };

    fn refused(class: Class) -> Outcome {
        Outcome::Refused(Refusal { class, code: "c".into(), retry_after_s: None })
    }

    /// Plays outcomes provider by provider until the table says stop; how many were tried, and the last word.
    fn play(outcomes: &[Outcome], on_ambiguous: OnAmbiguous) -> (u32, Status, Option<String>) {
        let mut attempts = Attempts::default();
        for (index, outcome) in outcomes.iter().enumerate() {
            if attempts.take(&format!("p-{index}"), outcome, on_ambiguous) == Next::Stop {
                break;
            }
        }
        let answer = attempts.answer();
        (attempts.made(), answer.status, answer.provider)
    }

    #[test]
    fn each_row_of_the_outcome_table_holds() {
        use OnAmbiguous::{Continue, Stop};
        use Status::{Failed, Pending, Successful};
        let config = |scope| refused(Class::PermanentConfig(scope));
        let rows: Vec<Row> = vec![
            ("accepted ends it", vec![ACCEPTED(), ACCEPTED()], Continue, 1, Successful, "p-0"),
            (
                "a bad destination ends it",
                vec![refused(Class::PermanentDestination), ACCEPTED()],
                Continue,
                1,
                Failed,
                "p-0",
            ),
            ("an account refusal goes on", vec![config(Scope::Account), ACCEPTED()], Continue, 2, Successful, "p-1"),
            ("a sender refusal goes on", vec![config(Scope::Sender), ACCEPTED()], Continue, 2, Successful, "p-1"),
            ("a country refusal goes on", vec![config(Scope::Country), ACCEPTED()], Continue, 2, Successful, "p-1"),
            ("throttled goes on", vec![refused(Class::Throttled), ACCEPTED()], Continue, 2, Successful, "p-1"),
            ("transient goes on", vec![refused(Class::Transient), ACCEPTED()], Continue, 2, Successful, "p-1"),
            (
                "a number that one provider does not reach goes on",
                vec![refused(Class::UnreachableHere), ACCEPTED()],
                Continue,
                2,
                Successful,
                "p-1",
            ),
            (
                "unknown reasons go on, however many",
                vec![refused(Class::Unknown), refused(Class::Unknown), refused(Class::Unknown), ACCEPTED()],
                Continue,
                4,
                Successful,
                "p-3",
            ),
            ("an unknown reason is the last word", vec![refused(Class::Unknown)], Continue, 1, Failed, "p-0"),
            ("all refuse", vec![refused(Class::Transient), config(Scope::Account)], Continue, 2, Failed, "p-1"),
            (
                "rejected goes on once",
                vec![refused(Class::MessageRejected), ACCEPTED()],
                Continue,
                2,
                Successful,
                "p-1",
            ),
            (
                "rejected twice ends it",
                vec![refused(Class::MessageRejected), refused(Class::MessageRejected), ACCEPTED()],
                Continue,
                2,
                Failed,
                "p-1",
            ),
            ("too long ends it", vec![refused(Class::MessageTooLong), ACCEPTED()], Continue, 1, Failed, "p-0"),
            (
                "fraud ends it, blocked",
                vec![refused(Class::FraudBlocked), ACCEPTED()],
                Continue,
                1,
                Successful,
                "HOOKSWITCH-BLOCKED",
            ),
            ("ambiguous goes on", vec![AMBIGUOUS, ACCEPTED()], Continue, 2, Successful, "p-1"),
            ("ambiguous stops when told to", vec![AMBIGUOUS, ACCEPTED()], Stop, 1, Pending, "p-0"),
            ("ambiguous is the last word", vec![AMBIGUOUS], Continue, 1, Pending, "p-0"),
            ("ambiguous, then refused", vec![AMBIGUOUS, refused(Class::Transient)], Continue, 2, Pending, "p-0"),
            (
                "ambiguous, then a bad destination",
                vec![AMBIGUOUS, refused(Class::PermanentDestination)],
                Continue,
                2,
                Pending,
                "p-0",
            ),
            ("ambiguous, then fraud", vec![AMBIGUOUS, refused(Class::FraudBlocked)], Continue, 2, Pending, "p-0"),
            ("refused, then ambiguous", vec![refused(Class::Transient), AMBIGUOUS], Continue, 2, Pending, "p-1"),
        ];
        for (sentence, outcomes, on_ambiguous, made, status, provider) in rows {
            let expected = (made, status, Some(provider.to_owned()));
            assert_eq!(play(&outcomes, on_ambiguous), expected, "{sentence}");
        }
    }

    #[test]
    fn a_provider_that_nothing_left_for_is_no_attempt_and_has_the_last_word_when_nobody_else_has() {
        let mut attempts = Attempts::default();
        let refusal = |class| Refusal { class, code: "no-sender".into(), retry_after_s: None };
        let next = attempts.pass_over("p-0", &refusal(Class::PermanentConfig(Scope::Sender)));
        let answer = attempts.answer();
        assert_eq!((next, attempts.made(), answer.status), (Next::Another, 0, Status::Failed));
        assert_eq!(answer.metadata.as_deref(), Some("attempts=0;code=no-sender"));
        assert_eq!(attempts.pass_over("p-1", &refusal(Class::MessageTooLong)), Next::Stop, "for everybody");
        attempts.take("p-2", &ACCEPTED(), OnAmbiguous::Continue);
        assert_eq!((attempts.made(), attempts.answer().status), (1, Status::Successful));
    }

    #[test]
    fn a_message_that_a_provider_has_or_may_have_is_never_called_unsent() {
        for (outcome, may_have_left) in [
            (ACCEPTED(), true),
            (AMBIGUOUS, true),
            (refused(Class::Transient), false),
            (refused(Class::Unknown), false),
        ] {
            let mut attempts = Attempts::default();
            assert!(!attempts.may_have_left() && !attempts.is_ambiguous());
            attempts.take("one", &outcome, OnAmbiguous::Continue);
            assert_eq!(attempts.may_have_left(), may_have_left, "{outcome:?}");
            assert_eq!(attempts.is_ambiguous(), outcome == AMBIGUOUS, "{outcome:?}");
            attempts.take("two", &refused(Class::Transient), OnAmbiguous::Continue);
            assert_eq!(attempts.may_have_left(), may_have_left, "{outcome:?}, whatever comes after it");
        }
    }

    #[test]
    fn every_answer_says_how_many_attempts_there_were_and_a_failed_one_its_last_code() {
        for (outcomes, metadata) in [
            (vec![ACCEPTED()], "attempts=1"),
            (vec![refused(Class::Transient), ACCEPTED()], "attempts=2"),
            (vec![AMBIGUOUS, refused(Class::Transient)], "attempts=2"),
            (vec![refused(Class::FraudBlocked)], "attempts=1"),
            (vec![refused(Class::Transient), refused(Class::Unknown)], "attempts=2;code=c"),
            (vec![], "attempts=0"),
        ] {
            let mut attempts = Attempts::default();
            for outcome in &outcomes {
                attempts.take("one", outcome, OnAmbiguous::Continue);
            }
            assert_eq!(attempts.answer().metadata.as_deref(), Some(metadata), "{outcomes:?}");
        }
    }

    #[test]
    fn without_any_attempt_the_answer_is_failed() {
        assert_eq!(Attempts::default().answer().status, Status::Failed);
    }
}
