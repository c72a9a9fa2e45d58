//! What a watch remembers, as text for a checkpoint: a head that every window changes, and its windows in blocks, of which a
//! window changes one.

use std::cell::RefCell;

use anchorwatch_detectors::calibrated::{REMEMBERED, WatchState};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zstd::bulk::{Compressor, Decompressor};

use super::ModelWatchState;
use super::cause::LatestCause;
use super::changes::Changes;
use super::faulty::Faults;
use crate::subject::Millis;

pub use anchorwatch_detectors::calibrated::BLOCKS;

/// Most bytes of a state that is read back: 100,000 quantities.
const MOST_BYTES: usize = 1 << 26;

const COMPRESSION_LEVEL: i32 = 1;

/// A state as a checkpoint writes it.
#[derive(Serialize, Deserialize)]
struct StoredState {
    watch: String,
    shortfalls: Vec<u64>,
    next_start: Option<Millis>,
    #[serde(default)]
    cause: LatestCause,
    #[serde(default)]
    changes: Changes,
    #[serde(default)]
    faults: Faults,
}

impl ModelWatchState {
    /// Start of the window that follows the last one taken in.
    #[must_use]
    pub fn next_start(&self) -> Option<Millis> {
        self.next_start
    }

    /// Bytes of memory that it takes, but for those of its own fields.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.watch.bytes()
            + self.shortfalls.capacity() * size_of::<f64>()
            + self.cause.bytes()
            + self.changes.bytes()
            + self.faults.bytes()
    }

    /// The state as text for a checkpoint, but for the windows that it remembers.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which numbers and text always can.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        let watch = pack(&self.watch.encode_head());
        let about = watch.len();
        let stored = StoredState {
            watch,
            shortfalls: self.shortfalls.iter().map(|x| x.to_bits()).collect(),
            next_start: self.next_start,
            cause: self.cause.clone(),
            changes: self.changes.clone(),
            faults: self.faults.clone(),
        };
        json_of_about(&stored, about)
    }

    /// The windows of a block (below [`BLOCKS`]) as text for a checkpoint.
    #[must_use]
    pub fn encode_block(&self, block: usize) -> String {
        pack(&self.watch.encode_block(block))
    }

    /// The block that the last window changed.
    #[must_use]
    pub fn newest_block(&self) -> usize {
        self.watch.newest_block()
    }

    /// Reads a state back, with the text of its blocks; `None` if these are not of one.
    #[must_use]
    pub fn decode<'a>(text: &str, block: impl Fn(usize) -> Option<&'a str>) -> Option<Self> {
        let stored: StoredState = serde_json::from_str(text).ok()?;
        Some(Self {
            watch: WatchState::decode(&unpack(&stored.watch)?, |place| unpack(block(place)?))?,
            shortfalls: stored.shortfalls.into_iter().take(REMEMBERED).map(f64::from_bits).collect(),
            next_start: stored.next_start,
            cause: stored.cause,
            changes: stored.changes,
            faults: stored.faults,
        })
    }
}

/// As JSON that is hardly longer than what it holds, which is this long, in memory of its size: thousands of these texts wait
/// for a checkpoint.
///
/// # Errors
/// When it cannot be written as JSON, which numbers and text always can.
pub fn json_of_about(value: &impl Serialize, length: usize) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(length + length / 16 + 512);
    serde_json::to_writer(&mut bytes, value)?;
    // JSON is always text.
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

thread_local! {
    /// Kept, since setting one up takes far longer than packing what a window changed.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Lends what this thread keeps, made at its first use; `None` if it cannot be made.
fn with<T, R>(
    kept: &RefCell<Option<T>>,
    make: impl FnOnce() -> std::io::Result<T>,
    work: impl FnOnce(&mut T) -> std::io::Result<R>,
) -> Option<R> {
    let mut kept = kept.try_borrow_mut().ok()?;
    let one = match kept.take() {
        Some(one) => one,
        None => make().ok()?,
    };
    work(kept.insert(one)).ok()
}

fn pack(bytes: &[u8]) -> String {
    let make = || Compressor::new(COMPRESSION_LEVEL);
    let packed = PACKER.with(|kept| with(kept, make, |packer| packer.compress(bytes)));
    STANDARD.encode(packed.unwrap_or_default())
}

fn unpack(text: &str) -> Option<Vec<u8>> {
    let packed = STANDARD.decode(text).ok()?;
    let size = zstd::zstd_safe::get_frame_content_size(&packed).ok().flatten()?;
    let size = usize::try_from(size).ok().filter(|size| *size <= MOST_BYTES)?;
    UNPACKER.with(|kept| with(kept, Decompressor::new, |unpacker| unpacker.decompress(&packed, size)))
}
