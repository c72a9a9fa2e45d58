//! The language of templates: Jinja without what lets a value grow.
//!
//! T-1: no template takes more than a few MiB, whatever it says. Nothing that was made is kept: there is no `set`, a
//! loop only binds what was there before, and no operator multiplies. So a text grows only inside one tag, and there by
//! at most [`MAX_PARTS`] parts; what filters read and make is paid from one budget of the body. T-2: no tag is deeper
//! than the parser's stack, since it has at most [`MAX_SIGNS`] signs and words.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Kwargs, Rest, Value, from_args};
use minijinja::{Environment, Error, ErrorKind, State, filters, functions, tests};

use crate::deliver::sinks::MAX_BODY;

/// Tags that are known.
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];
/// Words after which `[` begins a list and asks for no item.
const KEYWORDS: [&str; 7] = ["in", "if", "else", "not", "and", "or", "is"];
/// Most of `~`, `+` and `,` in one tag.
const MAX_PARTS: usize = 32;
/// Most signs, words and texts in one tag.
const MAX_SIGNS: usize = 256;
/// What the filters of one body may read and make, in bytes.
const BUDGET: usize = 2 << 20;
/// What a call, and an item of a list, count for.
const CALL: usize = 64;

/// What the language does not have, and where it was used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misuse {
    pub(super) line: usize,
    pub(super) what: String,
    pub(super) hint: &'static str,
}

/// Looks through a template for what could grow. Whatever else is wrong with it is left to the parser.
pub(super) fn check(source: &str) -> Result<(), Misuse> {
    let mut line = 1;
    let mut rest = source;
    while let Some((text, tail)) = rest.split_once('{') {
        line += lines(text);
        let after = match tail.as_bytes().first() {
            Some(b'#') => {
                tail.get(1..).and_then(|comment| comment.split_once("#}")).map_or("", |(_, after)| after)
            }
            Some(b'{') => Tag::read(tail, "}}", line)?,
            Some(b'%') => Tag::read(tail, "%}", line)?,
            _ => tail,
        };
        line += lines(&tail[..tail.len() - after.len()]);
        rest = after;
    }
    Ok(())
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// A walk through one tag.
struct Tag {
    line: usize,
    /// Name of a block; `None` for what is written.
    name: Option<String>,
    parts: usize,
    signs: usize,
    /// Whether a value was read last, so that `[` asks for its item.
    after_value: bool,
}

impl Tag {
    /// Reads from the second character of a tag to behind its end.
    fn read<'s>(tail: &'s str, end: &str, line: usize) -> Result<&'s str, Misuse> {
        let mut rest = tail.get(1..).unwrap_or_default();
        rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        let name = (end == "%}").then(|| word(rest.trim_start()).to_owned());
        let mut tag = Self { line, name, parts: 0, signs: 0, after_value: false };
        if let Some(name) = tag.name.as_deref().filter(|name| !TAGS.contains(name)) {
            let hint =
                "a template keeps no values and has `if` and `for` only: write each value where it is needed";
            return Err(tag.misuse(&format!("the tag `{name}`"), hint));
        }
        while let Some(next) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix(end) {
                return Ok(after);
            }
            tag.signs += usize::from(!next.is_whitespace());
            if tag.signs > MAX_SIGNS {
                return Err(tag.misuse(
                    &format!("more than {MAX_SIGNS} signs and words in one tag"),
                    "write more tags",
                ));
            }
            rest = match next {
                '"' | '\'' => tag.string(rest, next),
                next if next.is_alphanumeric() || next == '_' => tag.word(rest)?,
                next => {
                    let after = &rest[next.len_utf8()..];
                    tag.sign(next, after.starts_with(end))?;
                    after
                }
            };
        }
        Ok(rest)
    }

    fn string<'s>(&mut self, rest: &'s str, quote: char) -> &'s str {
        self.after_value = true;
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, next)| {
            let ends = *next == quote && !escaped;
            escaped = *next == '\\' && !escaped;
            ends
        });
        end.and_then(|(at, _)| rest.get(at + 1..)).unwrap_or_default()
    }

    fn word<'s>(&mut self, rest: &'s str) -> Result<&'s str, Misuse> {
        let word = word(rest);
        self.after_value = !KEYWORDS.contains(&word);
        if self.binds() && word == "recursive" {
            return Err(self.misuse("a loop that calls itself", "write a loop inside the loop"));
        }
        Ok(&rest[word.len()..])
    }

    fn sign(&mut self, sign: char, last: bool) -> Result<(), Misuse> {
        match sign {
            '*' => return Err(self.misuse("`*`", "`{{ coverage|times(100) }}` multiplies numbers")),
            '{' => return Err(self.misuse("a map", "name what is needed instead")),
            '[' if self.binds() && !self.after_value => {
                return Err(self.misuse("a list to loop over", "loop over what the notification has"));
            }
            '~' | '+' if self.binds() => {
                return Err(self.misuse("a made text to loop over", "loop over what the notification has"));
            }
            '~' | '+' | ',' if !last => self.parts += 1,
            _ => {}
        }
        if self.parts > MAX_PARTS {
            return Err(self.misuse(&format!("more than {MAX_PARTS} parts in one tag"), "write more tags"));
        }
        if !sign.is_whitespace() {
            self.after_value = matches!(sign, ')' | ']');
        }
        Ok(())
    }

    fn binds(&self) -> bool {
        self.name.as_deref() == Some("for")
    }

    fn misuse(&self, what: &str, hint: &'static str) -> Misuse {
        Misuse { line: self.line, what: format!("{what} is not part of templates here"), hint }
    }
}

/// The letters, digits and underscores at the beginning.
fn word(text: &str) -> &str {
    text.find(|next: char| !next.is_alphanumeric() && next != '_').map_or(text, |end| &text[..end])
}

/// What the filters of one body still may read and make.
#[derive(Debug, Clone, Default)]
struct Budget(Arc<AtomicUsize>);

impl Budget {
    fn pay(&self, value: &Value) -> Result<(), Error> {
        let size = value.as_str().map_or_else(|| value.len().unwrap_or(0).saturating_mul(CALL), str::len);
        let paid = self.0.fetch_add(size + CALL, Ordering::Relaxed);
        if paid.saturating_add(size) > BUDGET {
            return Err(Error::new(
                ErrorKind::OutOfFuel,
                format!("its filters read and make more than {BUDGET} bytes"),
            ));
        }
        Ok(())
    }

    /// The same function, paid for.
    fn paid(&self, function: Value) -> impl Fn(&State<'_, '_>, Rest<Value>) -> Result<Value, Error> + use<> {
        let budget = self.clone();
        move |state: &State<'_, '_>, arguments: Rest<Value>| {
            arguments.iter().try_for_each(|argument| budget.pay(argument))?;
            let made = function.call(state, &arguments)?;
            budget.pay(&made)?;
            if made.as_str().is_some_and(|text| text.len() > MAX_BODY) { Err(too_long()) } else { Ok(made) }
        }
    }
}

fn too_long() -> Error {
    Error::new(ErrorKind::WriteFailure, format!("a text of more than {MAX_BODY} bytes"))
}

/// An environment that knows the language and nothing else.
pub(super) fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::empty();
    let budget = Budget::default();
    for (name, filter) in filters() {
        environment.add_filter(name, budget.paid(filter));
    }
    environment.add_function("range", budget.paid(Value::from_function(functions::range)));
    add_tests(&mut environment);
    environment
}

fn filters() -> [(&'static str, Value); 39] {
    [
        ("abs", Value::from_function(filters::abs)),
        ("attr", Value::from_function(filters::attr)),
        ("bool", Value::from_function(filters::bool)),
        ("capitalize", Value::from_function(filters::capitalize)),
        ("count", Value::from_function(filters::length)),
        ("d", Value::from_function(filters::default)),
        ("default", Value::from_function(filters::default)),
        ("e", Value::from_function(filters::escape)),
        ("escape", Value::from_function(filters::escape)),
        ("first", Value::from_function(filters::first)),
        ("float", Value::from_function(filters::float)),
        ("int", Value::from_function(filters::int)),
        ("items", Value::from_function(filters::items)),
        ("join", Value::from_function(join)),
        ("last", Value::from_function(filters::last)),
        ("length", Value::from_function(filters::length)),
        ("lines", Value::from_function(filters::lines)),
        ("list", Value::from_function(filters::list)),
        ("lower", Value::from_function(filters::lower)),
        ("map", Value::from_function(map)),
        ("max", Value::from_function(filters::max)),
        ("min", Value::from_function(filters::min)),
        ("reject", Value::from_function(filters::reject)),
        ("rejectattr", Value::from_function(filters::rejectattr)),
        ("replace", Value::from_function(replace)),
        ("reverse", Value::from_function(filters::reverse)),
        ("round", Value::from_function(filters::round)),
        ("safe", Value::from_function(filters::safe)),
        ("select", Value::from_function(filters::select)),
        ("selectattr", Value::from_function(filters::selectattr)),
        ("sort", Value::from_function(filters::sort)),
        ("split", Value::from_function(filters::split)),
        ("string", Value::from_function(filters::string)),
        ("times", Value::from_function(times)),
        ("title", Value::from_function(filters::title)),
        ("tojson", Value::from_function(to_json)),
        ("trim", Value::from_function(filters::trim)),
        ("unique", Value::from_function(filters::unique)),
        ("upper", Value::from_function(filters::upper)),
    ]
}

fn add_tests(environment: &mut Environment<'_>) {
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("number", tests::is_number);
    environment.add_test("integer", tests::is_integer);
    environment.add_test("float", tests::is_float);
    environment.add_test("string", tests::is_string);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("even", tests::is_even);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("true", tests::is_true);
    environment.add_test("false", tests::is_false);
    environment.add_test("in", tests::is_in);
    for name in ["eq", "equalto", "=="] {
        environment.add_test(name, tests::is_eq);
    }
    for name in ["ne", "!="] {
        environment.add_test(name, tests::is_ne);
    }
    for name in ["lt", "<"] {
        environment.add_test(name, tests::is_lt);
    }
    for name in ["le", "<="] {
        environment.add_test(name, tests::is_le);
    }
    for name in ["gt", ">"] {
        environment.add_test(name, tests::is_gt);
    }
    for name in ["ge", ">="] {
        environment.add_test(name, tests::is_ge);
    }
}

/// A product of numbers; the operator would multiply texts too.
fn times(number: f64, factor: f64) -> f64 {
    number * factor
}

/// Measures a text without making it.
struct Room(usize);

impl Write for Room {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn join(state: &State<'_, '_>, value: Value, joiner: Option<Value>) -> Result<Value, Error> {
    let between = joiner.as_ref().and_then(Value::as_str).unwrap_or_default();
    let mut room = Room(MAX_BODY);
    for item in value.try_iter()? {
        write!(room, "{item}{between}").map_err(|_full| too_long())?;
    }
    let arguments: Vec<Value> = std::iter::once(value).chain(joiner).collect();
    Value::from_function(filters::join).call(state, &arguments)
}

fn replace(state: &State<'_, '_>, value: Value, from: Value, to: Value) -> Result<Value, Error> {
    if let (Some(text), Some(from), Some(to)) = (value.as_str(), from.as_str(), to.as_str()) {
        let added = text.matches(from).count().saturating_mul(to.len());
        if added.saturating_add(text.len()) > MAX_BODY {
            return Err(too_long());
        }
    }
    Value::from_function(filters::replace).call(state, &[value, from, to])
}

/// The one attribute or filter of each item. With a value for those that lack it, every item could be a large one.
fn map(state: &State<'_, '_>, value: Value, arguments: Rest<Value>) -> Result<Value, Error> {
    let (named, options): (Rest<Value>, Kwargs) = from_args(&arguments)?;
    if named.len() > 1 || options.has("default") {
        return Err(Error::new(
            ErrorKind::TooManyArguments,
            "`map` takes an attribute, or a filter without arguments",
        ));
    }
    let arguments: Vec<Value> = std::iter::once(value).chain(arguments.0).collect();
    Value::from_function(filters::map).call(state, &arguments)
}

/// Without the blanks that could be asked for.
fn to_json(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    Value::from_function(filters::tojson).call(state, &[value])
}

#[cfg(test)]
#[path = "language_tests.rs"]
mod checks;
