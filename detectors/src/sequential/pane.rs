//! Values of a pane, of which only counts are known, in an order that does not depend on them.
//!
//! Where nothing has changed the values of a pane are exchangeable: each order is as good as the one they came in, and
//! so is a draw without replacement. Both are functions of the stream's number and the pane's, so a replay feeds the same
//! values in the same order, however the events were spread over partitions. Not here: what the cells stand for.

use super::seeded;

/// At most `most` values of a pane, each the place of its cell, drawn without replacement and put in order by seed.
///
/// ```
/// use anchorwatch_detectors::sequential::pane::draw;
/// let counts = [2, 0, 3];
/// let mut all = draw(&counts, 100, 7, 1);
/// assert_eq!(all, draw(&counts, 100, 7, 1), "the same on a replay");
/// all.sort_unstable();
/// assert_eq!(all, [0, 0, 2, 2, 2]);
/// assert_eq!(draw(&counts, 4, 7, 1).len(), 4);
/// ```
#[must_use]
pub fn draw(counts: &[u64], most: usize, stream: u64, pane: u64) -> Vec<usize> {
    let all = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let places = seeded::draw(stream, pane, usize::try_from(all).unwrap_or(usize::MAX), most);
    let mut values = Vec::with_capacity(places.len());
    let (mut cell, mut end) = (0, counts.first().copied().unwrap_or(0));
    for place in places {
        while place as u64 >= end && cell + 1 < counts.len() {
            cell += 1;
            end = end.saturating_add(counts[cell]);
        }
        values.push(cell);
    }
    // Fisher and Yates, as Durstenfeld 1964.
    let order = seeded::bits(stream, pane);
    for last in (1..values.len()).rev() {
        let other = (seeded::uniform(order, last as u64) * (last + 1) as f64) as usize;
        values.swap(last, other.min(last));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_drawn_as_often_and_stands_anywhere() {
        let counts = [10, 0, 30, 60];
        let (mut drawn, mut first) = ([0_u32; 4], [0_u32; 4]);
        for pane in 0..20_000 {
            let values = draw(&counts, 10, 3, pane);
            values.iter().for_each(|cell| drawn[*cell] += 1);
            first[values[0]] += 1;
        }
        // 20,000 draws of ten and of one: standard deviations below 210 and 70.
        for (cell, share) in [(0, 0.1), (1, 0.0), (2, 0.3), (3, 0.6)] {
            assert!((f64::from(drawn[cell]) - 200_000.0 * share).abs() < 800.0, "{drawn:?}");
            assert!((f64::from(first[cell]) - 20_000.0 * share).abs() < 300.0, "{first:?}");
        }
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        assert!(draw(&[], 10, 1, 1).is_empty() && draw(&[0, 0], 10, 1, 1).is_empty());
        assert!(draw(&[5], 0, 1, 1).is_empty());
    }
}
