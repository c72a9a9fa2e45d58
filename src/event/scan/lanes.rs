//! Sixteen bytes compared at once. A bit of each answer stands for a byte, the lowest for the first.
//!
//! `wide` compiles to the vector instructions that every processor of the target has, and to plain loops elsewhere.

use wide::u8x16;

/// Bytes that are looked at together.
pub(in crate::event) const LANES: usize = 16;

/// Bytes that end a run of plain text: a quote, a backslash, a control character, or a byte that is not ASCII.
#[inline(always)]
pub(super) fn text_stops(window: &[u8; LANES]) -> u32 {
    let bytes = u8x16::new(*window);
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    let stops = control | bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'));
    // A byte's highest bit is its bit of the answer, and tells what is not ASCII.
    (stops | bytes).to_bitmask()
}

/// Bytes of two windows that are the same.
#[inline(always)]
pub(super) fn equal(a: &[u8; 2 * LANES], b: &[u8; 2 * LANES]) -> u32 {
    let ((a, _), (b, _)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let same = |half: usize| u8x16::new(a[half]).simd_eq(u8x16::new(b[half])).to_bitmask();
    same(0) | (same(1) << LANES)
}

/// Bytes that are not ASCII.
#[inline(always)]
pub(in crate::event) fn not_ascii(window: &[u8; LANES]) -> u32 {
    u8x16::new(*window).to_bitmask()
}

/// What stands in a number beside its digits.
pub(super) struct NumberStops {
    /// Every byte that is no digit.
    pub(super) others: u32,
    /// Those that are a point.
    pub(super) points: u32,
    /// 1 where the first byte is a minus sign.
    pub(super) minus: u32,
}

/// Where digits end.
#[inline(always)]
pub(super) fn number_stops(window: &[u8; LANES]) -> NumberStops {
    let bytes = u8x16::new(*window);
    let from_zero = bytes - u8x16::splat(b'0');
    let digits = from_zero.min(u8x16::splat(9)).simd_eq(from_zero);
    NumberStops {
        others: digits.to_bitmask() ^ 0xffff,
        points: bytes.simd_eq(u8x16::splat(b'.')).to_bitmask(),
        minus: bytes.simd_eq(u8x16::splat(b'-')).to_bitmask() & 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(window: &[u8; LANES], wanted: impl Fn(u8) -> bool) -> u32 {
        window.iter().enumerate().map(|(i, byte)| u32::from(wanted(*byte)) << i).sum()
    }

    #[test]
    fn every_byte_is_told_in_every_lane() {
        for byte in 0..=u8::MAX {
            for lane in 0..LANES {
                let mut window = [b'0'; LANES];
                window[lane] = byte;
                let text = |byte: u8| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x80..);
                assert_eq!(text_stops(&window), mask(&window, text), "{byte} in lane {lane}");
                assert_eq!(not_ascii(&window), mask(&window, |byte| byte >= 0x80), "{byte} in lane {lane}");
                let NumberStops { others, points, minus } = number_stops(&window);
                assert_eq!(minus, u32::from(window[0] == b'-'), "{byte} in lane {lane}");
                assert_eq!(others, mask(&window, |byte| !byte.is_ascii_digit()), "{byte} in lane {lane}");
                assert_eq!(points, mask(&window, |byte| byte == b'.'), "{byte} in lane {lane}");
            }
        }
    }

    proptest! {
        #[test]
        fn equal_bytes_are_told(a in any::<[u8; 32]>(), differ in any::<u32>()) {
            let b: [u8; 32] = std::array::from_fn(|i| a[i] ^ u8::from(differ >> i & 1 == 1));
            prop_assert_eq!(equal(&a, &b), !differ);
        }

        #[test]
        fn masks_say_the_same_as_a_loop(window in any::<[u8; LANES]>()) {
            prop_assert_eq!(number_stops(&window).others, mask(&window, |byte| !byte.is_ascii_digit()));
        }
    }
}
