//! Latencies as a histogram: the engine publishes its counts, the scrape shows them as those of a classic histogram.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::families::LATENCIES;
use crate::view::{LatencyHistogram, StatusView};

/// Shows the latest published counts; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LatencyCollector {
    description: Desc,
    /// What was published last.
    latest: Arc<Mutex<Arc<StatusView>>>,
}

impl LatencyCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let labels = LATENCIES.labels.iter().map(|&label| label.to_owned()).collect();
        let description =
            Desc::new(LATENCIES.name.to_owned(), LATENCIES.help.to_owned(), labels, HashMap::new())?;
        Ok(Self { description, latest: Arc::default() })
    }

    pub(super) fn publish(&self, status: Arc<StatusView>) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

impl Collector for LatencyCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let latest = Arc::clone(&self.latest.lock().unwrap_or_else(PoisonError::into_inner));
        let mut family = MetricFamily::default();
        family.set_name(LATENCIES.name.to_owned());
        family.set_help(LATENCIES.help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(latest.latencies.iter().map(|latencies| metric(latencies)).collect());
        vec![family]
    }
}

fn metric(latencies: &LatencyHistogram) -> Metric {
    let values = [&latencies.model, &latencies.version];
    let label = |(name, value): (&&str, &Arc<str>)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.to_string());
        pair
    };
    let bucket = |(bound, count): (f64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(latencies.cumulative().map(bucket).collect());
    histogram.set_sample_count(latencies.count());
    histogram.set_sample_sum(latencies.sum);
    let mut metric = Metric::from_label(LATENCIES.labels.iter().zip(values).map(label).collect());
    metric.set_histogram(histogram);
    metric
}
