//! The names of an event's features and segment fields, learned from events; how many are remembered is bounded.
//!
//! A shape may have more names than one event: what an event leaves out is absent. So producers that leave out what
//! they do not know share a shape. Which shape an event has is guessed from its model, version and first name; a wrong
//! guess costs time and nothing else.

use std::collections::HashSet;

use super::keys::Keys;
use super::literal::Form;
use super::{Found, Scanned, Span};
use crate::event::MAX_SEGMENT_FIELDS;

/// Most shapes that are remembered; the one that was not used for longest makes room.
pub const MAX_SHAPES: usize = 64;
/// Most names of all shapes together; one that has more by itself stands alone.
pub const MAX_NAMES: usize = 16_384;
/// Most memory that a name takes, with all that it is found by: three copies of up to 128 bytes, its words and masks, and
/// its places in lists that grow by doubling.
pub const BYTES_A_NAME: usize = 768;
/// Guesses that are remembered; a power of two.
const HINTS: usize = 1_024;
/// Events that pay for learning one shape, so that no stream makes it learn all the time.
const EVENTS_A_SHAPE: u32 = 64;
/// What may be learned at once.
const MAX_CREDIT: u32 = EVENTS_A_SHAPE * MAX_SHAPES as u32;

/// The names of an event's features and segment fields, in the order in which they were met.
#[derive(Debug)]
pub struct Shape {
    id: u32,
    features: Box<[Box<str>]>,
    segment: Box<[Box<str>]>,
    feature_keys: Keys,
    segment_keys: Keys,
    /// The event that used it last, by number.
    used: u64,
}

impl Shape {
    fn new(id: u32, (features, segment): (&[&str], &[&str]), form: Form) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        Self {
            id,
            features: owned(features),
            segment: owned(segment),
            feature_keys: Keys::new(features.iter().copied(), form),
            segment_keys: Keys::new(segment.iter().copied(), form),
            used: 0,
        }
    }

    /// Never that of a shape with other names, also when this one is forgotten.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Names of features by their place.
    #[must_use]
    pub fn features(&self) -> &[Box<str>] {
        &self.features
    }

    /// Names of segment fields by their place.
    #[must_use]
    pub fn segment(&self) -> &[Box<str>] {
        &self.segment
    }

    const fn size(&self) -> usize {
        self.features.len() + self.segment.len()
    }
}

/// What was learned since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Learned {
    /// Shapes, those that took the place of others included.
    pub shapes: u64,
    /// Shapes that got more names.
    pub widened: u64,
    /// Shapes that were forgotten for a new one.
    pub forgotten: u64,
    /// Events with a new name that were not learned from, because too much was learned just before.
    pub declined: u64,
}

/// The shapes that are known. The first one has no names and always stays.
#[derive(Debug)]
pub(in crate::event) struct Shapes {
    form: Form,
    shapes: Vec<Shape>,
    empty: Shape,
    /// By a hash of model, version and first name: the shape that was right last.
    hints: Vec<u32>,
    /// The place in `hints` and the shape of the last guess.
    guess: (usize, u32),
    next_id: u32,
    events: u64,
    credit: u32,
    learned: Learned,
    max_features: usize,
}

impl Shapes {
    pub(in crate::event) fn new(max_features: usize, form: Form) -> Self {
        Self {
            form,
            shapes: vec![Shape::new(0, (&[], &[]), form)],
            empty: Shape::new(0, (&[], &[]), form),
            hints: vec![0; HINTS],
            guess: (0, 0),
            next_id: 1,
            events: 0,
            credit: MAX_CREDIT,
            learned: Learned::default(),
            max_features,
        }
    }

    pub(in crate::event) const fn learned(&self) -> Learned {
        self.learned
    }

    pub(in crate::event) fn get(&self, index: u32) -> &Shape {
        self.shapes.get(index as usize).unwrap_or(&self.empty)
    }

    /// The keys of features and of segment fields.
    #[inline]
    pub(in crate::event) fn keys(&mut self, index: u32) -> Option<(&mut Keys, &mut Keys)> {
        self.shapes.get_mut(index as usize).map(|shape| (&mut shape.feature_keys, &mut shape.segment_keys))
    }

    /// Counts an event, which pays for learning.
    #[inline]
    pub(in crate::event) fn saw_event(&mut self) {
        self.events += 1;
        self.credit = (self.credit + 1).min(MAX_CREDIT);
    }

    /// Guesses the shape of the event whose first object of names begins here, and takes it.
    #[inline]
    pub(super) fn expect_at(&mut self, payload: &[u8], at: usize, scanned: &mut Scanned) -> u32 {
        let first = payload.get(at..).and_then(|rest| rest.first_chunk::<8>());
        self.expect(payload, first.map_or(0, |bytes| u64::from_le_bytes(*bytes)), scanned)
    }

    /// Guesses the shape of an event by its model, version and the beginning of its names, and takes it.
    #[inline]
    pub(in crate::event) fn expect(&mut self, payload: &[u8], first: u64, scanned: &mut Scanned) -> u32 {
        let version = if let Found::Text(span) = scanned.version { word(payload, span) } else { 0 };
        let model = scanned.model.map_or(0, |span| ends(payload, span));
        let mixed = model ^ version.rotate_left(23) ^ first;
        let hint = (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize & (HINTS - 1);
        let hinted = self.hints.get(hint).copied().unwrap_or_default();
        let index = if hinted == 0 { self.guess.1 } else { hinted };
        self.guess = (hint, index);
        self.take(index, scanned)
    }

    /// Makes room for the values of this shape.
    #[inline]
    pub(in crate::event) fn take(&mut self, index: u32, scanned: &mut Scanned) -> u32 {
        if let Some(shape) = self.shapes.get_mut(index as usize) {
            shape.used = self.events;
            scanned.features.resize(shape.features.len(), Found::Absent);
            scanned.segment.resize(shape.segment.len(), Found::Absent);
        }
        scanned.shape = index;
        index
    }

    /// Whether the events since pay for learning; what it costs is taken.
    pub(in crate::event) fn may_learn(&mut self) -> bool {
        if self.credit < EVENTS_A_SHAPE {
            self.learned.declined += 1;
            return false;
        }
        self.credit -= EVENTS_A_SHAPE;
        true
    }

    /// A shape that has the names of this event: one that is known, the guessed one with more names, or a new one.
    /// `None` where a name cannot be compared as bytes.
    pub(in crate::event) fn learn(&mut self, features: &[&str], segment: &[&str]) -> Option<u32> {
        if !features.iter().chain(segment).all(|name| self.form.can_hold(name)) {
            return None;
        }
        let index = match self.known(features, segment) {
            Some(index) => index,
            None => match self.widen(features, segment) {
                Some(index) => index,
                None => self.add(features, segment)?,
            },
        };
        if let Some(hint) = self.hints.get_mut(self.guess.0) {
            *hint = index;
        }
        self.guess.1 = index;
        Some(index)
    }

    /// A shape of which the event has all its names and at least half of the shape's.
    fn known(&self, features: &[&str], segment: &[&str]) -> Option<u32> {
        let has_all = |known: &[Box<str>], names: &[&str]| {
            let known: HashSet<&str> = known.iter().map(AsRef::as_ref).collect();
            names.iter().all(|name| known.contains(name))
        };
        let size = features.len() + segment.len();
        let fits = |shape: &Shape| {
            (size..=2 * size).contains(&shape.size())
                && has_all(&shape.features, features)
                && has_all(&shape.segment, segment)
        };
        let index = self.shapes.iter().skip(1).position(fits)? + 1;
        u32::try_from(index).ok()
    }

    /// The guessed shape with the names of this event, if it had half of these and the event then has half of its own.
    fn widen(&mut self, features: &[&str], segment: &[&str]) -> Option<u32> {
        let index = self.guess.1;
        let shape = self.shapes.get(index as usize).filter(|_| index != 0)?;
        let all_features = union(&shape.features, features);
        let all_segment = union(&shape.segment, segment);
        let (size, all) = (features.len() + segment.len(), all_features.len() + all_segment.len());
        let shared = shape.size() + size - all;
        let fits = all_features.len() <= self.max_features
            && all_segment.len() <= MAX_SEGMENT_FIELDS
            && all <= 2 * size
            && 2 * shared >= size
            && self.names() - shape.size() + all <= MAX_NAMES;
        if !fits {
            return None;
        }
        let wider = Shape::new(self.next_id, (&all_features, &all_segment), self.form);
        self.next_id = self.next_id.checked_add(1)?;
        *self.shapes.get_mut(index as usize)? = wider;
        self.learned.widened += 1;
        Some(index)
    }

    /// How many names the shapes have together.
    fn names(&self) -> usize {
        self.shapes.iter().map(Shape::size).sum()
    }

    /// Forgets shapes until there is room for so many names, or nothing is left.
    fn make_room(&mut self, names: usize) {
        while self.names() + names > MAX_NAMES {
            let known = self.shapes.iter_mut().filter(|shape| shape.size() > 0);
            let Some(oldest) = known.min_by_key(|shape| shape.used) else { return };
            // All shapes without names share a number.
            *oldest = Shape::new(0, (&[], &[]), self.form);
            self.learned.forgotten += 1;
        }
    }

    fn add(&mut self, features: &[&str], segment: &[&str]) -> Option<u32> {
        self.make_room(features.len() + segment.len());
        let shape = Shape::new(self.next_id, (features, segment), self.form);
        self.next_id = self.next_id.checked_add(1)?;
        self.learned.shapes += 1;
        if self.shapes.len() < MAX_SHAPES {
            self.shapes.push(shape);
            return u32::try_from(self.shapes.len() - 1).ok();
        }
        let (index, oldest) =
            self.shapes.iter_mut().enumerate().skip(1).min_by_key(|(_, shape)| shape.used)?;
        self.learned.forgotten += u64::from(oldest.size() > 0);
        *oldest = shape;
        u32::try_from(index).ok()
    }
}

fn union<'n>(known: &'n [Box<str>], names: &[&'n str]) -> Vec<&'n str> {
    let mut all: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let there: HashSet<&str> = all.iter().copied().collect();
    all.extend(names.iter().filter(|name| !there.contains(*name)));
    all
}

/// Up to eight bytes from the beginning of a text.
#[inline]
fn word(payload: &[u8], span: Span) -> u64 {
    let bytes = payload.get(span.start as usize..).and_then(|rest| rest.first_chunk());
    let kept = u32::try_from(span.len().min(8)).unwrap_or_default();
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes).unbounded_shl(64 - 8 * kept))
}

/// Both ends of a text, mixed.
#[inline]
fn ends(payload: &[u8], span: Span) -> u64 {
    let tail = Span { start: span.end.saturating_sub(8).max(span.start), ..span };
    word(payload, span) ^ word(payload, tail).rotate_left(11)
}
