//! The alerts against a simple model: the model keeps every sign and every notification, and derives what is due from
//! these logs; the alerts keep only what they must, and forget it in restarts but for their documents.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::config::{self, Span};
use crate::engine::CommandError;

const MINUTE: Millis = 60_000;
const START: Millis = 1_700_000_040_000;
const MODELS: [&str; 2] = ["a", "b"];
const COLUMNS: [&str; 2] = ["x", "y"];
const SINKS: [&str; 2] = ["all", "pager"];
const WAIT: Millis = MINUTE;
const INTERVAL: Millis = 2 * MINUTE;
const REPEAT: Millis = 5 * MINUTE;

/// What a window shows of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Huge,
    Over,
    Between,
    Quiet,
    Insufficient,
    NoData,
}

/// One edge of panes, or something between two.
#[derive(Debug, Clone)]
enum Event {
    Edge([[Shows; 2]; 2]),
    Acknowledge(usize),
    Silence {
        label: &'static str,
        value: &'static str,
        minutes: i64,
    },
    Expire,
    Restart,
    /// A document is written ahead of the checkpoint.
    Write,
}

fn settings() -> config::Alerts {
    config::Alerts {
        fire_after: 2,
        of_last: 3,
        clear_after: 2,
        no_evidence_after: 2,
        escalate: config::Escalate { after: Some(7), factor: Some(3.0) },
        severity: BTreeMap::new(),
        route: config::Route {
            group_wait: Some(Span::from_millis(WAIT)),
            group_interval: Some(Span::from_millis(INTERVAL)),
            repeat_interval: Some(Span::from_millis(REPEAT)),
            ..config::Route::default()
        },
        ..config::Alerts::default()
    }
}

fn filters() -> Vec<SinkFilter> {
    let text = r#"
kafka: { bootstrap: "h:1", topics: [t] }
sinks:
  - { name: all, type: webhook, url: "http://localhost/" }
  - { name: pager, type: webhook, url: "http://localhost/", min_severity: critical }
"#;
    config::parse(text, "test").expect("valid").sinks.iter().map(SinkFilter::of).collect()
}

fn verdict(column: &str, shows: Shows) -> VerdictView {
    let (level, statistic) = match shows {
        Shows::Huge => (Level::Drift, Some(0.4)),
        Shows::Over => (Level::Drift, Some(0.2)),
        Shows::Between => (Level::Warning, Some(0.09)),
        Shows::Quiet => (Level::Stable, Some(0.01)),
        Shows::Insufficient | Shows::NoData => (Level::Insufficient, None),
    };
    VerdictView {
        column: column.into(),
        role: None,
        detector: "ks".into(),
        statistic,
        threshold: statistic.map(|_| 0.1),
        p_value: None,
        adjusted_p_value: None,
        rows: 0,
        reference_rows: 0,
        level,
        kind: AlertKind::Drift,
        severity: None,
        inhibited_by: None,
        moved: Vec::new(),
        explained: None,
    }
}

fn window(model: &str, shows: [Shows; 2], end: Millis) -> WindowView {
    // A window without rows has none for any column.
    let empty = shows.contains(&Shows::NoData);
    let shows = if empty { [Shows::NoData; 2] } else { shows };
    WindowView {
        model: model.to_owned(),
        version: "1".to_owned(),
        horizon: "5m".to_owned(),
        end,
        rows: if empty { 0 } else { 100 },
        verdicts: COLUMNS.iter().zip(shows).map(|(column, shows)| verdict(column, shows)).collect(),
        ..WindowView::default()
    }
}

/// Where the model says an alert stands, read off all that was ever shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Standing {
    firing: bool,
    pending: bool,
    critical: bool,
    lacks: Evidence,
    lacks_long: bool,
}

fn standing(shown: &[Shows]) -> Standing {
    let mut now = Standing::default();
    let mut judged: Vec<Shows> = Vec::new(); // since the alert was last inactive
    let mut fired_at = 0;
    let mut blind = 0;
    let is_over = |shows: &Shows| matches!(shows, Shows::Huge | Shows::Over);
    for shows in shown {
        if let Shows::Insufficient | Shows::NoData = shows {
            if now.firing {
                blind += 1;
                now.lacks = if *shows == Shows::NoData { Evidence::NoData } else { Evidence::Insufficient };
                now.lacks_long = blind >= 2;
            }
            continue;
        }
        (blind, now.lacks, now.lacks_long) = (0, Evidence::Sufficient, false);
        judged.push(*shows);
        if !now.firing && !now.pending && !is_over(shows) {
            judged.clear();
            continue;
        }
        now.critical |= *shows == Shows::Huge;
        let last_three = &judged[judged.len().saturating_sub(3)..];
        let over = last_three.iter().filter(|shows| is_over(shows)).count();
        if !now.firing {
            now.pending = true;
            if is_over(shows) && over >= 2 {
                (now.firing, now.pending, fired_at) = (true, false, judged.len() - 1);
            } else if over == 0 {
                now = Standing::default();
                judged.clear();
                continue;
            }
        }
        if now.firing {
            let since = &judged[fired_at..];
            if since.len() > 2 && since[since.len() - 2..].iter().all(|shows| *shows == Shows::Quiet) {
                now = Standing::default();
                judged.clear();
                continue;
            }
            now.critical |= since.len() >= 7;
        }
    }
    now
}

/// What was told of a group at an edge, with the sinks that were told.
type Line = (Millis, &'static str, Transition, BTreeSet<&'static str>, BTreeSet<&'static str>);

#[derive(Default)]
struct Model {
    shown: BTreeMap<(&'static str, &'static str), Vec<Shows>>,
    /// Every edge at which a group was told, with what it was then: columns, critical or not.
    log: Vec<Line>,
    critical_told: BTreeMap<&'static str, bool>,
    seen: BTreeMap<&'static str, Millis>,
    evidence: BTreeMap<&'static str, Evidence>,
    acknowledged: BTreeSet<&'static str>,
    skipped: BTreeMap<&'static str, Millis>,
    silences: Vec<(&'static str, &'static str, Millis)>,
}

impl Model {
    fn standing(&self, model: &'static str, column: &'static str) -> Standing {
        standing(self.shown.get(&(model, column)).map_or(&[], Vec::as_slice))
    }

    fn silenced(&self, model: &str, column: &str, at: Millis) -> bool {
        self.silences.iter().any(|(label, value, end)| {
            at < *end && if *label == "model" { *value == model } else { *value == column }
        })
    }

    /// Notifications of the present episode of a group.
    fn episode(&self, model: &str) -> Vec<&Line> {
        let own: Vec<&Line> = self.log.iter().filter(|line| line.1 == model).collect();
        let over = own.iter().rposition(|line| line.2 == Transition::Resolved).map_or(0, |last| last + 1);
        own[over..].to_vec()
    }

    fn edge(&mut self, at: Millis) -> Vec<Line> {
        let mut told = Vec::new();
        for model in MODELS {
            let firing: Vec<_> =
                COLUMNS.into_iter().filter(|column| self.standing(model, column).firing).collect();
            let visible: BTreeSet<_> =
                firing.iter().copied().filter(|column| !self.silenced(model, column, at)).collect();
            told.extend(self.group(model, &firing, &visible, at));
        }
        self.log.extend(told.iter().cloned());
        for (_, model, transition, ..) in &told {
            if *transition == Transition::Resolved {
                self.forget(model);
            }
        }
        told
    }

    fn forget(&mut self, model: &'static str) {
        self.seen.remove(model);
        self.evidence.remove(model);
        self.acknowledged.remove(model);
        self.critical_told.remove(model);
        self.skipped.remove(model);
    }

    fn group(
        &mut self,
        model: &'static str,
        firing: &[&'static str],
        visible: &BTreeSet<&'static str>,
        at: Millis,
    ) -> Vec<Line> {
        let episode: Vec<Line> = self.episode(model).into_iter().cloned().collect();
        if firing.is_empty() && episode.is_empty() {
            self.forget(model);
            return Vec::new();
        }
        let seen = *self.seen.entry(model).or_insert(at);
        let all: Vec<Standing> = visible.iter().map(|column| self.standing(model, column)).collect();
        let critical = all.iter().any(|one| one.critical);
        let lacks = |one: &Standing| if one.lacks_long { one.lacks } else { Evidence::Sufficient };
        let evidence = all.iter().map(lacks).min().unwrap_or_default();
        let heard: BTreeSet<_> = episode.iter().flat_map(|line| line.3.iter().copied()).collect();
        let Some(last) = episode.last() else {
            if visible.is_empty() || at < seen + WAIT {
                return Vec::new();
            }
            self.evidence.insert(model, evidence);
            self.critical_told.insert(model, critical);
            let sinks = SINKS.into_iter().filter(|sink| critical || *sink == "all").collect();
            return vec![(at, model, Transition::Firing, sinks, visible.clone())];
        };
        let rested = at >= last.0 + INTERVAL;
        if firing.is_empty() {
            let over = (at, model, Transition::Resolved, heard, BTreeSet::new());
            return if rested { vec![over] } else { Vec::new() };
        }
        if visible.is_empty() {
            return Vec::new();
        }
        let known = self.evidence.entry(model).or_default();
        *known = evidence.min(*known);
        let columns: BTreeSet<_> = episode.iter().flat_map(|line| line.4.iter().copied()).collect();
        let told_critical = self.critical_told.get(model).copied().unwrap_or_default();
        let changed = !visible.is_subset(&columns) || critical && !told_critical || evidence > *known;
        let repeat_from = self.skipped.get(model).copied().unwrap_or(0).max(last.0);
        let transition = match (changed, rested) {
            (_, false) => return Vec::new(),
            (true, true) => Transition::Updated,
            (false, true) if at >= repeat_from + REPEAT => Transition::Repeated,
            (false, true) => return Vec::new(),
        };
        if transition == Transition::Repeated && self.acknowledged.contains(model) {
            self.skipped.insert(model, at);
            return Vec::new();
        }
        let critical = critical || told_critical;
        self.evidence.insert(model, evidence);
        self.critical_told.insert(model, critical);
        let mut told = vec![(at, model, transition, heard.clone(), visible.clone())];
        if critical && !heard.contains("pager") {
            told.push((at, model, Transition::Firing, BTreeSet::from(["pager"]), visible.clone()));
        }
        told
    }

    fn states(&self) -> BTreeSet<(String, String, AlertState)> {
        let mut states = BTreeSet::new();
        for model in MODELS {
            for column in COLUMNS {
                let now = self.standing(model, column);
                let state = match (now.firing, now.pending, now.lacks) {
                    (true, _, Evidence::NoData) => AlertState::NoData,
                    (true, _, Evidence::Insufficient) => AlertState::Insufficient,
                    (true, ..) if self.acknowledged.contains(model) => AlertState::Acknowledged,
                    (true, ..) => AlertState::Firing,
                    (_, true, _) => AlertState::Pending,
                    _ => continue,
                };
                states.insert((model.to_owned(), column.to_owned(), state));
            }
        }
        states
    }
}

fn fresh() -> Alerts {
    Alerts::new(settings(), filters(), true)
}

/// A process that ends after its checkpoint, and the next one.
fn restart(mut alerts: Alerts, stored: &mut BTreeMap<String, String>) -> Alerts {
    for (name, text) in alerts.take_documents() {
        match text {
            Some(text) => stored.insert(name, text),
            None => stored.remove(&name),
        };
    }
    let mut next = fresh();
    for (name, text) in stored.iter() {
        assert!(next.restore(name, text).expect("its own document"), "{name}");
    }
    next.resume_at(alerts.clock);
    next
}

fn group_of(alerts: &Alerts, model: &str) -> Option<String> {
    let of_people = |(id, _): &(&GroupId, &Group)| id.0.is_empty();
    let found = alerts.groups.iter().filter(of_people).find(|(id, _)| id.1["model"] == model);
    found.map(|(_, group)| group.episode.clone())
}

fn shows() -> impl Strategy<Value = Shows> {
    prop_oneof![
        1 => Just(Shows::Huge),
        8 => Just(Shows::Over),
        2 => Just(Shows::Between),
        5 => Just(Shows::Quiet),
        2 => Just(Shows::Insufficient),
        1 => Just(Shows::NoData),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let edge = [[shows(), shows()], [shows(), shows()]];
    prop_oneof![
        30 => edge.prop_map(Event::Edge),
        1 => (0..2_usize).prop_map(Event::Acknowledge),
        1 => (0..4_usize, 1..12_i64).prop_map(|(which, minutes)| {
            let (label, value) = [("model", "a"), ("model", "b"), ("feature", "x"), ("feature", "y")][which];
            Event::Silence { label, value, minutes }
        }),
        1 => Just(Event::Expire),
        3 => Just(Event::Restart),
        3 => Just(Event::Write),
    ]
}

/// What people were told, in the words of the model.
fn lines(round: &Round) -> Vec<Line> {
    let of_people = round.announcements.iter().filter(|one| !one.acts);
    let line = |one: &Announcement| {
        let told = &one.notification;
        let name = |text: &str, known: [&'static str; 2]| known.into_iter().find(|one| *one == text);
        (
            told.at,
            name(&told.model, MODELS).expect("a model"),
            told.transition,
            one.sinks.iter().filter_map(|sink| name(sink, SINKS)).collect(),
            told.findings.iter().filter_map(|finding| name(&finding.column, COLUMNS)).collect(),
        )
    };
    of_people.map(line).collect()
}

/// A-2 and A-3 over everything that was ever told.
fn check_laws(told: &[Announcement]) -> Result<(), TestCaseError> {
    let mut keys = BTreeSet::new();
    let mut open: BTreeSet<(String, String)> = BTreeSet::new();
    for one in told {
        let Notification { key, group, transition, .. } = &one.notification;
        prop_assert!(
            keys.insert((key.clone(), one.acts)),
            "A-3: {} twice under one key",
            transition.as_str()
        );
        let hearers = if one.acts { vec!["actions".to_owned()] } else { one.sinks.clone() };
        for sink in hearers {
            let episode = (sink, group.clone());
            match transition {
                Transition::Firing => {
                    prop_assert!(open.insert(episode.clone()), "A-2: {episode:?} fires twice");
                }
                Transition::Resolved => {
                    prop_assert!(open.remove(&episode), "A-2: {episode:?} resolves unheard");
                }
                Transition::Updated => prop_assert!(open.contains(&episode), "A-2: {episode:?} unheard"),
                Transition::Repeated => {
                    prop_assert!(open.contains(&episode) && !one.acts, "A-2: {episode:?}");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// A-2, A-3 and A-4: any sequence of windows, orders and restarts tells what the model tells and shows what it shows.
    #[test]
    fn alerts_tell_and_show_what_the_model_does(events in proptest::collection::vec(event(), 1..120)) {
        let (mut alerts, mut model) = (fresh(), Model::default());
        let (mut stored, mut told, mut at) = (BTreeMap::new(), Vec::new(), START);
        for event in events {
            match event {
                Event::Edge(shown) => {
                    at += MINUTE;
                    for (name, shown) in MODELS.into_iter().zip(shown) {
                        let window = window(name, shown, at);
                        alerts.observe(&window);
                        let shown = if window.rows == 0 { [Shows::NoData; 2] } else { shown };
                        for (column, shows) in COLUMNS.into_iter().zip(shown) {
                            model.shown.entry((name, column)).or_default().push(shows);
                        }
                    }
                    let round = alerts.announce(at);
                    prop_assert_eq!(lines(&round), model.edge(at));
                    told.extend(round.announcements);
                }
                Event::Acknowledge(index) => {
                    let name = MODELS[index];
                    let group = group_of(&alerts, name).unwrap_or_default();
                    let order = AlertCommand::Acknowledge { group, comment: String::new() };
                    let done = alerts.command(&order, "me", at);
                    match (model.seen.contains_key(name), model.acknowledged.contains(name)) {
                        (false, _) => prop_assert!(matches!(done, Err(CommandError::NotFound(_)))),
                        (true, true) => prop_assert!(matches!(done, Err(CommandError::Conflict(_)))),
                        (true, false) => prop_assert!(done.is_ok()),
                    }
                    if done.is_ok() {
                        model.acknowledged.insert(name);
                    }
                }
                Event::Silence { label, value, minutes } => {
                    let matchers = vec![format!("{label}={value}").parse().expect("a matcher")];
                    let (ends_at, comment) = (at + minutes * MINUTE, String::new());
                    let order = AlertCommand::Silence { matchers, starts_at: None, ends_at, comment };
                    prop_assert!(alerts.command(&order, "me", at).is_ok());
                    model.silences.push((label, value, ends_at));
                }
                Event::Expire => {
                    let active = alerts.silences.list.iter().find(|one| !one.is_over(at));
                    let Some(id) = active.map(|one| one.id.clone()) else { continue };
                    let order = AlertCommand::Expire { id };
                    prop_assert!(alerts.command(&order, "me", at).is_ok());
                    let position = model.silences.iter().position(|(.., end)| at < *end).expect("the same");
                    model.silences.remove(position);
                }
                Event::Restart => alerts = restart(alerts, &mut stored),
                Event::Write => _ = alerts.write_some(1),
            }
            let shown = alerts.views(2).into_iter().filter(|view| view.state != AlertState::Resolved);
            let shown: BTreeSet<_> = shown.map(|view| (view.model, view.column, view.state)).collect();
            prop_assert_eq!(shown, model.states());
        }
        check_laws(&told)?;
    }
}
