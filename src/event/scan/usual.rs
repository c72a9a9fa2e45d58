//! What nearly every member of an object is: the key that was expected, and a plain text or a short number. Everything
//! here only looks; whoever gets `None` reads the same bytes again with the [`Cursor`](super::cursor::Cursor).

use super::keys::Keys;
use super::lanes::{LANES, text_stops};
use super::number::{self, WINDOW};
use super::{Found, Span};

/// The place of the expected key and where its value begins. `lead` and `gap` are the blanks before the key and behind
/// its colon, none or one.
#[inline(always)]
pub(super) fn key(
    keys: &Keys,
    before: usize,
    payload: &[u8],
    at: usize,
    (lead, gap): (usize, usize),
) -> Option<(usize, usize)> {
    let (place, literal) = keys.guess(before)?;
    if !literal.stands_at(payload, at + lead) {
        return None;
    }
    Some((place, behind_key(payload, at, literal.len(), (lead, gap))?))
}

/// The place of a key that was not expected, and where its value begins; it is expected from now on.
#[inline(never)]
pub(super) fn other_key(
    keys: &mut Keys,
    before: usize,
    payload: &[u8],
    at: usize,
    (lead, gap): (usize, usize),
) -> Option<(usize, usize)> {
    let (place, length) = keys.there(payload, at + lead)?;
    let value = behind_key(payload, at, length, (lead, gap))?;
    keys.follows(before, place);
    Some((place, value))
}

/// Where the value behind a key of this length begins, if the blanks are there.
#[inline(always)]
fn behind_key(payload: &[u8], at: usize, length: usize, (lead, gap): (usize, usize)) -> Option<usize> {
    let end = at + lead + length;
    let blank = |at: usize| payload.get(at) == Some(&b' ');
    if gap != 0 && !(blank(end) && (lead == 0 || blank(at))) {
        return None;
    }
    Some(end + gap)
}

/// A text of plain ASCII or a short number, and where it ends.
#[inline(always)]
pub(super) fn value(payload: &[u8], at: usize) -> Option<(Found, usize)> {
    let mut into = Found::Absent;
    let end = value_into(payload, at, &mut into, |_| true)?;
    Some((into, end))
}

/// Puts the value that begins here into its place, and gives where it ends, if what follows from there on is accepted.
/// Each kind of value is written where it was read: one that is handed on as a [`Found`] goes by way of memory, and is read
/// back in larger pieces than it was written in, for which processors wait.
#[inline(always)]
pub(super) fn value_into(
    payload: &[u8],
    at: usize,
    into: &mut Found,
    follows: impl Fn(usize) -> bool,
) -> Option<usize> {
    let window = payload.get(at..).and_then(|rest| rest.first_chunk::<WINDOW>());
    let Some(window) = window else {
        let (value, end) = value_at_end(payload, at)?;
        *into = value;
        return follows(end).then_some(end);
    };
    if window[0] == b'"' {
        let stops = text_stops(window[1..].first_chunk()?);
        let (start, stop) = (at + 1, stops.trailing_zeros() as usize);
        let (span, end) = if stops == 0 {
            text(payload, start)?
        } else if window[1 + (stop & (LANES - 1))] == b'"' {
            (Span::new(start, start + stop), start + stop + 1)
        } else {
            return None;
        };
        if !follows(end) {
            return None;
        }
        *into = Found::Text(span);
        Some(end)
    } else {
        let (number, length) = number::usual(window)?;
        if !follows(at + length) {
            return None;
        }
        *into = Found::Number(number);
        Some(at + length)
    }
}

/// The same, where fewer bytes follow.
#[inline(never)]
fn value_at_end(payload: &[u8], at: usize) -> Option<(Found, usize)> {
    let rest = payload.get(at..)?;
    if rest.first() == Some(&b'"') {
        let (span, end) = text(payload, at + 1)?;
        return Some((Found::Text(span), end));
    }
    let (number, length) = number_at_end(rest)?;
    Some((Found::Number(number), at + length))
}

/// The text that begins here, and the place behind its closing quote.
#[inline(never)]
fn text(payload: &[u8], start: usize) -> Option<(Span, usize)> {
    let mut at = start;
    loop {
        let window = payload.get(at..)?.first_chunk::<LANES>();
        let stops = match window {
            Some(window) => text_stops(window),
            None => text_stops_at_end(payload, at)?,
        };
        if stops != 0 {
            at += stops.trailing_zeros() as usize;
            break;
        }
        at += LANES;
    }
    if *payload.get(at)? != b'"' {
        return None;
    }
    Some((Span::new(start, at), at + 1))
}

/// As [`text_stops`], where fewer bytes follow: seen from the end of the payload.
#[inline(never)]
fn text_stops_at_end(payload: &[u8], at: usize) -> Option<u32> {
    let window = payload.last_chunk::<LANES>()?;
    let skipped = (at + LANES).checked_sub(payload.len())?;
    let stops = text_stops(window).unbounded_shr(u32::try_from(skipped).ok()?);
    // Without a stop the payload ends within the text.
    (stops != 0).then_some(stops)
}

/// As [`number::usual`], where fewer bytes follow.
fn number_at_end(rest: &[u8]) -> Option<(f64, usize)> {
    let mut window = [0; WINDOW];
    window.get_mut(..rest.len())?.copy_from_slice(rest);
    number::usual(&window)
}
