#!/usr/bin/env bash
# Every test of the workspace, none left out after a failure, and one line at the end that sums them up. The tests of
# faults end the daemon at places that only this build has (`--features failpoints`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
code=0
cargo test --workspace --features failpoints --locked --no-fail-fast 2>&1 | tee "$log" || code=$?
awk '/^test result:/ {
  for (i = 2; i <= NF; i++) {
    if ($i == "passed;") passed += $(i - 1)
    if ($i == "failed;") failed += $(i - 1)
    if ($i == "ignored;") skipped += $(i - 1)
  }
} END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$log"
exit "$code"
