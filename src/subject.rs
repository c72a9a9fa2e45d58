//! What is judged: a model, its version and, if configured, one segment of its traffic.
//!
//! Only the names live here; what is known about a subject is in `reference/`, `window/` and `alert/`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, in event time unless a name says otherwise.
pub type Millis = i64;

/// A model version, or one segment of its traffic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// Registered name, `fraud`.
    #[serde(with = "shared_text")]
    pub model: Arc<str>,
    /// Semantic version, `1.4.2`.
    #[serde(with = "shared_text")]
    pub version: Arc<str>,
    /// Value of the configured segment field, `DE`; `None` is the whole traffic of the version.
    #[serde(with = "optional_shared_text")]
    pub segment: Option<Arc<str>>,
}

impl Subject {
    /// The whole traffic of a model version.
    #[must_use]
    pub fn whole(model: &str, version: &str) -> Self {
        Self { model: model.into(), version: version.into(), segment: None }
    }

    /// One segment of the same model version.
    #[must_use]
    pub fn segment(&self, value: &str) -> Self {
        Self { segment: Some(value.into()), ..self.clone() }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.model, self.version)?;
        match &self.segment {
            Some(segment) => write!(f, " [{segment}]"),
            None => Ok(()),
        }
    }
}

/// A shared text is written as a plain one.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Into::into)
    }
}

/// The same for a text that may be absent.
mod optional_shared_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        text: &Option<Arc<str>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        text.as_deref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<str>>, D::Error> {
        Option::<String>::deserialize(deserializer).map(|text| text.map(Into::into))
    }
}
