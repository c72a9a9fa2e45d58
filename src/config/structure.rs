//! The shape of a configuration: every deviation from the JSON Schema as a [`Problem`].
//!
//! The schema is the one that `anchorwatch schema config` prints, with its references inlined, so that an editor and
//! the program refuse the same. A choice (`oneOf`) is followed into the alternative that was meant, because "valid
//! under none of the schemas" helps nobody.

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::rule::{
    alternatives, constants, expectation, is_secret, list, single_key, single_keys, tag, tags,
};
use super::{Config, Problem, REDACTED};

/// Longest offending value that is quoted in full.
const MAX_QUOTED: usize = 60;

/// What is said about an empty text or list, whose type is right.
pub(super) const EMPTY: &str = "is empty";

/// How an absent value is quoted.
const NOTHING: &str = "nothing";

/// A problem with the JSON pointer of the node that causes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deviation {
    pub(super) pointer: String,
    pub(super) problem: Problem,
}

/// The schema with its references inlined.
pub(super) fn inlined_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Config>().to_value()
}

/// All deviations from the shape, in the order of their paths.
pub(super) fn deviations(value: &Value) -> Vec<Deviation> {
    let mut found = Vec::new();
    check(&inlined_schema(), value, "", &mut found);
    found.sort_by(|a, b| (&a.problem.path, &a.problem.what).cmp(&(&b.problem.path, &b.problem.what)));
    found.dedup();
    found
}

fn check(rule: &Value, value: &Value, pointer: &str, found: &mut Vec<Deviation>) {
    match Validator::new(rule) {
        Ok(validator) => validator.iter_errors(value).for_each(|error| explain(rule, &error, pointer, found)),
        Err(error) => {
            let problem = Problem::at("", format!("the built-in schema is broken: {error}"));
            found.push(Deviation { pointer: String::new(), problem });
        }
    }
}

fn explain(root: &Value, error: &ValidationError<'_>, base: &str, found: &mut Vec<Deviation>) {
    let pointer = format!("{base}{}", error.instance_path().as_str());
    let rule = parent_rule(root, error.schema_path().as_str());
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            let known: Vec<_> = rule["properties"].as_object().into_iter().flatten().collect();
            let known = || known.iter().map(|(name, _)| name.as_str());
            found.extend(unexpected.iter().map(|name| unknown_field(&pointer, name, known())));
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let problem = Problem::at(path_of(&child(&pointer, name)), "missing");
            let problem = problem.expected(expectation(&rule["properties"][name]));
            found.push(Deviation { pointer, problem });
        }
        Kind::OneOfNotValid { .. } | Kind::AnyOf { .. } => choice(rule, error.instance(), &pointer, found),
        Kind::PropertyNames { error } => {
            let name = error.instance().as_str().unwrap_or_default().to_owned();
            let known: Vec<_> = names_of(rule).into_iter().chain(names_of(&rule["propertyNames"])).collect();
            found.push(unknown_field(&pointer, &name, known.into_iter()));
        }
        kind => {
            let what = wrong(kind, &quote(error.instance(), rule));
            let problem = Problem::at(path_of(&pointer), what).expected(expectation(rule));
            found.push(Deviation { pointer, problem });
        }
    }
}

fn names_of(rule: &Value) -> Vec<&str> {
    rule["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn unknown_field<'a>(parent: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Deviation {
    let pointer = child(parent, name);
    let problem = Problem::at(path_of(&pointer), "unknown field").nearest(name, known.clone());
    let problem = match problem.did_you_mean {
        Some(_) => problem,
        None => problem.expected(format!("one of {}", list(known))),
    };
    Deviation { pointer, problem }
}

fn wrong(kind: &Kind, quoted: &str) -> String {
    match kind {
        Kind::MinItems { .. } | Kind::MinLength { .. } => EMPTY.to_owned(),
        _ if quoted == NOTHING => "has no value".to_owned(),
        Kind::Type { .. } | Kind::Pattern { .. } | Kind::Enum { .. } | Kind::Constant { .. } => {
            format!("{quoted} is not understood")
        }
        _ => format!("{quoted} is out of range"),
    }
}

/// Follows a choice into the alternative that was meant, or says what the alternatives are.
fn choice(rule: &Value, value: &Value, pointer: &str, found: &mut Vec<Deviation>) {
    if let Some(leaf) = meant(rule, value) {
        return check(leaf, value, pointer, found);
    }
    let tags = tags(rule);
    let (pointer, what, known) = match value.as_object() {
        Some(map) if !tags.is_empty() => match map.get("type") {
            None => (child(pointer, "type"), "missing".to_owned(), tags),
            Some(found) => {
                (child(pointer, "type"), format!("{} is not understood", quote(found, rule)), tags)
            }
        },
        _ => (pointer.to_owned(), format!("{} is not understood", quote(value, rule)), Vec::new()),
    };
    let text = value.as_str().or_else(|| value["type"].as_str()).unwrap_or_default();
    let expected =
        if known.is_empty() { expectation(rule) } else { format!("one of {}", list(known.iter().copied())) };
    let names = if known.is_empty() { constants(rule) } else { known };
    let problem = Problem::at(path_of(&pointer), what).expected(expected).nearest(text, names);
    found.push(Deviation { pointer, problem });
}

/// The alternative that the value was meant to be: same tag, same single key, or the only one of its type.
fn meant<'a>(rule: &'a Value, value: &Value) -> Option<&'a Value> {
    let leaves = alternatives(rule);
    let is_choice_of_keys = !single_keys(rule).is_empty();
    let fits = |leaf: &&Value| match (value, tag(leaf), single_key(leaf)) {
        (Value::Object(map), Some(tag), _) => map.get("type").is_some_and(|found| found == tag),
        (Value::Object(map), None, Some(key)) if is_choice_of_keys => map.contains_key(key),
        _ => leaf["const"].is_null() && leaf["type"] == type_name(value),
    };
    leaves.into_iter().find(fits)
}

const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The schema object that holds the violated keyword; references of recursive types are followed.
fn parent_rule<'a>(root: &'a Value, pointer: &str) -> &'a Value {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    let mut rule = root;
    for segment in parent.split('/').skip(1) {
        rule = if segment == "$ref" { referred(root, rule) } else { at(rule, segment) };
    }
    rule
}

fn referred<'a>(root: &'a Value, rule: &Value) -> &'a Value {
    let target = rule["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|target| root.pointer(target)).unwrap_or(&Value::Null)
}

fn at<'a>(rule: &'a Value, segment: &str) -> &'a Value {
    match segment.parse::<usize>() {
        Ok(index) if rule.is_array() => &rule[index],
        _ => &rule[plain(segment)],
    }
}

fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// `/windows/horizons/1/every` as `windows.horizons[1].every`.
pub(super) fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let is_index = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        match (is_index, path.is_empty()) {
            (true, _) => path.extend(["[", segment, "]"]),
            (false, true) => path.push_str(&plain(segment)),
            (false, false) => path.extend([".", &plain(segment)]),
        }
    }
    path
}

fn plain(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// The offending value, unless it stands where a secret may have been written by mistake.
fn quote(value: &Value, rule: &Value) -> String {
    let text = match value {
        Value::String(_) if is_secret(rule) => REDACTED.to_owned(),
        Value::String(text) => text.clone(),
        Value::Null => return NOTHING.to_owned(),
        Value::Array(_) => return "a list".to_owned(),
        Value::Object(_) => return "a mapping".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    let short: String = text.chars().take(MAX_QUOTED).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("`{short}{dots}`")
}
