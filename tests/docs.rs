//! The documentation holds together: every link and every path to a page resolves, every alert has its section, and every
//! reason of a condition its entry.

#![allow(clippy::panic, reason = "a file that cannot be read must fail")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Where texts name pages by a path from the top: code, chart, examples, scripts.
const NAMING: [&str; 9] = ["benches", "charts", "crates", "crds", "demo", "examples", "src", "tests", "Makefile"];

/// Pages that begin as they like: a log of dated entries.
const FREE: [&str; 1] = ["docs/decisions.md"];

/// Reasons that say that all is well, that nothing is to be done, or that another condition says more.
const CALM: [&str; 22] = [
    "Active",
    "CallsArrive",
    "CertificateGiven",
    "Claimed",
    "Created",
    "Inactive",
    "Independent",
    "InSync",
    "NotAsked",
    "NotHeld",
    "NotWanted",
    "NotYet",
    "OnFirst",
    "OnStandby",
    "Progressing",
    "Reachable",
    "Ready",
    "Retrying",
    "NeedsAttention",
    "StandbyProven",
    "Unknown",
    "Usable",
];

struct Page {
    /// Lines outside of code blocks.
    lines: Vec<String>,
    anchors: BTreeSet<String>,
}

impl Page {
    fn read(path: &str) -> Self {
        let mut code = false;
        let text = read(path);
        let prose = text.lines().filter_map(|line| {
            let fence = line.trim_start().starts_with("```");
            code ^= fence;
            (!fence && !code).then(|| line.to_owned())
        });
        let lines: Vec<String> = prose.collect();
        let mut slugs: BTreeMap<String, usize> = BTreeMap::new();
        let headings = lines.iter().filter(|line| line.starts_with('#')).filter_map(|line| line.split_once("# "));
        let anchors = headings.map(|(_, heading)| {
            let slug = slug(heading);
            let count = slugs.entry(slug.clone()).or_default();
            *count += 1;
            if *count > 1 { format!("{slug}-{}", *count - 1) } else { slug }
        });
        let anchors = anchors.collect();
        Self { lines, anchors }
    }

    /// Targets of links.
    fn links(&self) -> Vec<String> {
        let text = self.lines.join("\n");
        let targets =
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned());
        targets.collect()
    }
}

/// The anchor that GitHub makes of a heading.
fn slug(heading: &str) -> String {
    let text = match heading.split_once("](") {
        Some((before, after)) => before.replace('[', "") + after.split_once(')').map_or("", |(_, rest)| rest),
        None => heading.to_owned(),
    };
    let kept = text.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below a folder, or the file itself, as paths from the top.
fn files(below: &str) -> Vec<String> {
    let path = Path::new(below);
    let Ok(entries) = fs::read_dir(path) else {
        return path.is_file().then(|| below.to_owned()).into_iter().collect();
    };
    let mut found: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.file_name() != "target")
        .flat_map(|entry| files(&format!("{below}/{}", entry.file_name().to_string_lossy())))
        .collect();
    found.sort();
    found
}

/// The pages: those at the top and those below `docs`.
fn pages() -> Vec<String> {
    let top = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(str::to_owned);
    let below = files("docs").into_iter().filter(|path| Path::new(path).extension().is_some_and(|end| end == "md"));
    top.into_iter().chain(below).collect()
}

/// A path without `.` and `..`.
fn tidied(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut tidied, part| {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                tidied.pop();
            }
            part => tidied.push(part),
        }
        tidied
    })
}

/// What is wrong with a link to `target` from a page in `folder`.
fn wrong(folder: &Path, from: &str, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() { PathBuf::from(from) } else { tidied(&folder.join(path)) };
    if !path.exists() {
        return Some(format!("{from}: {target} leads nowhere"));
    }
    let anchor = anchor.filter(|_| path.extension().is_some_and(|end| end == "md"))?;
    let known = Page::read(&path.to_string_lossy()).anchors.contains(anchor);
    (!known).then(|| format!("{from}: {target} leads to a heading that is not there"))
}

#[test]
fn every_link_leads_to_a_file_and_heading_that_is_there() {
    let mut faults = Vec::new();
    let mut count = 0;
    for page in pages() {
        let folder = Path::new(&page).parent().unwrap_or(Path::new("")).to_path_buf();
        for link in Page::read(&page).links() {
            if !link.contains("://") && !link.starts_with("mailto:") {
                count += 1;
                faults.extend(wrong(&folder, &page, &link));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 50, "only {count} links were found");
}

#[test]
fn every_page_is_linked_from_another_one() {
    let mut linked = BTreeSet::new();
    for page in pages() {
        let folder = Path::new(&page).parent().unwrap_or(Path::new("")).to_path_buf();
        for link in Page::read(&page).links() {
            let path = link.split_once('#').map_or(link.as_str(), |(path, _)| path);
            linked.insert(tidied(&folder.join(path)).to_string_lossy().into_owned());
        }
    }
    let lost: Vec<String> = pages().into_iter().filter(|page| page != "README.md" && !linked.contains(page)).collect();
    assert!(lost.is_empty(), "nobody leads to {lost:?}");
}

#[test]
fn every_page_says_first_for_whom_it_is() {
    for page in pages().into_iter().filter(|page| page.starts_with("docs/") && !FREE.contains(&page.as_str())) {
        let lines = Page::read(&page).lines;
        let prose = lines.iter().find(|line| !line.is_empty() && !line.starts_with(['#', '<']));
        let first = prose.map(String::as_str).unwrap_or_default();
        assert!(first.starts_with("For "), "{page} begins with {first:?}");
    }
}

#[test]
fn every_path_to_a_page_in_code_and_chart_is_right() {
    let mut faults = Vec::new();
    let mut count = 0;
    for file in NAMING.into_iter().flat_map(files) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (at, _) in text.match_indices("docs/") {
            // a part of somebody else's address
            if text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-')) {
                continue;
            }
            let path: String = text[at..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '#'))
                .collect();
            let path = path.trim_end_matches(['.', '#']);
            if path.contains(".md") {
                count += 1;
                faults.extend(wrong(Path::new(""), &file, path));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 20, "only {count} paths were found");
}

#[test]
fn every_alert_leads_to_its_section_of_the_runbook() {
    let (rules, runbook) = (read("charts/hookswitch/files/alerts.yaml"), Page::read("docs/runbook.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(runbook.lines.contains(&format!("## {alert}")), "the runbook has no section {alert}");
        let url = format!("runbook_url: docs/runbook.md#{}", alert.to_lowercase());
        assert!(rules.lines().any(|line| line.trim() == url), "no {url}");
    }
}

#[test]
fn every_reason_that_asks_for_something_is_in_the_runbook() {
    let reference = Page::read("docs/reference/conditions.md");
    let reasons: BTreeSet<&str> = reference
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(reason, _)| reason)
        .collect();
    assert!(reasons.len() > 60, "{reasons:?}");
    let runbook = Page::read("docs/runbook.md").lines.join("\n");
    let lost: Vec<&&str> = reasons
        .iter()
        .filter(|reason| !CALM.contains(reason) && !runbook.contains(&format!("\n| `{reason}`")))
        .collect();
    assert!(lost.is_empty(), "the runbook has no row for {lost:?}");
    let gone: Vec<&&str> = CALM.iter().filter(|reason| !reasons.contains(**reason)).collect();
    assert!(gone.is_empty(), "no condition has {gone:?}");
}
