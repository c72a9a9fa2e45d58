//! The figures of a judged window of prediction time, from what is kept of it.

use anchorwatch_detectors::distributions::{ProportionInterval, normal_isf};
use anchorwatch_detectors::performance::ranking::{average_precision, roc_auc, roc_auc_standard_error};
use anchorwatch_detectors::performance::{Area, OfClass, Within};

use super::pane::{Lane, Pane};
use super::tally::Tally;
use super::target::Target;
use crate::reference::Moment;
use crate::subject::Millis;
use crate::view::{ClassView, Interval, PerformanceView};

/// Of a hundred intervals this share holds the truth, as far as chance goes.
pub(super) const CONFIDENCE: f64 = 0.95;

impl Lane {
    /// Figures of a judged window; `named` also those of each class.
    pub(super) fn figures(
        &self,
        (start, end): (Millis, Millis),
        pane: &Pane,
        named: bool,
    ) -> PerformanceView {
        let mut all = pane.settled.clone();
        all.merge(&pane.inline);
        let counts = self.counts(&all);
        let joint = &self.plan.reference.joint;
        let scale = joint.residual.as_ref().map_or(1.0, |terms| terms.scale);
        let mean = |moment: Moment| {
            let (n, sum) = joint.sum(&self.plan.layout, &counts, moment as usize);
            (n > 0.0).then(|| sum / n)
        };
        let view = PerformanceView {
            start,
            end,
            predictions: pane.seen + pane.inline.labelled,
            labelled: all.labelled,
            mean_residual: mean(Moment::Calibration).map(|mean| mean * scale),
            mean_squared_residual: mean(Moment::Brier).map(|mean| mean * scale * scale),
            delay_p50: pane.settled.delay(0.5),
            delay_p90: pane.settled.delay(0.9),
            delay_p99: pane.settled.delay(0.99),
            ..PerformanceView::default()
        };
        match self.target {
            Target::Classes => all.of_probabilities(&all.of_ranks(&all.of_decisions(view))),
            Target::Several => {
                let classes = if named { self.of_each_class(&all) } else { Vec::new() };
                PerformanceView { classes, ..all.of_classes(view) }
            }
            Target::Number(_) if self.plan.reference.quantile().is_some() => {
                all.of_quantile(&all.of_errors(view))
            }
            Target::Number(_) => all.of_errors(view),
        }
    }

    /// How well each class of the baseline is told from the others.
    fn of_each_class(&self, all: &Tally) -> Vec<ClassView> {
        let view = |one: OfClass| {
            Some(ClassView {
                class: self.classes.name(one.class)?.to_owned(),
                came: one.came,
                said: one.said,
                precision: one.precision(),
                recall: one.recall(),
            })
        };
        all.classes.classes().into_iter().filter_map(view).collect()
    }
}

impl Tally {
    fn of_classes(&self, view: PerformanceView) -> PerformanceView {
        PerformanceView {
            accuracy: self.classes.accuracy(),
            accuracy_interval: self.classes.accuracy_interval(CONFIDENCE).map(interval),
            precision: self.classes.precision(),
            recall: self.classes.recall(),
            f1: self.classes.f1(),
            mcc: self.classes.matthews(),
            ..view
        }
    }

    /// Nothing if the counts contradict each other: early versions of the program kept no more than what was wrong.
    fn of_decisions(&self, view: PerformanceView) -> PerformanceView {
        let confusion = self.decisions.confusion();
        if confusion.false_positive + confusion.false_negative != self.decisions.wrong {
            return view;
        }
        PerformanceView {
            accuracy: confusion.accuracy(),
            accuracy_interval: confusion.accuracy_interval(CONFIDENCE).map(interval),
            precision: confusion.precision(),
            precision_interval: confusion.precision_interval(CONFIDENCE).map(interval),
            recall: confusion.recall(),
            recall_interval: confusion.recall_interval(CONFIDENCE).map(interval),
            specificity: confusion.specificity(),
            specificity_interval: confusion.specificity_interval(CONFIDENCE).map(interval),
            f1: confusion.f1(),
            mcc: confusion.matthews(),
            ..view
        }
    }

    fn of_ranks(&self, view: &PerformanceView) -> PerformanceView {
        // Of the cells in between nothing is known; those of even places are gaps, in which scores differ.
        let cells = self.ranks.last_key_value().map_or(0, |(cell, _)| usize::from(*cell) + 1);
        let (mut negatives, mut positives) = (vec![0; cells], vec![0; cells]);
        for (cell, [of_0, of_1]) in &self.ranks {
            (negatives[usize::from(*cell)], positives[usize::from(*cell)]) = (*of_0, *of_1);
        }
        let area = roc_auc(&positives, &negatives, Within::GapTie);
        let error = roc_auc_standard_error(&positives, &negatives);
        let precision = average_precision(&positives, &negatives, Within::GapTie);
        PerformanceView {
            roc_auc: area.map(|area| area.value),
            roc_auc_interval: area
                .zip(error)
                .and_then(|(area, error)| around(area.value, error))
                .map(|Interval { lower, upper }| Interval { lower: lower.max(0.0), upper: upper.min(1.0) }),
            roc_auc_certified: area.map(certified),
            average_precision: precision.map(|area| area.value),
            average_precision_certified: precision.map(certified),
            ..view.clone()
        }
    }

    /// Nothing unless every decision was of a score from 0 to 1, and counted by this version of the program.
    fn of_probabilities(&self, view: &PerformanceView) -> PerformanceView {
        let all = self.probabilities.as_ref().filter(|all| all.count() == self.decisions.all);
        PerformanceView {
            log_loss: all.and_then(|all| all.log_loss()),
            calibration_error: all.and_then(|all| all.expected_error()),
            ..view.clone()
        }
    }

    /// Nothing unless every error was counted by this version of the program.
    fn of_errors(&self, view: PerformanceView) -> PerformanceView {
        let all = self.errors.and_then(|errors| errors.metrics());
        let Some(errors) = all.filter(|errors| errors.count == self.labelled) else { return view };
        PerformanceView {
            mae: Some(errors.mae),
            mae_interval: around(errors.mae, errors.mae_standard_error)
                .map(|Interval { lower, upper }| Interval { lower: lower.max(0.0), upper }),
            rmse: Some(errors.rmse),
            mape: Some(errors.mape),
            bias: Some(errors.bias),
            r2: errors.r2,
            ..view
        }
    }

    /// Nothing unless every error was counted by a version of the program that knows of quantiles: others took the median's
    /// loss, and no sides.
    fn of_quantile(&self, view: &PerformanceView) -> PerformanceView {
        let all = self.errors.and_then(|errors| errors.metrics());
        let errors = all.filter(|errors| errors.count == self.labelled);
        let known = errors.and_then(|errors| Some((errors.quantile_loss, errors.quantile_coverage?)));
        PerformanceView {
            quantile_loss: known.map(|(loss, _)| loss),
            quantile_coverage: known.map(|(_, coverage)| coverage),
            ..view.clone()
        }
    }
}

pub(super) fn interval(ProportionInterval { low, high }: ProportionInterval) -> Interval {
    Interval { lower: low, upper: high }
}

fn certified(Area { low, high, .. }: Area) -> Interval {
    Interval { lower: low, upper: high }
}

/// As far from the value as the normal law has it.
fn around(value: f64, standard_error: f64) -> Option<Interval> {
    let away = normal_isf((1.0 - CONFIDENCE) / 2.0)? * standard_error;
    Some(Interval { lower: value - away, upper: value + away })
}

#[cfg(test)]
mod tests {
    use anchorwatch_detectors::performance::RegressionScale;

    use super::*;
    use crate::reference::Outcome;
    use crate::window::join::Decisions;

    fn counted(outcomes: &[(usize, f64, f64, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (cell, score, label, times) in outcomes.iter().copied() {
            (0..times).for_each(|_| tally.rank(Target::Classes, Some(cell), Outcome { score, label }));
        }
        tally
    }

    fn view(tally: &Tally) -> PerformanceView {
        tally.of_probabilities(&tally.of_ranks(&tally.of_decisions(PerformanceView::default())))
    }

    fn within(interval: Option<Interval>, value: Option<f64>) -> bool {
        interval.zip(value).is_some_and(|(Interval { lower, upper }, value)| lower < value && value < upper)
    }

    #[test]
    fn the_area_counts_pairs_and_half_of_those_in_one_cell_and_says_what_order_could_make_of_it() {
        // The last label is neither 0 nor 1, and the one before it has a score of no cell.
        let mut outcomes = vec![
            (3, 0.5, 0.0, 4),
            (3, 0.5, 1.0, 2),
            (8, 0.5, 0.0, 1),
            (8, 0.5, 1.0, 5),
            (usize::MAX, 0.5, 1.0, 7),
        ];
        outcomes.push((8, 0.5, 0.4, 3));
        let tally = counted(&outcomes);
        let seen = view(&tally);
        // Of 7 · 5 pairs: 2 · 4 and 5 · 1 are ties, 5 · 4 are in order. The eighth cell is a gap, so its ties need not be.
        assert_eq!((tally.labelled, seen.roc_auc), (22, Some((0.5 * (8.0 + 5.0) + 20.0) / 35.0)));
        let certain = Interval { lower: (4.0 + 20.0) / 35.0, upper: (4.0 + 25.0) / 35.0 };
        assert_eq!(seen.roc_auc_certified, Some(certain));
        assert!(
            within(seen.roc_auc_interval, seen.roc_auc)
                && within(seen.average_precision_certified, seen.average_precision)
        );
        let none = view(&counted(&[(1, 0.5, 0.0, 4)]));
        assert_eq!((none.roc_auc, none.average_precision), (None, None), "there is no positive one");
    }

    #[test]
    fn rates_of_decisions_have_intervals_and_losses_are_exact() {
        let seen =
            view(&counted(&[(5, 0.75, 1.0, 6), (4, 0.5, 0.0, 2), (3, 0.25, 1.0, 3), (1, 0.125, 0.0, 9)]));
        assert_eq!((seen.accuracy, seen.precision), (Some(0.75), Some(0.75)));
        assert_eq!((seen.recall, seen.f1), (Some(6.0 / 9.0), Some(12.0 / 17.0)));
        assert_eq!(seen.specificity, Some(9.0 / 11.0));
        let mcc = (6.0 * 9.0 - 2.0 * 3.0) / f64::sqrt(8.0 * 9.0 * 11.0 * 12.0);
        assert!(seen.mcc.is_some_and(|seen| (seen - mcc).abs() < 1e-15));
        let rates = [
            (seen.accuracy_interval, seen.accuracy),
            (seen.precision_interval, seen.precision),
            (seen.recall_interval, seen.recall),
            (seen.specificity_interval, seen.specificity),
        ];
        assert!(rates.iter().all(|(interval, rate)| within(*interval, *rate)), "{seen:?}");
        let loss =
            -(6.0 * 0.75f64.ln() + 2.0 * 0.5f64.ln() + 3.0 * 0.25f64.ln() + 9.0 * 0.875f64.ln()) / 20.0;
        assert!(seen.log_loss.is_some_and(|seen| (seen - loss).abs() < 1e-14), "{loss} {seen:?}");
        // Per bin of a tenth: 6 · |1 − 0.75|, 2 · |0 − 0.5|, 3 · |1 − 0.25|, 9 · |0 − 0.125|.
        let error = (1.5 + 1.0 + 2.25 + 1.125) / 20.0;
        assert!(seen.calibration_error.is_some_and(|seen| (seen - error).abs() < 1e-15), "{error} {seen:?}");
    }

    #[test]
    fn losses_are_of_all_decisions_or_absent() {
        let beyond = view(&counted(&[(5, 0.75, 1.0, 6), (9, 1.5, 1.0, 1)]));
        assert_eq!((beyond.accuracy, beyond.log_loss, beyond.calibration_error), (Some(1.0), None, None));
        // As a checkpoint of an earlier version has it.
        let earlier: Tally = serde_json::from_str(
            r#"{"labelled":2,"terms":[],"delays":{},"decisions":{"all":2,"wrong":1,"said":1,"came":2},"ranks":{"3":[0,2]}}"#,
        )
        .expect("a tally");
        let mut both = counted(&[(5, 0.75, 1.0, 6)]);
        both.merge(&earlier);
        assert_eq!((view(&both).accuracy, view(&both).log_loss), (Some(7.0 / 8.0), None));
        let decisions = Decisions { all: 5, wrong: 2, said: 0, came: 0 };
        let earliest = Tally { decisions, ..Tally::default() };
        assert_eq!(view(&earliest), PerformanceView::default());
    }

    #[test]
    fn a_tally_with_sums_comes_back_from_its_text() {
        let mut tally = counted(&[(5, 0.7, 1.0, 6), (4, 0.1, 0.0, 2)]);
        let number = Target::Number(RegressionScale { centre: 3.7, spread: 1e9, quantile: 0.5 });
        tally.rank(number, None, Outcome { score: -1e17 / 3.0, label: 1e18 / 7.0 });
        let text = serde_json::to_string(&tally).expect("text");
        assert_eq!(serde_json::from_str::<Tally>(&text).expect("a tally"), tally);
    }

    #[test]
    fn errors_of_numbers_are_those_of_the_raw_values_and_are_no_decisions() {
        let scale = RegressionScale { centre: 2.0, spread: 2.0, quantile: 0.5 };
        let mut tally = Tally::default();
        for (score, label) in [(2.0, 1.0), (3.0, 4.0), (5.0, 2.0)] {
            tally.rank(Target::Number(scale), Some(1), Outcome { score, label });
        }
        let seen = tally.of_errors(PerformanceView::default());
        let near =
            |value: Option<f64>, expected: f64| value.is_some_and(|value| (value - expected).abs() < 1e-12);
        assert!(near(seen.mae, 5.0 / 3.0) && near(seen.rmse, f64::sqrt(11.0 / 3.0)), "{seen:?}");
        assert!(near(seen.bias, 1.0) && near(seen.mape, (1.0 + 0.25 + 1.5) / 3.0), "{seen:?}");
        assert!(near(seen.r2, 1.0 - 11.0 / (14.0 / 3.0)), "{seen:?}");
        assert!(within(seen.mae_interval, seen.mae) && seen.accuracy.is_none());
        assert!(tally.ranks.is_empty() && tally.decisions.all == 0);
        assert_eq!((seen.quantile_loss, seen.quantile_coverage), (None, None), "no quantile is foretold");
    }

    /// Scores of this quantile and their labels.
    fn of_scores(quantile: f64, outcomes: &[(f64, f64)]) -> Tally {
        let scale = RegressionScale { centre: 2.0, spread: 2.0, quantile };
        let mut tally = Tally::default();
        for (score, label) in outcomes.iter().copied() {
            tally.rank(Target::Number(scale), Some(1), Outcome { score, label });
        }
        tally
    }

    #[test]
    fn labels_above_the_score_cost_the_quantile_and_those_below_it_the_rest() {
        let (settled, inline) = ([(2.0, 1.0), (3.0, 4.0)], [(5.0, 2.0), (6.0, 6.0), (1.0, 3.5)]);
        let mut tally = of_scores(0.75, &settled);
        tally.merge(&of_scores(0.75, &inline));
        assert_eq!(tally, of_scores(0.75, &[&settled[..], &inline[..]].concat()), "merging loses nothing");
        let seen = tally.of_quantile(&tally.of_errors(PerformanceView::default()));
        let by_hand = (0.25 * 1.0 + 0.75 * 1.0 + 0.25 * 3.0 + 0.0 + 0.75 * 2.5) / 5.0;
        assert!(seen.quantile_loss.is_some_and(|loss| (loss - by_hand).abs() < 1e-14), "{by_hand} {seen:?}");
        assert_eq!((seen.quantile_coverage, seen.mae), (Some(3.0 / 5.0), Some(1.5)));
        let none = Tally::default();
        assert_eq!(none.of_quantile(&PerformanceView::default()), PerformanceView::default());
    }

    #[test]
    fn a_window_that_an_earlier_version_began_has_no_figures_of_a_quantile() {
        let mut document = serde_json::to_value(of_scores(0.5, &[(2.0, 1.0)])).expect("text");
        let errors = document["errors"].as_object_mut().expect("errors of numbers");
        assert!(errors.remove("sides").is_some(), "it had none");
        let mut tally: Tally = serde_json::from_value(document).expect("a tally");
        tally.merge(&of_scores(0.75, &[(3.0, 4.0), (5.0, 2.0)]));
        let seen = tally.of_quantile(&tally.of_errors(PerformanceView::default()));
        assert_eq!((seen.quantile_loss, seen.quantile_coverage), (None, None));
        assert_eq!(seen.mae, Some(5.0 / 3.0));
    }
}
