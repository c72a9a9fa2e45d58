//! The i.i.d. null: windows whose rows are drawn uniformly, column by column, from the counts of the whole baseline. No
//! season, no memory, no excess variance: what is left is the chance of counting.
//!
//! A row drawn of a column also falls into the segment and the version that a row of that cell has in the baseline, so
//! contrasts are drawn too. Joint terms are drawn as normal sums with the baseline's mean and variance.

use std::collections::HashMap;

use super::random::SplitMix64;
use crate::monitor::calibrated::SeriesWindow;
use crate::reference::{Fault, Joint, Layout, Reference, Slice};
use crate::subject::Millis;

/// Upper ends of runs of equal things, with what they are.
type Ends = Vec<(u64, usize)>;

/// Counters of which a row falls into one at most.
#[derive(Debug)]
struct Urn {
    /// Counters by cumulative count.
    counters: Ends,
    /// For each of them, the segments and the versions of its rows.
    parts: Vec<[Ends; 2]>,
}

/// All urns of a baseline.
#[derive(Debug)]
pub(super) struct Urns<'a> {
    joint: &'a Joint,
    layout: Layout,
    rows: u64,
    whole: Vec<u64>,
    slices: Vec<(Slice, Vec<u64>)>,
    variances: &'a [f64],
    urns: Vec<Urn>,
}

fn find(ends: &Ends, row: u64) -> Option<usize> {
    let place = ends.partition_point(|(end, _)| *end <= row);
    (place < ends.len()).then_some(place)
}

impl<'a> Urns<'a> {
    /// Fills the urns with all rows of these windows; `variances` are those of one event's joint terms.
    pub(super) fn new(
        reference: &'a Reference,
        variances: &'a [f64],
        windows: impl Iterator<Item = SeriesWindow>,
    ) -> Self {
        let layout = reference.live_layout();
        let mut whole = vec![0; layout.len()];
        let mut by_slice: HashMap<Slice, Vec<u64>> = HashMap::new();
        let add = |sums: &mut Vec<u64>, counts: &[u64]| {
            sums.resize(sums.len().max(counts.len()), 0);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        };
        for window in windows {
            add(&mut whole, &window.whole);
            window.slices.iter().for_each(|(slice, counts)| {
                add(by_slice.entry(slice.clone()).or_default(), counts);
            });
        }
        let mut slices: Vec<(Slice, Vec<u64>)> = by_slice.into_iter().collect();
        slices.sort_by(|a, b| a.0.cmp(&b.0));
        let columns = reference.columns.iter().enumerate().map(|(index, column)| {
            let cells = column.binning.cells();
            layout.index(index, 0)..layout.index(index, cells + Fault::WrongType as usize) + 1
        });
        let latency = layout.latency_bucket(0)..layout.latency_invalid() + 1;
        let rows = Layout::ROWS..Layout::ROWS + 1;
        let urns = [rows].into_iter().chain(columns).chain([latency]);
        let urns = urns.map(|range| Urn::new(range, &whole, &slices)).collect();
        Self { joint: &reference.joint, rows: whole[Layout::ROWS], layout, whole, slices, variances, urns }
    }

    /// A window of `rows` rows.
    pub(super) fn draw(&self, start: Millis, rows: u64, random: &mut SplitMix64) -> SeriesWindow {
        let mut whole = vec![0; self.layout.len()];
        let mut slices = vec![vec![0; self.layout.len()]; self.slices.len()];
        for urn in self.urns.iter().filter(|_| self.rows > 0) {
            for _ in 0..rows {
                urn.draw(self.rows, &mut whole, &mut slices, random);
            }
        }
        let scale = rows as f64 / self.rows.max(1) as f64;
        for term in 0..self.joint.terms() {
            self.draw_term(term, scale, &mut whole, &mut slices, random);
        }
        let names = self.slices.iter().map(|(slice, _)| slice.clone());
        SeriesWindow { start, whole, slices: names.zip(slices).collect() }
    }

    fn draw_term(
        &self,
        term: usize,
        scale: f64,
        whole: &mut [u64],
        slices: &mut [Vec<u64>],
        random: &mut SplitMix64,
    ) {
        let put = |counts: &mut [u64], events: u64, sum: f64| {
            let values = self.joint.counters(term, events, sum);
            for (place, value) in [2 * term, 2 * term + 1].into_iter().zip(values) {
                if let Some(counter) = counts.get_mut(self.layout.joint(place)) {
                    *counter = value;
                }
            }
        };
        let (all, sum) = self.joint.sum(&self.layout, &self.whole, term);
        let events = (all * scale).round();
        if events < 1.0 {
            return;
        }
        let variance = self.variances.get(term).copied().unwrap_or(1.0);
        let surprise = (events * variance).sqrt() * random.normal();
        put(whole, events as u64, events * sum / all + surprise);
        // Of the joint terms a slice has the first.
        for ((_, counts), drawn) in self.slices.iter().zip(slices).filter(|_| term == 0) {
            let (of_slice, sum) = self.joint.sum(&self.layout, counts, term);
            let share = (of_slice / all).min(1.0);
            let part = (events * share).round();
            if part >= 1.0 {
                // Given the sum of the whole, the part's own chance is what is left.
                let own = (variance * part * (1.0 - share)).max(0.0).sqrt() * random.normal();
                put(drawn, part as u64, part * sum / of_slice + share * surprise + own);
            }
        }
    }
}

impl Urn {
    fn new(range: std::ops::Range<usize>, whole: &[u64], slices: &[(Slice, Vec<u64>)]) -> Self {
        let (mut counters, mut parts, mut end) = (Ends::new(), Vec::new(), 0);
        for index in range.filter(|index| whole[*index] > 0) {
            end += whole[index];
            counters.push((end, index));
            let ends = |wanted: fn(&Slice) -> bool| {
                let mut end = 0;
                let mut ends = Ends::new();
                for (place, (slice, counts)) in slices.iter().enumerate() {
                    let count = counts.get(index).copied().unwrap_or(0);
                    if wanted(slice) && count > 0 {
                        end += count;
                        ends.push((end, place));
                    }
                }
                ends
            };
            parts.push([
                ends(|slice| matches!(slice, Slice::Segment(_))),
                ends(|slice| matches!(slice, Slice::Version(_))),
            ]);
        }
        Self { counters, parts }
    }

    fn draw(&self, rows: u64, whole: &mut [u64], slices: &mut [Vec<u64>], random: &mut SplitMix64) {
        let row = random.below(rows);
        let Some(place) = find(&self.counters, row) else { return };
        let (end, index) = self.counters[place];
        whole[index] += 1;
        let begin = place.checked_sub(1).map_or(0, |before| self.counters[before].0);
        for (part, ends) in self.parts[place].iter().enumerate().filter(|(_, ends)| !ends.is_empty()) {
            let row = if part == 0 { row - begin } else { random.below(end - begin) };
            if let Some(found) = find(ends, row) {
                slices[ends[found].1][index] += 1;
            }
        }
    }
}
