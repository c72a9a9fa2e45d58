//! The read model: what the core shows of itself, as plain data.
//!
//! The engine publishes, the API and the metrics read; nobody reads anything else of the core. A reader sees whole
//! documents, each consistent in itself, and never waits for the engine longer than one pointer swap.

mod action;
mod alert;
mod board;
mod labels;
mod latency;
mod outbox;
mod registry;
mod scrape;
mod status;
mod window;

pub use action::{ActionView, ActionsView, HeldView};
pub use alert::{AlertState, AlertStateError, AlertView, SilenceState, SilenceView};
pub use board::Board;
pub use labels::{
    ClassShare, ClassView, EstimateView, Interval, JoinView, LabelsView, PerformanceView, ProvisionalView,
};
pub use latency::LatencyHistogram;
pub use outbox::{
    DeliveryDetail, DeliveryView, OutboxChanged, OutboxOrder, OutboxPage, OutboxQuery, TargetView,
};
pub use registry::{ColumnView, ModelView, QuantileView, ReferenceView, Stage, VersionView};
pub use scrape::{SCRAPE_CONTENT_TYPE, Scrape, ScrapeError};
pub use status::{
    AlarmRateView, EventCount, EventShapesView, LawCounters, MemoryView, NotAdmittedView, OutboxView,
    PositionView, QueueView, StatusView, UnknownView,
};
pub use window::{ColumnRatios, LatencyQuantile, LatencyView, Level, SubjectView, VerdictView, WindowView};
