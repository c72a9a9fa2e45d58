//! What the demo found: incident by incident, and every alert that no incident explains.

use std::collections::BTreeSet;
use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::alert::{AlertKind, Finding, Notification, Transition};
use crate::monitor::calibrated::PERFORMANCE;
use crate::subject::Millis;

const DAY: Millis = 86_400_000;
/// How long after an incident its windows still hold its rows: the longest horizon of the demo.
const AFTERMATH: Millis = DAY;
/// What the model says, and how well: both move when its inputs do.
const OUTPUTS: [&str; 3] = ["score", "prediction", PERFORMANCE];
/// What comes true: it moves when the world does, and not when the data break.
const OUTCOME: &str = "label";

/// One incident of `incidents.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Incident {
    name: String,
    from: chrono::NaiveDate,
    to: chrono::NaiveDate,
    kind: String,
    fields: Vec<String>,
    what: String,
}

impl Incident {
    fn begins(&self) -> Millis {
        self.from.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()
    }

    fn ends(&self) -> Millis {
        self.to.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()
    }

    /// Whether the world changed, and not the data.
    fn is_real(&self) -> bool {
        self.kind == "real_drift"
    }

    /// Whether an alert speaks of one of its fields (latency is a field by another name), begun while the incident's rows
    /// were in a window.
    fn is_told_by(&self, alert: &Episode) -> bool {
        let named = self.fields.iter().any(|field| {
            alert.column.split(':').any(|column| column == field)
                || (field == "latency_ms" && alert.kind == AlertKind::Latency)
        });
        named && self.covers(alert)
    }

    /// Whether an alert speaks of this incident or of what follows from it.
    fn explains(&self, alert: &Episode) -> bool {
        let column = alert.column.as_str();
        let consequence = OUTPUTS.contains(&column) || (self.is_real() && column == OUTCOME);
        self.is_told_by(alert) || (consequence && self.covers(alert))
    }

    fn covers(&self, alert: &Episode) -> bool {
        (self.begins()..self.ends() + AFTERMATH).contains(&alert.since)
    }
}

/// One alert from its beginning: a column of a subject with a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Episode {
    told_at: Millis,
    since: Millis,
    kind: AlertKind,
    column: String,
    segment: Option<String>,
}

/// What an incident came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct IncidentOutcome {
    name: String,
    noticed_after_seconds: Option<i64>,
}

/// The demo's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    events: u64,
    seconds: f64,
    incidents: Vec<IncidentOutcome>,
    alerts: usize,
    alerts_outside: usize,
    /// When it was told that the model had become worse while the world was another one.
    quality_fell: Option<String>,
    webhooks: u64,
    #[serde(skip)]
    rows: Vec<Row>,
    #[serde(skip)]
    outside: Vec<Episode>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    name: String,
    what: String,
    noticed: Option<(Millis, String)>,
}

impl Report {
    /// Compares what was told with what happened.
    pub(super) fn new(
        incidents: &[Incident],
        notifications: &[Notification],
        events: u64,
        seconds: f64,
        webhooks: u64,
    ) -> Self {
        let alerts = episodes(notifications);
        let rows: Vec<Row> = incidents.iter().map(|incident| row(incident, &alerts)).collect();
        let unexplained = |alert: &&Episode| !incidents.iter().any(|incident| incident.explains(alert));
        let outside: Vec<Episode> = alerts.iter().filter(unexplained).cloned().collect();
        let with_the_world = |alert: &&Episode| {
            alert.column == PERFORMANCE && incidents.iter().any(|one| one.is_real() && one.covers(alert))
        };
        let quality_fell = alerts.iter().filter(with_the_world).map(|alert| alert.told_at).min().map(date);
        let outcome = |row: &Row| IncidentOutcome {
            name: row.name.clone(),
            noticed_after_seconds: row.noticed.as_ref().map(|(after, _)| after / 1_000),
        };
        Self {
            events,
            seconds: (seconds * 10.0).round() / 10.0,
            incidents: rows.iter().map(outcome).collect(),
            alerts: alerts.len(),
            alerts_outside: outside.len(),
            quality_fell,
            webhooks,
            rows,
            outside,
        }
    }

    /// Writes the table for people.
    pub(super) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "\n{:<16} {:<15} {:<34} what happened", "incident", "noticed after", "by")?;
        for row in &self.rows {
            let (after, by) = match &row.noticed {
                Some((after, by)) => (hours(*after), by.as_str()),
                None => ("missed".to_owned(), ""),
            };
            writeln!(out, "{:<16} {after:<15} {by:<34} {}", row.name, row.what)?;
        }
        if let Some(at) = &self.quality_fell {
            writeln!(out, "\nthe model became worse with the season: told {at}, drift of {PERFORMANCE}")?;
        }
        let Self { alerts, alerts_outside, webhooks, events, seconds, .. } = self;
        writeln!(
            out,
            "\n{alerts} alerts, {alerts_outside} of them outside any incident or season; {webhooks} webhooks called"
        )?;
        for alert in &self.outside {
            let segment =
                alert.segment.as_ref().map_or_else(String::new, |value| format!(" in segment {value}"));
            let (kind, column) = (alert.kind.as_str(), &alert.column);
            writeln!(out, "  outside: {} {kind} of {column}{segment}", date(alert.told_at))?;
        }
        writeln!(out, "{events} events in {seconds:.1} s, {:.0} a second", *events as f64 / seconds.max(0.1))
    }
}

fn row(incident: &Incident, alerts: &[Episode]) -> Row {
    let first = alerts.iter().filter(|alert| incident.is_told_by(alert)).min_by_key(|alert| alert.told_at);
    let by = |alert: &Episode| {
        let segment = alert.segment.as_ref().map_or_else(String::new, |value| format!(" in {value}"));
        format!("{} of {}{segment}", alert.kind.as_str(), alert.column)
    };
    Row {
        name: incident.name.clone(),
        what: incident.what.clone(),
        noticed: first.map(|alert| (alert.told_at - incident.begins(), by(alert))),
    }
}

/// Every alert that was told, once, in the order in which it was told.
fn episodes(notifications: &[Notification]) -> Vec<Episode> {
    let mut known: BTreeSet<(Option<String>, String, AlertKind, Millis)> = BTreeSet::new();
    let mut episodes = Vec::new();
    // What becomes of actions is told too, with the evidence that caused them, but it is no alert of the model.
    let of_models = notifications.iter().filter(|one| one.kind != AlertKind::Operation);
    for notification in of_models.filter(|one| one.transition != Transition::Resolved) {
        for Finding { segment, column, since, .. } in &notification.findings {
            let identity = (segment.clone(), column.clone(), notification.kind, *since);
            if known.insert(identity) {
                episodes.push(Episode {
                    told_at: notification.at,
                    since: *since,
                    kind: notification.kind,
                    column: column.clone(),
                    segment: segment.clone(),
                });
            }
        }
    }
    episodes.sort();
    episodes
}

/// A day of the stream, for people.
pub(super) fn date(at: Millis) -> String {
    chrono::DateTime::from_timestamp_millis(at)
        .map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M").to_string())
}

fn hours(millis: Millis) -> String {
    format!("{:.0} h", millis as f64 / 3_600_000.0)
}
