#!/usr/bin/env bash
# Real servers for a developer: Apache Kafka, Prometheus (scraping a daemon on its default address, with the shipped
# rules) and Alertmanager, on free ports of loopback, until Ctrl-C. Their data goes when they stop.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

daemon="${ANCHORWATCH_HTTP:-127.0.0.1:9464}"
dir="$(mktemp -d -t anchorwatch-local.XXXXXX)"
export ANCHORWATCH_OWNER_PID=$$

# shellcheck disable=SC2317  # the trap below calls it
down() {
  trap - EXIT INT TERM
  say "stopping"
  stop "$dir/prometheus" prometheus
  stop "$dir/alertmanager" alertmanager
  stop "$dir/kafka" kafka
  rm -rf "$dir"
}
trap down EXIT
trap 'exit 0' INT TERM

cat >"$dir/alertmanager.yml" <<'CONFIG'
route: { receiver: page, group_by: [alertname, model] }
receivers: [{ name: page }] # shown by `amtool alert`, sent nowhere
CONFIG

alertmanager="$("$HERE/alertmanager.sh" start "$dir/alertmanager" "$dir/alertmanager.yml")"

cat >"$dir/prometheus.yml" <<CONFIG
global: { scrape_interval: 2s, evaluation_interval: 2s }
rule_files: ["$ROOT/dashboards/prometheus/*.yaml"]
alerting: { alertmanagers: [{ static_configs: [{ targets: ["$alertmanager"] }] }] }
scrape_configs:
  - job_name: anchorwatch
    static_configs: [{ targets: ["$daemon"] }]
CONFIG

prometheus="$("$HERE/prometheus.sh" start "$dir/prometheus" "$dir/prometheus.yml")"
kafka="$("$HERE/kafka.sh" start "$dir/kafka")"

cat <<TEXT
Kafka         $kafka     (topics are not created by themselves)
Prometheus    http://$prometheus     scrapes http://$daemon/metrics (another address: ANCHORWATCH_HTTP=host:port)
Alertmanager  http://$alertmanager
data and logs $dir

Ctrl-C stops them and removes their data.
TEXT

# Until a signal: `wait` can be interrupted, `sleep` in the foreground cannot.
while alive "$dir/kafka" kafka && alive "$dir/prometheus" prometheus && alive "$dir/alertmanager" alertmanager; do
  sleep 1 &
  wait $!
done
die "a server ended by itself; its log is gone with $dir"
