//! What is wrong with a configuration, one problem per line, in the words of the person who wrote it.

use std::fmt;
use std::path::PathBuf;

/// One thing to correct: where, what was found, what was expected and perhaps what was meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// Place in the file, `windows.horizons[1].every`; empty for the file as a whole.
    pub path: String,
    /// What is wrong there.
    pub what: String,
    /// What would be right.
    pub expected: Option<String>,
    /// The nearest known name.
    pub did_you_mean: Option<String>,
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn at(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), ..Self::default() }
    }

    /// The same problem with what would be right.
    #[must_use]
    pub fn expected(self, expected: impl Into<String>) -> Self {
        Self { expected: Some(expected.into()), ..self }
    }

    /// The same problem with the nearest of the known names, if one is near.
    #[must_use]
    pub fn nearest<'a>(self, found: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self { did_you_mean: nearest(found, known).map(str::to_owned), ..self }
    }
}

/// Similarity below which a suggestion confuses more than it helps.
const SIMILAR_ENOUGH: f64 = 0.7;

fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&found, name), name))
        .filter(|(similarity, _)| *similarity >= SIMILAR_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        if let Some(expected) = &self.expected {
            write!(f, ", expected {expected}")?;
        }
        if let Some(name) = &self.did_you_mean {
            write!(f, ", did you mean `{name}`?")?;
        }
        Ok(())
    }
}

/// Why a configuration cannot be used. `Display` gives one line per problem.
#[derive(Debug, thiserror::Error)]
pub enum ConfigErrors {
    /// The file cannot be read.
    #[error("{path}: {source}; name the configuration file as in `anchorwatch check anchorwatch.yaml`")]
    Unreadable {
        /// File named on the command line.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not YAML.
    #[error("{origin}{}: {message}", place(*line, *column))]
    Syntax {
        /// File, or another name of the text.
        origin: String,
        /// Line, from 1; 0 if not known.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What the parser expected.
        message: String,
    },
    /// It is YAML, but not a usable configuration.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
}

impl ConfigErrors {
    /// The problems of a well-formed file; empty for the other cases.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Problems(problems) => problems,
            Self::Unreadable { .. } | Self::Syntax { .. } => &[],
        }
    }
}

fn place(line: u64, column: u64) -> String {
    match line {
        0 => String::new(),
        _ => format!(":{line}:{column}"),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
