//! The embedding of a baseline's rows, where it is asked for: one more reading, of an even sample of the rows, chooses the
//! width of its kernel and says what chance does, and what the windows show is learned with the calibration.

use anchorwatch_detectors::calibrated::orthonormal_scores;
use anchorwatch_detectors::multivariate::Bandwidth;

use super::error::BuildError;
use super::options::BaselineOptions;
use super::plan::read;
use super::series::{Binding, Reading};
use super::source::Source;
use crate::reference::{Embedding, Joint, Reference, Role, Value};

/// Rows that the width of the kernel is chosen on: their distances are compared pair by pair.
const SAMPLED: u64 = 400;

/// Seed of the directions; it is kept in the reference.
const SEED: u64 = 0x6d6d_6400;

/// An embedding of so many features; `None` if the rows do not differ.
pub(super) fn embedding(
    reference: &Reference,
    options: &BaselineOptions,
    features: usize,
) -> Result<Option<Embedding>, BuildError> {
    let layout = reference.layout();
    let scores: Vec<Vec<f64>> = reference
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = layout.column(&reference.profile, index).cells;
            let degrees = if column.role == Role::Label { Vec::new() } else { orthonormal_scores(cells, 1) };
            degrees.into_iter().next().unwrap_or_default()
        })
        .collect();
    let rows = sample(reference, options, &scores)?;
    let sigma = Bandwidth::ReferenceMedian.sigma(&rows, &[]);
    let fixed = scores.iter().map(|scores| Joint::fixed(scores)).collect();
    Ok(sigma.map(|sigma| Embedding::new(features, sigma, SEED, fixed, &rows)))
}

/// Scores of an even sample of the rows.
fn sample(
    reference: &Reference,
    options: &BaselineOptions,
    scores: &[Vec<f64>],
) -> Result<Vec<Vec<f64>>, BuildError> {
    let mut source = Source::open(&options.source, options.format, &options.roles)?;
    let reading = Reading { reference, roles: &options.roles, slices: &[], window_ms: 1, as_one: true };
    let step = (reference.provenance.rows / SAMPLED).max(1);
    let (mut sampled, mut before) = (Vec::new(), 0);
    while let Some(table) = source.next()? {
        let binding = Binding::of(&reading, source.fields());
        for row in (0..table.rows).filter(|row| (before + *row as u64).is_multiple_of(step)) {
            let columns = reference.columns.iter().zip(&binding.columns).zip(scores);
            let used = columns.filter(|(_, scores)| !scores.is_empty());
            let score = used.map(|((column, field), scores)| {
                let value = field.map_or(Value::Missing, |field| read(column.kind, table.cell(field, row)));
                scores.get(column.slot(value)).copied().unwrap_or(0.0)
            });
            sampled.push(score.collect());
        }
        before += table.rows as u64;
    }
    Ok(sampled)
}
