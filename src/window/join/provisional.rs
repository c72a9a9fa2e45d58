//! What the labels so far say of windows that still wait for some of them.
//!
//! It is shown and never judged. Labels of one class may come sooner than those of another, so each label stands for as many
//! predictions of its class as there are for one that is labelled by now: the inverse of the share that has come of
//! predictions as old as the window, by the delays of the final windows of the same version. Predictions whose label came
//! with them stand for themselves.

use anchorwatch_detectors::distributions::wilson;
use anchorwatch_detectors::performance::Weighted;

use super::figures::{CONFIDENCE, interval};
use super::pane::{Lane, Pane};
use super::tally::Tally;
use super::target::Target;
use super::{Join, JoinSettings};
use crate::subject::Millis;
use crate::view::{Interval, ProvisionalView};

/// Most predictions that a label may stand for: windows that are younger say nothing yet.
const MOST_FOR_ONE: f64 = 20.0;

impl Join {
    /// Weighs the labels of windows that are not final, of at most `most` references for which the last edge is not weighed
    /// in yet. Answers whether any is left.
    pub fn weigh(&mut self, most: usize) -> bool {
        let Self { settings, lanes, edge, weighed_next, .. } = self;
        let Some(edge) = *edge else { return false };
        // Behind the one that was last, so that each has its turn even if edges come faster.
        let due = lanes.range(*weighed_next..).chain(lanes.range(..*weighed_next));
        let due = due.filter(|(_, lane)| lane.weighed_at != Some(edge)).map(|(number, _)| *number);
        let due: Vec<u32> = due.take(most.saturating_add(1)).collect();
        for number in due.iter().take(most) {
            if let Some(lane) = lanes.get_mut(number) {
                lane.provisional = lane.weighed(edge, *settings);
                lane.weighed_at = Some(edge);
            }
            *weighed_next = number.saturating_add(1);
        }
        due.len() > most
    }
}

impl Lane {
    /// Learns from a window that is final how late labels come.
    pub(super) fn learn_delays(&mut self, settled: &Tally) {
        let of_1: u64 = settled.delays_of_1.values().sum();
        if self.target == Target::Classes && of_1 != settled.decisions.came {
            // An earlier version of this program began the window, and did not tell the classes apart.
            return;
        }
        for (bucket, count) in &settled.delays {
            let of_1 = settled.delays_of_1.get(bucket).copied().unwrap_or(0);
            self.delays.add(true, *bucket, of_1);
            self.delays.add(false, *bucket, count.saturating_sub(of_1));
        }
        if !settled.delays.is_empty() {
            self.delays.forget();
            self.delays_changed = true;
        }
    }

    fn weighed(&self, edge: Millis, settings: JoinSettings) -> Option<ProvisionalView> {
        let mut sums = Sums::default();
        let ended = |start: &Millis| *start + settings.window_ms <= edge;
        for (start, pane) in self.panes.iter().filter(|(start, pane)| ended(start) && pane.seen > 0) {
            let end = start + settings.window_ms;
            let ages = [edge - start, edge - end].map(|age| age as f64 / 1_000.0);
            let weight = |class| {
                let come = self.delays.arrived(class, ages[0], ages[1])?;
                Some(1.0 / come).filter(|weight| *weight <= MOST_FOR_ONE)
            };
            // Of both classes, or what came would be of the faster one alone.
            if let Some(weights) = weight(false).zip(weight(true)) {
                sums.add(self.target, pane, weights.into());
                sums.spans.extend([*start, end]);
            }
        }
        sums.view(self.target)
    }
}

/// Sums over windows that are not final.
#[derive(Debug, Default)]
struct Sums {
    spans: Vec<Millis>,
    predictions: u64,
    /// Of classes: right, truly positive, said to be positive, both. Of numbers: absolute error, its square, bias.
    all: Weighted,
}

impl Sums {
    /// `weights` are those of labels of 0 and of 1.
    fn add(&mut self, target: Target, pane: &Pane, weights: [f64; 2]) {
        self.predictions += pane.seen + pane.inline.labelled;
        for (tally, weights) in [(&pane.settled, weights), (&pane.inline, [1.0; 2])] {
            match target {
                Target::Classes => self.add_decisions(tally, weights),
                Target::Several => {
                    let right = tally.classes.accuracy().unwrap_or(0.0);
                    self.all.add(tally.classes.total(), weights[0], [right, 0.0, 0.0, 0.0]);
                }
                Target::Number(_) => {
                    if let Some(errors) = tally.errors.and_then(|errors| errors.metrics()) {
                        let figures = [errors.mae, errors.rmse.powi(2), errors.bias, 0.0];
                        self.all.add(errors.count, weights[0], figures);
                    }
                }
            }
        }
    }

    fn add_decisions(&mut self, tally: &Tally, [of_0, of_1]: [f64; 2]) {
        let confusion = tally.decisions.confusion();
        self.all.add(confusion.true_positive, of_1, [1.0, 1.0, 1.0, 1.0]);
        self.all.add(confusion.false_negative, of_1, [0.0, 1.0, 0.0, 0.0]);
        self.all.add(confusion.false_positive, of_0, [0.0, 0.0, 1.0, 0.0]);
        self.all.add(confusion.true_negative, of_0, [1.0, 0.0, 0.0, 0.0]);
    }

    fn view(&self, target: Target) -> Option<ProvisionalView> {
        let means = self.all.means()?;
        let view = ProvisionalView {
            start: *self.spans.first()?,
            end: *self.spans.last()?,
            predictions: self.predictions,
            labelled: self.all.labels,
            effective: self.all.effective(),
            ..ProvisionalView::default()
        };
        Some(match target {
            Target::Classes => {
                let [right, came, said, both] = means;
                let share = |part: f64, all: f64| (all > 0.0).then(|| (part / all).clamp(0.0, 1.0));
                ProvisionalView {
                    accuracy: Some(right),
                    accuracy_interval: self.accuracy_interval(right),
                    precision: share(both, said),
                    recall: share(both, came),
                    specificity: share(1.0 - came - said + both, 1.0 - came),
                    f1: share(2.0 * both, said + came),
                    positive_share: Some(came),
                    ..view
                }
            }
            Target::Several => ProvisionalView {
                accuracy: Some(means[0]),
                accuracy_interval: self.accuracy_interval(means[0]),
                ..view
            },
            Target::Number(_) => ProvisionalView {
                mae: Some(means[0]),
                rmse: Some(means[1].sqrt()),
                bias: Some(means[2]),
                ..view
            },
        })
    }

    /// As of so many whole labels as are worth the ones that there are.
    fn accuracy_interval(&self, accuracy: f64) -> Option<Interval> {
        let labels = self.all.effective().floor();
        wilson((accuracy * labels).round() as u64, labels as u64, CONFIDENCE).map(interval)
    }
}
