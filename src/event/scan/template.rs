//! Whole events read by the one before: what stands between two values is compared as bytes, a key with all around it at
//! once, and only values are read.
//!
//! A template is made of an event that the walk took, so what it says between the values is well formed, and each name
//! stands there once. A few are kept. Where an event goes on otherwise than the one that is followed, another template
//! that began in the same way is followed instead; if there is none, the walk reads the event anew, and a template may be
//! made of it. So a wrong guess costs time and nothing else.
//!
//! Bound: [`MOST`] templates of up to [`MOST_VALUES`] values and [`MOST_BYTES`] bytes.

use super::cursor::{Behind, Cursor};
use super::lanes::{LANES, equal};
use super::shape::Shapes;
use super::walk::{Field, Stop, set_field, set_plain_prediction};
use super::{Found, Scanned, usual};

/// Templates that are kept; the one that was not used for longest makes room.
const MOST: usize = 8;
/// Values of an event of which a template is made.
const MOST_VALUES: usize = 512;
/// Bytes of an event of which a template is made.
const MOST_BYTES: usize = 1 << 16;
/// Events that pay for a template while there is room. Then each costs twice as much as the one before, so that a stream
/// of more forms than are kept hardly makes any after a while.
const EVENTS_A_TEMPLATE: u32 = 32;
/// Most events that pay for one.
const DEAREST: u32 = 1 << 16;

/// Depth at which values are taken to stand: that of features and segment fields. One of the event itself that is nested
/// as deep as is allowed is left to the walk.
const VALUE_DEPTH: usize = 2;

/// Bytes that are compared at once.
const WINDOW: usize = 2 * LANES;

/// What stands between two values.
#[derive(Debug, Clone)]
struct Between {
    begin: [u8; WINDOW],
    /// A bit for each byte of `begin` that counts.
    mask: u32,
    text: Box<[u8]>,
}

impl Between {
    fn new(text: &[u8]) -> Self {
        let mut begin = [0; WINDOW];
        begin.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        let mask = u32::MAX.checked_shr(WINDOW.saturating_sub(text.len()) as u32).unwrap_or(0);
        Self { begin, mask, text: text.into() }
    }

    /// Whether the payload has these bytes here.
    #[inline(always)]
    fn stands_at(&self, payload: &[u8], at: usize) -> bool {
        let Some(rest) = payload.get(at..) else { return false };
        let Some(window) = rest.first_chunk::<WINDOW>() else { return rest.starts_with(&self.text) };
        equal(window, &self.begin) & self.mask == self.mask
            && (self.text.len() <= WINDOW || rest.starts_with(&self.text))
    }
}

/// Values that follow one another in the event and in the shape, or one by itself.
#[derive(Debug, Clone)]
enum Run {
    /// So many features from this step on, from this place on.
    Features(usize, usize, usize),
    /// Segment fields likewise.
    Segment(usize, usize, usize),
    /// The value of this step.
    One(usize, Slot),
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// A field of the event.
    Field(Field),
    /// `prediction` that is no object.
    Prediction,
    /// `label` and `score` of `prediction`.
    Label,
    Score,
    /// A feature or segment field, by its place in the shape.
    Feature(u32),
    Segment(u32),
    /// Nothing that is counted.
    Other,
}

/// A value, and what stands behind it.
#[derive(Debug, Clone)]
struct Step {
    slot: Slot,
    behind: Between,
}

/// How an event was written.
#[derive(Debug)]
struct Template {
    begin: Between,
    steps: Vec<Step>,
    runs: Vec<Run>,
    /// The shape of its names: place and number.
    shape: (u32, u32),
    has_features: bool,
    /// Names of the shape that the event lacks.
    absent: Vec<Slot>,
    /// The event that used it last, by number.
    used: u64,
}

/// Why a template was left: the value that could not be read, or behind which something else stands, and where it begins.
#[derive(Debug, Clone, Copy)]
struct Left {
    step: usize,
    at: usize,
}

impl Template {
    /// Reads values from one of them on.
    #[inline(always)]
    fn follow(&self, payload: &[u8], from: Left, values: &mut [Found]) -> Result<(), Left> {
        let Left { mut step, mut at } = from;
        let rest = self.steps.get(step..).unwrap_or_default().iter();
        for (Step { behind, .. }, into) in rest.zip(values.get_mut(step..).unwrap_or_default()) {
            let end = usual::value_into(payload, at, into, |end| behind.stands_at(payload, end));
            let Some(end) = end else { return Err(Left { step, at }) };
            at = end + behind.text.len();
            step += 1;
        }
        if at == payload.len() { Ok(()) } else { Err(Left { step, at }) }
    }

    /// What stands before a value.
    fn before(&self, step: usize) -> Option<&Between> {
        match step.checked_sub(1) {
            None => Some(&self.begin),
            Some(before) => self.steps.get(before).map(|step| &step.behind),
        }
    }

    /// Whether all that stands before this value is the same.
    fn begins_like(&self, other: &Self, step: usize) -> bool {
        (0..=step).all(|step| {
            self.before(step).zip(other.before(step)).is_some_and(|(own, other)| own.text == other.text)
        })
    }

    /// Hands the values over.
    fn fill(&self, payload: &[u8], values: &[Found], scanned: &mut Scanned) -> Result<(), Stop> {
        (scanned.id, scanned.model, scanned.version, scanned.ts) = (Found::Absent, None, Found::Absent, None);
        (scanned.prediction, scanned.score, scanned.label) = (Found::Absent, Found::Absent, Found::Absent);
        (scanned.has_features, scanned.latency_ms) = (self.has_features, None);
        let mut outer_score = Found::Absent;
        for slot in &self.absent {
            match *slot {
                Slot::Feature(place) => put(&mut scanned.features, place, Found::Absent),
                Slot::Segment(place) => put(&mut scanned.segment, place, Found::Absent),
                _ => {}
            }
        }
        for run in &self.runs {
            match *run {
                Run::Features(step, place, len) => copy(&mut scanned.features, place, values, (step, len)),
                Run::Segment(step, place, len) => copy(&mut scanned.segment, place, values, (step, len)),
                Run::One(step, slot) => {
                    let value = values.get(step).copied().unwrap_or(Found::Absent);
                    match slot {
                        Slot::Label => scanned.prediction = value,
                        Slot::Score => scanned.score = value,
                        Slot::Prediction => set_plain_prediction(value, scanned)?,
                        Slot::Field(field) => set_field(field, value, payload, scanned, &mut outer_score)?,
                        Slot::Feature(_) | Slot::Segment(_) | Slot::Other => {}
                    }
                }
            }
        }
        if matches!(scanned.score, Found::Absent) {
            scanned.score = outer_score;
        }
        Ok(())
    }
}

#[inline(always)]
fn put(values: &mut [Found], place: u32, value: Found) {
    if let Some(slot) = values.get_mut(place as usize) {
        *slot = value;
    }
}

#[inline(always)]
fn copy(to: &mut [Found], place: usize, values: &[Found], (step, len): (usize, usize)) {
    if let (Some(to), Some(from)) = (to.get_mut(place..place + len), values.get(step..step + len)) {
        to.copy_from_slice(from);
    }
}

/// Gathers what follows one another.
fn runs(steps: &[Step]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (step, Step { slot, .. }) in steps.iter().enumerate() {
        match (*slot, runs.last_mut()) {
            (Slot::Feature(place), Some(Run::Features(_, first, len))) if *first + *len == place as usize => {
                *len += 1;
            }
            (Slot::Segment(place), Some(Run::Segment(_, first, len))) if *first + *len == place as usize => {
                *len += 1;
            }
            (Slot::Feature(place), _) => runs.push(Run::Features(step, place as usize, 1)),
            (Slot::Segment(place), _) => runs.push(Run::Segment(step, place as usize, 1)),
            (Slot::Other, _) => {}
            (slot, _) => runs.push(Run::One(step, slot)),
        }
    }
    runs
}

/// The templates that are kept.
#[derive(Debug)]
pub(super) struct Templates {
    known: Vec<Template>,
    /// The one that was followed last.
    last: usize,
    /// Values of the event that is read.
    values: Vec<Found>,
    events: u64,
    credit: u32,
    /// Events that pay for the next template.
    price: u32,
    max_depth: usize,
}

impl Templates {
    /// No template yet.
    pub(super) fn new(max_depth: usize) -> Self {
        let credit = EVENTS_A_TEMPLATE * MOST as u32;
        let price = EVENTS_A_TEMPLATE;
        Self { known: Vec::new(), last: 0, values: Vec::new(), events: 0, credit, price, max_depth }
    }

    /// Reads an event that is written like one before; false if none was, or if something in it is unusual.
    #[inline]
    pub(super) fn read(&mut self, payload: &[u8], shapes: &mut Shapes, scanned: &mut Scanned) -> bool {
        self.events += 1;
        self.credit = (self.credit + 1).min(DEAREST);
        let Some(mut template) = self.known.get(self.last) else { return false };
        let mut left = if template.begin.stands_at(payload, 0) {
            template.follow(payload, Left { step: 0, at: template.begin.text.len() }, &mut self.values)
        } else {
            Err(Left { step: 0, at: usize::MAX })
        };
        while let Err(Left { step, at }) = left {
            let Some((other, value, at)) = self.otherwise(payload, step, at) else { return false };
            self.last = other;
            template = &self.known[other];
            if let (Some(value), Some(into)) = (value, self.values.get_mut(step)) {
                *into = value;
            }
            let step = step + usize::from(value.is_some());
            left = template.follow(payload, Left { step, at }, &mut self.values);
        }
        let (place, id) = template.shape;
        if shapes.get(place).id() != id {
            // Its shape was widened or made room, so what is in `values` has no place any more.
            self.known.remove(self.last);
            self.last = 0;
            return false;
        }
        shapes.take(place, scanned);
        let read = template.fill(payload, &self.values, scanned).is_ok();
        if let Some(template) = self.known.get_mut(self.last) {
            template.used = self.events;
        }
        read
    }

    /// Another way to read on where a template was left: the template, the value there, and the place behind what stands
    /// behind it. Without a value where not even the beginning was as expected.
    #[cold]
    #[inline(never)]
    fn otherwise(&self, payload: &[u8], step: usize, at: usize) -> Option<(usize, Option<Found>, usize)> {
        if at == usize::MAX {
            let other = self.known.iter().position(|other| other.begin.stands_at(payload, 0))?;
            return Some((other, None, self.known[other].begin.text.len()));
        }
        let followed = self.known.get(self.last)?;
        // A value that is not usual, or a number that goes on behind its usual part.
        let mut cursor = Cursor::new(payload, 0, self.max_depth);
        cursor.move_to(at);
        // No blanks before it: a template has them in what stands between.
        if !matches!(cursor.peek(), Some(byte) if byte > b' ') {
            return None;
        }
        let value = cursor.value(VALUE_DEPTH).ok()?;
        let behind = |template: &Template| {
            let behind = &template.steps.get(step)?.behind;
            behind.stands_at(payload, cursor.at()).then_some(cursor.at() + behind.text.len())
        };
        if let Some(at) = behind(followed) {
            return Some((self.last, Some(value), at));
        }
        let others = self.known.iter().enumerate().filter(|(other, _)| *other != self.last);
        let mut found = others.filter_map(|(other, template)| Some((other, template, behind(template)?)));
        let (other, _, at) = found.find(|(_, template, _)| template.begins_like(followed, step))?;
        Some((other, Some(value), at))
    }

    /// Makes a template of an event that the walk took with this shape, if the events since pay for it.
    pub(super) fn learn(&mut self, payload: &[u8], shapes: &mut Shapes, shape: u32) {
        if self.credit < self.price || payload.len() > MOST_BYTES {
            return;
        }
        self.credit -= self.price;
        let made = Maker::new(payload, self.max_depth).template(shapes, shape);
        if made.is_none() || self.known.len() == MOST {
            self.price = (2 * self.price).min(DEAREST);
        }
        let Some(mut template) = made else { return };
        template.used = self.events;
        if self.values.len() < template.steps.len() {
            self.values.resize(template.steps.len(), Found::Absent);
        }
        self.last = if self.known.len() < MOST {
            self.known.push(template);
            self.known.len() - 1
        } else {
            let oldest = self.known.iter().enumerate().min_by_key(|(_, known)| known.used);
            let place = oldest.map_or(0, |(place, _)| place);
            self.known[place] = template;
            place
        };
    }
}

/// Makes a template of an event.
struct Maker<'p> {
    cursor: Cursor<'p>,
    begin: Option<Between>,
    /// Values, each with what stands behind it once the next one is found.
    steps: Vec<(Slot, Option<Between>)>,
    /// Behind the last value.
    end: usize,
}

impl<'p> Maker<'p> {
    fn new(payload: &'p [u8], max_depth: usize) -> Self {
        Self { cursor: Cursor::new(payload, 0, max_depth), begin: None, steps: Vec::new(), end: 0 }
    }

    /// The template; `None` where the event holds what no template can, or too much.
    fn template(mut self, shapes: &mut Shapes, shape: u32) -> Option<Template> {
        let payload = self.cursor.payload();
        let id = shapes.get(shape).id();
        let (features, segment) = shapes.keys(shape)?;
        let (mut has_features, mut goes_on) = (false, !self.cursor.open().ok()?);
        while goes_on {
            let name = self.cursor.any_key().ok()?.bytes(payload);
            let is_object = self.cursor.peek() == Some(b'{');
            match Field::named(name) {
                Some(Field::Features) => {
                    has_features = true;
                    self.object(|name| Some(Slot::Feature(u32::try_from(features.named(name)?).ok()?)))?;
                }
                Some(Field::Segment) => {
                    self.object(|name| Some(Slot::Segment(u32::try_from(segment.named(name)?).ok()?)))?;
                }
                Some(Field::Prediction) if is_object => self.object(|name| {
                    Some(match name {
                        b"label" => Slot::Label,
                        b"score" => Slot::Score,
                        _ => Slot::Other,
                    })
                })?,
                Some(Field::Prediction) => self.value(Slot::Prediction)?,
                Some(field) => self.value(Slot::Field(field))?,
                None => self.value(Slot::Other)?,
            }
            goes_on = self.cursor.behind().ok()? == Behind::Comma;
        }
        let last = Between::new(payload.get(self.end..)?);
        self.steps.last_mut()?.1 = Some(last);
        let step = |(slot, behind): (Slot, Option<Between>)| Some(Step { slot, behind: behind? });
        let steps: Vec<Step> = self.steps.into_iter().map(step).collect::<Option<_>>()?;
        let has = |slot: &Slot| steps.iter().any(|step| step.slot == *slot);
        let all = (0..).zip(0..features.len()).map(|(place, _)| Slot::Feature(place));
        let all = all.chain((0..).zip(0..segment.len()).map(|(place, _)| Slot::Segment(place)));
        let absent = all.filter(|slot| !has(slot)).collect();
        let (begin, runs) = (self.begin?, runs(&steps));
        Some(Template { begin, steps, runs, shape: (shape, id), has_features, absent, used: 0 })
    }

    fn object(&mut self, slot: impl Fn(&[u8]) -> Option<Slot>) -> Option<()> {
        let payload = self.cursor.payload();
        let mut goes_on = !self.cursor.open().ok()?;
        while goes_on {
            let name = self.cursor.any_key().ok()?.bytes(payload);
            self.value(slot(name)?)?;
            goes_on = self.cursor.behind().ok()? == Behind::Comma;
        }
        Some(())
    }

    /// Takes in a value.
    fn value(&mut self, slot: Slot) -> Option<()> {
        if self.steps.len() == MOST_VALUES {
            return None;
        }
        self.cursor.peek_behind_blanks()?;
        let start = self.cursor.at();
        self.cursor.value(VALUE_DEPTH).ok()?;
        let between = Some(Between::new(self.cursor.payload().get(self.end..start)?));
        match self.steps.last_mut() {
            None => self.begin = between,
            Some((_, behind)) => *behind = between,
        }
        self.end = self.cursor.at();
        self.steps.push((slot, None));
        Some(())
    }
}
