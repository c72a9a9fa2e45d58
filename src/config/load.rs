//! From text to a checked [`Config`], with all problems at once.

use std::path::Path;

use serde_json::Value;

use super::structure::{self, Deviation};
use super::{Config, ConfigErrors, Problem, meaning};

/// Reads and checks a configuration file.
///
/// # Errors
/// When the file cannot be read, is not YAML, or is not a usable configuration; then with all its problems.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let failed = |source| ConfigErrors::Unreadable { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse(&text, &path.display().to_string())
}

/// Checks the text of a configuration; `origin` names it in messages.
///
/// # Errors
/// When the text is not YAML or not a usable configuration; then with all its problems.
///
/// ```
/// use anchorwatch::config;
/// let text = "kafka: {bootstrap: 'localhost:9092', topics: [predictions]}\nwindow: {pane: 1m}";
/// let errors = config::parse(text, "anchorwatch.yaml").expect_err("a misspelt section");
/// assert_eq!(errors.to_string(), "window: unknown field, did you mean `windows`?");
/// ```
pub fn parse(text: &str, origin: &str) -> Result<Config, ConfigErrors> {
    let value = match yaml(text, origin)? {
        Value::Null => Value::Object(serde_json::Map::new()),
        value => value,
    };
    let deviations = structure::deviations(&value);
    if deviations.is_empty() {
        let config: Config = serde_json::from_value(value)
            .map_err(|error| ConfigErrors::Problems(vec![Problem::at("", error.to_string())]))?;
        let problems = meaning::problems(&config);
        return if problems.is_empty() { Ok(config) } else { Err(ConfigErrors::Problems(problems)) };
    }
    let further = further_problems(value, &deviations);
    let mut problems: Vec<_> = deviations.into_iter().map(|deviation| deviation.problem).collect();
    problems.extend(further);
    Err(ConfigErrors::Problems(problems))
}

/// What the parser adds to its messages for programmers, or says twice.
const ADVICE_TO_PROGRAMMERS: [&str; 3] = [", set DuplicateKeyPolicy", "; use from_str", " at line "];

fn yaml(text: &str, origin: &str) -> Result<Value, ConfigErrors> {
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let location = error.location();
        let message = error.without_snippet().to_string();
        let message = ADVICE_TO_PROGRAMMERS.iter().fold(message.as_str(), |text, advice| {
            text.split_once(advice).map_or(text, |(before, _)| before)
        });
        ConfigErrors::Syntax {
            origin: origin.to_owned(),
            line: location.map_or(0, |location| location.line()),
            column: location.map_or(0, |location| location.column()),
            message: format!("not usable YAML: {message}"),
        }
    })
}

/// Problems of meaning in what is left when the deviating parts are taken out, so that one round of corrections is enough.
fn further_problems(mut value: Value, deviations: &[Deviation]) -> Vec<Problem> {
    for deviation in deviations.iter().filter(|deviation| deviation.problem.what != structure::EMPTY) {
        remove(&mut value, &deviation.pointer);
    }
    let Ok(config) = serde_json::from_value::<Config>(value) else { return Vec::new() };
    let mut problems = meaning::problems(&config);
    problems.retain(|problem| {
        !deviations.iter().any(|deviation| section(&deviation.problem) == section(problem))
    });
    problems
}

/// Two problems of one section may have one cause.
fn section(problem: &Problem) -> &str {
    problem.path.split(['.', '[']).next().unwrap_or_default()
}

/// Takes out the node, or the outermost list on the way to it, so that no index of another problem moves.
fn remove(value: &mut Value, pointer: &str) {
    let mut here = value;
    let mut segments = pointer.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let name = segment.replace("~1", "/").replace("~0", "~");
        let Some(fields) = here.as_object_mut() else { return };
        if segments.peek().is_none() || fields.get(&name).is_some_and(Value::is_array) {
            fields.remove(&name);
            return;
        }
        match fields.get_mut(&name) {
            Some(next) => here = next,
            None => return,
        }
    }
}

/// The JSON Schema of a configuration file, for editors and `anchorwatch schema config`.
#[must_use]
pub fn json_schema() -> Value {
    schemars::schema_for!(Config).to_value()
}
