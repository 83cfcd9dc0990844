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
        "no known version of the configuration: this gateway reads {}, the envelope holds {found:?}",
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
/// Every [`EnvelopeError`] but the ones of writing. Whether the document makes sense (a rule's carriers exist, a
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
    let version = document::VERSION;
    let Some(text) = versions.get(&version.to_string()) else {
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
