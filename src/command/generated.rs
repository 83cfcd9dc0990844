//! `hookswitch crds` and `hookswitch reference`: what is made from the library's own descriptions.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use hookswitch_api as api;

/// Write the `CustomResourceDefinitions`.
#[derive(Debug, Args)]
pub(super) struct Crds {
    /// Directory to write one file for each into. Absent: all to standard output.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Write the reference pages that are made from the program.
#[derive(Debug, Args)]
pub(super) struct Reference {
    /// Directory to write into.
    #[arg(long)]
    dir: PathBuf,
}

impl Crds {
    pub(super) fn write(self) -> anyhow::Result<()> {
        let files = api::crd_files();
        match self.dir {
            Some(dir) => write(&dir, files),
            None => files.into_iter().try_for_each(|(_, text)| Ok(io::stdout().write_all(text.as_bytes())?)),
        }
    }
}

impl Reference {
    pub(super) fn write(self) -> anyhow::Result<()> {
        write(&self.dir, api::pages::files())
    }
}

fn write(dir: &Path, files: Vec<(String, String)>) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("create the directory {}", dir.display()))?;
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
