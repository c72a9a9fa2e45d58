//! The windows of a baseline: most of a reference's bytes, and needed only where a reference is calibrated. So they are either
//! at hand, or read by whoever keeps them when somebody asks.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use anchorwatch_detectors::counts::{CountsError, encode_sparse, visit_sparse};

use crate::subject::Millis;

/// Counts of one stretch of the baseline, so that calibration sees the baseline as a sequence. They are kept packed: a week
/// in stretches of five minutes is two thousand of them, and most hold a few rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineWindow {
    /// First instant of the window.
    pub start: Millis,
    packed: Box<[u8]>,
}

impl BaselineWindow {
    /// A window with these counts, in the reference's [`Layout`](super::Layout).
    #[must_use]
    pub fn new(start: Millis, counts: &[u64]) -> Self {
        Self { start, packed: encode_sparse(counts).into() }
    }

    /// A window of packed counts in a layout of `len` counters.
    ///
    /// # Errors
    /// When they are damaged, or of another layout.
    pub fn from_packed(start: Millis, packed: Vec<u8>, len: usize) -> Result<Self, CountsError> {
        visit_sparse(&packed, len, |_, _| ())?;
        Ok(Self { start, packed: packed.into() })
    }

    /// The counts as [`encode_sparse`] packs them.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The counts, in a layout of `len` counters.
    #[must_use]
    pub fn counts(&self, len: usize) -> Vec<u64> {
        let mut counts = vec![0; len];
        self.each(len, |slot, count| counts[slot] = count);
        counts
    }

    /// Hands out the counters in use of a layout of `len` counters.
    pub fn each(&self, len: usize, visit: impl FnMut(usize, u64)) {
        // They were packed here, or looked at when they were taken up.
        let well_formed = visit_sparse(&self.packed, len, visit);
        debug_assert!(well_formed.is_ok(), "{well_formed:?}");
    }
}

/// The windows of a baseline that were kept elsewhere cannot be had now; perhaps later.
#[derive(Debug, thiserror::Error)]
#[error("the windows of the baseline cannot be read: {0}")]
pub struct WindowsUnread(#[source] Box<dyn Error + Send + Sync>);

impl WindowsUnread {
    /// For this reason.
    #[must_use]
    pub fn because(reason: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(reason))
    }
}

/// Whoever keeps the windows of a baseline.
pub trait ReadWindows: Debug + Send + Sync {
    /// Reads them all, and checks that they are what they were.
    ///
    /// # Errors
    /// When they cannot be read, or are others.
    fn read(&self) -> Result<Arc<[BaselineWindow]>, WindowsUnread>;
}

/// The windows of a baseline, at hand or kept elsewhere.
#[derive(Debug, Clone)]
pub struct BaselineWindows {
    len: usize,
    kept: Kept,
}

#[derive(Debug, Clone)]
enum Kept {
    Here(Arc<[BaselineWindow]>),
    Elsewhere(Arc<dyn ReadWindows>),
}

impl BaselineWindows {
    /// So many windows, which are read when they are asked for; none need no reading.
    #[must_use]
    pub fn kept_by(reader: Arc<dyn ReadWindows>, len: usize) -> Self {
        if len == 0 { Self::default() } else { Self { len, kept: Kept::Elsewhere(reader) } }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, in time order; read anew at each call where they are kept elsewhere.
    ///
    /// # Errors
    /// When whoever keeps them cannot read them.
    pub fn read(&self) -> Result<Arc<[BaselineWindow]>, WindowsUnread> {
        match &self.kept {
            Kept::Here(windows) => Ok(Arc::clone(windows)),
            Kept::Elsewhere(reader) => reader.read(),
        }
    }
}

impl Default for BaselineWindows {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<BaselineWindow>> for BaselineWindows {
    fn from(windows: Vec<BaselineWindow>) -> Self {
        Self { len: windows.len(), kept: Kept::Here(windows.into()) }
    }
}

impl From<Arc<[BaselineWindow]>> for BaselineWindows {
    fn from(windows: Arc<[BaselineWindow]>) -> Self {
        Self { len: windows.len(), kept: Kept::Here(windows) }
    }
}

/// Equal are the same windows at hand, or what the same reader keeps: nothing is read to find out.
impl PartialEq for BaselineWindows {
    fn eq(&self, other: &Self) -> bool {
        match (&self.kept, &other.kept) {
            (Kept::Here(one), Kept::Here(other)) => one == other,
            (Kept::Elsewhere(one), Kept::Elsewhere(other)) => Arc::ptr_eq(one, other),
            (Kept::Here(_), Kept::Elsewhere(_)) | (Kept::Elsewhere(_), Kept::Here(_)) => false,
        }
    }
}
