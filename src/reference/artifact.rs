//! The byte format of a reference: a magic line, a head with all that judging needs, and a section with the windows of the
//! baseline, which are most of the bytes and are needed where a reference is calibrated.
//!
//! The identity of a reference is the SHA-256 of its head, which holds that of the section: it covers every byte, yet the head
//! can be checked alone. So the same baseline built twice by the same version with the same provenance is the same artifact,
//! and a damaged one is noticed. Format 1, which was all in one piece, is read as well.

mod first;
mod section;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anchorwatch_detectors::counts::{decode_sparse, encode_sparse};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use sha2::{Digest, Sha256};
use zstd::bulk::Decompressor;

use super::windows::{BaselineWindows, ReadWindows, WindowsUnread};
use super::{Calibration, Column, Joint, Layout, Provenance, Reference};
use crate::subject::Millis;
use section::Section;

const FIRST: &[u8; 24] = b"anchorwatch-reference/1\n";
const MAGIC: &[u8; 24] = b"anchorwatch-reference/2\n";

/// Bytes at the beginning of an artifact that say how long its head is: the magic line, the length of the packed head, and
/// its length unpacked, each in four bytes with the lowest first.
pub const HEAD_PREFIX: usize = MAGIC.len() + 8;

/// Largest decompressed size of each part of an artifact that is read, in bytes.
const MAX_DECODED_BYTES: u64 = 256 << 20;

/// Heads are read by the thousand: at this level what hardly packs, such as floats, is left as it is.
const HEAD_LEVEL: i32 = -1;

/// Content address of a reference: lower-case hex SHA-256 of its head, or of all bytes of format 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReferenceId(String);

impl ReferenceId {
    /// The address of an artifact, of whose bytes the head will do. It is that of these bytes and no others only if they can
    /// be decoded.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let head = head_len(bytes).and_then(|len| bytes.get(..len)).unwrap_or(bytes);
        Self(Sha256::digest(head).iter().map(|byte| format!("{byte:02x}")).collect())
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
    #[error(
        "not a reference artifact of this version (expected it to begin with `anchorwatch-reference/2` or `/1`)"
    )]
    Magic,
    /// The bytes end before the head does.
    #[error("the artifact is cut short")]
    Truncated,
    /// Decompression failed or a part of the artifact is larger than 256 MiB.
    #[error("the artifact cannot be decompressed: {0}")]
    Compression(std::io::Error),
    /// The JSON inside of format 1 is not a reference.
    #[error("the artifact's description cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// The head is not that of a reference.
    #[error("the artifact's head cannot be read: {0}")]
    Head(#[from] rmp_serde::decode::Error),
    /// A head cannot be written.
    #[error("the artifact's head cannot be written: {0}")]
    Unwritable(#[from] rmp_serde::encode::Error),
    /// A counter array does not fit the columns.
    #[error("the counts of {what} do not fit the columns: {reason}")]
    Counts {
        /// Which counts.
        what: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The section of windows is not the one that the head belongs to.
    #[error("the artifact's windows are not those of its head: {reason}")]
    Section {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The windows of a reference that is to be written cannot be had.
    #[error(transparent)]
    Windows(#[from] WindowsUnread),
}

fn damaged_counts(what: &str, reason: &dyn fmt::Display) -> ArtifactError {
    ArtifactError::Counts { what: what.to_owned(), reason: reason.to_string() }
}

fn too_large() -> ArtifactError {
    let message = format!("larger than {MAX_DECODED_BYTES} bytes");
    ArtifactError::Compression(std::io::Error::other(message))
}

/// What the head says.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    model: String,
    version: String,
    columns: Vec<Column>,
    has_latency: bool,
    #[serde(borrow)]
    profile: &'a Bytes,
    window_ms: Option<Millis>,
    #[serde(borrow)]
    windows: Section<'a>,
    segment_field: Option<String>,
    #[serde(borrow)]
    segments: Vec<(String, &'a Bytes)>,
    joint: Joint,
    calibration: Option<Calibration>,
    provenance: Provenance,
}

/// Packed counts of a reference, which make sense beside its columns only.
struct Parts<'a, B> {
    profile: &'a [u8],
    segments: Vec<(String, B)>,
}

impl<B: AsRef<[u8]>> Parts<'_, B> {
    /// The reference with these counts.
    fn complete(self, reference: Reference) -> Result<Reference, ArtifactError> {
        let len = reference.layout().len();
        let counts = |what: &str, packed: &[u8]| {
            decode_sparse(packed, len).map_err(|error| damaged_counts(what, &error))
        };
        let cells: Vec<usize> = reference.columns.iter().map(|column| column.binning.cells()).collect();
        if !reference.joint.fits(&cells) {
            return Err(damaged_counts("the joint terms", &"they name cells or columns that there are not"));
        }
        let profile = counts("the profile", self.profile)?;
        let segment = |(value, packed): (String, B)| Ok((value, counts("a segment", packed.as_ref())?));
        let segments = self.segments.into_iter().map(segment).collect::<Result<_, ArtifactError>>()?;
        Ok(Reference { profile, segments, ..reference })
    }
}

/// The bytes of a reference; their [`ReferenceId::of`] is its identity.
///
/// # Errors
/// When the windows cannot be read, or serialisation or compression fails, which valid references do not cause.
pub fn encode(reference: &Reference) -> Result<Vec<u8>, ArtifactError> {
    let profile = encode_sparse(&reference.profile);
    let segments: Vec<(&String, Vec<u8>)> =
        reference.segments.iter().map(|(value, counts)| (value, encode_sparse(counts))).collect();
    let section = section::encode(&reference.windows.read()?)?;
    let head = Head {
        model: reference.model.clone(),
        version: reference.version.clone(),
        columns: reference.columns.clone(),
        has_latency: reference.has_latency,
        profile: Bytes::new(&profile),
        window_ms: reference.window_ms,
        windows: section.described(),
        segment_field: reference.segment_field.clone(),
        segments: segments.iter().map(|(value, counts)| ((*value).clone(), Bytes::new(counts))).collect(),
        joint: reference.joint.clone(),
        calibration: reference.calibration.clone(),
        provenance: reference.provenance.clone(),
    };
    let plain = rmp_serde::to_vec_named(&head)?;
    let packed = zstd::bulk::compress(&plain, HEAD_LEVEL).map_err(ArtifactError::Compression)?;
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_le_bytes).map_err(|_| too_large());
    Ok([&MAGIC[..], &len(&packed)?, &len(&plain)?, &packed, section.bytes()].concat())
}

/// Length of the head of the artifact that begins with these bytes, [`HEAD_PREFIX`] of them at least; `None` if it has none
/// apart, as in format 1.
#[must_use]
pub fn head_len(bytes: &[u8]) -> Option<usize> {
    let [packed, _] = lengths(bytes)?;
    HEAD_PREFIX.checked_add(packed)
}

/// Length of the packed head, and unpacked.
fn lengths(bytes: &[u8]) -> Option<[usize; 2]> {
    let (packed, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    let (plain, _) = rest.split_first_chunk()?;
    Some([
        usize::try_from(u32::from_le_bytes(*packed)).ok()?,
        usize::try_from(u32::from_le_bytes(*plain)).ok()?,
    ])
}

/// Most bytes that a thread keeps room for between two heads.
const KEPT_BYTES: usize = 1 << 22;

thread_local! {
    /// Lent from call to call: at a start there may be thousands, and to make room costs more than what is done in it.
    static ROOM: Cell<Option<(Decompressor<'static>, Vec<u8>)>> = const { Cell::new(None) };
}

/// Hands out what these bytes are unpacked, `len` of them.
fn unpacked<T>(
    packed: &[u8],
    len: usize,
    read: impl FnOnce(&[u8]) -> Result<T, ArtifactError>,
) -> Result<T, ArtifactError> {
    if len as u64 > MAX_DECODED_BYTES {
        return Err(too_large());
    }
    let (mut decompressor, mut room) = ROOM.take().unwrap_or_default();
    room.clear();
    room.reserve(len);
    let done = decompressor.decompress_to_buffer(packed, &mut room).map_err(ArtifactError::Compression)?;
    if done != len {
        return Err(ArtifactError::Section { reason: "another length is said than there is" });
    }
    let outcome = read(&room);
    if room.capacity() <= KEPT_BYTES {
        ROOM.set(Some((decompressor, room)));
    }
    outcome
}

/// The reference that a head describes, whose windows are made of what it says of them, and the bytes behind it.
fn with_head(
    bytes: &[u8],
    windows: impl FnOnce(Section<'_>, &[u8], usize) -> Result<BaselineWindows, ArtifactError>,
) -> Result<Reference, ArtifactError> {
    if !bytes.starts_with(MAGIC) {
        return Err(ArtifactError::Magic);
    }
    let [packed_len, plain_len] = lengths(bytes).ok_or(ArtifactError::Truncated)?;
    let body = bytes.get(HEAD_PREFIX..).and_then(|body| body.split_at_checked(packed_len));
    let (packed, section) = body.ok_or(ArtifactError::Truncated)?;
    unpacked(packed, plain_len, |plain| {
        let head: Head<'_> = rmp_serde::from_slice(plain)?;
        let windows = windows(head.windows, section, Layout::new(&head.columns).len())?;
        let parts = Parts { profile: head.profile, segments: head.segments };
        parts.complete(Reference {
            model: head.model,
            version: head.version,
            columns: head.columns,
            has_latency: head.has_latency,
            profile: Vec::new(),
            window_ms: head.window_ms,
            windows,
            segment_field: head.segment_field,
            segments: BTreeMap::new(),
            joint: head.joint,
            calibration: head.calibration,
            provenance: head.provenance,
        })
    })
}

/// Reads a reference back, with its windows.
///
/// # Errors
/// When the bytes are not an artifact of this version or their parts contradict each other.
pub fn decode(bytes: &[u8]) -> Result<Reference, ArtifactError> {
    if let Some(packed) = bytes.strip_prefix(FIRST) {
        return first::decode(packed);
    }
    with_head(bytes, |said, section, len| Ok(said.read(section, len)?.into()))
}

/// Reads a reference back without its windows, which `reader` keeps; of its bytes the head will do.
///
/// # Errors
/// As [`decode`], as far as the head goes.
pub fn decode_head(bytes: &[u8], reader: Arc<dyn ReadWindows>) -> Result<Reference, ArtifactError> {
    if let Some(packed) = bytes.strip_prefix(FIRST) {
        let whole = first::decode(packed)?;
        return Ok(Reference { windows: BaselineWindows::kept_by(reader, whole.windows.len()), ..whole });
    }
    with_head(bytes, |said, _, _| Ok(BaselineWindows::kept_by(reader, said.windows())))
}

#[cfg(test)]
#[path = "artifact_tests.rs"]
mod tests;
