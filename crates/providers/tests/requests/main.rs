//! Every request that an adapter can build goes over HTTP to a server on this machine, where the vendor's own description judges
//! what arrives. `docs/development/provider-requests.md` says how to run it and how to add a provider.
//!
//! The descriptions are in the folder that `HOOKSWITCH_SPECS` names. Without it the golden files judge, which say by which
//! description they were judged, and what holds for every vendor is asserted of random messages.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "clippy knows test functions, not the functions they share"
)]
#![allow(clippy::doc_markdown, reason = "OpenAPI is a name")]

mod botocore;
mod cases;
mod complaint;
mod description;
mod form;
mod golden;
mod judge;
mod known;
mod properties;
mod schema;
mod self_tests;
mod template;
mod vendors;
mod wire;

use std::{collections::BTreeMap, path::PathBuf};

use description::Description;

/// The descriptions of all providers, by file name.
struct Specs(BTreeMap<String, Description>);

impl Specs {
    /// `None` without `HOOKSWITCH_SPECS`.
    fn at_hand() -> Option<Self> {
        let folder = specs_folder()?;
        let files =
            cases::configurations().iter().flat_map(|one| cases::descriptions(&one.account).1).collect::<Vec<_>>();
        Some(Self(files.into_iter().map(|file| ((*file).to_owned(), Description::load(&folder.join(file)))).collect()))
    }

    fn named(&self, files: &[&str]) -> Vec<&Description> {
        files.iter().map(|file| &self.0[*file]).collect()
    }
}

fn specs_folder() -> Option<PathBuf> {
    std::env::var_os("HOOKSWITCH_SPECS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

#[test]
fn every_request_is_what_was_judged() {
    let (wire, specs, mut golden) = (wire::Wire::new(), Specs::at_hand(), golden::Golden::new());
    let (mut wrong, mut met, mut judged_now) = (Vec::new(), Vec::new(), 0);
    let cases = cases::cases();
    for case in &cases {
        let arrived = wire.send(&case.request).unwrap();
        let verdict = specs.as_ref().map(|specs| judge::judge(&specs.named(case.files), &arrived));
        let judged = match &verdict {
            _ if case.files.is_empty() => Some(serde_json::Value::Null),
            None => None,
            Some(verdict) => {
                judged_now += 1;
                let (complaints, known) = known::sifted(case.provider, verdict);
                met.extend(known);
                wrong
                    .extend(complaints.iter().map(|complaint| format!("{}/{}: {complaint}", case.provider, case.name)));
                Some(golden::judged(verdict))
            }
        };
        wrong.extend(golden.compare(case.provider, &case.name, &golden::kept(&arrived), judged.as_ref()).err());
    }
    wrong.extend(golden.left_over().iter().map(|file| format!("no case makes {}", file.display())));
    let known = known::KNOWN.iter().enumerate().filter(|(position, _)| specs.is_some() && !met.contains(position));
    wrong.extend(
        known.map(|(_, known)| format!("no longer an error of the description: {} {}", known.place, known.because)),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} requests as kept, of which {judged_now} judged anew", cases.len());
}
