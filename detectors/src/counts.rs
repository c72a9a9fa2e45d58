//! Arithmetic on flat slices of counts, and their compact form on disk and on the wire.
//!
//! A profile is a slice of `u64`, one per cell; here are the laws that make it mergeable (C-1) and subtractable (C-2),
//! and a codec for slices that are mostly zero (C-3). Not here: which cell a value belongs to ([`crate::binning`]).
//!
//! * C-1: merging is element-wise addition, so any grouping and order of panes gives the same counts.
//! * C-2: subtracting what was merged gives back the counts before, bit for bit.
//! * C-3: decoding an encoding gives the same counts; decoding anything else gives an error, never a panic.

/// Why counts could not be combined or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CountsError {
    /// Two slices that should have the same cells have not.
    #[error("{left} cells cannot be combined with {right}")]
    LengthMismatch {
        /// Cells of the first slice.
        left: usize,
        /// Cells of the second slice.
        right: usize,
    },
    /// More was to be subtracted from a cell than it holds.
    #[error("cell {cell} would fall below zero")]
    Underflow {
        /// The first such cell.
        cell: usize,
    },
    /// A cell would pass `u64::MAX`.
    #[error("cell {cell} would overflow")]
    Overflow {
        /// The first such cell.
        cell: usize,
    },
    /// The bytes end within a number, or after a gap without its count.
    #[error("the encoding is cut short")]
    Truncated,
    /// The bytes are not what the encoder writes: a number over 64 bits or written too long, or a count of zero.
    #[error("the encoding is malformed at byte {at}")]
    Malformed {
        /// Offset just behind the offending number.
        at: usize,
    },
    /// A cell beyond the expected number of cells.
    #[error("the encoding names a cell beyond the {cells} expected")]
    OutOfRange {
        /// How many cells were expected.
        cells: usize,
    },
}

/// Adds `from` to `into`, cell by cell, saturating at `u64::MAX` (which no real stream reaches).
///
/// Both slices are to have the same cells; what one has beyond the other is left alone. [`checked_merge`] refuses
/// both situations instead.
pub fn merge(into: &mut [u64], from: &[u64]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into = into.saturating_add(*from);
    }
}

/// Adds `from` to `into`, cell by cell; on an error `into` is unchanged.
///
/// # Errors
/// When the slices differ in length or a cell would overflow.
pub fn checked_merge(into: &mut [u64], from: &[u64]) -> Result<(), CountsError> {
    check_pairs(into, from, |a, b| a.checked_add(b).is_some(), |cell| CountsError::Overflow { cell })?;
    merge(into, from);
    Ok(())
}

/// Subtracts `from` from `into`, cell by cell; on an error `into` is unchanged.
///
/// # Errors
/// When the slices differ in length or a cell would fall below zero.
///
/// ```
/// use anchorwatch_detectors::counts::{merge, subtract};
/// let mut window = [1, 2];
/// merge(&mut window, &[0, 5]);
/// subtract(&mut window, &[0, 5])?;
/// assert_eq!(window, [1, 2]);
/// assert!(subtract(&mut window, &[2, 0]).is_err());
/// # Ok::<(), anchorwatch_detectors::CountsError>(())
/// ```
pub fn subtract(into: &mut [u64], from: &[u64]) -> Result<(), CountsError> {
    check_pairs(into, from, |a, b| a >= b, |cell| CountsError::Underflow { cell })?;
    for (into, from) in into.iter_mut().zip(from) {
        *into -= from;
    }
    Ok(())
}

fn check_pairs(
    left: &[u64],
    right: &[u64],
    holds: impl Fn(u64, u64) -> bool,
    error: impl Fn(usize) -> CountsError,
) -> Result<(), CountsError> {
    if left.len() != right.len() {
        return Err(CountsError::LengthMismatch { left: left.len(), right: right.len() });
    }
    match left.iter().zip(right).position(|(&a, &b)| !holds(a, b)) {
        Some(cell) => Err(error(cell)),
        None => Ok(()),
    }
}

/// The sum of all cells, saturating at `u64::MAX`.
#[must_use]
pub fn total(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
}

/// Writes the cells that are not zero as pairs of LEB128 numbers: zeros skipped since the last pair, then the count.
///
/// About two bytes per cell in use; no cells in use is no bytes. The number of cells is not written.
///
/// ```
/// use anchorwatch_detectors::counts::{decode_sparse, encode_sparse};
/// let counts = [0, 0, 7, 0, 300];
/// let bytes = encode_sparse(&counts);
/// assert_eq!(bytes, [2, 7, 1, 0xAC, 0x02]);
/// assert_eq!(decode_sparse(&bytes, 5)?, counts);
/// # Ok::<(), anchorwatch_detectors::CountsError>(())
/// ```
#[must_use]
pub fn encode_sparse(counts: &[u64]) -> Vec<u8> {
    encode_cells(counts.iter().copied().enumerate())
}

/// The same for cells given as `(number, count)` in ascending order of their numbers; counts of zero are left out.
///
/// A cell that does not come after the one before it is left out too: it has no place in the encoding.
#[must_use]
pub fn encode_cells(cells: impl IntoIterator<Item = (usize, u64)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = 0;
    for (cell, count) in cells {
        if count == 0 || cell < next {
            continue;
        }
        write_leb128(&mut bytes, (cell - next) as u64);
        write_leb128(&mut bytes, count);
        next = cell + 1;
    }
    bytes
}

/// Reads what [`encode_sparse`] wrote for `len` cells; allocates `len` cells and no more, whatever the bytes say.
///
/// # Errors
/// When the bytes are cut short, are not a canonical encoding, or name a cell at or beyond `len`.
pub fn decode_sparse(bytes: &[u8], len: usize) -> Result<Vec<u64>, CountsError> {
    let mut counts = vec![0; len];
    visit_sparse(bytes, len, |cell, count| {
        if let Some(slot) = counts.get_mut(cell) {
            *slot = count;
        }
    })?;
    Ok(counts)
}

/// Hands out the cells in use of what [`encode_sparse`] wrote for `len` cells, in ascending order: the cost is that of
/// the cells in use, and nothing is allocated.
///
/// ```
/// use anchorwatch_detectors::counts::{encode_sparse, visit_sparse};
/// let mut window = [1, 1, 1];
/// visit_sparse(&encode_sparse(&[0, 0, 7]), 3, |cell, count| window[cell] += count)?;
/// assert_eq!(window, [1, 1, 8]);
/// # Ok::<(), anchorwatch_detectors::CountsError>(())
/// ```
///
/// # Errors
/// As [`decode_sparse`]; cells before the mistake have been handed out.
pub fn visit_sparse(bytes: &[u8], len: usize, mut visit: impl FnMut(usize, u64)) -> Result<(), CountsError> {
    let mut at = 0;
    let mut next = 0_usize;
    while at < bytes.len() {
        // Almost every number has one byte.
        let (skipped, count) = match bytes.get(at..at + 2) {
            Some(&[skipped @ ..0x80, count @ ..0x80]) => {
                at += 2;
                (u64::from(skipped), u64::from(count))
            }
            _ => (read_leb128(bytes, &mut at)?, read_leb128(bytes, &mut at)?),
        };
        if count == 0 {
            return Err(CountsError::Malformed { at });
        }
        let place = usize::try_from(skipped).ok().and_then(|skipped| skipped.checked_add(next));
        let cell = place.filter(|place| *place < len).ok_or(CountsError::OutOfRange { cells: len })?;
        visit(cell, count);
        next = cell + 1;
    }
    Ok(())
}

fn write_leb128(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn read_leb128(bytes: &[u8], at: &mut usize) -> Result<u64, CountsError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).ok_or(CountsError::Truncated)?;
        *at += 1;
        let low = u64::from(byte & 0x7F);
        if shift == 63 && byte > 1 {
            break;
        }
        value |= low << shift;
        if byte < 0x80 {
            let too_long = byte == 0 && shift > 0;
            return if too_long { Err(CountsError::Malformed { at: *at }) } else { Ok(value) };
        }
    }
    Err(CountsError::Malformed { at: *at })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sparse() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::vec(prop_oneof![4 => Just(0u64), 2 => 0u64..1000, 1 => any::<u64>()], 0..200)
    }

    #[test]
    fn slices_of_different_length_are_refused() {
        let mut into = [1, 2];
        assert_eq!(subtract(&mut into, &[1]), Err(CountsError::LengthMismatch { left: 2, right: 1 }));
        assert_eq!(checked_merge(&mut into, &[1]), Err(CountsError::LengthMismatch { left: 2, right: 1 }));
        assert_eq!(checked_merge(&mut into, &[0, u64::MAX]), Err(CountsError::Overflow { cell: 1 }));
        assert_eq!(into, [1, 2]);
    }

    #[test]
    fn only_the_canonical_encoding_is_read() {
        assert_eq!(decode_sparse(&[0], 1), Err(CountsError::Truncated));
        assert_eq!(decode_sparse(&[0, 0], 1), Err(CountsError::Malformed { at: 2 }));
        assert_eq!(decode_sparse(&[0, 0x81, 0], 1), Err(CountsError::Malformed { at: 3 }));
        assert_eq!(decode_sparse(&[0xFF; 30], 1), Err(CountsError::Malformed { at: 10 }));
        assert_eq!(decode_sparse(&[1, 1], 1), Err(CountsError::OutOfRange { cells: 1 }));
        let mut huge = vec![0xFF; 9];
        huge.extend([1, 1]);
        assert_eq!(decode_sparse(&huge, 4), Err(CountsError::OutOfRange { cells: 4 }));
    }

    proptest! {
        #[test]
        fn c1_c2_merging_and_subtracting_are_inverse_and_commute(
            cells in proptest::collection::vec((0u64..1 << 60, 0u64..1 << 60, 0u64..1 << 60), 0..50),
        ) {
            let pick = |f: fn(&(u64, u64, u64)) -> u64| cells.iter().map(f).collect::<Vec<u64>>();
            let (a, b, c) = (pick(|t| t.0), pick(|t| t.1), pick(|t| t.2));
            let mut left = a.clone();
            merge(&mut left, &b);
            merge(&mut left, &c);
            let mut right = c.clone();
            merge(&mut right, &a);
            merge(&mut right, &b);
            prop_assert_eq!(&left, &right);
            subtract(&mut left, &c).unwrap();
            subtract(&mut left, &b).unwrap();
            prop_assert_eq!(left, a);
        }

        #[test]
        fn c3_sparse_counts_survive_the_codec(counts in sparse()) {
            prop_assert_eq!(decode_sparse(&encode_sparse(&counts), counts.len()).unwrap(), counts);
        }

        #[test]
        fn c3_hostile_bytes_decode_to_an_error_or_to_what_encodes_back(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xFF), 0u8..4], 0..64), len in 0usize..300,
        ) {
            if let Ok(counts) = decode_sparse(&bytes, len) {
                prop_assert_eq!(counts.len(), len);
                prop_assert_eq!(encode_sparse(&counts), bytes);
            }
        }
    }
}
