//! Aligned columns of text for standard output.

use std::io::Write;

use chrono::DateTime;

use crate::subject::Millis;

/// How a command prints its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON value.
    Json,
}

/// Writes rows below a heading; each column is as wide as its widest cell.
pub(super) fn write_table<const N: usize>(
    out: &mut dyn Write,
    heading: [&str; N],
    rows: &[[String; N]],
) -> std::io::Result<()> {
    let length = |text: &str| text.chars().count();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| length(cell));
        cells.chain(heading.get(column).map(|cell| length(cell))).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(widest).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(out, "{}", line(&heading))?;
    rows.iter().try_for_each(|row| writeln!(out, "{}", line(&row.each_ref().map(String::as_str))))
}

/// Writes one JSON value, indented.
pub(super) fn write_json(out: &mut dyn Write, value: &impl serde::Serialize) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// An instant for people, in UTC.
pub(super) fn when(at: Millis) -> String {
    DateTime::from_timestamp_millis(at)
        .map_or_else(|| at.to_string(), |t| t.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Some digits of a size of any unit for people.
pub(super) fn digits(size: f64) -> String {
    let places = 3.0 - size.abs().max(1e-3).log10().floor();
    format!("{size:.*}", places.clamp(0.0, 6.0) as usize)
}

/// A length of time for people.
pub(super) fn span(ms: Millis) -> String {
    const UNITS: [(Millis, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = UNITS.into_iter().find(|(length, _)| ms >= *length && ms % length == 0);
    unit.map_or_else(|| format!("{ms}ms"), |(length, name)| format!("{}{name}", ms / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_spaces() {
        let mut out = Vec::new();
        let rows = [["a".to_owned(), "long cell".to_owned()], ["wide name".to_owned(), String::new()]];
        write_table(&mut out, ["NAME", "VALUE"], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME       VALUE\na          long cell\nwide name\n");
    }

    #[test]
    fn spans_use_the_largest_whole_unit() {
        assert_eq!([60_000, 3_600_000, 604_800_000, 1_500].map(span), ["1m", "1h", "7d", "1500ms"]);
    }
}
