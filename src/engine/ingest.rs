//! Records in: each is counted, or counted as not counted. Law L-1 holds after every one of them.
//!
//! Usual events stay where they were found, in the record's bytes; others are decoded into an event of their own, with the
//! same counts.

use super::decoder::Decoded;
use super::{Engine, RefusedRecord};
use crate::event::{Event, NameRules, Named, Record, Refusal, plausible};
use crate::fault::{Place, reach};
use crate::subject::Millis;
use crate::window::{Dedup, Ends, Gaps, LastRecord, Outcome, Partition, Seen, Usual, Windows};

/// Refused records whose pointers wait for the next checkpoint; further ones are only counted.
const MAX_REFUSED: usize = 10_000;

impl Engine {
    /// Steps 2 to 4: decodes one record and counts it, or counts why not. The position moves behind it in any case.
    /// `now` is the wall clock; it only decides which events are in the future.
    pub fn ingest(&mut self, record: &Record<'_>, now: Millis) {
        reach(Place::RecordTaken);
        self.law.read += 1;
        let outcome = self.count(record, now);
        let partition = self.partitions.entry(record.topic, record.partition);
        partition.passed(record.offset, LastRecord::Ends(Ends::of(record)));
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

    fn count(&mut self, record: &Record<'_>, now: Millis) -> Outcome {
        let Self {
            decoder, names, dedup, windows, partitions, completeness, labels, sequences, unknown, ..
        } = self;
        let (event, usual) = match decoder.read(record.payload) {
            Ok(Decoded::Usual(usual)) => (usual.scanned.outline(usual.payload), Some(usual)),
            Ok(Decoded::Whole(event)) => (*event, None),
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let known = match known(names, record, event) {
            Ok(known) => known,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let (named, event, at) = &known;
        let partition = partitions.entry(record.topic, record.partition);
        let gaps = &mut completeness.gaps;
        let outcome = observe(dedup.as_mut(), windows, partition, gaps, (record, &known, usual), now);
        match outcome {
            Outcome::Counted => {
                // The join also keeps the segment of a prediction.
                let whole = usual.filter(|_| labels.concern(windows)).map(Usual::event);
                labels.observe(windows, named, whole.as_ref().unwrap_or(event), *at);
                sequences.observe(windows, event, *at);
            }
            Outcome::Refused(Refusal::UnknownModel | Refusal::UnknownVersion) => {
                unknown.saw(&named.model, named.version.as_deref());
            }
            _ => {}
        }
        outcome
    }

    /// Notes the id of a record that was counted in an earlier run, so that its duplicates are known again.
    pub fn remember(&mut self, record: &Record<'_>) {
        let Self { decoder, names, dedup: Some(dedup), .. } = self else { return };
        let event = match decoder.read(record.payload) {
            Ok(Decoded::Usual(usual)) => usual.scanned.outline(usual.payload),
            Ok(Decoded::Whole(event)) => *event,
            Err(_) => return,
        };
        if let Ok((named, event, _)) = known(names, record, event) {
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

fn known<'r>(names: &'r NameRules, record: &Record<'r>, event: Event<'r>) -> Result<Known<'r>, Refusal> {
    let named = names.resolve(record, &event)?;
    let ts = match (event.ts, record.timestamp) {
        (Some(ts), _) => ts,
        (None, Some(written)) => plausible(written)?,
        (None, None) => return Err(Refusal::BadTimestamp { problem: "none given" }),
    };
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
    (record, (named, event, ts), usual): (&Record<'_>, &Known<'_>, Option<Usual<'_>>),
    now: Millis,
) -> Outcome {
    let place = (record.topic, record.partition, record.offset);
    if dedup.is_some_and(|dedup| dedup.is_duplicate(place, named, event)) {
        return Outcome::Duplicate;
    }
    // The broker's clock, where it wrote the timestamp: then a replay decides the same.
    let now = record.appended_at.unwrap_or(now);
    let outcome = windows.observe(partition, named, Seen { event, usual }, *ts, now);
    if gaps.any_open() && matches!(outcome, Outcome::Counted | Outcome::Unmatched) {
        gaps.saw(record.topic, record.partition, *ts, windows.settings().lateness);
    }
    outcome
}
