//! The closing of panes: what an edge fixes when it begins, and what is to be done before its windows can be read. Not here:
//! the rows that waited then (`aside.rs`), and the windows themselves.

use super::Windows;
use crate::subject::{Millis, Subject};

/// Edges in a row that are judged though no window can hold an event. One old event before today's, such as the first
/// record of a topic, would otherwise have every minute since judged before anything else is read.
const MOST_EMPTY_EDGES: i64 = 100_000;

impl Windows {
    /// Closes the next pane if the watermark has passed its end; gives the closing edge, which is the end of every
    /// window that is due now. What waits to be counted is counted by [`Windows::settle_closing`], before anybody reads it.
    pub fn close_next(&mut self, watermark: Millis) -> Option<i64> {
        let next = match self.closed {
            Some(closed) => closed,
            None => self.start?,
        };
        let mut edge = next + 1;
        if edge.checked_mul(self.settings.pane_ms)? > watermark {
            return None;
        }
        if watermark.div_euclid(self.settings.pane_ms) - edge > MOST_EMPTY_EDGES {
            self.settle();
            edge = self.past_empty_panes(edge, watermark);
        }
        self.stand_aside();
        self.closed = Some(edge);
        self.subjects.forget(edge - self.settings.kept_panes());
        Some(edge)
    }

    /// The edge to go on with where no window can hold an event for a very long time: that of the next pane with one, or
    /// the last that the watermark has passed.
    fn past_empty_panes(&self, edge: i64, watermark: Millis) -> i64 {
        let needed = edge - self.settings.kept_panes();
        let reached = watermark.div_euclid(self.settings.pane_ms);
        let next = self.subjects.oldest_pane_from(needed).map_or(reached, |pane| reached.min(pane + 1));
        if next - edge > MOST_EMPTY_EDGES { next } else { edge }
    }

    /// Notes the latencies of the pane that closed at `edge`, packs what was counted in it, gathers old panes and drops those that no window needs, for
    /// the subjects numbered from `first` on, at most `most` of them, shared out among so many threads; gives the number of
    /// the next one, or `None` after the last.
    pub fn tidy(&mut self, edge: i64, (first, most): (usize, usize), threads: usize) -> Option<usize> {
        let next = first.saturating_add(most).min(self.subjects.len());
        let needed = edge - self.settings.kept_panes();
        let Self { subjects, by_name, versions, .. } = self;
        let plans = |subject: &Subject| {
            let index = *by_name.get(&*subject.model)?.get(&*subject.version)?;
            versions.get(index).map(|version| &version.plans)
        };
        subjects.tidy(first..next, (edge, needed), plans, threads);
        (next < self.subjects.len()).then_some(next)
    }

    /// From now on events of closed panes wait, so that windows can be judged one after the other while others are
    /// counted, as if all of them were judged at once.
    pub fn hold_amendments(&mut self) {
        self.subjects.hold_amendments();
    }

    /// Events that wait.
    #[must_use]
    pub fn held_amendments(&self) -> usize {
        self.subjects.held_amendments()
    }

    /// Counts the events that waited.
    pub fn apply_amendments(&mut self) {
        self.subjects.apply_amendments();
    }
}
