//! Step 8 of 10: alerts.

mod notification;

pub use notification::*;
