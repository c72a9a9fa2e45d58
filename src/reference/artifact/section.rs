//! The section of an artifact that holds the windows of the baseline: their starts and sparse counts one after the other,
//! packed by zstd. None at all are no bytes.

use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{ArtifactError, damaged_counts, unpacked};
use crate::reference::windows::BaselineWindow;
use crate::subject::Millis;

/// Level 6 makes sections smaller by a thirtieth, and takes five times as long.
const COMPRESSION_LEVEL: i32 = 3;

/// What the head says of the section.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Section<'a> {
    windows: u64,
    /// Length in bytes, and that of the same unpacked.
    bytes: u64,
    unpacked: u64,
    #[serde(borrow)]
    sha256: &'a Bytes,
}

/// A section that was written.
pub(super) struct Written {
    windows: usize,
    bytes: Vec<u8>,
    unpacked: usize,
    sha256: [u8; 32],
}

impl Written {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn described(&self) -> Section<'_> {
        Section {
            windows: self.windows as u64,
            bytes: self.bytes.len() as u64,
            unpacked: self.unpacked as u64,
            sha256: Bytes::new(&self.sha256),
        }
    }
}

/// The section of these windows.
pub(super) fn encode(windows: &[BaselineWindow]) -> Result<Written, ArtifactError> {
    let mut plain = Vec::new();
    for window in windows {
        plain.extend_from_slice(&window.start.to_le_bytes());
        plain.extend_from_slice(&(window.packed().len() as u64).to_le_bytes());
        plain.extend_from_slice(window.packed());
    }
    let bytes = match windows {
        [] => Vec::new(),
        _ => zstd::bulk::compress(&plain, COMPRESSION_LEVEL).map_err(ArtifactError::Compression)?,
    };
    let sha256 = Sha256::digest(&bytes).into();
    Ok(Written { windows: windows.len(), bytes, unpacked: plain.len(), sha256 })
}

fn contradicts<T>(reason: &'static str) -> Result<T, ArtifactError> {
    Err(ArtifactError::Section { reason })
}

impl Section<'_> {
    /// How many windows there are.
    pub(super) fn windows(self) -> usize {
        usize::try_from(self.windows).unwrap_or(usize::MAX)
    }

    /// The windows of this section, whose counts have a layout of `len` counters.
    pub(super) fn read(self, bytes: &[u8], len: usize) -> Result<Vec<BaselineWindow>, ArtifactError> {
        if bytes.len() as u64 != self.bytes {
            return contradicts("they are cut short, or something follows them");
        }
        if *Sha256::digest(bytes) != **self.sha256 {
            return contradicts("they are damaged");
        }
        if bytes.is_empty() {
            return if self.windows == 0 { Ok(Vec::new()) } else { contradicts("there are none") };
        }
        let unpacked_len = usize::try_from(self.unpacked).unwrap_or(usize::MAX);
        let windows = unpacked(bytes, unpacked_len, |plain| windows(plain, len))?;
        if windows.len() as u64 == self.windows {
            Ok(windows)
        } else {
            contradicts("there are more or fewer")
        }
    }
}

fn windows(mut plain: &[u8], len: usize) -> Result<Vec<BaselineWindow>, ArtifactError> {
    let mut windows: Vec<BaselineWindow> = Vec::new();
    while let Some((start, rest)) = plain.split_first_chunk() {
        let start = Millis::from_le_bytes(*start);
        let Some((counts, rest)) = rest.split_first_chunk().and_then(|(bytes, rest)| {
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(*bytes)).ok()?)
        }) else {
            return contradicts("one is cut short");
        };
        let window = BaselineWindow::from_packed(start, counts.to_vec(), len);
        windows.push(window.map_err(|error| damaged_counts("a window", &error))?);
        plain = rest;
    }
    if plain.is_empty() { Ok(windows) } else { contradicts("one is cut short") }
}
