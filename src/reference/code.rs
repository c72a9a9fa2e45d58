//! Codes that stand for categories, as text: `3`, not `3.0`.

use std::fmt::{self, Write};

/// The longest decimal text of a double has 345 bytes.
const LONGEST: usize = 352;

/// Decimal text of a coded category: `3`, not `3.0`.
#[must_use]
pub fn code_text(code: f64) -> String {
    CodeText::default().of(code).to_owned()
}

/// Room for the text of a code, so that it costs no allocation.
#[derive(Debug, Clone)]
pub struct CodeText {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Default for CodeText {
    fn default() -> Self {
        Self { bytes: [0; LONGEST], len: 0 }
    }
}

impl CodeText {
    /// The text of a code, as [`code_text`] gives it.
    pub fn of(&mut self, code: f64) -> &str {
        self.len = 0;
        // There is room for every double, so this cannot fail.
        let _ = write!(self, "{code}");
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for CodeText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_double_has_room_and_the_text_of_display() {
        let hard =
            [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -2.225_073_858_507_201e-308, 3.0, -0.0, 0.1];
        for code in hard {
            assert_eq!(code_text(code), format!("{code}"));
        }
    }
}
