#!/usr/bin/env bash
# The program as it is handed out, in target/dist: built from the lock file alone, with the list of its crates inside
# (`cargo auditable`: scanners of images read it), and beside it that list as a CycloneDX bill of materials and the sums.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

target="${CARGO_TARGET_DIR:-target}"
dist="$target/dist"
rm -rf "$dist"
mkdir -p "$dist"

cargo auditable build --release --locked --bin anchorwatch
install -m 0755 "$target/release/anchorwatch" "$dist/anchorwatch"

# The tool writes beside each manifest; only the program's own list is kept, and none stays in the tree.
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || printf 0)}"
name="anchorwatch-sbom-$$"
trap 'rm -f "$name.json" "detectors/$name.json"' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename "$name"
mv "$name.json" "$dist/anchorwatch.cdx.json"

# What is inside the program and what is written beside it must be the same list: names and versions of crates.
objcopy --dump-section .dep-v0="$dist/.crates" "$dist/anchorwatch"
python3 - "$dist/.crates" "$dist/anchorwatch.cdx.json" <<'PYTHON'
import json
import sys
import zlib

with open(sys.argv[1], "rb") as file:
    inside = {(p["name"], p["version"]) for p in json.loads(zlib.decompress(file.read()))["packages"] if p.get("kind") != "build"}
with open(sys.argv[2]) as file:
    bill = json.load(file)
beside = {(c["name"], c["version"]) for c in bill["components"]} | {tuple(bill["metadata"]["component"][k] for k in ("name", "version"))}
absent = sorted(inside - beside)
if absent or ("rdkafka" not in dict(inside)):
    sys.exit("error: crates of the program that its bill of materials does not name: %s" % absent)
print("%d crates in the program, all of them in its bill of materials of %d" % (len(inside), len(beside)))
PYTHON
rm "$dist/.crates"
(cd "$dist" && sha256sum anchorwatch anchorwatch.cdx.json >SHA256SUMS)
say "in $dist:"
cat "$dist/SHA256SUMS"
