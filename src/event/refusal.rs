//! Why a record is not counted. Each reason is a label of `records_refused_total` and of the dead-letter pointer.

/// A reason to refuse a record. Details never carry a value of the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No payload: a tombstone.
    #[error("the record has no value")]
    Empty,
    /// Larger than `events.max_bytes`.
    #[error("the value has {bytes} bytes, more than events.max_bytes = {limit}")]
    TooLarge {
        /// Size of the value.
        bytes: usize,
        /// Configured bound.
        limit: usize,
    },
    /// Not JSON at all.
    #[error("not JSON: line {line} column {column}")]
    NotJson {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// Not Avro of the schema.
    #[error("not Avro of its schema: {problem}, at byte {at}")]
    NotAvro {
        /// Place of the fault, from 0.
        at: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// No schema for the number before the record.
    #[error("the schema registry has no usable Avro schema with the number {id}")]
    UnknownSchema {
        /// Number that stands before the record.
        id: u32,
    },
    /// JSON, but not an event: a field has another type than the schema says.
    #[error("field `{field}` is not {expected}")]
    WrongShape {
        /// Field of the native event.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Nested deeper than `events.max_depth`.
    #[error("nested deeper than events.max_depth = {limit}")]
    TooDeep {
        /// Configured bound.
        limit: usize,
    },
    /// More features than `events.max_features`.
    #[error("more features than events.max_features = {limit}")]
    TooManyFeatures {
        /// Configured bound.
        limit: usize,
    },
    /// The same key twice in one object.
    #[error("a key appears twice in `{object}`")]
    DuplicateKey {
        /// Object that holds the key.
        object: &'static str,
    },
    /// A feature or segment name longer than the bound.
    #[error("a name is longer than {limit} bytes")]
    NameTooLong {
        /// Bound in bytes.
        limit: usize,
    },
    /// Neither the event nor the configured place names a model.
    #[error("no model: neither the event nor the configured place names one")]
    NoModel,
    /// A prediction without a version.
    #[error("no version: neither the event nor the configured place names one")]
    NoVersion,
    /// Neither features nor a prediction nor a label.
    #[error("neither `features` nor `prediction` nor `label`: nothing to count")]
    NothingToCount,
    /// The timestamp is not one, or is implausible.
    #[error("bad timestamp: {problem}")]
    BadTimestamp {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The registry has no such model.
    #[error("the model is not registered: create a reference for it with `anchorwatch reference create`")]
    UnknownModel,
    /// The registry has the model, but no reference for this version.
    #[error("this version has no reference: create one with `anchorwatch reference create`")]
    UnknownVersion,
}

impl Refusal {
    /// Every reason, for metrics that must exist before the first refusal.
    pub const REASONS: [&'static str; 16] = [
        "empty",
        "too_large",
        "not_json",
        "not_avro",
        "unknown_schema",
        "wrong_shape",
        "too_deep",
        "too_many_features",
        "duplicate_key",
        "name_too_long",
        "no_model",
        "no_version",
        "nothing_to_count",
        "bad_timestamp",
        "unknown_model",
        "unknown_version",
    ];

    /// Label value.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too_large",
            Self::NotJson { .. } => "not_json",
            Self::NotAvro { .. } => "not_avro",
            Self::UnknownSchema { .. } => "unknown_schema",
            Self::WrongShape { .. } => "wrong_shape",
            Self::TooDeep { .. } => "too_deep",
            Self::TooManyFeatures { .. } => "too_many_features",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::NameTooLong { .. } => "name_too_long",
            Self::NoModel => "no_model",
            Self::NoVersion => "no_version",
            Self::NothingToCount => "nothing_to_count",
            Self::BadTimestamp { .. } => "bad_timestamp",
            Self::UnknownModel => "unknown_model",
            Self::UnknownVersion => "unknown_version",
        }
    }
}
