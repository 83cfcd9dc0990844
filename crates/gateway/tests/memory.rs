//! What remembered calls cost, alone in a process of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is a test")]

use std::{fs, sync::Arc};

use hookswitch_gateway::{
    duplicates::{CAPACITY, DuplicateCheck, Duplicates},
    protocol::{Call, HookAnswer, Status},
};
use serde_json::json;

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() * 1024
}

/// The answer to an SMS by a provider whose ids are as long as most.
fn answer(turn: usize) -> HookAnswer {
    HookAnswer {
        status: Status::Successful,
        provider: Some("twilio-eu".to_owned()),
        transaction_id: Some(format!("SM{turn:032x}")),
        metadata: Some("attempts=1".to_owned()),
    }
}

#[test]
fn as_many_calls_as_are_remembered_take_less_than_200_bytes_each() {
    let profile = json!({"phoneNumber": "+46701740605", "otpCode": "493817", "deliveryChannel": "SMS"});
    let call = Call::read(json!({"data": {"messageProfile": profile}}).to_string().as_bytes()).unwrap();
    let duplicates = Arc::new(Duplicates::default());
    let before = resident();
    for turn in 0..2 * CAPACITY {
        match duplicates.check("otp", &format!("uS5871kJThSsU{turn:09}").parse().unwrap(), &call) {
            DuplicateCheck::First(work, _) => work.settle(answer(turn)),
            _ => panic!("{turn}"),
        }
    }
    let each = resident().saturating_sub(before) / CAPACITY;
    println!("{each} bytes");
    assert!(each < 200, "{each} bytes");
    for (turn, is_known) in [(CAPACITY, true), (2 * CAPACITY - 1, true), (CAPACITY - 1, false)] {
        let seen = duplicates.check("otp", &format!("uS5871kJThSsU{turn:09}").parse().unwrap(), &call);
        assert_eq!(matches!(&seen, DuplicateCheck::Answered(known) if *known == answer(turn)), is_known, "{turn}");
    }
}
