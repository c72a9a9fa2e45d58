#!/usr/bin/env bash
# The benchmark of verdicts (benches/quality) with a release build, and the false alarms of the calibrated quantities on
# streams in which nothing changes. Arguments go to benches/quality/run.py, such as --only REGEX, --mag 0.5 or
# --seed-add 10000; with any of them only the streams are judged.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

cargo build --release --locked
judge=("$CACHE/quality/bin/python" benches/quality/run.py "${CARGO_TARGET_DIR:-target}/release/anchorwatch")
if (($# > 0)); then
  exec "${judge[@]}" "$@"
fi
"${judge[@]}" --check
"${judge[@]}" --check --mag 0.5
# About 8,000 clean windows of seeds that the method was not chosen on.
for seed in 60000 70000 80000; do
  "${judge[@]}" --check --seed-add "$seed" --only '^nodrift'
done
cargo test --release --locked -p anchorwatch-detectors --test null_calibration -- --ignored --nocapture
cargo bench --locked --bench watch
