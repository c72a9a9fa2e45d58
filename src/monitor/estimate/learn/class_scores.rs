//! What the scores of several classes mean: each class against the rest, from a baseline's labels.

use anchorwatch_detectors::binning::Binning;

use super::super::calibrated_scores;
use crate::reference::{ClassScore, ClassScores, Column, Reference, Role};

/// Rows of a baseline by the score of each class.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClassScoreCounts {
    scores: ClassScores,
    /// Class of each category of the label; absent where it is none of them.
    of_label: Vec<Option<usize>>,
    /// Number of cells of the label.
    labels: usize,
    /// For each class and cell of its score, rows of other classes and of its own.
    outcomes: Vec<Vec<[u64; 2]>>,
}

impl ClassScoreCounts {
    /// Nothing counted yet; `None` unless the label is one of several categories.
    pub(super) fn new(reference: &Reference, scores: &ClassScores) -> Option<Self> {
        let label = reference.columns.iter().find(|column| column.role == Role::Label)?;
        let Binning::Categorical(table) = &label.binning else { return None };
        let place = |name: &String| scores.classes().iter().position(|class| class.class == *name);
        let cells =
            |class: &ClassScore| reference.columns.get(class.column).map_or(0, |one| one.binning.cells());
        Some(Self {
            of_label: table.categories().iter().map(place).collect(),
            labels: table.cells(),
            outcomes: scores.classes().iter().map(|class| vec![[0; 2]; cells(class)]).collect(),
            scores: scores.clone(),
        })
    }

    /// Counts one row; nothing without a label. `cells` gives the cell of each column, `usize::MAX` where the value is none.
    pub(super) fn add(&mut self, cells: &[usize], label: usize) {
        if label >= self.labels {
            return;
        }
        // A label that is no category is none of the classes.
        let label = self.of_label.get(label).copied().flatten();
        for (place, (class, outcomes)) in self.scores.classes().iter().zip(&mut self.outcomes).enumerate() {
            if let Some(counts) = cells.get(class.column).and_then(|cell| outcomes.get_mut(*cell)) {
                counts[usize::from(label == Some(place))] += 1;
            }
        }
    }

    /// The scores with what they mean; `None` if one of them never had a label.
    pub(super) fn learned(&self) -> Option<ClassScores> {
        let calibrated: Option<Vec<Vec<f64>>> =
            self.outcomes.iter().map(|outcomes| calibrated_scores(outcomes)).collect();
        Some(self.scores.clone().calibrated(calibrated?))
    }
}

/// The scores of classes, not yet learned, as columns of a reference.
///
/// # Errors
/// The class whose name neither prediction nor label has, or that was left out, or the column that is none of numbers among
/// the features.
pub fn class_scores(columns: &[Column], named: &[(String, String)]) -> Result<ClassScores, Unusable> {
    let of = |role: Role| {
        let found = columns.iter().enumerate().find(|(_, column)| column.role == role);
        let (place, column) = found.ok_or(Unusable::NoNames(role))?;
        match &column.binning {
            Binning::Categorical(table) => Ok((place, table)),
            Binning::Numeric(_) => Err(Unusable::NoNames(role)),
        }
    };
    let ((prediction, predictions), (_, labels)) = (of(Role::Prediction)?, of(Role::Label)?);
    let class = |(class, column): &(String, String)| {
        if !predictions.categories().contains(class) && !labels.categories().contains(class) {
            return Err(Unusable::NoSuchClass(class.clone()));
        }
        let found = columns.iter().position(|one| one.name == *column && one.role == Role::Feature);
        let numeric = |place: &usize| matches!(columns[*place].binning, Binning::Numeric(_));
        let place = found.filter(numeric).ok_or_else(|| Unusable::NoSuchColumn(column.clone()))?;
        Ok(ClassScore { class: class.clone(), column: place, calibrated: Vec::new() })
    };
    let classes: Vec<ClassScore> = named.iter().map(class).collect::<Result<_, _>>()?;
    // Probabilities of some of the classes do not add up to 1.
    let mut all = predictions.categories().iter().chain(labels.categories());
    if let Some(left_out) = all.find(|name| classes.iter().all(|class| class.class != **name)) {
        return Err(Unusable::LeftOut(left_out.clone()));
    }
    let class_of = |name: &String| classes.iter().position(|class| class.class == *name);
    let known = predictions.categories().iter().map(|name| class_of(name).map(|class| class as u8));
    let mut of_prediction: Vec<Option<u8>> = known.collect();
    of_prediction.resize(predictions.cells(), None);
    Ok(ClassScores::new(prediction, of_prediction, classes))
}

/// Why scores of classes cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// There is no such column, or it holds no names.
    NoNames(Role),
    /// Neither prediction nor label has this class.
    NoSuchClass(String),
    /// Prediction or label has this class, and it has no score.
    LeftOut(String),
    /// No feature that is a number has this name.
    NoSuchColumn(String),
}
