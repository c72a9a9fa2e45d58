#!/usr/bin/env bash
# Installs what the targets of the Makefile need, once; a second run finds it and does nothing.
#
#   deploy/local/setup.sh [build|kafka|prometheus|python|faults|fuzz|bench|quality|peers|check|release]…
#
# None named: build, kafka, prometheus and python.
#
# Programs already on PATH are used as they are. System packages come from apt when root or sudo allows, else a message
# names them. Jars, Python packages and cargo-deny are kept outside the clone, in ~/.cache/anchorwatch.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DENY_VERSION=0.20.2
FUZZ_VERSION=0.13.2
AUDITABLE_VERSION=0.7.7
CYCLONEDX_VERSION=0.5.9
apt_updated=""

# as_root COMMAND…: runs it as root, or fails when there is no way to become root without a question.
as_root() {
  if [[ "$(id -u)" == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -q "$@" >&2; }

apt_update_once() {
  [[ -z "$apt_updated" ]] || return 0
  apt update || return 1
  apt_updated=yes
}

# packages WHY NAME…: installs the Debian packages, or says which ones are missing.
packages() {
  local why=$1
  shift
  command -v apt-get >/dev/null ||
    die "$why needs these Debian packages, and this system has no apt; please install what corresponds to: $*"
  say "installing for $why: $*"
  if ! { apt_update_once && apt install -y --no-install-recommends "$@"; }; then
    die "$why needs system packages that could not be installed. As root, run: apt-get install $*"
  fi
}

# missing PROGRAM…: whether one of them is not on PATH.
missing() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || return 0
  done
  return 1
}

# What the crates compile: librdkafka (C and C++, OpenSSL, zlib), SQLite and zstd (C).
setup_build() {
  if missing cargo; then die "no cargo on PATH: install a Rust toolchain first (rustc 1.92 or newer)"; fi
  if missing cc c++ make pkg-config || ! pkg-config --exists openssl zlib; then
    packages "the build" build-essential pkg-config libssl-dev zlib1g-dev
  fi
}

java_major() {
  java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1
}

setup_kafka() {
  local jars
  jars="$(kafka_jars)"
  if missing java; then packages "Apache Kafka" default-jre-headless; fi
  (($(java_major) >= 17)) || die "Apache Kafka 4 needs Java 17 or newer; found: $(java -version 2>&1 | head -n 1)"
  [[ ! -e "$jars/complete" ]] || return 0
  if missing mvn; then packages "the jars of Apache Kafka" maven; fi
  mkdir -p "$CACHE"
  (
    flock 9 # two test binaries may come here at once
    [[ ! -e "$jars/complete" ]] || exit 0
    say "resolving the jars of Apache Kafka with Maven into $jars"
    mvn -q -B -Dstyle.color=never -f "$HERE/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars" >&2 ||
      die "Maven could not resolve the jars of Apache Kafka (deploy/local/kafka/pom.xml): is a Maven repository reachable?"
    touch "$jars/complete"
  ) 9>"$CACHE/kafka.lock"
}

# The Debian packages start services on the usual ports where systemd runs. Masked before they are installed, they
# leave only their programs; `systemctl unmask NAME` gives the service back to whoever wants it.
setup_prometheus() {
  local names=()
  if missing prometheus promtool; then names+=(prometheus); fi
  if { missing alertmanager && missing prometheus-alertmanager; } || missing amtool; then names+=(prometheus-alertmanager); fi
  ((${#names[@]} > 0)) || return 0
  if [[ -d /run/systemd/system ]]; then
    as_root systemctl mask --quiet "${names[@]/%/.service}" || true
  fi
  packages "tests against a real Prometheus and Alertmanager" "${names[@]}"
}

# venv NAME FILE WHY: a virtual environment with the packages of a requirements file, made anew when the file changes.
venv() {
  local venv="$CACHE/$1" wanted=$2
  if missing python3 || ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    packages "$3" python3 python3-venv
  fi
  if ! cmp -s "$wanted" "$venv/installed.txt"; then
    say "installing the Python packages of ${wanted#"$ROOT/"} into $venv"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$wanted" >&2
    cp "$wanted" "$venv/installed.txt"
  fi
}

# For the Python examples and the checks.
setup_python() { venv python "$HERE/requirements.txt" "the Python examples"; }

# For the generator of the benchmark of verdicts.
setup_quality() { venv quality "$ROOT/benches/quality/requirements.txt" "the benchmark of verdicts"; }

# For the benches beside other programs, each with an environment of its own: they ask for versions of numpy and pandas
# that exclude one another.
setup_peers() {
  local file
  setup_prometheus
  for file in "$ROOT"/benches/peers/requirements/*.txt; do
    venv "peers-$(basename "$file" .txt)" "$file" "the benches beside other programs"
  done
}

# What the tests of faults break things with: failing system calls and a clock that jumps. And what recounts.
setup_faults() {
  local names=()
  if missing python3; then names+=(python3); fi
  if missing strace; then names+=(strace); fi
  if missing faketime; then names+=(faketime); fi
  ((${#names[@]} == 0)) || packages "the tests of faults" "${names[@]}"
}

# cargo_tool NAME VERSION: a subcommand of cargo, built into the cache unless it is on PATH.
cargo_tool() {
  missing "$1" || return 0
  mkdir -p "$CACHE"
  say "building $1 $2 into $CACHE/$1 (once; some minutes)"
  cargo install "$1" --version "$2" --locked --quiet --root "$CACHE/$1" >&2
}

setup_fuzz() {
  if missing c++; then packages "fuzzing" build-essential; fi
  cargo_tool cargo-fuzz "$FUZZ_VERSION"
}

# What benches count instructions with: the same on a busy machine.
setup_bench() {
  if missing valgrind; then packages "the benches" valgrind; fi
}

# What `make check` runs beyond the Rust toolchain.
setup_check() {
  if missing shellcheck; then packages "make check" shellcheck; fi
  if missing systemd-analyze; then packages "make check" systemd; fi
  if missing javac mvn; then packages "the Java example" default-jdk-headless maven; fi
  setup_build
  setup_prometheus
  setup_python
  setup_deny
}

setup_deny() { cargo_tool cargo-deny "$DENY_VERSION"; }

# What a release is built and described with.
setup_release() {
  setup_build
  if missing objcopy python3; then packages "a release" binutils python3; fi
  cargo_tool cargo-auditable "$AUDITABLE_VERSION"
  cargo_tool cargo-cyclonedx "$CYCLONEDX_VERSION"
}

for part in "${@:-build kafka prometheus python}"; do
  for name in $part; do
    case "$name" in
    build | kafka | prometheus | python | faults | fuzz | bench | quality | peers | check | release) "setup_$name" ;;
    *) die "unknown part '$name': build, kafka, prometheus, python, faults, fuzz, bench, quality, peers, check or release" ;;
    esac
  done
done
