//! A native event read in place: no tree, and no allocation once its shape is known.
//!
//! Producers write the same keys in the same order, event after event. So an event is read by the one before: all that
//! stands between its values is compared as bytes. One that is written otherwise is walked object by object, with a guess
//! for each key: the one that followed last time. Where a guess fails, the key is looked up, and the next guess is better. Whatever is unusual (escapes, a name nobody has seen, anything broken) is left to the strict
//! [`decode`], which says what it is. What the scanner takes, `decode` takes too, with the same fields.
//!
//! | what | file |
//! |---|---|
//! | what was found, and where | `scanned.rs` |
//! | names of features and segment fields, learned | `shape.rs` |
//! | events written like the one before | `template.rs` |
//! | keys of an object with the guess of the next | `keys.rs`, `literal.rs` |
//! | the event, object by object | `walk.rs` |
//! | a usual member of an object: the expected key with a plain value | `usual.rs`, `number.rs` |
//! | any key and value | `cursor.rs`, `nested.rs` |
//! | sixteen bytes at once | `lanes.rs` |

mod cursor;
mod keys;
mod lanes;
mod literal;
mod nested;
mod number;
mod scanned;
mod shape;
mod template;
mod usual;
mod walk;

use super::{Limits, decode};
use template::Templates;
use walk::{Stop, Walk};

pub(super) use keys::Keys;
pub(super) use lanes::{LANES, not_ascii};
pub(super) use literal::Form;
pub use scanned::{Found, Scanned, Span};
pub(super) use shape::Shapes;
pub use shape::{BYTES_A_NAME, Learned, MAX_NAMES, MAX_SHAPES, Shape};

/// Reads events and remembers the shapes of those it has read.
///
/// ```
/// use anchorwatch::event::{Limits, scan::{Found, Scanner}};
///
/// let mut scanner = Scanner::new(Limits { max_bytes: 1 << 20, max_features: 1_024, max_depth: 16 });
/// let payload = br#"{"model":"fraud","features":{"amount":12.5}}"#;
/// let scanned = scanner.scan(payload).expect("a usual event");
/// assert_eq!(scanned.features, [Found::Number(12.5)]);
/// let shape = scanned.shape;
/// assert_eq!(&*scanner.shape(shape).features()[0], "amount");
/// ```
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    templates: Templates,
    walk: Walk,
    scanned: Scanned,
}

impl Scanner {
    /// A scanner that has seen nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let (templates, walk) = (Templates::new(limits.max_depth), Walk::new(&limits));
        Self { limits, templates, walk, scanned: Scanned::default() }
    }

    /// Reads one event. `None`: unusual or broken, [`decode`] says which.
    pub fn scan(&mut self, payload: &[u8]) -> Option<&Scanned> {
        if payload.len() > self.limits.max_bytes || u32::try_from(payload.len()).is_err() {
            return None;
        }
        self.walk.shapes.saw_event();
        if self.templates.read(payload, &mut self.walk.shapes, &mut self.scanned) {
            return Some(&self.scanned);
        }
        let read = match self.walk.event(payload, None, &mut self.scanned) {
            Ok(()) => true,
            Err(Stop::Unusual) => false,
            Err(Stop::UnknownName) => self.learn(payload),
        };
        if read {
            self.templates.learn(payload, &mut self.walk.shapes, self.scanned.shape);
        }
        read.then_some(&self.scanned)
    }

    /// The shape that a [`Scanned`] names, until the next call of [`scan`](Self::scan); without names for an index
    /// that never was one.
    #[must_use]
    pub fn shape(&self, index: u32) -> &Shape {
        self.walk.shapes.get(index)
    }

    /// The event that [`scan`](Self::scan) took last, with its shape.
    #[must_use]
    pub fn last(&self) -> (&Scanned, &Shape) {
        (&self.scanned, self.shape(self.scanned.shape))
    }

    /// How much was learned so far.
    #[must_use]
    pub fn learned(&self) -> Learned {
        self.walk.shapes.learned()
    }

    /// Learns the names of an event and reads it again.
    fn learn(&mut self, payload: &[u8]) -> bool {
        let shapes = &mut self.walk.shapes;
        if !shapes.may_learn() {
            return false;
        }
        let Ok(event) = decode(payload, &self.limits) else { return false };
        let features: Vec<&str> =
            event.features.as_deref().unwrap_or_default().iter().map(|(name, _)| name.as_ref()).collect();
        let segment: Vec<&str> = event.segment.iter().map(|(name, _)| name.as_ref()).collect();
        let Some(index) = shapes.learn(&features, &segment) else { return false };
        self.walk.event(payload, Some(index), &mut self.scanned).is_ok()
    }
}

#[cfg(test)]
mod tests;
