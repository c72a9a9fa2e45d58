//! Schemas that are looked up while their records wait, so that none is lost because a registry is slow or away.
//!
//! From the first record on whose schema is not known, everything that was polled waits here, in its order, and reading is
//! paused: not more waits than one poll brings. The registry is asked again until it answers. After
//! `events.avro.registry.wait` the records that need the schema are refused; from then on no record waits longer than for
//! one attempt, until the registry answers again.

use std::collections::VecDeque;

use tokio::sync::{mpsc, watch};

use crate::config::{SchemaRegistry, Span};
use crate::engine::Engine;
use crate::event::Record;
use crate::event::avro::Schema;
use crate::source::{Incoming, SchemaClient, SchemaLookupError};
use crate::subject::Millis;

/// Time between two attempts, which doubles up to the longest.
const RETRY_AFTER: Millis = 500;
const LONGEST_RETRY: Millis = 10_000;
/// How long records have waited when people are told.
const TELL_AFTER: Millis = 30_000;
/// How long a number that has no schema is not looked up again.
const FORGET_MISSING_AFTER: Millis = 60_000;

type Answer = (u32, Result<Schema, SchemaLookupError>);

/// Where the engine's thread has schemas looked up.
#[derive(Debug)]
pub(super) struct Schemas {
    ask: mpsc::Sender<u32>,
    answers: mpsc::Receiver<Answer>,
    patience: Millis,
    waiting: Option<Waiting>,
    held: VecDeque<Held>,
    /// Whether the registry was given up the last time.
    is_away: bool,
    forget_at: Option<Millis>,
}

/// A schema that is being looked up.
#[derive(Debug)]
struct Waiting {
    id: u32,
    since: Millis,
    /// When it is asked for again; `None` while an answer is awaited.
    ask_at: Option<Millis>,
    pause: Millis,
}

/// What was polled and waits.
#[derive(Debug)]
enum Held {
    Record(HeldRecord),
    Earlier(HeldRecord),
    AtEnd { topic: String, partition: i32 },
}

/// A record with bytes of its own.
#[derive(Debug)]
struct HeldRecord {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<Millis>,
    appended_at: Option<Millis>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    payload: Option<Vec<u8>>,
}

impl HeldRecord {
    fn of(record: &Record<'_>) -> Self {
        let header = |(name, value): &(&str, &[u8])| ((*name).to_owned(), value.to_vec());
        Self {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            appended_at: record.appended_at,
            key: record.key.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(header).collect(),
            payload: record.payload.map(<[u8]>::to_vec),
        }
    }

    fn with<R>(&self, then: impl FnOnce(&Record<'_>) -> R) -> R {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        then(&Record {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            appended_at: self.appended_at,
            key: self.key.as_deref(),
            headers: &headers,
            payload: self.payload.as_deref(),
        })
    }
}

/// What came of looking a schema up, to be counted and told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LookedUp {
    /// Value of a label: `found`, `unusable`, `unanswered` or `given_up`.
    pub(super) outcome: &'static str,
    /// What went wrong.
    pub(super) problem: Option<String>,
    /// Whether the registry has been away for so long that people are to be told.
    pub(super) is_trouble: bool,
}

/// The times at which something happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// A clock that only goes forward.
    pub(super) now: Millis,
    pub(super) wall: Millis,
}

/// Two ends: that of the engine's thread, and the task that asks.
pub(super) fn channel(
    registry: &SchemaRegistry,
    shut: watch::Receiver<bool>,
) -> anyhow::Result<(Schemas, impl Future<Output = ()> + use<>)> {
    let client = SchemaClient::new(registry)?;
    let (ask, asked) = mpsc::channel(1);
    let (answer, answers) = mpsc::channel(1);
    Ok((Schemas::new(registry.wait, ask, answers), look_up(client, asked, answer, shut)))
}

async fn look_up(
    client: SchemaClient,
    mut asked: mpsc::Receiver<u32>,
    answer: mpsc::Sender<Answer>,
    mut shut: watch::Receiver<bool>,
) {
    loop {
        let id = tokio::select! {
            id = asked.recv() => id,
            _ = shut.wait_for(|shut| *shut) => None,
        };
        let Some(id) = id else { return };
        let found = tokio::select! {
            found = client.fetch(id) => found,
            _ = shut.wait_for(|shut| *shut) => return,
        };
        if answer.send((id, found)).await.is_err() {
            return;
        }
    }
}

impl Schemas {
    fn new(wait: Span, ask: mpsc::Sender<u32>, answers: mpsc::Receiver<Answer>) -> Self {
        Self {
            ask,
            answers,
            patience: wait.millis(),
            waiting: None,
            held: VecDeque::new(),
            is_away: false,
            forget_at: None,
        }
    }

    /// Whether records wait for a schema, so that none must be polled.
    pub(super) const fn wait(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes what polling brought: to the engine, or behind what waits.
    pub(super) fn take(&mut self, engine: &mut Engine, incoming: &Incoming<'_>, at: Moment) {
        if self.waiting.is_none() {
            let lacks = match incoming {
                Incoming::Record(record) | Incoming::Earlier(record) => engine.lacks_schema(record),
                Incoming::AtEnd { .. } => None,
            };
            match lacks {
                None => {
                    match incoming {
                        Incoming::Record(record) => engine.ingest(record, at.wall),
                        Incoming::Earlier(record) => engine.remember(record),
                        Incoming::AtEnd { topic, partition } => engine.at_end(topic, *partition, at.now),
                    }
                    return;
                }
                Some(id) => self.begin(id, at.now),
            }
        }
        self.held.push_back(match incoming {
            Incoming::Record(record) => Held::Record(HeldRecord::of(record)),
            Incoming::Earlier(record) => Held::Earlier(HeldRecord::of(record)),
            Incoming::AtEnd { topic, partition } => {
                Held::AtEnd { topic: (*topic).to_owned(), partition: *partition }
            }
        });
    }

    fn begin(&mut self, id: u32, now: Millis) {
        self.waiting = Some(Waiting { id, since: now, ask_at: Some(now), pause: RETRY_AFTER });
    }

    /// Asks, hears answers and lets go of what no longer waits.
    pub(super) fn work(&mut self, engine: &mut Engine, at: Moment) -> Option<LookedUp> {
        if self.forget_at.is_some_and(|forget_at| at.now >= forget_at) && self.waiting.is_none() {
            self.forget_at = None;
            engine.forget_missing_schemas();
        }
        let heard = match self.answers.try_recv() {
            Ok(answer) => self.hear(engine, answer, at.now),
            Err(_) => None,
        };
        self.let_go(engine, at);
        if let Some(waiting) = &mut self.waiting
            && waiting.ask_at.is_some_and(|ask_at| at.now >= ask_at)
            && self.ask.try_send(waiting.id).is_ok()
        {
            waiting.ask_at = None;
        }
        heard
    }

    fn hear(&mut self, engine: &mut Engine, (id, answer): Answer, now: Millis) -> Option<LookedUp> {
        let waiting = self.waiting.as_mut().filter(|waiting| waiting.id == id)?;
        let (outcome, schema, problem) = match answer {
            Ok(schema) => ("found", Some(schema), None),
            Err(SchemaLookupError::Unusable(problem)) => ("unusable", None, Some(problem)),
            Err(error @ SchemaLookupError::Unanswered(_)) => {
                if !self.is_away && now - waiting.since < self.patience {
                    waiting.ask_at = Some(now + waiting.pause);
                    waiting.pause = (waiting.pause * 2).min(LONGEST_RETRY);
                    let is_trouble = now - waiting.since >= TELL_AFTER;
                    let problem = Some(error.to_string());
                    return Some(LookedUp { outcome: "unanswered", problem, is_trouble });
                }
                ("given_up", None, Some(error.to_string()))
            }
        };
        self.is_away = outcome == "given_up";
        if schema.is_none() {
            self.forget_at.get_or_insert(now + FORGET_MISSING_AFTER);
        }
        engine.learn_schema(id, schema);
        self.waiting = None;
        Some(LookedUp { outcome, problem, is_trouble: self.is_away })
    }

    /// Hands over what waited, up to the next record whose schema is not known.
    fn let_go(&mut self, engine: &mut Engine, at: Moment) {
        while self.waiting.is_none()
            && let Some(held) = self.held.pop_front()
        {
            let lacks = match &held {
                Held::Record(record) | Held::Earlier(record) => {
                    record.with(|record| engine.lacks_schema(record))
                }
                Held::AtEnd { .. } => None,
            };
            if let Some(id) = lacks {
                self.begin(id, at.now);
                self.held.push_front(held);
                return;
            }
            match &held {
                Held::Record(record) => record.with(|record| engine.ingest(record, at.wall)),
                Held::Earlier(record) => record.with(|record| engine.remember(record)),
                Held::AtEnd { topic, partition } => engine.at_end(topic, *partition, at.now),
            }
        }
    }
}

#[cfg(test)]
#[path = "schemas_tests.rs"]
mod tests;
