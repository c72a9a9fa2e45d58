//! The page `docs/guide/configuration.md`, written from the JSON Schema so that it cannot lie.

use std::fmt::Write as _;

use serde_json::Value;

use super::rule::{alternatives, expectation, single_keys, tag};
use super::structure::inlined_schema;

const HEAD: &str = "# Configuration

One YAML file. `anchorwatch check FILE` reports all its problems at once, `anchorwatch check --print FILE` prints it with
every default filled in, and `anchorwatch schema config` prints its JSON Schema for editors. An annotated example is
`deploy/examples/anchorwatch.yaml`. Unknown fields and duplicate keys are refused. Only `kafka` is required.

<!-- Generated from src/config/tree.rs: UPDATE_DOCS=1 cargo test --lib generated_pages -->
";

/// The reference of all fields as Markdown.
#[must_use]
pub fn reference_page() -> String {
    let schema = inlined_schema();
    let mut page = HEAD.to_owned();
    let mut plain = String::new();
    for (name, rule) in schema["properties"].as_object().into_iter().flatten() {
        match has_fields(rule) {
            true => section(&mut page, name, rule),
            false => row(&mut plain, name, rule, false),
        }
    }
    _ = write!(page, "\n## Other\n\n{TABLE_HEAD}{plain}");
    page
}

const TABLE_HEAD: &str = "| field | expects | default | meaning |\n|---|---|---|---|\n";

fn section(page: &mut String, name: &str, rule: &Value) {
    _ = write!(page, "\n## {name}\n\n{}\n", text(&rule["description"]));
    let items = if rule["items"].is_object() { &rule["items"] } else { rule };
    let prefix = if rule["items"].is_object() { format!("{name}[]") } else { name.to_owned() };
    let types: Vec<_> = alternatives(items).into_iter().filter(|leaf| tag(leaf).is_some()).collect();
    if types.is_empty() {
        _ = write!(page, "\n{TABLE_HEAD}");
        return fields(page, &prefix, items);
    }
    for leaf in types {
        _ = write!(page, "\n### {prefix} of type {}\n\n", tag(leaf).unwrap_or_default());
        _ = write!(page, "{}\n\n{TABLE_HEAD}", text(&leaf["description"]));
        fields(page, &prefix, leaf);
    }
}

fn fields(page: &mut String, prefix: &str, rule: &Value) {
    let required =
        |name: &str| rule["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    for (name, field) in rule["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}.{name}");
        if field["items"]["properties"].is_object() {
            row(page, &path, field, required(name));
            fields(page, &format!("{path}[]"), &field["items"]);
        } else if field["properties"].is_object() {
            fields(page, &path, field);
        } else if let Some(mapping) = optional_mapping(field) {
            row(page, &path, field, required(name));
            fields(page, &path, mapping);
        } else {
            row(page, &path, field, required(name));
        }
    }
}

/// The mapping that may be left out as a whole.
fn optional_mapping(rule: &Value) -> Option<&Value> {
    let is_optional = rule["anyOf"].is_array() && single_keys(rule).is_empty();
    let mapping = |leaf: &&Value| leaf["properties"].is_object() && tag(leaf).is_none();
    is_optional.then(|| alternatives(rule).into_iter().find(mapping)).flatten()
}

fn has_fields(rule: &Value) -> bool {
    rule["properties"].is_object()
        || rule["items"]["properties"].is_object()
        || alternatives(&rule["items"]).into_iter().any(|leaf| tag(leaf).is_some())
}

fn row(page: &mut String, path: &str, rule: &Value, required: bool) {
    let default = match &rule["default"] {
        Value::Null if required => "**required**".to_owned(),
        Value::Null => "–".to_owned(),
        value => format!("`{}`", shown(value)),
    };
    let expects = match &rule["items"] {
        Value::Null => expectation(rule),
        items if items["$ref"].is_string() => "a list of such mappings".to_owned(),
        items if !items["properties"].is_object() && single_keys(items).is_empty() => {
            format!("a list of {}", expectation(items))
        }
        _ => expectation(rule),
    };
    _ = writeln!(page, "| `{path}` | {expects} | {default} | {} |", text(&rule["description"]));
}

/// A default as one would write it in the file.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let present = fields.iter().filter(|(_, field)| !field.is_null());
            let parts: Vec<_> = present.map(|(name, field)| format!("{name}: {}", shown(field))).collect();
            format!("{{{}}}", parts.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}
