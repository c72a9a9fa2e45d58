//! Routing, digests, inhibition and maintenance, each by what sinks are told.

use super::*;
use crate::config::{self, Config};

const MINUTE: Millis = 60_000;
const DAY: Millis = 86_400_000;
/// Midnight of a Monday.
const MONDAY: Millis = 1_699_833_600_000;

const SINKS: &str = r#"
kafka: { bootstrap: "h:1", topics: [t] }
sinks:
  - { name: a, type: webhook, url: "http://localhost/" }
  - { name: b, type: webhook, url: "http://localhost/" }
  - { name: c, type: webhook, url: "http://localhost/" }
"#;

fn config(alerts: &str) -> Config {
    let text = format!("{SINKS}alerts:\n  fire_after: 1\n  of_last: 1\n  clear_after: 1\n{alerts}");
    config::parse(&text, "test").unwrap_or_else(|errors| panic!("{errors}"))
}

fn alerts(config: &Config) -> Alerts {
    Alerts::new(config.alerts.clone(), config.sinks.iter().map(SinkFilter::of).collect(), false)
}

/// A verdict over its threshold by this factor, or a quiet one below 0.8.
fn verdict(kind: AlertKind, column: &str, factor: f64) -> VerdictView {
    VerdictView {
        column: column.into(),
        role: None,
        detector: "psi".into(),
        statistic: Some(factor / 10.0),
        threshold: Some(0.1),
        p_value: None,
        adjusted_p_value: None,
        rows: 100,
        reference_rows: 100,
        level: if factor >= 1.0 { Level::Drift } else { Level::Stable },
        kind,
        severity: None,
        inhibited_by: None,
        moved: Vec::new(),
        explained: None,
    }
}

fn window(model: &str, end: Millis, verdicts: Vec<VerdictView>) -> WindowView {
    WindowView {
        model: model.to_owned(),
        version: "1".to_owned(),
        horizon: "1h".to_owned(),
        end,
        rows: 100,
        verdicts,
        ..WindowView::default()
    }
}

/// Who was told what: transition, model and sinks.
fn told(round: &Round) -> Vec<String> {
    let line = |one: &Announcement| {
        let Notification { transition, model, kind, .. } = &one.notification;
        format!("{} {model} {} to {}", transition.as_str(), kind.as_str(), one.sinks.join("+"))
    };
    round.announcements.iter().map(line).collect()
}

fn fire(alerts: &mut Alerts, at: Millis, model: &str, kind: AlertKind, factor: f64) -> Vec<String> {
    alerts.observe(&window(model, at, vec![verdict(kind, "x", factor)]));
    told(&alerts.announce(at))
}

/// Routes reached by some labels, as places below the outermost route.
fn reached(config: &Config, labels: &[(&str, &str)]) -> Vec<String> {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (_, found) = explain(config, &labels);
    let place = |one: &Destination| {
        one.route.replace("alerts.route", "").replace(".routes", "").trim_start_matches('.').to_owned()
    };
    found.iter().map(place).collect()
}

/// The table of Alertmanager's own test of its tree, in our labels.
#[test]
fn an_alert_ends_where_it_would_in_alertmanager() {
    let config = config(
        r#"
  labels: [{matchers: ['model=foo'], set: {owner: team-B}}]
  route:
    routes:
      - matchers: ['segment=team-A']
        sinks: [b]
        routes:
          - {matchers: ['version=testing'], sinks: [c], continue: true}
          - {matchers: ['version=production'], group_wait: 1m, continue: true}
          - {matchers: ['version=~produ.*'], sinks: [a]}
      - {matchers: ['owner=team-B'], continue: true}
      - matchers: ['owner=~team-(B|C)']
        group_by: [model]
        routes: [{matchers: ['version=staging']}]
"#,
    );
    for (labels, expected) in [
        (&[("model", "x")][..], &[""][..]),
        (&[("segment", "team-A")], &["[0]"]),
        (&[("segment", "team-A"), ("version", "testing")], &["[0][0]"]),
        (&[("segment", "team-A"), ("version", "production")], &["[0][1]", "[0][2]"]),
        (&[("segment", "team-A"), ("version", "produce")], &["[0][2]"]),
        (&[("segment", "team-A"), ("version", "other")], &["[0]"]),
        (&[("model", "foo")], &["[1]", "[2]"]),
        (&[("model", "foo"), ("version", "staging")], &["[1]", "[2][0]"]),
        (&[("segment", "team-A"), ("model", "foo")], &["[0]"]),
    ] {
        assert_eq!(reached(&config, labels), expected, "{labels:?}");
    }
}

#[test]
fn children_inherit_what_they_do_not_say() {
    let config = config(
        r#"
  route:
    sinks: [a]
    group_wait: 1m
    repeat_interval: 0s
    routes:
      - matchers: ['model=m']
        group_wait: 2m
        routes: [{matchers: ['kind=drift'], sinks: [b, c], group_by: []}]
"#,
    );
    let mut alerts = alerts(&config);
    assert_eq!(fire(&mut alerts, MINUTE, "m", AlertKind::Drift, 2.0), [""; 0]);
    assert_eq!(fire(&mut alerts, 2 * MINUTE, "m", AlertKind::Drift, 2.0), [""; 0]);
    assert_eq!(fire(&mut alerts, 3 * MINUTE, "m", AlertKind::Drift, 2.0), ["firing m drift to b+c"]);
    assert_eq!(fire(&mut alerts, DAY, "m", AlertKind::Drift, 2.0), [""; 0], "repeats are off for all");
}

#[test]
fn what_several_columns_show_alike_is_named_first() {
    let config = config("");
    let mut alerts = alerts(&config);
    let missing = |column: &str, factor| {
        let explained = serde_json::from_str(r#"{"kind": "missing", "run_windows": 1}"#).expect("all fields");
        VerdictView { explained: Some(Box::new(explained)), ..verdict(AlertKind::DataFault, column, factor) }
    };
    let falls = VerdictView { statistic: Some(-0.9), ..missing("z", 4.0) };
    let alike = vec![missing("x", 2.0), missing("y", 3.0), falls];
    alerts.observe(&window("m", MINUTE, [alike, vec![verdict(AlertKind::DataFault, "a", 2.5)]].concat()));
    let round = alerts.announce(MINUTE);
    let summary = &round.announcements[0].notification.summary;
    let expected =
        "m 1: data fault: missing of 3 columns, above all z, psi -0.900 over 0.100, and 3 more columns";
    assert_eq!(summary, expected, "the way it lies does not matter to how far it is");
}

#[test]
fn one_group_can_speak_of_several_models() {
    let config = config("  route: {group_by: [kind]}\n  link_base: https://aw\n");
    let mut alerts = alerts(&config);
    alerts.observe(&window("m", MINUTE, vec![verdict(AlertKind::Drift, "x", 2.0)]));
    alerts.observe(&window("n", MINUTE, vec![verdict(AlertKind::Drift, "y", 3.0)]));
    let round = alerts.announce(MINUTE);
    assert_eq!(told(&round), ["firing several drift to a+b+c"]);
    let told = &round.announcements[0].notification;
    assert_eq!(told.summary, "several models: drift: y of n 1, psi 0.300 over 0.100, and 1 more column");
    assert_eq!(told.findings[1].subject.as_deref(), Some("m 1"));
    assert_eq!(told.link, None, "there is no one page");
}

#[test]
fn two_routes_that_fit_have_groups_of_their_own() {
    let config = config(
        "  route: {routes: [{matchers: ['kind=drift'], sinks: [a], continue: true}, {matchers: ['model=m'], sinks: [a, b]}]}\n",
    );
    let mut alerts = alerts(&config);
    alerts.observe(&window("m", MINUTE, vec![verdict(AlertKind::Drift, "x", 2.0)]));
    let round = alerts.announce(MINUTE);
    assert_eq!(told(&round).len(), 2);
    let keys: BTreeSet<&str> = round.announcements.iter().map(|one| one.notification.key.as_str()).collect();
    assert_eq!(keys.len(), 2, "`a` stands in both routes and hears of both");
}

#[test]
fn silence_of_a_model_inhibits_its_features_until_it_speaks_again() {
    let mut alerts = alerts(&config(
        "  inhibit: [{source_matchers: ['model=up'], target_matchers: ['model=down'], equal: [kind]}]\n",
    ));
    let both = |at, volume| {
        let verdicts =
            vec![verdict(AlertKind::Drift, "x", 2.0), verdict(AlertKind::Volume, "volume", volume)];
        window("m", at, verdicts)
    };
    alerts.observe(&both(MINUTE, 2.0));
    let round = alerts.announce(MINUTE);
    assert_eq!(
        (told(&round), round.suppressed),
        (vec!["firing m volume to a+b+c".to_owned()], vec![Suppression::Inhibition])
    );
    let shown = alerts.views(2);
    let drift = shown.iter().find(|view| view.kind == AlertKind::Drift).expect("shown");
    assert_eq!(drift.suppressed_by.as_deref(), Some("inhibition: kind=\"volume\""));
    alerts.observe(&both(10 * MINUTE, 0.1));
    let told_then = told(&alerts.announce(10 * MINUTE));
    assert_eq!(told_then, ["firing m drift to a+b+c", "resolved m volume to a+b+c"]);

    let mut sources = alerts_of_up_and_down(&mut alerts);
    sources.sort();
    assert_eq!(sources, ["firing up latency to a+b+c"]);
}

#[test]
fn a_list_that_is_made_version_by_version_is_the_whole_one() {
    let mut alerts = alerts(&config(
        "  inhibit: [{source_matchers: ['model=up'], target_matchers: ['model=down'], equal: [kind]}]\n",
    ));
    for model in ["down", "other", "up"] {
        alerts.observe(&window(model, MINUTE, vec![verdict(AlertKind::Drift, "x", 2.0)]));
    }
    alerts.announce(MINUTE);
    let whole = alerts.views(2);
    let held: Vec<bool> = whole.iter().map(|view| view.suppressed_by.is_some()).collect();
    assert_eq!(held, [true, false, false], "what holds it back comes later in the list");
    let (mut list, mut steps) = (alerts.begin_list(), 0);
    while !alerts.extend_list(&mut list, 1, 1) {
        steps += 1;
    }
    assert_eq!((list.into_views(), steps), (whole, 7), "each version twice, and a turn between");

    let mut list = alerts.begin_list();
    (0..5).for_each(|_| _ = alerts.extend_list(&mut list, 1, 1));
    alerts.retain(|model, _| model != "down");
    alerts.observe(&window("new", MINUTE, vec![verdict(AlertKind::Drift, "x", 2.0)]));
    while !alerts.extend_list(&mut list, 1, 1) {}
    let listed: Vec<String> = list.into_views().into_iter().map(|view| view.model).collect();
    assert_eq!(
        listed,
        ["down", "new", "other", "up"],
        "one left after it was listed, and one came before its turn"
    );
}

fn alerts_of_up_and_down(alerts: &mut Alerts) -> Vec<String> {
    let at = 20 * MINUTE;
    for model in ["up", "down"] {
        alerts.observe(&window(model, at, vec![verdict(AlertKind::Latency, "latency", 2.0)]));
    }
    told(&alerts.announce(at)).into_iter().filter(|line| !line.contains(" m ")).collect()
}

#[test]
fn without_data_of_the_source_drift_and_volume_are_not_told() {
    let mut alerts = alerts(&config(""));
    let labels = [("kind", "operation"), ("version", "no_data")];
    let trouble: Labels =
        labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    alerts.set_troubles(vec![trouble]);
    assert_eq!(fire(&mut alerts, MINUTE, "m", AlertKind::Drift, 2.0), [""; 0]);
    assert_eq!(fire(&mut alerts, MINUTE, "n", AlertKind::DataFault, 2.0), ["firing n data_fault to a+b+c"]);
    alerts.set_troubles(Vec::new());
    assert_eq!(fire(&mut alerts, 2 * MINUTE, "m", AlertKind::Drift, 2.0), ["firing m drift to a+b+c"]);
}

#[test]
fn a_gap_of_one_partition_keeps_no_alert_back() {
    let mut alerts = alerts(&config(""));
    let labels = [("kind", "operation"), ("version", "gap")];
    let trouble: Labels =
        labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    alerts.set_troubles(vec![trouble]);
    assert_eq!(fire(&mut alerts, MINUTE, "m", AlertKind::Drift, 2.0), ["firing m drift to a+b+c"]);
}

#[test]
fn maintenance_keeps_quiet_and_what_still_fires_is_told_afterwards() {
    let mut alerts = alerts(&config(
        "  maintenance: [{name: nightly, matchers: ['model=m'], days: [mon], from: '02:00', to: '04:00'}]\n",
    ));
    let at = |hours: i64| MONDAY + hours * 60 * MINUTE;
    alerts.observe(&window("m", at(2), vec![verdict(AlertKind::Drift, "x", 2.0)]));
    let round = alerts.announce(at(2));
    assert_eq!((told(&round).len(), round.suppressed), (0, vec![Suppression::Maintenance]));
    let round = alerts.announce(at(3));
    assert_eq!((told(&round).len(), round.suppressed.len()), (0, 0), "counted once");
    assert_eq!(fire(&mut alerts, at(3), "n", AlertKind::Drift, 2.0), ["firing n drift to a+b+c"]);
    assert_eq!(told(&alerts.announce(at(4))), ["firing m drift to a+b+c"]);
}

#[test]
fn a_digest_collects_warnings_and_never_holds_what_is_critical() {
    let mut alerts = alerts(&config(
        "  severity: {data_fault: critical}\n  escalate: {factor: 5}\n  route: {sinks: [a], digest: 24h, repeat_interval: 1h}\n",
    ));
    let at = |hours: i64| MONDAY + hours * 60 * MINUTE;
    assert_eq!(fire(&mut alerts, at(1), "m", AlertKind::Drift, 2.0), ["firing m drift to "]);
    assert_eq!(fire(&mut alerts, at(1), "n", AlertKind::DataFault, 2.0), ["firing n data_fault to a"]);
    fire(&mut alerts, at(2), "o", AlertKind::Drift, 2.0);
    let escalated = fire(&mut alerts, at(3), "m", AlertKind::Drift, 6.0);
    assert_eq!(escalated, ["repeated n data_fault to a", "firing m drift to a"]);
    let round = alerts.announce(at(24));
    let [(sink, Delivery::Digest(digest))] = round.digests.as_slice() else { panic!("{:?}", round.digests) };
    assert_eq!((sink.as_str(), digest.from, digest.to, digest.more), ("a", MONDAY, MONDAY + DAY, 0));
    let entries: Vec<_> = digest.entries.iter().map(|one| (one.model.as_str(), one.transition)).collect();
    assert_eq!(entries, [("m", Transition::Firing), ("o", Transition::Firing)]);
    assert_eq!(alerts.announce(at(48)).digests.len(), 0, "an empty digest is not told");
}

#[test]
fn a_digest_is_bounded_and_survives_a_restart() {
    let config = config("  route: {sinks: [a], digest: 24h, group_by: [model, feature]}\n");
    let mut first = alerts(&config);
    for model in 0..80 {
        first.observe(&window(&format!("m{model}"), MONDAY, vec![verdict(AlertKind::Drift, "x", 2.0)]));
    }
    first.announce(MONDAY);
    let mut second = alerts(&config);
    for (name, text) in first.take_documents() {
        assert!(second.restore(&name, &text.expect("text")).expect("its own"));
    }
    let round = second.announce(MONDAY + DAY);
    let [(_, Delivery::Digest(digest))] = round.digests.as_slice() else { panic!("{:?}", round.digests) };
    assert_eq!((digest.entries.len(), digest.more), (MAX_DIGEST, 30));
    assert_eq!(round.digests, first.announce(MONDAY + DAY).digests);
}

#[test]
fn what_a_route_told_is_resolved_when_the_configuration_drops_it() {
    let with = config("  route: {sinks: [a], routes: [{matchers: ['model=m'], sinks: [b, c]}]}\n");
    let mut first = alerts(&with);
    assert_eq!(fire(&mut first, MINUTE, "m", AlertKind::Drift, 2.0), ["firing m drift to b+c"]);
    let mut second = alerts(&config("  route: {sinks: [a]}\n"));
    for (name, text) in first.take_documents() {
        second.restore(&name, &text.expect("text")).expect("its own");
    }
    let mut lines = told(&second.announce(2 * MINUTE));
    lines.sort();
    assert_eq!(lines, ["firing m drift to a", "resolved m drift to b+c"]);
}

#[test]
fn a_version_that_is_no_longer_watched_resolves() {
    let mut alerts = alerts(&config(""));
    fire(&mut alerts, MINUTE, "m", AlertKind::Drift, 2.0);
    alerts.retain(|model, _| model != "m");
    assert_eq!(told(&alerts.announce(10 * MINUTE)), ["resolved m drift to a+b+c"]);
}

#[test]
fn a_runbook_and_static_labels_are_part_of_what_is_told() {
    let mut alerts = alerts(&config(
        "  labels: [{matchers: ['model=m'], set: {team: payments}}]\n  runbooks: [{matchers: ['team=payments'], url: 'https://wiki/{kind}#{feature}'}]\n",
    ));
    alerts.observe(&window("m", MINUTE, vec![verdict(AlertKind::Drift, "a b", 2.0)]));
    let round = alerts.announce(MINUTE);
    let told = &round.announcements[0].notification;
    assert_eq!(told.runbook.as_deref(), Some("https://wiki/drift#a%20b"));
    assert_eq!(told.labels, Labels::from([("team".to_owned(), "payments".to_owned())]));
}

#[test]
fn an_order_that_makes_no_sense_is_refused_with_the_reason() {
    let mut alerts = alerts(&config(""));
    let mut refused = |matchers: &[&str], ends_at| {
        let matchers = matchers.iter().map(|one| one.parse().expect("a matcher")).collect();
        let order = AlertCommand::Silence { matchers, starts_at: None, ends_at, comment: String::new() };
        alerts.command(&order, "me", 1_000).expect_err("refused").to_string()
    };
    assert!(refused(&[], 2_000).contains("silence every alert"));
    assert!(refused(&["model=~.*"], 2_000).contains("silence every alert"));
    assert!(refused(&["model=m"], 1_000).contains("later end"));
    assert!(refused(&["model=m"; 21], 2_000).contains("at most 20"));
}

/// The severity with which a fault under the budget of this severity is told.
fn told_severity(settings: &str, kind: AlertKind, severity: Severity) -> Severity {
    let mut alerts = alerts(&config(settings));
    let verdict = VerdictView { severity: Some(severity), ..verdict(kind, "x", 2.0) };
    let window = WindowView { horizon: "calibrated".to_owned(), ..window("m", MINUTE, vec![verdict]) };
    alerts.observe(&window);
    let round = alerts.announce(MINUTE);
    let shown: Vec<Severity> = alerts.views(2).iter().map(|view| view.severity).collect();
    assert_eq!(shown, [round.announcements[0].notification.severity], "told as it is shown");
    shown[0]
}

#[test]
fn the_severity_of_a_budget_is_that_of_the_alert_unless_the_kind_has_a_configured_one() {
    use AlertKind::{DataFault, Drift};
    use Severity::{Critical, Warning};
    assert_eq!(told_severity("", DataFault, Warning), Warning);
    assert_eq!(told_severity("", DataFault, Critical), Critical);
    assert_eq!(told_severity("", Drift, Critical), Critical);
    assert_eq!(told_severity("  severity: {data_fault: critical}\n", DataFault, Warning), Critical);
    assert_eq!(told_severity("  severity: {drift: warning}\n", Drift, Critical), Warning);
    // Without a budget a fault is what it was.
    let mut classical = alerts(&config(""));
    classical.observe(&window("m", MINUTE, vec![verdict(DataFault, "x", 2.0), verdict(Drift, "y", 2.0)]));
    let round = classical.announce(MINUTE);
    let severities: Vec<_> = round.announcements.iter().map(|one| one.notification.severity).collect();
    assert_eq!(severities, [Critical, Warning]);
}

#[test]
fn a_fall_of_the_same_size_escalates_as_a_rise_does() {
    for sign in [1.0, -1.0] {
        let mut alerts = alerts(&config("  escalate: {factor: 5}\n"));
        let verdict = VerdictView { statistic: Some(0.6 * sign), ..verdict(AlertKind::Drift, "x", 6.0) };
        alerts.observe(&window("m", MINUTE, vec![verdict]));
        let round = alerts.announce(MINUTE);
        assert_eq!(round.announcements[0].notification.severity, Severity::Critical);
    }
}
