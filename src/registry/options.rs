//! What a caller says about a baseline: where it is, what its columns mean, and who made it.

use std::path::{Path, PathBuf};

use super::error::{BuildError, check_model, parse_version};
use crate::reference::{MOST_CLASS_SCORES, Role, is_quantile};
use crate::subject::Millis;

/// Format of a baseline file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-, semicolon-, tab- or bar-separated text with a header line.
    Csv,
    /// One JSON object a line: flat, or shaped like the native event.
    Jsonl,
    /// Arrow IPC, file or stream, uncompressed.
    Arrow,
}

impl Format {
    /// Name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Jsonl => "JSONL",
            Self::Arrow => "Arrow IPC",
        }
    }

    /// The format that the name of a file promises.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" | "pq" => Some(Self::Parquet),
            "csv" | "tsv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "arrow" | "arrows" | "ipc" | "feather" => Some(Self::Arrow),
            _ => None,
        }
    }

    /// The format that the first bytes of a file show.
    #[must_use]
    pub fn of_bytes(start: &[u8]) -> Option<Self> {
        match start {
            [b'P', b'A', b'R', b'1', ..] => Some(Self::Parquet),
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xff, 0xff, 0xff, 0xff, ..] => Some(Self::Arrow),
            [b'{', ..] => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// Names of the columns with a meaning of their own; all others are features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleColumns {
    /// Event time.
    pub time: String,
    /// The model's numeric output.
    pub score: String,
    /// The model's decision.
    pub prediction: String,
    /// The ground truth.
    pub label: String,
    /// Serving time in milliseconds.
    pub latency: String,
    /// Model name; not a feature.
    pub model: String,
    /// Model version; versions are compared with one another.
    pub version: String,
    /// Segment; segments are compared with the rest unless another column is named for that.
    pub segment: String,
}

impl RoleColumns {
    /// The column of a role; of features there is none.
    pub(super) fn of(&self, role: Role) -> &str {
        match role {
            Role::Score => &self.score,
            Role::Prediction => &self.prediction,
            Role::Label => &self.label,
            Role::Feature => "",
        }
    }
}

impl Default for RoleColumns {
    fn default() -> Self {
        Self {
            time: "ts".to_owned(),
            score: "score".to_owned(),
            prediction: "prediction".to_owned(),
            label: "label".to_owned(),
            latency: "latency_ms".to_owned(),
            model: "model".to_owned(),
            version: "version".to_owned(),
            segment: "segment".to_owned(),
        }
    }
}

/// How to build a reference from a file.
///
/// ```
/// use anchorwatch::registry::BaselineOptions;
/// let options = BaselineOptions::new("flights", "1.0.0", "testdata/flights/reference.parquet");
/// let built = anchorwatch::registry::build(&options)?;
/// assert_eq!(built.columns.len(), 17);
/// # Ok::<(), anchorwatch::registry::BuildError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineOptions {
    /// Registered model name.
    pub model: String,
    /// Semantic version of the model.
    pub version: String,
    /// File with the baseline rows.
    pub source: PathBuf,
    /// Its format; by default told from name or first bytes.
    pub format: Option<Format>,
    /// File that names and types columns; by default all is inferred.
    pub schema: Option<PathBuf>,
    /// Columns with a meaning of their own.
    pub roles: RoleColumns,
    /// Name of the label that counts as 1 where labels are names, such as `fraud`; every other name counts as 0.
    pub positive_label: Option<String>,
    /// Of each of several classes its name and the column of its score, 32 at most; empty if there is one score only.
    pub class_scores: Vec<(String, String)>,
    /// The quantile of the label that the score foretells, above 0 and below 1; none by default.
    pub quantile: Option<f64>,
    /// Columns left out.
    pub ignore: Vec<String>,
    /// Column (or field of the event's `segment`) that splits the baseline.
    pub segment_field: Option<String>,
    /// Most pairs of numeric columns whose correlation is watched.
    pub pairs: usize,
    /// Random features of all columns together, for the maximum mean discrepancy; none by default.
    pub mmd: Option<usize>,
    /// Most cut points of a numeric column.
    pub points: usize,
    /// Most categories of a column; the mass of the others sits in the `unseen` cell.
    pub max_categories: usize,
    /// Most baseline windows.
    pub max_windows: usize,
    /// Length of the windows that are judged under the false-alarm budget, in milliseconds.
    pub window_ms: Millis,
    /// Time zone whose days and weeks the traffic follows.
    pub time_zone: chrono_tz::Tz,
    /// Commit of the training code.
    pub git_commit: Option<String>,
    /// Person or job that creates the reference.
    pub creator: Option<String>,
    /// Free text.
    pub notes: Option<String>,
    /// Wall-clock time written into the provenance, and so into the reference's identity.
    pub created_at: Millis,
    /// Whether a progress bar is drawn when standard error is a terminal.
    pub progress: bool,
}

/// Most cut points or categories that can be asked for.
const MAX_ASKED: usize = 10_000;

impl BaselineOptions {
    /// The defaults for a model version and a file.
    #[must_use]
    pub fn new(model: &str, version: &str, source: impl Into<PathBuf>) -> Self {
        Self {
            model: model.to_owned(),
            version: version.to_owned(),
            source: source.into(),
            format: None,
            schema: None,
            roles: RoleColumns::default(),
            ignore: vec!["id".to_owned(), "label_ts".to_owned()],
            segment_field: None,
            pairs: usize::MAX,
            mmd: None,
            points: 256,
            max_categories: 500,
            max_windows: 2_048,
            window_ms: 3_600_000,
            positive_label: None,
            class_scores: Vec::new(),
            quantile: None,
            time_zone: chrono_tz::UTC,
            git_commit: None,
            creator: None,
            notes: None,
            created_at: 0,
            progress: false,
        }
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        check_model(&self.model)?;
        parse_version(&self.version)?;
        let within = |option, got: usize, least: usize| {
            if (least..=MAX_ASKED).contains(&got) {
                return Ok(());
            }
            let expected = format!("{least} to {MAX_ASKED}");
            Err(BuildError::Option { option, got: got.to_string(), expected })
        };
        self.check_class_scores()?;
        if let Some(share) = self.quantile.filter(|share| !is_quantile(*share)) {
            let expected = "a number above 0 and below 1, such as 0.9".to_owned();
            return Err(BuildError::Option { option: "--quantile", got: share.to_string(), expected });
        }
        within("--points", self.points, 10)?;
        within("--max-categories", self.max_categories, 1)?;
        within("the number of baseline windows", self.max_windows, 1)
    }

    fn check_class_scores(&self) -> Result<(), BuildError> {
        let refused = |got: String, expected: &str| {
            Err(BuildError::Option { option: "--class-score", got, expected: expected.to_owned() })
        };
        let named = &self.class_scores;
        if !named.is_empty() && !(2..=MOST_CLASS_SCORES).contains(&named.len()) {
            let expected = format!("one for each class, 2 to {MOST_CLASS_SCORES}");
            return refused(format!("given {} times", named.len()), &expected);
        }
        if !named.is_empty() && self.positive_label.is_some() {
            return refused("given with --positive-label".to_owned(), "one of the two");
        }
        let twice = |(at, (class, column)): (usize, &(String, String))| {
            let before = named.iter().take(at);
            before.clone().any(|(other, _)| other == class)
                || before.clone().any(|(_, other)| other == column)
        };
        match named.iter().enumerate().find(|one| twice(*one)) {
            Some((_, (class, column))) => {
                refused(format!("{class}={column}"), "each class and each column once")
            }
            None => Ok(()),
        }
    }
}
