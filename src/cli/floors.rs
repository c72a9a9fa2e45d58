//! What `tune` says of `monitor.tolerated`: the floors that the baseline asks for under a budget, and what they cost.

use std::io::Write;

use anchorwatch_detectors::calibrated::Loudness;
use serde::Serialize;

use super::halves::{FEWEST_OF_HALF, calibrated_on, second_half};
use super::history::{Baseline, BaselineArgs, kind_of};
use super::table::{percent, write_table};
use crate::config::Tolerated;
use crate::monitor::calibrated::sensitivity::LONGEST;
use crate::monitor::calibrated::tolerance::{Least, Setting, least_floors, smallest_noticed};
use crate::monitor::calibrated::{BudgetDays, ModelWatch, Monitored, slice_name};
use crate::reference::Reference;
use crate::subject::Millis;

const DAY: Millis = 86_400_000;

/// One setting of `monitor.tolerated`.
#[derive(Debug, Serialize)]
struct FloorRow {
    setting: &'static str,
    unit: &'static str,
    in_force: f64,
    /// The least at which the second half of the baseline stays quiet; `None` if it was not measured, or there is none.
    least: Option<f64>,
    /// What alarms below that, most often.
    because_of: Option<String>,
    recommended: f64,
    /// The smallest change that half of the quantities notice in time under the recommended floor; `None` if there is none.
    noticed: Option<f64>,
}

/// Floors for a budget.
#[derive(Debug, Serialize)]
pub(super) struct Recommended {
    one_false_alarm_in_days: f64,
    /// Windows within which `noticed` is noticed: a day of them, or as many as are remembered.
    noticed_within_windows: usize,
    settings: Vec<FloorRow>,
    /// What the numbers do not say.
    notes: Vec<String>,
    #[serde(skip)]
    pub(super) tolerated: Tolerated,
}

/// Which floors this baseline asks for under this budget; `start` is where a drift would begin.
pub(super) fn recommend(
    (args, baseline): (&BaselineArgs, &Baseline),
    budget: BudgetDays,
    loudness: Loudness,
    start: Millis,
) -> anyhow::Result<Recommended> {
    let mut notes = Vec::new();
    let asked = match measured(args, baseline, budget, loudness)? {
        Ok(asked) => asked,
        Err(why) => {
            notes.push(format!("{why}: the floors in force are recommended as they are"));
            Vec::new()
        }
    };
    let in_force = baseline.monitor.tolerated;
    let mut tolerated = in_force;
    for least in &asked {
        match least.floor {
            Some(floor) => least.setting.set(&mut tolerated, floor.max(least.setting.value(&in_force))),
            None => notes.push(format!(
                "no `{}` that leaves something to notice keeps {} quiet in the second half of the baseline: give a longer \
                 baseline, or leave the column out",
                least.setting.name(),
                name_of(&baseline.reference, least.because_of.as_ref()).unwrap_or_default()
            )),
        }
    }
    let within = usize::try_from(DAY.div_euclid(baseline.window_ms)).unwrap_or(1).clamp(1, LONGEST);
    let watch = ModelWatch::new(&baseline.reference, budget);
    let watch = watch.map(|watch| watch.tolerating(&tolerated).shared_by(baseline.sharing));
    let row = |setting: Setting| {
        let least = asked.iter().find(|least| least.setting == setting);
        FloorRow {
            setting: setting.name(),
            unit: match setting {
                Setting::Deviations => "sd",
                Setting::Rate | Setting::Level => "share",
                Setting::Tail => "part of the tail",
            },
            in_force: setting.value(&in_force),
            least: least.and_then(|least| least.floor),
            because_of: least.and_then(|least| name_of(&baseline.reference, least.because_of.as_ref())),
            recommended: setting.value(&tolerated),
            noticed: watch
                .as_ref()
                .and_then(|watch| smallest_noticed(watch, loudness, setting, within, start)),
        }
    };
    Ok(Recommended {
        one_false_alarm_in_days: if loudness == Loudness::Page { budget.critical } else { budget.warning },
        noticed_within_windows: within,
        settings: Setting::ALL.into_iter().map(row).collect(),
        notes,
        tolerated,
    })
}

/// What the second half of the baseline asks for, judged by the first; or why that cannot be measured.
fn measured(
    args: &BaselineArgs,
    baseline: &Baseline,
    budget: BudgetDays,
    loudness: Loudness,
) -> anyhow::Result<Result<Vec<Least>, String>> {
    if !baseline.from_rows {
        return Ok(Err("a registered reference keeps no rows to judge one half by the other".to_owned()));
    }
    if baseline.watch.is_assumed() {
        return Ok(Err("the baseline has no windows to judge one half by the other".to_owned()));
    }
    let series = args.own_windows(baseline)?;
    let too_short = || format!("half of the baseline has fewer than {FEWEST_OF_HALF} windows");
    let Some(half) = second_half(&series) else { return Ok(Err(too_short())) };
    let first = || series.windows(None).take_while(|window| window.start < half);
    let Some(reference) = calibrated_on(baseline, &series, first) else { return Ok(Err(too_short())) };
    let second = series.windows(None).skip_while(|window| window.start < half);
    Ok(least_floors(&reference, (budget, baseline.sharing), loudness, second).ok_or_else(too_short))
}

fn name_of(reference: &Reference, one: Option<&Monitored>) -> Option<String> {
    let one = one?;
    let kind = kind_of(reference, &one.feature, one.kind, one.about.as_ref());
    let slice =
        one.slice.as_ref().map_or_else(String::new, |slice| format!(" ({})", slice_name(Some(slice))));
    Some(format!("{} {kind}{slice}", one.feature))
}

impl Recommended {
    /// The table for people.
    pub(super) fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let rows: Vec<[String; 6]> = self
            .settings
            .iter()
            .map(|row| {
                let show = |value: f64| match row.unit {
                    "sd" => format!("{value} sd"),
                    "share" => percent(value),
                    _ => format!("{value} of it"),
                };
                let least = match (row.least, &row.because_of) {
                    (Some(least), _) => show(least),
                    (None, Some(_)) => "none".to_owned(),
                    (None, None) => String::new(),
                };
                [
                    row.setting.to_owned(),
                    show(row.in_force),
                    least,
                    show(row.recommended),
                    row.noticed.map_or_else(|| "-".to_owned(), show),
                    row.because_of.clone().unwrap_or_default(),
                ]
            })
            .collect();
        writeln!(
            out,
            "\nrecommended floors (`monitor.tolerated`) for one false alarm in {} days; noticed is the smallest change that half \
             of the quantities notice within {} windows:",
            self.one_false_alarm_in_days, self.noticed_within_windows
        )?;
        let heading = ["SETTING", "IN FORCE", "LEAST", "RECOMMENDED", "NOTICED FROM", "LEAST BECAUSE OF"];
        write_table(out, heading, &rows)?;
        self.notes.iter().try_for_each(|note| writeln!(out, "{note}"))
    }
}
