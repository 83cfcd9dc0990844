//! `hookswitch crds` and `hookswitch reference`: what is made from the library's own descriptions.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};
use hookswitch_api::{self as api, pages::MADE};
use hookswitch_providers::codes;

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
    /// Directory to write the tables of providers' codes into. Absent: they are not written.
    #[arg(long)]
    providers_dir: Option<PathBuf>,
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
        let mut files = api::pages::files();
        files.push(("command-line.md".to_owned(), command_line()));
        write(&self.dir, files)?;
        self.providers_dir.map_or(Ok(()), |dir| write(&dir, provider_codes()))
    }
}

/// The table of codes of each provider that has one, as its adapter reads it.
fn provider_codes() -> Vec<(String, String)> {
    let made = "<!-- Made by `make generate`; do not edit. -->\n\n";
    codes::TABLES
        .iter()
        .map(|table| (format!("{}-codes.md", table.provider), format!("{made}{}", table.page())))
        .collect()
}

/// Every subcommand with its help, as the parser has it.
fn command_line() -> String {
    let mut page = String::from(MADE);
    page.push_str(
        "# Command line\n\n\
         For whoever runs the program without the chart, or reads the arguments of its pods: after this page you know every\n\
         subcommand and option. The chart sets all of them; [its values](../../charts/hookswitch/values.yaml) are what you change.\n\n\
         An option with `[env: NAME=]` can be given by that environment variable as well.\n",
    );
    let mut program = crate::command::Hookswitch::command();
    program.build();
    for command in program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        let help = without_environment(command.clone()).term_width(120).render_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        // writing to a String does not fail
        let _ = write!(page, "\n## hookswitch {}\n\n```\n{}\n```\n", command.get_name(), lines.join("\n").trim());
    }
    page
}

/// Whoever makes the page may have the variables set; their values are not shown.
fn without_environment(command: Command) -> Command {
    command.mut_args(|argument| argument.hide_env_values(true))
}

fn write(dir: &Path, files: Vec<(String, String)>) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("create the directory {}", dir.display()))?;
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_providers_codes_are_fresh() {
        let pages = provider_codes();
        assert!(!pages.is_empty());
        for (name, page) in pages {
            let stored = fs::read_to_string(format!("docs/providers/{name}")).unwrap_or_default();
            assert!(stored == page, "docs/providers/{name} is not what the adapter's table says: run make generate");
        }
    }

    #[test]
    fn the_page_of_the_command_line_is_fresh() {
        let stored = fs::read_to_string("docs/reference/command-line.md").unwrap_or_default();
        assert!(
            stored == command_line(),
            "docs/reference/command-line.md is not what the parser says: run make generate"
        );
    }
}
