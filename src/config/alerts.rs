//! Life cycle of alerts and who hears of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;
use crate::alert::{AlertKind, Severity};

/// Life cycle of alerts, in judged windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// An alert fires when this many …
    #[schemars(range(min = 1))]
    pub fire_after: u32,
    /// … of the last this many windows were over the threshold.
    #[schemars(range(min = 1))]
    pub of_last: u32,
    /// Windows in a row below the clearing level before it resolves.
    #[schemars(range(min = 1))]
    pub clear_after: u32,
    /// Clearing level as a share of the threshold (hysteresis).
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub clear_below: f64,
    /// Windows in a row without evidence (no rows, or too few) after which the sinks hear that a firing alert can no longer be judged.
    #[schemars(range(min = 1))]
    pub no_evidence_after: u32,
    /// Severity by kind, whatever the verdict says. Kinds not named have the severity of the budget, rule or burn rate that was exceeded; where there is none, data faults are `critical` and all else is `warning`.
    #[schemars(extend("propertyNames" = {"enum": ["data_fault", "drift", "latency", "volume", "operation"]}))]
    pub severity: BTreeMap<AlertKind, Severity>,
    /// When an alert becomes critical by lasting or by its size.
    pub escalate: Escalate,
    /// Labels of your own, `team` for example, set where the matchers fit.
    pub labels: Vec<LabelRule>,
    /// Who hears of which alerts, in which groups, how soon and how often.
    pub route: Route,
    /// Alerts that are not told while others fire, beside the rules that are built in.
    pub inhibit: Vec<InhibitRule>,
    /// Whether the built-in rules hold: silence of a model inhibits its drift and data faults; missing data of the source inhibits drift and volume.
    pub inhibit_defaults: bool,
    /// Times at which alerts are not told.
    pub maintenance: Vec<Maintenance>,
    /// Pages that say what to do, by matchers; the first that fits is part of every payload.
    pub runbooks: Vec<Runbook>,
    /// Base URL of links in notifications.
    pub link_base: Option<String>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            fire_after: 2,
            of_last: 3,
            clear_after: 3,
            clear_below: 0.8,
            no_evidence_after: 3,
            severity: BTreeMap::new(),
            escalate: Escalate::default(),
            labels: Vec::new(),
            route: Route::default(),
            inhibit: Vec::new(),
            inhibit_defaults: true,
            maintenance: Vec::new(),
            runbooks: Vec::new(),
            link_base: None,
        }
    }
}

/// When an alert becomes critical by lasting or by its size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Escalate {
    /// Judged windows of firing after which it is critical; absent means never.
    #[schemars(range(min = 1))]
    pub after: Option<u32>,
    /// Multiple of the threshold from which it is critical; absent means never.
    #[schemars(extend("minimum" = 1))]
    pub factor: Option<f64>,
}

/// Static labels for the alerts that fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelRule {
    /// Conditions such as `model=~"fraud.*"`; all must hold, none always hold.
    #[serde(default)]
    pub matchers: Vec<String>,
    /// Labels to set, `{team: payments}`.
    pub set: BTreeMap<String, String>,
}

/// A route: the alerts that fit its matchers, and what becomes of them. Routes below it inherit what they do not say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Conditions such as `kind="drift"`; all must hold. The outermost route has none.
    pub matchers: Vec<String>,
    /// Names of the sinks that are told; the outermost route tells all by default, an empty list tells nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sinks: Option<Vec<String>>,
    /// Whether the next routes beside this one are tried too after it fitted.
    #[serde(rename = "continue")]
    pub go_on: bool,
    /// Labels whose values make a group; `[model, version, kind]` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<Vec<String>>,
    /// Event time that a new group waits for further alerts; `0s` by default, since all columns are judged together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_wait: Option<Span>,
    /// Shortest event time between two notifications about changes of one group; `5m` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_interval: Option<Span>,
    /// Event time after which a group that still fires is told again; `4h` by default, `0s` never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_interval: Option<Span>,
    /// Collects warnings and tells them together once per this time; critical alerts are told at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Span>,
    /// Routes below this one, tried in order; the first that fits takes the alert.
    pub routes: Vec<Route>,
}

impl Route {
    /// `group_interval` of the outermost route unless it says otherwise.
    pub const GROUP_INTERVAL: Span = Span::from_mins(5);
    /// `repeat_interval` of the outermost route unless it says otherwise.
    pub const REPEAT_INTERVAL: Span = Span::from_hours(4);
}

/// Alerts that fit the target are not told while one fires that fits the source and has the same values of `equal`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InhibitRule {
    /// Conditions on the alert that inhibits.
    #[schemars(length(min = 1))]
    pub source_matchers: Vec<String>,
    /// Conditions on the alerts that are held back.
    #[schemars(length(min = 1))]
    pub target_matchers: Vec<String>,
    /// Labels whose values both must share.
    #[serde(default)]
    pub equal: Vec<String>,
}

/// A time at which alerts are not told: either recurring (`from`, `to`, perhaps `days`) or once (`start`, `end`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Name in the API and in the command line.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Conditions on the alerts; none concern all.
    #[serde(default)]
    pub matchers: Vec<String>,
    /// Days on which a recurring window begins; empty means every day.
    #[serde(default)]
    pub days: Vec<Weekday>,
    /// Begin of a recurring window, `22:00`.
    #[serde(default)]
    pub from: Option<String>,
    /// Its end, `04:00`; before or at `from` means on the next day.
    #[serde(default)]
    pub to: Option<String>,
    /// Offset from UTC of `days`, `from` and `to`, `+02:00`; UTC by default.
    #[serde(default)]
    pub utc_offset: Option<String>,
    /// Begin of a window that comes once, `2026-11-22T18:00:00Z`.
    #[serde(default)]
    pub start: Option<String>,
    /// Its end.
    #[serde(default)]
    pub end: Option<String>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "days need no explanation")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A page that says what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// Conditions on the alert; none always hold.
    #[serde(default)]
    pub matchers: Vec<String>,
    /// Address; `{model}`, `{version}`, `{kind}`, `{feature}` and other labels in braces are replaced by their values.
    pub url: String,
}
