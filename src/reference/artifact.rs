//! The byte format of a reference: a magic line, then zstd-compressed JSON whose counts are sparse and base64.
//!
//! The identity of a reference is the SHA-256 of its bytes, so the same baseline built twice by the same version with
//! the same provenance is the same artifact, and a damaged one is noticed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use anchorwatch_detectors::counts::{CountsError, decode_sparse, encode_sparse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{BaselineWindow, Calibration, Column, Joint, Layout, Provenance, Reference};
use crate::subject::Millis;

const MAGIC: &[u8] = b"anchorwatch-reference/1\n";

/// Largest decompressed size of an artifact that is read, in bytes.
const MAX_DECODED_BYTES: u64 = 256 << 20;

const COMPRESSION_LEVEL: i32 = 6;

/// Content address of a reference: lower-case hex SHA-256 of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReferenceId(String);

impl ReferenceId {
    /// The address of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// An address read back from storage.
    #[must_use]
    pub fn from_stored(hex: String) -> Self {
        Self(hex)
    }

    /// All 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ReferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why bytes are not a reference.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The first line is missing or of another version.
    #[error("not a reference artifact of this version (expected it to begin with `anchorwatch-reference/1`)")]
    Magic,
    /// Decompression failed or the artifact is larger than 256 MiB.
    #[error("the artifact cannot be decompressed: {0}")]
    Compression(std::io::Error),
    /// The JSON inside is not a reference.
    #[error("the artifact's description cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A counter array does not fit the columns.
    #[error("the counts of {what} do not fit the columns: {reason}")]
    Counts {
        /// Which counts.
        what: String,
        /// What is wrong with them.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Document {
    model: String,
    version: String,
    columns: Vec<Column>,
    has_latency: bool,
    profile: String,
    window_ms: Option<Millis>,
    windows: Vec<(Millis, String)>,
    segment_field: Option<String>,
    segments: BTreeMap<String, String>,
    #[serde(default)]
    joint: Joint,
    #[serde(default)]
    calibration: Option<Calibration>,
    provenance: Provenance,
}

fn pack(counts: &[u64]) -> String {
    STANDARD.encode(encode_sparse(counts))
}

fn unpack(what: &str, text: &str, layout: &Layout) -> Result<Vec<u64>, ArtifactError> {
    unpack_as(what, text, |bytes| decode_sparse(&bytes, layout.len()))
}

fn unpack_as<T>(
    what: &str,
    text: &str,
    read: impl FnOnce(Vec<u8>) -> Result<T, CountsError>,
) -> Result<T, ArtifactError> {
    let failed = |reason: String| ArtifactError::Counts { what: what.to_owned(), reason };
    let bytes = STANDARD.decode(text).map_err(|error| failed(error.to_string()))?;
    read(bytes).map_err(|error| failed(error.to_string()))
}

/// The bytes of a reference; their [`ReferenceId::of`] is its identity.
///
/// # Errors
/// When serialisation or compression fails, which valid references do not cause.
pub fn encode(reference: &Reference) -> Result<Vec<u8>, ArtifactError> {
    let document = Document {
        model: reference.model.clone(),
        version: reference.version.clone(),
        columns: reference.columns.clone(),
        has_latency: reference.has_latency,
        profile: pack(&reference.profile),
        window_ms: reference.window_ms,
        windows: reference
            .windows
            .iter()
            .map(|window| (window.start, STANDARD.encode(window.packed())))
            .collect(),
        segment_field: reference.segment_field.clone(),
        segments: reference.segments.iter().map(|(value, counts)| (value.clone(), pack(counts))).collect(),
        joint: reference.joint.clone(),
        calibration: reference.calibration.clone(),
        provenance: reference.provenance.clone(),
    };
    let json = serde_json::to_vec(&document)?;
    let packed = zstd::bulk::compress(&json, COMPRESSION_LEVEL).map_err(ArtifactError::Compression)?;
    Ok([MAGIC, &packed].concat())
}

/// Most bytes of text that a thread keeps room for between two references.
const KEPT_BYTES: usize = 1 << 24;

thread_local! {
    static TEXT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads a reference back.
///
/// # Errors
/// When the bytes are not an artifact of this version or their parts contradict each other.
pub fn decode(bytes: &[u8]) -> Result<Reference, ArtifactError> {
    let packed = bytes.strip_prefix(MAGIC).ok_or(ArtifactError::Magic)?;
    // Lent from call to call: at a start there may be thousands, each larger than all else that is allocated for it.
    let mut json = TEXT.take();
    json.clear();
    let decoder = zstd::stream::read::Decoder::new(packed).map_err(ArtifactError::Compression)?;
    let read =
        decoder.take(MAX_DECODED_BYTES + 1).read_to_end(&mut json).map_err(ArtifactError::Compression)?;
    if read as u64 > MAX_DECODED_BYTES {
        let message = format!("larger than {MAX_DECODED_BYTES} bytes");
        return Err(ArtifactError::Compression(std::io::Error::other(message)));
    }
    let document: Document = serde_json::from_slice(&json)?;
    if json.capacity() <= KEPT_BYTES {
        TEXT.set(json);
    }
    let layout = Layout::new(&document.columns);
    let cells: Vec<usize> = document.columns.iter().map(|column| column.binning.cells()).collect();
    if !document.joint.fits(&cells) {
        let reason = "they name cells or columns that there are not".to_owned();
        return Err(ArtifactError::Counts { what: "the joint terms".to_owned(), reason });
    }
    let windows = document
        .windows
        .iter()
        .map(|(start, text)| {
            unpack_as("a window", text, |bytes| BaselineWindow::from_packed(*start, bytes, layout.len()))
        })
        .collect::<Result<_, ArtifactError>>()?;
    let segments = document
        .segments
        .iter()
        .map(|(value, text)| Ok((value.clone(), unpack("a segment", text, &layout)?)))
        .collect::<Result<_, ArtifactError>>()?;
    Ok(Reference {
        profile: unpack("the profile", &document.profile, &layout)?,
        model: document.model,
        version: document.version,
        columns: document.columns,
        has_latency: document.has_latency,
        window_ms: document.window_ms,
        windows,
        segment_field: document.segment_field,
        segments,
        joint: document.joint,
        calibration: document.calibration,
        provenance: document.provenance,
    })
}
