//! `anchorwatch alerts`: list, show, acknowledge, silence; and where an alert would go.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chrono::DateTime;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, ClientArgs};
use super::table::{Output, percent, when, write_json, write_table};
use crate::alert::{self, DriftShare, Labels, parse_all};
use crate::config::{self, Span};
use crate::subject::Millis;
use crate::view::{AlertView, SilenceState, SilenceView};

/// Alerts of a running daemon, its silences, and its routes.
#[derive(Debug, Args)]
pub struct AlertsCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List alerts, those that are resolved last.
    List {
        /// Only those in this state: pending, firing, acknowledged, insufficient, no_data, resolved.
        #[arg(long)]
        state: Option<String>,
        /// Only those of this model.
        #[arg(long)]
        model: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show everything about the alerts of a group.
    Show {
        /// The group, as in the list, or an unambiguous part of it.
        group: String,
        #[command(flatten)]
        common: Common,
    },
    /// Take the episode of a group on: it is not repeated until it resolves.
    Acknowledge {
        /// The group, as in the list, or an unambiguous part of it.
        group: String,
        /// Why, or what is being done.
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        common: Common,
    },
    /// Silences: alerts that fit are not told while they hold.
    Silence {
        #[command(subcommand)]
        command: SilenceCommand,
    },
    /// Show which sinks of a configuration would hear of an alert, and why.
    Route {
        /// Labels of the alert, `model=fraud kind=drift`.
        #[arg(required = true)]
        labels: Vec<String>,
        /// The configuration file.
        #[arg(long, env = "ANCHORWATCH_CONFIG", default_value = "anchorwatch.yaml")]
        config: PathBuf,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
enum SilenceCommand {
    /// Create a silence.
    Add {
        /// Conditions, `model=fraud` or `kind=~"drift|latency"`; all must hold.
        #[arg(required = true)]
        matchers: Vec<String>,
        /// How long it holds, `2h`.
        #[arg(
            long = "for",
            value_name = "TIME",
            conflicts_with = "until",
            required_unless_present = "until"
        )]
        length: Option<Span>,
        /// Until when, `2026-11-22T18:00:00Z`.
        #[arg(long, value_parser = instant)]
        until: Option<Millis>,
        /// From when; by default from now on.
        #[arg(long, value_parser = instant)]
        from: Option<Millis>,
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        common: Common,
    },
    /// List silences.
    List {
        /// Those that are over as well.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        common: Common,
    },
    /// End a silence now.
    Expire {
        /// Its id, `s4`.
        id: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    client: ClientArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

fn instant(text: &str) -> Result<Millis, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.timestamp_millis())
        .map_err(|_| "write a time with zone such as `2026-11-22T18:00:00Z`".to_owned())
}

impl AlertsCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When the daemon cannot be reached or refuses, or there is no such thing.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        match &self.command {
            Command::List { state, model, common } => list(state.as_deref(), model.as_deref(), common, out),
            Command::Show { group, common } => show(group, common, out),
            Command::Acknowledge { group, comment, common } => acknowledge(group, comment, common, out),
            Command::Silence { command } => command.run(out),
            Command::Route { labels, config, output } => route(labels, config, *output, out),
        }
    }
}

/// Every item of a list, page by page.
fn all_items(client: &Client, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Vec<Value>> {
    let mut items = Vec::new();
    loop {
        let offset = items.len().to_string();
        let query: Vec<(&str, &str)> =
            query.iter().copied().chain([("limit", "1000"), ("offset", &offset)]).collect();
        let mut page = client.get(path, &query)?;
        if let Value::Array(more) = page["items"].take() {
            items.extend(more);
        }
        if page["next_offset"].is_null() {
            return Ok(items);
        }
    }
}

fn alerts(client: &Client, query: &[(&str, &str)]) -> anyhow::Result<Vec<AlertView>> {
    let items = all_items(client, "/api/v1/alerts", query)?;
    let mut alerts: Vec<AlertView> = serde_json::from_value(Value::Array(items))
        .context("the daemon's answer is not understood: is it of this version?")?;
    alerts.sort_by_key(|alert| (alert.state, std::cmp::Reverse(alert.changed_at)));
    Ok(alerts)
}

fn list(
    state: Option<&str>,
    model: Option<&str>,
    common: &Common,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let asked = [("state", state), ("model", model)];
    let query: Vec<(&str, &str)> =
        asked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let alerts = alerts(&common.client.client()?, &query)?;
    if common.output == Output::Json {
        return Ok(write_json(out, &alerts)?);
    }
    let rows: Vec<[String; 7]> = alerts.iter().map(row).collect();
    Ok(write_table(out, ["STATE", "SEVERITY", "COLUMN", "HORIZON", "SINCE", "GROUP", "NOTE"], &rows)?)
}

fn row(alert: &AlertView) -> [String; 7] {
    let segment = alert.segment.as_ref().map_or_else(String::new, |segment| format!(" [{segment}]"));
    let by = alert.acknowledged_by.as_ref().map(|by| format!("acknowledged by {by}"));
    let note: Vec<String> =
        alert.suppressed_by.iter().cloned().chain(by).chain(alert.comment.clone()).collect();
    [
        alert.state.as_str().to_owned(),
        alert.severity.as_str().to_owned(),
        format!("{}{segment}", alert.column),
        alert.horizon.clone(),
        when(alert.since),
        alert.group.clone(),
        note.join("; "),
    ]
}

/// The one group whose name is `asked` or contains it.
fn group_named(alerts: &[AlertView], asked: &str) -> anyhow::Result<String> {
    let mut names: Vec<&str> = alerts.iter().map(|alert| alert.group.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.contains(&asked) {
        return Ok(asked.to_owned());
    }
    let found: Vec<&str> = names.into_iter().filter(|name| name.contains(asked)).collect();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => bail!("no group of alerts is named `{asked}`: see `anchorwatch alerts list`"),
        several => bail!("`{asked}` names {} groups: {}", several.len(), several.join(", ")),
    }
}

fn show(group: &str, common: &Common, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut alerts = alerts(&common.client.client()?, &[])?;
    let name = group_named(&alerts, group)?;
    alerts.retain(|alert| alert.group == name);
    if common.output == Output::Json {
        return Ok(write_json(out, &alerts)?);
    }
    for alert in &alerts {
        describe(alert, out)?;
    }
    Ok(())
}

/// What is said of an alert whose limit is assumed.
const ASSUMED: &str = "how windows differ: the baseline does not show it";

fn describe(alert: &AlertView, out: &mut dyn Write) -> std::io::Result<()> {
    let [state, severity, column, horizon, since, group, note] = row(alert);
    writeln!(out, "{} {} of {} {}: {column}", state, alert.kind.as_str(), alert.model, alert.version)?;
    let labels: Vec<String> =
        alert.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let moved = alert.moved.iter().map(|one| format!("{} {:.3} → {:.3}", one.bin, one.from, one.to));
    let evidence = format!("{} {:.3} over {:.3}", alert.detector, alert.statistic, alert.threshold);
    let told = alert.explained.as_deref();
    let share = |one: &DriftShare| {
        let slice = one.slice.as_ref().map_or_else(String::new, |slice| format!(" in {slice}"));
        format!("{}{slice} {}", one.column, percent(one.share))
    };
    let shares = told.map_or(&[][..], |told| &told.shares).iter().map(share);
    let slices = told.map_or(&[][..], |told| &told.slices).iter();
    let slices = slices.map(|one| format!("{} ({} {:.1} sd)", one.slice, one.kind, one.z));
    let lines = [
        ("group", group),
        ("severity", severity),
        ("horizon", horizon),
        ("since", since),
        ("changed", when(alert.changed_at)),
        ("evidence", evidence),
        ("assumed", if told.is_some_and(|told| told.assumed) { ASSUMED } else { "" }.to_owned()),
        ("began", told.and_then(|told| told.change_since).map(when).unwrap_or_default()),
        ("moved", moved.collect::<Vec<_>>().join(", ")),
        ("drift", shares.collect::<Vec<_>>().join(", ")),
        ("most in", slices.collect::<Vec<_>>().join(", ")),
        ("again", told.and_then(|told| told.command.clone()).unwrap_or_default()),
        ("labels", labels.join(" ")),
        ("runbook", alert.runbook.clone().unwrap_or_default()),
        ("note", note),
    ];
    for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
        writeln!(out, "  {name:<9} {text}")?;
    }
    Ok(())
}

fn acknowledge(group: &str, comment: &str, common: &Common, out: &mut dyn Write) -> anyhow::Result<()> {
    let client = common.client.client()?;
    let group = group_named(&alerts(&client, &[])?, group)?;
    let answer = client.post("/api/v1/alerts/acknowledge", &json!({"group": group, "comment": comment}))?;
    match common.output {
        Output::Json => write_json(out, &answer)?,
        Output::Table => writeln!(out, "acknowledged {group}")?,
    }
    Ok(())
}

impl SilenceCommand {
    fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Add { matchers, length, until, from, comment, common } => {
                parse_all(matchers)?;
                let mut body = json!({"matchers": matchers, "comment": comment, "starts_at": from});
                match length {
                    Some(length) => body["duration"] = json!(length),
                    None => body["ends_at"] = json!(until),
                }
                let answer = common.client.client()?.post("/api/v1/silences", &body)?;
                done(&answer, &format!("silenced as {}", text(&answer["id"])), common, out)
            }
            Self::List { all, common } => silences(*all, common, out),
            Self::Expire { id, common } => {
                let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
                anyhow::ensure!(
                    is_id && !id.is_empty(),
                    "`{id}` is not the id of a silence: see `anchorwatch alerts silence list`"
                );
                let answer =
                    common.client.client()?.post(&format!("/api/v1/silences/{id}/expire"), &json!({}))?;
                done(&answer, &format!("{id} has ended"), common, out)
            }
        }
    }
}

fn done(answer: &Value, said: &str, common: &Common, out: &mut dyn Write) -> anyhow::Result<()> {
    match common.output {
        Output::Json => write_json(out, answer)?,
        Output::Table => writeln!(out, "{said}")?,
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn silences(all: bool, common: &Common, out: &mut dyn Write) -> anyhow::Result<()> {
    let items = all_items(&common.client.client()?, "/api/v1/silences", &[])?;
    let mut silences: Vec<SilenceView> = serde_json::from_value(Value::Array(items))
        .context("the daemon's answer is not understood: is it of this version?")?;
    silences.retain(|silence| all || silence.state != SilenceState::Expired);
    if common.output == Output::Json {
        return Ok(write_json(out, &silences)?);
    }
    let row = |silence: &SilenceView| {
        let state = match silence.state {
            SilenceState::Pending => "pending",
            SilenceState::Active => "active",
            SilenceState::Expired => "expired",
        };
        let id = silence.id.clone();
        let (by, comment) = (silence.created_by.clone(), silence.comment.clone());
        [id, state.to_owned(), silence.matchers.join(", "), when(silence.ends_at), by, comment]
    };
    let rows: Vec<[String; 6]> = silences.iter().map(row).collect();
    Ok(write_table(out, ["ID", "STATE", "MATCHERS", "ENDS", "BY", "COMMENT"], &rows)?)
}

fn route(
    labels: &[String],
    file: &std::path::Path,
    output: Output,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let config = config::load(file)?;
    let mut given = Labels::new();
    for text in labels {
        let (name, value) = text
            .split_once('=')
            .with_context(|| format!("`{text}` is no label: write a name and a value, `model=fraud`"))?;
        let known = alert::OWN_LABELS.contains(&name)
            || config.alerts.labels.iter().any(|rule| rule.set.contains_key(name));
        let all = alert::OWN_LABELS.join(", ");
        anyhow::ensure!(known, "no alert has a label `{name}`: there are {all} and those of `alerts.labels`");
        given.insert(name.to_owned(), value.to_owned());
    }
    let (labels, found) = alert::explain(&config, &given);
    if output == Output::Json {
        return Ok(write_json(out, &json!({"labels": labels, "routes": found}))?);
    }
    let shown: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    writeln!(out, "{}", shown.join(" "))?;
    for one in &found {
        let matchers =
            if one.matchers.is_empty() { "everything".to_owned() } else { one.matchers.join(", ") };
        writeln!(out, "{}, which takes {matchers}", one.route)?;
        let listed = |names: &[String]| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        writeln!(out, "  tells       {}", listed(&one.sinks))?;
        if !one.filtered.is_empty() {
            writeln!(out, "  filtered    {} (by its own kinds or min_severity)", one.filtered.join(", "))?;
        }
        writeln!(out, "  groups by   {}", one.group_by.join(", "))?;
        if let Some(length) = one.digest {
            writeln!(out, "  collected   in a digest every {}", Span::from_millis(length))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
kafka: {bootstrap: 'h:1', topics: [predictions]}
sinks:
  - {name: ops, type: webhook, url: 'http://localhost/a'}
  - {name: night, type: webhook, url: 'http://localhost/b', min_severity: critical}
  - {name: payments, type: webhook, url: 'http://localhost/c', kinds: [drift]}
alerts:
  labels: [{matchers: ['model=~fraud.*'], set: {team: payments}}]
  route:
    sinks: [ops]
    routes:
      - {matchers: ['severity=critical'], sinks: [night], continue: true}
      - {matchers: ['team=payments'], sinks: [payments], digest: 24h}
"#;

    fn routed(labels: &[&str]) -> anyhow::Result<String> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, CONFIG)?;
        let labels: Vec<String> = labels.iter().map(|one| (*one).to_owned()).collect();
        let mut out = Vec::new();
        route(&labels, &file, Output::Table, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn a_route_says_who_is_told_and_why() {
        insta::assert_snapshot!(routed(&["model=fraud-eu", "kind=drift", "severity=critical"]).expect("good"), @r###"
        kind="drift" model="fraud-eu" severity="critical" team="payments"
        alerts.route.routes[0], which takes severity="critical"
          tells       night
          groups by   model, version, kind
        alerts.route.routes[1], which takes team="payments"
          tells       payments
          groups by   model, version, kind
        "###);
        insta::assert_snapshot!(routed(&["model=fraud-eu", "kind=volume", "severity=warning"]).expect("good"), @r###"
        kind="volume" model="fraud-eu" severity="warning" team="payments"
        alerts.route.routes[1], which takes team="payments"
          tells       nobody
          filtered    payments (by its own kinds or min_severity)
          groups by   model, version, kind
          collected   in a digest every 24h
        "###);
        insta::assert_snapshot!(routed(&["model=churn"]).expect("good"), @r###"
        model="churn"
        alerts.route, which takes everything
          tells       ops
          groups by   model, version, kind
        "###);
    }

    #[test]
    fn a_label_that_no_alert_has_is_refused() {
        let error = routed(&["modle=x"]).expect_err("misspelt").to_string();
        assert!(error.contains("modle") && error.contains("model, version"), "{error}");
        assert!(routed(&["model"]).expect_err("no value").to_string().contains("`model=fraud`"));
    }
}
