//! The page `docs/guide/metrics.md`, written from the table.

use std::fmt::Write as _;

use super::families::TABLE;

const HEAD: &str = "# Metrics

`/metrics` serves the Prometheus text format 0.0.4. A series without a value is absent, never NaN: a window with too few
rows has `anchorwatch_window_rows` and a verdict of -1, but no statistic. The label `segment` is empty for the whole
traffic of a version. Statistics are about the latest judged window of each horizon. `records_*`, `events_*_total`, `events_total`,
`labels_total`, `predictions_unlabelled_total`, `alarm_*_total` and `budget_windows_judged_total` are part of the checkpoint
and continue after a restart; the other counters begin at zero.

`anchorwatch_latency_seconds` is a histogram: `histogram_quantile(0.99, sum by (model, le)
(rate(anchorwatch_latency_seconds_bucket[10m])))` is right over all versions of a model, which the quantiles of windows cannot
be added up to. It grows when a pane closes, so the range of a rate should be several panes long. Late events that amend a
closed pane are in its windows and not here; after a crash, panes that closed since the last checkpoint are counted by the new
process too. Each bound of `monitor.latency.buckets_ms` is moved up to the next edge of the buckets in which panes count
latencies, at most 1/16 above from 1 µs on, and `le` shows that edge: `0.1024` for 100 ms. A latency of exactly the edge counts above it, and
`_sum` takes each for the middle of its bucket. A version has one series for each bound and three more, beside
`telemetry.max_series`; `[]` turns them off.

Series about features are bounded by `telemetry.max_series`; what is left out is counted in
`anchorwatch_series_dropped_total`. The series of a version are deleted when it leaves.

<!-- Generated from src/telemetry/families.rs: UPDATE_DOCS=1 cargo test --lib generated_pages -->

| metric | type | labels | meaning |
|---|---|---|---|
";

/// The reference of all metrics as Markdown.
#[must_use]
pub fn metrics_page() -> String {
    let mut page = HEAD.to_owned();
    for spec in TABLE {
        let labels: Vec<_> = spec.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        _ = writeln!(page, "| `{}` | {} | {labels} | {} |", spec.name, spec.kind.as_str(), spec.help);
    }
    page
}
