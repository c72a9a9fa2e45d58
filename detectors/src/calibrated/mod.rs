//! Verdicts with a stated false-alarm rate: many bounded quantities, each calibrated on its own past, under one budget.
//!
//! A **quantity** is the mean of a bounded score of one event, so that a window is a sum and a count; both merge and
//! subtract. Its **fit** on the baseline's windows knows its season, its variance inside and between windows, and its
//! memory. The **watch** of a model judges every quantity in two ways, window by window: a scan over spans of 1 to 48
//! windows, and an e-detector whose mean time to a false alarm is bounded whenever one looks. All of them share one
//! **budget**.
//!
//! | file | holds |
//! |---|---|
//! | `quantity.rs` | what is watched |
//! | `score.rs` | the scores of a numeric column, read off its cells |
//! | `season.rs` | time of day and day of week |
//! | `fit.rs` | what the baseline says |
//! | `assumed.rs` | what is taken for granted where it says nothing |
//! | `spread.rs` | how windows vary beyond counting, and how sure that is |
//! | `budget.rs` | one budget, split |
//! | `history.rs` | the scan |
//! | `evidence.rs` | the e-detector |
//! | `volume.rs` | traffic |
//! | `state.rs` | its memory |
//! | `planes.rs` | how that is laid out for packing |
//! | `watch.rs` | all of it, for one model |

mod assumed;
mod budget;
mod evidence;
mod fit;
mod history;
mod memory;
mod planes;
mod quantity;
mod score;
mod season;
mod spread;
mod state;
mod volume;
mod watch;

pub use assumed::{ASSUMED_DESIGN, ASSUMED_ROWS, ASSUMED_SWING, Assumed};
pub use budget::{Budget, Thresholds, split};
pub use evidence::Evidence;
pub use fit::{FEWEST_WINDOWS, Fit, Swing, UsualEvents};
pub use history::{REMEMBERED, SPANS};
pub use quantity::{Family, Law, Quantity, Sample, ScoreShape};
pub use score::{orthonormal_scores, quantile_cells};
pub use season::{SeasonDesign, weighted_regression};
pub use spread::inflation;
pub use state::{BLOCKS, MOST_SHARING, WatchState};
pub use volume::{Fall, VolumeFit};
pub use watch::{Budgets, Loudness, Reading, Watch, calibrate};
