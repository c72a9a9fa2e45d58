//! What a scrape shows, so that the API can serve it without knowing who counts.

/// Content type of the text format, exactly as Prometheus asks for it.
pub const SCRAPE_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why there is nothing to scrape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metrics cannot be written: {0}")]
pub struct ScrapeError(pub String);

/// Something that shows metrics in the Prometheus text format 0.0.4.
pub trait Scrape: Send + Sync {
    /// The text of a scrape, to be sent with [`SCRAPE_CONTENT_TYPE`].
    ///
    /// # Errors
    /// When the metrics cannot be written.
    fn scrape(&self) -> Result<String, ScrapeError>;
}
