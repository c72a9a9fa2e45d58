//! Why a baseline could not become a reference: whose file, which column, which row, and what to do about it.

use std::path::PathBuf;

/// Why no reference was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Read {
        /// File concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Neither the name nor the first bytes tell the format.
    #[error(
        "cannot tell the format of {path}; name it .parquet, .csv, .jsonl or .arrow, or pass --format \
         parquet|csv|jsonl|arrow"
    )]
    UnknownFormat {
        /// File concerned.
        path: PathBuf,
    },
    /// The file is not what its format says.
    #[error("{path} cannot be read as {format}: {reason}")]
    Malformed {
        /// File concerned.
        path: PathBuf,
        /// Format it was read as.
        format: &'static str,
        /// What is wrong, with the line or row where it is known.
        reason: String,
    },
    /// The positive label is no label of the baseline.
    #[error(
        "{path} has no label `{label}` in the column `{column}`, whose names are [{labels}]; give one of them as \
         --positive-label, or leave it out if labels are numbers"
    )]
    NoSuchLabel {
        /// File concerned.
        path: PathBuf,
        /// The label that was asked for.
        label: String,
        /// Column of the labels.
        column: String,
        /// Some of its names.
        labels: String,
    },
    /// The scores of classes cannot be used.
    #[error(
        "the scores of classes cannot be used with {path}: {reason}; --class-score CLASS=COLUMN names a class of \
         prediction and label, both texts, and a column with its score"
    )]
    ClassScores {
        /// File concerned.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The score foretells no quantile of a number.
    #[error(
        "--quantile cannot be used with {path}: {reason}; it is for a score and a label that are numbers: leave it out, or name \
         their columns with --score-column and --label-column"
    )]
    Quantile {
        /// File concerned.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A column name stands twice in the file.
    #[error("{path} has two columns named `{column}`; rename one of them")]
    DuplicateColumn {
        /// File concerned.
        path: PathBuf,
        /// The repeated name.
        column: String,
    },
    /// More columns than one reference can hold.
    #[error("{path} has {got} columns; at most {most} are supported: leave some out with --ignore")]
    TooManyColumns {
        /// File concerned.
        path: PathBuf,
        /// How many there are.
        got: usize,
        /// How many may be.
        most: usize,
    },
    /// The file has no rows.
    #[error("{path} has no rows: a reference needs the rows the model was validated on")]
    Empty {
        /// File concerned.
        path: PathBuf,
    },
    /// Every column was left out.
    #[error("{path} has no column to compare: {reasons}")]
    NothingToCompare {
        /// File concerned.
        path: PathBuf,
        /// Why each column was left out.
        reasons: String,
    },
    /// A column that the caller named is not in the file.
    #[error("{path} has no column `{column}` (from {named_by}){hint}")]
    NoSuchColumn {
        /// File concerned.
        path: PathBuf,
        /// Name that was looked for.
        column: String,
        /// Option or file that named it.
        named_by: String,
        /// Nearest existing name, as half a sentence.
        hint: String,
    },
    /// The schema file is not one.
    #[error("the schema {path} cannot be used: {reason}")]
    Schema {
        /// Schema file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No value of the column is of the kind that the schema gives it.
    #[error(
        "no value of column `{column}` in {path} can be read as {kind}, as the schema says; the first, at row {row}, \
         is {sample}: correct the schema (numbers that stand for categories are `coded_category`) or the file"
    )]
    KindMismatch {
        /// File concerned.
        path: PathBuf,
        /// Column concerned.
        column: String,
        /// Kind given by the schema.
        kind: &'static str,
        /// First row, counted from 1, with a value.
        row: u64,
        /// That value.
        sample: String,
    },
    /// A number option is outside its range.
    #[error("{option} is {got}; use {expected}")]
    Option {
        /// Option concerned.
        option: &'static str,
        /// What was given.
        got: String,
        /// What is possible.
        expected: String,
    },
    /// The version is not a semantic version.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The file changed between the two readings.
    #[error(
        "{path} changed while it was read ({before} rows, then {after}); build the reference from a finished file"
    )]
    Changed {
        /// File concerned.
        path: PathBuf,
        /// Rows at the first reading.
        before: u64,
        /// Rows at the second.
        after: u64,
    },
    /// A binning was refused.
    #[error("column `{column}` of {path} cannot be binned: {source}")]
    Binning {
        /// File concerned.
        path: PathBuf,
        /// Column concerned.
        column: String,
        /// Why.
        source: anchorwatch_detectors::BinningError,
    },
}

/// Why a model or version name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Model names are short, visible text.
    #[error(
        "`{name}` cannot be a model's name: use 1 to 200 characters without spaces or control characters"
    )]
    Model {
        /// What was given.
        name: String,
    },
    /// Versions follow semver.org.
    #[error("`{version}` is not a semantic version: use MAJOR.MINOR.PATCH, for example 1.0.0 ({reason})")]
    Version {
        /// What was given.
        version: String,
        /// What the parser said.
        reason: String,
    },
}

/// Checks a model's name.
///
/// # Errors
/// When it is empty, longer than 200 characters or holds spaces or control characters.
pub fn check_model(name: &str) -> Result<(), NameError> {
    let visible = |c: char| !c.is_whitespace() && !c.is_control();
    if name.is_empty() || name.chars().count() > 200 || !name.chars().all(visible) {
        return Err(NameError::Model { name: name.to_owned() });
    }
    Ok(())
}

/// Reads a semantic version.
///
/// # Errors
/// When the text is not one.
pub fn parse_version(version: &str) -> Result<semver::Version, NameError> {
    semver::Version::parse(version)
        .map_err(|error| NameError::Version { version: version.to_owned(), reason: error.to_string() })
}

/// `; did you mean …?`, if a name is near enough.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, candidate)| format!("; did you mean `{candidate}`?"))
}
