//! The statistics of Anchorwatch.
