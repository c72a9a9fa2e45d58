//! From a baseline file to a [`Reference`]: three readings, the first to choose columns and cut points, the second to
//! count every row on them, the third to calibrate on its windows what is watched.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::calibrated::FEWEST_WINDOWS;
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use super::count::{Counted, count};
use super::embedding::embedding;
use super::error::BuildError;
use super::options::BaselineOptions;
use super::plan::{Plan, is_raw, plan};
use super::schema::Schema;
use super::series::{CountedSeries, MOST_WINDOWS, Reading, series};
use super::source::{Source, read_error};
use super::survey::survey;
use crate::monitor::calibrated::{Series, assume, calibrate, joint_terms, slices_worth_watching};
use crate::monitor::estimate::learn::{Unusable, class_scores};
use crate::reference::{Column, Embedding, Expected, Joint, Layout, Provenance, Reference, Role, Slice};
use crate::subject::Millis;
use crate::window::foretells_numbers;

/// Builds a reference from a file of baseline rows.
///
/// # Errors
/// When the file, the schema or a name in the options cannot be used; the message says what to do.
pub fn build(options: &BaselineOptions) -> Result<Reference, BuildError> {
    options.check()?;
    let schema = options.schema.as_deref().map_or_else(|| Ok(Schema::default()), Schema::read)?;
    let open = || Source::open(&options.source, options.format, &options.roles);

    let mut source = open()?;
    let bar = progress(options, source.length, "reading");
    let survey = survey(&mut source, options, &schema, &|position| bar.set_position(position))?;
    bar.finish_and_clear();
    let plan = plan(&survey, options, &schema, is_raw(source.format()))?;

    let mut source = open()?;
    let bar = progress(options, source.length, "counting");
    let counted = count(&mut source, &plan, &|position| bar.set_position(position))?;
    bar.finish_and_clear();
    if counted.rows != survey.rows {
        let (before, after) = (survey.rows, counted.rows);
        return Err(BuildError::Changed { path: options.source.clone(), before, after });
    }
    let sha256 = hash_file(&options.source)?;
    let versions = plan.versions.as_ref().map(|(_, values)| values.clone()).unwrap_or_default();
    let mut reference = assemble(options, &schema, plan, counted, survey.times.range, sha256);
    let positive = options.positive_label.as_deref();
    positive.map_or(Ok(()), |name| is_a_label(&reference.columns, name, options))?;
    reference.joint = joint_terms(&reference.columns, &reference.profile, positive);
    if let Some(share) = options.quantile {
        foretells(&mut reference, share, options)?;
    }
    reference.joint.pairs.truncate(options.pairs);
    let left_out = pairs_left_out(&reference).filter(|_| options.pairs > 0);
    reference.provenance.remarks.extend(left_out);
    reference.joint.expected = scores_of_classes(&reference, options)?;
    if let Some(features) = options.mmd {
        reference.joint.embedding = embedding(&reference, options, features)?;
    }
    calibrate_on_windows(&mut reference, options, &versions, survey.times.range.is_some())?;
    Ok(reference)
}

/// Refuses a positive label that the baseline does not have.
fn is_a_label(columns: &[Column], name: &str, options: &BaselineOptions) -> Result<(), BuildError> {
    let column = columns.iter().find(|column| column.role == Role::Label);
    let labels: &[String] = match column.map(|column| &column.binning) {
        Some(Binning::Categorical(table)) => table.categories(),
        Some(Binning::Numeric(_)) | None => &[],
    };
    if labels.iter().any(|label| label == name) {
        return Ok(());
    }
    Err(BuildError::NoSuchLabel {
        path: options.source.clone(),
        label: name.to_owned(),
        column: column.map_or_else(|| options.roles.label.clone(), |column| column.name.clone()),
        labels: labels.iter().take(5).cloned().collect::<Vec<_>>().join(", "),
    })
}

/// Notes that the score foretells a quantile of the label, which has to be a number.
fn foretells(reference: &mut Reference, share: f64, options: &BaselineOptions) -> Result<(), BuildError> {
    let numbers = foretells_numbers(reference);
    if let Some(terms) = reference.joint.residual.as_mut().filter(|_| numbers) {
        terms.quantile = Some(share);
        return Ok(());
    }
    let is_numeric = |role: Role| {
        let column = reference.columns.iter().find(|column| column.role == role)?;
        Some(matches!(column.binning, Binning::Numeric(_)))
    };
    let unusable = [Role::Score, Role::Label].into_iter().find(|role| is_numeric(*role) != Some(true));
    let reason = match unusable.map(|role| (options.roles.of(role), is_numeric(role))) {
        Some((column, None)) => format!("it has no column `{column}` with values"),
        Some((column, Some(_))) => format!("`{column}` holds names or truth values"),
        None => format!("`{}` is never another number than 0 and 1, or always the same", options.roles.label),
    };
    Err(BuildError::Quantile { path: options.source.clone(), reason })
}

/// The scores of classes, where each has one.
fn scores_of_classes(
    reference: &Reference,
    options: &BaselineOptions,
) -> Result<Option<Expected>, BuildError> {
    if options.class_scores.is_empty() {
        return Ok(None);
    }
    let refused = |reason: String| BuildError::ClassScores { path: options.source.clone(), reason };
    if reference.joint.residual.is_some() {
        return Err(refused(
            "labels that are numbers, or 0 and 1, are compared with the one score".to_owned(),
        ));
    }
    if let Some(role) =
        [Role::Prediction, Role::Label].into_iter().find(|role| has_other_names(reference, *role))
    {
        let column = options.roles.of(role);
        return Err(refused(format!("`{column}` has more classes than --max-categories keeps apart")));
    }
    let why = |unusable: Unusable| {
        refused(match unusable {
            Unusable::NoNames(role) => {
                format!("the column `{}` has to be there and to hold names", options.roles.of(role))
            }
            Unusable::NoSuchClass(class) => format!("neither prediction nor label is ever `{class}`"),
            Unusable::LeftOut(class) => format!("`{class}` has no score, and there may be 32 classes"),
            Unusable::NoSuchColumn(column) => format!("`{column}` is no feature that is a number"),
        })
    };
    class_scores(&reference.columns, &options.class_scores)
        .map(|scores| Some(Expected::Classes(scores)))
        .map_err(why)
}

/// Whether a column of names has some that are none of its categories.
fn has_other_names(reference: &Reference, role: Role) -> bool {
    let found = reference.columns.iter().enumerate().find(|(_, column)| column.role == role);
    found.is_some_and(|(index, column)| {
        let counts = reference.layout().column(&reference.profile, index).cells.last().copied();
        matches!(column.binning, Binning::Categorical(_)) && counts.is_some_and(|count| count > 0)
    })
}

/// Which correlations are not watched, if some are.
fn pairs_left_out(reference: &Reference) -> Option<String> {
    let Joint { scores, pairs, .. } = &reference.joint;
    let scored: Vec<usize> = (0..scores.len()).filter(|column| !scores[*column].is_empty()).collect();
    let all = scored.len() * scored.len().saturating_sub(1) / 2;
    // Pairs are taken in the order of the columns: the last of them are in the fewest.
    let of = |column: &usize| pairs.iter().filter(|(a, b)| a == column || b == column).count();
    let without = scored.iter().filter(|column| of(column) + 1 < scored.len());
    let first = without.min_by_key(|column| of(column)).and_then(|column| reference.columns.get(*column));
    (pairs.len() < all).then(|| {
        let first = first.map_or_else(String::new, |column| format!(", and the fewest with `{}`", column.name));
        format!(
            "the correlations of {} of {all} pairs of columns are watched, in the order of the columns{first}: put \
             first what goes together, or leave columns out",
            pairs.len()
        )
    })
}

/// Reads the baseline once more, as a sequence of windows, and calibrates the monitored quantities on them; without times, or
/// with too few windows, all rows are taken together and the rest is assumed.
fn calibrate_on_windows(
    reference: &mut Reference,
    options: &BaselineOptions,
    versions: &[String],
    timed: bool,
) -> Result<(), BuildError> {
    let rows = reference.segments.iter().map(|(value, counts)| {
        (Slice::Segment(value.clone()), counts.get(Layout::ROWS).copied().unwrap_or(0))
    });
    let mut slices = slices_worth_watching(&rows.collect::<Vec<_>>(), reference.provenance.rows);
    slices.extend(versions.iter().cloned().map(Slice::Version));
    let in_windows = match timed {
        true => Some(read_series(reference, &slices, options, options.window_ms, "calibrating")?),
        false => None,
    };
    let enough = in_windows.filter(|counted| counted.len() >= FEWEST_WINDOWS);
    let assumed = enough.is_none();
    let counted = match enough {
        Some(counted) => counted,
        None => read_as_one(reference, &slices, options, "calibrating")?,
    };
    let rows_of_versions = rows_of(&counted, &slices);
    let watched: Vec<Slice> = slices
        .iter()
        .filter(|slice| matches!(slice, Slice::Segment(_)))
        .cloned()
        .chain(slices_worth_watching(&rows_of_versions, counted.rows))
        .collect();
    if counted.len() >= MOST_WINDOWS {
        reference.provenance.remarks.push(format!(
            "calibrated on the first {MOST_WINDOWS} windows: {} rows are in later ones",
            counted.left_out
        ));
    }
    let series = Series {
        window_ms: options.window_ms,
        time_zone: options.time_zone,
        slices: watched,
        term_variances: counted.term_variances.clone(),
        windows: counted.windows(None),
    };
    let calibration = match (assumed, timed) {
        (false, _) => calibrate(reference, series),
        (true, true) => {
            assume(reference, series, &format!("the baseline has fewer than {FEWEST_WINDOWS} windows"))
        }
        (true, false) => assume(reference, series, "the baseline has no times"),
    };
    if let Some(embedding) = reference.joint.embedding.take() {
        reference.joint.embedding = Some(learned(embedding, reference, &counted, !assumed));
    }
    reference.calibration = Some(counted.outcomes.teach(reference, calibration));
    reference.joint.expected = counted.outcomes.expected();
    if reference.joint.expected.is_none() && !options.class_scores.is_empty() {
        let remark = "the scores of classes say nothing: one of them, or the label, is never there";
        reference.provenance.remarks.push(remark.to_owned());
    }
    Ok(())
}

/// What the baseline's windows, or its rows as one, say of an embedding.
fn learned(embedding: Embedding, reference: &Reference, counted: &CountedSeries, timed: bool) -> Embedding {
    let joint = Joint { embedding: Some(embedding.clone()), ..reference.joint.clone() };
    let layout = reference.layout_with(&joint);
    let sums: Vec<_> =
        counted.windows(None).filter_map(|window| joint.features(&layout, &window.whole)).collect();
    embedding.learned(&sums, timed)
}

/// Rows of the version slices in all windows.
fn rows_of(counted: &CountedSeries, slices: &[Slice]) -> Vec<(Slice, u64)> {
    let versions: Vec<&Slice> = slices.iter().filter(|slice| matches!(slice, Slice::Version(_))).collect();
    let mut rows = vec![0; versions.len()];
    if !versions.is_empty() {
        for window in counted.windows(None) {
            for (rows, slice) in rows.iter_mut().zip(&versions) {
                let counts = window.slices.get(*slice);
                *rows += counts.and_then(|counts| counts.get(Layout::ROWS).copied()).unwrap_or(0);
            }
        }
    }
    versions.into_iter().cloned().zip(rows).collect()
}

/// Reads a file of events or baseline rows as windows of `window_ms`, counted on a reference's columns.
///
/// # Errors
/// When the file cannot be read; the message says what to do.
pub fn read_series(
    reference: &Reference,
    slices: &[Slice],
    options: &BaselineOptions,
    window_ms: Millis,
    what: &'static str,
) -> Result<CountedSeries, BuildError> {
    read_as(Reading { reference, roles: &options.roles, slices, window_ms, as_one: false }, options, what)
}

/// Reads a file of baseline rows as one window that begins at 0, whatever times it has.
///
/// # Errors
/// As for [`read_series`].
pub fn read_as_one(
    reference: &Reference,
    slices: &[Slice],
    options: &BaselineOptions,
    what: &'static str,
) -> Result<CountedSeries, BuildError> {
    let (roles, window_ms) = (&options.roles, options.window_ms);
    read_as(Reading { reference, roles, slices, window_ms, as_one: true }, options, what)
}

fn read_as(
    reading: Reading<'_>,
    options: &BaselineOptions,
    what: &'static str,
) -> Result<CountedSeries, BuildError> {
    let mut source = Source::open(&options.source, options.format, &options.roles)?;
    let bar = progress(options, source.length, what);
    let reading = Reading { window_ms: reading.window_ms.max(1), ..reading };
    let counted = series(&mut source, &reading, &|position| bar.set_position(position))?;
    bar.finish_and_clear();
    Ok(counted)
}

fn assemble(
    options: &BaselineOptions,
    schema: &Schema,
    plan: Plan,
    counted: Counted,
    time_range: Option<(Millis, Millis)>,
    sha256: String,
) -> Reference {
    let has_latency = plan.latency.is_some();
    let mut columns: Vec<Column> = plan.columns.into_iter().map(|(_, column)| column).collect();
    let layout = Layout::new(&columns);
    for (position, column) in columns.iter_mut().enumerate() {
        let missing = layout.column(&counted.profile, position).missing;
        settle_required(column, schema, missing);
    }
    Reference {
        model: options.model.clone(),
        version: options.version.clone(),
        columns,
        has_latency,
        profile: counted.profile,
        window_ms: plan.window_ms,
        windows: counted.windows.into(),
        segment_field: plan.segment_field,
        segments: counted.segments,
        joint: Joint::default(),
        calibration: None,
        provenance: Provenance {
            dataset: options.source.display().to_string(),
            dataset_sha256: Some(sha256),
            rows: counted.rows,
            time_range,
            git_commit: options.git_commit.clone(),
            creator: options.creator.clone(),
            created_at: options.created_at,
            notes: options.notes.clone(),
            remarks: plan.remarks,
        },
    }
}

/// A column is required if the schema says so or, where it says nothing, if the baseline has no null in it.
fn settle_required(column: &mut Column, schema: &Schema, missing: u64) {
    let asked = schema.get(&column.name).and_then(|asked| asked.required);
    column.required = asked.unwrap_or(missing == 0 && column.role != Role::Label);
    if column.required && missing > 0 {
        column
            .notes
            .push(format!("the schema requires it, but it is missing in {missing} rows of the baseline"));
    }
}

fn hash_file(path: &Path) -> Result<String, BuildError> {
    let failed = |source| read_error(path, source);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        match buffer.get(..read) {
            Some(bytes) if read > 0 => hash.update(bytes),
            _ => break,
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A bar on standard error; it draws nothing unless that is a terminal.
fn progress(options: &BaselineOptions, length: u64, what: &'static str) -> ProgressBar {
    if !options.progress {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:>9} {wide_bar} {percent:>3} % {eta}");
    ProgressBar::new(length)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}
