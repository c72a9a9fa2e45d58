//! A schema as a flat list of nodes, which name one another by their place.

use super::parse;

/// Largest text of a schema in bytes.
pub const MAX_SCHEMA_BYTES: usize = 1 << 20;
/// Most nodes of a schema: types, fields of records and branches of unions.
pub(super) const MAX_NODES: usize = 10_000;

/// Why a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Not JSON.
    #[error("the schema is not JSON: {0}")]
    Json(String),
    /// Larger than may be.
    #[error("the schema has more than {limit} {what}")]
    TooLarge {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A type that Avro does not have, or not like this.
    #[error("in the schema, {place}: {problem}")]
    Type {
        /// Name of the nearest record and field.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A value of this type would never end.
    #[error("in the schema, `{0}` holds itself without end")]
    Endless(String),
    /// An event is a record.
    #[error("the schema is neither a record nor a union with one: an event has fields")]
    NoRecord,
}

/// Place of a node.
pub(super) type NodeId = u32;

/// A stretch of one of the schema's lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Stretch {
    pub(super) const fn range(self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }
}

/// What a number of ticks counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tick {
    Milli,
    Micro,
    Nano,
    /// Of a time without a zone, which is no instant.
    Local,
}

/// One type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    /// A `long` that is an instant.
    Time(Tick),
    /// A number as digits, in so many bytes if they are fixed.
    Decimal {
        size: Option<u32>,
        scale: u32,
    },
    Fixed(u32),
    /// Its symbols among those of the schema.
    Enum(Stretch),
    Array(NodeId),
    Map(NodeId),
    /// Null or something else, and which branch null is.
    Nullable {
        null: u8,
        other: NodeId,
    },
    /// Its branches among the children.
    Union(Stretch),
    /// Its fields among the children.
    Record(Stretch),
}

/// A child of a record or union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) node: NodeId,
    /// Name of a record's field; empty for a branch.
    pub(super) name: Box<str>,
}

/// A schema that was read. What it says of defaults and aliases is for readers that want another schema than the writer's.
///
/// ```
/// use anchorwatch::event::avro::Schema;
///
/// let text = r#"{"type": "record", "name": "Event", "fields": [{"name": "score", "type": "double"}]}"#;
/// assert!(Schema::parse(text, &[]).is_ok());
/// assert!(Schema::parse("\"double\"", &[]).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct Schema {
    pub(super) root: NodeId,
    pub(super) nodes: Vec<Node>,
    pub(super) children: Vec<Child>,
    pub(super) symbols: Vec<Box<str>>,
    /// Depth of what takes no bytes at all, such as null; `None` for what takes some.
    pub(super) empty: Vec<Option<u32>>,
    /// For each record: its fields that take bytes, and the greatest depth of those that take none.
    pub(super) solid: Vec<(Stretch, u32)>,
    pub(super) solid_children: Vec<NodeId>,
}

impl Schema {
    /// Reads the JSON of a schema. Names that it does not define are those of `references`, each of which may use the ones
    /// before it.
    ///
    /// # Errors
    /// When it is no schema, or not one of records.
    pub fn parse(text: &str, references: &[&str]) -> Result<Self, SchemaError> {
        parse::schema(text, references)
    }

    pub(super) fn node(&self, id: NodeId) -> Node {
        self.nodes.get(id as usize).copied().unwrap_or(Node::Null)
    }

    pub(super) fn children(&self, stretch: Stretch) -> &[Child] {
        self.children.get(stretch.range()).unwrap_or_default()
    }

    /// Branches of a union, of which a type that is none has one: itself.
    pub(super) fn branches(&self, id: NodeId) -> Vec<NodeId> {
        match self.node(id) {
            Node::Nullable { other, .. } => vec![other],
            Node::Union(branches) => self.children(branches).iter().map(|branch| branch.node).collect(),
            _ => vec![id],
        }
    }
}
