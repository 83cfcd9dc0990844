//! Log lines: one JSON object each, on standard error. Nobody waits until they are taken there ([`super::log_writer`]).
//!
//! Passcodes, message texts and credentials pass through this process and through its dependencies, some of which log
//! what they send and receive. So a filter decides only about our own lines: those of dependencies are never written
//! below `WARN`, whatever the filter says, and what is known to put bodies into warnings is written from `ERROR` on.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
    panic,
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt, Targets, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
};

use super::log_writer::LogWriter;

/// How long the end of the process waits for lines to be taken.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long a panic waits for its line to be taken.
const LINE_OF_A_PANIC: Duration = Duration::from_millis(100);

/// Lines that were dropped, of the one log that a process has.
static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// The crates whose lines are our own: the program's, and those whose names begin with it and an underscore. The sandbox is no
/// part of the program: it runs beside it in tests alone.
const OURS: &str = "hookswitch";
const SANDBOX: &str = "hookswitch_sandbox";

/// Dependencies whose warnings may quote what came over the wire: kube's client logs an answer that it cannot parse,
/// and the answer may be a Secret.
const QUOTING: [&str; 2] = ["kube_client", "kube_runtime"];

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("not a log filter: {filter:?}; expected a level such as info, or target=level pairs separated by commas")]
    Filter {
        /// The filter as given.
        filter: String,
    },
    /// Somebody set up logging before.
    #[error("logging is already set up")]
    Twice,
    /// There is nothing to write to, or nobody to write.
    #[error("begin to write the log to standard error")]
    Output(#[source] io::Error),
}

/// Sets up logging for the process, and has panics logged by their place only: the message of a panic may quote the
/// value that caused it.
///
/// `filter` is a level, or `target=level` pairs separated by commas (`info,hookswitch_gateway=debug`).
///
/// # Errors
///
/// [`LogError`].
pub fn init(filter: &str) -> Result<(), LogError> {
    let writer = LogWriter::new(LOST.clone());
    let subscriber = subscriber(filter, writer.clone())?;
    // Not `try_init`, which would also take in the lines of the `log` crate, where a target is not reliably known.
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    // A handle of its own: a thread that waits for a reader would hold the lock of `io::stderr`.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().map_err(LogError::Output)?);
    let tell = |lines| tracing::warn!(lines, "log lines were dropped: nobody took them in time");
    writer.start(stderr, tell).map_err(LogError::Output)?;
    let _ = WRITER.set(writer);
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
        // the process may be aborted for it
        if let Some(writer) = WRITER.get() {
            writer.flush(LINE_OF_A_PANIC);
        }
    }));
    Ok(())
}

/// Counts the lines that were dropped.
pub(super) fn lost() -> Counter {
    LOST.clone()
}

/// Writes a text for people among the lines, or to standard error where logging was not set up.
pub fn print(text: &str) {
    let _ = match WRITER.get() {
        // as one write, so that no other line comes between
        Some(mut writer) => writer.write_all(format!("{text}\n").as_bytes()),
        None => writeln!(io::stderr(), "{text}"),
    };
}

/// Has the last lines written when it is dropped. Waits a second for whoever takes them, no longer.
#[derive(Debug)]
pub struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        if let Some(writer) = WRITER.get() {
            writer.flush(LAST_LINES);
        }
    }
}

/// What [`init`] sets up, writing to any writer.
///
/// # Errors
///
/// [`LogError::Filter`].
pub fn subscriber<W>(filter: &str, writer: W) -> Result<impl Subscriber + Send + Sync + use<W>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let wanted: Targets = filter.parse().map_err(|_| LogError::Filter { filter: filter.to_owned() })?;
    let allowed = filter_fn(allowed).with_max_level_hint(LevelFilter::TRACE);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer);
    Ok(Registry::default().with(lines.with_filter(wanted.and(allowed))))
}

fn allowed(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= ceiling(metadata.target())
}

/// The most talkative level that lines of a target may have. Whoever is not us is a dependency.
fn ceiling(target: &str) -> Level {
    let within = |name: &str| target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let is_member = target.strip_prefix(OURS).is_some_and(|rest| rest.starts_with('_'));
    if within(OURS) || is_member && !within(SANDBOX) {
        Level::TRACE
    } else if QUOTING.into_iter().any(within) {
        Level::ERROR
    } else {
        Level::WARN
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;

    use super::*;
    use crate::testing::Lines;

    fn written(filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        with_default(subscriber(filter, move || writer.clone()).unwrap(), log);
        lines.text()
    }

    /// Logs a passcode at every level as somebody else would.
    macro_rules! as_dependency {
        ($($target:literal),*) => {$(
            tracing::trace!(target: $target, body = "passcode 123456", "trace of {}", $target);
            tracing::debug!(target: $target, "debug of {}: passcode 123456", $target);
            tracing::info!(target: $target, "info of {}: passcode 123456", $target);
        )*};
    }

    #[test]
    fn dependencies_write_nothing_below_a_warning_whatever_the_filter_says() {
        for filter in [
            "trace",
            "hyper=trace,reqwest=trace,rustls=trace,kube_client=trace,h2=trace,log=trace",
            "trace,hyper::proto=trace",
        ] {
            let written = written(filter, || {
                as_dependency!("hyper", "hyper::proto", "hyper::proto::h1::io", "hyper_util::client", "h2::codec");
                as_dependency!("reqwest", "reqwest::connect", "rustls::client", "kube_client::client", "kube_runtime");
                as_dependency!("tower::buffer", "log", "hookswitchy", "hookswitch_sandbox", "", "some_new_dependency");
            });
            assert_eq!(written, "", "filter {filter}");
        }
    }

    #[test]
    fn the_spans_of_dependencies_do_not_show_in_our_lines() {
        let written = written("trace", || {
            let _span = tracing::error_span!(target: "hyper::proto", "request").entered();
            let _inner = tracing::info_span!(target: "kube_client", "send", url = "passcode 123456").entered();
            tracing::info!(target: "hookswitch_gateway", "ours");
        });
        assert!(written.contains("\"ours\"") && !written.contains("123456"), "{written}");
    }

    #[test]
    fn warnings_of_dependencies_are_written_but_not_of_those_that_quote_bodies() {
        let written = written("trace", || {
            tracing::warn!(target: "rustls::x", "kept");
            tracing::warn!(target: "kube_client::client", "{{\"token\": \"passcode 123456\"}}");
            tracing::error!(target: "kube_client::client", "kept too");
        });
        assert_eq!(written.lines().count(), 2, "{written}");
        assert!(!written.contains("123456"));
    }

    #[test]
    fn our_own_lines_follow_the_filter_and_are_json() {
        let log = || {
            tracing::info!(target: "hookswitch_gateway::dispatch", provider = "twilio-eu", "sent");
            tracing::debug!(target: "hookswitch_gateway::dispatch", "detail");
            tracing::debug!(target: "hookswitch_net::pool", "detail");
        };
        assert_eq!(written("warn", log), "");
        assert_eq!(written("info,hookswitch_net=debug", log).lines().count(), 2);
        assert_eq!(written("trace", log).lines().count(), 3);
        let line: serde_json::Value = serde_json::from_str(&written("info", log)).unwrap();
        assert_eq!(line["message"], "sent");
        assert_eq!((&line["provider"], &line["level"]), (&"twilio-eu".into(), &"INFO".into()));
        assert_eq!(line["target"], "hookswitch_gateway::dispatch");
    }

    #[test]
    fn a_panic_is_logged_by_its_location_and_not_by_its_message() {
        const INNER: &str = "HOOKSWITCH_TEST_PANICS";
        if std::env::var_os(INNER).is_some() {
            let _flush = FlushAtEnd;
            init("trace").unwrap();
            assert!(matches!(init("trace"), Err(LogError::Twice)));
            let _ = panic::catch_unwind(|| panic!("passcode 123456"));
            return;
        }
        let name = "logs::tests::a_panic_is_logged_by_its_location_and_not_by_its_message";
        let ran = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(INNER, "1")
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(ran.status.success() && shown.contains("\"panicked\"") && shown.contains("logs.rs:"), "{shown}");
        assert!(!shown.contains("123456"), "{shown}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        let error = subscriber("info,hookswitch=loud", io::sink).err().unwrap();
        assert!(error.to_string().starts_with("not a log filter: \"info,hookswitch=loud\""), "{error}");
    }
}
