//! Format 1: a magic line, then zstd-compressed JSON whose counts are sparse and base64. It is read, and no longer written;
//! the address of such a reference is the SHA-256 of all its bytes.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{ArtifactError, MAX_DECODED_BYTES, Parts, damaged_counts, too_large};
use crate::reference::{BaselineWindow, Calibration, Column, Joint, Layout, Provenance, Reference};
use crate::subject::Millis;

#[derive(Deserialize)]
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

fn unpack(what: &str, text: &str) -> Result<Vec<u8>, ArtifactError> {
    STANDARD.decode(text).map_err(|error| damaged_counts(what, &error))
}

/// Reads a reference from what follows the magic line.
pub(super) fn decode(packed: &[u8]) -> Result<Reference, ArtifactError> {
    let mut json = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(packed).map_err(ArtifactError::Compression)?;
    let read =
        decoder.take(MAX_DECODED_BYTES + 1).read_to_end(&mut json).map_err(ArtifactError::Compression)?;
    if read as u64 > MAX_DECODED_BYTES {
        return Err(too_large());
    }
    let document: Document = serde_json::from_slice(&json)?;
    let len = Layout::new(&document.columns).len();
    let window = |(start, text): &(Millis, String)| {
        let window = BaselineWindow::from_packed(*start, unpack("a window", text)?, len);
        window.map_err(|error| damaged_counts("a window", &error))
    };
    let windows = document.windows.iter().map(window).collect::<Result<Vec<_>, _>>()?;
    let segment = |(value, text): (&String, &String)| Ok((value.clone(), unpack("a segment", text)?));
    let parts = Parts {
        profile: &unpack("the profile", &document.profile)?,
        segments: document.segments.iter().map(segment).collect::<Result<Vec<_>, ArtifactError>>()?,
    };
    parts.complete(Reference {
        model: document.model,
        version: document.version,
        columns: document.columns,
        has_latency: document.has_latency,
        profile: Vec::new(),
        window_ms: document.window_ms,
        windows: windows.into(),
        segment_field: document.segment_field,
        segments: BTreeMap::new(),
        joint: document.joint,
        calibration: document.calibration,
        provenance: document.provenance,
    })
}
