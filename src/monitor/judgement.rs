//! The columns of a window beside those of the reference: what is measured of each becomes verdicts. Not here: in which order
//! a window is judged (`mod.rs`), and what counts as a fault (`faults.rs`).

use anchorwatch_detectors::batch::{Baseline, Comparison, Score};
use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::quality::different;
use smol_str::SmolStr;

use super::faults::{AllRates, FaultKind, FaultScore, Sides, scores, window_rate};
use super::{Calibration, Judge, chance, moved};
use crate::alert::{AlertKind, Moved};
use crate::config::{Detector, Monitor, Rule};
use crate::reference::{Column, Role};
use crate::view::{ColumnRatios, Level, VerdictView};

/// Detectors that the configuration gives a column; a label is judged like a feature.
pub(super) fn detectors_of<'m>(monitor: &'m Monitor, column: &Column) -> &'m [Detector] {
    match column.binning {
        Binning::Numeric(_) => &monitor.detectors.numeric,
        Binning::Categorical(_) => &monitor.detectors.categorical,
    }
}

/// The test that lends its p-value to the detectors of a column whose statistic has no law of its own.
fn own_test(column: &Column) -> Detector {
    match column.binning {
        Binning::Numeric(_) => Detector::Ks,
        Binning::Categorical(_) => Detector::ChiSquare,
    }
}

/// A column of a window beside the reference's.
pub(super) struct Pair<'a> {
    pub(super) index: usize,
    pub(super) column: &'a Column,
    pub(super) sides: Sides<'a>,
    pub(super) baseline: &'a Baseline,
    pub(super) rates: AllRates,
    /// How often the places of values in no category were hit, where they are told apart.
    pub(super) new_values: Option<&'a [u64]>,
}

impl Pair<'_> {
    /// The two sides grouped for the detectors; `None` below the least number of rows.
    fn comparison(&self, min_rows: u64) -> Option<Comparison<'_>> {
        let enough = self.sides.present()[1] >= min_rows;
        let (reference, window) = (self.sides.reference.cells, self.sides.window.cells);
        enough.then(|| self.baseline.beside(&self.column.binning, reference, window)).flatten()
    }
}

/// What was measured of one detector on one column.
pub(super) struct Judgement {
    pub(super) detector: &'static str,
    pub(super) kind: AlertKind,
    pub(super) rows: u64,
    pub(super) reference_rows: u64,
    pub(super) statistic: Option<f64>,
    pub(super) threshold: f64,
    pub(super) p_value: Option<f64>,
    pub(super) adjusted: Option<f64>,
}

fn distinct(detectors: &[Detector]) -> Vec<Detector> {
    let mut all = detectors.to_vec();
    all.sort_unstable();
    all.dedup();
    all
}

impl Judge {
    /// By the rule, drift needs an effect over the threshold and significance; a warning is as sure, but the effect is
    /// smaller.
    pub(super) fn level(&self, effect: f64, threshold: f64, p_value: Option<f64>) -> Level {
        let significant = p_value.is_none_or(|p| p <= self.monitor.false_discovery_rate);
        match effect {
            effect if significant && effect >= threshold => Level::Drift,
            effect if significant && effect >= self.clear_below * threshold => Level::Warning,
            _ => Level::Stable,
        }
    }

    pub(super) fn faults(
        &self,
        pairs: &[Pair<'_>],
        calibration: &Calibration,
        slack: f64,
    ) -> Vec<VerdictView> {
        let mut scored: Vec<(&Pair<'_>, FaultScore)> = Vec::with_capacity(pairs.len() * FaultKind::ALL.len());
        for pair in pairs {
            scored.extend(scores(&pair.rates).map(|score| (pair, score)));
        }
        let p_values: Vec<f64> = scored.iter().map(|(_, score)| score.p_value).collect();
        let adjusted = self.monitor.correction.adjust(&p_values);
        let judged = scored.into_iter().zip(adjusted).map(|((pair, score), adjusted)| {
            let normal = calibration.fault(pair.index, score.kind) * self.monitor.baseline_margin;
            let threshold = (score.reference + score.kind.floor(&self.monitor.faults, &pair.column.binning))
                .max(normal)
                * slack;
            let moved =
                || Moved { bin: score.kind.as_str().to_owned(), from: score.reference, to: score.window };
            let judgement = Judgement {
                detector: score.kind.as_str(),
                kind: AlertKind::DataFault,
                rows: pair.sides.totals()[1],
                reference_rows: pair.sides.totals()[0],
                statistic: Some(score.window),
                threshold,
                p_value: Some(score.p_value),
                adjusted: Some(adjusted),
            };
            let mut verdict =
                self.verdict((&pair.column.name, Some(pair.column.role)), &judgement, Vec::new());
            if verdict.level >= Level::Warning {
                verdict.moved.push(moved());
            }
            verdict
        });
        // Room for what else there is to say: windows are kept, and there are many.
        let others: usize = pairs.iter().map(|pair| detectors_of(&self.monitor, pair.column).len()).sum();
        let of_all = self.monitor.latency.quantiles.len() + 1 + self.monitor.detectors.multivariate.len();
        let mut verdicts = Vec::with_capacity(judged.len() + others + of_all);
        verdicts.extend(judged);
        verdicts
    }

    pub(super) fn drifts(
        &self,
        pairs: &[Pair<'_>],
        calibration: &Calibration,
        slack: f64,
        faulty: &[(SmolStr, SmolStr)],
    ) -> Vec<VerdictView> {
        let mut judgements: Vec<(&Pair<'_>, Detector, Judgement)> = Vec::with_capacity(2 * pairs.len());
        for pair in pairs {
            let comparison = pair.comparison(self.min_rows);
            let own = own_test(pair.column).batch();
            let test = comparison.as_ref().and_then(|comparison| comparison.score(own));
            for detector in detectors_of(&self.monitor, pair.column) {
                let scored = (comparison.as_ref(), test);
                if let Some(judgement) = self.drift(pair, *detector, calibration, slack, scored) {
                    judgements.push((pair, *detector, judgement));
                }
            }
        }
        // One family per detector: two detectors of one column answer the same question and are not two discoveries.
        let families: Vec<Detector> = judgements.iter().map(|(_, detector, _)| *detector).collect();
        for family in distinct(&families) {
            let members = || (0..families.len()).filter(|i| families[*i] == family);
            let p_values: Vec<f64> = members().map(|i| judgements[i].2.p_value.unwrap_or(1.0)).collect();
            let adjusted = self.monitor.correction.adjust(&p_values);
            for (i, adjusted) in members().collect::<Vec<_>>().into_iter().zip(adjusted) {
                judgements[i].2.adjusted = Some(adjusted);
            }
        }
        let judged = judgements.into_iter().map(|(pair, detector, judgement)| {
            let judgement = self.by_rule(judgement, self.monitor.floors.of(detector));
            let mut verdict =
                self.verdict((&pair.column.name, Some(pair.column.role)), &judgement, Vec::new());
            if verdict.level >= Level::Warning {
                let show = self.monitor.show_categories;
                let reader = moved::Reader::Subscriber { show_categories: show };
                verdict.moved =
                    moved::moved_bins(pair.column, pair.sides.reference, pair.sides.window, reader);
            }
            let fault = faulty.iter().find(|(column, _)| *column == verdict.column);
            verdict.inhibited_by = fault.map(|(_, fault)| fault.to_string());
            verdict
        });
        judged.collect()
    }

    /// `scored` is the window beside its reference, where it has enough rows, and the score of the column's own test.
    fn drift(
        &self,
        pair: &Pair<'_>,
        detector: Detector,
        calibration: &Calibration,
        slack: f64,
        (comparison, test): (Option<&Comparison<'_>>, Option<Score>),
    ) -> Option<Judgement> {
        let batch = detector.batch();
        if !batch.applies_to(&pair.column.binning) {
            return None;
        }
        let [reference_rows, rows] = pair.sides.present();
        let score = if detector == own_test(pair.column) {
            test
        } else {
            comparison.and_then(|comparison| comparison.score(batch))
        };
        let normal = calibration.effect(pair.index, detector) * self.monitor.baseline_margin;
        let bins = comparison.map_or(0, Comparison::bins);
        Some(Judgement {
            detector: batch.name(),
            kind: AlertKind::Drift,
            rows,
            reference_rows,
            statistic: score.map(|score| score.statistic),
            threshold: self.monitor.floors.of(detector).max(normal) * slack
                + chance::expected_by_chance(detector, bins, (reference_rows, rows)),
            p_value: score.and_then(|score| score.p_value.or(test.and_then(|test| test.p_value))),
            adjusted: None,
        })
    }

    /// What a measured drift is held against by the configured rule, given its floor.
    pub(super) fn by_rule(&self, judgement: Judgement, floor: f64) -> Judgement {
        // No p-value is exactly 0.
        let size = |p: f64| -p.clamp(f64::MIN_POSITIVE, 1.0).log10();
        match self.monitor.rule {
            Rule::CalibratedFloor => judgement,
            Rule::Fixed => Judgement { threshold: floor, adjusted: None, ..judgement },
            Rule::PValue => Judgement {
                statistic: judgement.statistic.and(judgement.p_value).map(size),
                threshold: size(self.monitor.false_discovery_rate),
                adjusted: judgement.p_value,
                ..judgement
            },
        }
    }

    pub(super) fn verdict(
        &self,
        (column, role): (&str, Option<Role>),
        judgement: &Judgement,
        moved: Vec<Moved>,
    ) -> VerdictView {
        let enough = judgement.rows >= self.min_rows;
        let level = match judgement.statistic.filter(|_| enough) {
            Some(effect) => self.level(effect, judgement.threshold, judgement.adjusted),
            None => Level::Insufficient,
        };
        let enough = level != Level::Insufficient;
        VerdictView {
            column: column.into(),
            role,
            detector: judgement.detector.into(),
            statistic: judgement.statistic.filter(|_| enough),
            threshold: enough.then_some(judgement.threshold),
            p_value: judgement.p_value.filter(|_| enough),
            adjusted_p_value: judgement.adjusted.filter(|_| enough),
            rows: judgement.rows,
            reference_rows: judgement.reference_rows,
            level,
            kind: judgement.kind,
            severity: None,
            inhibited_by: None,
            moved,
            explained: None,
        }
    }
}

/// How many values of a column are at fault, by kind, and how many different ones there are.
pub(super) fn ratios(pair: &Pair<'_>) -> ColumnRatios {
    let rate = |kind: FaultKind| window_rate(pair.rates[kind as usize]);
    ColumnRatios {
        column: pair.column.name.as_str().into(),
        missing: rate(FaultKind::Missing),
        unseen: rate(FaultKind::Unseen),
        out_of_range: rate(FaultKind::OutOfRange),
        wrong_type: rate(FaultKind::WrongType),
        distinct: pair.new_values.and_then(|places| different_values(pair, places)),
    }
}

/// Categories of the reference that came, and about how many other values; `None` without any value.
fn different_values(pair: &Pair<'_>, new_values: &[u64]) -> Option<f64> {
    let (_, known) = pair.sides.window.cells.split_last()?;
    let known = known.iter().filter(|count| **count > 0).count();
    (pair.sides.present()[1] > 0).then(|| known as f64 + different(new_values))
}
