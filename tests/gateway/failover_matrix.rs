//! The failover matrix: each ordered pair of providers, each class of answer of the first and three of the second. Who was asked,
//! how many messages there were, what Okta got, and in time.
//!
//! What is expected is the outcome table of `docs/concepts/gateway.md`, written down once more; what a vendor answers is the sandbox's.
//! A sample runs by default; `HOOKSWITCH_TESTS=full` runs all. `HOOKSWITCH_SEED` draws another sample.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use hookswitch_gateway::testing;
use hookswitch_gateway_config::{
    document::{
        Account, Action, HookCredential, OktaHookCredential, ProviderConfig, SecretPlacement, Sender, TokenClient,
    },
    twilio::{TwilioOptions, TwilioVerify},
};
use hookswitch_message::Channel;
use hookswitch_sandbox::{
    ProviderOptions, Sandbox, VendorOptions, VerifyService,
    faults::{Fault, FaultKind},
    hosted_hook::{HookClient, TOKEN_PATH},
    secret::Secret,
};
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::scene::{Scene, is_full, rule, sms};

/// Plays that run by default.
const SAMPLE: usize = 48;
/// Which of them, unless `HOOKSWITCH_SEED` says another number.
const SEED: u64 = 20_260;
/// Plays at the same time.
const AT_ONCE: usize = 6;

const TWILIO: &str = "AC00000000000000000000000000000001";
const SERVICE: &str = "VA00000000000000000000000000000001";

/// A provider as it can be configured; each is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Twilio,
    Verify,
    Http,
    Hook,
    HookByToken,
}

const KINDS: [Kind; 5] = [Kind::Twilio, Kind::Verify, Kind::Http, Kind::Hook, Kind::HookByToken];

/// What becomes of a message at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Accepted,
    Destination,
    Unreachable,
    Account,
    Sender,
    Country,
    Throttled,
    Transient,
    Fraud,
    Rejected,
    Unknown,
    /// Sent, and the answer is lost.
    ResetAfter,
    /// Not sent, and the answer makes no sense.
    Garbage,
    /// The provider does not know itself; it was sent.
    Unclear,
    /// Never answered.
    Hangs,
    /// Nobody is there.
    Down,
}

const FIRST: [Ends; 16] = [
    Ends::Accepted,
    Ends::Destination,
    Ends::Unreachable,
    Ends::Account,
    Ends::Sender,
    Ends::Country,
    Ends::Throttled,
    Ends::Transient,
    Ends::Fraud,
    Ends::Rejected,
    Ends::Unknown,
    Ends::ResetAfter,
    Ends::Garbage,
    Ends::Unclear,
    Ends::Hangs,
    Ends::Down,
];

const SECOND: [Ends; 3] = [Ends::Accepted, Ends::Transient, Ends::ResetAfter];

impl Ends {
    const fn is_ambiguous(self) -> bool {
        matches!(self, Self::ResetAfter | Self::Garbage | Self::Unclear | Self::Hangs)
    }

    const fn ends_the_call(self) -> bool {
        matches!(self, Self::Accepted | Self::Destination | Self::Fraud)
    }

    /// Whether the handset has it.
    const fn delivers(self) -> bool {
        matches!(self, Self::Accepted | Self::ResetAfter | Self::Unclear)
    }

    /// Whether a provider of a kind has an answer of that class.
    fn is_of(self, kind: Kind) -> bool {
        self == Self::Accepted || self.fault(kind).is_some()
    }

    /// The fault that makes a provider of a kind end so.
    fn fault(self, kind: Kind) -> Option<FaultKind> {
        let class = |class: &str, scope: Option<&str>| FaultKind::Refuse {
            code: "no".into(),
            status: None,
            class: Some(class.into()),
            scope: scope.map(str::to_owned),
        };
        let code = |code: &str| FaultKind::Refuse { code: code.into(), status: None, class: None, scope: None };
        let status = |status| FaultKind::Refuse { code: "no".into(), status: Some(status), class: None, scope: None };
        let refused = |http: FaultKind, twilio: Option<&str>, verify: Option<&str>, hook: Option<FaultKind>| match kind
        {
            Kind::Http => Some(http),
            Kind::Twilio => twilio.map(code),
            Kind::Verify => verify.map(code),
            Kind::Hook | Kind::HookByToken => hook,
        };
        match self {
            Self::Accepted => None,
            Self::Destination => refused(class("permanent-destination", None), Some("21211"), Some("60205"), None),
            Self::Unreachable => refused(class("unreachable-here", None), Some("21608"), Some("60203"), None),
            Self::Account => refused(class("permanent-config", None), Some("20003"), Some("20003"), Some(status(403))),
            Self::Sender => refused(class("permanent-config", Some("sender")), Some("21660"), Some("60223"), None),
            Self::Country => refused(class("permanent-config", Some("country")), Some("21408"), Some("60605"), None),
            Self::Throttled => refused(class("throttled", None), Some("20429"), Some("20429"), Some(status(429))),
            Self::Transient => refused(class("transient", None), Some("20503"), Some("20503"), Some(status(503))),
            Self::Fraud => refused(class("fraud-blocked", None), Some("30450"), Some("60410"), None),
            Self::Rejected => refused(class("message-rejected", None), Some("30007"), None, None),
            Self::Unknown => refused(class("unknown", None), Some("21216"), Some("60238"), Some(code("FAILED"))),
            Self::ResetAfter => Some(FaultKind::Reset { delivered: true }),
            Self::Garbage => Some(FaultKind::Garbage { delivered: false }),
            // Twilio has no word for it: a 500 of its own is its word that it did not send
            Self::Unclear if matches!(kind, Kind::Twilio | Kind::Verify) => None,
            Self::Unclear => Some(FaultKind::Unknown { delivered: true }),
            Self::Hangs => Some(FaultKind::Hang { delivered: false }),
            Self::Down => Some(FaultKind::Down),
        }
    }
}

/// One play.
#[derive(Debug, Clone, Copy)]
struct Play {
    first: (Kind, Ends),
    second: (Kind, Ends),
}

fn plays() -> Vec<Play> {
    let mut plays = Vec::new();
    for one in KINDS {
        for two in KINDS.into_iter().filter(|two| *two != one) {
            for first in FIRST.into_iter().filter(|ends| ends.is_of(one)) {
                for second in SECOND.into_iter().filter(|ends| ends.is_of(two)) {
                    if !first.ends_the_call() || second == Ends::Accepted {
                        plays.push(Play { first: (one, first), second: (two, second) });
                    }
                }
            }
        }
    }
    plays
}

impl Kind {
    fn simulated(self, name: &str) -> ProviderOptions {
        match self {
            Self::Twilio | Self::Verify => {
                let mut options = ProviderOptions::twilio(name, TWILIO, "token");
                if let VendorOptions::Twilio { services, .. } = &mut options.vendor {
                    let (sid, friendly_name) = (SERVICE.to_owned(), "Acme".to_owned());
                    services.push(VerifyService { sid, friendly_name, custom_codes: true, templates: vec![] });
                }
                options
            }
            Self::Http => ProviderOptions::json(name, "token"),
            Self::Hook => ProviderOptions::hosted_hook(name, "token"),
            Self::HookByToken => {
                let client = HookClient { id: "0oa1".into(), scope: None, lifetime: Duration::from_mins(5) };
                let vendor = VendorOptions::HostedHook { secret: Secret::new("token"), client: Some(client) };
                ProviderOptions { vendor, ..ProviderOptions::hosted_hook(name, "token") }
            }
        }
    }

    fn configured(self, sandbox: &Sandbox, name: &str) -> ProviderConfig {
        let at = format!("https://{}", sandbox.provider(name).unwrap().addr());
        let twilio = |verify| Account::Twilio {
            account_sid: TWILIO.into(),
            api_key_sid: None,
            auth_token: "token".into(),
            base_url: at.clone(),
            options: TwilioOptions { verify, ..TwilioOptions::default() },
        };
        let hook = |auth| Account::OktaHook { url: format!("{at}/okta"), auth, headers: Vec::new() };
        let account = match self {
            Self::Twilio => twilio(None),
            Self::Verify => twilio(Some(TwilioVerify { service_sid: SERVICE.into(), template_sid: None })),
            Self::Http => Account::Http { url: format!("{at}/v1/messages"), token: "token".into() },
            Self::Hook => hook(OktaHookCredential::Header(HookCredential {
                header: "authorization".into(),
                secret: "token".into(),
            })),
            Self::HookByToken => hook(OktaHookCredential::Token(TokenClient {
                token_url: format!("{at}{TOKEN_PATH}"),
                client_id: "0oa1".into(),
                client_secret: "token".into(),
                scope: None,
                authentication: SecretPlacement::ClientSecretPost,
            })),
        };
        let sender = Sender { channel: Channel::Sms, countries: Vec::new(), from: "+15005550006".into() };
        let ca_bundle = Some(sandbox.authority().cert_pem().to_owned());
        ProviderConfig {
            account,
            senders: vec![sender],
            ca_bundle,
            ..testing::provider("https://unused.example/", "t")
        }
    }
}

/// Plays it; what differs from what is expected, if anything does.
async fn play(play: Play) -> Option<String> {
    let Play { first: (one, first), second: (two, second) } = play;
    let kinds = [("first", one), ("second", two)];
    let simulated = kinds.map(|(name, kind)| kind.simulated(name));
    let scene = Scene::before(simulated.into(), Duration::ZERO, |sandbox, config| {
        for (name, kind) in kinds {
            config.providers.insert(name.into(), kind.configured(sandbox, name));
        }
        config.rules = vec![rule(Action::Send(vec!["first".into(), "second".into()]))];
    })
    .await;
    // tokens are there, and so is what each provider is probed by
    for (name, kind) in kinds {
        scene.until_asked(name, if kind == Kind::HookByToken { "token" } else { "" }).await;
    }
    for ((name, kind), ends) in kinds.into_iter().zip([first, second]) {
        if let Some(fault) = ends.fault(kind) {
            scene.sandbox.provider(name).unwrap().set_fault(Fault::always(fault)).unwrap();
        }
    }
    let got = scene.call(&sms("e-1")).await;
    let found = (got.answer(), scene.delivered(), scene.asked("second"));
    let asks_another = !first.ends_the_call();
    let answer = match (first, second) {
        (Ends::Accepted, _) => ("SUCCESSFUL", Some("first")),
        (Ends::Destination, _) => ("FAILED", Some("first")),
        (Ends::Fraud, _) => ("SUCCESSFUL", Some("HOOKSWITCH-BLOCKED")),
        (_, Ends::Accepted) => ("SUCCESSFUL", Some("second")),
        (_, second) if second.is_ambiguous() => ("PENDING", Some("second")),
        (first, _) if first.is_ambiguous() => ("PENDING", Some("first")),
        _ => ("FAILED", Some("second")),
    };
    let messages = usize::from(first.delivers()) + usize::from(asks_another && second.delivers());
    let expected = (answer, messages, usize::from(asks_another));
    (found != expected).then(|| format!("{play:?}: {found:?}, not {expected:?}: {}", got.body))
}

impl Scene {
    /// Waits until the gateway has got a token of a provider, where it needs one.
    async fn until_asked(&self, provider: &str, what: &str) {
        let calls = || self.sandbox.provider(provider).unwrap().calls();
        for _ in 0..400 {
            if what.is_empty() || calls().iter().any(|call| call.what == what) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{provider} was not asked for a {what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_each_answer_of_each_provider_the_next_one_sends_or_nobody_does() {
    let all = plays();
    let mut chosen = all.clone();
    let seed = std::env::var("HOOKSWITCH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    if !is_full() {
        chosen.shuffle(&mut StdRng::seed_from_u64(seed));
        chosen.truncate(SAMPLE);
    }
    let failed: Vec<String> = stream::iter(chosen.iter().copied())
        .map(play)
        .buffer_unordered(AT_ONCE)
        .filter_map(async |one| one)
        .collect()
        .await;
    println!("failover matrix: {} of {} plays, seed {seed}, {} failed", chosen.len(), all.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
