//! `anchorwatch reference`: create, list, show, diff, activate.

use std::io::Write;
use std::path::PathBuf;

use anchorwatch_detectors::binning::Binning;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::CliContext;
use super::table::{Output, digits, percent, span, when, write_json, write_table};
use crate::config::Span;
use crate::reference::{Expected, Reference, Role};
use crate::registry::{
    BaselineOptions, Format, Registry, RoleColumns, SharedColumn, build, diff, kind_name, wall_clock,
};
use crate::store::StoredReference;
use crate::view::ReferenceView;

/// References: the profiles that live traffic is compared with.
#[derive(Debug, Args)]
pub struct ReferenceCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a reference from the rows a model version was validated on, and register it.
    Create(Box<Create>),
    /// List references.
    List {
        /// Only this model.
        #[arg(long)]
        model: Option<String>,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show a reference: columns, notes, provenance, windows.
    Show {
        /// Its address, or the first digits.
        id: String,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
        /// List the categories of this column by their places instead, as alerts name them.
        #[arg(long, value_name = "COLUMN")]
        categories: Option<String>,
    },
    /// Compare two references.
    Diff {
        /// The earlier one, or the first digits of its address.
        a: String,
        /// The later one, or the first digits of its address.
        b: String,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Judge its version against this reference from now on.
    Activate {
        /// Its address, or the first digits.
        id: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Model name.
    #[arg(long)]
    model: String,
    /// Semantic version of the model.
    #[arg(long)]
    version: String,
    /// File with the baseline rows: Parquet, CSV, JSONL or Arrow IPC.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Format of the file, if neither its name nor its first bytes tell.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// YAML or JSON list of {name, kind, required, ignore}; columns not named are inferred.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Column with the event time.
    #[arg(long, default_value = "ts")]
    time_column: String,
    /// Column with the model's numeric output.
    #[arg(long, default_value = "score")]
    score_column: String,
    /// Column with the model's decision.
    #[arg(long, default_value = "prediction")]
    prediction_column: String,
    /// Column with the ground truth.
    #[arg(long, default_value = "label")]
    label_column: String,
    /// Column with the serving time in milliseconds.
    #[arg(long, default_value = "latency_ms")]
    latency_column: String,
    /// Label that counts as 1 where labels are names, such as `fraud`; every other one counts as 0.
    #[arg(long, value_name = "LABEL")]
    positive_label: Option<String>,
    /// Class of several and the column with its score, such as cat=p_cat; once for each class.
    #[arg(long, value_name = "CLASS=COLUMN", value_parser = class_score)]
    class_score: Vec<(String, String)>,
    /// The score foretells this quantile of the label, such as 0.9 for what nine of ten labels do not exceed.
    #[arg(long, value_name = "SHARE")]
    quantile: Option<f64>,
    /// Columns to leave out besides `id` and `label_ts`; may be repeated or separated by commas.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Column whose values get profiles of their own.
    #[arg(long, value_name = "COLUMN")]
    segment_by: Option<String>,
    /// Length of the windows that live traffic is judged in; `monitor.window` must say the same.
    #[arg(long, default_value = "1h")]
    window: Span,
    /// Time zone whose days and weeks the traffic follows, such as Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    time_zone: chrono_tz::Tz,
    /// Most pairs of numeric columns whose correlation is watched, in the order of the columns; 0 watches none.
    #[arg(long, default_value_t = 136, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=136))]
    pairs: usize,
    /// Also embed all columns together in so many random features (64 unless said), which `mmd` in
    /// `monitor.detectors.multivariate` needs.
    #[arg(long, value_name = "FEATURES", num_args = 0..=1, default_missing_value = "64", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(8..=512))]
    mmd: Option<usize>,
    /// Most cut points of a numeric column.
    #[arg(long, default_value_t = 256)]
    points: usize,
    /// Most categories of a column; the others count as unseen.
    #[arg(long, default_value_t = 500)]
    max_categories: usize,
    /// Commit of the training code.
    #[arg(long)]
    git_commit: Option<String>,
    /// Person or job that creates it.
    #[arg(long, env = "USER")]
    creator: Option<String>,
    /// Free text.
    #[arg(long)]
    notes: Option<String>,
    /// Judge its version against this reference from now on, even if there is another.
    #[arg(long)]
    activate: bool,
}

/// Reads `CLASS=COLUMN`; a class may have the sign in its name.
fn class_score(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((class, column)) if !class.is_empty() && !column.is_empty() => {
            Ok((class.to_owned(), column.to_owned()))
        }
        Some(_) | None => Err("use CLASS=COLUMN, such as cat=p_cat".to_owned()),
    }
}

impl Create {
    fn options(self) -> BaselineOptions {
        let mut options = BaselineOptions::new(&self.model, &self.version, self.from);
        options.format = self.format;
        options.schema = self.schema;
        options.roles = RoleColumns {
            time: self.time_column,
            score: self.score_column,
            prediction: self.prediction_column,
            label: self.label_column,
            latency: self.latency_column,
            ..RoleColumns::default()
        };
        options.positive_label = self.positive_label;
        options.class_scores = self.class_score;
        options.quantile = self.quantile;
        options.ignore.extend(self.ignore);
        options.segment_field = self.segment_by;
        options.window_ms = self.window.millis();
        options.time_zone = self.time_zone;
        options.pairs = self.pairs;
        options.mmd = self.mmd;
        options.points = self.points;
        options.max_categories = self.max_categories;
        options.git_commit = self.git_commit;
        options.creator = self.creator;
        options.notes = self.notes;
        options.created_at = wall_clock();
        options.progress = true;
        options
    }
}

impl ReferenceCommand {
    /// Runs the command and prints its answer on standard output.
    ///
    /// # Errors
    /// When the input or the registry cannot be used.
    pub fn run(self, context: &CliContext) -> anyhow::Result<()> {
        self.run_to(context, &mut std::io::stdout().lock())
    }

    /// Runs the command and prints its answer to a writer.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub fn run_to(self, context: &CliContext, out: &mut dyn Write) -> anyhow::Result<()> {
        match self.command {
            Command::Create(create) => create_reference(*create, context, out),
            Command::List { model, output } => list(&open(context)?, model.as_deref(), output, out),
            Command::Show { id, output, categories: None } => show(&open(context)?, &id, output, out),
            Command::Show { id, categories: Some(column), .. } => {
                categories(&open(context)?, &id, &column, out)
            }
            Command::Diff { a, b, output } => compare(&open(context)?, &a, &b, output, out),
            Command::Activate { id } => {
                let row = open(context)?.activate(&id)?;
                writeln!(out, "{} {} is judged against {}", row.model, row.version, short(&row.id))?;
                Ok(())
            }
        }
    }
}

fn open(context: &CliContext) -> anyhow::Result<Registry> {
    Ok(Registry::open(&context.data_dir)?)
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn create_reference(create: Create, context: &CliContext, out: &mut dyn Write) -> anyhow::Result<()> {
    let activate = create.activate;
    let mut registry = open(context)?;
    let reference = build(&create.options())?;
    let id = registry.add_reference(&reference)?;
    if activate {
        registry.activate(id.as_str())?;
    }
    let active = registry.find_reference(id.as_str())?.active;
    let (model, version) = (&reference.model, &reference.version);
    writeln!(out, "{model} {version}: reference {id}")?;
    write_summary(&reference, out)?;
    write_notes(&reference, out)?;
    let next = if active {
        "It is active: events of this version are compared with it.".to_owned()
    } else {
        format!("Another reference is active; to change that: anchorwatch reference activate {}", id.short())
    };
    writeln!(out, "{next}")?;
    Ok(())
}

fn write_summary(reference: &Reference, out: &mut dyn Write) -> std::io::Result<()> {
    let features = reference.columns.iter().filter(|column| column.role == Role::Feature).count();
    let windows = match reference.window_ms {
        Some(length) => format!("{} windows of {}", reference.windows.len(), span(length)),
        None => "no windows".to_owned(),
    };
    let outputs: Vec<&str> =
        reference.columns.iter().filter(|c| c.role != Role::Feature).map(|c| c.name.as_str()).collect();
    let latency = reference.has_latency.then_some("latency");
    let outputs = outputs.into_iter().chain(latency).collect::<Vec<_>>().join(", ");
    let outputs = if outputs.is_empty() { String::new() } else { format!(", {outputs}") };
    let segments = match (&reference.segment_field, reference.segments.len()) {
        (Some(field), count) => format!(", {count} segments by {field}"),
        (None, _) => String::new(),
    };
    let rows = reference.provenance.rows;
    let embedded = reference.joint.embedding.as_ref();
    let embedded =
        embedded.map_or_else(String::new, |embedding| format!(", {} random features", embedding.features()));
    writeln!(out, "{rows} rows, {features} features{outputs}; {windows}{segments}{embedded}")
}

fn write_notes(reference: &Reference, out: &mut dyn Write) -> std::io::Result<()> {
    for remark in &reference.provenance.remarks {
        writeln!(out, "note: {remark}")?;
    }
    for column in &reference.columns {
        for note in &column.notes {
            writeln!(out, "note: `{}`: {note}", column.name)?;
        }
    }
    for assumption in reference.assumptions() {
        writeln!(out, "note: {assumption}")?;
    }
    Ok(())
}

/// One reference in `reference list --output json`.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    model: &'a str,
    version: &'a str,
    active: bool,
    rows: u64,
    columns: u64,
    added_at: i64,
    dataset: &'a str,
}

fn list(registry: &Registry, model: Option<&str>, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    let references = registry.list_references(model)?;
    if output == Output::Json {
        let listed = |row: &'_ StoredReference| {
            serde_json::to_value(Listed {
                id: &row.id,
                model: &row.model,
                version: &row.version,
                active: row.active,
                rows: row.rows,
                columns: row.columns,
                added_at: row.added_at,
                dataset: &row.dataset,
            })
        };
        let all = references.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
        return Ok(write_json(out, &all)?);
    }
    if references.is_empty() {
        writeln!(
            out,
            "no references; make one with: anchorwatch reference create --model … --version … --from FILE"
        )?;
        return Ok(());
    }
    let row = |row: &StoredReference| {
        let active = if row.active { "active" } else { "" };
        [
            short(&row.id).to_owned(),
            row.model.clone(),
            row.version.clone(),
            active.to_owned(),
            row.rows.to_string(),
            row.columns.to_string(),
            when(row.added_at),
            row.dataset.clone(),
        ]
    };
    let rows: Vec<_> = references.iter().map(row).collect();
    write_table(out, ["REFERENCE", "MODEL", "VERSION", "", "ROWS", "COLUMNS", "ADDED", "DATASET"], &rows)?;
    Ok(())
}

fn show(registry: &Registry, id: &str, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    let row = registry.find_reference(id)?;
    let reference = registry.load_reference(&row.id)?;
    if output == Output::Json {
        return Ok(write_json(out, &ReferenceView::of(&row.id, &reference, row.active))?);
    }
    let active = if row.active { " (active)" } else { "" };
    writeln!(out, "{} {}: reference {}{active}", row.model, row.version, row.id)?;
    write_summary(&reference, out)?;
    write_provenance(&reference, out)?;
    write_expected(&reference, out)?;
    write_quantile(&reference, out)?;
    writeln!(out)?;
    let layout = reference.layout();
    let columns = reference.columns.iter().enumerate().map(|(position, column)| {
        let counts = layout.column(&reference.profile, position);
        let share = |count: u64| percent(count as f64 / (counts.total() as f64).max(1.0));
        [
            column.name.clone(),
            role_name(column.role).to_owned(),
            kind_name(column.kind).to_owned(),
            column.binning.cells().to_string(),
            if column.required { "yes" } else { "no" }.to_owned(),
            share(counts.missing),
            share(counts.non_finite + counts.wrong_type),
        ]
    });
    let columns: Vec<_> = columns.collect();
    write_table(out, ["COLUMN", "ROLE", "KIND", "CELLS", "REQUIRED", "MISSING", "INVALID"], &columns)?;
    write_notes(&reference, out)?;
    Ok(())
}

/// Which category is the third one.
fn categories(registry: &Registry, id: &str, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let reference = registry.load_reference(&registry.find_reference(id)?.id)?;
    let column = reference.columns.iter().position(|column| column.name == name);
    let column = column.with_context(|| format!("the reference has no column `{name}`"))?;
    let Binning::Categorical(known) = &reference.columns[column].binning else {
        anyhow::bail!("`{name}` is counted on ranges, not on categories");
    };
    let counts = reference.layout().column(&reference.profile, column).cells.to_vec();
    let all = counts.iter().sum::<u64>().max(1) as f64;
    let rows = known.categories().iter().zip(&counts).enumerate();
    let rows: Vec<_> = rows
        .map(|(place, (category, count))| {
            [(place + 1).to_string(), category.clone(), percent(*count as f64 / all)]
        })
        .collect();
    write_table(out, ["PLACE", "CATEGORY", "SHARE"], &rows)?;
    Ok(())
}

/// What events let expect by two of their columns, before any label.
fn write_expected(reference: &Reference, out: &mut dyn Write) -> std::io::Result<()> {
    let name = |column: usize| reference.columns.get(column).map_or("", |column| column.name.as_str());
    match &reference.joint.expected {
        Some(Expected::Losses(losses)) => {
            writeln!(out, "errors      expected by the score and `{}`", name(losses.feature()))
        }
        Some(Expected::Classes(scores)) => {
            let columns: Vec<&str> = scores.classes().iter().map(|class| name(class.column)).collect();
            writeln!(out, "classes     expected by a score of each: {}", columns.join(", "))
        }
        None => Ok(()),
    }
}

/// What the score foretells, and how well it does in the baseline.
fn write_quantile(reference: &Reference, out: &mut dyn Write) -> std::io::Result<()> {
    let Some(quantile) = reference.quantile() else { return Ok(()) };
    let outcome = reference.calibration.as_ref().and_then(|calibration| calibration.quantile);
    let in_baseline = outcome.map_or_else(String::new, |outcome| {
        let covered = percent(outcome.coverage);
        format!(
            "; in the baseline {covered} of the labels are not above it, pinball loss {}",
            digits(outcome.loss)
        )
    });
    writeln!(out, "quantile    the score foretells that of {quantile}{in_baseline}")
}

fn write_provenance(reference: &Reference, out: &mut dyn Write) -> std::io::Result<()> {
    let provenance = &reference.provenance;
    let hash = provenance
        .dataset_sha256
        .as_deref()
        .map_or_else(String::new, |hash| format!(" (sha256 {})", short(hash)));
    writeln!(out, "dataset     {}{hash}", provenance.dataset)?;
    if let Some((first, last)) = provenance.time_range {
        writeln!(out, "time range  {} to {}", when(first), when(last))?;
    }
    writeln!(out, "created     {}", when(provenance.created_at))?;
    let given = [
        ("creator", &provenance.creator),
        ("git commit", &provenance.git_commit),
        ("notes", &provenance.notes),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            writeln!(out, "{name:<10}  {value}")?;
        }
    }
    Ok(())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Feature => "feature",
        Role::Score => "score",
        Role::Prediction => "prediction",
        Role::Label => "label",
    }
}

fn compare(registry: &Registry, a: &str, b: &str, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    let difference = diff(&registry.load_reference(a)?, &registry.load_reference(b)?);
    if output == Output::Json {
        return Ok(write_json(out, &difference)?);
    }
    for column in &difference.removed {
        writeln!(out, "removed  {} ({} {})", column.name, kind_name(column.kind), role_name(column.role))?;
    }
    for column in &difference.added {
        writeln!(out, "added    {} ({} {})", column.name, kind_name(column.kind), role_name(column.role))?;
    }
    for column in &difference.changed {
        writeln!(
            out,
            "changed  {}: {} became {}",
            column.name,
            kind_name(column.from),
            kind_name(column.to)
        )?;
    }
    let rows: Vec<_> = difference.shared.iter().map(shared_row).collect();
    write_table(out, ["COLUMN", "ROLE", "KIND", "PSI", "KS", "MISSING", "CELLS"], &rows)?;
    Ok(())
}

fn shared_row(column: &SharedColumn) -> [String; 7] {
    let about = if column.same_binning { "" } else { "≈" };
    let ks = match column.ks {
        None => String::new(),
        Some((low, high)) if high - low < 5e-4 => format!("{high:.3}"),
        Some((low, high)) => format!("{low:.3} to {high:.3}"),
    };
    [
        column.name.clone(),
        role_name(column.role).to_owned(),
        kind_name(column.kind).to_owned(),
        column.psi.map_or_else(String::new, |psi| format!("{about}{psi:.3}")),
        ks,
        format!("{} -> {}", percent(column.missing.0), percent(column.missing.1)),
        if column.same_binning { "same" } else { "different" }.to_owned(),
    ]
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
