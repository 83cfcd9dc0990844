//! From a call to an answer: place the number, route, send with failover inside the deadline, say what became of it.

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
    budget,
    figures::{Figures, outcome_label},
    protocol::{Answer, Call},
    runtime::Runtime,
    verdict::{Attempts, Next},
};
use crate::{
    message::{self, Channel, Secret},
    providers::{Message, voice},
    routing::{self, Action, Facts},
};

/// Time kept back for writing the answer.
const ANSWERING: Duration = Duration::from_millis(30);

/// One call on its way.
pub struct Dispatch {
    /// The configuration that it began with; a change meanwhile does not touch it.
    pub runtime: Arc<Runtime>,
    /// Counters.
    pub figures: Arc<Figures>,
    /// The hook's name.
    pub hook: Arc<str>,
    /// When the answer must be there.
    pub deadline: Instant,
    /// Whether a carrier may have the message, for whoever must answer before the work is done.
    pub at_risk: Arc<AtomicBool>,
}

impl Dispatch {
    /// Does all that a call asks for. Ends before the deadline.
    pub async fn run(self, call: &Call) -> Answer {
        let placed = match routing::place(call.number.expose().trim(), self.runtime.default_region) {
            Ok(placed) => placed,
            Err(error) => {
                self.figures.unreadable("number");
                tracing::info!(hook = %self.hook, event = event(call), %error, "not sent: the number cannot be placed");
                return Answer { metadata: Some(format!("number: {error}")), ..Answer::failed() };
            }
        };
        let facts = Facts {
            number: &placed.number,
            country: placed.country,
            channel: call.channel,
            request_type: call.request_type,
        };
        let decision = self.runtime.table.decide(&facts);
        let rule = decision.rule.map(|rule| format!("{}/{}", rule.policy, rule.name)).unwrap_or_default();
        let (answer, made) = match decision.action {
            Action::Send(names) => {
                let (candidates, usable) = self.runtime.candidates(names, placed.country);
                if let Some(rule) = decision.rule {
                    self.figures.ruled(rule.policy, rule.name, usable > 0);
                }
                let message = compose(call, &placed);
                let (answer, made) = self.send(&message, &candidates).await;
                (without_the_message(answer, call, &placed), made)
            }
            Action::Deny => {
                if let Some(rule) = decision.rule {
                    self.figures.ruled(rule.policy, rule.name, true);
                }
                (Answer { metadata: Some(format!("rule={rule}")), ..Answer::blocked() }, String::new())
            }
            Action::NoRule => {
                self.figures.unreadable("no-rule");
                (Answer { metadata: Some("no rule matches".to_owned()), ..Answer::failed() }, String::new())
            }
        };
        tracing::info!(
            hook = %self.hook,
            event = event(call),
            number = %placed.number,
            country = placed.country.map(|country| country.to_string()),
            channel = call.channel.label(),
            rule,
            attempts = made,
            status = answer.status.label(),
            provider = answer.provider,
            "answered"
        );
        answer
    }

    /// Tries candidates until one takes the message or the table says stop; with the answer, a line about each attempt.
    async fn send(&self, message: &Message, candidates: &[Arc<super::carrier::Carrier>]) -> (Answer, String) {
        let mut attempts = Attempts::default();
        let mut made = String::new();
        let runtime = &self.runtime;
        let turns = candidates.len().min(usize::try_from(runtime.max_attempts).unwrap_or(usize::MAX));
        for (turn, carrier) in candidates.iter().take(turns).enumerate() {
            let left = self.deadline.saturating_duration_since(Instant::now()).saturating_sub(ANSWERING);
            let to_come = u32::try_from(turns - turn - 1).unwrap_or(u32::MAX);
            let Some(allotted) = budget::allot(left, runtime.floor, to_come) else {
                break;
            };
            if attempts.is_ambiguous() {
                self.figures.sent_after_ambiguous();
            }
            let begun = Instant::now();
            self.at_risk.store(true, Ordering::Release);
            // With nobody left to ask, a closed breaker's door is knocked at all the same.
            let outcome = carrier.send(message, begun + allotted, to_come == 0).await;
            let took = begun.elapsed();
            self.figures.attempted(&carrier.name, message.channel, &outcome, took);
            if !made.is_empty() {
                made.push(' ');
            }
            let _ = write!(made, "{}:{}:{}ms", carrier.name, outcome_label(&outcome), took.as_millis());
            let next = attempts.take(&carrier.name, &outcome, runtime.on_ambiguous);
            self.at_risk.store(attempts.is_ambiguous(), Ordering::Release);
            if next == Next::Stop {
                break;
            }
        }
        let answer = attempts.answer();
        if answer.transaction_id.is_some() && attempts.made() > 1 {
            self.figures.failed_over();
        }
        (answer, made)
    }
}

/// Ids and codes are a carrier's own words, and Okta's System Log shows them: what quotes the passcode or the number is left
/// out.
fn without_the_message(mut answer: Answer, call: &Call, placed: &routing::Placed) -> Answer {
    let quotes = |text: &String| message::quotes(text, call.code.expose(), &placed.number, placed.national());
    if answer.transaction_id.as_ref().is_some_and(quotes) {
        answer.transaction_id = None;
    }
    if answer.metadata.as_ref().is_some_and(quotes) {
        answer.metadata = None;
    }
    answer
}

fn event(call: &Call) -> Option<&str> {
    call.event_id.as_ref().map(crate::message::EventId::as_str)
}

fn compose(call: &Call, placed: &routing::Placed) -> Message {
    let text = match call.channel {
        // Okta's template is written for reading, not for speaking.
        Channel::Voice => voice::spell(call.code.expose()),
        Channel::Sms => call
            .text
            .clone()
            .unwrap_or_else(|| Secret::new(format!("Your verification code is {}", call.code.expose()))),
    };
    Message {
        id: message_id(call),
        channel: call.channel,
        to: placed.number.clone(),
        country: placed.country,
        text,
        locale: call.locale.clone(),
        ttl: call.expires.and_then(|expires| Duration::try_from(expires.duration_since(jiff::Timestamp::now())).ok()),
    }
}

/// The carrier's idempotency key: Okta's id where there is one, so that a replica that sees the same call sends the same
/// key.
fn message_id(call: &Call) -> String {
    event(call).map_or_else(|| format!("hs-{:032x}", rand::random::<u128>()), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_carrier_that_quotes_the_passcode_or_the_number_does_not_reach_oktas_system_log() {
        let profile = json!({"phoneNumber": "+46701740605", "otpCode": "493817", "deliveryChannel": "SMS"});
        let call = Call::read(json!({"data": {"messageProfile": profile}}).to_string().as_bytes()).unwrap();
        let placed = routing::place("+46701740605", None).unwrap();
        let answer = |id: &str, metadata: &str| Answer {
            transaction_id: Some(id.to_owned()),
            metadata: Some(metadata.to_owned()),
            ..Answer::failed()
        };
        let shown = without_the_message(answer("id-493817", "attempts=1;code=to-46701740605"), &call, &placed);
        assert_eq!((shown.transaction_id, shown.metadata), (None, None));
        for (id, metadata) in [("0701740605", "code=070-174 06 05"), ("msg-1740605", "code=493 817")] {
            let shown = without_the_message(answer(id, metadata), &call, &placed);
            assert_eq!((shown.transaction_id, shown.metadata), (None, None), "{id} {metadata}");
        }
        let kept = answer("SM1", "attempts=1;code=21211");
        assert_eq!(without_the_message(kept.clone(), &call, &placed), kept);
    }
}
