#!/usr/bin/env bash
# One Prometheus on loopback, on a free port.
#
#   deploy/local/prometheus.sh start DIR CONFIG [PORT]   prints its address (host:port) once it is ready
#   deploy/local/prometheus.sh stop|kill DIR
#   deploy/local/prometheus.sh tool ARGS…                promtool
#
# DIR holds log and data. With ANCHORWATCH_OWNER_PID set, it stops by itself when that process ends.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage="usage: prometheus.sh start DIR CONFIG [PORT] | prometheus.sh stop|kill DIR | prometheus.sh tool ARGS…"
command=${1:?$usage}
shift
case "$command" in
start)
  dir=${1:?$usage} config=${2:?$usage}
  serve "$dir" prometheus "${3:-}" prometheus \
    --config.file="$config" --storage.tsdb.path="$dir/data" --web.enable-lifecycle --log.level=info
  ;;
stop | kill) stop "${1:?$usage}" prometheus "$([[ "$command" == kill ]] && echo KILL || echo TERM)" ;;
tool)
  "$HERE/setup.sh" prometheus
  exec promtool "$@"
  ;;
*) die "$usage" ;;
esac
