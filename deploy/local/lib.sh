#!/usr/bin/env bash
# What the scripts of this folder share: messages, ports, and processes that stop when they should.
# Sourced by them; it runs itself only to watch over a server (`outlive`).
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck disable=SC2034  # read by the scripts that source this file
ROOT="$(cd "$HERE/../.." && pwd)"
# shellcheck disable=SC2034
CACHE="${ANCHORWATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch}"

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# Programs that setup.sh brought, after those that were already installed.
for tool in cargo-deny cargo-fuzz cargo-auditable cargo-cyclonedx; do
  PATH="$PATH:$CACHE/$tool/bin"
done

# The folder of Apache Kafka's jars: the version is said in one place, the pom.
kafka_jars() {
  printf '%s/kafka-%s\n' "$CACHE" "$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$HERE/kafka/pom.xml")"
}

# A port of the loopback interface that nothing answers on, outside the range that outgoing connections use.
# Nobody holds it until the server binds it; `start_on_free_ports` tries again when somebody else was faster.
free_port() {
  local port
  for _ in $(seq 1 100); do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s\n' "$port"
      return 0
    fi
  done
  die "no free port found between 20000 and 32000 on 127.0.0.1"
}

# spawn DIR NAME COMMAND…: runs it in a process group of its own; DIR/NAME.pid holds the group, DIR/NAME.log its output.
# When the process named by ANCHORWATCH_OWNER_PID ends, however it ends, the group is stopped too, and the folder named
# by ANCHORWATCH_OWNED_DIR, if any, is removed.
spawn() {
  local dir=$1 name=$2 pid
  shift 2
  setsid "$@" >>"$dir/$name.log" 2>&1 </dev/null &
  pid=$!
  printf '%s\n' "$pid" >"$dir/$name.pid"
  if [[ -n "${ANCHORWATCH_OWNER_PID:-}" ]]; then
    setsid "$HERE/lib.sh" outlive "$ANCHORWATCH_OWNER_PID" "$pid" "${ANCHORWATCH_OWNED_DIR:-}" >/dev/null 2>&1 </dev/null &
  fi
}

# outlive OWNER PID FOLDER: waits until one of the two processes has ended, and tidies up if it was the owner.
outlive() {
  local owner=$1 pid=$2 folder=$3
  while running "$owner" && running "$pid"; do
    sleep 0.5
  done
  running "$owner" && return 0
  kill -TERM -- "-$pid" 2>/dev/null || true
  for _ in $(seq 1 40); do
    running "$pid" || break
    sleep 0.5
  done
  kill -KILL -- "-$pid" 2>/dev/null || true
  [[ -z "$folder" ]] || rm -rf "$folder"
}

# running PID: whether it runs; a dead process that nobody has reaped yet does not.
running() {
  local stat
  stat="$(cat "/proc/$1/stat" 2>/dev/null)" || return 1
  stat="${stat##*) }"
  [[ "$stat" != Z* && "$stat" != X* ]]
}

# alive DIR NAME: whether the process that `spawn` started still runs.
alive() {
  local pid
  pid="$(cat "$1/$2.pid" 2>/dev/null)" && running "$pid"
}

# stop DIR NAME [SIGNAL]: ends the group with SIGNAL (TERM), after 20 seconds by force, and waits until it is gone.
stop() {
  local dir=$1 name=$2 signal=${3:-TERM} pid
  pid="$(cat "$dir/$name.pid" 2>/dev/null)" || return 0
  kill "-$signal" -- "-$pid" 2>/dev/null || true
  for _ in $(seq 1 200); do
    running "$pid" || break
    sleep 0.1
  done
  kill -KILL -- "-$pid" 2>/dev/null || true
  rm -f "$dir/$name.pid"
}

# await DIR NAME SECONDS CONDITION…: until CONDITION succeeds. Returns 1 when the process ended first, 2 when time is up.
await() {
  local dir=$1 name=$2 seconds=$3 end
  shift 3
  end=$((SECONDS + seconds))
  until "$@"; do
    alive "$dir" "$name" || return 1
    ((SECONDS < end)) || return 2
    sleep 0.1
  done
}

# http_ok PORT PATH: whether GET answers 200. Plain bash, so that nothing has to be installed.
http_ok() {
  local status
  exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
  read -r -t 5 _ status _ <&3 || status=""
  exec 3>&-
  [[ "$status" == 200 ]]
} 2>/dev/null

# give_up DIR NAME WHAT: the end of the log, then the message.
give_up() {
  tail -n 25 "$1/$2.log" >&2 || true
  stop "$1" "$2"
  die "$3 (the whole log: $1/$2.log)"
}

# serve DIR NAME PORT COMMAND…: starts a server of the Prometheus family and prints its address once it is ready.
# PORT is "" for a free one; a start on the same DIR takes the same port again.
serve() {
  local dir=$1 name=$2 wanted=$3 port code
  shift 3
  "$HERE/setup.sh" prometheus
  mkdir -p "$dir"
  alive "$dir" "$name" && die "$name already runs in $dir"
  for attempt in 1 2 3 4 5; do
    port="${wanted:-$(cat "$dir/$name.port" 2>/dev/null || free_port)}"
    : >"$dir/$name.log"
    spawn "$dir" "$name" "$@" --web.listen-address="127.0.0.1:$port"
    code=0
    await "$dir" "$name" 30 http_ok "$port" /-/ready || code=$?
    if [[ "$code" == 0 ]] && alive "$dir" "$name"; then
      printf '%s\n' "$port" >"$dir/$name.port"
      printf '127.0.0.1:%s\n' "$port"
      return 0
    fi
    rm -f "$dir/$name.port"
    # Another process may have taken the port between the choice and the bind.
    [[ -z "$wanted" && "$attempt" -lt 5 ]] && grep -q 'address already in use' "$dir/$name.log" && continue
    give_up "$dir" "$name" "$name did not become ready on 127.0.0.1:$port"
  done
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
  [[ "${1:-}" == outlive ]] || die "lib.sh is sourced by the scripts beside it"
  outlive "$2" "$3" "$4"
fi
