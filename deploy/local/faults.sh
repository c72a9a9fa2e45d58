#!/usr/bin/env bash
# The tests of faults in their long form: each case as often as a release wants it. Some hours.
#
#   deploy/local/faults.sh [TEST…]                     only tests whose name contains one of these
#   ANCHORWATCH_KILLS=1000 deploy/local/faults.sh kill_9
#   ANCHORWATCH_SEED=7 deploy/local/faults.sh …        the same records and moments again
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export ANCHORWATCH_FAULTS=long
# One at a time: how long a start takes is part of what is checked.
exec cargo test --features failpoints --locked --test faults --test engine_laws -- --nocapture --test-threads=1 "$@"
