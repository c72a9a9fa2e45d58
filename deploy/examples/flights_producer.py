#!/usr/bin/env python3
"""Replays the flights stream of testdata/flights into Kafka: predictions in time order, labels when they became known.

    pip install -r requirements.txt
    python flights_producer.py localhost:9092 ../../testdata/flights/events.parquet --speed 20000

Figures are sent as the double that the stored 32-bit value is, so that they equal those of reference.parquet bit for bit.
"""

import argparse
import heapq
import json
import sys
import time
from collections.abc import Iterator

import pyarrow.parquet as parquet
from confluent_kafka import KafkaException, Producer

FEATURES = ["hour", "distance", "temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib",
            "carrier", "origin", "dest", "weekday"]


def milliseconds(moment) -> int:
    return round(moment.timestamp() * 1000)


def events(path: str, model: str, version: str) -> Iterator[tuple[int, str, str, dict]]:
    """Time in milliseconds, kind, key and body of every event, in the order in which a serving app would send them."""
    waiting: list[tuple[int, str, dict]] = []  # labels that are not known yet
    for batch in parquet.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            ts = milliseconds(row["ts"])
            while waiting and waiting[0][0] <= ts:
                at, key, label = heapq.heappop(waiting)
                yield at, "feedback", key, label
            yield ts, "prediction", row["id"], {
                "id": row["id"],
                "model": model,
                "version": version,
                "ts": ts,
                "features": {name: row[name] for name in FEATURES},
                "prediction": {"label": row["prediction"], "score": row["score"]},
                "latency_ms": row["latency_ms"],
                "segment": {"origin": row["origin"]},
            }
            if row["label"] is not None and row["label_ts"] is not None:
                at = milliseconds(row["label_ts"])
                heapq.heappush(waiting, (at, row["id"], {"id": row["id"], "model": model, "label": row["label"], "ts": at}))
    while waiting:
        at, key, label = heapq.heappop(waiting)
        yield at, "feedback", key, label


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("bootstrap")
    arguments.add_argument("parquet")
    arguments.add_argument("--topic", default="predictions")
    arguments.add_argument("--feedback-topic", default="feedback")
    arguments.add_argument("--model", default="flights")
    arguments.add_argument("--version", default="1.0.0")
    arguments.add_argument("--speed", type=float, default=0.0, help="seconds of the stream per second; 0: as fast as it goes")
    arguments.add_argument("--limit", type=int, default=0, help="stop after so many predictions; 0: all")
    options = arguments.parse_args()

    failed: list[str] = []
    producer = Producer({"bootstrap.servers": options.bootstrap, "linger.ms": 20, "compression.type": "zstd"})

    def delivered(error, _message) -> None:
        if error is not None:
            failed.append(str(error))

    began, first, sent, labels = time.monotonic(), None, 0, 0
    for ts, kind, key, body in events(options.parquet, options.model, options.version):
        if options.limit and sent >= options.limit:
            break
        first = ts if first is None else first
        if options.speed > 0:
            ahead = (ts - first) / 1000 / options.speed - (time.monotonic() - began)
            if ahead > 0.05:
                producer.poll(0)
                time.sleep(ahead)
        topic = options.topic if kind == "prediction" else options.feedback_topic
        value = json.dumps(body, separators=(",", ":"), allow_nan=False)
        while True:
            try:
                producer.produce(topic, key=key, value=value, timestamp=ts, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.5)  # the queue is full: let some go
        producer.poll(0)
        sent, labels = (sent + 1, labels) if kind == "prediction" else (sent, labels + 1)
        if failed:
            sys.exit(f"Kafka refused an event: {failed[0]}")
    left = producer.flush(60)
    if left or failed:
        sys.exit(f"{left} events not delivered within a minute; {len(failed)} refused {failed[:1]}")
    print(f"{sent} predictions and {labels} labels in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    try:
        main()
    except KafkaException as error:
        sys.exit(f"Kafka: {error}")
