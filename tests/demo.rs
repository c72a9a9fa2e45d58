//! The demo as anybody runs it: no Kafka, no configuration, and a result that a program can read.

use std::process::Command;

use serde_json::Value;

/// Every incident, and what changed in the world.
const NOTICED: [&str; 8] =
    ["celsius", "visib_nulls", "sentinel", "carrier_recode", "jfk_stuck", "slow_tail", "season", "timetable"];

#[test]
fn the_demo_tells_what_it_noticed_on_its_last_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_anchorwatch")).args(["demo", "--output", "json"]).output();
    let output = output.expect("the binary that cargo built runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let report: Value =
        serde_json::from_str(out.lines().last().unwrap_or_default()).expect("one JSON object");
    let fields: Vec<&String> = report.as_object().expect("an object").keys().collect();
    assert_eq!(
        fields,
        ["alerts", "alerts_outside", "events", "incidents", "quality_fell", "seconds", "webhooks"]
    );

    let truth: Vec<Value> =
        serde_json::from_str(include_str!("../testdata/flights/incidents.json")).expect("the incidents");
    let names = |list: &[Value]| list.iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
    let incidents = report["incidents"].as_array().expect("incidents");
    assert_eq!(names(incidents), names(&truth), "all incidents, noticed or not");
    for incident in incidents {
        let after = &incident["noticed_after_seconds"];
        assert!(after.is_null() || after.as_i64().is_some_and(|seconds| seconds > 0), "{incident}");
    }
    let noticed = |name: &&str| {
        incidents.iter().any(|one| one["name"] == **name && one["noticed_after_seconds"].is_i64())
    };
    assert!(NOTICED.iter().all(noticed), "{report}");

    let count = |name: &str| report[name].as_u64().expect("a count");
    assert!(count("events") == 395_374, "predictions and labels of seven months: {report}");
    assert!(count("webhooks") > count("alerts") / 10 && count("webhooks") > 0, "{report}");
    assert!(count("alerts_outside") <= 2, "{report}");
    assert!(report["quality_fell"].as_str().is_some_and(|day| day > "2013-05"), "{report}");
    assert!(report["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");
}
