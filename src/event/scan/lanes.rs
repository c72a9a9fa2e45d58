//! Sixteen bytes compared at once. A bit of each answer stands for a byte, the lowest for the first.
//!
//! `wide` compiles to the vector instructions that every processor of the target has, and to plain loops elsewhere.

use wide::i8x16;

/// Bytes that are looked at together.
pub(super) const LANES: usize = 16;

fn lanes(window: &[u8; LANES]) -> i8x16 {
    i8x16::from(window.map(u8::cast_signed))
}

/// Bytes that end a run of plain text: a quote, a backslash, a control character, or a byte that is not ASCII.
#[inline]
pub(super) fn text_stops(window: &[u8; LANES]) -> u32 {
    let bytes = lanes(window);
    // As signed numbers, bytes that are not ASCII are less than a blank too.
    let stops = bytes.simd_lt(i8x16::splat(0x20))
        | bytes.simd_eq(i8x16::splat(b'"' as i8))
        | bytes.simd_eq(i8x16::splat(b'\\' as i8));
    stops.to_bitmask()
}

/// Bytes that are no digit, and among them those that are a point.
#[inline]
pub(super) fn number_stops(window: &[u8; LANES]) -> (u32, u32) {
    let bytes = lanes(window);
    let others = bytes.simd_lt(i8x16::splat(b'0' as i8)) | bytes.simd_gt(i8x16::splat(b'9' as i8));
    (others.to_bitmask(), bytes.simd_eq(i8x16::splat(b'.' as i8)).to_bitmask())
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
                let (others, points) = number_stops(&window);
                assert_eq!(others, mask(&window, |byte| !byte.is_ascii_digit()), "{byte} in lane {lane}");
                assert_eq!(points, mask(&window, |byte| byte == b'.'), "{byte} in lane {lane}");
            }
        }
    }

    proptest! {
        #[test]
        fn masks_say_the_same_as_a_loop(window in any::<[u8; LANES]>()) {
            prop_assert_eq!(number_stops(&window).0, mask(&window, |byte| !byte.is_ascii_digit()));
        }
    }
}
