//! Whether a gateway can serve a configuration, part by part. Pure.
//!
//! One check for both sides. The operator asks it before a document is written, so that nothing is written that a gateway
//! refuses; a gateway asks it before it serves, and leaves out only the part that is at fault. A gateway of the release
//! before refuses the whole document for the same faults, which is one more reason to write none.

use std::{collections::BTreeMap, fmt};

use http::HeaderName;
use url::Url;

use super::document::{Action, GatewayConfig, HookConfig, HookCredential, ProviderConfig, Report, Rule, Timing};
use hookswitch_message::Secret;

/// The longest deadline that leaves Okta's three seconds room for the way back.
pub const MAX_DEADLINE_MS: u64 = 2_800;

/// What a call needs beside an attempt: to be read, routed and answered.
pub const AROUND_ATTEMPT_MS: u64 = 100;

/// The shortest token of the report; one can be guessed that is shorter.
pub const MIN_REPORT_TOKEN: usize = 16;

/// The times of a gateway that declares none.
pub const DEFAULT_TIMING: Timing =
    Timing { deadline_ms: 2_500, proxy_allowance_ms: 200, attempt_floor_ms: 500, max_attempts: 3 };

/// What is judged by modules that this one does not know: whether a provider's adapter takes its settings, and TLS its
/// certificates. The texts hold nothing secret.
#[derive(Debug, Clone, Copy)]
pub struct Judges {
    /// Of a provider.
    pub provider: fn(&ProviderConfig) -> Result<(), String>,
    /// Of the certificate and the key of the report.
    pub report: fn(&Report) -> Result<(), String>,
}

/// A part of a configuration that can be at fault by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigPart {
    /// `timing`
    Timing,
    /// `proxy`
    Proxy,
    /// `report`
    Report,
    /// One of `hooks`, by name.
    Hook(String),
    /// One of `providers`, by name.
    Provider(String),
    /// One of `rules`: `<policy>/<rule>`.
    Rule(String),
}

impl fmt::Display for ConfigPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timing => f.write_str("timing"),
            Self::Proxy => f.write_str("proxy"),
            Self::Report => f.write_str("report"),
            Self::Hook(name) => write!(f, "hook {name}"),
            Self::Provider(name) => write!(f, "provider {name}"),
            Self::Rule(name) => write!(f, "rule {name}"),
        }
    }
}

/// A part that cannot be served, and why. Holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {what}")]
pub struct Fault {
    /// The part.
    pub part: ConfigPart,
    /// What is wrong with it.
    pub what: String,
}

/// Everything of a configuration that cannot be served as it stands.
#[must_use]
pub fn faults(config: &GatewayConfig, judges: &Judges) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut note = |part: ConfigPart, judged: Result<(), String>| {
        if let Err(what) = judged {
            found.push(Fault { part, what });
        }
    };
    note(ConfigPart::Timing, timing(&config.timing));
    note(ConfigPart::Proxy, config.proxy.as_ref().map_or(Ok(()), proxy));
    note(ConfigPart::Report, report(&config.report, judges));
    for (name, settings) in &config.hooks {
        note(ConfigPart::Hook(name.clone()), hook(settings));
    }
    for (name, settings) in &config.providers {
        note(ConfigPart::Provider(name.clone()), (judges.provider)(settings));
    }
    for settings in &config.rules {
        note(ConfigPart::Rule(format!("{}/{}", settings.policy, settings.name)), rule(settings, &config.providers));
    }
    found
}

/// Whether a gateway can report by these credentials.
///
/// # Errors
/// What is wrong; nothing of them.
pub fn report(report: &Report, judges: &Judges) -> Result<(), String> {
    if report.token.expose().len() < MIN_REPORT_TOKEN {
        return Err(format!("the token is shorter than {MIN_REPORT_TOKEN} characters"));
    }
    (judges.report)(report)
}

/// Whether a call leaves time for one attempt.
///
/// # Errors
/// What does not fit, and what to do.
pub fn timing(timing: &Timing) -> Result<(), String> {
    let call = timing.deadline_ms.min(MAX_DEADLINE_MS).saturating_sub(timing.proxy_allowance_ms);
    if call >= timing.attempt_floor_ms.saturating_add(AROUND_ATTEMPT_MS) {
        return Ok(());
    }
    Err(format!(
        "deadline less proxyAllowance is {call} ms, which leaves no time for one attempt of attempts.floor, {} ms, and \
         {AROUND_ATTEMPT_MS} ms around it: raise the deadline, or lower one of the others",
        timing.attempt_floor_ms
    ))
}

/// Whether a hook can be called by who knows its secret, and by nobody else.
///
/// # Errors
/// What is wrong; never the secret.
pub fn hook(hook: &HookConfig) -> Result<(), String> {
    let can_be_sent = |credential: HookCredential| {
        let text = credential.secret.expose();
        !text.is_empty() && text.trim() == text && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    let is_name = |credential: HookCredential| HeaderName::from_bytes(credential.header.as_bytes()).is_ok();
    if HeaderName::from_bytes(hook.header.as_bytes()).is_err() || !hook.credentials().all(is_name) {
        return Err("the name of the secret's header is not one that HTTP allows".to_owned());
    }
    if hook.secrets.is_empty() || !hook.credentials().all(can_be_sent) {
        return Err("no secret, or one that no header can carry".to_owned());
    }
    Ok(())
}

/// Whether a rule can do what it says by these providers.
///
/// # Errors
/// What is wrong.
pub fn rule(rule: &Rule, providers: &BTreeMap<String, ProviderConfig>) -> Result<(), String> {
    if !rule.matches.prefixes.iter().all(|prefix| is_prefix(prefix)) {
        return Err("a prefix is a plus sign and 1 to 15 digits, the first not zero".to_owned());
    }
    match &rule.action {
        Action::Send(names) if names.is_empty() => Err("sends by no provider".to_owned()),
        Action::Send(names) => match names.iter().find(|name| !providers.contains_key(*name)) {
            Some(missing) => Err(format!("there is no provider {missing}")),
            None => Ok(()),
        },
        Action::Deny => Ok(()),
    }
}

/// Whether a text can begin an E.164 number.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (1..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Whether calls can leave by a proxy.
fn proxy(proxy: &Secret<String>) -> Result<(), String> {
    let fits = Url::parse(proxy.expose()).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if fits { Ok(()) } else { Err("its URL must be http or https, with a host".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Match;

    fn times(deadline_ms: u64, proxy_allowance_ms: u64, attempt_floor_ms: u64) -> bool {
        timing(&Timing { deadline_ms, proxy_allowance_ms, attempt_floor_ms, max_attempts: 1 }).is_ok()
    }

    #[test]
    fn times_must_leave_room_for_one_attempt() {
        assert!(timing(&DEFAULT_TIMING).is_ok());
        for (deadline, allowance, floor, fits) in [
            (500, 450, 100, false),
            (500, 0, 500, false),
            (600, 0, 500, true),
            (599, 0, 500, false),
            (2_500, 1_000, 2_000, false),
            (2_800, 200, 2_000, true),
            (60_000, 200, 2_500, true),
            (60_000, 201, 2_500, false),
            (0, u64::MAX, u64::MAX, false),
        ] {
            assert_eq!(times(deadline, allowance, floor), fits, "{deadline} {allowance} {floor}");
        }
    }

    #[test]
    fn a_hook_that_nobody_or_anybody_could_call_is_at_fault() {
        let of = |header: &str, secrets: &[&str]| {
            let secrets = secrets.iter().map(|secret| Secret::from(*secret)).collect();
            hook(&HookConfig::new(header.to_owned(), secrets)).is_ok()
        };
        let formerly = |header: &str, secret: &str| {
            let former = vec![HookCredential { header: header.to_owned(), secret: secret.into() }];
            hook(&HookConfig { former, ..HookConfig::new("authorization".to_owned(), vec!["a secret".into()]) }).is_ok()
        };
        assert!(formerly("x-secret", "before") && !formerly("x-secret", "") && !formerly("x secret", "before"));
        assert!(of("authorization", &["Bearer secret"]) && of("auth_secret", &["a", "b"]));
        for (header, secrets) in [
            ("authorization", &[][..]),
            ("authorization", &[""]),
            ("authorization", &["good", ""]),
            ("authorization", &[" padded"]),
            ("authorization", &["two\nlines"]),
            ("authorization", &["gr\u{fc}n"]),
            ("", &["secret"]),
            ("with space", &["secret"]),
            ("colon:", &["secret"]),
        ] {
            assert!(!of(header, secrets), "{header:?} {secrets:?}");
        }
    }

    #[test]
    fn a_rule_sends_by_providers_that_there_are_or_is_at_fault() {
        let providers = BTreeMap::from([("a".to_owned(), ProviderConfig::absent())]);
        let judged = |action: Action, prefixes: &[&str]| {
            let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
            let matches = Match { prefixes, ..Match::default() };
            let (policy, name) = ("p".to_owned(), "r".to_owned());
            rule(&Rule { policy, name, priority: None, matches, action, critical: false }, &providers)
        };
        let by = |providers: &[&str]| Action::Send(providers.iter().map(|provider| (*provider).to_owned()).collect());
        let wrong = |what: &str| Err(what.to_owned());
        assert_eq!(judged(by(&["a"]), &[]), Ok(()));
        assert_eq!(judged(Action::Deny, &["+46", "+47"]), Ok(()));
        assert_eq!(judged(by(&[]), &[]), wrong("sends by no provider"));
        assert_eq!(judged(by(&["a", "b", "c"]), &[]), wrong("there is no provider b"));
        let prefix = wrong("a prefix is a plus sign and 1 to 15 digits, the first not zero");
        assert_eq!(judged(Action::Deny, &["+46", "47"]), prefix);
    }

    #[test]
    fn a_token_of_the_report_is_long_enough_not_to_be_guessed() {
        let judges = Judges { provider: |_| Ok(()), report: |report| Err(report.certificate.clone()) };
        let checked = |length: usize| {
            let token = Secret::new("t".repeat(length));
            report(&Report { token, certificate: "judged".to_owned(), key: "k".into() }, &judges)
        };
        assert_eq!(checked(MIN_REPORT_TOKEN - 1), Err("the token is shorter than 16 characters".to_owned()));
        assert_eq!(checked(MIN_REPORT_TOKEN), Err("judged".to_owned()), "it is the certificate's turn");
    }

    #[test]
    fn a_proxy_is_a_url_of_http_with_a_host() {
        for (url, fits) in
            [("http://proxy:3128", true), ("https://u:p@proxy", true), ("socks5://proxy", false), ("proxy:3128", false)]
        {
            assert_eq!(proxy(&url.into()).is_ok(), fits, "{url}");
        }
    }

    #[test]
    fn a_prefix_is_the_beginning_of_a_number() {
        for (text, fits) in [
            ("+46", true),
            ("+123456789012345", true),
            ("", false),
            ("+", false),
            ("46", false),
            ("+0", false),
            ("+46x", false),
        ] {
            assert_eq!(is_prefix(text), fits, "{text:?}");
        }
    }
}
