//! Log lines: one JSON object each, on standard error.
//!
//! Passcodes, message texts and credentials pass through this process and through its dependencies, some of which log
//! what they send and receive. So a filter decides only about our own lines: those of dependencies are never written
//! below `WARN`, whatever the filter says, and what is known to put bodies into warnings is written from `ERROR` on.

use std::{io, panic};

use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt, Targets, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
};

/// The target of all our own lines is this crate's name or begins with it and `::`.
const OURS: &str = env!("CARGO_CRATE_NAME");

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
}

/// Sets up logging for the process, and has panics logged by their place only: the message of a panic may quote the
/// value that caused it.
///
/// `filter` is a level, or `target=level` pairs separated by commas (`info,hookswitch::gateway=debug`).
///
/// # Errors
///
/// [`LogError`].
pub fn init(filter: &str) -> Result<(), LogError> {
    let subscriber = subscriber(filter, io::stderr)?;
    // Not `try_init`, which would also take in the lines of the `log` crate, where a target is not reliably known.
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(())
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
    if within(OURS) {
        Level::TRACE
    } else if QUOTING.into_iter().any(within) {
        Level::ERROR
    } else {
        Level::WARN
    }
}
