//! The envelope that carries [`GatewayConfig`] from operator to gateway: version → compressed document.
//!
//! The operator puts the document in as the newest version and the one before; a gateway takes the highest version it
//! knows and ignores the rest, so the two images may differ by one release in either direction. It lies under the key
//! [`KEY`] of one Secret, whose size the API server limits, hence the compression and the [`MAX_SEALED`] cap.

use std::{collections::BTreeMap, io::Read, io::Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use super::document::{self, GatewayConfig};

/// The key of the Secret's `data`, and so the name of the file where the Secret is mounted.
pub const KEY: &str = "config.json";

/// The most bytes an envelope may have. A Secret may hold 1 MiB in all its keys together; the rest is left for the
/// object's metadata.
pub const MAX_SEALED: usize = 900 * 1024;

/// The most bytes one document may have once decompressed.
pub const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// The most versions an envelope may hold. Two are written; the others are room for what is not known yet.
const MAX_VERSIONS: usize = 8;

/// Why an envelope could not be written or read. None of them holds anything of a document, which is full of
/// credentials: where the parser would quote the text, only its line and column are kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// More than [`MAX_SEALED`], written or read.
    #[error("the configuration is too large: {size} bytes compressed, at most {MAX_SEALED} fit a Secret")]
    TooLarge {
        /// Size of the envelope in bytes.
        size: usize,
    },
    /// A document of more than [`MAX_DOCUMENT`] bytes, written or read.
    #[error("version {version} of the configuration is larger than {MAX_DOCUMENT} bytes decompressed")]
    DocumentTooLarge {
        /// Version of the document.
        version: u32,
    },
    /// More versions than an envelope may hold.
    #[error("the envelope holds {found} versions of the configuration, at most {MAX_VERSIONS} are allowed")]
    TooManyVersions {
        /// Number of versions.
        found: usize,
    },
    /// Not a JSON object of texts.
    #[error(
        "not a configuration envelope: a JSON object of version to text is expected (line {line}, column {column})"
    )]
    NotAnEnvelope {
        /// Line of the first error, from 1.
        line: usize,
        /// Column of the first error, from 1.
        column: usize,
    },
    /// None of the versions is known here: operator and gateway are more than one release apart.
    #[error(
        "no known version of the configuration: this gateway reads 1 to {}, the envelope holds {found:?}",
        document::VERSION
    )]
    NoKnownVersion {
        /// The versions it holds, at most eight.
        found: Vec<u32>,
    },
    /// The text of a version is not base64 of gzip.
    #[error("version {version} of the configuration is damaged: {cause}")]
    Damaged {
        /// Version of the document.
        version: u32,
        /// `not base64` or `not gzip`.
        cause: &'static str,
    },
    /// The document does not have the shape of its version.
    #[error("version {version} of the configuration is not valid (line {line}, column {column})")]
    InvalidDocument {
        /// Version of the document.
        version: u32,
        /// Line of the first error, from 1.
        line: usize,
        /// Column of the first error, from 1.
        column: usize,
    },
    /// Compression failed, which memory to memory it does not.
    #[error("version {version} of the configuration could not be compressed")]
    NotCompressed {
        /// Version of the document.
        version: u32,
    },
}

/// Packs documents, each with its version and already serialised.
///
/// The same documents give the same bytes, so that a Secret is written only when something changed.
///
/// # Errors
///
/// [`EnvelopeError::TooLarge`], [`EnvelopeError::DocumentTooLarge`] or [`EnvelopeError::TooManyVersions`]; what is
/// refused here would be refused by [`open`] too.
pub fn seal<D: AsRef<[u8]>>(documents: &[(u32, D)]) -> Result<Vec<u8>, EnvelopeError> {
    let mut versions = BTreeMap::new();
    for (version, document) in documents {
        versions.insert(*version, STANDARD.encode(compress(*version, document.as_ref())?));
    }
    if versions.len() > MAX_VERSIONS {
        return Err(EnvelopeError::TooManyVersions { found: versions.len() });
    }
    let sealed = serde_json::to_vec(&versions)
        .map_err(|error| EnvelopeError::NotAnEnvelope { line: error.line(), column: error.column() })?;
    if sealed.len() > MAX_SEALED { Err(EnvelopeError::TooLarge { size: sealed.len() }) } else { Ok(sealed) }
}

/// Unpacks the highest version that this release knows, whatever else the envelope holds.
///
/// # Errors
///
/// Every [`EnvelopeError`] but the ones of writing. Whether the document makes sense (a rule's providers exist, a
/// number is in range) is not checked here.
pub fn open(sealed: &[u8]) -> Result<GatewayConfig, EnvelopeError> {
    if sealed.len() > MAX_SEALED {
        return Err(EnvelopeError::TooLarge { size: sealed.len() });
    }
    let versions: BTreeMap<String, serde_json::Value> = serde_json::from_slice(sealed)
        .map_err(|error| EnvelopeError::NotAnEnvelope { line: error.line(), column: error.column() })?;
    if versions.len() > MAX_VERSIONS {
        return Err(EnvelopeError::TooManyVersions { found: versions.len() });
    }
    let known = (1..=document::VERSION).rev().find_map(|version| Some((version, versions.get(&version.to_string())?)));
    let Some((version, text)) = known else {
        let mut found: Vec<u32> = versions.keys().filter_map(|key| key.parse().ok()).collect();
        found.sort_unstable();
        return Err(EnvelopeError::NoKnownVersion { found });
    };
    let text = text.as_str().ok_or(EnvelopeError::Damaged { version, cause: "not base64" })?;
    let document = decompress(version, text)?;
    serde_json::from_slice(&document).map_err(|error| EnvelopeError::InvalidDocument {
        version,
        line: error.line(),
        column: error.column(),
    })
}

/// Names an envelope by its bytes: the first 16 hexadecimal digits of their SHA-256. Gateways report it, and the
/// operator compares it with what it wrote.
#[must_use]
pub fn hash(sealed: &[u8]) -> String {
    use std::fmt::Write;

    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sealed);
    digest.as_ref().iter().take(8).fold(String::with_capacity(16), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn compress(version: u32, document: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    if document.len() > MAX_DOCUMENT {
        return Err(EnvelopeError::DocumentTooLarge { version });
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(document).and_then(|()| encoder.finish()).map_err(|_| EnvelopeError::NotCompressed { version })
}

fn decompress(version: u32, text: &str) -> Result<Vec<u8>, EnvelopeError> {
    let packed = STANDARD.decode(text).map_err(|_| EnvelopeError::Damaged { version, cause: "not base64" })?;
    let mut document = Vec::new();
    let limit = u64::try_from(MAX_DOCUMENT).unwrap_or(u64::MAX);
    GzDecoder::new(packed.as_slice())
        .take(limit.saturating_add(1))
        .read_to_end(&mut document)
        .map_err(|_| EnvelopeError::Damaged { version, cause: "not gzip" })?;
    if document.len() > MAX_DOCUMENT { Err(EnvelopeError::DocumentTooLarge { version }) } else { Ok(document) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{Account, Rule},
        report::MAX_RULES,
    };

    const V1: &[u8] = include_bytes!("testdata/document.v1.json");

    fn document() -> GatewayConfig {
        serde_json::from_slice(V1).unwrap()
    }

    fn gzip(bytes: &[u8]) -> String {
        STANDARD.encode(compress(1, bytes).unwrap())
    }

    #[test]
    fn what_was_sealed_is_opened_the_same() {
        let sealed = seal(&[(1, V1)]).unwrap();
        assert_eq!(open(&sealed), Ok(document()));
    }

    #[test]
    fn a_document_written_by_the_first_release_is_read_and_written_the_same_for_ever() {
        let written: serde_json::Value = serde_json::to_value(document()).unwrap();
        let golden: serde_json::Value = serde_json::from_slice(V1).unwrap();
        assert_eq!(written, golden, "the shape of version 1 changed: a gateway of another release would misread it");
    }

    #[test]
    fn what_an_older_release_did_not_write_is_read_as_it_meant_it() {
        let mut older: serde_json::Value = serde_json::from_slice(V1).unwrap();
        older.as_object_mut().unwrap().remove("replicas");
        let read: GatewayConfig = serde_json::from_value(older).unwrap();
        assert_eq!(read.replicas, 1, "it probes for itself");
    }

    #[test]
    fn which_secret_okta_has_is_written_unless_it_is_the_declared_one() {
        for pinned in [0, 1, 2] {
            let mut config = document();
            config.hooks.get_mut("main").unwrap().pinned = pinned;
            let written = serde_json::to_value(&config).unwrap();
            assert_eq!(written["hooks"]["main"].get("pinned").is_some(), pinned > 0);
            assert_eq!(open(&seal(&[(1, written.to_string())]).unwrap()), Ok(config));
        }
    }

    #[test]
    fn a_version_that_is_known_is_taken_beside_one_that_is_not() {
        let newer = br#"{"hooks": "of a shape that nobody here can read"}"#;
        let sealed = seal(&[(document::VERSION + 1, &newer[..]), (1, V1)]).unwrap();
        assert_eq!(open(&sealed), Ok(document()));
    }

    #[test]
    fn the_newest_version_that_is_known_is_taken() {
        let mut newer = document();
        newer.generation += 1;
        let newest = serde_json::to_vec(&newer).unwrap();
        assert_eq!(open(&seal(&[(1, V1), (document::VERSION, &newest)]).unwrap()), Ok(newer));
    }

    #[test]
    fn a_kind_of_account_that_the_release_before_does_not_know_is_in_the_newer_version_alone() {
        let mut config = document();
        assert_eq!(config.versions().iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1]);
        let auth = document::OktaHookCredential::Header(document::HookCredential {
            header: "authorization".into(),
            secret: "s".into(),
        });
        let account = Account::OktaHook { url: "https://hook.example/".into(), auth, headers: Vec::new() };
        let name = config.providers.keys().next().unwrap().clone();
        config.providers.get_mut(&name).unwrap().account = account;
        let versions = config.versions();
        let [(2, newest), (1, older)] = versions.as_slice() else { panic!("written in both") };
        assert_eq!(**newest, config);
        assert_eq!(older.providers[&name], document::ProviderConfig::absent());
        assert_eq!((&older.rules, older.providers.len()), (&config.rules, config.providers.len()));
    }

    #[test]
    fn a_reader_is_not_disturbed_by_what_a_newer_release_puts_beside_a_version_it_knows() {
        let mut versions: serde_json::Value = serde_json::from_slice(&seal(&[(1, V1)]).unwrap()).unwrap();
        versions["3"] = serde_json::json!({"compression": "zstd", "data": [1, 2]});
        versions["signature"] = serde_json::json!("abc");
        assert_eq!(open(&serde_json::to_vec(&versions).unwrap()), Ok(document()));
    }

    #[test]
    fn fields_that_a_later_release_added_within_the_version_are_ignored() {
        let mut later: serde_json::Value = serde_json::from_slice(V1).unwrap();
        later["novelty"] = serde_json::json!({"a": 1});
        later["hooks"]["main"]["novelty"] = serde_json::json!(true);
        let sealed = seal(&[(1, serde_json::to_vec(&later).unwrap())]).unwrap();
        assert_eq!(open(&sealed), Ok(document()));
    }

    #[test]
    fn only_versions_that_are_not_known_are_an_error_that_names_them() {
        let sealed = seal(&[(4, V1), (3, V1)]).unwrap();
        let error = open(&sealed).unwrap_err();
        assert_eq!(error, EnvelopeError::NoKnownVersion { found: vec![3, 4] });
        assert_eq!(
            error.to_string(),
            "no known version of the configuration: this gateway reads 1 to 2, the envelope holds [3, 4]"
        );
    }

    #[test]
    fn a_zip_bomb_is_refused_without_being_unpacked() {
        let bomb = vec![b' '; MAX_DOCUMENT];
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..8 {
            encoder.write_all(&bomb).unwrap();
        }
        let mut packed = encoder.finish().unwrap();
        // Whoever unpacks it whole finds that the end is missing, and says so instead.
        packed.truncate(packed.len() - 8);
        assert!(packed.len() < MAX_SEALED / 2, "{} bytes do not fit an envelope", packed.len());
        let sealed = format!(r#"{{"1": "{}"}}"#, STANDARD.encode(packed));
        assert_eq!(open(sealed.as_bytes()), Err(EnvelopeError::DocumentTooLarge { version: 1 }));
    }

    #[test]
    fn what_does_not_fit_a_secret_is_refused_when_written_and_when_read() {
        let mut noise = vec![0; MAX_SEALED];
        aws_lc_rs::rand::fill(&mut noise).unwrap();
        assert!(matches!(seal(&[(1, &noise)]), Err(EnvelopeError::TooLarge { size }) if size > MAX_SEALED));
        assert_eq!(open(&vec![b' '; MAX_SEALED + 1]), Err(EnvelopeError::TooLarge { size: MAX_SEALED + 1 }));
        assert_eq!(seal(&[(1, vec![0; MAX_DOCUMENT + 1])]), Err(EnvelopeError::DocumentTooLarge { version: 1 }));
    }

    #[test]
    fn what_is_as_large_as_it_may_be_is_written_and_read() {
        let mut padded = seal(&[(1, V1)]).unwrap();
        padded.resize(MAX_SEALED, b' ');
        assert_eq!(open(&padded), Ok(document()));
        let mut longest = V1.to_vec();
        longest.resize(MAX_DOCUMENT, b' ');
        assert_eq!(open(&seal(&[(1, &longest)]).unwrap()), Ok(document()));
        let versions = |count: u32| (1..=count).map(|version| (version, V1)).collect::<Vec<_>>();
        assert_eq!(open(&seal(&versions(8)).unwrap()), Ok(document()));
        assert_eq!(seal(&versions(9)), Err(EnvelopeError::TooManyVersions { found: 9 }));
    }

    #[test]
    fn an_envelope_that_just_fits_is_written() {
        // what cannot be compressed takes the same room whatever it is, so one document can be made to measure
        let digest = |n: u32| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &n.to_be_bytes());
        let noise: Vec<u8> = (0..30_000).flat_map(|n| digest(n).as_ref().to_vec()).collect();
        let room = STANDARD.encode(vec![0; 3]).len();
        let sized = |length: usize| seal(&[(1, &noise[..length])]).map(|sealed| sealed.len());
        let mut fitting = MAX_SEALED * 3 / 4 - 1_024;
        fitting += (MAX_SEALED - sized(fitting).unwrap()) / room * 3;
        assert_eq!(sized(fitting), Ok(MAX_SEALED));
    }

    #[test]
    fn the_rules_of_as_many_policies_as_a_gateway_takes_fit() {
        let mut config = document();
        let (policy, priority) = (format!("{:p<253}", ""), Some(i32::MAX));
        let rules = (0..MAX_RULES).map(|n| Rule {
            policy: policy.clone(),
            name: format!("{n:0253}"),
            priority,
            ..config.rules[0].clone()
        });
        config.rules = rules.collect();
        let sealed = seal(&[(1, serde_json::to_vec(&config).unwrap())]).unwrap();
        assert!(sealed.len() < 1024 * 1024, "a Secret takes no more");
        assert_eq!(open(&sealed), Ok(config));
    }

    #[test]
    fn damage_is_reported_by_its_kind() {
        let cases = [
            (r"not json".to_owned(), EnvelopeError::NotAnEnvelope { line: 1, column: 2 }),
            (r"[1]".to_owned(), EnvelopeError::NotAnEnvelope { line: 1, column: 0 }),
            (r#"{"1": 5}"#.to_owned(), EnvelopeError::Damaged { version: 1, cause: "not base64" }),
            (r#"{"1": "*"}"#.to_owned(), EnvelopeError::Damaged { version: 1, cause: "not base64" }),
            (r#"{"1": "aGVsbG8="}"#.to_owned(), EnvelopeError::Damaged { version: 1, cause: "not gzip" }),
        ];
        for (sealed, expected) in cases {
            assert_eq!(open(sealed.as_bytes()), Err(expected), "{sealed}");
        }
        let many: BTreeMap<u32, &str> = (1..=9).map(|version| (version, "")).collect();
        let many = serde_json::to_vec(&many).unwrap();
        assert_eq!(open(&many), Err(EnvelopeError::TooManyVersions { found: 9 }));
    }

    #[test]
    fn an_error_about_a_document_quotes_nothing_of_it() {
        let mut wrong: serde_json::Value = serde_json::from_slice(V1).unwrap();
        wrong["timing"] = serde_json::json!("hunter2hunter2");
        let sealed = format!(r#"{{"1": "{}"}}"#, gzip(&serde_json::to_vec(&wrong).unwrap()));
        let error = open(sealed.as_bytes()).unwrap_err();
        assert!(matches!(error, EnvelopeError::InvalidDocument { version: 1, .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn the_same_documents_give_the_same_bytes_and_the_same_hash() {
        let sealed = seal(&[(1, V1)]).unwrap();
        assert_eq!(seal(&[(1, V1)]).unwrap(), sealed);
        assert_eq!(hash(&sealed), hash(&seal(&[(1, V1)]).unwrap()));
        assert_ne!(hash(&sealed), hash(&seal(&[(1, V1), (2, V1)]).unwrap()));
        assert_eq!(hash(b"abc"), "ba7816bf8f01cfea");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, inner: Vec<u8>) {
            let _ = open(&bytes);
            let _ = open(format!(r#"{{"1": "{}"}}"#, STANDARD.encode(&bytes)).as_bytes());
            let _ = open(format!(r#"{{"1": "{}"}}"#, gzip(&inner)).as_bytes());
        }
    }
}
