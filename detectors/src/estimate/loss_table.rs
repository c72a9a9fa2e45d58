//! Expected loss by table: the reference's mean loss per cell, weighted with how often a window falls on each cell.
//!
//! A small, explainable relative of `NannyML`'s DLE: cells of the prediction (times those of one feature, if crossed by
//! the caller) instead of a second model. Not here: how cells are chosen.

/// The loss a window is expected to have, and how much of it the table knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedLoss {
    /// Mean loss over the rows on known cells, in the unit of the loss.
    pub mean: f64,
    /// Share of the window's rows on cells where the reference has labelled rows, within 0 to 1.
    pub known: f64,
}

/// The expected mean loss of a window counted on the same cells; `None` if none of its rows falls on a known cell.
///
/// `mean_losses` holds the reference's mean loss per cell, `None` where it has no labelled row.
///
/// ```
/// use anchorwatch_detectors::estimate::loss_table::expected_loss;
/// let expected = expected_loss(&[Some(1.0), Some(3.0), None], &[2, 1, 1]).expect("known cells");
/// assert_eq!((expected.mean, expected.known), (5.0 / 3.0, 0.75));
/// ```
#[must_use]
pub fn expected_loss(mean_losses: &[Option<f64>], window: &[u64]) -> Option<ExpectedLoss> {
    let known = || {
        let cells = mean_losses.iter().zip(window);
        cells.filter_map(|(loss, &count)| {
            loss.filter(|loss| loss.is_finite()).map(|loss| (loss, count as f64))
        })
    };
    let rows: f64 = known().map(|(_, count)| count).sum();
    let sum: f64 = known().map(|(loss, count)| loss * count).sum();
    let all = crate::counts::total(window) as f64;
    (rows > 0.0).then(|| ExpectedLoss { mean: sum / rows, known: rows / all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_window_has_no_expected_loss() {
        assert_eq!(expected_loss(&[None, Some(f64::NAN)], &[3, 4]), None);
        assert_eq!(expected_loss(&[Some(1.0)], &[0]), None);
        assert_eq!(expected_loss(&[], &[]), None);
    }
}
