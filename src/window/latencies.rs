//! Latencies of a version's whole traffic as a histogram with few bounds, which Prometheus adds up over time and versions.
//! They are taken off panes as these close, so that no event costs anything; late events that amend a closed pane are in its
//! windows only. Not here: the buckets in which panes count latencies, of which each bound is an edge
//! (`anchorwatch_detectors::latency`).

use std::sync::Arc;

use anchorwatch_detectors::latency::{BUCKETS, bucket_bounds, next_edge};

use super::Windows;
use super::pane::PaneCounts;
use crate::reference::Layout;
use crate::subject::Subject;
use crate::view::LatencyHistogram;

/// The bounds of all histograms; none where no latencies are to be shown.
#[derive(Debug, Default)]
pub(super) struct LatencyBounds {
    /// Buckets of a pane below each bound, ascending.
    below: Vec<usize>,
    seconds: Arc<[f64]>,
}

impl LatencyBounds {
    /// Moves bounds in milliseconds up to the next edges; those that share one are one.
    fn new(bounds_ms: &[f64]) -> Self {
        let mut edges: Vec<(usize, f64)> = bounds_ms.iter().filter_map(|bound| next_edge(*bound)).collect();
        edges.sort_unstable_by_key(|(below, _)| *below);
        edges.dedup_by_key(|(below, _)| *below);
        let (below, seconds): (Vec<usize>, Vec<f64>) = edges.into_iter().unzip();
        Self { below, seconds: seconds.into() }
    }

    /// The empty histogram of a subject; `None` for a segment, and where there are no bounds.
    pub(super) fn begin(&self, subject: &Subject) -> Option<Arc<LatencyHistogram>> {
        (!self.below.is_empty() && subject.segment.is_none()).then(|| {
            Arc::new(LatencyHistogram {
                model: Arc::clone(&subject.model),
                version: Arc::clone(&subject.version),
                bounds: Arc::clone(&self.seconds),
                counts: vec![0; self.below.len() + 1],
                sum: 0.0,
            })
        })
    }

    /// Adds the latencies of a pane. What was shown before stays as it is with whoever has it.
    pub(super) fn add(&self, histogram: &mut Arc<LatencyHistogram>, pane: &PaneCounts, layout: &Layout) {
        let first = layout.latency_bucket(0);
        let mut buckets = [0_u64; BUCKETS];
        pane.each_of(first..first + BUCKETS, |slot, amount| {
            if let Some(count) = buckets.get_mut(slot - first) {
                *count = count.saturating_add(amount);
            }
        });
        let mut used = buckets.into_iter().enumerate().filter(|(_, count)| *count > 0).peekable();
        if used.peek().is_none() {
            return;
        }
        let histogram = Arc::make_mut(histogram);
        // In the order of the buckets, whatever form the pane has: sums of fractions depend on it.
        for (bucket, count) in used {
            let place = self.below.partition_point(|below| *below <= bucket);
            if let Some(counted) = histogram.counts.get_mut(place) {
                *counted = counted.saturating_add(count);
            }
            let (low, high) = bucket_bounds(bucket).unwrap_or_default();
            histogram.sum += f64::midpoint(low, high) / 1_000.0 * count as f64;
        }
    }
}

impl Windows {
    /// Bounds in milliseconds of the histograms of latencies, for versions that come from now on.
    pub fn set_latency_bounds(&mut self, bounds_ms: &[f64]) {
        self.subjects.latency_bounds = LatencyBounds::new(bounds_ms);
    }

    /// Latencies in panes that closed since the start, of versions that have any or whose reference has: a rate sees the
    /// first ones only if there was a zero before.
    pub fn latencies(&self) -> impl Iterator<Item = &Arc<LatencyHistogram>> {
        let shown = !self.subjects.latency_bounds.below.is_empty();
        let versions = if shown { self.versions.as_slice() } else { &[] };
        versions.iter().filter_map(|state| {
            let latencies = self.subjects.latencies(state.whole()?)?;
            let expected = state.plans.newest().is_some_and(|plan| plan.reference.has_latency);
            (expected || latencies.count() > 0).then_some(latencies)
        })
    }
}

#[cfg(test)]
mod tests {
    use anchorwatch_detectors::latency::bucket;
    use proptest::prelude::*;

    use super::*;
    use crate::window::pane::Size;

    fn whole() -> Subject {
        Subject { model: "fraud".into(), version: "1.0.0".into(), segment: None }
    }

    fn layout() -> Layout {
        Layout::new(&[]).with_joint(3)
    }

    /// A pane with these latencies beside other counts, in one of its three forms.
    fn pane(latencies: &[f64], form: u8) -> PaneCounts {
        let (layout, mut pane) = (layout(), PaneCounts::default());
        let size = Size { len: layout.len(), joint: 3 };
        // A list gives way to flat counters once much is to be added.
        let mut open = pane.open(size, if form == 1 { layout.len() } else { 1 });
        for latency in latencies {
            open.add(Layout::ROWS, 1);
            open.add(layout.latency_bucket(bucket(*latency).expect("a latency")), 1);
        }
        for other in [layout.latency_missing(), layout.latency_invalid(), layout.joint(0)] {
            open.add(other, 9);
        }
        if form == 2 {
            pane.pack();
        }
        pane
    }

    #[test]
    fn bounds_move_up_to_edges_and_those_that_share_one_are_one() {
        let bounds = LatencyBounds::new(&[10.0, 100.0, 101.0, 250.0]);
        assert_eq!(&*bounds.seconds, [0.010_24, 0.1024, 0.253_952]);
        let mut latencies = bounds.begin(&whole()).expect("a histogram");
        // Below the bound that was asked for, between it and its edge, at the edge, and above all.
        let seen = [9.9, 10.0, 10.23, 10.25, 102.39, 102.4, 253.9, 300.0, 3_600_000.0];
        bounds.add(&mut latencies, &pane(&seen, 0), &layout());
        assert_eq!(latencies.counts, [3, 2, 2, 2]);
        let cumulative: Vec<u64> = latencies.cumulative().map(|(_, count)| count).collect();
        assert_eq!((cumulative, latencies.count()), (vec![3, 5, 7], 9));
        let sum = seen.iter().sum::<f64>() / 1_000.0;
        assert!((latencies.sum / sum - 1.0).abs() <= 1.0 / 32.0, "{} for {sum}", latencies.sum);
    }

    #[test]
    fn segments_have_none_and_neither_has_anybody_without_bounds() {
        let segment = Subject { segment: Some("DE".into()), ..whole() };
        let bounds = LatencyBounds::new(&[10.0]);
        assert!(bounds.begin(&whole()).is_some() && bounds.begin(&segment).is_none());
        assert!(LatencyBounds::new(&[]).begin(&whole()).is_none());
    }

    #[test]
    fn what_was_shown_stays_as_it_was_and_a_pane_without_latencies_copies_nothing() {
        let bounds = LatencyBounds::new(&[10.0]);
        let mut latencies = bounds.begin(&whole()).expect("a histogram");
        let shown = Arc::clone(&latencies);
        bounds.add(&mut latencies, &pane(&[], 0), &layout());
        assert!(Arc::ptr_eq(&shown, &latencies));
        bounds.add(&mut latencies, &pane(&[1.0], 0), &layout());
        assert_eq!((shown.count(), latencies.count()), (0, 1));
    }

    proptest! {
        #[test]
        fn panes_add_up_in_every_form(
            panes in proptest::collection::vec((0_u8..3, proptest::collection::vec(0.01_f64..30_000.0, 0..40)), 0..8),
            asked in proptest::collection::vec(0.01_f64..20_000.0, 1..20),
        ) {
            let bounds = LatencyBounds::new(&asked);
            let mut latencies = bounds.begin(&whole()).expect("a histogram");
            let (mut seen, mut sum) = (Vec::new(), 0.0);
            for (form, some) in panes {
                bounds.add(&mut latencies, &pane(&some, form), &layout());
                seen.extend(some);
                prop_assert!(latencies.sum >= sum);
                sum = latencies.sum;
            }
            for (bound, count) in latencies.cumulative() {
                let below = seen.iter().filter(|latency| **latency < bound * 1_000.0).count();
                prop_assert_eq!(count, below as u64, "{}", bound);
            }
            prop_assert_eq!(latencies.count(), seen.len() as u64);
            let truth = seen.iter().sum::<f64>() / 1_000.0;
            prop_assert!((sum - truth).abs() <= truth / 32.0 + 1e-9);
        }
    }
}
