//! What it takes to find the rule of a call: by the index, and by asking each rule in turn, in the same run.
//!
//! `cargo bench -p hookswitch-routing --bench rules`. The rule that fits is the last one, as in the bench of whole calls.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{hint::black_box, time::Instant};

use hookswitch_gateway_config::document::{Action, Match, Rule};
use hookswitch_message::{Channel, E164, RequestType};
use hookswitch_routing::{Facts, RouteDecision, Table};

const ROUNDS: usize = 9;

fn main() {
    println!(
        "nanoseconds for one decision, the median of {ROUNDS} rounds in turn; microseconds to make the table, rules given"
    );
    println!("{:<36} {:>8} {:>8} {:>12} {:>8}", "", "rules", "index", "scan", "table");
    for (kind, rule) in [
        ("each for a beginning of a number", by_prefix as fn(usize) -> Match),
        ("each for 8 beginnings of a number", by_prefixes),
        ("each for a country and a flow", by_country),
        ("all for one country, by a beginning", by_both),
    ] {
        for count in [10, 1_000, 4_096, 10_000] {
            let matches = (1..count).map(rule).chain([Match::default()]);
            let rules: Vec<Rule> = matches.enumerate().map(|(at, matches)| named(at, matches)).collect();
            let begun = Instant::now();
            let table = Table::new(rules);
            let made = begun.elapsed().as_micros();
            let number: E164 = "+46701740605".parse().unwrap();
            let facts = Facts {
                number: &number,
                country: "SE".parse().ok(),
                channel: Channel::Sms,
                request_type: Some(RequestType::MfaVerification),
            };
            assert_eq!(table.decide(&facts).rule.unwrap().name, (count - 1).to_string());
            let (mut index, mut scan) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                index.push(nanoseconds(20_000, || table.decide(black_box(&facts))));
                scan.push(nanoseconds(200_000 / count, || table.explain(black_box(&facts)).decision));
            }
            println!("{kind:<36} {count:>8} {:>8.0} {:>12.0} {made:>8}", median(index), median(scan));
        }
    }
}

fn named(at: usize, matches: Match) -> Rule {
    let action = Action::Send(vec!["p00".to_owned()]);
    Rule { policy: "bench".to_owned(), name: at.to_string(), priority: None, matches, action, critical: false }
}

fn by_prefix(n: usize) -> Match {
    Match { prefixes: vec![format!("+4673{n:05}")], ..Match::default() }
}

fn by_prefixes(n: usize) -> Match {
    Match { prefixes: (0..8).map(|at| format!("+467{}{n:05}", 1 + at)).collect(), ..Match::default() }
}

fn by_country(n: usize) -> Match {
    let letters: String = [n / 26 % 18, n % 26].map(|at| char::from(b'A' + u8::try_from(at).unwrap())).iter().collect();
    let flows = [RequestType::AccountUnlock, RequestType::PasswordReset];
    Match { countries: vec![letters.parse().unwrap()], request_types: vec![flows[n % 2]], ..Match::default() }
}

fn by_both(n: usize) -> Match {
    Match { countries: vec!["SE".parse().unwrap()], ..by_prefix(n) }
}

fn nanoseconds<'a>(times: usize, mut decide: impl FnMut() -> RouteDecision<'a>) -> f64 {
    let begun = Instant::now();
    for _ in 0..times {
        black_box(decide());
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(times).unwrap())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
