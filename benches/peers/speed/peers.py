"""One peer on one file of events: parse it, then PSI and KS of every feature as far as the peer has them.

    python peers.py PEER EVENTS.jsonl BASELINE.jsonl WINDOW

prints one JSON object: versions, CPU seconds of parsing and of computing (all threads and children, imports and the
loading of the baseline left out), of the whole process, its peak memory, and two values to compare with the others.
Run by `benches/peers/speed/main.rs`, which gives every pool of threads one thread.
"""

import importlib.metadata
import json
import resource
import sys
import time
import warnings

warnings.filterwarnings("ignore")

NUMERIC = [
    "amount", "income", "balance", "age", "tenure_days", "utilisation", "logins_7d", "basket", "velocity",
    "distance_km", "hour", "residual", "risk_index", "pressure_hpa",
]
CATEGORICAL = ["is_new", "channel", "device", "plan", "country", "merchant"]
FEATURES = NUMERIC + CATEGORICAL


def cpu():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_mib():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def columns(path, most=None):
    """A list of values for each feature; orjson is the fastest parser that Python has for this."""
    import orjson

    found = {name: [] for name in FEATURES}
    with open(path, "rb") as lines:
        for number, line in enumerate(lines):
            if number == most:
                break
            features = orjson.loads(line)["features"]
            for name in FEATURES:
                found[name].append(features[name])
    return found


def frame(path):
    import pandas

    return pandas.DataFrame(columns(path))


def windows(data, size):
    return [data.iloc[at : at + size] for at in range(0, len(data), size)]


class Evidently:
    package, says = "evidently", "PSI of 20, KS of 14 columns; a report for each window"

    def __init__(self):
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        self.dataset, self.report, self.drift = Dataset, Report, ValueDrift
        self.definition = DataDefinition(numerical_columns=NUMERIC, categorical_columns=CATEGORICAL)

    load = staticmethod(frame)

    def compute(self, events, baseline, size):
        def dataset(data):
            return self.dataset.from_pandas(data, data_definition=self.definition)

        metrics = [self.drift(column=name, method="psi") for name in FEATURES]
        metrics += [self.drift(column=name, method="ks") for name in NUMERIC]
        for window in windows(events, size):
            result = self.report(metrics).run(dataset(window), dataset(baseline)).dict()
        values = [metric["value"] for metric in result["metrics"]]
        return {"psi country": float(values[FEATURES.index("country")])}


class Nannyml:
    package, says = "nannyml", "KS and Jensen-Shannon of 14, Jensen-Shannon of 6 columns (it has no PSI)"

    def __init__(self):
        import nannyml

        self.calculator = nannyml.UnivariateDriftCalculator

    load = staticmethod(frame)

    def compute(self, events, baseline, size):
        calculator = self.calculator(
            column_names=FEATURES,
            treat_as_categorical=CATEGORICAL,
            continuous_methods=["kolmogorov_smirnov", "jensen_shannon"],
            categorical_methods=["jensen_shannon"],
            chunk_size=size,
        )
        found = calculator.fit(baseline).calculate(events).filter(period="analysis").to_df()
        return {"ks income": float(found[("income", "kolmogorov_smirnov", "value")].iloc[-1])}


class AlibiDetect:
    package, says = "alibi-detect", "KS of 14, chi-square of 6 columns (it has no PSI)"

    def __init__(self):
        from alibi_detect.cd import TabularDrift

        self.drift = TabularDrift

    load = staticmethod(frame)

    @staticmethod
    def codes(data, known):
        import numpy

        return numpy.column_stack(
            [data[name].to_numpy(float) for name in NUMERIC]
            + [data[name].map(known[name]).fillna(len(known[name])).to_numpy(float) for name in CATEGORICAL]
        )

    def compute(self, events, baseline, size):
        known = {name: {value: code for code, value in enumerate(baseline[name].unique())} for name in CATEGORICAL}
        categories = {len(NUMERIC) + index: None for index in range(len(CATEGORICAL))}
        detector = self.drift(self.codes(baseline, known), p_val=0.05, categories_per_feature=categories)
        for window in windows(events, size):
            found = detector.predict(self.codes(window, known), drift_type="feature", return_distance=True)
        return {"ks income": float(found["data"]["distance"][NUMERIC.index("income")])}


class Whylogs:
    package, says = "whylogs", "profiles; KS of 14, chi-square of 6 columns from sketches (it has no PSI)"

    def __init__(self):
        import whylogs
        from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

        self.log, self.scores = whylogs.log, calculate_drift_scores

    load = staticmethod(frame)

    def compute(self, events, baseline, size):
        reference = self.log(baseline).view()
        for window in windows(events, size):
            found = self.scores(self.log(window).view(), reference, with_thresholds=True)
        statistic = found["income"].get("statistic")
        return {} if statistic is None else {"ks income": float(statistic)}


class Frouros:
    package, says = "frouros", "PSI (10 bins) and KS of 14 columns (numbers only)"

    def __init__(self):
        from frouros.detectors.data_drift import PSI, KSTest

        self.psi, self.ks = PSI, KSTest

    load = staticmethod(frame)

    def compute(self, events, baseline, size):
        detectors = []
        for name in NUMERIC:
            for make in (lambda: self.psi(num_bins=10), self.ks):
                detector = make()
                detector.fit(X=baseline[name].to_numpy(float))
                detectors.append((name, detector))
        for window in windows(events, size):
            found = {}
            for name, detector in detectors:
                result, _ = detector.compare(X=window[name].to_numpy(float))
                found[name, type(detector).__name__] = getattr(result, "distance", getattr(result, "statistic", None))
        return {"psi income": float(found["income", "PSI"]), "ks income": float(found["income", "KSTest"])}


class Scouter:
    package, says = "scouter-ml", "PSI (10 quantile bins) of 20 columns, its Rust core (it has no KS)"

    def __init__(self):
        from scouter.drift import Drifter, PsiDriftConfig

        self.drifter, self.config = Drifter(), PsiDriftConfig

    load = staticmethod(frame)

    def compute(self, events, baseline, size):
        config = self.config(space="bench", name="payments", version="1.0.0", categorical_features=CATEGORICAL)
        profile = self.drifter.create_drift_profile(baseline, config)
        for window in windows(events, size):
            found = self.drifter.compute_drift(window, profile)
        found = json.loads(found.model_dump_json())["features"]
        return {"psi income": float(found["income"]), "psi country": float(found["country"])}


class Adwin:
    package, says = "river", "ADWIN of 14 columns, value by value (no reference, neither PSI nor KS)"

    def __init__(self):
        from river.drift import ADWIN

        self.detector = ADWIN

    load = staticmethod(columns)

    def compute(self, events, _baseline, _size):
        for name in NUMERIC:
            detector = self.detector()
            for value in events[name]:
                detector.update(value)
        return {}


class Kswin(Adwin):
    says = "KSWIN of 14 columns, value by value: KS of 30 values beside the last 100 (no reference), 500 events only"

    def __init__(self):
        from river.drift import KSWIN

        self.detector = lambda: KSWIN(seed=7)

    load = staticmethod(lambda path: columns(path, most=500))


class Numpy:
    package, says = "numpy", "written by hand: PSI (10 quantile bins) of 20, KS of 14 columns; no library of drift"

    def __init__(self):
        import numpy

        self.np = numpy

    load = staticmethod(frame)

    def psi(self, before, after):
        before, after = (self.np.clip(share / share.sum(), 1e-6, None) for share in (before, after))
        return float(((after - before) * self.np.log(after / before)).sum())

    def compute(self, events, baseline, size):
        np, found = self.np, {}
        for window in windows(events, size):
            for name in NUMERIC:
                old, new = np.sort(baseline[name].to_numpy(float)), np.sort(window[name].to_numpy(float))
                edges = np.unique(np.quantile(old, np.linspace(0, 1, 11)[1:-1]))
                counts = [np.diff(np.r_[0, np.searchsorted(v, edges, "right"), len(v)]) for v in (old, new)]
                found["psi", name] = self.psi(*(count.astype(float) for count in counts))
                both = np.concatenate([old, new])
                below = [np.searchsorted(v, both, "right") / len(v) for v in (old, new)]
                found["ks", name] = float(np.abs(below[0] - below[1]).max())
            for name in CATEGORICAL:
                counts = [data[name].value_counts() for data in (baseline, window)]
                every = counts[0].index.union(counts[1].index)
                found["psi", name] = self.psi(*(c.reindex(every, fill_value=0).to_numpy(float) for c in counts))
        values = [("psi", "income"), ("psi", "country"), ("ks", "income")]
        return {f"{what} {name}": found[what, name] for what, name in values}


PEERS = {
    "evidently": Evidently,
    "nannyml": Nannyml,
    "alibi-detect": AlibiDetect,
    "whylogs": Whylogs,
    "frouros": Frouros,
    "scouter-ml": Scouter,
    "river-adwin": Adwin,
    "river-kswin": Kswin,
    "numpy": Numpy,
}


def main():
    name, events_path, baseline_path, size = sys.argv[1:]
    peer = PEERS[name]()
    baseline = peer.load(baseline_path)
    begun = cpu()
    events = peer.load(events_path)
    parsed = cpu()
    values = peer.compute(events, baseline, int(size))
    ended = cpu()
    count = len(events["income"])
    answer = {
        "version": importlib.metadata.version(peer.package),
        "says": peer.says,
        "events": count,
        "parse": parsed - begun,
        "compute": ended - parsed,
        "process": cpu(),
        "peak_mib": peak_mib(),
        "values": values,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
