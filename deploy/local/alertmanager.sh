#!/usr/bin/env bash
# One Alertmanager on loopback, on a free port, without a cluster.
#
#   deploy/local/alertmanager.sh start DIR CONFIG [PORT]   prints its address (host:port) once it is ready
#   deploy/local/alertmanager.sh stop|kill DIR
#   deploy/local/alertmanager.sh tool ARGS…                amtool
#
# DIR holds log and data. With ANCHORWATCH_OWNER_PID set, it stops by itself when that process ends.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage="usage: alertmanager.sh start DIR CONFIG [PORT] | alertmanager.sh stop|kill DIR | alertmanager.sh tool ARGS…"
command=${1:?$usage}
shift
case "$command" in
start)
  dir=${1:?$usage} config=${2:?$usage}
  program=prometheus-alertmanager # Debian's name
  command -v alertmanager >/dev/null && program=alertmanager
  serve "$dir" alertmanager "${3:-}" "$program" \
    --config.file="$config" --storage.path="$dir/data" --cluster.listen-address= --log.level=info
  ;;
stop | kill) stop "${1:?$usage}" alertmanager "$([[ "$command" == kill ]] && echo KILL || echo TERM)" ;;
tool)
  "$HERE/setup.sh" prometheus
  exec amtool "$@"
  ;;
*) die "$usage" ;;
esac
