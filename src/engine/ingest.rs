//! Records in: each is counted, or counted as not counted. Law L-1 holds after every one of them.
//!
//! Usual events stay where they were found, in the record's bytes; others are decoded into an event of their own, with the
//! same counts.

use sha2::{Digest, Sha256};

use super::decoder::Decoded;
use super::labels::Labels;
use super::{Engine, RefusedRecord};
use crate::event::scan::Found;
use crate::event::{Event, NameRules, Named, Record, Refusal, plausible};
use crate::fault::{Place, reach};
use crate::subject::Millis;
use crate::window::{Dedup, Gaps, Outcome, Partition, Seen, Usual, Windows};

/// Refused records whose pointers wait for the next checkpoint; further ones are only counted.
const MAX_REFUSED: usize = 10_000;

impl Engine {
    /// Steps 2 to 4: decodes one record and counts it, or counts why not. The position moves behind it in any case.
    /// `now` is the wall clock; it only decides which events are in the future.
    pub fn ingest(&mut self, record: &Record<'_>, now: Millis) {
        reach(Place::RecordTaken);
        self.law.read += 1;
        let place = self.partitions.place(record.topic, record.partition);
        let outcome = self.count(record, place, now);
        if let Some(partition) = self.partitions.at(place) {
            partition.passed(record);
            if !matches!(outcome, Outcome::Refused(_) | Outcome::Future) {
                partition.told_time();
            }
        }
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

    fn count(&mut self, record: &Record<'_>, place: usize, now: Millis) -> Outcome {
        let Self {
            decoder, names, dedup, windows, partitions, completeness, labels, sequences, unknown, ..
        } = self;
        // The broker's clock, where it wrote the timestamp: then a replay decides the same.
        let now = record.appended_at.unwrap_or(now);
        let mut place = Where { record, partition: partitions.at(place), gaps: &mut completeness.gaps, now };
        let (event, usual) = match decoder.read(record.payload) {
            Ok(Decoded::Usual(usual)) => {
                let plain = names.stand_in_event() && dedup.is_none() && sequences.are_none();
                if plain && let Some(outcome) = count_plain(windows, labels, &mut place, usual) {
                    return outcome;
                }
                (usual.scanned.outline(usual.payload), Some(usual))
            }
            Ok(Decoded::Whole(event)) => (*event, None),
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let known = match known(names, record, event) {
            Ok(known) => known,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let (named, event, at) = &known;
        let outcome = observe(dedup.as_mut(), windows, &mut place, (&known, usual));
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
            size: Some(record.payload.map_or(0, <[u8]>::len) as u64),
            sha256: record.payload.map(sha256),
        });
    }
}

fn sha256(payload: &[u8]) -> String {
    Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where an event comes from, and when.
struct Where<'w, 'r> {
    record: &'w Record<'r>,
    partition: Option<&'w mut Partition>,
    gaps: &'w mut Gaps,
    now: Millis,
}

impl Where<'_, '_> {
    /// Notes that an event of this time was counted, or could not be.
    fn observed(&mut self, outcome: &Outcome, ts: Millis, windows: &Windows) {
        if self.gaps.any_open() && matches!(outcome, Outcome::Counted | Outcome::Unmatched) {
            self.gaps.saw(self.record.topic, self.record.partition, ts, windows.settings().lateness);
        }
    }
}

/// Counts what nearly every event is, without making an [`Event`] of it: one with features and a time, of a version that is
/// watched and named in it, whose label nobody waits for. `None` for any other, which is not counted.
#[inline]
fn count_plain(
    windows: &mut Windows,
    labels: &mut Labels,
    place: &mut Where<'_, '_>,
    usual: Usual<'_>,
) -> Option<Outcome> {
    let Usual { scanned, payload, .. } = usual;
    let (Some(model), Found::Text(version), Some(ts), true) =
        (scanned.model, scanned.version, scanned.ts, scanned.has_features)
    else {
        return None;
    };
    let version = windows.known_version(model.bytes(payload), version.bytes(payload))?;
    if scanned.id != Found::Absent && labels.concern_at(windows, version, ts) {
        return None;
    }
    let partition = place.partition.as_deref_mut()?;
    let outcome = windows.observe_usual(version, partition, usual, ts, place.now);
    place.observed(&outcome, ts, windows);
    if outcome == Outcome::Counted && scanned.label != Found::Absent {
        let fields = [scanned.score, scanned.prediction, scanned.label].map(|field| field.scalar(payload));
        labels.observe_labelled(windows, fields.each_ref().map(Option::as_ref), ts);
    }
    Some(outcome)
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
    place: &mut Where<'_, '_>,
    ((named, event, ts), usual): (&Known<'_>, Option<Usual<'_>>),
) -> Outcome {
    let Record { topic, partition, offset, .. } = *place.record;
    if dedup.is_some_and(|dedup| dedup.is_duplicate((topic, partition, offset), named, event)) {
        return Outcome::Duplicate;
    }
    let now = place.now;
    let Some(partition) = place.partition.as_deref_mut() else { return Outcome::Unmatched };
    let outcome = windows.observe(partition, named, Seen { event, usual }, *ts, now);
    place.observed(&outcome, *ts, windows);
    outcome
}
