//! Arrays and objects whose content nobody counts: walked only to know that they are well formed.

use super::cursor::Cursor;
use super::walk::Stop;

/// `serde_json` goes 128 deep; nobody nests events half as deep.
const MAX_NESTING: usize = 64;

/// The brackets that are open: a bit each, set for an object.
#[derive(Default)]
struct Brackets {
    objects: u64,
    open: usize,
}

impl Brackets {
    fn push(&mut self, bracket: u8) {
        self.objects = (self.objects << 1) | u64::from(bracket == b'{');
        self.open += 1;
    }

    const fn pop(&mut self) {
        self.objects >>= 1;
        self.open -= 1;
    }

    const fn closing(&self) -> u8 {
        if self.objects & 1 == 1 { b'}' } else { b']' }
    }
}

impl Cursor<'_> {
    /// Passes the array or object that begins here, a value at this depth.
    #[inline(never)]
    pub(super) fn skip_nested(&mut self, depth: usize) -> Result<(), Stop> {
        let most = self.max_depth().saturating_sub(depth).min(MAX_NESTING);
        let mut brackets = Brackets::default();
        loop {
            // At a value.
            if let Some(bracket @ (b'{' | b'[')) = self.peek_behind_blanks() {
                if brackets.open == most {
                    return Err(Stop::Unusual);
                }
                brackets.push(bracket);
                self.step();
                if self.peek_behind_blanks() != Some(brackets.closing()) {
                    self.key_in(&brackets)?;
                    continue;
                }
            } else {
                self.value(usize::MAX)?;
            }
            if !self.next_value(&mut brackets)? {
                return Ok(());
            }
        }
    }

    /// Behind a value: to the next one, over closing brackets, a comma and a key. `false` where the outermost bracket closed.
    fn next_value(&mut self, brackets: &mut Brackets) -> Result<bool, Stop> {
        loop {
            let byte = self.peek_behind_blanks().ok_or(Stop::Unusual)?;
            self.step();
            if byte == brackets.closing() {
                brackets.pop();
                if brackets.open == 0 {
                    return Ok(false);
                }
            } else if byte == b',' {
                self.key_in(brackets)?;
                return Ok(true);
            } else {
                return Err(Stop::Unusual);
            }
        }
    }

    /// Passes the key where the innermost bracket is an object.
    fn key_in(&mut self, brackets: &Brackets) -> Result<(), Stop> {
        if brackets.closing() == b']' {
            return Ok(());
        }
        self.any_key().map(|_| ())
    }
}
