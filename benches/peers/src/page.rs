//! What was measured as a page shows it.

use std::{fmt::Write as _, path::Path, process::Command};

use super::{
    ATTACKED, CONNECTIONS, IDLE, PROVIDERS, RATE, RULES,
    attacks::Attack,
    figures::{self, Bound, Figures, Of, median},
    load::Window,
    process,
    servers::{Ground, Rules},
};

const BEGIN: &str = "<!-- written by `make bench` from here -->";
/// From how many percent of their processor on load and provider are what limits a server.
const LIMIT: f64 = 93.0;
const END: &str = "<!-- to here -->";

/// Writes the text into the page, in the place of what an earlier run wrote there.
pub fn write(path: &Path, text: &str) {
    let page = std::fs::read_to_string(path).unwrap();
    let marked = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marked.expect("the page has the two marks");
    std::fs::write(path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}")).unwrap();
    println!("written into {}", path.display());
}

/// What is measured, in which versions.
pub fn versions(ground: &Ground) -> Vec<String> {
    let told = |command: &mut Command| {
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
    };
    let express = std::fs::read_to_string(ground.express.join("node_modules/express/package.json")).unwrap();
    let express: serde_json::Value = serde_json::from_str(&express).unwrap();
    let commit =
        told(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(env!("CARGO_MANIFEST_DIR")));
    vec![
        format!("Hookswitch {} at {commit}", env!("CARGO_PKG_VERSION")),
        told(Command::new(&ground.nginx).arg("-v")).replace("nginx version: nginx/", "nginx "),
        format!(
            "Express {} on Node.js {}",
            express["version"].as_str().unwrap(),
            told(Command::new("node").arg("--version"))
        ),
    ]
}

/// The whole of it.
pub fn text(figures: &Figures) -> String {
    let mut text = head(figures);
    table(figures, &mut text);
    attacked(figures, &mut text);
    scale(figures, &mut text);
    aims(figures, &mut text);
    text
}

fn head(figures: &Figures) -> String {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let (rounds, seconds) = figures.rounds;
    let mut text = format!(
        "{date}, {}; {}, {} processors ({}). TLS as agreed with all three: {}. Each figure is the middle one of {rounds} \
         {} of {seconds} s, all servers in turn; the run took {:.0} s.\n",
        figures.versions.join(", "),
        std::env::consts::ARCH,
        process::processors_in_all(),
        process::model(),
        figures.tls,
        if rounds == 1 { "round" } else { "rounds" },
        figures.spent,
    );
    let others = figures.others * 100.0;
    let _ = if others > 3.0 {
        writeln!(
            text,
            "\n**Other work used {others:.0} % of the machine meanwhile: figures of a quiet machine are better.**"
        )
    } else {
        writeln!(text, "\nOther work used {others:.1} % of the machine meanwhile.")
    };
    for ((of, connections), windows) in &figures.closed {
        let busy = 100.0 * median(windows, |window| (window.load + window.provider) / window.seconds);
        if busy > LIMIT {
            let _ = writeln!(
                text,
                "\n**{} at {connections} connections: load and provider were busy for {busy:.0} %. It may do more.**",
                of.name()
            );
        }
    }
    if !figures.is_whole {
        text.push_str("\nA look: measured once and shortly. `make bench` measures.\n");
    }
    text
}

/// A row of which each column is written from the rounds of a server.
fn row(text: &mut String, what: &str, of: impl Fn(Of) -> Option<String>) {
    let cells = Of::COLUMNS.map(|column| of(column).unwrap_or_default());
    let _ = writeln!(text, "| {what} | {} |", cells.join(" | "));
}

fn table(figures: &Figures, text: &mut String) {
    text.push_str(
        "\n| | nginx as bare proxy | Express shaped like Okta's sample | gateway | gateway, HTTP/2 to the provider |\n",
    );
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for connections in CONNECTIONS {
        let of = |of| figures.closed.get(&(of, connections));
        let write =
            |windows: &[Window]| format!("{:.0} · {:.0}", median(windows, Window::rate), median(windows, Window::cost));
        row(text, &format!("{connections} connections: calls/s · CPU µs a call"), |column| {
            of(column).map(|all| write(all))
        });
        row(text, "p50 · p99 · p99.9 ms", |column| of(column).map(|all| quantiles(all)));
        let opened = |windows: &[Window]| format!("{:.0}", median(windows, |window| window.opened as f64));
        row(text, "provider connections opened meanwhile", |column| of(column).map(|all| opened(all)));
        let busy = |windows: &[Window]| {
            let share = |time: fn(&Window) -> f64| median(windows, |window| 100.0 * time(window) / window.seconds);
            format!("{:.0} · {:.0} · {:.0}", share(|w| w.server), share(|w| w.load), share(|w| w.provider))
        };
        row(text, "busy %: server · load · provider", |column| of(column).map(|all| busy(all)));
    }
    let (rate, connections) = RATE;
    row(text, &format!("open loop, {rate}/s on {connections} connections: p50 · p99 · p99.9 ms"), |column| {
        figures.open.get(&column).map(|windows| quantiles(windows))
    });
    let cost =
        |of, is_called| figures.anew.get(&(of, is_called)).map(|all| format!("{:.0}", median(all, Window::cost)));
    row(text, "a connection with a full handshake: CPU µs", |column| cost(column, false));
    row(text, "the same with a call, as Okta makes them: CPU µs", |column| cost(column, true));
    row(text, "memory MiB idle", |column| figures.memory.get(&column).map(|memory| format!("{:.1}", memory.idle)));
    row(text, &format!("memory MiB with {IDLE} idle connections"), |column| {
        figures.memory.get(&column).map(|memory| format!("{:.1}", memory.connected))
    });
    row(text, "memory MiB after calls (so many)", |column| {
        figures.memory.get(&column).map(|memory| format!("{:.1} ({})", memory.after, memory.calls))
    });
    row(text, "memory MiB with both", |column| figures.memory.get(&column).map(|memory| format!("{:.1}", memory.both)));
}

fn quantiles(windows: &[Window]) -> String {
    [0.5, 0.99, 0.999].map(|share| format!("{:.2}", median(windows, |window| window.quantile(share)))).join(" · ")
}

fn attacked(figures: &Figures, text: &mut String) {
    let (rate, connections) = ATTACKED;
    let _ = writeln!(
        text,
        "\n| a gateway under attack, at {rate} legitimate calls/s on {connections} connections | connections/s of the attack | p50 · \
         p99 · p99.9 ms | CPU % |\n| --- | --- | --- | --- |"
    );
    for attack in Attack::ALL {
        let Some(windows) = figures.attacked.get(&attack) else { continue };
        let busy = median(windows, |window| 100.0 * window.server / window.seconds);
        let _ = writeln!(text, "| {} | {} | {} | {busy:.0} |", attack.name(), attack.rate(), quantiles(windows));
    }
    let _ = writeln!(text, "\nMemory of that gateway after all of them: {:.1} MiB.", figures.attacked_memory);
}

fn scale(figures: &Figures, text: &mut String) {
    text.push_str(
        "\n| a gateway with, at 16 connections | CPU µs a call | calls/s | memory MiB |\n| --- | --- | --- | --- |\n",
    );
    for rules in RULES.map(Rules::Last).into_iter().chain(PROVIDERS.map(Rules::Spread)) {
        let (Some(windows), Some(memory)) = (figures.scale.get(&rules), figures.scale_memory.get(&rules)) else {
            continue;
        };
        let (cost, rate) = (median(windows, Window::cost), median(windows, Window::rate));
        let _ = writeln!(text, "| {} | {cost:.0} | {rate:.0} | {memory:.1} |", figures::name(rules));
    }
}

fn aims(figures: &Figures, text: &mut String) {
    text.push_str("\n| aim | bound | found | |\n| --- | --- | --- | --- |\n");
    for aim in figures::aims(figures) {
        let bound = match aim.bound {
            Bound::Least(least) => format!("≥ {least}{}", aim.unit),
            Bound::Most(most) => format!("≤ {most}{}", aim.unit),
        };
        let found = match (aim.found, aim.unit) {
            (None, _) => "not measured".to_owned(),
            // three digits, so that what is just missed does not look met
            (Some(found), "×") => format!("{found:.3}×"),
            (Some(found), unit) => format!("{found:.2}{unit}"),
        };
        let word = match aim.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let _ = writeln!(text, "| {} | {bound} | {found} | {word} |", aim.what);
    }
}
