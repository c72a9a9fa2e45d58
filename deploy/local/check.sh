#!/usr/bin/env bash
# Everything about the repository that can be checked without running the daemon. Goes on after a failure and
# names what failed at the end.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

"$HERE/setup.sh" check
python="$CACHE/python/bin/python"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

failed=()
check() {
  local name=$1 began=$SECONDS
  shift
  printf -- '--- %s\n' "$name"
  if "$@" </dev/null; then
    printf '    ok, %d s\n' "$((SECONDS - began))"
  else
    printf '    FAILED, %d s\n' "$((SECONDS - began))"
    failed+=("$name")
  fi
}

scripts() {
  local files
  mapfile -t files < <(grep -rlE '^#!.*bash' .ci deploy)
  shellcheck -x "${files[@]}"
}

# The licence, origin and version rules need nothing but the lock file. The advisories need a database that is
# fetched with git: it is used when it can be had, and its absence is said.
dependencies() {
  cargo deny --locked --log-level error check --hide-inclusion-graph bans licenses sources || return 1
  if timeout 60 cargo deny --locked --log-level off fetch db >/dev/null 2>&1; then
    cargo deny --locked check --hide-inclusion-graph advisories
  else
    printf '    advisories NOT checked: the RustSec database could not be fetched from here\n'
  fi
}

# unit FILE: systemd's own check, on a copy whose program exists. It only warns of a misspelt key: any word is a failure.
unit() {
  local copy said
  copy="$work/$(basename "$1")"
  sed 's|/usr/local/bin/anchorwatch|/bin/true|' "$1" >"$copy"
  said="$(systemd-analyze verify --man=no "$copy" 2>&1 | grep -F "$(basename "$1")" || true)"
  [[ -z "$said" ]] || {
    printf '%s\n' "$said"
    return 1
  }
}

java_example() {
  mvn -q -B -Dstyle.color=never -f deploy/examples/java/pom.xml -Dexample.build="$work/java" compile
}

python_files() {
  local file
  while IFS= read -r file; do
    "$python" -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" || return 1
  done < <(find deploy dashboards tests benches -name '*.py')
}

check "formatting" cargo fmt --all --check
check "lints" cargo clippy --workspace --all-targets --features failpoints --locked --quiet -- -D warnings
check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
check "dependencies" dependencies
check "shell scripts" scripts
check "Prometheus rules" promtool check rules dashboards/prometheus/recording.yaml dashboards/prometheus/alerts.yaml
check "tests of the rules" promtool test rules dashboards/prometheus/tests/*.yaml
check "Prometheus configuration" promtool check config --syntax-only deploy/compose/prometheus.yml
check "Alertmanager configuration" amtool check-config deploy/compose/alertmanager.yml
check "dashboards and compose file" "$python" deploy/local/check_files.py
check "systemd unit" unit deploy/systemd/anchorwatch.service
check "Python examples" python_files
check "Java example" java_example

if ((${#failed[@]} > 0)); then
  printf '\nfailed: %s\n' "$(IFS=,; printf '%s' "${failed[*]}")"
  exit 1
fi
printf '\nall checks passed\n'
