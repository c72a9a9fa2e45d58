//! The page `docs/guide/metrics.md`, written from the table.

use std::fmt::Write as _;

use super::families::TABLE;

const HEAD: &str = "# Metrics

`/metrics` serves the Prometheus text format 0.0.4. A series without a value is absent, never NaN: a window with too few
rows has `anchorwatch_window_rows` and a verdict of -1, but no statistic. The label `segment` is empty for the whole
traffic of a version. Statistics are about the latest judged window of each horizon. `records_*`, `events_total`,
`labels_total`, `predictions_unlabelled_total`, `alarm_*_total` and `budget_windows_judged_total` are part of the checkpoint
and continue after a restart; the other counters begin at zero.

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
