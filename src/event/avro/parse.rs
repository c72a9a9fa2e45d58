//! From the JSON of a schema to its nodes. Whatever a schema says, this takes bounded time and memory.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::schema::{Child, MAX_NODES, MAX_SCHEMA_BYTES, Node, NodeId, Schema, SchemaError, Stretch, Tick};

/// Greatest scale of a decimal; what is beyond is read as bytes.
const MAX_SCALE: u64 = 1_000;

pub(super) fn schema(text: &str, references: &[&str]) -> Result<Schema, SchemaError> {
    let mut parser = Parser::default();
    for reference in references {
        parser.text(reference)?;
    }
    let root = parser.text(text)?;
    parser.finish(root)
}

/// What was read so far.
#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    children: Vec<Child>,
    symbols: Vec<Box<str>>,
    /// Named types by their full name.
    named: HashMap<String, NodeId>,
    /// Full names of records, to tell of them.
    records: HashMap<NodeId, String>,
    /// Name of the record and field that are being read.
    place: Vec<String>,
}

impl Parser {
    fn text(&mut self, text: &str) -> Result<NodeId, SchemaError> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooLarge { what: "bytes", limit: MAX_SCHEMA_BYTES });
        }
        let value = serde_json::from_str(text).map_err(|error| SchemaError::Json(error.to_string()))?;
        self.read(&value, "")
    }

    fn wrong(&self, problem: impl Into<String>) -> SchemaError {
        let place = if self.place.is_empty() { "at its top".to_owned() } else { self.place.join(".") };
        SchemaError::Type { place, problem: problem.into() }
    }

    fn put(&mut self, node: Node) -> Result<NodeId, SchemaError> {
        if self.nodes.len() + self.children.len() + self.symbols.len() >= MAX_NODES {
            return Err(SchemaError::TooLarge { what: "types, fields and symbols", limit: MAX_NODES });
        }
        self.nodes.push(node);
        Ok(self.nodes.len() as NodeId - 1)
    }

    fn read(&mut self, value: &Value, namespace: &str) -> Result<NodeId, SchemaError> {
        match value {
            Value::String(name) => self.of_name(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => self.of_object(kind, object, namespace),
                Some(inner) => self.read(inner, namespace),
                None => Err(self.wrong("an object without `type`")),
            },
            _ => Err(self.wrong("neither a name, an object nor a list")),
        }
    }

    fn of_name(&mut self, name: &str, namespace: &str) -> Result<NodeId, SchemaError> {
        if let Some(node) = primitive(name) {
            return self.put(node);
        }
        let qualified = qualified(name, namespace);
        let found = self.named.get(&qualified).or_else(|| self.named.get(name));
        found.copied().ok_or_else(|| self.wrong(format!("there is no type `{name}`")))
    }

    fn of_object(
        &mut self,
        kind: &str,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<NodeId, SchemaError> {
        let part = |name: &str| object.get(name).unwrap_or(&Value::Null);
        match kind {
            "record" | "error" => self.record(object, namespace),
            "enum" => self.symbols(object, namespace),
            "fixed" => self.fixed(object, namespace),
            "array" => {
                let items = self.read(part("items"), namespace)?;
                self.put(Node::Array(items))
            }
            "map" => {
                let values = self.read(part("values"), namespace)?;
                self.put(Node::Map(values))
            }
            _ => match primitive(kind) {
                Some(node) => self.put(logical(node, object)),
                None => self.of_name(kind, namespace),
            },
        }
    }

    /// Full name of a type that is defined here, and the namespace of what stands in it.
    fn define(&self, object: &Map<String, Value>, namespace: &str) -> Result<(String, String), SchemaError> {
        let name = object.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| self.wrong("a record, enum or fixed without `name`"))?;
        let own = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full = qualified(name, own);
        if primitive(&full).is_some() || self.named.contains_key(&full) {
            return Err(self.wrong(format!("`{full}` is defined twice")));
        }
        let inner = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        Ok((full, inner))
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<NodeId, SchemaError> {
        let (full, namespace) = self.define(object, namespace)?;
        // Its fields may name it.
        let id = self.put(Node::Record(Stretch::default()))?;
        self.named.insert(full.clone(), id);
        let outer = std::mem::replace(&mut self.place, vec![full.clone()]);
        self.records.insert(id, full);
        let Some(Value::Array(fields)) = object.get("fields") else {
            return Err(self.wrong("a record without a list of `fields`"));
        };
        let mut children = Vec::new();
        let mut names = HashSet::new();
        for field in fields {
            let name = field.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| self.wrong("a field without `name`"))?;
            if !names.insert(name) {
                return Err(self.wrong(format!("two fields are named `{name}`")));
            }
            self.place.push(name.to_owned());
            let kind = field.get("type").ok_or_else(|| self.wrong("a field without `type`"))?;
            let node = self.read(kind, &namespace)?;
            self.place.pop();
            children.push(Child { node, name: name.into() });
        }
        self.place = outer;
        let stretch = self.keep(children)?;
        self.nodes[id as usize] = Node::Record(stretch);
        Ok(id)
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<NodeId, SchemaError> {
        let mut children = Vec::new();
        for branch in branches {
            if branch.is_array() {
                return Err(self.wrong("a union directly in a union"));
            }
            children.push(Child { node: self.read(branch, namespace)?, name: Box::default() });
        }
        let null = |child: &Child| self.nodes[child.node as usize] == Node::Null;
        match children.as_slice() {
            [] => Err(self.wrong("a union of nothing")),
            [first, second] if null(first) != null(second) => {
                let null = u8::from(null(second));
                let other = if null == 0 { second.node } else { first.node };
                self.put(Node::Nullable { null, other })
            }
            _ => {
                let stretch = self.keep(children)?;
                self.put(Node::Union(stretch))
            }
        }
    }

    fn symbols(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<NodeId, SchemaError> {
        let (full, _) = self.define(object, namespace)?;
        let Some(Value::Array(symbols)) = object.get("symbols") else {
            return Err(self.wrong("an enum without a list of `symbols`"));
        };
        let start = self.symbols.len() as u32;
        for symbol in symbols {
            let text = symbol.as_str().ok_or_else(|| self.wrong("a symbol that is no text"))?;
            self.symbols.push(text.into());
        }
        let id = self.put(Node::Enum(Stretch { start, len: symbols.len() as u32 }))?;
        self.named.insert(full, id);
        Ok(id)
    }

    fn fixed(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<NodeId, SchemaError> {
        let (full, _) = self.define(object, namespace)?;
        let size = object.get("size").and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok());
        let size = size.ok_or_else(|| self.wrong("a fixed without `size`"))?;
        let id = self.put(logical(Node::Fixed(size), object))?;
        self.named.insert(full, id);
        Ok(id)
    }

    fn keep(&mut self, children: Vec<Child>) -> Result<Stretch, SchemaError> {
        let stretch = Stretch { start: self.children.len() as u32, len: children.len() as u32 };
        self.children.extend(children);
        if self.children.len() > MAX_NODES {
            return Err(SchemaError::TooLarge { what: "types, fields and symbols", limit: MAX_NODES });
        }
        Ok(stretch)
    }

    fn finish(self, root: NodeId) -> Result<Schema, SchemaError> {
        let Self { nodes, children, symbols, records, .. } = self;
        let mut schema = Schema {
            root,
            empty: vec![None; nodes.len()],
            solid: vec![(Stretch::default(), 0); nodes.len()],
            solid_children: Vec::new(),
            nodes,
            children,
            symbols,
        };
        if let Some(endless) = endless(&schema) {
            return Err(SchemaError::Endless(records.get(&endless).cloned().unwrap_or_default()));
        }
        let is_record = |id: &NodeId| matches!(schema.node(*id), Node::Record(_));
        if !schema.branches(root).iter().any(is_record) {
            return Err(SchemaError::NoRecord);
        }
        measure(&mut schema);
        Ok(schema)
    }
}

/// Name with its namespace.
fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn primitive(name: &str) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::Text,
        _ => return None,
    })
}

/// The same type with the meaning that its object gives it. An unknown meaning is none, as Avro says.
fn logical(node: Node, object: &Map<String, Value>) -> Node {
    let size = match node {
        Node::Fixed(size) => Some(size),
        _ => None,
    };
    match (object.get("logicalType").and_then(Value::as_str), node) {
        (Some("timestamp-millis"), Node::Long) => Node::Time(Tick::Milli),
        (Some("timestamp-micros"), Node::Long) => Node::Time(Tick::Micro),
        (Some("timestamp-nanos"), Node::Long) => Node::Time(Tick::Nano),
        (Some("local-timestamp-millis" | "local-timestamp-micros" | "local-timestamp-nanos"), Node::Long) => {
            Node::Time(Tick::Local)
        }
        (Some("decimal"), Node::Bytes | Node::Fixed(_)) => {
            match object.get("scale").map_or(Some(0), Value::as_u64).filter(|scale| *scale <= MAX_SCALE) {
                Some(scale) => Node::Decimal { size, scale: scale as u32 },
                None => node,
            }
        }
        _ => node,
    }
}

/// Whether a value of a node can have an end, for all nodes that can; then one that cannot.
fn endless(schema: &Schema) -> Option<NodeId> {
    let mut ends = vec![false; schema.nodes.len()];
    loop {
        let mut changed = false;
        for (id, node) in schema.nodes.iter().enumerate() {
            let mut all = schema_children(schema, *node).map(|child| ends[child as usize]);
            let now = match node {
                Node::Record(_) => all.all(|ends| ends),
                Node::Union(_) => all.any(|ends| ends),
                _ => true,
            };
            changed |= now && !ends[id];
            ends[id] |= now;
        }
        if !changed {
            let endless = |id: &usize| !ends[*id] && matches!(schema.nodes[*id], Node::Record(_));
            return (0..ends.len()).find(endless).map(|id| id as NodeId);
        }
    }
}

fn schema_children(schema: &Schema, node: Node) -> impl Iterator<Item = NodeId> {
    let stretch = match node {
        Node::Record(stretch) | Node::Union(stretch) => stretch,
        _ => Stretch::default(),
    };
    schema.children(stretch).iter().map(|child| child.node)
}

/// Finds what takes no bytes, and what of each record does. Without it a few bytes could name any number of such values.
fn measure(schema: &mut Schema) {
    loop {
        let mut changed = false;
        for id in 0..schema.nodes.len() {
            let depth = match schema.nodes[id] {
                Node::Null | Node::Fixed(0) | Node::Decimal { size: Some(0), .. } => Some(0),
                Node::Record(fields) => {
                    let mut depths =
                        schema.children(fields).iter().map(|field| schema.empty[field.node as usize]);
                    let deepest = depths.try_fold(0, |deepest, depth| Some(depth?.max(deepest)));
                    deepest.map(|deepest: u32| deepest + u32::from(fields.len > 0))
                }
                _ => None,
            };
            changed |= depth != schema.empty[id];
            schema.empty[id] = depth;
        }
        if !changed {
            break;
        }
    }
    for id in 0..schema.nodes.len() {
        let Node::Record(fields) = schema.nodes[id] else { continue };
        let start = schema.solid_children.len() as u32;
        let mut deepest = 0;
        for place in fields.range() {
            let node = schema.children[place].node;
            match schema.empty[node as usize] {
                Some(depth) => deepest = deepest.max(depth),
                None => schema.solid_children.push(node),
            }
        }
        let len = schema.solid_children.len() as u32 - start;
        schema.solid[id] = (Stretch { start, len }, deepest);
    }
}
