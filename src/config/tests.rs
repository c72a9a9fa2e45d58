//! Messages as a person would meet them, and that no text makes the reader panic.

use std::path::Path;

use proptest::prelude::*;

use super::{Config, ConfigErrors, SinkTarget, Span, load, parse, reference_page};

const MINIMAL: &str = "kafka: {bootstrap: 'localhost:9092', topics: [predictions]}\n";

fn errors(text: &str) -> String {
    parse(text, "a.yaml").expect_err("must be refused").to_string()
}

fn errors_of(rest: &str) -> String {
    errors(&format!("{MINIMAL}{rest}"))
}

#[test]
fn a_silence_that_would_be_forgotten_before_it_fires_is_refused() {
    let windows = "windows: {horizons: [{length: 1h, every: 30m}]}\n";
    let of = |silence: &str| format!("{MINIMAL}{windows}monitor: {{silence_after: {silence}}}\n");
    assert!(parse(&of("30m"), "a.yaml").is_ok());
    let told = errors(&of("31m"));
    assert!(told.contains("monitor.silence_after") && told.contains("at most `30m`"), "{told}");
    assert!(parse(&format!("{MINIMAL}monitor: {{silence_after: 12h}}\n"), "a.yaml").is_ok(), "the defaults");
}

#[test]
fn a_minimal_file_gets_every_default() {
    let config = parse(MINIMAL, "a.yaml").expect("minimal");
    assert_eq!(config.kafka.topics, ["predictions"]);
    assert_eq!(config.windows.horizons.len(), 3);
    assert_eq!(config.windows.horizons[2].name(), "24h");
    assert_eq!(config.windows.horizons[0].step(config.windows.pane), Span::from_mins(1));
    assert_eq!(config.http.listen.port(), 9464);
}

#[test]
fn all_problems_come_at_once_with_path_value_expectation_and_nearest_name() {
    let text = "
kafka: {bootstrap: 'localhost:9092', topics: [], start: earlyest}
window: {}
windows: {pane: 1 minute, horizons: [{length: 1h}, {length: 1h, evry: 5m}], min_rows: -3}
monitor: {floors: {psi: high}, latency: {quantiles: [0.5, 1.5]}}
alerts: {severity: {drft: critical}}
sinks: [{name: a, type: slak}, {name: b, type: webhook, uri: x}, {name: c, type: slack, url: 'https://hooks/secret'}]
http: {listen: '0.0.0.0:80'}
";
    insta::assert_snapshot!(errors(text), @r"
    alerts.severity.drft: unknown field, did you mean `drift`?
    kafka.start: `earlyest` is not understood, expected one of `earliest`, `latest`, `halt`, did you mean `earliest`?
    kafka.topics: is empty, expected a list of at least one item
    monitor.floors.psi: `high` is not understood, expected a number above 0
    monitor.latency.quantiles[1]: `1.5` is out of range, expected a number above 0 and below 1
    sinks[0].type: `slak` is not understood, expected one of `slack`, `pagerduty`, `webhook`, did you mean `slack`?
    sinks[1].uri: unknown field, did you mean `url`?
    sinks[1].url: missing, expected a text
    sinks[2].url: `***` is not understood, expected `{env: …}` or `{file: …}`
    window: unknown field, did you mean `windows`?
    windows.horizons[1].evry: unknown field, did you mean `every`?
    windows.min_rows: `-3` is out of range, expected a whole number at least 1
    windows.pane: `1 minute` is not understood, expected a length of time such as `90s`, `15m` or `24h`
    http.listen: `0.0.0.0:80` can be reached by others, and there is neither encryption nor authentication, expected a loopback address such as `127.0.0.1:9464`; `http.tls` with `http.tokens` or `http.tls.clients` and `http.metrics_token: true`; or `http.insecure_allow_remote: true` behind a proxy that protects it
    ");
}

#[test]
fn meaning_is_checked_as_a_whole_too() {
    let text = "
windows: {pane: 7m}
alerts: {fire_after: 5, of_last: 3, link_base: nowhere}
monitor: {latency: {quantiles: [0.9, 0.5]}}
sinks: [{name: a b, type: webhook, url: 'ftp://x'}, {name: c, type: slack, url: {env: ANCHORWATCH_NOT_SET}}]
actions: [{name: c, kind: retrain, url: 'http://x/y', on: [drift]}]
checkpoint: {every: 0s}
http: {listen: '0.0.0.0:80'}
";
    insta::assert_snapshot!(errors_of(text), @r"
    windows.pane: `7m` is out of range, expected a length of time that divides one hour, at most `1h`
    alerts.fire_after: `5` is out of range, expected at most alerts.of_last (`3`)
    alerts.link_base: `nowhere` is not a URL, expected `https://…` or `http://…`
    monitor.latency.quantiles: are not ascending, expected each larger than the last
    sinks[0].name: `a b` is not a name, expected letters, digits, `-`, `_` and `.`
    actions[0].name: `c` is already the name of sinks[1].name
    sinks[0].url: `ftp://x` is not a URL, expected `https://…` or `http://…`
    sinks[1].url: the environment variable ANCHORWATCH_NOT_SET is not set
    http.listen: `0.0.0.0:80` can be reached by others, and there is neither encryption nor authentication, expected a loopback address such as `127.0.0.1:9464`; `http.tls` with `http.tokens` or `http.tls.clients` and `http.metrics_token: true`; or `http.insecure_allow_remote: true` behind a proxy that protects it
    checkpoint.every: `0s` is out of range, expected a length of time above 0
    ");
}

#[test]
fn bounds_of_the_latency_histogram_are_few_positive_and_ascending() {
    let of = |bounds: &str| format!("monitor: {{latency: {{buckets_ms: {bounds}}}}}\n");
    for bounds in ["[]", "[0.5]", "[1, 2.5, 4000000]"] {
        parse(&format!("{MINIMAL}{}", of(bounds)), "a.yaml").expect("accepted");
    }
    let many = format!("{:?}", (1..=65).collect::<Vec<_>>());
    for (bounds, told) in [
        ("[10, 10]", "monitor.latency.buckets_ms: are not ascending, expected each larger than the last"),
        ("[10, 5]", "monitor.latency.buckets_ms: are not ascending, expected each larger than the last"),
        ("[0]", "buckets_ms[0]: `0` is out of range, expected a number above 0 and at most 4000000"),
        ("[5, -1]", "buckets_ms[1]: `-1` is out of range, expected a number above 0 and at most 4000000"),
        (
            "[4000001]",
            "buckets_ms[0]: `4000001` is out of range, expected a number above 0 and at most 4000000",
        ),
        ("[fast]", "buckets_ms[0]: `fast` is not understood, expected a number above 0 and at most 4000000"),
        ("[.inf]", "a.yaml:2:34: not usable YAML: non-finite float"),
        ("[.nan]", "a.yaml:2:34: not usable YAML: non-finite float"),
        (&many, "is out of range, expected a list of at most 64 items"),
    ] {
        let found = errors_of(&of(bounds));
        assert!(found.contains(told), "{bounds}: {found}");
    }
}

#[test]
fn problems_of_shape_do_not_hide_problems_of_meaning() {
    insta::assert_snapshot!(errors("kafka: {bootstrap: localhost, topics: []}\nwindow: {}"), @r"
    kafka.topics: is empty, expected a list of at least one item
    window: unknown field, did you mean `windows`?
    kafka.bootstrap: `localhost` is not an address, expected `host:port`, several separated by commas
    ");
}

#[test]
fn horizons_are_whole_panes() {
    let text =
        "windows: {pane: 5m, horizons: [{length: 12m}, {length: 1h, every: 7m}, {length: 1h, every: 2h}]}";
    insta::assert_snapshot!(errors_of(text), @r"
    windows.horizons[0].length: `12m` is out of range, expected a multiple of windows.pane (`5m`), at most 40320 of them
    windows.horizons[1].every: `7m` is out of range, expected a multiple of windows.pane (`5m`), at most the length `1h`
    windows.horizons[2].length: `1h` is listed twice
    windows.horizons[2].every: `2h` is out of range, expected a multiple of windows.pane (`5m`), at most the length `1h`
    ");
}

#[test]
fn kafka_keeps_what_nothing_lost_rests_on_and_asks_for_secrets_elsewhere() {
    let text = "
kafka:
  bootstrap: localhost
  topics: [a, a, b]
  dead_letter_topic: b
  properties: {group.id: x, enable.auto.commit: true, allow.auto.create.topics: true, sasl.password: hunter2}
";
    let message = errors(text);
    assert!(!message.contains("hunter2"), "{message}");
    insta::assert_snapshot!(message, @r"
    kafka.bootstrap: `localhost` is not an address, expected `host:port`, several separated by commas
    kafka.topics[1]: `a` is listed twice
    kafka.topics[2]: `b` is also the dead-letter topic, expected a topic of its own for refused records
    kafka.properties.group.id: cannot be set here, expected `kafka.group`
    kafka.properties.enable.auto.commit: cannot be set here, expected nothing: offsets are saved with the counts
    kafka.properties.allow.auto.create.topics: cannot be set here, expected nothing: topics are never made by reading
    kafka.properties.sasl.password: a secret does not belong in this file, expected `kafka.secret_properties.sasl.password: {file: …}` or `{env: …}`
    ");
}

#[test]
fn broken_yaml_gives_line_and_column() {
    let told = |text: &str| errors(text);
    assert_eq!(
        told("kafka:\n\tbootstrap: x"),
        "a.yaml:2:2: not usable YAML: tabs disallowed within this context (block indentation)"
    );
    assert_eq!(told("kafka: 'x"), "a.yaml:1:8: not usable YAML: unclosed quote");
    assert_eq!(told("a: *b"), "a.yaml:1:4: not usable YAML: alias references unknown anchor");
    assert_eq!(told("a: 1\n---\nb: 2"), "a.yaml:3:1: not usable YAML: multiple YAML documents detected");
    assert!(
        told("kafka:\n  bootstrap: [localhost\n  topics: x\n").starts_with("a.yaml:3:9: not usable YAML")
    );
    assert!(matches!(parse("a: [", "a.yaml"), Err(ConfigErrors::Syntax { line, .. }) if line > 0));
}

#[test]
fn duplicate_keys_are_refused() {
    let message = errors(&format!("{MINIMAL}{MINIMAL}"));
    assert_eq!(message, "a.yaml:2:1: not usable YAML: duplicate mapping key: kafka");
}

#[test]
fn an_empty_file_and_a_missing_file_say_what_to_do() {
    insta::assert_snapshot!(errors(""), @r"
    kafka: missing, expected a mapping
    ");
    insta::assert_snapshot!(errors("kafka:\n"), @r"
    kafka: has no value, expected a mapping
    ");
    let message = load(Path::new("/no/such.yaml")).expect_err("missing").to_string();
    assert!(message.contains("/no/such.yaml") && message.contains("anchorwatch check"), "{message}");
}

#[test]
fn secrets_are_never_printed() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("slack");
    std::fs::write(&file, "https://hooks.example/T0/s3cr3t\n").expect("write");
    let text = format!(
        "{MINIMAL}sinks: [{{name: a, type: slack, url: {{file: {}}}}}, {{name: b, type: webhook, url: 'http://u:s3cr3t@h/'}}]",
        file.display()
    );
    let config = parse(&text, "a.yaml").expect("good");
    let SinkTarget::Slack { url } = &config.sinks[0].target else { panic!("slack") };
    assert_eq!(url.read().expect("readable").expose(), "https://hooks.example/T0/s3cr3t");
    let printed = config.to_yaml().expect("printable");
    assert!(!printed.contains("s3cr3t") && printed.contains("***"), "{printed}");
}

#[test]
fn the_printed_configuration_is_the_same_configuration() {
    let config = load(Path::new("deploy/examples/anchorwatch.yaml")).expect("example");
    let again: Config = parse(&config.to_yaml().expect("printable"), "printed").expect("parses");
    assert_eq!(again, config);
}

#[test]
fn numbers_in_librdkafka_properties_need_no_quotes() {
    let text = "kafka: {bootstrap: 'h:1', topics: [a], properties: {session.timeout.ms: 6000, socket.keepalive.enable: true}}";
    let config = parse(text, "a.yaml").expect("good");
    assert_eq!(config.kafka.properties["session.timeout.ms"], "6000");
    assert_eq!(config.kafka.properties["socket.keepalive.enable"], "true");
}

#[test]
fn generated_pages_of_the_configuration_are_current() {
    crate::docs::compare("docs/guide/configuration.md", &reference_page());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        _ = parse(&text, "a.yaml");
    }

    #[test]
    fn no_misplaced_value_makes_the_reader_panic(
        section in "kafka|windows|sinks|monitor|alerts|actions|http|events",
        value in "(-?[0-9]{1,20}|null|\\[\\]|\\{\\}|'x'|\\[\\{type: slack\\}\\]|\\{pane: 0s\\}|\\[\\[1\\]\\]|\\{horizons: \\[3\\]\\})",
    ) {
        _ = parse(&format!("{MINIMAL}{section}: {value}\n"), "a.yaml");
    }

    #[test]
    fn every_span_reads_back_as_it_prints(millis in 0_i64..10_000_000_000) {
        let span = Span::from_millis(millis);
        prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
    }
}

#[test]
fn routes_are_checked_for_sinks_labels_expressions_and_reach() {
    let text = r##"
sinks: [{name: ops, type: webhook, url: 'http://localhost/'}]
alerts:
  labels: [{matchers: ['model=fraud'], set: {team: payments, kind: x, "1st": one}}]
  route:
    sinks: [opps]
    group_by: [model, tema]
    routes:
      - {matchers: ['kind=~drift|latency']}
      - {matchers: ['kind=drift', 'team=payments']}
      - {matchers: ['model=~(']}
      - {matchers: ['kind=volume'], continue: true, routes: [{matchers: ['kind=drift']}, {digest: 0s}]}
      - {matchers: ['kind=volume', 'severity=critical']}
      - {matchers: ['kind!~drift|latency']}
      - {matchers: ['model=churn']}
  inhibit: [{source_matchers: ['kind drift'], target_matchers: ['kind=drift'], equal: [modell]}]
  maintenance: [{name: a, from: '25:00', to: '01:00'}, {name: b, start: '2026-11-22T00:00:00Z'}]
  runbooks: [{url: 'https://wiki/{model}/{colum}'}, {url: 'wiki/{kind'}]
"##;
    insta::assert_snapshot!(errors_of(text), @r###"
    alerts.labels[0].set.1st: is not the name of a label, expected letters, digits and `_`
    alerts.labels[0].set.kind: every alert has this label by itself, expected another name
    alerts.inhibit[0].source_matchers[0]: `kind drift` is not a matcher: write a label, one of =, !=, =~, !~ and a value, for example `kind=drift`
    alerts.inhibit[0].equal[0]: no alert has a label `modell`, expected one of 1st, feature, kind, model, segment, severity, team, version, or a label set in `alerts.labels`, did you mean `model`?
    alerts.maintenance[0].from: `25:00` is not a time of day, expected `00:00` to `23:59`
    alerts.maintenance[1].end: missing, expected either `from` and `to`, or `start` and `end`
    alerts.runbooks[0].url: no alert has a label `colum`, expected one of 1st, feature, kind, model, segment, severity, team, version, or a label set in `alerts.labels`
    alerts.runbooks[1].url: has a brace that is not closed or opened
    alerts.route.sinks[0]: there is no sink `opps`, expected a name in `sinks`, did you mean `ops`?
    alerts.route.group_by[1]: no alert has a label `tema`, expected one of 1st, feature, kind, model, segment, severity, team, version, or a label set in `alerts.labels`, did you mean `team`?
    alerts.route.routes[1]: is never reached: alerts.route.routes[0] takes its alerts, expected a route that some alert reaches: put it further up, or say `continue: true` in the other
    alerts.route.routes[2].matchers[0]: `model=~(` has no usable regular expression: error: unclosed group
    alerts.route.routes[3].routes[0].matchers: no alert fits its matchers and those above it
    alerts.route.routes[3].routes[1].digest: `0s` is out of range, expected a length of time above 0, or nothing
    alerts.route.routes[6]: is never reached: alerts.route.routes[5] takes its alerts, expected a route that some alert reaches: put it further up, or say `continue: true` in the other
    "###);
}

#[test]
fn a_misspelt_field_far_down_the_routing_tree_is_named() {
    let text = "alerts: {route: {routes: [{routes: [{matchers: [], group_wiat: 5s}]}]}}";
    insta::assert_snapshot!(errors_of(text), @"alerts.route.routes[0].routes[0].group_wiat: unknown field, did you mean `group_wait`?");
    let text = "alerts: {route: {routes: [{routes: [{group_wait: soon}]}]}}";
    insta::assert_snapshot!(errors_of(text), @"alerts.route.routes[0].routes[0].group_wait: `soon` is not understood, expected a length of time such as `90s`, `15m` or `24h`");
}

#[test]
fn bounds_of_deliveries_are_checked_against_the_rest() {
    let text = "
windows: {horizons: [{length: 7d}]}
sinks:
  - {name: a, type: webhook, url: 'http://h/', content_type: text/plain}
  - {name: b, type: webhook, url: 'http://h/', content_type: \"text\", template_file: body.txt, rate_per_minute: 60}
deliver:
  tell_after: 0s
  keep_settled: 7d
  proxy: proxy
  allow_hosts: ['hooks.slack.com', 'http://h/']
  allow_cidrs: [10.0.0.0/8, 10.0.0.0/33]
";
    insta::assert_snapshot!(errors_of(text), @r"
    sinks[0].content_type: `text/plain` needs a template, expected `template_file` beside it; without one the body is a CloudEvent
    sinks[1].content_type: `text` is not one, expected such as `application/json` or `text/plain; charset=utf-8`
    deliver.tell_after: `0s` is out of range, expected a length of time above 0
    deliver.keep_settled: `7d` is out of range, expected more than the longest horizon (`7d`)
    deliver.proxy: `proxy` is not a URL, expected `https://…` or `http://…`
    deliver.allow_hosts[1]: `http://h/` is not a host, expected a host such as `hooks.slack.com`, or `.example.com` for all below
    deliver.allow_cidrs[1]: `10.0.0.0/33` is not a network, expected an address and a length, `10.20.0.0/16` or `fd12::/32`
    ");
    let wrong = errors_of(
        "sinks: [{name: a, type: slack, url: {env: PATH}, burst: 0, concurrency: 65, template_file: x}]",
    );
    assert!(wrong.contains("sinks[0].template_file: unknown field"), "{wrong}");
    assert!(wrong.contains("sinks[0].burst: `0` is out of range"), "{wrong}");
    assert!(wrong.contains("sinks[0].concurrency: `65` is out of range"), "{wrong}");
}

#[test]
fn the_client_is_not_told_to_trust_whoever_answers() {
    let message = errors(
        "
kafka:
  bootstrap: b:9093
  topics: [a]
  properties:
    security.protocol: ssl
    enable.ssl.certificate.verification: 'False'
    ssl.endpoint.identification.algorithm: none
",
    );
    insta::assert_snapshot!(message, @r"
    kafka.properties.enable.ssl.certificate.verification: would talk to whoever answers, expected `kafka.tls.ca_file` with the authority of the brokers; where only the name in the certificate is another one, `kafka.tls.insecure_skip_hostname: true`
    kafka.properties.ssl.endpoint.identification.algorithm: would talk to whoever answers, expected `kafka.tls.ca_file` with the authority of the brokers; where only the name in the certificate is another one, `kafka.tls.insecure_skip_hostname: true`
    ");
}

#[test]
fn what_is_configured_beside_windows_must_fit_into_half_of_the_memory() {
    let with = |max: u64, events: &str| {
        parse(&format!("{MINIMAL}memory: {{max: {max}}}\nevents: {events}\n"), "test")
            .map_err(|e| e.to_string())
    };
    assert!(with(1_000_000_000, "{dedup: {last: 5000000}}").is_ok());
    for events in ["{dedup: {last: 100000000}}", "{labels: {max: 100000000}}"] {
        let refused = with(1_000_000_000, events).expect_err("it does not fit");
        assert!(refused.contains("memory.max: ") && refused.contains("half of 1000 MB"), "{refused}");
    }
}
