//! The mounted file, read again and again.
//!
//! Kubernetes changes a mounted Secret by swapping a link, which no watch on the file itself would see on every file
//! system; reading is certain, and a megabyte from memory every two seconds costs nothing that could be measured.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{sync::mpsc, time::sleep};

use super::selection::{Origin, Report};
use hookswitch_gateway_config::envelope::{self, MAX_SEALED};

/// Time between two reads at the file.
pub const POLL: Duration = Duration::from_secs(2);

/// The file that a Secret is mounted as.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Path of the file, which need not exist yet.
    pub file: PathBuf,
    /// Time between two reads; [`POLL`] unless a test is in a hurry.
    pub poll: Duration,
}

/// What the file holds.
#[derive(Debug, PartialEq, Eq)]
enum Mounted {
    Envelope(Vec<u8>),
    Nothing(&'static str),
}

/// Reports what is in the file whenever it changes, for ever.
pub(super) async fn poll(mount: Mount, reports: mpsc::Sender<Report>) {
    let mut last = None;
    loop {
        let file = mount.file.clone();
        if let Ok(mounted) = tokio::task::spawn_blocking(move || read(&file)).await {
            let content = match &mounted {
                Mounted::Envelope(sealed) => Ok(envelope::hash(sealed)),
                Mounted::Nothing(reason) => Err(*reason),
            };
            if last.as_ref() != Some(&content) {
                last = Some(content);
                let report = match mounted {
                    Mounted::Envelope(sealed) => Report::Mounted(sealed),
                    Mounted::Nothing(reason) => Report::Empty(Origin::Mount, reason),
                };
                if reports.send(report).await.is_err() {
                    return;
                }
            }
        }
        sleep(mount.poll).await;
    }
}

/// Reads one byte more than an envelope may have, so that a file that is too large is refused as such.
fn read(file: &Path) -> Mounted {
    let limit = u64::try_from(MAX_SEALED).unwrap_or(u64::MAX).saturating_add(1);
    let read = || -> io::Result<Vec<u8>> {
        let mut sealed = Vec::new();
        File::open(file)?.take(limit).read_to_end(&mut sealed)?;
        Ok(sealed)
    };
    match read() {
        Ok(sealed) => Mounted::Envelope(sealed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Mounted::Nothing("the file does not exist"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Mounted::Nothing("the file may not be read"),
        Err(_) => Mounted::Nothing("the file cannot be read"),
    }
}
