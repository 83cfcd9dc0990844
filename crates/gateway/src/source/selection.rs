//! Which of the configurations that were seen is served. Pure.
//!
//! The newest valid one: by generation, and within a generation (a rotated credential does not raise it) by who is
//! nearer to the truth. The Secret is the truth while it is being watched. The mounted file is a copy of it that may be
//! a minute old, so meanwhile it counts only with a higher generation; once the watch is lost it counts whenever it
//! changed since the Secret was last seen. A list of the Secret is a fresh read and counts even with a lower
//! generation: the resource was made anew, or the cluster restored.

use std::sync::Arc;

use hookswitch_gateway_config::{
    document::GatewayConfig,
    envelope,
    report::{MAX_NAME, RefusedConfig},
};

use super::Check;

/// Where a configuration was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The mounted file.
    Mount,
    /// The Secret, through the API server.
    Secret,
}

/// A configuration that may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigCandidate {
    /// The document.
    pub config: GatewayConfig,
    /// [`envelope::hash`] of the envelope it came in.
    pub hash: String,
    /// Where it was seen first.
    pub origin: Origin,
}

/// What a source reports, whenever it changes.
#[derive(Debug)]
pub(super) enum Report {
    /// The envelope as it is in the mounted file.
    Mounted(Vec<u8>),
    /// The envelope as it is in the Secret; `fresh` when it was asked for just now, not sent as an event.
    Watched { sealed: Vec<u8>, fresh: bool },
    /// There is no envelope there, and why.
    Empty(Origin, &'static str),
    /// The Secret is no longer being watched.
    Blind,
}

/// What follows from a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same goes on being served.
    Kept,
    /// This one is served from now on.
    Taken(Arc<ConfigCandidate>),
    /// This one cannot be served.
    Refused(RefusedConfig),
    /// A source has no envelope.
    Missing(Origin, &'static str),
}

/// The configuration being served, and what else is known of the sources.
#[derive(Debug, Default)]
pub(super) struct Selection {
    current: Option<Arc<ConfigCandidate>>,
    /// Whether the current one is known to be, or to have been, in the Secret.
    confirmed: bool,
    watching: bool,
    /// What the file changed to while it did not count.
    pending: Option<Vec<u8>>,
    refused_mount: Option<RefusedConfig>,
    refused_secret: Option<RefusedConfig>,
}

impl Selection {
    /// The configuration being served.
    pub(super) fn current(&self) -> Option<Arc<ConfigCandidate>> {
        self.current.clone()
    }

    /// What was refused by the source that counts, until that source has something better.
    pub(super) fn refused(&self) -> Option<RefusedConfig> {
        let mount = self.refused_mount.as_ref().filter(|_| !self.watching);
        mount.or(self.refused_secret.as_ref()).cloned()
    }

    /// Weighs one report against the configuration being served.
    pub(super) fn weigh(&mut self, report: Report, check: &Check) -> Verdict {
        match report {
            Report::Mounted(sealed) => self.mounted(sealed, check),
            Report::Watched { sealed, fresh } => {
                self.watching = true;
                self.pending = None;
                self.watched(&sealed, fresh, check)
            }
            Report::Empty(Origin::Mount, reason) => {
                self.pending = None;
                Verdict::Missing(Origin::Mount, reason)
            }
            Report::Empty(Origin::Secret, reason) => match self.blind(check) {
                Verdict::Kept => Verdict::Missing(Origin::Secret, reason),
                verdict => verdict,
            },
            Report::Blind => self.blind(check),
        }
    }

    fn blind(&mut self, check: &Check) -> Verdict {
        self.watching = false;
        match self.pending.take() {
            Some(sealed) => self.mounted(sealed, check),
            None => Verdict::Kept,
        }
    }

    fn mounted(&mut self, sealed: Vec<u8>, check: &Check) -> Verdict {
        let hash = envelope::hash(&sealed);
        self.pending = None;
        if self.is_current(&hash) {
            self.refused_mount = None;
            return Verdict::Kept;
        }
        let config = match read(&sealed, check) {
            Ok(config) => config,
            Err(reason) => {
                let refused = RefusedConfig { hash, reason };
                let reported = self.watching || self.refused().is_some_and(|known| known.hash == refused.hash);
                self.refused_mount = Some(refused.clone());
                return if reported { Verdict::Kept } else { Verdict::Refused(refused) };
            }
        };
        self.refused_mount = None;
        let counts = match &self.current {
            None => true,
            Some(current) if self.watching => config.generation > current.config.generation,
            Some(current) => !self.confirmed || config.generation >= current.config.generation,
        };
        if counts {
            self.confirmed = false;
            self.take(config, hash, Origin::Mount)
        } else {
            self.pending = self.watching.then_some(sealed);
            Verdict::Kept
        }
    }

    fn watched(&mut self, sealed: &[u8], fresh: bool, check: &Check) -> Verdict {
        let hash = envelope::hash(sealed);
        if self.is_current(&hash) {
            self.confirmed = true;
            self.refused_secret = None;
            return Verdict::Kept;
        }
        let config = match read(sealed, check) {
            Ok(config) => config,
            Err(reason) => {
                let refused = RefusedConfig { hash, reason };
                let reported =
                    self.refused_secret.replace(refused.clone()).is_some_and(|known| known.hash == refused.hash);
                return if reported { Verdict::Kept } else { Verdict::Refused(refused) };
            }
        };
        self.refused_secret = None;
        let overtaken = self.current.as_ref().is_some_and(|current| config.generation < current.config.generation);
        if overtaken && !self.confirmed && !fresh {
            return Verdict::Kept;
        }
        self.confirmed = true;
        self.take(config, hash, Origin::Secret)
    }

    fn is_current(&self, hash: &str) -> bool {
        self.current.as_ref().is_some_and(|current| current.hash == hash)
    }

    fn take(&mut self, config: GatewayConfig, hash: String, origin: Origin) -> Verdict {
        let candidate = Arc::new(ConfigCandidate { config, hash, origin });
        self.current = Some(Arc::clone(&candidate));
        Verdict::Taken(candidate)
    }
}

fn read(sealed: &[u8], check: &Check) -> Result<GatewayConfig, String> {
    let config = envelope::open(sealed).map_err(|error| error.to_string())?;
    match check(&config) {
        Ok(()) => Ok(config),
        Err(mut reason) => {
            reason.truncate(reason.floor_char_boundary(MAX_NAME));
            Err(reason)
        }
    }
}
