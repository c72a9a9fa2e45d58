//! Records in: each is counted, or counted as not counted. Law L-1 holds after every one of them.

use super::{Engine, RefusedRecord};
use crate::event::{self, Event, Limits, NameRules, Named, Record, Refusal};
use crate::fault::{Place, reach};
use crate::subject::Millis;
use crate::window::{Dedup, Gaps, Outcome, Partition, Windows};

/// Refused records whose pointers wait for the next checkpoint; further ones are only counted.
const MAX_REFUSED: usize = 10_000;

impl Engine {
    /// Steps 2 to 4: decodes one record and counts it, or counts why not. The position moves behind it in any case.
    /// `now` is the wall clock; it only decides which events are in the future.
    pub fn ingest(&mut self, record: &Record<'_>, now: Millis) {
        reach(Place::RecordTaken);
        self.law.read += 1;
        let outcome = match decode(&self.limits, &self.names, record) {
            Ok(known) => {
                let Self { dedup, windows, partitions, completeness, labels, sequences, .. } = self;
                let partition = partitions.entry(record.topic, record.partition);
                let outcome = observe(
                    dedup.as_mut(),
                    windows,
                    partition,
                    &mut completeness.gaps,
                    (record, &known),
                    now,
                );
                if outcome == Outcome::Counted {
                    let (named, event, at) = &known;
                    labels.observe(windows, named, event, *at);
                    sequences.observe(windows, event, *at);
                }
                if let Outcome::Refused(Refusal::UnknownModel | Refusal::UnknownVersion) = outcome {
                    self.unknown.saw(&known.0.model, known.0.version.as_deref());
                }
                outcome
            }
            Err(refusal) => Outcome::Refused(refusal),
        };
        self.partitions.entry(record.topic, record.partition).passed(record.offset, record_hash(record));
        match outcome {
            Outcome::Counted => self.law.counted += 1,
            Outcome::Late => self.law.late += 1,
            Outcome::Future => self.law.future += 1,
            Outcome::Unmatched => self.law.unmatched += 1,
            Outcome::Duplicate => self.law.duplicate += 1,
            Outcome::Refused(refusal) => self.refuse(record, &refusal),
        }
        if let Some(reason) = self.windows.take_not_admitted() {
            *self.law.not_admitted.entry(reason.as_str().into()).or_default() += 1;
        }
        debug_assert!(self.law.holds(), "L-1");
        reach(Place::RecordPassed);
    }

    /// Notes the id of a record that was counted in an earlier run, so that its duplicates are known again.
    pub fn remember(&mut self, record: &Record<'_>) {
        if let Ok((named, event, _)) = decode(&self.limits, &self.names, record)
            && let Some(dedup) = &mut self.dedup
        {
            dedup.is_duplicate((record.topic, record.partition, record.offset), &named, &event);
        }
    }

    fn refuse(&mut self, record: &Record<'_>, refusal: &Refusal) {
        *self.law.refused.entry(refusal.reason().into()).or_default() += 1;
        if self.refused.len() >= MAX_REFUSED {
            self.law.pointers_dropped += 1;
            return;
        }
        self.refused.push(RefusedRecord {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            reason: refusal.reason().to_owned(),
            detail: refusal.to_string(),
        });
    }
}

/// An event that can be counted: whose, what, and when.
type Known<'r> = (Named<'r>, Event<'r>, Millis);

fn decode<'r>(limits: &Limits, names: &'r NameRules, record: &Record<'r>) -> Result<Known<'r>, Refusal> {
    let event = event::decode(record.payload.ok_or(Refusal::Empty)?, limits)?;
    let named = names.resolve(record, &event)?;
    let ts = event.ts.or(record.timestamp).ok_or(Refusal::BadTimestamp { problem: "none given" })?;
    let empty = event.features.is_none() && event.prediction.is_none() && event.score.is_none();
    if empty && event.label.is_none() {
        return Err(Refusal::NothingToCount);
    }
    Ok((named, event, ts))
}

fn observe(
    dedup: Option<&mut Dedup>,
    windows: &mut Windows,
    partition: &mut Partition,
    gaps: &mut Gaps,
    (record, (named, event, ts)): (&Record<'_>, &Known<'_>),
    now: Millis,
) -> Outcome {
    let place = (record.topic, record.partition, record.offset);
    if dedup.is_some_and(|dedup| dedup.is_duplicate(place, named, event)) {
        return Outcome::Duplicate;
    }
    // The broker's clock, where it wrote the timestamp: then a replay decides the same.
    let outcome = windows.observe(partition, named, event, *ts, record.appended_at.unwrap_or(now));
    if gaps.any_open() && matches!(outcome, Outcome::Counted | Outcome::Unmatched) {
        gaps.saw(record.topic, record.partition, *ts, windows.settings().lateness);
    }
    outcome
}

/// A hash that tells records apart without reading all of a large one: length, timestamp, both ends (FNV-1a by words).
#[must_use]
pub fn record_hash(record: &Record<'_>) -> u64 {
    const ENDS: usize = 64;
    let payload = record.payload.unwrap_or_default();
    let (head, tail) = (&payload[..payload.len().min(ENDS)], &payload[payload.len().saturating_sub(ENDS)..]);
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let ends = head.chunks(8).chain(tail.chunks(8)).map(word);
    let words = ends.chain([record.timestamp.unwrap_or(-1).cast_unsigned(), payload.len() as u64]);
    words.fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
        (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
    })
}
