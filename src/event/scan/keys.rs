//! The keys of one kind of object, with the guess which one comes next.

use std::collections::HashMap;

use super::Span;
use super::cursor::Cursor;
use super::literal::{Form, Literal};
use super::walk::Stop;

/// Up to here keys are looked for one after the other, beyond by their hash.
const FEW: usize = 32;

/// A key that was read.
pub(super) enum Key {
    /// Its place among the known ones.
    Known(usize),
    /// Where its name stands.
    Unknown(Span),
}

/// Keys of an object, each with the key that followed it last.
#[derive(Debug, Default)]
pub(in crate::event) struct Keys {
    form: Form,
    literals: Vec<Literal>,
    /// By the place of a key the place of the one that followed; the last entry is the first key of an object.
    next: Vec<u32>,
    /// Places of names; empty for a few.
    places: HashMap<Box<[u8]>, usize>,
}

impl Keys {
    /// Keys in the order in which they are expected. The form can hold their names.
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>, form: Form) -> Self {
        let mut keys = Self { form, next: vec![0], ..Self::default() };
        for name in names {
            keys.push(name);
        }
        if keys.len() > FEW {
            let place = |(place, literal): (usize, &Literal)| (literal.name().into(), place);
            keys.places = keys.literals.iter().enumerate().map(place).collect();
        }
        keys
    }

    /// How many keys there are; as a place, the one before the first key.
    #[inline]
    pub(in crate::event) const fn len(&self) -> usize {
        self.literals.len()
    }

    /// Adds a key behind the others and returns its place.
    pub(super) fn push(&mut self, name: &str) -> usize {
        let place = self.literals.len();
        let first = self.next.pop().unwrap_or_default();
        self.literals.push(Literal::new(name, self.form));
        self.next.extend([u32::try_from(place + 1).unwrap_or_default(), first]);
        place
    }

    /// The key that should come behind another, and its place.
    #[inline(always)]
    pub(super) fn guess(&self, before: usize) -> Option<(usize, &Literal)> {
        let place = *self.next.get(before)? as usize;
        Some((place, self.literals.get(place)?))
    }

    /// Reads any key up to its value. `before` is the place of the key before it.
    #[inline(never)]
    pub(super) fn look_up(&mut self, cursor: &mut Cursor<'_>, before: usize) -> Result<Key, Stop> {
        let is_first = before == self.literals.len();
        cursor.blanks_before_key(is_first);
        let there = self.there(cursor.payload(), cursor.at());
        let place = if let Some((place, length)) = there {
            cursor.move_to(cursor.at() + length);
            cursor.skip_blanks();
            place
        } else {
            let span = cursor.any_key()?;
            let known = self.named(span.bytes(cursor.payload()));
            let Some(place) = known else { return Ok(Key::Unknown(span)) };
            place
        };
        self.follows(before, place);
        Ok(Key::Known(place))
    }

    /// The place of a name.
    pub(in crate::event) fn named(&self, name: &[u8]) -> Option<usize> {
        if self.places.is_empty() {
            self.literals.iter().position(|literal| literal.name() == name)
        } else {
            self.places.get(name).copied()
        }
    }

    /// The place of the key that should come behind another and does stand here, and its length.
    #[inline(always)]
    pub(in crate::event) fn expected(
        &self,
        payload: &[u8],
        at: usize,
        before: usize,
    ) -> Option<(usize, usize)> {
        let (place, literal) = self.guess(before)?;
        literal.stands_at(payload, at).then_some((place, literal.len()))
    }

    /// Notes which key followed another.
    pub(in crate::event) fn follows(&mut self, before: usize, place: usize) {
        if let (Some(next), Ok(place)) = (self.next.get_mut(before), u32::try_from(place)) {
            *next = place;
        }
    }

    /// Which of a few keys stands here as it is, and its length.
    pub(super) fn there(&self, payload: &[u8], at: usize) -> Option<(usize, usize)> {
        if !self.places.is_empty() {
            return None;
        }
        let begin = u64::from_le_bytes(*payload.get(at..)?.first_chunk()?);
        let stands = |literal: &Literal| literal.may_begin(begin) && literal.stands_at(payload, at);
        let place = self.literals.iter().position(stands)?;
        Some((place, self.literals.get(place)?.len()))
    }
}
