# Each target does all of its own set-up; a Rust toolchain is all that must be there. `make` alone lists them.
.PHONY: help demo test faults fuzz bench quality peers local release check
.DEFAULT_GOAL := help

# Debian and Ubuntu call bash what the recipes are written in.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo:  ## replay seven months of a real model in a minute or two; no Kafka, no configuration
	@deploy/local/setup.sh build
	cargo run --release --locked -- demo

test:  ## all tests, against a real Kafka, Prometheus and Alertmanager on loopback
	@deploy/local/setup.sh build kafka prometheus faults
	@deploy/local/test.sh

faults:  ## the tests of faults in their long form: 1,000 kills and so on, some hours
	@deploy/local/setup.sh build kafka prometheus faults
	@deploy/local/faults.sh

fuzz:  ## each fuzz target for FUZZ_SECONDS, 20 by default
	@deploy/local/setup.sh build fuzz
	@deploy/local/fuzz.sh

bench:  ## every bench but those of `make peers`, and the whole journey beside a raw Kafka consumer; all tables at the end
	@deploy/local/setup.sh build kafka bench
	cargo bench --workspace --locked
	@cat benches/RESULTS.md

quality:  ## verdicts on 87 streams with known truth beside the recorded peers; false alarms where nothing changes
	@deploy/local/setup.sh build quality
	@deploy/local/quality.sh $(QUALITY)

peers:  ## speed and faults beside Evidently, NannyML, Alertmanager and others; installs them in the cache
	@deploy/local/setup.sh build kafka peers
	ANCHORWATCH_PEERS=1 cargo bench --locked --bench speed --bench reliability

local:  ## a real Kafka, Prometheus and Alertmanager for a developer, until Ctrl-C
	@deploy/local/up.sh

release:  ## the program with the list of its crates inside and beside it (CycloneDX), in target/dist
	@deploy/local/setup.sh release
	@deploy/local/release.sh

check:  ## formatting, lints, docs, licences, dashboards, rules, scripts, deployment files
	@deploy/local/check.sh
