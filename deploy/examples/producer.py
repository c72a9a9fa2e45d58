#!/usr/bin/env python3
"""Sends one prediction, and what really happened, to Anchorwatch. `pip install confluent-kafka`.

    python producer.py localhost:9092
"""

import json
import sys
import time

from confluent_kafka import Producer

producer = Producer({"bootstrap.servers": sys.argv[1]})
now = int(time.time() * 1000)

prediction = {
    "id": "r1",
    "model": "flights",
    "version": "1.0.0",
    "ts": now,
    "features": {"temp": 39.0, "carrier": "UA", "wind_gust": None},
    "prediction": {"label": "late", "score": 0.61},
    "latency_ms": 5.2,
    "segment": {"origin": "JFK"},
}
producer.produce("predictions", key="r1", value=json.dumps(prediction))

feedback = {"id": "r1", "model": "flights", "label": "on_time", "ts": now}
producer.produce("feedback", key="r1", value=json.dumps(feedback))

if producer.flush(10) > 0:
    sys.exit("not delivered within ten seconds")
