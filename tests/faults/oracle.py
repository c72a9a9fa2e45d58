#!/usr/bin/env python3
"""An independent recount: what the state file must hold, computed from the full list of records and nothing else.

    oracle.py JOB.json

Slow and plain on purpose; it shares no code with the daemon. It reads every record, applies the rules of
docs/guide/guarantees.md (refused, unknown, future, late, counted), counts into panes, and compares each counter of
each (model, version, segment, column, pane) with the state file, together with the conservation law, the positions and
the list of refused records. Prints one line of JSON; exits 1 when anything differs.

JOB.json: {"records": FILE, "state": FILE, "references": FILE, "settings": {...}}. FILE of records has one object a
line: topic, partition, offset, timestamp, payload (base64, null for a tombstone).
"""

import base64
import bisect
import datetime
import json
import math
import sqlite3
import struct
import sys
from collections import Counter, defaultdict
from decimal import Decimal

LATENCY_BUCKETS = 512
NEW_VALUES = 32
MASK = (1 << 64) - 1
BIAS = 1 << 27
MISSING, NON_FINITE, WRONG_TYPE = 0, 1, 2


class Refused(Exception):
    """A record that is not an event; the argument is the reason."""


# --- records ---------------------------------------------------------------------------------------------------------


def no_constant(_):
    raise ValueError("NaN and infinities are not JSON")


class Pairs(list):
    """An object as the pairs it was written with, so that a key given twice is seen."""


def check_numbers(value):
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("not_json")
    for item in [v for _, v in value] if isinstance(value, Pairs) else value if isinstance(value, list) else []:
        check_numbers(item)


def depth_of(value):
    if isinstance(value, Pairs):
        return 1 + max((depth_of(v) for _, v in value), default=0)
    if isinstance(value, list):
        return 1 + max((depth_of(v) for v in value), default=0)
    return 0


def unique(pairs):
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise Refused("duplicate_key")
    return dict(pairs)


def parse(payload, settings):
    if payload is None or payload == b"":
        raise Refused("empty")
    if len(payload) > settings["max_bytes"]:
        raise Refused("too_large")
    try:
        text = payload.decode("utf-8")
        tree = json.loads(text, parse_constant=no_constant, object_pairs_hook=Pairs)
    except RecursionError:
        raise Refused("too_deep")
    except ValueError:
        raise Refused("not_json")
    check_numbers(tree)
    if not isinstance(tree, Pairs):
        raise Refused("wrong_shape")
    if depth_of(tree) > settings["max_depth"]:
        raise Refused("too_deep")
    return unique(tree)


def name(event, field):
    value = event.get(field)
    if value is None:
        return None
    if isinstance(value, str):
        if len(value.encode()) > 128:
            raise Refused("name_too_long")
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and field != "model":
        return code_text(value)
    raise Refused("wrong_shape")


def fields(value, most):
    if value is None:
        return None
    if not isinstance(value, Pairs):
        raise Refused("wrong_shape")
    if any(len(key.encode()) > 128 for key, _ in value):
        raise Refused("name_too_long")
    if len(value) > most:
        raise Refused("too_many_features")
    return unique(value)


def event_time(value):
    if isinstance(value, str):
        try:
            at = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
            value = int(at.timestamp() * 1000)
        except ValueError:
            raise Refused("bad_timestamp")
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused("bad_timestamp")
    if not 100_000_000_000 <= int(value) < 100_000_000_000_000:
        raise Refused("bad_timestamp")
    return int(value)


def decode(payload, timestamp, settings):
    """The event as a flat dictionary, or Refused."""
    raw = parse(payload, settings)
    event = {"id": name(raw, "id"), "model": name(raw, "model"), "version": name(raw, "version")}
    if raw.get("ts") is not None:
        event["ts"] = event_time(raw["ts"])
    latency = raw.get("latency_ms")
    if latency is not None and (isinstance(latency, bool) or not isinstance(latency, (int, float))):
        raise Refused("wrong_shape")
    event["latency"] = latency
    event["features"] = fields(raw.get("features"), settings["max_features"])
    event["segment"] = fields(raw.get("segment"), 32) or {}
    event["label"] = raw.get("label")
    if isinstance(event["label"], list):
        raise Refused("wrong_shape")
    prediction, score = raw.get("prediction"), raw.get("score")
    if isinstance(prediction, Pairs):
        inner = dict(prediction)
        prediction, score = inner.get("label"), inner.get("score", score)
    elif isinstance(prediction, list):
        raise Refused("wrong_shape")
    elif isinstance(prediction, (int, float)) and not isinstance(prediction, bool):
        prediction, score = None, prediction
    event["prediction"], event["score"] = prediction, score
    predicted = event["features"] is not None or prediction is not None or score is not None
    event["feedback"] = event["label"] is not None and not predicted
    if event["model"] is None:
        raise Refused("no_model")
    if event["version"] is None and not event["feedback"]:
        raise Refused("no_version")
    if "ts" not in event:
        if timestamp is None:
            raise Refused("bad_timestamp")
        event["ts"] = timestamp
    if not predicted and event["label"] is None:
        raise Refused("nothing_to_count")
    return event


# --- counters --------------------------------------------------------------------------------------------------------


def code_text(number):
    number = float(number)
    return str(int(number)) if number.is_integer() else format(Decimal(repr(number)), "f")


def place_of_new(text):
    """Which of the counters of different new values this one increments: FNV-1a, mixed as MurmurHash3 does."""
    mixed = 0xCBF29CE484222325
    for byte in text.encode():
        mixed = (mixed ^ byte) * 0x100000001B3 & MASK
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = (mixed ^ mixed >> 33) * factor & MASK
    return mixed >> 59


class Column:
    def __init__(self, column, offset):
        self.name, self.role, self.kind = column["name"], column["role"], column["kind"]
        self.single = column["single_precision"]
        binning = column["binning"]
        self.knots = binning.get("knots")
        if self.knots is None:
            self.places = {text: place for place, text in enumerate(binning["categories"])}
            self.cells = len(self.places) + 1
        else:
            self.cells = 2 * len(self.knots) + 1
        self.offset = offset
        self.new_values = None

    def add(self, value, found):
        """Adds what this value increments."""
        index = self.index(value)
        found[index] = 1
        if self.new_values is not None and index == self.offset + len(self.places):
            found[self.new_values + place_of_new(value if isinstance(value, str) else code_text(value))] = 1

    def index(self, value):
        """Index of the counter that this value increments."""
        if value is None:
            return self.offset + self.cells + MISSING
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if self.knots is not None:
            if not number:
                return self.offset + self.cells + WRONG_TYPE
            x = float(value)
            if self.single:
                x = struct.unpack("f", struct.pack("f", x))[0]
            below = bisect.bisect_left(self.knots, x)
            tie = below < len(self.knots) and self.knots[below] == x
            return self.offset + 2 * below + (1 if tie else 0)
        if self.kind == "categorical" and isinstance(value, str):
            text = value
        elif self.kind == "boolean" and isinstance(value, bool):
            text = "true" if value else "false"
        elif self.kind == "coded_category" and number:
            text = code_text(value)
        else:
            return self.offset + self.cells + WRONG_TYPE
        return self.offset + self.places.get(text, len(self.places))


class Reference:
    def __init__(self, described):
        self.id, self.takes_feedback = described["id"], described["takes_feedback"]
        self.columns, offset = [], 1
        for column in described["columns"]:
            self.columns.append(Column(column, offset))
            offset += self.columns[-1].cells + 3
        self.latency = offset
        self.length = offset + LATENCY_BUCKETS + 2
        self.joint = described["joint"]
        if self.joint.get("new_values"):
            for column in self.columns:
                if column.kind in ("categorical", "coded_category") and column.knots is None:
                    column.new_values = self.length
                    self.length += NEW_VALUES
        role = {column.role: column for column in self.columns if column.role != "feature"}
        self.score, self.prediction, self.label = (role.get(r) for r in ("score", "prediction", "label"))

    def counters(self, event):
        """What the event adds to which counter; empty if nothing."""
        places, found = {}, {}

        def add(column, value):
            places[column] = column.index(value)
            column.add(value, found)

        if event["label"] is not None and self.label:
            add(self.label, event["label"])
        if event["feedback"]:
            return found
        features = event["features"] or {}
        for column in self.columns:
            if column.role == "feature":
                add(column, features.get(column.name))
        for column, value in ((self.score, event["score"]), (self.prediction, event["prediction"])):
            if column:
                add(column, value)
        found[0] = found[self.latency + latency_place(event["latency"])] = 1
        cells = [places.get(column, math.inf) - column.offset for column in self.columns]
        cells = [cell if cell < column.cells else None for cell, column in zip(cells, self.columns)]
        for term, value in self.terms(cells, number(event["score"]), number(event["label"])):
            found[self.length + 2 * term] = 1
            found[self.length + 2 * term + 1] = value + BIAS
        return found

    def terms(self, cells, score, label):
        """The joint terms that an event has: how score and label, and two columns, go together."""
        scores, residual = self.joint["scores"], self.joint["residual"]
        first = 0

        def scored(column):
            at = cells[column]
            return scores[column][at] if at is not None and at < len(scores[column]) else None

        if residual is not None:
            first = 3 + len(residual["columns"])
            if score is not None and label is not None:
                off = min(max((label - score) / residual["scale"], -1.0), 1.0) * 4096.0
                off = int(math.copysign(math.floor(abs(off) + 0.5), off))
                yield 0, off
                at = cells[residual["score"]]
                if at is not None:
                    yield 1, off * residual["slope"][at]
                yield 2, off * off
                for index, column in enumerate(residual["columns"]):
                    if scored(column) is not None:
                        yield 3 + index, off * scored(column)
        for index, (a, b) in enumerate(self.joint["pairs"]):
            if scored(a) is not None and scored(b) is not None:
                yield first + index, scored(a) * scored(b)


def number(value):
    """A score or label as a number."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, (int, float)):
        return float(value)
    return {"0": 0.0, "false": 0.0, "1": 1.0, "true": 1.0}.get(value) if isinstance(value, str) else None


def latency_place(latency):
    if latency is None:
        return LATENCY_BUCKETS
    if not math.isfinite(latency) or latency < 0:
        return LATENCY_BUCKETS + 1
    micros = min(max(latency * 1000.0, 1.0), 4294967295.0)
    bits = struct.unpack("<Q", struct.pack("<d", micros))[0]
    return min(max((bits >> 48) - 1023 * 16, 0), LATENCY_BUCKETS - 1)


def segment_of(event, field):
    value = event["segment"].get(field, (event["features"] or {}).get(field))
    if isinstance(value, str):
        return value if len(value.encode()) <= 128 else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return code_text(value)
    return None


# --- the rules -------------------------------------------------------------------------------------------------------


class Recount:
    def __init__(self, references, settings):
        self.settings = settings
        self.references = {m: {v: Reference(r) for v, r in versions.items()} for m, versions in references.items()}
        self.panes = defaultdict(Counter)  # (model, version, segment or None, pane) -> counter index -> count
        self.newest = {}  # (topic, partition) -> largest event time counted or unmatched
        self.next = {}
        self.law = Counter()
        self.refused = Counter()
        self.refused_at = []
        self.events = {}  # (model, version) -> [events, those behind a later one of their partition, newest event time]
        self.segments = defaultdict(list)
        self.last_seen = {}  # (topic, partition, id, model, feedback) -> offset of its last event

    def record(self, topic, partition, offset, timestamp, payload):
        self.law["read"] += 1
        self.next[(topic, partition)] = offset + 1
        try:
            event = decode(payload, timestamp, self.settings)
            if self.is_duplicate(topic, partition, offset, event):
                outcome = "duplicate"
            else:
                outcome = self.observe((topic, partition), event)
        except Refused as refused:
            reason = refused.args[0]
            self.refused[reason] += 1
            self.refused_at.append([topic, partition, offset, reason])
            return
        self.law[outcome] += 1

    def is_duplicate(self, topic, partition, offset, event):
        """Whether the same id stood in the partition within reach before; the reach is None where nobody asks."""
        reach = self.settings.get("dedup")
        if reach is None or event["id"] is None:
            return False
        key = (topic, partition, event["id"], event["model"], event["feedback"])
        before = self.last_seen.get(key)
        self.last_seen[key] = offset
        return before is not None and offset - before <= reach

    def find(self, event):
        versions = self.references.get(event["model"])
        if versions is None:
            raise Refused("unknown_model")
        if event["version"] is None:
            found = [v for v, reference in versions.items() if reference.takes_feedback]
            if not found:
                raise Refused("unknown_model")
            return found[0]
        if event["version"] not in versions:
            raise Refused("unknown_version")
        return event["version"]

    def observe(self, place, event):
        version = self.find(event)
        settings, ts = self.settings, event["ts"]
        if ts > settings["now"] + settings["max_ahead"]:
            return "future"
        pane = ts // settings["pane_ms"]
        end, newest = (pane + 1) * settings["pane_ms"], self.newest.get(place)
        if newest is not None and newest - settings["lateness"] >= end + settings["correction"]:
            return "late"
        self.newest[place] = ts if newest is None else max(newest, ts)
        model = event["model"]
        counters = self.references[model][version].counters(event)
        if not counters:
            return "unmatched"
        if not event["feedback"]:
            arrived = self.events.setdefault((model, version), [0, 0, ts])
            arrived[0] += 1
            arrived[1] += newest is not None and ts < newest
            arrived[2] = max(arrived[2], ts)
        self.panes[(model, version, None, pane)].update(counters)
        segment = segment_of(event, settings["segment_field"])
        if segment is not None:
            known = self.segments[(model, version)]
            if segment not in known:
                assert len(known) < settings["max_segments"], "the workload is to stay below the bound of segments"
                known.append(segment)
            self.panes[(model, version, segment, pane)].update(counters)
        return "counted"


# --- the state file --------------------------------------------------------------------------------------------------


def unpack(blob):
    """Pairs of LEB128 numbers: zeros skipped, then a count."""
    numbers, value, shift = [], 0, 0
    for byte in blob:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value, shift = 0, 0
    assert shift == 0 and len(numbers) % 2 == 0, "a packed pane is cut short"
    cell, counts = 0, {}
    for skipped, count in zip(numbers[::2], numbers[1::2]):
        cell += skipped
        counts[cell] = count
        cell += 1
    return counts


def rows(connection, sql):
    return connection.execute(sql).fetchall()


def gathered(panes, closed, settings):
    """Old panes summed by block: once no window begins inside a block, its counts may lie in any of its panes. A subject
    gathers them at a turn of its own, so that the smaller blocks may be there already, and the larger not yet."""
    sums = defaultdict(Counter)
    for (*subject, pane), counts in panes.items():
        place = pane
        for after, step in settings["blocks"]:
            start = pane // step * step
            if closed is not None and start + step <= closed - after:
                place = start
        sums[(*subject, place)].update(counts)
    return {key: dict(counts) for key, counts in sums.items()}


def compare(recount, path):
    """Lines that say what differs."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    subjects = {i: (m, v, s) for i, m, v, s in rows(db, "SELECT id, model, version, segment FROM subject")}
    core = json.loads(rows(db, "SELECT json FROM document WHERE name = 'core'")[0][0])
    settings, wrong = recount.settings, []
    found = {}
    for subject, pane, reference, counts in rows(db, "SELECT subject, pane, reference, counts FROM pane"):
        key = (*subjects[subject], pane)
        if key in found:
            wrong.append(f"pane {key} is there twice")
        found[key] = unpack(counts)
        if reference != recount.references[key[0]][key[1]].id:
            wrong.append(f"pane {key} follows another reference")
    closed = core["closed"]
    needed = closed - settings["kept_panes"] if closed is not None else None
    if needed is not None:
        wrong += [f"pane {key} should have been dropped" for key in found if key[3] < needed]
    counted, found = gathered(recount.panes, closed, settings), gathered(found, closed, settings)
    for key in sorted(set(found) | set(counted), key=str):
        if needed is not None and key[3] < needed:
            # Gone, or the oldest block, which goes as a whole.
            continue
        ours, theirs = counted.get(key, {}), found.get(key, {})
        if ours != theirs:
            cells = [(c, ours.get(c, 0), theirs.get(c, 0)) for c in sorted(set(ours) | set(theirs))]
            wrong.append(f"pane {key}: (cell, recount, state) {[c for c in cells if c[1] != c[2]][:5]}")
    law = core["law"]
    for what in ("read", "counted", "late", "future", "unmatched", "duplicate"):
        if law[what] != recount.law[what]:
            wrong.append(f"law.{what}: recount {recount.law[what]}, state {law[what]}")
    if {k: v for k, v in law["refused"].items() if v} != dict(recount.refused):
        wrong.append(f"law.refused: recount {dict(recount.refused)}, state {law['refused']}")
    positions = {(t, p): (n, m) for t, p, n, m in rows(db, "SELECT topic, partition, next_offset, max_event_time FROM position")}
    ours = {place: (offset, recount.newest.get(place)) for place, offset in recount.next.items()}
    if positions != ours:
        wrong.append(f"positions: recount {ours}, state {positions}")
    arrived = ("events", "out_of_order", "newest")
    events = {(e["model"], e["version"]): [e[what] for what in arrived] for e in core["events"] if e["events"]}
    if events != recount.events:
        wrong.append(f"events, out of order, newest: recount {recount.events}, state {events}")
    refused = sorted([t, p, o, r] for t, p, o, r in rows(db, 'SELECT topic, partition, "offset", reason FROM refused'))
    if refused != sorted(recount.refused_at):
        wrong.append(f"refused: {len(recount.refused_at)} by recount, {len(refused)} in the state")
    return wrong


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    with open(job["references"], encoding="utf-8") as file:
        recount = Recount(json.load(file), job["settings"])
    with open(job["records"], encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            payload = record["payload"]
            payload = None if payload is None else base64.b64decode(payload)
            recount.record(record["topic"], record["partition"], record["offset"], record["timestamp"], payload)
    wrong = compare(recount, job["state"])
    cells = sum(len(counts) for counts in recount.panes.values())
    law = {**recount.law, "refused": dict(recount.refused)}
    print(json.dumps({"wrong": wrong[:20], "differences": len(wrong), "panes": len(recount.panes), "cells": cells, "law": law, "refused_at": recount.refused_at}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
