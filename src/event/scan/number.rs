//! Numbers, rounded correctly. The usual ones (at most eight digits before the point and eight behind it) are read
//! without a branch for any of their digits; others digit by digit, and those that are no exact quotient by `std`.

use super::lanes::{LANES, NumberStops, number_stops};

/// Whole numbers up to here are exact as `f64`, and so is a product or quotient with an exact power of ten, rounded once.
const MAX_EXACT: u64 = 1 << 53;
/// Digits that fit `u64` whatever they are.
const MAX_DIGITS: usize = 19;
/// Largest exact power of ten.
const MAX_EXACT_POWER: usize = 22;
/// Bytes that must follow, so that words can be loaded anywhere in a usual number.
pub(super) const WINDOW: usize = 24;

const POWERS: [f64; MAX_EXACT_POWER + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
const WHOLE_POWERS: [u64; 16] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 0, 0, 0, 0, 0, 0, 0];

/// A number of at most eight digits before and eight behind the point, or of fifteen without one; an exponent is not
/// looked for. So few digits are exact, and so is their power of ten.
#[inline(always)]
pub(super) fn usual(window: &[u8; WINDOW]) -> Option<(f64, usize)> {
    let NumberStops { others, points, minus: negative } = number_stops(window.first_chunk::<LANES>()?);
    let (stops, points) = (others >> negative, points >> negative);
    let point = stops & stops.wrapping_neg() & points;
    let whole = stops.trailing_zeros();
    // Without a stop in sight these are 32, and refused as too long.
    let length = (stops ^ point).trailing_zeros();
    let has_point = u32::from(point != 0);
    let fraction = length.wrapping_sub(whole).wrapping_sub(has_point);
    let begin = negative as usize;
    let first = word(window, begin);
    let leading_zero = (first & 0xff == u64::from(b'0')) & (whole > 1);
    let count = length.wrapping_sub(has_point);
    let is_fine = (whole.wrapping_sub(1) < 15) & (fraction >= has_point) & !leading_zero;
    let digits = if is_fine & (count < 9) {
        // All digits in one word: those before the point from here, those behind it from a place further.
        let before = u64::MAX >> (64 - 8 * whole);
        let all = (first & before) | (word(window, begin + 1) & !before);
        eight(all << (64 - 8 * count))
    } else if is_fine & (whole < 9) & (fraction < 9) {
        let behind = word(window, begin + whole as usize + 1).unbounded_shl(64 - 8 * fraction);
        eight(first << (64 - 8 * whole)) * WHOLE_POWERS[(fraction & 15) as usize] + eight(behind)
    } else if is_fine & (whole > 8) & (has_point == 0) {
        let behind = word(window, begin + 8) << (64 - 8 * (whole - 8));
        eight(first) * WHOLE_POWERS[(whole - 8) as usize] + eight(behind)
    } else {
        return None;
    };
    // Fewer than sixteen digits are a signed number too, which processors convert at once.
    let size = digits.cast_signed() as f64 / POWERS[(fraction & 15) as usize];
    Some((f64::from_bits(size.to_bits() | (u64::from(negative) << 63)), begin + length as usize))
}

/// Eight bytes, the first one lowest. The place is below sixteen, which the compiler is told.
#[inline(always)]
fn word(window: &[u8; WINDOW], at: usize) -> u64 {
    let bytes = window.get(at & 15..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The value of eight digits, the first one in the lowest byte; zero bytes count as zeros. Pairs, then fours, then all.
#[inline(always)]
const fn eight(digits: u64) -> u64 {
    let pairs = (digits & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 * (1 << 8) + 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 * (1 << 16) + 1) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 * (1 << 32) + 1) >> 32
}

/// Any number of the JSON grammar and its length in bytes; `None` where none stands, or one beyond the range of `f64`.
pub(super) fn any(bytes: &[u8]) -> Option<(f64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let mut digits = Digits { bytes, at: usize::from(negative), value: 0, count: 0 };
    let whole = digits.run();
    if whole == 0 || (whole > 1 && bytes.get(usize::from(negative)) == Some(&b'0')) {
        return None;
    }
    let mut power = 0;
    if bytes.get(digits.at) == Some(&b'.') {
        digits.at += 1;
        let fraction = digits.run();
        if fraction == 0 {
            return None;
        }
        power = -i64::try_from(fraction).ok()?;
    }
    let (digits, length) = (digits.clone(), digits.at);
    let (exponent, length) = exponent(bytes, length)?;
    let text = bytes.get(..length)?;
    let size = digits.exact(power.checked_add(exponent)?).map(Some).unwrap_or_else(|| parsed(text));
    let number = size?;
    Some((if negative { -number.abs() } else { number }, length))
}

/// The exponent at this place and where it ends; 0 where none stands. Beyond any use it only keeps its sign.
fn exponent(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    if !matches!(bytes.get(at), Some(b'e' | b'E')) {
        return Some((0, at));
    }
    let sign = bytes.get(at + 1);
    let begin = at + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
    let run: &[u8] = bytes.get(begin..)?;
    let length = run.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let size = run.iter().take(length).fold(0_i64, |size, digit| {
        size.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(i64::from(i32::MAX))
    });
    Some((if sign == Some(&b'-') { -size } else { size }, begin + length))
}

/// What `std` reads; `None` beyond the range.
fn parsed(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Digits as they are read.
#[derive(Clone)]
struct Digits<'b> {
    bytes: &'b [u8],
    at: usize,
    value: u64,
    /// Digits in `value`, leading zeros not counted.
    count: usize,
}

impl Digits<'_> {
    /// Reads a run of digits and returns its length.
    fn run(&mut self) -> usize {
        let begin = self.at;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            self.value = self.value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.count += usize::from(self.count > 0 || *digit != b'0');
            self.at += 1;
        }
        self.at - begin
    }

    /// The size of `digits × 10^power` where one rounding gives it.
    fn exact(&self, power: i64) -> Option<f64> {
        if self.count > MAX_DIGITS || self.value > MAX_EXACT {
            return None;
        }
        let scale = *POWERS.get(usize::try_from(power.unsigned_abs()).ok()?)?;
        let digits = self.value as f64;
        Some(if power < 0 { digits / scale } else { digits * scale })
    }
}
