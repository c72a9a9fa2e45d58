//! Secrets: the configuration names where one is read; its value is never printed.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stands in place of a secret wherever it could be shown.
pub const REDACTED: &str = "***";

/// Where a secret is read; it is never printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// First line of this file.
    File(PathBuf),
    /// This environment variable.
    Env(String),
}

/// The value of a secret. `Debug` and `Display` show `***`.
///
/// ```
/// # fn main() -> Result<(), anchorwatch::config::SecretError> {
/// use anchorwatch::config::SecretSource;
/// let secret = SecretSource::Env("PATH".into()).read()?;
/// assert_eq!(format!("{secret} {secret:?}"), "*** ***");
/// assert!(!secret.expose().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself; only for the request that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the file {path} cannot be read ({source})")]
    File {
        /// File named by the configuration.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The variable is not set, or not Unicode.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// There is nothing in it.
    #[error("{0} is empty")]
    Empty(String),
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// When the file cannot be read, the variable is not set, or the secret is empty.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let (text, place) = match self {
            Self::File(path) => {
                let failed = |source| SecretError::File { path: path.clone(), source };
                (std::fs::read_to_string(path).map_err(failed)?, format!("the file {}", path.display()))
            }
            Self::Env(name) => {
                let text = std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?;
                (text, format!("the environment variable {name}"))
            }
        };
        match text.lines().next().map(str::trim) {
            None | Some("") => Err(SecretError::Empty(place)),
            Some(line) => Ok(Secret(line.to_owned())),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
        }
    }
}
