//! The configuration of windows in pane units, checked once.

use crate::config::{Segments, Windows as WindowsConfig};
use crate::subject::Millis;

/// One rolling window in panes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HorizonSettings {
    /// Name, as the configuration writes its length.
    pub name: String,
    /// Length in panes.
    pub panes: i64,
    /// Panes between two judgements.
    pub every: i64,
}

/// Lengths in milliseconds and panes.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSettings {
    /// Length of a pane in milliseconds.
    pub pane_ms: Millis,
    /// How much later than the newest event of its partition an event may be.
    pub lateness: Millis,
    /// How long after its pane was sealed a late event still amends it.
    pub correction: Millis,
    /// How far ahead of the clock an event may be.
    pub max_ahead: Millis,
    /// Silence after which a partition is idle.
    pub idle_after: Millis,
    /// How long a partition that is behind and does not move holds all back.
    pub stalled_after: Millis,
    /// Coverage below which a window is not judged.
    pub min_coverage: f64,
    /// Horizons, shortest first.
    pub horizons: Vec<HorizonSettings>,
    /// Panes of the windows that are judged under the false-alarm budget; they do not overlap; 0 for none.
    pub watch_panes: i64,
    /// Segment field and bound.
    pub segments: Option<Segments>,
}

impl WindowSettings {
    /// Translates the configuration; lengths that are no multiple of a pane are rounded up to one.
    #[must_use]
    pub fn new(windows: &WindowsConfig, segments: Option<&Segments>, watch: Option<Millis>) -> Self {
        let pane_ms = windows.pane.millis().max(1);
        let panes = |millis: Millis| ((millis + pane_ms - 1) / pane_ms).max(1);
        let mut horizons: Vec<HorizonSettings> = windows
            .horizons
            .iter()
            .map(|horizon| {
                let length = panes(horizon.length.millis());
                let every = horizon.every.map_or((length / 12).max(1), |every| panes(every.millis()));
                HorizonSettings { name: horizon.length.to_string(), panes: length, every }
            })
            .collect();
        horizons.sort_by_key(|horizon| horizon.panes);
        Self {
            pane_ms,
            lateness: windows.lateness.millis(),
            correction: windows.correction.millis(),
            max_ahead: windows.max_ahead.millis(),
            idle_after: windows.idle_after.millis(),
            stalled_after: windows.stalled_after.millis(),
            min_coverage: windows.min_coverage,
            horizons,
            watch_panes: watch.map_or(0, panes),
            segments: segments.cloned(),
        }
    }

    /// How long partitions are waited for.
    #[must_use]
    pub const fn patience(&self) -> super::Patience {
        super::Patience {
            lateness: self.lateness,
            idle_after: self.idle_after,
            stalled_after: self.stalled_after,
        }
    }

    /// Length of the longest window.
    #[must_use]
    pub fn longest(&self) -> Millis {
        self.horizons.iter().map(|horizon| horizon.panes).max().unwrap_or(1) * self.pane_ms
    }

    /// Number of the pane that holds this instant.
    #[must_use]
    pub fn pane_of(&self, at: Millis) -> i64 {
        at.div_euclid(self.pane_ms)
    }

    /// Panes that must be kept behind the closing edge so that every horizon can still subtract them.
    #[must_use]
    pub fn kept_panes(&self) -> i64 {
        let rolling = self.horizons.iter().map(|horizon| horizon.panes + horizon.every).max().unwrap_or(1);
        rolling.max(self.watch_panes)
    }
}
