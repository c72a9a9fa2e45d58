//! From a baseline file to a [`Reference`]: two readings, the first to choose columns and cut points, the second to
//! count every row on them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use super::count::{Counted, count};
use super::error::BuildError;
use super::options::BaselineOptions;
use super::plan::{Plan, is_raw, plan};
use super::schema::Schema;
use super::source::{Source, read_error};
use super::survey::survey;
use crate::reference::{Column, Layout, Provenance, Reference, Role};
use crate::subject::Millis;

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
    Ok(assemble(options, &schema, plan, counted, survey.times.range, sha256))
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
        windows: counted.windows,
        segment_field: options.segment_field.clone(),
        segments: counted.segments,
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
