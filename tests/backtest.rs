//! The commands that judge the past, as a user runs them: `backtest`, `explain`, `replay --null`, `tune`.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use support::Kafka;
use support::flights::{Produced, produce};

const HOUR: i64 = 3_600_000;
/// A Monday.
const START: i64 = 1_704_067_200_000;
/// Length of the baseline, in hours, and of the events behind it.
const BASELINE: i64 = 10 * 24;
const EVENTS: i64 = 60;
/// Hour of the events from which on something is wrong.
const ONSET: i64 = 30;
const ROWS_AN_HOUR: i64 = 120;

/// What is wrong from [`ONSET`] on.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// `amount` shifts by half a standard deviation.
    Amount,
    /// The same in one segment only.
    AmountOfSegment,
    /// A tenth of `colour` is a new category.
    Colour,
    /// `amount` shifts by a standard deviation in version 2 only.
    AmountOfVersion,
}

struct Row {
    ts: i64,
    segment: &'static str,
    version: &'static str,
    amount: f64,
    age: f64,
    colour: &'static str,
    score: f64,
}

/// Numbers without a clock: the same at every run.
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / 16_777_216.0
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

fn rows(from: i64, hours: i64, seed: u64, wrong: Wrong) -> Vec<Row> {
    let mut chance = Chance(seed);
    let mut row = |index: i64| {
        let ts = START + from * HOUR + index * HOUR / ROWS_AN_HOUR;
        let late = index >= ONSET * ROWS_AN_HOUR;
        let segment = ["east", "north", "south", "west"][(chance.uniform() * 4.0) as usize % 4];
        let version = if chance.uniform() < 0.25 { "2" } else { "1" };
        let mut amount = 50.0 + 10.0 * chance.normal();
        let age = 20.0 + (60.0 * chance.uniform()).floor();
        let mut colour = ["red", "green", "blue"][(chance.uniform() * 3.0) as usize % 3];
        let score = chance.uniform();
        let luck = chance.uniform();
        match wrong {
            Wrong::Amount if late => amount += 5.0,
            Wrong::AmountOfSegment if late && segment == "west" => amount += 10.0,
            Wrong::AmountOfVersion if late && version == "2" => amount += 10.0,
            Wrong::Colour if late && luck < 0.1 => colour = "mauve",
            _ => {}
        }
        Row { ts, segment, version, amount, age, colour, score }
    };
    (0..hours * ROWS_AN_HOUR).map(&mut row).collect()
}

fn csv(rows: &[Row]) -> String {
    let mut text = "ts,segment,version,amount,age,colour,score\n".to_owned();
    for Row { ts, segment, version, amount, age, colour, score } in rows {
        writeln!(text, "{ts},{segment},{version},{amount:.3},{age},{colour},{score:.4}").expect("a string");
    }
    text
}

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        place.file("reference.csv", &csv(&rows(0, BASELINE, 1, Wrong::Nothing)));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a writable folder");
    }

    fn events(&self, wrong: Wrong) {
        self.file("events.csv", &csv(&rows(BASELINE, EVENTS, 2, wrong)));
    }

    /// `anchorwatch ARGS…` in the folder.
    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_anchorwatch"))
            .args(args)
            .current_dir(self.folder.path())
            .env_remove("ANCHORWATCH_CONFIG")
            .env_remove("ANCHORWATCH_DATA_DIR")
            .output()
            .expect("the binary that cargo built runs")
    }

    #[track_caller]
    fn succeeds(&self, args: &[&str]) -> (String, String) {
        let Output { status, stdout, stderr } = self.run(args);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (out, err) = (text(stdout), text(stderr));
        assert!(status.success(), "{args:?}: {status}\n{out}{err}");
        (out, err)
    }

    #[track_caller]
    fn fails(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.run(args);
        assert!(!status.success(), "{args:?} succeeded: {}", String::from_utf8_lossy(&stdout));
        String::from_utf8(stderr).expect("text")
    }

    /// Alarms of `backtest`, one a line.
    #[track_caller]
    fn alarms(&self, events: &str, more: &[&str]) -> Vec<Value> {
        let mut args =
            vec!["backtest", "--reference", "reference.csv", "--events", events, "--output", "jsonl"];
        args.extend(more);
        let (out, _) = self.succeeds(&args);
        out.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let (out, _) = self.succeeds(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&out).expect("JSON")
    }
}

fn onset() -> i64 {
    START + (BASELINE + ONSET) * HOUR
}

#[test]
fn a_clean_stream_raises_no_alarm() {
    let place = Place::new();
    place.events(Wrong::Nothing);
    let files = ["backtest", "--reference", "reference.csv", "--events", "events.csv"];
    assert_eq!(place.alarms("events.csv", &[]), Vec::<Value>::new());
    let (table, notes) = place.succeeds(&files);
    assert!(table.contains("7200 events in 60 windows of 1h against 28800 rows in 240 windows"), "{table}");
    assert!(table.ends_with("no alarm\n"), "{table}");
    assert!(notes.contains("no weekly season is assumed"), "{notes}");
    let answer = place.json(&files);
    assert_eq!((&answer["windows"], &answer["alarms"]), (&json!(60), &json!([])));
}

#[test]
fn a_shift_is_told_with_all_that_is_known_of_it() {
    let place = Place::new();
    place.events(Wrong::Amount);
    let alarms = place.alarms("events.csv", &[]);
    let first = alarms.first().expect("an alarm");
    let start = first["window_start"].as_i64().expect("milliseconds");
    assert!((onset()..onset() + 4 * HOUR).contains(&start), "{first}");
    assert_eq!(first["window_end"], start + HOUR);
    let named = [&first["detector"], &first["feature"], &first["kind"], &first["severity"]];
    assert_eq!(named, ["anchorwatch", "amount", "location", "critical"]);
    assert_eq!(first["verdict"], format!("amount@{start}"));
    let number = |name: &str| first[name].as_f64().unwrap_or_else(|| panic!("{name} of {first}"));
    assert!(
        number("statistic") > number("threshold") && number("p") < 1e-4 && number("n") == 120.0,
        "{first}"
    );
    assert!(first.get("segment").is_none() && first.get("version").is_none(), "of the whole: {first}");
    assert!(alarms.iter().all(|alarm| alarm["window_start"].as_i64() >= Some(onset())), "no alarm before");
    let (table, _) = place.succeeds(&["backtest", "--reference", "reference.csv", "--events", "events.csv"]);
    assert!(table.contains("SINCE") && table.contains("amount") && table.contains("location"), "{table}");
}

#[test]
fn classical_verdicts_are_judged_where_the_configuration_lets_them_alert() {
    let place = Place::new();
    place.events(Wrong::Amount);
    let config = |verdicts: &str| {
        let text = format!(
            "kafka: {{bootstrap: 'h:1', topics: [t]}}\nwindows: {{min_rows: 100}}\nmonitor: {{verdicts: {verdicts}}}\n"
        );
        fs::write(place.folder.path().join("c.yaml"), text).expect("writable");
    };
    let alarms = || place.alarms("events.csv", &["--config", "c.yaml"]);
    let is_ours = |alarm: &Value| alarm["detector"] == "anchorwatch";
    config("calibrated");
    let ours = alarms();
    assert!(!ours.is_empty() && ours.iter().all(is_ours));
    config("both");
    let (budgeted, classical): (Vec<Value>, Vec<Value>) = alarms().into_iter().partition(is_ours);
    assert_eq!(budgeted, ours);
    let late = |alarm: &&Value| alarm["window_start"].as_i64() >= Some(onset());
    assert!(classical.len() > 5 && classical.iter().all(|alarm| late(&alarm)), "{classical:?}");
    for alarm in &classical {
        assert!(alarm["statistic"].as_f64() >= alarm["threshold"].as_f64() && alarm.get("verdict").is_none());
        assert_eq!((&alarm["severity"], &alarm["n"]), (&json!("critical"), &json!(120.0)), "{alarm}");
        let detector = alarm["detector"].as_str().unwrap_or_default();
        assert!(["ks", "psi", "wasserstein"].contains(&detector) && alarm["feature"] == "amount", "{alarm}");
    }
    config("classical");
    assert_eq!(alarms(), classical);
    let files = ["--reference", "reference.csv", "--events", "events.csv", "--config", "c.yaml"];
    let (table, notes) = place.succeeds(&[&["backtest"][..], &files].concat());
    let lines = table.lines().filter(|line| line.contains(" amount ") && line.contains("drift: ")).count();
    assert!(lines == 3 && !table.contains("location"), "{table}");
    assert!(notes.contains("budget does not hold for the classical verdicts"), "{notes}");
    assert!(!notes.contains("not judged here"), "{notes}");
    let address = ours[0]["verdict"].as_str().expect("an address");
    let (_, notes) = place.succeeds(&[&["explain", address][..], &files].concat());
    assert!(notes.contains("what is not judged here: classical verdicts"), "{notes}");
}

#[test]
fn a_slice_is_named_when_only_it_moves() {
    let place = Place::new();
    for (wrong, name, value) in
        [(Wrong::AmountOfSegment, "segment", "west"), (Wrong::AmountOfVersion, "version", "2")]
    {
        place.events(wrong);
        let alarms = place.alarms("events.csv", &[]);
        let mut sliced =
            alarms.iter().filter(|alarm| alarm["segment"].is_string() || alarm["version"].is_string());
        let named = sliced.next().expect("a slice");
        assert_eq!((&named["feature"], &named[name]), (&json!("amount"), &json!(value)), "{named}");
        let verdict = named["verdict"].as_str().expect("text");
        assert!(verdict.ends_with(&format!("/{name}={value}")), "{verdict}");
        let told =
            place.json(&["explain", verdict, "--reference", "reference.csv", "--events", "events.csv"]);
        assert_eq!(told["slice"], format!("{name} {value}"), "{told}");
        assert_eq!(told["slices"][0]["slice"], format!("{name} {value}"), "{told}");
        assert!(
            told["quantiles"][2]["window"].as_f64() > told["quantiles"][2]["baseline"].as_f64(),
            "{told}"
        );
    }
}

#[test]
fn a_verdict_is_explained_with_what_moved_since_when_and_how_to_ask_again() {
    let place = Place::new();
    place.events(Wrong::Amount);
    let files = ["--reference", "reference.csv", "--events", "events.csv"];
    let told = place.json(&[&["explain", "--feature", "amount"], &files[..]].concat());
    assert_eq!(told["severity"], "critical", "the last window in which it alarms: {told}");
    let since = told["since"]["window_start"].as_i64().expect("a change");
    assert!((since - onset()).abs() <= 2 * HOUR, "{told}");
    let median = |side: &str| told["quantiles"][2][side].as_f64().expect("a number");
    assert!((median("baseline") - 50.0).abs() < 1.0 && (median("window") - 55.0).abs() < 1.5, "{told}");
    assert_eq!(told["moved"].as_array().map(Vec::len), Some(5), "{told}");
    assert!(
        told["shares"][0]["feature"] == "amount" && told["shares"][0]["share"].as_f64() > Some(0.5),
        "{told}"
    );
    let verdict = told["verdict"].as_str().expect("text");
    assert!(told["command"].as_str().is_some_and(|command| command.contains(verdict)), "{told}");
    let again = place.json(&[&["explain", verdict], &files[..]].concat());
    assert_eq!(again, told);
    let (table, _) = place.succeeds(&[&["explain", verdict], &files[..]].concat());
    assert!(
        table.contains("since 2024-01-1") && table.contains("p50") && table.contains("again: "),
        "{table}"
    );

    place.events(Wrong::Colour);
    let told = place.json(&[&["explain", "--feature", "colour"], &files[..]].concat());
    assert_eq!(
        (&told["kind"], &told["moved"][0]["cell"]),
        (&json!("new_category"), &json!("unseen")),
        "{told}"
    );
    let quiet =
        place.json(&[&["explain", "--feature", "age", "--at", "2024-01-11T05:30:00Z"], &files[..]].concat());
    assert_eq!(
        (&quiet["severity"], &quiet["window_start"]),
        (&json!(null), &json!(START + 245 * HOUR)),
        "{quiet}"
    );
    let unknown = place.fails(&[&["explain", "--feature", "amuont"], &files[..]].concat());
    assert!(unknown.contains("`amuont` is not watched; watched are: amount, age, colour"), "{unknown}");
    let never = place.fails(&[&["explain", "amount@5"], &files[..]].concat());
    assert!(never.contains("there is no window at 1970-01-01"), "{never}");
    assert!(place.fails(&[&["explain", "amount"], &files[..]].concat()).contains("is no verdict"));
}

/// The same events as JSON lines, flat or as the native event.
fn jsonl(rows: &[Row], nested: bool) -> String {
    let mut text = String::new();
    for Row { ts, segment, version, amount, age, colour, score } in rows {
        let amount = (amount * 1_000.0).round() / 1_000.0;
        let score = (score * 10_000.0).round() / 10_000.0;
        let mut event = json!({"ts": ts, "version": version, "segment": segment});
        let features = json!({"amount": amount, "age": age, "colour": colour});
        if nested {
            event["features"] = features;
            event["prediction"] = json!({"score": score});
            event["segment"] = json!({"segment": segment});
        } else {
            event
                .as_object_mut()
                .expect("an object")
                .extend(features.as_object().expect("an object").clone());
            event["score"] = json!(score);
        }
        writeln!(text, "{event}").expect("a string");
    }
    text
}

fn parquet(csv: &Path, parquet: &Path) {
    use arrow::csv::reader::Format;
    let open = || fs::File::open(csv).expect("the CSV file");
    let (schema, _) = Format::default().with_header(true).infer_schema(open(), None).expect("a schema");
    let schema = Arc::new(schema);
    let reader =
        arrow::csv::ReaderBuilder::new(Arc::clone(&schema)).with_header(true).build(open()).expect("CSV");
    let out = fs::File::create(parquet).expect("a writable folder");
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(out, schema, None).expect("a writer");
    reader.for_each(|batch| writer.write(&batch.expect("rows")).expect("written"));
    writer.close().expect("written");
}

#[test]
fn every_format_and_other_column_names_give_the_same_alarms() {
    let place = Place::new();
    place.events(Wrong::Amount);
    let expected = place.alarms("events.csv", &[]);
    assert!(!expected.is_empty());
    let events = rows(BASELINE, EVENTS, 2, Wrong::Amount);
    place.file("flat.jsonl", &jsonl(&events, false));
    place.file("nested.jsonl", &jsonl(&events, true));
    parquet(&place.path("events.csv"), &place.path("events.parquet"));
    for file in ["flat.jsonl", "nested.jsonl", "events.parquet"] {
        assert_eq!(place.alarms(file, &[]), expected, "{file}");
    }
    for name in ["reference.csv", "events.csv"] {
        let text = fs::read_to_string(place.path(name)).expect("readable");
        let renamed = text.replacen(
            "ts,segment,version,amount,age,colour,score",
            "when,part,release,amount,age,colour,p",
            1,
        );
        place.file(name, &renamed);
    }
    let mapped = ["--columns", "ts=when,segment=part", "--columns", "version=release,score=p"];
    assert_eq!(place.alarms("events.csv", &mapped), expected);
}

#[test]
fn a_registered_reference_judges_as_its_file_does() {
    let place = Place::new();
    place.events(Wrong::Amount);
    let (out, _) = place.succeeds(&[
        "--data-dir",
        "data",
        "reference",
        "create",
        "--model",
        "m",
        "--version",
        "1.0.0",
        "--from",
        "reference.csv",
    ]);
    let id = out.split("reference ").nth(1).and_then(|rest| rest.get(..12)).expect("an address");
    let args =
        ["--data-dir", "data", "backtest", "--reference", id, "--events", "events.csv", "--output", "jsonl"];
    let (registered, _) = place.succeeds(&args);
    let whole = |line: &Value| line.get("segment").is_none() && line.get("version").is_none();
    let registered: Vec<Value> =
        registered.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(registered.iter().any(|line| line["feature"] == "amount" && whole(line)), "{registered:?}");
    let other = place.fails(&[&args[..], &["--window", "2h"]].concat());
    assert!(other.contains("calibrated for windows of 1h"), "{other}");
    let replay = place.fails(&["--data-dir", "data", "replay", "--null", "--reference", id]);
    assert!(replay.contains("keeps no rows"), "{replay}");
    let unknown = place.fails(&["--data-dir", "nowhere", "tune", "--reference", "0123456789ab"]);
    assert!(unknown.contains("there is no such file") && !place.path("nowhere").exists(), "{unknown}");
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let place = Place::new();
    place.events(Wrong::Nothing);
    place.file("empty.csv", "ts,amount,age,colour,score\n");
    place.file("timeless.csv", "amount,age,colour,score\n50,40,red,0.5\n");
    let backtest = |reference: &str, events: &str, more: &[&str]| {
        place.fails(&[&["backtest", "--reference", reference, "--events", events], more].concat())
    };
    let cases = [
        (backtest("nothing.csv", "events.csv", &[]), "cannot read nothing.csv"),
        (backtest("reference.csv", "nothing.csv", &[]), "cannot read nothing.csv"),
        (backtest("timeless.csv", "events.csv", &[]), "no column has the 50 values"),
        (backtest("reference.csv", "timeless.csv", &[]), "--columns ts=COLUMN"),
        (backtest("reference.csv", "empty.csv", &[]), "empty.csv has no events"),
        (backtest("empty.csv", "events.csv", &[]), "empty.csv has no rows"),
        (
            backtest("reference.csv", "events.csv", &["--columns", "ts=wen"]),
            "no column `wen` (from --columns)",
        ),
        (backtest("reference.csv", "events.csv", &["--columns", "time=ts"]), "`time` has no meaning"),
        (backtest("reference.csv", "events.csv", &["--columns", "ts"]), "expected MEANING=COLUMN"),
        (backtest("reference.csv", "events.csv", &["--window", "0s"]), "--window"),
        (backtest("reference.csv", "events.csv", &["--window", "1ms"]), "--window must be at least 1s"),
        (place.fails(&["replay", "--reference", "reference.csv"]), "--null"),
    ];
    for (said, expected) in &cases {
        assert!(said.contains(expected), "expected `{expected}`, got: {said}");
    }
    assert!(cases.iter().all(|(said, _)| !said.contains("panicked")));
    let nowhere = &cases[1].0;
    assert_eq!((nowhere.matches("No such file").count(), nowhere.lines().count()), (1, 1), "{nowhere}");
}

#[test]
fn what_the_events_lack_is_noted_and_so_is_their_place_in_time() {
    let place = Place::new();
    let text = csv(&rows(BASELINE, EVENTS, 2, Wrong::Nothing)).replacen(",age,", ",years,", 1);
    place.file("events.csv", &text);
    let files = ["backtest", "--reference", "reference.csv", "--events", "events.csv"];
    let (_, notes) = place.succeeds(&files);
    assert!(notes.contains("note: the events have no field for: age"), "{notes}");
    place.file("events.csv", &csv(&rows(-100, EVENTS, 2, Wrong::Nothing)));
    assert!(place.succeeds(&files).1.contains("before the baseline, which begins at 2024-01-01"), "before");
    place.file("events.csv", &csv(&rows(100, EVENTS, 2, Wrong::Nothing)));
    assert!(place.succeeds(&files).1.contains("before the baseline ends at"), "overlapping");
}

#[test]
fn a_stream_without_drift_keeps_to_the_budget_and_a_seed_repeats_it() {
    let place = Place::new();
    let replay = |more: &[&str]| {
        let args = ["replay", "--null", "--reference", "reference.csv", "--windows", "300"];
        place.json(&[&args[..], more].concat())
    };
    for (more, name) in [(&[][..], "resampled"), (&["--permute"][..], "permuted")] {
        let told = replay(more);
        let rows = told["rows"].as_array().expect("rows");
        let names: Vec<_> =
            rows.iter().map(|row| (row["stream"].as_str(), row["severity"].as_str())).collect();
        let expected = [(name, "warning"), (name, "critical"), ("split", "warning"), ("split", "critical")];
        assert_eq!(names, expected.map(|(stream, severity)| (Some(stream), Some(severity))));
        assert!(rows[..2].iter().all(|row| row["windows"] == 300 && row["within_budget"] == true), "{told}");
        assert_eq!(told, replay(more), "the same seed draws the same");
    }
    let (table, _) = place.succeeds(&["replay", "--null", "--reference", "reference.csv", "--windows", "50"]);
    assert!(table.contains("STREAM") && table.contains("1 in 180d") && table.contains("split"), "{table}");
}

#[test]
fn one_of_two_versions_has_half_of_the_budget_in_every_command() {
    let place = Place::new();
    place.events(Wrong::Amount);
    let both = |args: &[&str]| {
        let shared = place.json(&[args, &["--versions", "2"]].concat());
        (place.json(args), shared)
    };
    let files = ["--reference", "reference.csv", "--events", "events.csv"];
    let (_, told) = place.succeeds(&[&["backtest"], &files[..], &["--versions", "2"]].concat());
    assert!(told.contains("2 versions share the model's budget"), "{told}");
    let (alone, shared) = both(&[&["explain", "--feature", "amount"], &files[..]].concat());
    let threshold = |told: &Value| told["threshold"].as_f64().expect("a number");
    let rise = threshold(&shared) - threshold(&alone);
    assert!((0.05..0.4).contains(&rise), "{alone} {shared}");
    assert!(shared["command"].as_str().is_some_and(|command| command.contains(" --versions 2 ")), "{shared}");
    let (alone, shared) = both(&["replay", "--null", "--reference", "reference.csv", "--windows", "50"]);
    let allowed = |told: &Value| told["rows"][0]["allowed"].as_f64().expect("a number");
    assert!((allowed(&alone) / allowed(&shared) - 2.0).abs() < 1e-9, "{alone} {shared}");
    let (alone, shared) = both(&["tune", "--reference", "reference.csv"]);
    let limit = |told: &Value| told["budgets"][1]["limits"][0]["z_both_ways"].as_f64().expect("a number");
    assert!((limit(&shared) - limit(&alone) - rise).abs() < 0.1, "{alone} {shared}");
}

#[test]
fn budgets_are_shown_with_what_they_cost_and_printed_to_paste() {
    let place = Place::new();
    let told = place.json(&["tune", "--reference", "reference.csv", "--want-delay", "48"]);
    let budgets = told["budgets"].as_array().expect("budgets");
    let days: Vec<_> = budgets.iter().filter_map(|row| row["one_false_alarm_in_days"].as_i64()).collect();
    assert_eq!(days, [7, 30, 90, 180, 365]);
    for row in budgets {
        let delays: Vec<_> =
            row["delays"].as_array().expect("delays").iter().map(|one| &one["windows"]).collect();
        assert_eq!(delays.len(), 5 + 3 * 4);
        assert_eq!(row["delays"][4]["windows"], 1, "a whole standard deviation shows at once: {row}");
    }
    let location =
        told["floors"].as_array().and_then(|all| all.iter().find(|floor| floor["kind"] == "location"));
    assert_eq!(location.map(|floor| &floor["least"]), Some(&json!(0.05)), "{told}");
    let recommended = told["recommended_days"].as_i64().expect("a budget");
    let (config, _) =
        place.succeeds(&["tune", "--reference", "reference.csv", "--want-delay", "48", "--print-config"]);
    assert!(config.starts_with("monitor:\n  window: 1h\n  one_false_alarm_in:\n"), "{config}");
    assert!(config.contains(&format!("critical: {recommended}d")), "{config}");
    place.file("anchorwatch.yaml", &format!("kafka: {{bootstrap: \"x:9092\", topics: [t]}}\n{config}"));
    place.succeeds(&["tune", "--reference", "reference.csv", "--config", "anchorwatch.yaml"]);
    let never = place.fails(&["tune", "--reference", "reference.csv", "--want-delay", "1", "--print-config"]);
    assert!(never.contains("within 1 windows"), "{never}");
    let (table, _) = place.succeeds(&["tune", "--reference", "reference.csv"]);
    assert!(table.contains("location +0.1 sd") && table.contains("missing +5 points"), "{table}");
}

#[test]
fn floors_are_recommended_where_the_baseline_itself_moves_and_printed_to_paste() {
    let place = Place::new();
    let tune = ["tune", "--reference", "reference.csv"];
    let of = |told: &Value, name: &str| {
        let settings = told["recommended_floors"]["settings"].as_array().expect("settings").clone();
        settings.into_iter().find(|row| row["setting"] == name).expect("a setting")
    };
    let steady = place.json(&tune);
    for (name, usual) in [("deviations", 0.05), ("rate", 0.002), ("level", 0.008), ("tail", 0.25)] {
        let row = of(&steady, name);
        assert!(row["recommended"] == usual && row["least"].as_f64() <= Some(usual), "{row}");
        assert!(row["noticed"].as_f64() > Some(usual), "{row}");
    }
    // From the second half on `amount` lies a sixth of a standard deviation higher.
    let mut moving = rows(0, BASELINE, 1, Wrong::Nothing);
    let half = moving.len() / 2;
    moving.iter_mut().skip(half).for_each(|row| row.amount += 1.7);
    place.file("reference.csv", &csv(&moving));
    let told = place.json(&tune);
    let row = of(&told, "deviations");
    let floor = row["recommended"].as_f64().expect("a number");
    assert!(floor > 0.05 && row["least"] == floor && row["because_of"] == "amount location", "{row}");
    assert_eq!(of(&told, "rate")["recommended"], 0.002, "{told}");
    let (table, _) = place.succeeds(&tune);
    assert!(table.contains("SETTING") && table.contains(&format!("{floor} sd")), "{table}");
    let (config, _) = place.succeeds(&[&tune[..], &["--print-config"]].concat());
    assert!(
        config.contains(&format!("  tolerated:\n    deviations: {floor}\n    rate: 0.002\n")),
        "{config}"
    );
    place.file("c.yaml", &format!("kafka: {{bootstrap: \"x:9092\", topics: [t]}}\n{config}"));
    let split = |more: &[&str]| {
        let args = ["replay", "--null", "--reference", "reference.csv", "--windows", "30"];
        place.json(&[&args[..], more].concat())["rows"][3]["episodes"].clone()
    };
    assert!(split(&[]).as_u64() > Some(0), "the halves differ");
    assert_eq!(split(&["--config", "c.yaml"]), 0, "what was recommended keeps them quiet");
}

#[test]
fn floors_are_left_alone_where_no_half_can_judge_the_other() {
    let place = Place::new();
    place.file("reference.csv", &csv(&rows(0, 30, 1, Wrong::Nothing)));
    let told = place.json(&["tune", "--reference", "reference.csv"]);
    let floors = &told["recommended_floors"];
    assert!(
        floors["notes"][0].as_str().is_some_and(|note| note.contains("fewer than 24 windows")),
        "{floors}"
    );
    let first = &floors["settings"][0];
    assert_eq!((&first["recommended"], &first["least"]), (&json!(0.05), &json!(null)), "{floors}");
}

#[test]
fn how_often_classical_verdicts_alarm_for_nothing_is_measured_where_they_alert() {
    let place = Place::new();
    let replay = |verdicts: &str, more: &str| {
        let monitor = format!("monitor: {{verdicts: {verdicts}{more}}}");
        let config =
            format!("kafka: {{bootstrap: 'h:1', topics: [t]}}\nwindows: {{min_rows: 100}}\n{monitor}\n");
        place.file("c.yaml", &config);
        let args =
            ["replay", "--null", "--reference", "reference.csv", "--config", "c.yaml", "--windows", "120"];
        (place.json(&args), place.succeeds(&args))
    };
    assert_eq!(replay("calibrated", "").0["classical"], json!([]));
    let alarms = |told: &Value, stream: &str, detector: &str| {
        let row = |row: &&Value| row["stream"] == stream && row["detector"] == detector;
        let rows = told["classical"].as_array().expect("rows");
        rows.iter().find(row).map_or(0, |row| row["windows_with_alarm"].as_u64().expect("a count"))
    };
    // A PSI of 0.1 is what chance makes of 120 rows in ten groups; a test that corrects for it knows.
    let (fixed, (table, notes)) = replay("both", ", rule: fixed");
    for stream in ["resampled", "split"] {
        let (psi, any) = (alarms(&fixed, stream, "psi"), alarms(&fixed, stream, "any"));
        assert!(psi > 20 && any >= psi, "{stream}: {fixed}");
    }
    assert!(table.contains("classical verdicts, for which no budget holds"), "{table}");
    assert!(notes.contains("budget does not hold") && !notes.contains("not judged here"), "{notes}");
    let (careful, _) = replay("both", "");
    assert!(alarms(&careful, "split", "any") <= 3, "{careful}");
    assert_eq!(careful["rows"], fixed["rows"], "the budget's rows are its own");
}

#[test]
fn a_topic_is_judged_as_a_file_of_the_same_events_is() {
    let place = Place::new();
    let events = rows(BASELINE, EVENTS, 2, Wrong::Amount);
    place.file("nested.jsonl", &jsonl(&events, true));
    let expected = place.alarms("nested.jsonl", &[]);
    assert!(!expected.is_empty());
    let kafka = Kafka::shared();
    let topic = "backtest".to_owned();
    kafka.create_topic(&topic, 3);
    let lines = fs::read(place.path("nested.jsonl")).expect("readable");
    let mut records: Vec<Produced> = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .enumerate()
        .map(|(index, line)| Produced { partition: index as i32 % 3, value: Some(line.to_vec()) })
        .collect();
    records.push(Produced { partition: 0, value: Some(b"no event".to_vec()) });
    records.push(Produced { partition: 1, value: None });
    produce(kafka, &topic, &records);
    let address = format!("kafka://{}/{topic}", kafka.bootstrap());
    assert_eq!(place.alarms(&address, &[]), expected);
    let files = ["backtest", "--reference", "reference.csv", "--events", &address];
    assert!(place.succeeds(&files).1.contains("note: 1 records are no events"));
    let later = format!("{address}?from=2100-01-01T00:00:00Z");
    let nothing = place.fails(&["backtest", "--reference", "reference.csv", "--events", &later]);
    assert!(nothing.contains("has no events"), "{nothing}");
    let unknown = format!("kafka://{}/nothing-here", kafka.bootstrap());
    let unknown = place.fails(&["backtest", "--reference", "reference.csv", "--events", &unknown]);
    assert!(unknown.contains("there is no topic `nothing-here`"), "{unknown}");
}
