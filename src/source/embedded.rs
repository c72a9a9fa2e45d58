//! An in-process Kafka for the demo: librdkafka's own test cluster on a loopback port. It keeps about 5 MB a partition,
//! so whoever produces into it must not run far ahead of the consumer.

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A running embedded broker; it ends when dropped.
pub struct EmbeddedBroker(MockCluster<'static, DefaultProducerContext>);

impl std::fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EmbeddedBroker").field(&self.bootstrap()).finish()
    }
}

impl EmbeddedBroker {
    /// Starts one broker with one topic.
    ///
    /// # Errors
    /// When no loopback port is to be had.
    pub fn start(topic: &str, partitions: i32) -> Result<Self, KafkaError> {
        let cluster = MockCluster::new(1)?;
        cluster.create_topic(topic, partitions, 1)?;
        Ok(Self(cluster))
    }

    /// Its address.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.0.bootstrap_servers()
    }
}
