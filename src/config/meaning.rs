//! The meaning of a configuration: what no schema can say, such as that a horizon is a whole number of panes.

use std::collections::BTreeMap;

use super::{
    Action, ActionGuards, ActionMode, Config, Horizon, Kafka, Problem, Sasl, SaslMechanism, SecretSource,
    Sink, SinkTarget, Span, Windows,
};

/// Longest pane.
const MAX_PANE: Span = Span::from_hours(1);
/// Most panes in a horizon: four weeks of one-minute panes.
const MAX_PANES: i64 = 40_320;
/// Fewest characters of a key for approval tokens.
const MIN_APPROVAL_KEY: usize = 32;
/// Properties of librdkafka that have a field of their own, or on which nothing-lost rests.
const OWN_PROPERTIES: [(&str, &str); 14] = [
    ("bootstrap.servers", "`kafka.bootstrap`"),
    ("metadata.broker.list", "`kafka.bootstrap`"),
    ("group.id", "`kafka.group`"),
    ("auto.offset.reset", "`kafka.start`"),
    ("enable.auto.commit", "nothing: offsets are saved with the counts"),
    ("enable.auto.offset.store", "nothing: offsets are saved with the counts"),
    ("allow.auto.create.topics", "nothing: topics are never made by reading"),
    ("client.rack", "`kafka.rack`"),
    ("queued.max.messages.kbytes", "`kafka.fetch.queue_kib`"),
    ("fetch.message.max.bytes", "`kafka.fetch.partition_kib`"),
    ("max.partition.fetch.bytes", "`kafka.fetch.partition_kib`"),
    ("fetch.max.bytes", "`kafka.fetch.response_kib`"),
    ("receive.message.max.bytes", "`kafka.fetch.response_kib`"),
    ("statistics.interval.ms", "`kafka.statistics_every`"),
];

/// All problems of meaning. Reads the files and variables named as secrets, and nothing else.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    kafka(&config.kafka, &mut found);
    windows(&config.windows, &mut found);
    silence(config, &mut found);
    life_cycle(config, &mut found);
    super::alert_meaning::problems(config, &mut found);
    super::sequential::problems(&config.monitor.sequential, &mut found);
    names(config, &mut found);
    for (index, one) in config.sinks.iter().enumerate() {
        sink(&format!("sinks[{index}]"), one, &mut found);
    }
    for (index, one) in config.actions.iter().enumerate() {
        action(&format!("actions[{index}]"), one, &mut found);
    }
    action_guards(&config.action_guards, &mut found);
    deliveries(config, &mut found);
    super::http::problems(&config.http, &mut found);
    super::avro::problems(&config.events, &mut found);
    super::memory::problems(config, &mut found);
    above_zero("events.labels.wait", config.events.labels.wait, &mut found);
    above_zero("checkpoint.every", config.checkpoint.every, &mut found);
    if let Some(backup) = &config.checkpoint.backup {
        above_zero("checkpoint.backup.every", backup.every, &mut found);
        destination(&backup.to, &mut found);
    }
    found
}

fn kafka(kafka: &Kafka, found: &mut Vec<Problem>) {
    let is_address = |text: &str| {
        text.trim()
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    for server in kafka.bootstrap.split(',').filter(|server| !is_address(server)) {
        let what = format!("`{server}` is not an address");
        found.push(Problem::at("kafka.bootstrap", what).expected("`host:port`, several separated by commas"));
    }
    for (index, topic) in kafka.topics.iter().enumerate() {
        let path = || format!("kafka.topics[{index}]");
        if kafka.topics[..index].contains(topic) {
            found.push(Problem::at(path(), format!("`{topic}` is listed twice")));
        }
        if kafka.dead_letter_topic.as_ref() == Some(topic) {
            let what = format!("`{topic}` is also the dead-letter topic");
            found.push(Problem::at(path(), what).expected("a topic of its own for refused records"));
        }
    }
    for (name, instead) in OWN_PROPERTIES {
        for (field, set) in [
            ("properties", kafka.properties.contains_key(name)),
            ("secret_properties", kafka.secret_properties.contains_key(name)),
        ] {
            if set {
                found.push(
                    Problem::at(format!("kafka.{field}.{name}"), "cannot be set here").expected(instead),
                );
            }
        }
    }
    for name in kafka.properties.keys().filter(|name| super::print::is_secret_name(name)) {
        let problem =
            Problem::at(format!("kafka.properties.{name}"), "a secret does not belong in this file");
        found
            .push(problem.expected(format!("`kafka.secret_properties.{name}: {{file: …}}` or `{{env: …}}`")));
    }
    above_zero("kafka.statistics_every", kafka.statistics_every, found);
    connection(kafka, found);
    for (name, source) in &kafka.secret_properties {
        secret(format!("kafka.secret_properties.{name}"), source, found);
    }
}

/// How long a version has been silent is known as far back as panes are kept, and must be seen often enough to fire.
fn silence(config: &Config, found: &mut Vec<Problem>) {
    let (windows, alerts) = (&config.windows, &config.alerts);
    let step = |horizon: &Horizon| horizon.step(windows.pane).millis();
    let kept = windows.horizons.iter().map(|one| one.length.millis() + step(one)).max();
    let looks = windows.horizons.first().map(step).map(|step| step * i64::from(alerts.fire_after));
    let longest = Span::from_millis(kept.zip(looks).map_or(0, |(kept, looks)| (kept - looks).max(0)));
    if let Some(asked) = config.monitor.silence_after.filter(|asked| *asked > longest) {
        let what = format!("`{asked}` is longer than the windows remember a version that sends nothing");
        let expected = format!("at most `{longest}`, or a longer horizon in `windows.horizons`");
        found.push(Problem::at("monitor.silence_after", what).expected(expected));
    }
}

fn above_zero(path: &str, span: Span, found: &mut Vec<Problem>) {
    if span.millis() == 0 {
        found.push(
            Problem::at(path, format!("`{span}` is out of range")).expected("a length of time above 0"),
        );
    }
}

/// Schemes of places for copies; anything without one is a folder.
const DESTINATIONS: [&str; 4] = ["file", "s3", "gs", "az"];

fn destination(to: &str, found: &mut Vec<Problem>) {
    let scheme = to.split_once("://").map(|(scheme, _)| scheme);
    if let Some(scheme) = scheme.filter(|scheme| !DESTINATIONS.contains(scheme)) {
        let problem = Problem::at("checkpoint.backup.to", format!("`{scheme}://` is not understood"));
        found.push(problem.expected("a folder, or `file://…`, `s3://…`, `gs://…` or `az://…`"));
    }
}

/// Properties of librdkafka that leave it open who answers, and the values that do.
const UNVERIFIED: [(&str, &[&str]); 2] = [
    ("enable.ssl.certificate.verification", &["false", "0", "f", "no", "off"]),
    ("ssl.endpoint.identification.algorithm", &["none"]),
];

/// Typed settings of the connection and properties of librdkafka must not contradict each other, and none of them may
/// quietly talk to whoever answers.
fn connection(kafka: &Kafka, found: &mut Vec<Problem>) {
    for (name, off) in UNVERIFIED {
        let value = kafka.properties.get(name).map(|value| value.trim().to_ascii_lowercase());
        if value.is_some_and(|value| off.contains(&value.as_str()))
            || kafka.secret_properties.contains_key(name)
        {
            let problem = Problem::at(format!("kafka.properties.{name}"), "would talk to whoever answers");
            found.push(problem.expected(
                "`kafka.tls.ca_file` with the authority of the brokers; where only the name in the certificate is another one, \
                 `kafka.tls.insecure_skip_hostname: true`",
            ));
        }
    }
    if kafka.tls.is_some() || kafka.sasl.is_some() {
        let names = kafka.properties.keys().map(|name| ("properties", name));
        let secrets = kafka.secret_properties.keys().map(|name| ("secret_properties", name));
        for (field, name) in names.chain(secrets) {
            if name == "security.protocol" || name.starts_with("sasl.") || name.starts_with("ssl.") {
                let problem = Problem::at(format!("kafka.{field}.{name}"), "cannot be set here");
                found.push(problem.expected("`kafka.tls` and `kafka.sasl`, or properties, but not both"));
            }
        }
    }
    if let Some(tls) = &kafka.tls {
        if tls.certificate_file.is_some() != tls.key_file.is_some() {
            let (there, missing) = match tls.key_file {
                None => ("certificate_file", "kafka.tls.key_file"),
                Some(_) => ("key_file", "kafka.tls.certificate_file"),
            };
            let problem = Problem::at(missing, "missing");
            found.push(problem.expected(format!("the file that belongs to `kafka.tls.{there}`")));
        }
        if let Some(password) = &tls.key_password {
            secret("kafka.tls.key_password".to_owned(), password, found);
        }
    }
    if let Some(sasl) = &kafka.sasl {
        credentials(sasl, found);
    }
}

fn credentials(sasl: &Sasl, found: &mut Vec<Problem>) {
    let by_token = sasl.mechanism == SaslMechanism::OauthBearer;
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for (field, is_set, of_token) in [
        ("username", sasl.username.is_some(), false),
        ("password", sasl.password.is_some(), false),
        ("token_file", sasl.token_file.is_some(), true),
    ] {
        match (is_set, of_token == by_token) {
            (false, true) => wanted.push(field),
            (true, false) if field != "username" => unwanted.push(field),
            _ => {}
        }
    }
    let mechanism = sasl.mechanism.as_str();
    for field in wanted {
        let problem = Problem::at(format!("kafka.sasl.{field}"), "missing");
        found.push(problem.expected(format!("what `{mechanism}` needs")));
    }
    for field in unwanted {
        let what = format!("is not used by `{mechanism}`");
        found.push(Problem::at(format!("kafka.sasl.{field}"), what));
    }
    if let Some(password) = &sasl.password {
        secret("kafka.sasl.password".to_owned(), password, found);
    }
}

fn windows(windows: &Windows, found: &mut Vec<Problem>) {
    let pane = windows.pane;
    if pane.millis() == 0 || pane > MAX_PANE || MAX_PANE.millis() % pane.millis() != 0 {
        let problem = Problem::at("windows.pane", format!("`{pane}` is out of range"));
        found.push(problem.expected("a length of time that divides one hour, at most `1h`"));
        return;
    }
    for (index, one) in windows.horizons.iter().enumerate() {
        let path = format!("windows.horizons[{index}]");
        if windows.horizons[..index].iter().any(|other| other.length == one.length) {
            found.push(Problem::at(format!("{path}.length"), format!("`{}` is listed twice", one.length)));
        }
        horizon(&path, one, pane, found);
    }
    above_zero("windows.idle_after", windows.idle_after, found);
    above_zero("windows.stalled_after", windows.stalled_after, found);
}

fn horizon(path: &str, horizon: &Horizon, pane: Span, found: &mut Vec<Problem>) {
    let length = horizon.length;
    let whole = |span: Span| span.millis() > 0 && span.millis() % pane.millis() == 0;
    if !whole(length) || length.millis() / pane.millis() > MAX_PANES {
        let what = format!("`{length}` is out of range");
        let expected = format!("a multiple of windows.pane (`{pane}`), at most {MAX_PANES} of them");
        found.push(Problem::at(format!("{path}.length"), what).expected(expected));
    }
    if let Some(every) = horizon.every.filter(|every| !whole(*every) || *every > length) {
        let what = format!("`{every}` is out of range");
        let expected = format!("a multiple of windows.pane (`{pane}`), at most the length `{length}`");
        found.push(Problem::at(format!("{path}.every"), what).expected(expected));
    }
}

fn life_cycle(config: &Config, found: &mut Vec<Problem>) {
    let alerts = &config.alerts;
    if alerts.fire_after > alerts.of_last {
        let problem = Problem::at("alerts.fire_after", format!("`{}` is out of range", alerts.fire_after));
        found.push(problem.expected(format!("at most alerts.of_last (`{}`)", alerts.of_last)));
    }
    if let Some(link) = &alerts.link_base {
        address("alerts.link_base".to_owned(), link, found);
    }
    let latency = &config.monitor.latency;
    for (name, list) in [("quantiles", &latency.quantiles), ("buckets_ms", &latency.buckets_ms)] {
        if list.windows(2).any(|pair| pair[0] >= pair[1]) {
            let problem = Problem::at(format!("monitor.latency.{name}"), "are not ascending");
            found.push(problem.expected("each larger than the last"));
        }
    }
}

/// Names are labels and keys of the outbox: unique over sinks and actions, and of plain letters.
fn names(config: &Config, found: &mut Vec<Problem>) {
    let sinks =
        config.sinks.iter().enumerate().map(|(index, sink)| (format!("sinks[{index}].name"), &sink.name));
    let actions = config
        .actions
        .iter()
        .enumerate()
        .map(|(index, action)| (format!("actions[{index}].name"), &action.name));
    let mut known: BTreeMap<&str, String> = BTreeMap::new();
    for (path, name) in sinks.chain(actions) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.chars().all(plain) {
            let problem = Problem::at(&path, format!("`{name}` is not a name"));
            found.push(problem.expected("letters, digits, `-`, `_` and `.`"));
        }
        if let Some(first) = known.get(name.as_str()) {
            found.push(Problem::at(path, format!("`{name}` is already the name of {first}")));
        } else {
            known.insert(name, path);
        }
    }
}

fn sink(path: &str, sink: &Sink, found: &mut Vec<Problem>) {
    match &sink.target {
        SinkTarget::Slack { url } => secret_address(format!("{path}.url"), url, found),
        SinkTarget::Pagerduty { routing_key, url } => {
            secret(format!("{path}.routing_key"), routing_key, found);
            address(format!("{path}.url"), url, found);
        }
        SinkTarget::Webhook { url, secret: signing, template_file, content_type } => {
            address(format!("{path}.url"), url, found);
            if let (Some(content_type), None) = (content_type, template_file) {
                let what = format!("`{content_type}` needs a template");
                found.push(
                    Problem::at(format!("{path}.content_type"), what)
                        .expected("`template_file` beside it; without one the body is a CloudEvent"),
                );
            }
            if let Some(text) = content_type.as_ref().filter(|text| !is_content_type(text)) {
                let problem = Problem::at(format!("{path}.content_type"), format!("`{text}` is not one"));
                found.push(problem.expected("such as `application/json` or `text/plain; charset=utf-8`"));
            }
            if let Some(signing) = signing {
                secret(format!("{path}.secret"), signing, found);
            }
        }
    }
}

fn action(path: &str, action: &Action, found: &mut Vec<Problem>) {
    address(format!("{path}.url"), &action.url, found);
    if let Some(signing) = &action.secret {
        secret(format!("{path}.secret"), signing, found);
    }
    if action.approvals > 1 && action.mode != ActionMode::Approve {
        let what = format!("`{}` has no meaning without `mode: approve`", action.approvals);
        found.push(Problem::at(format!("{path}.approvals"), what));
    }
    if action.confirm_within.is_some_and(|span| span.millis() == 0) {
        let problem = Problem::at(format!("{path}.confirm_within"), "`0s` is out of range");
        found.push(problem.expected("a length of time above 0"));
    }
}

fn action_guards(guards: &ActionGuards, found: &mut Vec<Problem>) {
    if let Some(key) = &guards.approval_key {
        secret("action_guards.approval_key".to_owned(), key, found);
        if key.read().is_ok_and(|key| key.expose().len() < MIN_APPROVAL_KEY) {
            let what = format!("the {key} holds a key that can be guessed");
            let problem = Problem::at("action_guards.approval_key", what);
            found.push(problem.expected("at least 32 characters: `openssl rand -hex 32`"));
        }
    }
    for (field, span) in [("approval_ttl", guards.approval_ttl), ("blast_within", guards.blast_within)] {
        if span.millis() == 0 {
            let problem = Problem::at(format!("action_guards.{field}"), "`0s` is out of range");
            found.push(problem.expected("a length of time above 0"));
        }
    }
    if guards.kill_switch_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        found.push(Problem::at("action_guards.kill_switch_file", "is empty").expected("the path of a file"));
    }
}

fn is_content_type(text: &str) -> bool {
    let printable = text.len() <= 255 && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let name = |part: &str| !part.is_empty() && !part.contains([' ', '/']);
    let essence = text.split(';').next().unwrap_or_default().trim();
    printable && essence.split_once('/').is_some_and(|(kind, of)| name(kind) && name(of))
}

/// Bounds of deliveries that only make sense together with others.
fn deliveries(config: &Config, found: &mut Vec<Problem>) {
    let deliver = &config.deliver;
    for (name, span) in [
        ("tell_after", deliver.tell_after),
        ("give_up_after", deliver.give_up_after),
        ("connect_timeout", deliver.connect_timeout),
        ("timeout", deliver.timeout),
    ] {
        if span.millis() == 0 {
            let problem = Problem::at(format!("deliver.{name}"), "`0s` is out of range");
            found.push(problem.expected("a length of time above 0"));
        }
    }
    let longest = config.windows.horizons.iter().map(|horizon| horizon.length).max();
    if let Some(longest) = longest.filter(|longest| deliver.keep_settled <= *longest) {
        let what = format!("`{}` is out of range", deliver.keep_settled);
        let expected = format!("more than the longest horizon (`{longest}`)");
        found.push(Problem::at("deliver.keep_settled", what).expected(expected));
    }
    if let Some(proxy) = &deliver.proxy {
        address("deliver.proxy".to_owned(), proxy, found);
    }
    for (index, host) in deliver.allow_hosts.iter().enumerate() {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
        if host.trim_matches('.').is_empty() || !host.chars().all(plain) {
            let problem =
                Problem::at(format!("deliver.allow_hosts[{index}]"), format!("`{host}` is not a host"));
            found.push(problem.expected("a host such as `hooks.slack.com`, or `.example.com` for all below"));
        }
    }
    for (index, network) in deliver.allow_cidrs.iter().enumerate() {
        if network.parse::<ipnet::IpNet>().is_err() {
            let path = format!("deliver.allow_cidrs[{index}]");
            let problem = Problem::at(path, format!("`{network}` is not a network"));
            found.push(problem.expected("an address and a length, `10.20.0.0/16` or `fd12::/32`"));
        }
    }
}

fn secret(path: String, source: &SecretSource, found: &mut Vec<Problem>) {
    if let Err(error) = source.read() {
        found.push(Problem::at(path, error.to_string()));
    }
}

fn secret_address(path: String, source: &SecretSource, found: &mut Vec<Problem>) {
    match source.read() {
        Err(error) => found.push(Problem::at(path, error.to_string())),
        Ok(text) if !is_address(text.expose()) => {
            let what = format!("the {source} does not hold a URL");
            found.push(Problem::at(path, what).expected("`https://…` or `http://…`"));
        }
        Ok(_) => {}
    }
}

pub(super) fn address(path: String, text: &str, found: &mut Vec<Problem>) {
    if !is_address(text) {
        // What is not understood may hold a password all the same.
        let shown = if text.contains(['@', '?']) { super::REDACTED } else { text };
        found
            .push(Problem::at(path, format!("`{shown}` is not a URL")).expected("`https://…` or `http://…`"));
    }
}

fn is_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
