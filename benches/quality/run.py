#!/usr/bin/env python3
"""Judges the streams of scenarios.json with `anchorwatch backtest` at its defaults, and scores the alarms.

  python run.py ANCHORWATCH [--only REGEX] [--seed-add N] [--mag X] [--work FOLDER] [--jobs N] [--keep] [--check]

Prints the scorer's table: critical alerts (the budget of one false alarm in 180 days) and warnings (30 days), beside
the peers recorded in peers.md when all scenarios ran as they are. With --check, exit code 1 says that a figure of
TARGETS is not reached.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
SCENARIOS = os.path.join(HERE, "scenarios.json")
PAGES, WARNINGS = "anchorwatch", "anchorwatch_warning"

# Of the scorer's result for critical alerts: what it is called, how it is read, and the most it may be.
TARGETS = (
    ("false alarms in 1,000 clean windows", lambda r: r["fa_per_1k"], 1.0),
    ("the same on the worst traffic", lambda r: r["fa_worst_bg"], 5.0),
    ("alarms in 1,000 windows of a negligible change", lambda r: r["nuisance_per_1k"] or 0.0, 0.0),
    ("drifts missed", lambda r: float(r["missed"]), 2.0),
    ("drifts without the right name, % (corrected for chance)", lambda r: 100 * (1 - r["net_hit"]), 3.0),
    ("mean delay as a part of the horizon", lambda r: r["delay_mean_restricted"] or 0.0, 0.06),
    ("slices not named, %", lambda r: 100 * (1 - (1.0 if r["slice_named"] is None else r["slice_named"])), 5.0),
)

# Drifts of another size say how many are found, fresh seeds whether it stays quiet where nothing changes.
OF_ANOTHER_SIZE = (
    ("drifts without the right name, % (corrected for chance)", lambda r: 100 * (1 - r["net_hit"]), 15.0),
)
OF_FRESH_SEEDS = (
    ("false alarms", lambda r: float(round(r["fa_per_1k"] * r["clean_windows"] / 1000)), 1.0),
)


def targets(options):
    if options.mag != 1.0:
        return OF_ANOTHER_SIZE
    return OF_FRESH_SEEDS if options.seed_add else TARGETS


def generated(scenario, options):
    """The folder of a scenario's streams, made if it is not there."""
    folder = os.path.join(options.work, "streams", scenario)
    manifest = os.path.join(folder, "manifest.json")
    truth = os.path.join(options.work, "truth", scenario + ".json")
    if not (os.path.exists(manifest) and os.path.exists(truth)):
        subprocess.run(
            [sys.executable, os.path.join(HERE, "driftgen.py"), SCENARIOS, options.work,
             "--only", "^%s$" % re.escape(scenario), "--seed-add", str(options.seed_add), "--mag", str(options.mag)],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder


def alarm(scenario, detector, **fields):
    return dict(dict(scenario=scenario, window_start=0, window_end=0, detector=detector, feature=None, kind="ran"), **fields)


def judged(scenario, options):
    """Alarms of one scenario in the scorer's form, and the seconds that judging took."""
    folder = generated(scenario, options)
    with open(os.path.join(folder, "manifest.json")) as file:
        window = "%dms" % json.load(file)["window_ms"]
    began = time.monotonic()
    run = subprocess.run(
        [options.program, "backtest", "--reference", os.path.join(folder, "reference.parquet"), "--events",
         os.path.join(folder, "live.parquet"), "--window", window, "--severity", "warning", "--output", "jsonl"],
        capture_output=True, text=True)
    seconds = time.monotonic() - began
    if run.returncode:
        raise SystemExit("%s: anchorwatch backtest failed\n%s" % (scenario, run.stderr[-2000:]))
    alarms = [alarm(scenario, PAGES), alarm(scenario, WARNINGS)]
    for line in run.stdout.splitlines():
        fields = dict(json.loads(line))
        alarms.append(alarm(scenario, **dict(fields, detector=WARNINGS)))
        if fields["severity"] == "critical":
            alarms.append(alarm(scenario, **dict(fields, detector=PAGES)))
    if not options.keep:
        shutil.rmtree(folder)
    return alarms, seconds


def scenarios(options):
    listed = subprocess.run(
        [sys.executable, os.path.join(HERE, "driftgen.py"), SCENARIOS, options.work, "--list", "--only", options.only],
        check=True, capture_output=True, text=True)
    return listed.stdout.split()


def score(alarms, options):
    """The scorer's results by detector; prints its tables and the peers' rows between them."""
    recorded = os.path.join(options.work, "alarms.jsonl")
    results = os.path.join(options.work, "results.json")
    with open(recorded, "w") as file:
        file.writelines(json.dumps(one) + "\n" for one in alarms)
    tables = subprocess.run(
        [sys.executable, os.path.join(HERE, "score.py"), os.path.join(options.work, "truth"), recorded,
         "--only", options.only, "--breakdown", "--json", results],
        check=True, capture_output=True, text=True).stdout
    summary, breakdown = tables.split("\n\n", 1)
    print(summary)
    if (options.only, options.seed_add, options.mag) == ("", 0, 1.0):
        with open(os.path.join(HERE, "peers.md")) as file:
            print("".join(file.readlines()[2:]).rstrip())
    print("\n" + breakdown)
    with open(results) as file:
        return {result["detector"]: result for result in json.load(file)}


def missed(result):
    names = [row["scenario"] for row in result["rows"] if not row["hit"] and not row["natural"]]
    return ", ".join(names) or "none"


def reached(result, options):
    good = True
    for name, read, most in targets(options):
        value = read(result)
        good &= value <= most + 1e-9
        print("%-58s %8.3f   at most %g%s" % (name, value, most, "" if value <= most + 1e-9 else "   NOT REACHED"))
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the anchorwatch to run")
    parser.add_argument("--only", default="", help="run the scenarios whose id matches this regular expression")
    parser.add_argument("--seed-add", type=int, default=0, help="added to every seed: fresh data of the same kinds")
    parser.add_argument("--mag", type=float, default=1.0, help="factor on the size of every drift")
    parser.add_argument("--work", help="where streams go; by default a folder under target/quality")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", action="store_true", help="keep the streams (2.5 GB in all) for the next run")
    parser.add_argument("--check", action="store_true", help="fail if a target is not reached")
    options = parser.parse_args()
    root = os.path.dirname(os.path.dirname(HERE))
    options.work = options.work or os.path.join(root, "target", "quality", "seed%d-mag%g" % (options.seed_add, options.mag))
    os.makedirs(options.work, exist_ok=True)
    names = scenarios(options)
    if not names:
        raise SystemExit("no scenario matches %r" % options.only)
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = list(pool.map(lambda name: judged(name, options), names))
    results = score([one for alarms, _ in runs for one in alarms], options)
    print("\nmissed: %s; with warnings: %s" % (missed(results[PAGES]), missed(results[WARNINGS])))
    print("%d scenarios, %.1f s of judging\n" % (len(runs), sum(seconds for _, seconds in runs)))
    if not reached(results[PAGES], options) and options.check:
        sys.exit(1)


if __name__ == "__main__":
    main()
