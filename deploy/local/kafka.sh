#!/usr/bin/env bash
# One Apache Kafka node (KRaft) on loopback.
#
#   deploy/local/kafka.sh start DIR [PORT]   prints its bootstrap address once it is ready
#   deploy/local/kafka.sh stop DIR           ends it in order
#   deploy/local/kafka.sh kill DIR           ends it as a power cut would
#
# DIR holds configuration (with `extra.properties` and `users`, if these are there before), log and data: a start on the
# same DIR finds the same data on the same port. With a port in DIR/proxy, Kafka listens a second time, tells those who
# come that way to go through that port, and writes the address for the proxy to DIR/proxied.
# With ANCHORWATCH_OWNER_PID set, it stops by itself when that process ends.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage="usage: kafka.sh start DIR [PORT] | kafka.sh stop|kill DIR"
command=${1:?$usage} dir=${2:?$usage} wanted=${3:-}

JAVA_OPTS=(-Xms64m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Djava.awt.headless=true
  -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true
  -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS
  -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info)

configure() {
  local broker=$1 controller=$2 listeners="" advertised="" map="" proxied
  printf '%s\n' "$broker" >"$dir/port"
  if [[ -e "$dir/proxy" ]]; then
    proxied="$(free_port)"
    printf '127.0.0.1:%s\n' "$proxied" >"$dir/proxied"
    listeners=",PROXIED://127.0.0.1:$proxied" map=",PROXIED:PLAINTEXT"
    advertised=",PROXIED://127.0.0.1:$(cat "$dir/proxy")"
  fi
  cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller$listeners
advertised.listeners=PLAINTEXT://127.0.0.1:$broker$advertised
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT$map
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
log.retention.ms=-1
controlled.shutdown.enable=true
PROPERTIES
  # A test may want further listeners: what it says holds over the above.
  if [[ -e "$dir/extra.properties" ]]; then
    sed -e "s/@BROKER@/$broker/g" -e "s/@CONTROLLER@/$controller/g" "$dir/extra.properties" >>"$dir/server.properties"
  fi
}

java_kafka() { java "${JAVA_OPTS[@]}" -cp "$jars/*" "$@"; }

ready() { grep -q 'Kafka Server started' "$dir/kafka.log"; }

# One attempt on the ports of $dir/server.properties. 1: it ended by itself; 2: it was not ready in time.
launch() {
  local users=()
  : >"$dir/kafka.log"
  [[ -e "$dir/users" ]] && mapfile -t users <"$dir/users"
  if [[ ! -e "$dir/data/meta.properties" ]]; then
    java_kafka kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$dir/server.properties" "${users[@]}" >>"$dir/kafka.log" 2>&1 ||
      give_up "$dir" kafka "Apache Kafka could not format $dir/data"
  fi
  spawn "$dir" kafka java "${JAVA_OPTS[@]}" -cp "$jars/*" kafka.Kafka "$dir/server.properties"
  await "$dir" kafka 90 ready
}

start() {
  local code
  "$HERE/setup.sh" kafka
  jars="$(kafka_jars)"
  alive "$dir" kafka && die "a Kafka already runs in $dir"
  for attempt in 1 2 3 4 5; do
    if [[ -n "$wanted" || ! -e "$dir/port" || "$attempt" -gt 1 ]]; then
      configure "${wanted:-$(free_port)}" "$(free_port)"
    fi
    code=0
    launch || code=$?
    case "$code" in
    0)
      printf '127.0.0.1:%s\n' "$(cat "$dir/port")"
      return 0
      ;;
    1)
      # Another process may have taken a port between the choice and the bind.
      [[ -z "$wanted" ]] && grep -q 'Address already in use' "$dir/kafka.log" && continue
      give_up "$dir" kafka "Apache Kafka ended at its start"
      ;;
    *) give_up "$dir" kafka "Apache Kafka was not ready after 90 seconds" ;;
    esac
  done
  give_up "$dir" kafka "Apache Kafka found no free port in 5 tries"
}

CLUSTER_ID=YW5jaG9yd2F0Y2gtbG9jYQ # 16 bytes in base64, as Kafka wants it

mkdir -p "$dir"
dir="$(cd "$dir" && pwd)"
case "$command" in
start) start ;;
stop) stop "$dir" kafka ;;
kill) stop "$dir" kafka KILL ;;
*) die "$usage" ;;
esac
