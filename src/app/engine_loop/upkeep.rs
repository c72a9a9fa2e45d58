//! What the loop does now and then beside reading and judging: it looks for partitions, follows the client's statistics
//! and errors, lets go of positions that do not hold, and takes up what the registry offers.

use std::collections::HashMap;

use super::EngineLoop;
use crate::app::{catalog, wall_clock};
use crate::engine::{CatalogEntry, Engine, Trouble, TroubleKind};
use crate::fault::{Place, reach};
use crate::source::{Begin, PartitionEnd};
use crate::subject::Millis;
use crate::view::ReferenceView;

const DISCOVER_EVERY: Millis = 30_000;
const DISCOVER_AT_START: Millis = 1_000;
const RETRY_RESET_AFTER: Millis = 1_000;

impl EngineLoop {
    /// What the client tells of itself, every few seconds; also the moment to look for partitions that stand still.
    pub(super) fn statistics(&mut self, now: Millis) -> anyhow::Result<()> {
        let Some(statistics) = self.source.take_statistics() else { return Ok(()) };
        for end in &statistics.ends {
            self.engine.set_end_offset(&end.topic, end.partition, end.end, end.high);
            self.engine.broker_answers(&end.topic, end.partition, end.is_heard, now);
            self.watch_transaction(end, now);
        }
        self.publisher.metrics().kafka_client(statistics.queue_bytes, &statistics.round_trips);
        let engine = &self.engine;
        let resume = |topic: &str, partition| engine.resume(topic, partition);
        let (reassigned, rebuilt) = self.source.watch(&statistics.ends, now, resume)?;
        self.publisher.metrics().kafka_stalls(reassigned, rebuilt);
        if rebuilt {
            self.due.discover = now;
        }
        Ok(())
    }

    /// Nothing behind the first record of an open transaction can be read; one that stays open is somebody's fault.
    fn watch_transaction(&mut self, end: &PartitionEnd, now: Millis) {
        let id = (end.topic.clone(), end.partition);
        let of = format!("{}/{}", end.topic, end.partition);
        // Whether or not it was told by this process.
        if end.high <= end.end {
            self.open_transactions.remove(&id);
            self.urgent |= self.engine.clear(TroubleKind::Stalled, &of, wall_clock());
            return;
        }
        let known = self.open_transactions.entry(id).or_insert((end.end, now));
        if known.0 != end.end {
            *known = (end.end, now);
            self.urgent |= self.engine.clear(TroubleKind::Stalled, &of, wall_clock());
        } else if now - known.1 >= self.stalled_after {
            let (offset, behind) = (end.end, end.high - end.end);
            let summary = format!(
                "{of} cannot be read past offset {offset}: a producer's transaction is open, {behind} records wait and windows \
                 are judged without them"
            );
            let trouble = Trouble { kind: TroubleKind::Stalled, of, summary };
            self.urgent |= self.engine.raise(&trouble, wall_clock());
        }
    }

    /// Where a partition that is not read yet begins.
    fn begin(engine: &Engine, read: &[String], topic: &str, partition: i32) -> Begin {
        match (engine.resume(topic, partition), engine.rebuild_from()) {
            (Some(resume), _) => Begin::At(resume),
            (None, Some(time)) => Begin::Time(time),
            (None, None) if engine.knows_topic(topic) || read.iter().any(|known| known == topic) => {
                Begin::First
            }
            (None, None) => Begin::Policy,
        }
    }

    pub(super) fn discover(&mut self, now: Millis) -> anyhow::Result<()> {
        let engine = &self.engine;
        let read: Vec<String> =
            self.known_topics.iter().filter(|topic| self.source.reads(topic)).cloned().collect();
        let found = self.source.discover(|topic, partition| Self::begin(engine, &read, topic, partition))?;
        self.source.settle_doubts(|topic, partition| engine.resume(topic, partition))?;
        if !found.new.is_empty() {
            reach(Place::PartitionsFound);
        }
        for new in &found.new {
            self.engine.assign(&new.topic, new.partition, new.at);
        }
        for (topic, partitions) in &found.counts {
            self.engine.forget_partitions_from(topic, *partitions, wall_clock());
        }
        if !found.new.is_empty() {
            self.dirty_since.get_or_insert(now);
            tracing::info!(partitions = found.new.len(), "reading");
        }
        let incomplete = !self.source.missing_topics().is_empty();
        if incomplete && now - self.begun_at > 2 * DISCOVER_AT_START {
            let missing: Vec<&String> = self.source.missing_topics().iter().collect();
            let (kafka, all) = (self.kafka_name.clone(), missing.len() == self.known_topics.len());
            let missing = format!("{missing:?}");
            self.tell(now, "topics", || {
                let hint = if all { "is the broker up and kafka.bootstrap right?" } else { "create them" };
                tracing::error!(kafka, missing, "no such topics so far ({hint}); asking again every second");
            });
        }
        // A client that was made anew during an outage has nothing assigned until the broker answers.
        let soon = incomplete || !self.source.is_assigned();
        self.due.discover = now + if soon { DISCOVER_AT_START } else { DISCOVER_EVERY };
        Ok(())
    }

    pub(super) fn reset_positions(&mut self, now: Millis) -> anyhow::Result<()> {
        let engine = &self.engine;
        let position = |topic: &str, partition| engine.resume(topic, partition).map(|at| at.next_offset);
        if !self.source.needs_reset() {
            return Ok(());
        }
        self.due.resets = now + RETRY_RESET_AFTER;
        for reset in self.source.resets(position)? {
            let (topic, partition, to) = (&reset.topic, reset.partition, reset.to);
            tracing::error!(
                topic,
                partition,
                to,
                reason = reset.reason.as_str(),
                "the position does not hold any more: records are missing, see the audit trail"
            );
            self.engine.reset_position(topic, partition, to, reset.reason, wall_clock());
            self.publisher.metrics().gap(reset.reason.label());
            self.urgent = true;
        }
        Ok(())
    }

    pub(super) fn refresh_catalog(&mut self, now: Millis) {
        let token = self.registry.change_token().ok();
        if token.is_some() && token == self.registry_token {
            return;
        }
        if self.engine.settle_ahead() {
            // A catalog counts all that waits.
            self.due.registry = now;
            return;
        }
        match self.show_registry().and_then(|()| Ok(catalog::entries(&self.registry, &mut self.references)?))
        {
            Ok(entries) => {
                self.engine.set_catalog(&entries);
                self.references.forget_unused();
                self.urgent |= self.engine.set_models(&self.publisher.board().models(), now);
                self.outcomes.open_gate(&self.engine);
                let name =
                    |entry: &'_ CatalogEntry| (entry.watched.model.clone(), entry.watched.version.clone());
                let watched: Vec<(String, String)> = entries.iter().map(name).collect();
                self.publisher
                    .forget_all_but(&watched.iter().map(|(m, v)| (m.as_str(), v.as_str())).collect());
                self.registry_token = token;
                if entries.is_empty() {
                    self.tell(now, "references", || {
                        tracing::warn!(
                            "no references: every event is refused; create one with `anchorwatch reference create`"
                        );
                    });
                }
            }
            Err(error) => {
                self.tell(now, "registry", || tracing::error!(%error, "the registry cannot be read"));
            }
        }
    }

    fn show_registry(&mut self) -> anyhow::Result<()> {
        // What was shown before is shown again: a reference never changes, only whether it is the active one.
        let shown = self.publisher.board().references();
        let shown: HashMap<&str, &ReferenceView> =
            shown.iter().map(|view| (view.id.as_str(), view)).collect();
        let mut references = Vec::new();
        for stored in self.registry.list_references(None)? {
            let active = stored.active;
            let view = match shown.get(stored.id.as_str()) {
                Some(view) => Some(ReferenceView { active, ..(*view).clone() }),
                None => {
                    let reference = self.references.load(&self.registry, &stored.id);
                    reference.map(|reference| ReferenceView::of(&stored.id, &reference, active))
                }
            };
            if let Some(view) = view.as_ref().filter(|_| active) {
                self.publisher.metrics().reference(view);
            }
            references.extend(view);
        }
        self.publisher.board().set_references(references);
        self.publisher.board().set_models(self.registry.models()?);
        Ok(())
    }

    pub(super) fn broker_errors(&mut self, now: Millis) {
        for (kind, (count, reason)) in self.source.take_errors() {
            self.publisher.metrics().broker_errors(&kind, count);
            let kafka = self.kafka_name.clone();
            let hint = match kind.as_str() {
                "Authentication" | "SaslAuthenticationFailed" => {
                    "the broker refuses this client: check kafka.sasl; it is tried again"
                }
                "SSL" => "no trusted connection: check kafka.tls; it is tried again",
                // Under TLS 1.3 a broker that misses the client's certificate just hangs up.
                "BrokerTransportFailure" | "AllBrokersDown" if self.encrypted => {
                    "no line to the broker: is it up, and does it want a certificate (check kafka.tls)? it is tried again"
                }
                _ => "trouble with the broker; reading goes on when it is over",
            };
            self.tell(now, &kind, || tracing::warn!(kafka, kind, count, reason, "{hint}"));
        }
        if self.source.in_doubt() {
            self.due.discover = self.due.discover.min(now + DISCOVER_AT_START);
        }
    }
}
