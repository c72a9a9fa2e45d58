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

/// From which age on panes are kept together, and how many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// Age in panes behind the closing edge from which on every window begins and ends at a multiple of `step`.
    pub after: i64,
    /// Panes of a block, which begins at a multiple of it.
    pub step: i64,
}

/// Blocks of fewer panes save next to nothing.
const SMALLEST_BLOCK: i64 = 4;

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

    /// The blocks that panes are gathered into as they grow older, finest first.
    ///
    /// A window of `panes` panes that moves by `every` begins and ends at multiples of their common divisor, and needs no
    /// pane older than both together. So behind that age only the divisor of the longer windows counts.
    #[must_use]
    pub fn blocks(&self) -> Vec<Blocks> {
        let mut windows: Vec<(i64, i64)> =
            self.horizons.iter().map(|one| (gcd(one.panes, one.every), one.panes + one.every)).collect();
        if self.watch_panes > 0 {
            windows.push((self.watch_panes, self.watch_panes));
        }
        windows.sort_by_key(|(_, needed)| *needed);
        let mut levels: Vec<Blocks> = Vec::new();
        for place in 0..windows.len() {
            let step = windows[place..].iter().fold(0, |all, (divisor, _)| gcd(all, *divisor));
            let finer = windows[..place].iter().filter(|(divisor, _)| divisor % step != 0);
            let after = finer.map(|(_, needed)| *needed).max().unwrap_or(1);
            if step < SMALLEST_BLOCK || levels.last().is_some_and(|last| last.step == step) {
                continue;
            }
            levels.retain(|level| level.after < after);
            levels.push(Blocks { after, step });
        }
        levels.retain(|level| level.after + level.step < self.kept_panes());
        levels
    }

    /// Panes and blocks that one subject holds behind the closing edge, at most, as `(panes, blocks)`.
    #[must_use]
    pub fn held(&self) -> (i64, i64) {
        let levels = self.blocks();
        let kept = self.kept_panes();
        let Some(first) = levels.first() else { return (kept, 0) };
        let ends = levels.iter().skip(1).map(|level| level.after).chain([kept]);
        let blocks = levels.iter().zip(ends).map(|(level, end)| (end - level.after) / level.step + 2);
        (first.after + 2 * first.step, blocks.sum())
    }
}

/// Greatest common divisor; 0 has none of its own.
const fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, parse};

    fn settings(windows: &str, watch: i64) -> WindowSettings {
        let text = format!("kafka: {{ bootstrap: \"127.0.0.1:9\", topics: [t] }}\nwindows: {windows}\n");
        let config: Config = parse(&text, "test").expect("valid settings");
        WindowSettings::new(&config.windows, None, Some(watch).filter(|watch| *watch > 0))
    }

    fn blocks(windows: &str, watch: i64) -> Vec<(i64, i64)> {
        settings(windows, watch).blocks().iter().map(|level| (level.after, level.step)).collect()
    }

    /// Every place at which a window begins or ends, in panes behind the edge, must lie between two blocks.
    #[test]
    fn no_window_begins_or_ends_inside_a_block() {
        for (windows, watch) in [
            ("{ pane: 1m, horizons: [{ length: 15m }, { length: 1h }, { length: 24h }] }", 3_600_000),
            ("{ pane: 1m, horizons: [{ length: 15m }, { length: 24h }] }", 3_600_000),
            ("{ pane: 1m, horizons: [{ length: 30m, every: 10m }, { length: 4h, every: 16m }] }", 0),
            ("{ pane: 1m, horizons: [{ length: 10m, every: 7m }, { length: 12h }] }", 2_400_000),
        ] {
            let settings = settings(windows, watch);
            for edge in 0..3_000 {
                let rolling = settings.horizons.iter().filter(|one| edge % one.every == 0);
                // A rolling window begins there, and so did the one before it, whose panes are subtracted.
                let mut places: Vec<i64> =
                    rolling.flat_map(|one| [edge - one.panes, edge - one.panes - one.every]).collect();
                if settings.watch_panes > 0 && edge % settings.watch_panes == 0 {
                    places.push(edge - settings.watch_panes);
                }
                for place in places {
                    for level in settings.blocks() {
                        let start = place.div_euclid(level.step) * level.step;
                        let gathered = start + level.step <= edge - level.after;
                        assert!(!gathered || start == place, "{windows}: {place} at {edge} in {level:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn panes_are_gathered_as_soon_as_no_window_begins_inside() {
        let usual = "{ pane: 1m, horizons: [{ length: 15m }, { length: 1h }, { length: 24h }] }";
        assert_eq!(blocks(usual, 3_600_000), [(16, 5), (65, 120)]);
        assert_eq!(settings(usual, 3_600_000).held(), (26, 11 + 14));
        assert_eq!(
            blocks("{ pane: 1m, horizons: [{ length: 15m }, { length: 24h }] }", 3_600_000),
            [(16, 60), (60, 120)],
            "hours, which the budget's windows need, then two of them"
        );
        assert_eq!(
            blocks("{ pane: 1m, horizons: [{ length: 24h, every: 1m }] }", 0),
            [],
            "each minute counts"
        );
        assert_eq!(
            blocks("{ pane: 1h, horizons: [{ length: 6h }, { length: 24h }] }", 0),
            [],
            "too small to matter"
        );
    }
}
