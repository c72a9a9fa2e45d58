//! The configurations, dashboards and provisioning files that we ship are usable as they are.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by saying what is wrong")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anchorwatch::config::{self, Config, SinkTarget};
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn load(path: &Path) -> Config {
    config::load(path).unwrap_or_else(|errors| panic!("{}:\n{errors}", path.display()))
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_annotated_configuration_loads_and_shows_what_it_says_are_defaults() {
    let path = root().join("deploy/examples/anchorwatch.yaml");
    let config = load(&path);
    let default = |key: &str| assert!(text(&path).contains(key), "{key} is not explained");
    assert_eq!(config.windows.lateness, config::Windows::default().lateness);
    assert_eq!(config.windows.min_rows, config::Windows::default().min_rows);
    assert_eq!(config.monitor.faults, config::Monitor::default().faults);
    assert_eq!(config.checkpoint, config::CheckpointSettings::default());
    assert_eq!(config.http, config::Http::default());
    let sections = [
        "data_dir:",
        "kafka:",
        "events:",
        "windows:",
        "segments:",
        "monitor:",
        "alerts:",
        "sinks:",
        "actions:",
        "http:",
    ];
    sections.into_iter().chain(["checkpoint:", "telemetry:"]).for_each(default);
}

/// What is commented out is an example too: with its secrets in place it loads.
#[test]
fn the_sinks_that_are_commented_out_load_as_well() {
    let path = root().join("deploy/examples/anchorwatch.yaml");
    let commented = |line: &str| line.strip_prefix("  # ").map(|rest| format!("  {rest}"));
    let is_item =
        |line: &str| line.starts_with("  # - ") || line.starts_with("  #   ") && !line.contains("password");
    let lines: Vec<String> = text(&path)
        .lines()
        .map(|line| if is_item(line) { commented(line).unwrap_or_default() } else { line.to_owned() })
        .collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, "https://hooks.slack.com/services/T000/B000/XXXX").expect("a writable folder");
    let secret = secret.display().to_string();
    let lines = lines.join("\n").replace("/run/secrets/slack_url", &secret);
    let lines = lines.replace("{env: PAGERDUTY_ROUTING_KEY}", &format!("{{file: {secret}}}"));
    let config = config::parse(&lines, "anchorwatch.yaml").unwrap_or_else(|errors| panic!("{errors}"));
    let kinds: BTreeSet<&str> = config.sinks.iter().map(|sink| sink.target.as_str()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["pagerduty", "slack", "webhook"]);
    assert!(config.sinks.iter().any(|sink| matches!(sink.target, SinkTarget::Slack { .. })));
}

#[test]
fn the_configuration_of_compose_loads_and_fits_the_compose_file() {
    let config = load(&root().join("deploy/compose/anchorwatch.yaml"));
    let compose = text(&root().join("deploy/compose.yaml"));
    let (host, port) = config.kafka.bootstrap.split_once(':').expect("host and port");
    assert!(compose.contains(&format!("  {host}:\n")), "no service {host}");
    assert!(compose.contains(port), "nobody speaks of port {port}");
    assert!(compose.contains(&config.data_dir.display().to_string()));
    let prometheus = text(&root().join("deploy/compose/prometheus.yml"));
    assert!(prometheus.contains(&format!("anchorwatch:{}", config.http.listen.port())), "{prometheus}");
}

fn dashboards() -> Vec<(PathBuf, Value)> {
    let folder = fs::read_dir(root().join("dashboards/grafana")).expect("dashboards").flatten();
    let boards =
        folder.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let read = |path: PathBuf| {
        let board =
            serde_json::from_str(&text(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, board)
    };
    boards.map(read).collect()
}

fn panels(node: &Value) -> Vec<&Value> {
    let own = node["panels"].as_array().into_iter().flatten();
    own.flat_map(|panel| std::iter::once(panel).chain(panels(panel))).collect()
}

#[test]
fn every_panel_has_a_title_a_place_and_queries_on_the_chosen_data_source() {
    let boards = dashboards();
    assert!(boards.len() >= 2, "fleet and model");
    let mut uids = BTreeSet::new();
    for (path, board) in &boards {
        let name = path.display();
        assert!(uids.insert(board["uid"].as_str().expect("a uid").to_owned()), "{name}: its uid is taken");
        assert!(board["title"].is_string() && board["schemaVersion"].is_u64(), "{name}");
        assert!(board["id"].is_null(), "{name}: an id belongs to one Grafana only");
        let variables = board["templating"]["list"].as_array().expect("variables");
        assert!(
            variables.iter().any(|one| one["type"] == "datasource" && one["name"] == "datasource"),
            "{name}"
        );
        let known: BTreeSet<&str> = variables.iter().filter_map(|one| one["name"].as_str()).collect();
        let mut ids = BTreeSet::new();
        for panel in panels(board) {
            let title = panel["title"].as_str().unwrap_or_default();
            assert!(!title.is_empty(), "{name}: a panel without a title");
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{name}: `{title}` shares its id");
            assert!(
                panel["gridPos"]["w"].as_u64().is_some_and(|width| (1..=24).contains(&width)),
                "{name}: `{title}`"
            );
            for target in panel["targets"].as_array().into_iter().flatten() {
                let uid =
                    target["datasource"]["uid"].as_str().or_else(|| panel["datasource"]["uid"].as_str());
                assert!(
                    uid.is_some_and(|uid| ["$datasource", "${datasource}"].contains(&uid)),
                    "{name}: `{title}`"
                );
                let query = target["expr"].as_str().unwrap_or_default();
                assert!(!query.trim().is_empty(), "{name}: `{title}` asks nothing");
                for part in query.split('$').skip(1) {
                    let end =
                        part.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(part.len());
                    let variable = &part[..end];
                    assert!(
                        known.contains(variable) || variable.starts_with("__"),
                        "{name}: `{title}`: ${variable}"
                    );
                }
            }
        }
        assert!(ids.len() > 5, "{name}");
    }
}
