//! What the process tells about itself: each metric's name, labels and help in one table, and logs.

mod families;
mod histogram;
mod labels;
mod latest;
mod law;
pub mod logs;
mod metrics;
mod page;
mod rates;
mod series;

pub use families::{Kind, Spec, TABLE};
pub use metrics::Metrics;
pub use page::metrics_page;

#[cfg(test)]
mod histogram_tests;
#[cfg(test)]
mod tests;
