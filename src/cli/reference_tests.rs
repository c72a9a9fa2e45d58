//! The commands `reference` and `model`, run as a user would.

use clap::Parser;

use crate::cli::CliContext;
use crate::cli::model::ModelCommand;
use crate::cli::reference::ReferenceCommand;

#[derive(Debug, Parser)]
enum Line {
    Reference(ReferenceCommand),
    Model(ModelCommand),
}

struct Shell {
    folder: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn run(&self, line: &str) -> Result<String, String> {
        let context = CliContext { data_dir: self.folder.path().join("data") };
        let words = std::iter::once("anchorwatch").chain(line.split_whitespace());
        let mut out = Vec::new();
        let done = match Line::try_parse_from(words).map_err(|error| error.to_string())? {
            Line::Reference(command) => command.run_to(&context, &mut out),
            Line::Model(command) => command.run_to(&context, &mut out),
        };
        done.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn create(&self, version: &str, rows: impl Iterator<Item = i32>) -> String {
        let text =
            rows.map(|x| format!("{x},{}\n", if x % 2 == 0 { "even" } else { "odd" })).collect::<String>();
        let path = self.file("rows.csv", &format!("x,parity\n{text}"));
        let out = self.run(&format!("reference create --model m --version {version} --from {path}")).unwrap();
        out.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap().to_owned()
    }
}

#[test]
fn a_reference_is_created_listed_shown_and_activated() {
    let shell = Shell::new();
    let first = shell.create("1.0.0", 0..500);
    let second = shell.create("1.0.0", 100..600);
    let listed = shell.run("reference list").unwrap();
    assert_eq!(listed.matches("active").count(), 1, "{listed}");
    let shown = shell.run(&format!("reference show {}", &first[..10])).unwrap();
    assert!(shown.contains("(active)") && shown.contains("parity  feature  categorical  3"), "{shown}");
    shell.run(&format!("reference activate {second}")).unwrap();
    assert!(shell.run(&format!("reference show {second}")).unwrap().contains("(active)"));
    let json: serde_json::Value =
        serde_json::from_str(&shell.run("reference list --output json").unwrap()).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
}

#[test]
fn a_difference_names_columns_and_how_far_they_moved() {
    let shell = Shell::new();
    let first = shell.create("1.0.0", 0..500);
    let second = shell.create("1.1.0", 250..750);
    let table = shell.run(&format!("reference diff {first} {second}")).unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with("x "), "{table}");
    let out = shell.run(&format!("reference diff {first} {second} --output json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let (x, parity) = (&json["shared"][0], &json["shared"][1]);
    let (low, high) = (x["ks"][0].as_f64().unwrap(), x["ks"][1].as_f64().unwrap());
    assert!(low <= 0.5 && 0.5 <= high && high - low < 0.02, "{low} to {high}");
    assert_eq!((x["same_binning"].as_bool(), parity["same_binning"].as_bool()), (Some(false), Some(true)));
    assert!(parity["psi"].as_f64().unwrap() < 1e-6);
}

#[test]
fn a_model_is_promoted_rolled_back_and_archived() {
    let shell = Shell::new();
    shell.create("1.0.0", 0..50);
    shell.create("1.1.0", 0..60);
    assert_eq!(shell.run("model promote m 1.0.0").unwrap(), "m 1.0.0: production\n");
    shell.run("model promote m 1.1.0 --stage production").unwrap();
    assert!(shell.run("model show m").unwrap().contains("a rollback would return to 1.0.0"));
    assert!(shell.run("model promote m 1.0.0").unwrap_err().contains("--force"));
    shell.run("model promote m 1.0.0 --rollback").unwrap();
    let shown = shell.run("model show m").unwrap();
    assert!(shown.contains("rolled_back") && !shown.contains("a rollback would return"), "{shown}");
    shell.run("model archive m 1.0.0").unwrap();
    let listed = shell.run("model list --output json").unwrap();
    let json: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(json[0]["versions"][0]["stage"], "archived");
}

#[test]
fn an_empty_registry_says_what_to_do() {
    let shell = Shell::new();
    assert!(shell.run("reference list").unwrap().contains("reference create"));
    assert!(shell.run("model list").unwrap().contains("reference create"));
    assert!(shell.run("reference show abc").unwrap_err().contains("reference list"));
    assert!(shell.run("model show m").unwrap_err().contains("is not registered"));
}

#[test]
fn what_a_baseline_is_too_short_for_is_told_at_creation_and_later() {
    let shell = Shell::new();
    let rows: String =
        (0..400).map(|row| format!("{},{}\n", 1_704_067_200_000_i64 + row * 600_000, row % 7)).collect();
    let path = shell.file("rows.csv", &format!("ts,x\n{rows}"));
    let created = shell.run(&format!("reference create --model m --version 1.0.0 --from {path}")).unwrap();
    let id = created.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap();
    let shown = shell.run(&format!("reference show {id}")).unwrap();
    for told in [&created, &shown] {
        assert!(told.contains("note: the baseline is shorter than 3 days"), "{told}");
    }
    let json = shell.run(&format!("reference show {id} --output json")).unwrap();
    let view: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(view["calibrated_for_ms"], 3_600_000);
    assert!(view["assumptions"][0].as_str().unwrap().starts_with("the baseline"), "{json}");
}

#[test]
fn pairs_beyond_those_watched_are_told_and_none_are_watched_if_none_are_asked_for() {
    let shell = Shell::new();
    let names: String = (0..6).map(|column| format!(",x{column}")).collect();
    let row = |row: i64| {
        let values: String = (0..6).map(|column| format!(",{}", (row * (7 + column)) % 101)).collect();
        format!("{}{values}\n", 1_704_067_200_000_i64 + row * 600_000)
    };
    let path = shell.file("rows.csv", &format!("ts{names}\n{}", (0..400).map(row).collect::<String>()));
    let create = |pairs: &str| {
        shell.run(&format!("reference create --model m --version 1.0.0 --from {path} {pairs}")).unwrap()
    };
    assert!(!create("").contains("correlations"), "all 15 are watched");
    let some = create("--pairs 9");
    assert!(
        some.contains("the correlations of 9 of 15 pairs") && some.contains("the fewest with `x2`"),
        "{some}"
    );
    assert!(!create("--pairs 0").contains("correlations"), "that is what was asked for");
}

#[test]
fn the_quantile_that_a_score_foretells_is_told_with_how_well_it_does() {
    let shell = Shell::new();
    // Of four labels three are not above the score, by 0, 1 and 2; the fourth is 4 above it.
    let row = |score: i32, off: i32| format!("{score},{score},{}\n", score + off);
    let rows: String = (10..110).flat_map(|score| [0, -1, -2, 4].map(|off| row(score, off))).collect();
    let path = shell.file("rows.csv", &format!("x,score,label\n{rows}"));
    let create = |more: &str| {
        let created = shell.run(&format!("reference create --model m --version 1.0.0 --from {path} {more}"));
        created.map(|out| out.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap().to_owned())
    };
    let id = create("--quantile 0.75").unwrap();
    let shown = shell.run(&format!("reference show {id}")).unwrap();
    let line = "quantile    the score foretells that of 0.75; in the baseline 75.0 % of the labels are not above it, pinball loss 0.9375\n";
    assert!(shown.contains(line), "{shown}");
    let json = shell.run(&format!("reference show {id} --output json")).unwrap();
    let view: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(view["quantile"], serde_json::json!({ "quantile": 0.75, "loss": 0.9375, "coverage": 0.75 }));
    let without = create("").unwrap();
    assert!(!shell.run(&format!("reference show {without}")).unwrap().contains("quantile"));
    assert!(!shell.run(&format!("reference show {without} --output json")).unwrap().contains("quantile"));
    assert!(
        create("--quantile 90").unwrap_err().contains("--quantile is 90; use a number above 0 and below 1")
    );
}

#[test]
fn what_was_left_out_is_told_at_creation() {
    let shell = Shell::new();
    let path = shell.file("rows.csv", "a,empty\n1,\n2,\n");
    let out = shell.run(&format!("reference create --model m --version 1.0.0 --from {path}")).unwrap();
    assert!(out.contains("note: `empty` is left out") && out.contains("It is active"), "{out}");
}
