//! Reading a JSON Schema rule aloud: what it expects, and which names it knows.

use serde_json::Value;

/// All alternatives of a rule: itself, or the leaves below its `oneOf` and `anyOf`.
pub(super) fn alternatives(rule: &Value) -> Vec<&Value> {
    let choices = ["oneOf", "anyOf"].into_iter().find_map(|key| rule[key].as_array());
    match choices {
        Some(choices) => choices.iter().flat_map(alternatives).collect(),
        None => vec![rule],
    }
}

/// The texts that a rule accepts, if it is a choice between texts.
pub(super) fn constants(rule: &Value) -> Vec<&str> {
    alternatives(rule).into_iter().filter_map(|leaf| leaf["const"].as_str()).collect()
}

/// The keys of a choice between mappings with one key each, sorted.
pub(super) fn single_keys(rule: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = alternatives(rule).into_iter().filter_map(single_key).collect();
    keys.sort_unstable();
    keys
}

/// The key of a mapping that consists of one key.
pub(super) fn single_key(leaf: &Value) -> Option<&str> {
    let properties = leaf["properties"].as_object()?;
    let name = properties.keys().next()?.as_str();
    (properties.len() == 1 && leaf["required"].as_array().is_some_and(|names| names.len() == 1))
        .then_some(name)
}

/// The values of the tag `type`, if the rule is a choice between tagged mappings.
pub(super) fn tags(rule: &Value) -> Vec<&str> {
    alternatives(rule).into_iter().filter_map(tag).collect()
}

/// The value that the tag `type` must have.
pub(super) fn tag(leaf: &Value) -> Option<&str> {
    leaf["properties"]["type"]["const"].as_str()
}

/// Whether the rule says where a secret is read, so that what stands there must not be shown.
pub(super) fn is_secret(rule: &Value) -> bool {
    single_keys(rule) == ["env", "file"]
}

/// What a rule expects, in words.
pub(super) fn expectation(rule: &Value) -> String {
    let mut ways = Vec::new();
    let texts = constants(rule);
    if !texts.is_empty() {
        ways.push(format!("one of {}", list(texts.into_iter())));
    }
    for key in single_keys(rule) {
        ways.push(format!("`{{{key}: …}}`"));
    }
    if ways.is_empty() {
        let leaf = alternatives(rule).into_iter().find(|leaf| !leaf["type"].is_null());
        ways.push(leaf.map_or_else(|| "another value".to_owned(), leaf_expectation));
    }
    ways.join(" or ")
}

fn leaf_expectation(leaf: &Value) -> String {
    if leaf["pattern"].as_str().is_some_and(|pattern| pattern.contains("ms|s|m|h|d")) {
        return "a length of time such as `90s`, `15m` or `24h`".to_owned();
    }
    match leaf["type"].as_str().or_else(|| leaf["type"][0].as_str()).unwrap_or_default() {
        "integer" => format!("a whole number{}", bounds(leaf)),
        "number" => format!("a number{}", bounds(leaf)),
        "boolean" => "`true` or `false`".to_owned(),
        "array" if leaf["minItems"].is_u64() => "a list of at least one item".to_owned(),
        "array" => match &leaf["maxItems"] {
            Value::Number(most) => format!("a list of at most {most} items"),
            _ => "a list".to_owned(),
        },
        "object" => "a mapping".to_owned(),
        _ => "a text".to_owned(),
    }
}

fn bounds(leaf: &Value) -> String {
    let words = [
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    ];
    let known = words.into_iter().filter(|(key, _)| leaf[key].is_number());
    let parts: Vec<_> = known.map(|(key, word)| format!("{word} {}", leaf[key])).collect();
    if parts.is_empty() { String::new() } else { format!(" {}", parts.join(" and ")) }
}

/// Names in backticks, separated by commas.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
