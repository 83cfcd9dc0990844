//! From a call to an answer: normalize the number, route, send with failover inside the deadline, say what became of it.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    attempt_policy::{Attempts, Next},
    budget,
    candidate::{Candidate, Entry, SendUrgency, Shut},
    codes, compose,
    metrics::{GatewayMetrics, outcome_label},
    private::Private,
    protocol::{Call, HookAnswer},
    provider::Tried,
    runtime::RunningConfig,
};
use hookswitch_message as message;
use hookswitch_message::Channel;
use hookswitch_providers::Outcome;
use hookswitch_routing as routing;
use hookswitch_routing::{Facts, RouteAction};

/// Time kept back for writing the answer.
const ANSWERING: Duration = Duration::from_millis(30);

/// One call on its way.
pub struct Dispatch {
    /// The configuration that it began with; a change meanwhile does not touch it.
    pub runtime: Arc<RunningConfig>,
    /// Counters.
    pub counters: Arc<GatewayMetrics>,
    /// The hook's name.
    pub hook: Arc<str>,
    /// When the answer must be there.
    pub deadline: Instant,
    /// Whether a provider may have the message, for whoever must answer before the work is done.
    pub at_risk: Arc<AtomicBool>,
}

impl Dispatch {
    /// Does all that a call asks for. Ends before the deadline.
    pub async fn run(self, call: &Call) -> HookAnswer {
        let normalized = match routing::normalize(call.number.expose().trim(), self.runtime.default_region) {
            Ok(normalized) => normalized,
            Err(error) => {
                self.counters.unreadable("number");
                tracing::info!(hook = %self.hook, event = event(call), %error, "not sent: the number cannot be normalized");
                return HookAnswer { metadata: Some(format!("number: {error}")), ..HookAnswer::failed() };
            }
        };
        let facts = Facts {
            number: &normalized.number,
            country: normalized.country,
            channel: call.channel,
            request_type: call.request_type,
        };
        let decision = self.runtime.table.decide(&facts);
        let rule = decision.rule.map(|rule| format!("{}/{}", rule.policy, rule.name)).unwrap_or_default();
        // what an administrator tries out is no traffic of the rule's
        let counting = decision.rule.filter(|_| !call.is_preview);
        let (answer, made) = match decision.action {
            RouteAction::Send(names) => match compose::message(call, &normalized, jiff::Timestamp::now()) {
                Ok(message) => {
                    let (candidates, usable) = self.runtime.candidates(names, &message, call.person.as_ref());
                    if let Some(named) = counting {
                        self.counters.ruled(named.policy, named.name, usable > 0);
                        self.counters.used(&rule, (call.channel, normalized.country));
                    }
                    let private = Private::new(call.code.expose(), &message);
                    let (answer, made) = self.send(message.channel, &candidates, &private).await;
                    (without_the_message(answer, call, &normalized), made)
                }
                Err(unsendable) => {
                    if let Some(named) = counting {
                        self.counters.ruled(named.policy, named.name, true);
                    }
                    self.counters.unreadable(unsendable.label());
                    (HookAnswer { metadata: Some(unsendable.to_string()), ..HookAnswer::failed() }, String::new())
                }
            },
            RouteAction::Deny => {
                if let Some(rule) = counting {
                    self.counters.ruled(rule.policy, rule.name, true);
                }
                (HookAnswer { metadata: Some(format!("rule={rule}")), ..HookAnswer::blocked() }, String::new())
            }
            RouteAction::NoRule => {
                self.counters.unreadable("no-rule");
                (HookAnswer { metadata: Some("no rule matches".to_owned()), ..HookAnswer::failed() }, String::new())
            }
        };
        tracing::info!(
            hook = %self.hook,
            event = event(call),
            number = %normalized.number,
            country = normalized.country.map(|country| country.to_string()),
            channel = call.channel.label(),
            rule,
            attempts = made,
            status = answer.status.label(),
            provider = answer.provider,
            "answered"
        );
        answer
    }

    /// Tries candidates until one takes the message or the table says stop; with the answer, a line about each of them. Whose
    /// provider is closed for a while is tried again when nobody else is left.
    async fn send(&self, channel: Channel, candidates: &[Candidate], private: &Private<'_>) -> (HookAnswer, String) {
        let mut sending =
            Sending { dispatch: self, channel, private, attempts: Attempts::default(), tried: 0, line: String::new() };
        let all: Vec<&Candidate> = candidates.iter().collect();
        if let Progress::Left(shut) = sending.ask(&all, SendUrgency::Ordinary).await {
            sending.ask(&shut, SendUrgency::Last).await;
        }
        let answer = sending.attempts.answer();
        if answer.transaction_id.is_some() && sending.tried > 1 {
            self.counters.failed_over();
        }
        (answer, sending.line)
    }
}

/// A message on its way from candidate to candidate.
struct Sending<'a> {
    dispatch: &'a Dispatch,
    channel: Channel,
    private: &'a Private<'a>,
    attempts: Attempts,
    /// How many providers were called, whether the request left or not.
    tried: u32,
    line: String,
}

/// How a round of asking ended.
enum Progress<'a> {
    /// Nothing more is to be done.
    Over,
    /// Nobody took it; these were not asked, and may be when nobody else is left.
    Left(Vec<&'a Candidate>),
}

impl Sending<'_> {
    /// Asks candidates one after the other. Only requests that leave count as attempts, and time is kept only for those that
    /// can be asked.
    async fn ask<'c>(&mut self, candidates: &[&'c Candidate], urgency: SendUrgency) -> Progress<'c> {
        let runtime = &self.dispatch.runtime;
        let mut shut = Vec::new();
        for (turn, &candidate) in candidates.iter().enumerate() {
            let Some(left) = runtime.max_attempts.checked_sub(self.attempts.made() + 1) else { return Progress::Over };
            let to_come = candidates[turn + 1..].iter().filter(|later| later.can_be_asked(urgency)).count();
            let to_come = u32::try_from(to_come).unwrap_or(u32::MAX).min(left);
            let time = self.dispatch.deadline.saturating_duration_since(Instant::now()).saturating_sub(ANSWERING);
            let Some(allotted) = budget::allot(time, runtime.floor, to_come) else { return Progress::Over };
            let next = match candidate.enter(urgency) {
                Ok(entry) => self.attempt(candidate, entry, allotted).await,
                Err(reason) if urgency == SendUrgency::Ordinary && reason.may_be_forced() => {
                    shut.push(candidate);
                    continue;
                }
                Err(reason) => self.pass_over(candidate, &reason),
            };
            if next == Next::Stop {
                return Progress::Over;
            }
        }
        Progress::Left(shut)
    }

    async fn attempt(&mut self, candidate: &Candidate, entry: Entry, allotted: Duration) -> Next {
        let dispatch = self.dispatch;
        if self.attempts.is_ambiguous() {
            dispatch.counters.sent_after_ambiguous();
        }
        let begun = Instant::now();
        dispatch.at_risk.store(true, Ordering::Release);
        let sent = candidate.send(entry, allotted, self.private).await;
        let took = begun.elapsed();
        let Tried { outcome, left } = match sent {
            Ok(tried) => tried,
            Err(reason) => {
                dispatch.at_risk.store(self.attempts.may_have_left(), Ordering::Release);
                return self.pass_over(candidate, &reason);
            }
        };
        dispatch.counters.attempted(candidate.name(), self.channel, &outcome, took);
        self.tried += 1;
        let code = codes::word(&outcome).map(|code| format!("({code})")).unwrap_or_default();
        self.note(format_args!("{}:{}{code}:{}ms", candidate.name(), outcome_label(&outcome), took.as_millis()));
        let next = match &outcome {
            Outcome::Refused(refusal) if !left => self.attempts.pass_over(candidate.name(), refusal),
            outcome => self.attempts.take(candidate.name(), outcome, dispatch.runtime.on_ambiguous),
        };
        dispatch.at_risk.store(self.attempts.may_have_left(), Ordering::Release);
        next
    }

    fn pass_over(&mut self, candidate: &Candidate, reason: &Shut) -> Next {
        self.dispatch.counters.passed_over(candidate.name(), reason.label());
        let refusal = reason.refusal();
        self.note(format_args!("{}:passed-over({})", candidate.name(), refusal.code));
        self.attempts.pass_over(candidate.name(), &refusal)
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let space = if self.line.is_empty() { "" } else { " " };
        let _ = write!(self.line, "{space}{what}");
    }
}

/// Ids and codes are a provider's own words, and Okta's System Log shows them: what quotes the passcode or the number is left
/// out.
fn without_the_message(mut answer: HookAnswer, call: &Call, normalized: &routing::Normalized) -> HookAnswer {
    let quotes = |text: &String| message::quotes(text, call.code.expose(), &normalized.number, normalized.national());
    if answer.transaction_id.as_ref().is_some_and(quotes) {
        answer.transaction_id = None;
    }
    if answer.metadata.as_ref().is_some_and(quotes) {
        answer.metadata = None;
    }
    answer
}

fn event(call: &Call) -> Option<&str> {
    call.event_id.as_ref().map(hookswitch_message::EventId::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_provider_that_quotes_the_passcode_or_the_number_does_not_reach_oktas_system_log() {
        let profile = json!({"phoneNumber": "+46701740605", "otpCode": "493817", "deliveryChannel": "SMS"});
        let call = Call::read(json!({"data": {"messageProfile": profile}}).to_string().as_bytes()).unwrap();
        let normalized = routing::normalize("+46701740605", None).unwrap();
        let answer = |id: &str, metadata: &str| HookAnswer {
            transaction_id: Some(id.to_owned()),
            metadata: Some(metadata.to_owned()),
            ..HookAnswer::failed()
        };
        let shown = without_the_message(answer("id-493817", "attempts=1;code=to-46701740605"), &call, &normalized);
        assert_eq!((shown.transaction_id, shown.metadata), (None, None));
        for (id, metadata) in [("0701740605", "code=070-174 06 05"), ("msg-1740605", "code=493 817")] {
            let shown = without_the_message(answer(id, metadata), &call, &normalized);
            assert_eq!((shown.transaction_id, shown.metadata), (None, None), "{id} {metadata}");
        }
        let kept = answer("SM1", "attempts=1;code=21211");
        assert_eq!(without_the_message(kept.clone(), &call, &normalized), kept);
    }
}
