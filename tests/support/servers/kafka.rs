//! Apache Kafka: one node, topics on demand.

use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, DefaultProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::Server;
use crate::support::{wait_for, wait_until};

/// Longest wait for one answer of the broker.
const PATIENCE: Duration = Duration::from_secs(20);

/// A record as it was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    /// Partition.
    pub(crate) partition: i32,
    /// Offset.
    pub(crate) offset: i64,
    /// Key.
    pub(crate) key: Option<Vec<u8>>,
    /// Value.
    pub(crate) value: Vec<u8>,
    /// Headers in their order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// A running Kafka node.
#[derive(Debug)]
pub(crate) struct Kafka {
    server: Server,
}

impl Kafka {
    /// A node of its own; takes about five seconds.
    pub(crate) fn start() -> Self {
        Self { server: Server::start("kafka", |_| None) }
    }

    /// A node with further `properties`, in which `@BROKER@` and `@CONTROLLER@` are its own ports, and with `users` as
    /// arguments of the storage tool.
    pub(crate) fn start_with(properties: &str, users: &[&str]) -> Self {
        let server = Server::start("kafka", |dir| {
            std::fs::write(dir.join("extra.properties"), properties).expect("a writable folder");
            std::fs::write(dir.join("users"), users.join("\n") + "\n").expect("a writable folder");
            None
        });
        Self { server }
    }

    /// A node that tells those who reach it through `proxied()` to go through this port of loopback.
    pub(crate) fn start_behind(proxy: u16) -> Self {
        let configure = |dir: &std::path::Path| {
            std::fs::write(dir.join("proxy"), proxy.to_string()).expect("a writable temporary folder");
            None
        };
        Self { server: Server::start("kafka", configure) }
    }

    /// Where the proxy of [`Kafka::start_behind`] is to connect to, `host:port`.
    pub(crate) fn proxied(&self) -> String {
        let told = std::fs::read_to_string(self.server.dir.path().join("proxied"));
        told.expect("a node behind a proxy").trim().to_owned()
    }

    /// The node that the tests of this binary share: for those that neither stop it nor look at all of it.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `host:port`; the same after a restart.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.server.address
    }

    /// Stops the node in order and starts it on the same data.
    pub(crate) fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Stops the node in order.
    pub(crate) fn stop(&self) {
        self.server.end("stop");
    }

    /// Ends the node as a power cut would.
    pub(crate) fn kill(&self) {
        self.server.end("kill");
    }

    /// Starts a stopped or killed node on the same data and port.
    pub(crate) fn start_again(&self) {
        assert_eq!(self.server.started(), self.server.address, "Kafka came back on another port");
    }

    /// Client properties with which any client of this node begins.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    /// Makes a topic and waits until each partition has a leader.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let made = runtime.block_on(admin.create_topics([&topic], &options)).expect("Kafka answers");
        assert!(made.iter().all(Result::is_ok), "topic {name}: {made:?}");
        wait_until(PATIENCE, &format!("leaders of topic {name}"), || {
            let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).expect("metadata");
            let found = metadata.topics()[0].partitions();
            found.len() == usize::try_from(partitions).expect("a count")
                && found.iter().all(|p| p.leader() >= 0)
        });
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) fn delete_topic(&self, name: &str) {
        let (admin, options) = (self.admin(), AdminOptions::new().operation_timeout(Some(PATIENCE)));
        let deleted = wait(admin.delete_topics(&[name], &options)).expect("Kafka answers");
        assert!(deleted.iter().all(Result::is_ok), "topic {name}: {deleted:?}");
        wait_until(PATIENCE, &format!("the end of topic {name}"), || {
            let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).expect("metadata");
            metadata.topics()[0].error().is_some()
        });
    }

    /// Deletes the records of a partition before this offset.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        wait(self.admin().delete_records(&list, &options)).expect("Kafka deletes records");
    }

    /// Gives a topic more partitions.
    pub(crate) fn grow_topic(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let grown = wait(self.admin().create_partitions([&more], &options)).expect("Kafka answers");
        assert!(grown.iter().all(Result::is_ok), "topic {topic}: {grown:?}");
    }

    /// A producer that delivers in the background; call `flush` before counting on anything.
    pub(crate) fn producer(&self) -> ThreadedProducer<DefaultProducerContext> {
        self.client().set("linger.ms", "5").create().expect("a producer")
    }

    /// First and next offset of each partition.
    pub(crate) fn offsets(&self, topic: &str) -> Vec<(i64, i64)> {
        let consumer: BaseConsumer = self.client().create().expect("a consumer");
        // Right after a start, a partition may have no leader yet.
        wait_for(PATIENCE, &format!("offsets of topic {topic}"), || {
            let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).ok()?;
            let mut ids: Vec<i32> =
                metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
            ids.sort_unstable();
            let offsets = ids.iter().map(|id| consumer.fetch_watermarks(topic, *id, PATIENCE).ok());
            offsets.collect::<Option<Vec<_>>>().filter(|offsets| !offsets.is_empty())
        })
    }

    /// Every record that is in the topic now, by partition and offset.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<Read> {
        let consumer: BaseConsumer = self.client().set("group.id", "reader").create().expect("a consumer");
        let ends = self.offsets(topic);
        let count: i64 = ends.iter().map(|(first, next)| next - first).sum();
        let mut list = TopicPartitionList::new();
        for partition in 0..ends.len() {
            let partition = i32::try_from(partition).expect("a partition");
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("an assignment");
        let mut found: Vec<Read> = (0..count)
            .map(|_| {
                wait_for(PATIENCE, &format!("{count} records of topic {topic}"), || {
                    let record = consumer.poll(Duration::from_millis(500))?.ok()?;
                    Some(read(&record))
                })
            })
            .collect();
        found.sort_by_key(|record| (record.partition, record.offset));
        found
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn read(record: &impl Message) -> Read {
    let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
    Read {
        partition: record.partition(),
        offset: record.offset(),
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().unwrap_or_default().to_vec(),
        headers: headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect(),
    }
}
