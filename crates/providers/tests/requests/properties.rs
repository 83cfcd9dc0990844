//! Requests of random messages, from random senders, of every provider.

use std::{cell::Cell, sync::Arc, time::Duration};

use hookswitch_gateway_config::{
    document::{Account, Sender},
    twilio::TwilioOptions,
};
use hookswitch_message::{Channel, E164, Secret};
use hookswitch_providers::Message;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::Value;

use crate::cases::{Configuration, built, configurations, descriptions, made};
use crate::golden::readable;
use crate::wire::{Received, Wire};
use crate::{Specs, judge, known};

/// The longest request that any message makes.
const MAX_REQUEST: usize = 64 * 1024;

fn number() -> impl Strategy<Value = E164> {
    "\\+[1-9][0-9]{6,14}".prop_map(|number| number.parse().unwrap())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Your verification code is 482913.".to_owned()),
        ".{0,200}",
        "[ -~]{0,400}",
        any::<String>(),
        "[<>&\"'%+=#;\\\\{}\\n\\r\\t]{1,60}",
        ("(a|é|語|👋)", 1_000..5_000_usize).prop_map(|(letter, times)| letter.repeat(times)),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let channel = prop_oneof![Just(Channel::Sms), Just(Channel::Voice)];
    let country = prop::option::of(prop::sample::select(vec!["US", "DE", "IN", "BR"]));
    let locale = prop::option::of(prop::sample::select(vec!["en-US", "de", "zh-Hant-TW", "x"]));
    let ttl = prop::option::of(prop_oneof![0_u64..10, 0_u64..1_000_000]);
    let original = prop::option::of(".{0,200}");
    ("[!-~]{1,64}", channel, number(), country, text(), "[0-9A-Za-z]{3,12}", locale, ttl, original).prop_map(
        |(id, channel, to, country, text, code, locale, ttl, original)| Message {
            id,
            channel,
            to,
            country: country.map(|country| country.parse().unwrap()),
            text: Secret::new(text),
            code: Secret::new(code),
            locale: locale.map(str::to_owned),
            ttl: ttl.map(Duration::from_secs),
            original: original.map(|original| Arc::new(Secret::new(original.into_bytes()))),
        },
    )
}

/// Senders that somebody might write: right ones, and all sorts of others.
fn sender() -> impl Strategy<Value = String> {
    prop_oneof![
        number().prop_map(|number| number.as_str().to_owned()),
        "[0-9]{1,8}",
        "[A-Za-z0-9 &+_.-]{1,11}",
        "MG[0-9a-f]{32}",
        "[!-~]{1,40}",
        ".{0,20}",
    ]
}

/// Every text in a body.
fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| leaves(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| leaves(value, found)),
        _ => {}
    }
}

/// The text of an XML document without its tags; `None` when it is not well-formed.
fn text_of(xml: &str) -> Option<String> {
    let escapes = [("lt;", '<'), ("gt;", '>'), ("quot;", '"'), ("apos;", '\''), ("amp;", '&')];
    let (mut text, mut rest) = (String::new(), xml);
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        rest = match next {
            '<' => after.split_once('>')?.1,
            '&' => {
                let (escape, character) = escapes.into_iter().find(|(escape, _)| after.starts_with(escape))?;
                text.push(character);
                &after[escape.len()..]
            }
            other => {
                text.push(other);
                after
            }
        };
    }
    Some(text)
}

/// Whether an answer document could hold a character.
fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// What holds whoever the vendor is.
fn holds(account: &Account, request: &Received, message: &Message) -> Result<(), TestCaseError> {
    prop_assert!(request.body.len() + request.path.len() <= MAX_REQUEST, "{} bytes", request.body.len());
    if let Account::OktaHook { .. } = account {
        prop_assert_eq!(Some(&request.body[..]), message.original.as_ref().map(|original| &original.expose()[..]));
        return Ok(());
    }
    let mut texts = Vec::new();
    leaves(&readable(request), &mut texts);
    let (number, text) = (&message.to, message.text.expose());
    let has_number = texts.iter().any(|leaf| leaf == number.as_str() || leaf == number.digits());
    prop_assert!(has_number, "the number is not in {texts:?}");
    let spoken: String = text.chars().filter(|character| is_xml(*character)).collect();
    if let Account::Twilio { options: TwilioOptions { verify: Some(_), .. }, .. } = account {
        // the text is the vendor's
        prop_assert!(texts.iter().any(|leaf| leaf == message.code.expose()), "the passcode is not in {texts:?}");
        return Ok(());
    }
    let has_text = texts.iter().any(|leaf| match message.channel {
        Channel::Sms => leaf == text,
        Channel::Voice => leaf == text || text_of(leaf).is_some_and(|said| said == spoken),
    });
    prop_assert!(has_text, "the text is not in {texts:?}");
    Ok(())
}

#[test]
fn every_request_arrives_whole_and_is_one_that_the_vendor_describes() {
    let wire = Wire::new();
    let specs = Specs::at_hand();
    let sent = Cell::new(0);
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let configurations = configurations();
    let case = (message(), prop::option::of(sender()));
    let run = runner.run(&case, |(message, sender)| {
        for configuration in &configurations {
            let Configuration { name, account, senders } = configuration;
            let from =
                |from: &String| vec![Sender { channel: message.channel, countries: Vec::new(), from: from.clone() }];
            let senders = sender.as_ref().map_or_else(|| senders.clone(), from);
            let Some(adapter) = made(&Configuration { name, account: account.clone(), senders }) else { continue };
            let Ok(request) = built(&*adapter, &message) else { continue };
            let arrived = wire.send(&request).map_err(TestCaseError::fail)?;
            sent.set(sent.get() + 1);
            holds(account, &arrived, &message)?;
            let (provider, files) = descriptions(account);
            if let Some(specs) = specs.as_ref().filter(|_| !files.is_empty()) {
                let verdict = judge::judge(&specs.named(files), &arrived);
                let (complaints, _) = known::sifted(provider, &verdict);
                prop_assert!(complaints.is_empty(), "{provider}/{name}: {complaints:?}");
            }
        }
        Ok(())
    });
    run.unwrap();
    let sent = sent.get();
    assert!(sent > 500, "only {sent} requests were made of all messages");
    println!("{sent} random requests, {}", if specs.is_some() { "all judged" } else { "without descriptions" });
}
