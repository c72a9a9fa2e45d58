//! Between the two readings: which fields become columns, of which kind, cut where, and what is left out and why.

use anchorwatch_detectors::binning::{Binning, BinningError, CategoricalBinning, NumericBinning};

use super::error::{BuildError, nearest};
use super::options::{BaselineOptions, Format, RoleColumns};
use super::sample::LONGEST_TEXT;
use super::schema::{Schema, SchemaColumn};
use super::source::{Cell, Field, Place};
use super::survey::{Class, Survey, Tally, epoch_days, is_blank, truth};
use crate::reference::{Column, ColumnKind, MAX_SEGMENTS, Role, Value};
use crate::subject::Millis;

/// Most counters of all baseline windows together (256 MiB).
const MAX_WINDOW_COUNTERS: usize = 1 << 25;

/// Share of texts above which a CSV column of mixed texts and numbers is text.
const CSV_TEXT_SHARE: f64 = 0.1;

/// Quantiles of the baseline beyond which its tails begin.
const TAILS: [f64; 4] = [0.001, 0.005, 0.995, 0.999];

/// What the second reading has to do.
#[derive(Debug)]
pub(super) struct Plan {
    /// Field and column of each column, in the reference's order.
    pub(super) columns: Vec<(usize, Column)>,
    /// Field with the event time.
    pub(super) time: Option<usize>,
    /// Length of a baseline window.
    pub(super) window_ms: Option<Millis>,
    /// Field with the latency.
    pub(super) latency: Option<usize>,
    /// Field that splits the baseline, and the values kept apart.
    pub(super) segments: Option<(usize, Vec<String>)>,
    /// Name of that field.
    pub(super) segment_field: Option<String>,
    /// Field with the version and its values, where there are several.
    pub(super) versions: Option<(usize, Vec<String>)>,
    /// What was left out and what was approximated.
    pub(super) remarks: Vec<String>,
}

/// The value that a column of this kind sees in a cell: the same that an event's JSON would give it.
pub(super) fn read(kind: ColumnKind, cell: Cell<'_>) -> Value<'_> {
    match cell {
        Cell::Missing => Value::Missing,
        Cell::Number(x) => Value::Number(x),
        Cell::Text(text) => Value::Text(text),
        Cell::Bool(truth) => Value::Bool(truth),
        Cell::Time(ms) if kind == ColumnKind::Numeric => Value::Number(epoch_days(ms)),
        Cell::Time(_) | Cell::Nested => Value::Nested,
        Cell::Raw(text) => read_raw(kind, text),
    }
}

fn read_raw(kind: ColumnKind, text: &str) -> Value<'_> {
    match kind {
        ColumnKind::Categorical => Value::Text(text),
        _ if is_blank(text) => Value::Missing,
        ColumnKind::Numeric | ColumnKind::CodedCategory => {
            text.trim().parse().map_or(Value::Text(text), Value::Number)
        }
        ColumnKind::Boolean => truth(text).map_or(Value::Text(text), Value::Bool),
    }
}

/// Decides what becomes of each field.
pub(super) fn plan(
    survey: &Survey,
    options: &BaselineOptions,
    schema: &Schema,
    csv: bool,
) -> Result<Plan, BuildError> {
    let planner = Planner { survey, options, schema, csv };
    planner.check_names()?;
    let mut remarks = Vec::new();
    let mut columns = Vec::new();
    for (index, role) in planner.candidates(&mut remarks) {
        match planner.column(index, role)? {
            Ok(column) => columns.push((index, column)),
            Err(reason) => remarks.push(format!("`{}` is left out: {reason}", planner.name(index))),
        }
    }
    if columns.is_empty() {
        let reasons = if remarks.is_empty() { "all are ignored".to_owned() } else { remarks.join("; ") };
        return Err(BuildError::NothingToCompare { path: options.source.clone(), reasons });
    }
    let window_ms = planner.window_length(&columns, &mut remarks);
    Ok(Plan {
        columns,
        time: survey.time,
        window_ms,
        latency: survey.find(&[Place::Top], &options.roles.latency),
        segments: planner.segments(&mut remarks)?,
        segment_field: planner.segment_field().map(str::to_owned),
        versions: planner.versions(),
        remarks,
    })
}

struct Planner<'a> {
    survey: &'a Survey,
    options: &'a BaselineOptions,
    schema: &'a Schema,
    csv: bool,
}

impl Planner<'_> {
    fn name(&self, index: usize) -> &str {
        self.survey.fields.get(index).map_or("", |field| field.name.as_str())
    }

    /// Refuses names of the caller that the file does not have; defaults may be absent.
    fn check_names(&self) -> Result<(), BuildError> {
        let (roles, usual) = (&self.options.roles, RoleColumns::default());
        let named = [
            (&roles.time, &usual.time, "--time-column"),
            (&roles.score, &usual.score, "--score-column"),
            (&roles.prediction, &usual.prediction, "--prediction-column"),
            (&roles.label, &usual.label, "--label-column"),
            (&roles.latency, &usual.latency, "--latency-column"),
            (&roles.model, &usual.model, "--columns"),
            (&roles.version, &usual.version, "--columns"),
            (&roles.segment, &usual.segment, "--columns"),
        ];
        for (name, _, option) in named.into_iter().filter(|(name, usual, _)| name != usual) {
            self.require(name, option)?;
        }
        let default = BaselineOptions::new("", "", "").ignore;
        for name in self.options.ignore.iter().filter(|name| !default.contains(name)) {
            self.require(name, "--ignore")?;
        }
        let schema_file =
            self.options.schema.as_ref().map_or_else(String::new, |path| path.display().to_string());
        self.schema.columns().iter().try_for_each(|column| self.require(&column.name, &schema_file))
    }

    fn require(&self, name: &str, named_by: &str) -> Result<(), BuildError> {
        if self.survey.fields.iter().any(|field| field.name == name) {
            return Ok(());
        }
        Err(BuildError::NoSuchColumn {
            path: self.options.source.clone(),
            column: name.to_owned(),
            named_by: named_by.to_owned(),
            hint: nearest(name, self.survey.fields.iter().map(|field| field.name.as_str())),
        })
    }

    /// Fields with their roles: features in the file's order, then score, prediction, label.
    fn candidates(&self, remarks: &mut Vec<String>) -> Vec<(usize, Role)> {
        let roles = &self.options.roles;
        let mut features = Vec::new();
        for (index, field) in self.survey.fields.iter().enumerate() {
            let role = field.place == Place::Top && self.has_role(&field.name);
            if role || field.place == Place::Segment || self.is_ignored(field) {
                continue;
            }
            if self.survey.native && field.place == Place::Top {
                if !["model", "version", "segment", "id"].contains(&field.name.as_str()) {
                    remarks.push(format!(
                        "`{}` is left out: it stands beside `features`, not in it",
                        field.name
                    ));
                }
                continue;
            }
            features.push((index, Role::Feature));
        }
        let outputs =
            [(Role::Score, &roles.score), (Role::Prediction, &roles.prediction), (Role::Label, &roles.label)];
        let found =
            |(role, name): (Role, &String)| self.survey.find(&[Place::Top], name).map(|index| (index, role));
        let outputs =
            outputs.into_iter().filter(|(_, name)| !self.options.ignore.contains(name)).filter_map(found);
        features.into_iter().chain(outputs).collect()
    }

    fn has_role(&self, name: &str) -> bool {
        let roles = &self.options.roles;
        let named = [&roles.time, &roles.score, &roles.prediction, &roles.label, &roles.latency];
        named.into_iter().any(|role| role == name)
            || [&roles.model, &roles.version, &roles.segment].contains(&&name.to_owned())
    }

    fn is_ignored(&self, field: &Field) -> bool {
        self.options.ignore.contains(&field.name) || self.schema.ignores(&field.name)
    }

    /// The column of a field, or why there is none.
    fn column(&self, index: usize, role: Role) -> Result<Result<Column, String>, BuildError> {
        let Some(tally) = self.survey.tallies.get(index) else {
            return Ok(Err("nothing is known of it".to_owned()));
        };
        let name = self.name(index);
        let asked = self.schema.get(name);
        let kind = match asked.and_then(|column| column.kind) {
            _ if tally.values == 0 => {
                return Ok(Err(format!("no value in any of {} rows", self.survey.rows)));
            }
            Some(kind) => self.checked(name, tally, kind)?,
            None => match self.infer(tally, role) {
                Ok(kind) => kind,
                Err(reason) => return Ok(Err(reason)),
            },
        };
        let binning = self.binning(tally, kind).map_err(|source| BuildError::Binning {
            path: self.options.source.clone(),
            column: name.to_owned(),
            source,
        })?;
        let single_precision = is_single_precision(&binning);
        let (binning, usual) = match binning {
            Binning::Numeric(knots) => {
                let (knots, usual) = with_tails(knots, &tally.numbers.kept_sorted());
                (knots.map(Binning::Numeric), usual)
            }
            binning @ Binning::Categorical(_) => (Ok(binning), None),
        };
        let binning = binning.map_err(|source| BuildError::Binning {
            path: self.options.source.clone(),
            column: name.to_owned(),
            source,
        })?;
        let name = match role {
            Role::Feature => name,
            Role::Score => "score",
            Role::Prediction => "prediction",
            Role::Label => "label",
        };
        let required = asked.and_then(|column: &SchemaColumn| column.required).unwrap_or(false);
        let notes = self.notes(tally, kind, &binning);
        let name = name.to_owned();
        let kept = self.options.max_categories;
        let unseen_beyond = if usual.is_none() { tally.texts.unseen_beyond(kept) } else { 0.0 };
        Ok(Ok(Column { name, role, kind, required, single_precision, binning, usual, unseen_beyond, notes }))
    }

    /// The schema's kind, if at least one value can be read so.
    fn checked(&self, name: &str, tally: &Tally, kind: ColumnKind) -> Result<ColumnKind, BuildError> {
        let readable =
            tally.values - self.misread(tally, kind).iter().map(|class| tally.count(*class)).sum::<u64>();
        if readable > 0 {
            return Ok(kind);
        }
        let first = tally.met.values().min_by_key(|met| met.row);
        Err(BuildError::KindMismatch {
            path: self.options.source.clone(),
            column: name.to_owned(),
            kind: kind_name(kind),
            row: first.map_or(0, |met| met.row),
            sample: first.map_or_else(String::new, |met| met.sample.clone()),
        })
    }

    /// Classes that a column of this kind counts as wrong type (or, for blanks of CSV, as missing).
    fn misread(&self, tally: &Tally, kind: ColumnKind) -> Vec<Class> {
        use Class::{Blank, Bool, Nested, NonFinite, Number, Text, Time};
        let arrow_time = tally.met.get(&Time).is_some_and(|met| met.sample == "a date or time");
        match kind {
            ColumnKind::Numeric if arrow_time => vec![Text, Bool, Nested, Blank],
            ColumnKind::Numeric | ColumnKind::CodedCategory => vec![Text, Bool, Time, Nested, Blank],
            ColumnKind::Categorical if self.csv => vec![Nested],
            ColumnKind::Categorical if arrow_time => vec![Number, NonFinite, Bool, Time, Nested],
            ColumnKind::Categorical => vec![Number, NonFinite, Bool, Nested],
            ColumnKind::Boolean => vec![Number, NonFinite, Text, Time, Nested, Blank],
        }
    }

    /// The kind of most values, or why the field is left out.
    fn infer(&self, tally: &Tally, role: Role) -> Result<ColumnKind, String> {
        let numbers = tally.count(Class::Number) + tally.count(Class::NonFinite);
        let texts = tally.count(Class::Text);
        let bools = tally.count(Class::Bool);
        let times = tally.count(Class::Time);
        let nested = tally.count(Class::Nested);
        let most = [numbers, texts, bools, times, nested].into_iter().max().unwrap_or(0);
        let known = tally.values - tally.count(Class::Blank);
        if known == 0 {
            return Err(format!("no value in any of {} rows, only marks of missing ones", self.survey.rows));
        }
        if self.csv && times < most && texts as f64 > CSV_TEXT_SHARE * known as f64 || texts == most {
            let identifier = role == Role::Feature && tally.texts.is_identifier();
            let reason = "more than 90 % of its values differ, so it looks like an identifier; to keep it, give it a \
                          kind with --schema";
            return if identifier { Err(reason.to_owned()) } else { Ok(ColumnKind::Categorical) };
        }
        match most {
            _ if most == numbers => Ok(ColumnKind::Numeric),
            _ if most == bools => Ok(ColumnKind::Boolean),
            _ if most == times => {
                Err("a date is not a feature; add it with --schema and `kind: numeric` to compare \
                                       days since 1970 (text dates: `kind: categorical`)"
                    .to_owned())
            }
            _ => Err("it holds lists, objects or binary values, not one value a row".to_owned()),
        }
    }

    fn binning(&self, tally: &Tally, kind: ColumnKind) -> Result<Binning, BinningError> {
        Ok(match kind {
            ColumnKind::Numeric => Binning::Numeric(NumericBinning::from_sorted_values(
                &tally.numbers.sorted(),
                self.options.points,
            )?),
            ColumnKind::Categorical | ColumnKind::CodedCategory => Binning::Categorical(
                CategoricalBinning::new(tally.texts.heaviest(self.options.max_categories))?,
            ),
            ColumnKind::Boolean => {
                Binning::Categorical(CategoricalBinning::new(vec!["false".to_owned(), "true".to_owned()])?)
            }
        })
    }

    fn notes(&self, tally: &Tally, kind: ColumnKind, binning: &Binning) -> Vec<String> {
        let mut notes = Vec::new();
        let mut wrong: Vec<_> = self
            .misread(tally, kind)
            .into_iter()
            .filter(|class| *class != Class::Blank)
            .filter_map(|class| tally.met.get(&class))
            .collect();
        wrong.sort_by_key(|met| met.row);
        if let Some(first) = wrong.first() {
            let count: u64 = wrong.iter().map(|met| met.count).sum();
            let (kind, row, sample) = (kind_name(kind), first.row, &first.sample);
            notes.push(format!(
                "{count} values are not {kind} and count as wrong type; the first, at row {row}, is {sample}"
            ));
        }
        if let Some(met) = tally.met.get(&Class::NonFinite).filter(|_| kind != ColumnKind::Categorical) {
            let (count, row) = (met.count, met.row);
            notes.push(format!(
                "{count} values are NaN or infinite, the first at row {row}; no cut point uses them"
            ));
        }
        match binning {
            Binning::Numeric(_) => note_numbers(tally, &mut notes),
            Binning::Categorical(binning) if kind != ColumnKind::Boolean => {
                note_texts(tally, binning, &mut notes);
            }
            Binning::Categorical(_) => {}
        }
        notes
    }

    fn window_length(&self, columns: &[(usize, Column)], remarks: &mut Vec<String>) -> Option<Millis> {
        let counters: usize =
            columns.iter().map(|(_, column)| column.binning.cells() + 3).sum::<usize>() + 515;
        let most = self.options.max_windows.min(MAX_WINDOW_COUNTERS / counters).max(1);
        let times = &self.survey.times;
        let column = &self.options.roles.time;
        if self.survey.time.is_none() {
            remarks.push(format!(
                "there is no time column `{column}`: the reference has no windows, so how much they vary is assumed"
            ));
            return None;
        }
        if let (Some(row), true) = (times.first_unreadable, times.range.is_some()) {
            let (count, row) = (times.unreadable, row + 1);
            remarks.push(format!(
                "{count} rows have no readable `{column}`, the first is row {row}: they count in the whole, in no window"
            ));
        }
        let length = times.length(most);
        if times.range.is_none() {
            remarks.push(format!("`{column}` holds no readable time: the reference has no windows"));
        } else if length.is_none() {
            remarks.push(format!("`{column}` spans more than {most} weeks: the reference has no windows"));
        }
        length
    }

    /// The field that splits the baseline: the one that was named, or else the one whose name says it.
    fn segment_field(&self) -> Option<&str> {
        let usual = self.options.roles.segment.as_str();
        let has_usual = || self.survey.find(&[Place::Top], usual).is_some();
        self.options.segment_field.as_deref().or_else(|| has_usual().then_some(usual))
    }

    /// The versions of the baseline's rows, if they have more than one.
    fn versions(&self) -> Option<(usize, Vec<String>)> {
        let index = self.survey.find(&[Place::Top], &self.options.roles.version)?;
        let values = self.survey.tallies.get(index)?.texts.heaviest(MAX_SEGMENTS);
        (values.len() > 1).then_some((index, values))
    }

    fn segments(&self, remarks: &mut Vec<String>) -> Result<Option<(usize, Vec<String>)>, BuildError> {
        let Some(name) = self.segment_field() else { return Ok(None) };
        let Some(index) = self.survey.find(&[Place::Segment, Place::Features, Place::Top], name) else {
            return self.require(name, "--segment-by").map(|()| None);
        };
        let Some(tally) = self.survey.tallies.get(index) else { return Ok(None) };
        let mut values = tally.texts.heaviest(MAX_SEGMENTS);
        if values.is_empty() {
            values = tally
                .numbers
                .distinct()
                .map_or_else(Vec::new, |_| tally.numbers.sorted().iter().map(f64::to_string).collect());
            values.extend(
                (tally.count(Class::Bool) > 0)
                    .then_some(["false", "true"])
                    .into_iter()
                    .flatten()
                    .map(str::to_owned),
            );
            values.truncate(MAX_SEGMENTS);
        }
        let known = tally.texts.distinct();
        if tally.values > 0 && known.is_none_or(|known| known > values.len()) {
            remarks.push(format!(
                "`{name}` has more than {MAX_SEGMENTS} values: the heaviest are segments of their own"
            ));
        }
        Ok(Some((index, values)))
    }
}

fn note_numbers(tally: &Tally, notes: &mut Vec<String>) {
    if tally.numbers.distinct() == Some(1) {
        notes.push("the baseline has one value only: every other value is a change".to_owned());
    }
    if tally.numbers.is_sampled() {
        let kept = tally.numbers.kept();
        notes.push(format!("cut points were chosen from {kept} of the values; all values are counted"));
    }
}

fn note_texts(tally: &Tally, binning: &CategoricalBinning, notes: &mut Vec<String>) {
    let kept = binning.categories().len();
    match tally.texts.distinct() {
        Some(1) => notes.push("the baseline has one value only: every other value is a change".to_owned()),
        Some(all) if all <= kept => {}
        Some(all) => notes.push(format!("the heaviest {kept} of {all} categories are kept; the rest count as unseen")),
        None => notes.push(format!(
            "the heaviest {kept} of very many categories are kept; the rest, and texts over {LONGEST_TEXT} bytes, count \
             as unseen"
        )),
    }
}

/// Name of a kind, as the schema file writes it.
#[must_use]
pub fn kind_name(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Numeric => "numeric",
        ColumnKind::Categorical => "categorical",
        ColumnKind::CodedCategory => "coded_category",
        ColumnKind::Boolean => "boolean",
    }
}

/// Whether a file of this format holds text only.
pub(super) fn is_raw(format: Format) -> bool {
    format == Format::Csv
}

/// Whether every cut point is a 32-bit float, as in a column that was stored as such.
fn is_single_precision(binning: &Binning) -> bool {
    let Binning::Numeric(numeric) = binning else { return false };
    numeric.knots().iter().all(|knot| f64::from(*knot as f32) == *knot)
}

/// Adds the cut points of the tails and of the usual range, and a guard point one full range below the smallest and
/// above the largest value: only what lies beyond the guards counts as out of range
/// (`docs/decisions/0005-out-of-range-is-far-out.md`). `values` are the baseline's, sorted.
fn with_tails(
    binning: NumericBinning,
    values: &[f64],
) -> (Result<NumericBinning, BinningError>, Option<(f64, f64)>) {
    let (Some(low), Some(high)) = (binning.knots().first().copied(), binning.knots().last().copied()) else {
        return (Ok(binning), None);
    };
    let at = |q: f64| {
        let place = (q * values.len() as f64) as usize;
        values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or(low)
    };
    let half = (at(0.75) - at(0.25)) / 2.0;
    let usual = (low - half.max(at(0.001) - low), high + half.max(high - at(0.999)));
    let range = high - low;
    let guards = [low - range, high + range];
    if guards.iter().chain([&usual.0, &usual.1]).any(|guard| !guard.is_finite()) {
        return (Ok(binning), None);
    }
    let mut knots = binning.knots().to_vec();
    knots.extend(TAILS.map(at));
    knots.extend([usual.0, usual.1]);
    if range > 0.0 {
        knots.extend(guards);
    }
    knots.sort_by(f64::total_cmp);
    knots.dedup();
    (NumericBinning::new(knots), Some(usual))
}
