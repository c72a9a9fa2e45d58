#!/usr/bin/env bash
# Runs each fuzz target for FUZZ_SECONDS (20), or those named. What is found stays in fuzz/artifacts; the seeds in
# fuzz/seeds are committed, the corpus that grows from them is not.
#
# The stable toolchain has coverage instrumentation but no sanitizers: our crates forbid unsafe code, and panics,
# failed assertions, endless loops and memory that explodes are found without them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

targets=("$@")
((${#targets[@]} > 0)) || mapfile -t targets < <(cargo fuzz list)
for target in "${targets[@]}"; do
  say "fuzzing $target for ${FUZZ_SECONDS:-20} s"
  mkdir -p "fuzz/corpus/$target"
  RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="${FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=2048 -max_len="${FUZZ_LENGTH:-4096}" -print_final_stats=1
done
