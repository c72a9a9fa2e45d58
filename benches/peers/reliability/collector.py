"""Drives Evidently's collector service through three cases and prints what was seen as one JSON object.

    python collector.py FOLDER

The service is `evidently collector` of the same environment, started and killed as a process of its own. Its reports
go to a small server here that answers as much of Evidently's workspace API as the collector asks for, so that the rows
of each report can be read. Run by `benches/peers/reliability/main.rs`.
"""

import http.server
import importlib.metadata
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
import warnings

warnings.filterwarnings("ignore")
os.environ["DO_NOT_TRACK"] = "1"

import pandas  # noqa: E402
from evidently.collector.config import CollectorConfig, ReportConfig, RowsCountTrigger  # noqa: E402
from evidently.metric_preset import DataDriftPreset  # noqa: E402
from evidently.metrics import DatasetSummaryMetric  # noqa: E402
from evidently.report import Report  # noqa: E402
from evidently.ui.workspace.remote import EVIDENTLY_APPLICATION_NAME  # noqa: E402
from evidently.utils import NumpyEncoder  # noqa: E402

PATIENCE = 180
COLUMNS = [f"f{index}" for index in range(20)]


def rows(count, seed=1):
    make = random.Random(seed)
    return pandas.DataFrame({name: [round(make.gauss(0, 1), 4) for _ in range(count)] for name in COLUMNS})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > end:
            sys.exit(f"waited {patience} s for {what}")
        time.sleep(0.05)
    return found


class Workspace(http.server.ThreadingHTTPServer):
    """Takes reports and keeps how many rows each says it is about."""

    def __init__(self):
        self.rows_of_reports = []
        super().__init__(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Answers(http.server.BaseHTTPRequestHandler):
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        project = re.fullmatch(r"/api/projects/([^/]+)/info", self.path)
        if project:
            self.answer({"id": project[1], "name": "bench", "dashboard": {"name": "bench", "panels": []}})
        else:
            self.answer({"application": EVIDENTLY_APPLICATION_NAME, "version": "bench", "commit": "-"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path.endswith("/snapshots"):
            found = re.findall(r'"number_of_rows": ?(\d+)', body)
            # The first is that of the window, the second that of the reference.
            self.server.rows_of_reports.append(int(found[0]) if found else 0)
        self.answer({})

    def log_message(self, *_):
        pass


class Collector:
    """The service with one collector whose trigger is a number of rows, as its documentation calls it."""

    def __init__(self, folder, workspace, rows_count):
        self.folder, self.port = folder, free_port()
        report = Report(metrics=[DatasetSummaryMetric(), DataDriftPreset()])
        # A report knows its metrics only once it has run.
        report.run(reference_data=rows(50), current_data=rows(50))
        config = CollectorConfig(
            trigger=RowsCountTrigger(rows_count=rows_count),
            report_config=ReportConfig.from_report(report),
            project_id=str(uuid.uuid4()),
            api_url=workspace.url(),
        )
        os.makedirs(folder, exist_ok=True)
        self.start()
        self.post("/c", json.loads(json.dumps(config.dict(), cls=NumpyEncoder)))
        self.post("/c/reference", rows(2_000, seed=2).to_dict())

    def start(self):
        log = open(os.path.join(self.folder, "collector.log"), "ab")
        program = os.path.join(os.path.dirname(sys.executable), "evidently")
        command = [sys.executable, program, "collector", "--host", "127.0.0.1", "--port", str(self.port)]
        config = os.path.join(self.folder, "collector_config.json")
        self.process = subprocess.Popen([*command, "--config-path", config], cwd=self.folder, stdout=log, stderr=log)
        wait_until("the collector to answer", self.answers)

    def answers(self):
        if self.process.poll() is not None:
            sys.exit(f"the collector ended: see {self.folder}/collector.log")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/none", timeout=2)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def post(self, path, body):
        """Seconds until it was answered with success."""
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, method="POST")
        request.add_header("Content-Type", "application/json")
        begun = time.monotonic()
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status in (200, 201), answer.status
        return time.monotonic() - begun

    def send(self, count):
        return self.post("/c/data", rows(count).to_dict())


def half_full_window(folder):
    """Nine of ten POSTs are accepted, `kill -9`, ten more POSTs: how many rows is the next report about?"""
    workspace = Workspace()
    collector = Collector(folder, workspace, rows_count=10)
    for _ in range(9):
        collector.send(100)
    collector.kill()
    collector.start()
    for _ in range(10):
        collector.send(100)
    wait_until("a report", lambda: workspace.rows_of_reports)
    collector.kill()
    # The trigger may have come before the tenth POST only if rows had been kept.
    return {"accepted": 1_900, "lost": 1_900 - sum(workspace.rows_of_reports)}


def rows_or_posts(folder):
    """A trigger of 10 "rows": one POST of 5,000 rows, then nine of one row."""
    workspace = Workspace()
    collector = Collector(folder, workspace, rows_count=10)
    collector.send(5_000)
    time.sleep(10)
    early = len(workspace.rows_of_reports)
    for _ in range(9):
        collector.send(1)
    wait_until("a report", lambda: workspace.rows_of_reports)
    collector.kill()
    return {"reports_of_5000_rows_in_one_post": early, "rows_of_the_report_at_the_tenth_post": workspace.rows_of_reports[0]}


def waiting_posts(folder):
    """POSTs of one row before and while a report over 20,000 rows runs."""
    workspace = Workspace()
    collector = Collector(folder, workspace, rows_count=20)
    before = [collector.send(1) for _ in range(10)]
    for _ in range(10):
        collector.send(2_000)
    during = []
    while not workspace.rows_of_reports:
        during.append(collector.send(1))
    collector.kill()
    return {"before_s": max(before), "during_s": max(during), "rows_of_the_report": workspace.rows_of_reports[0]}


def main():
    folder = sys.argv[1]
    cases = (half_full_window, rows_or_posts, waiting_posts)
    told = {case.__name__: case(os.path.join(folder, case.__name__)) for case in cases}
    print(json.dumps({"version": importlib.metadata.version("evidently"), **told}))


if __name__ == "__main__":
    main()
