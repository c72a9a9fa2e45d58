//! `anchorwatch explain`: what stands behind an alarm of `backtest`.

use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;

use anchorwatch_detectors::calibrated::REMEMBERED;
use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::CliContext;
use super::history::{Baseline, BaselineArgs, Events, instant, kind_of};
use super::table::{Output, percent, when, write_json, write_table};
use crate::monitor::calibrated::explain::{Explanation, Reader, Seen, explain};
use crate::monitor::calibrated::{Counted, Finding, quoted, severity, slice_name, verdict_address};
use crate::reference::{Reference, Slice};
use crate::registry::CountedSeries;
use crate::subject::Millis;

/// Explains an alarm: what moved, by how much, since when and where.
#[derive(Debug, Args)]
pub struct ExplainCommand {
    /// An alarm's `verdict` as `backtest` prints it: FEATURE@WINDOW_START, then /segment=… or /version=….
    #[arg(value_name = "VERDICT", required_unless_present = "feature", conflicts_with_all = ["feature", "at"])]
    verdict: Option<String>,
    #[command(flatten)]
    baseline: BaselineArgs,
    /// Events, in any format of the baseline, or `kafka://BROKER:PORT/TOPIC?from=…&to=…&model=…&version=…`.
    #[arg(long, value_name = "FILE|URL")]
    events: PathBuf,
    /// Column to explain.
    #[arg(long)]
    feature: Option<String>,
    /// An instant of the window to explain, RFC 3339 or epoch milliseconds; by default the last in which the column alarms.
    #[arg(long)]
    at: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    feature: String,
    at: Option<Millis>,
    slice: Option<Slice>,
}

impl Target {
    /// Reads `FEATURE@WINDOW_START`, `…/segment=S` or `…/version=V`; names may hold any of these signs.
    fn parse(text: &str) -> Option<Self> {
        text.match_indices('@').find_map(|(place, _)| {
            let rest = &text[place + 1..];
            let end = rest.find('/').unwrap_or(rest.len());
            let at: Millis = rest[..end].parse().ok()?;
            let slice = match rest.get(end..)? {
                "" => None,
                suffix => Some(match suffix.split_once('=')? {
                    ("/segment", value) => Slice::Segment(value.to_owned()),
                    ("/version", value) => Slice::Version(value.to_owned()),
                    _ => return None,
                }),
            };
            Some(Self { feature: text[..place].to_owned(), at: Some(at), slice })
        })
    }
}

#[derive(Debug, Serialize)]
struct MovedCell {
    cell: String,
    baseline: f64,
    window: f64,
}

#[derive(Debug, Serialize)]
struct QuantileShift {
    quantile: f64,
    baseline: f64,
    window: f64,
}

#[derive(Debug, Serialize)]
struct SinceWhen {
    window_start: Millis,
    windows: usize,
    strength: f64,
}

#[derive(Debug, Serialize)]
struct ShareOf {
    feature: String,
    slice: String,
    share: f64,
}

#[derive(Debug, Serialize)]
struct Concentrated {
    slice: String,
    kind: &'static str,
    mean: f64,
    expected: f64,
    z: f64,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Answer {
    verdict: String,
    feature: String,
    slice: String,
    window_start: Millis,
    window_end: Millis,
    /// `critical`, `warning`, or nothing if the column does not alarm there.
    severity: Option<&'static str>,
    kind: String,
    statistic: f64,
    threshold: f64,
    /// Logarithm of the evidence gathered over time, and its limit.
    evidence: Option<f64>,
    evidence_threshold: Option<f64>,
    mean: Option<f64>,
    expected: Option<f64>,
    /// First instant and number of windows of the most telling run.
    run_start: Millis,
    run_windows: usize,
    events: u64,
    /// `baseline`, or the rest of the same windows for a version.
    compared_with: &'static str,
    moved: Vec<MovedCell>,
    quantiles: Vec<QuantileShift>,
    since: Option<SinceWhen>,
    shares: Vec<ShareOf>,
    slices: Vec<Concentrated>,
    command: String,
    /// Whether how windows differ is assumed, not seen in the baseline.
    assumed: bool,
    notes: Vec<String>,
}

impl ExplainCommand {
    /// Runs the command; the answer goes to `out`, what was assumed to `err`.
    ///
    /// # Errors
    /// When an input cannot be used; the message says what to do.
    pub fn run_to(
        self,
        context: &CliContext,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let target = self.target()?;
        let baseline = self.baseline.load(context)?;
        check_feature(&baseline, &target)?;
        let Events { series, notes } = self.baseline.events(&baseline, &self.events)?;
        let seen = see(&baseline, &series, &target)?;
        let answer = self.answer(&baseline, &target, &seen, notes)?;
        for note in &answer.notes {
            writeln!(err, "note: {note}")?;
        }
        match self.output {
            Output::Json => write_json(out, &answer)?,
            Output::Table => print_table(out, &answer)?,
        }
        Ok(())
    }

    fn target(&self) -> anyhow::Result<Target> {
        if let Some(verdict) = &self.verdict {
            return Target::parse(verdict).with_context(|| {
                format!(
                    "{verdict} is no verdict: expected FEATURE@WINDOW_START, such as f00@1704340800000 or \
                     f00@1704340800000/segment=s03, as `backtest --output json` prints it"
                )
            });
        }
        let at = self.at.as_deref().map(|at| instant("--at", at)).transpose()?;
        Ok(Target { feature: self.feature.clone().unwrap_or_default(), at, slice: None })
    }

    fn answer(
        &self,
        baseline: &Baseline,
        target: &Target,
        seen: &[Seen],
        notes: Vec<String>,
    ) -> anyhow::Result<Answer> {
        let Target { feature, slice, .. } = target;
        let told =
            explain(&baseline.reference, &baseline.watch, seen, feature, slice.as_ref(), Reader::Owner);
        let told = told.with_context(|| {
            format!("`{feature}` is not watched there, and is quiet: the baseline hardly shows it")
        })?;
        let start = seen.last().map_or(0, |one| one.window.start);
        let verdict = verdict_address(feature, start, slice.as_ref());
        let command = format!(
            "anchorwatch explain {} {} --events {}",
            quoted(&verdict),
            self.baseline.typed(),
            quoted(&self.events.to_string_lossy())
        );
        Ok(answer(
            &baseline.reference,
            told,
            target,
            Where { start, window_ms: baseline.window_ms, verdict, command },
        )
        .with_notes(notes, baseline.watch.is_assumed()))
    }
}

fn check_feature(baseline: &Baseline, target: &Target) -> anyhow::Result<()> {
    let known = || baseline.watch.monitored().iter().filter(|one| one.slice == target.slice);
    if target.feature == "volume" || known().any(|one| one.feature == target.feature) {
        return Ok(());
    }
    let mut names: Vec<&str> =
        known().map(|one| one.feature.as_str()).filter(|name| !name.contains(':')).collect();
    names.dedup();
    let place = slice_name(target.slice.as_ref());
    let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
    anyhow::bail!("`{}` is not watched{place}; watched are: {}", target.feature, names.join(", "))
}

/// Steps the watch to the window that is asked for, or else to the last one in which the column alarms, and keeps the
/// last ones.
fn see(baseline: &Baseline, series: &CountedSeries, target: &Target) -> anyhow::Result<Vec<Seen>> {
    let (first, past) = series.range().unwrap_or_default();
    let at = target.at.unwrap_or_else(|| last_alarm(baseline, series, target).unwrap_or(past - 1));
    anyhow::ensure!(
        (first..past).contains(&at),
        "there is no window at {}: the events are from {} to {}",
        when(at),
        when(first),
        when(past)
    );
    let mut state = baseline.watch.state();
    let mut last: VecDeque<Seen> = VecDeque::new();
    for window in series.windows(None).take_while(|window| window.start <= at) {
        let counted = Counted { whole: &window.whole, slices: &window.slices };
        let judged = baseline.watch.step(&mut state, window.start, counted);
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back(Seen { window, judged });
    }
    Ok(last.into())
}

fn last_alarm(baseline: &Baseline, series: &CountedSeries, target: &Target) -> Option<Millis> {
    let mut state = baseline.watch.state();
    let alarms = series.windows(None).filter_map(|window| {
        let counted = Counted { whole: &window.whole, slices: &window.slices };
        let judged = baseline.watch.step(&mut state, window.start, counted);
        let ours = |one: &Finding| one.feature == target.feature && one.slice == target.slice;
        judged.findings.iter().any(ours).then_some(window.start)
    });
    alarms.last()
}

struct Where {
    start: Millis,
    window_ms: Millis,
    verdict: String,
    command: String,
}

impl Answer {
    fn with_notes(self, notes: Vec<String>, assumed: bool) -> Self {
        Self { notes, assumed, ..self }
    }
}

fn answer(reference: &Reference, told: Explanation, target: &Target, place: Where) -> Answer {
    let before = |windows: usize| place.start - (windows as Millis - 1) * place.window_ms;
    Answer {
        feature: target.feature.clone(),
        slice: slice_name(target.slice.as_ref()),
        window_start: place.start,
        window_end: place.start + place.window_ms,
        severity: told.finding.as_ref().map(|finding| severity(finding.loudness)),
        kind: kind_of(reference, &target.feature, told.kind, told.about.as_ref()),
        statistic: told.statistic.0,
        threshold: told.statistic.1,
        evidence: told.evidence.map(|(evidence, _)| evidence).filter(|evidence| evidence.is_finite()),
        evidence_threshold: told.evidence.map(|(_, threshold)| threshold),
        mean: told.means.map(|(mean, _)| mean),
        expected: told.means.map(|(_, expected)| expected),
        run_start: before(told.run),
        run_windows: told.run,
        events: told.rows,
        compared_with: match target.slice {
            Some(Slice::Version(_)) => "the rest of the same windows",
            Some(Slice::Segment(_)) | None => "the baseline",
        },
        moved: told
            .moved
            .into_iter()
            .map(|moved| MovedCell { cell: moved.bin, baseline: moved.from, window: moved.to })
            .collect(),
        quantiles: told
            .quantiles
            .into_iter()
            .map(|(quantile, baseline, window)| QuantileShift { quantile, baseline, window })
            .collect(),
        since: told.since.map(|since| SinceWhen {
            window_start: before(since.windows),
            windows: since.windows,
            strength: since.strength,
        }),
        shares: told
            .shares
            .into_iter()
            .map(|one| ShareOf {
                slice: slice_name(one.slice.as_ref()),
                feature: one.feature,
                share: one.share,
            })
            .collect(),
        slices: told
            .slices
            .into_iter()
            .map(|one| Concentrated {
                slice: slice_name(Some(&one.slice)),
                kind: one.kind,
                mean: one.means.0,
                expected: one.means.1,
                z: one.z,
            })
            .collect(),
        verdict: place.verdict,
        command: place.command,
        assumed: false,
        notes: Vec::new(),
    }
}

/// A number for people.
fn short(x: f64) -> String {
    if x == 0.0 || (1e-3..1e6).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

fn print_table(out: &mut dyn Write, answer: &Answer) -> std::io::Result<()> {
    let slice = if answer.slice.is_empty() { String::new() } else { format!(" in {}", answer.slice) };
    let level = answer.severity.unwrap_or("no alarm");
    writeln!(out, "{}{slice} at {}: {level}, {}", answer.feature, when(answer.window_start), answer.kind)?;
    let mean = answer.mean.zip(answer.expected).map_or_else(String::new, |(mean, expected)| {
        format!("; mean {} where {} is expected", short(mean), short(expected))
    });
    let evidence = answer
        .evidence
        .zip(answer.evidence_threshold)
        .map_or_else(String::new, |(now, limit)| format!(", evidence {now:.1} (limit {limit:.1})"));
    writeln!(
        out,
        "statistic {:.1} (limit {:.1}){evidence}; {} windows, {} events{mean}",
        answer.statistic, answer.threshold, answer.run_windows, answer.events
    )?;
    if answer.assumed {
        writeln!(
            out,
            "how windows differ is assumed: what is expected is the usual level nearest to the mean"
        )?;
    }
    if let Some(since) = &answer.since {
        writeln!(out, "since {} ({} windows ago)", when(since.window_start), since.windows - 1)?;
    }
    print_changes(out, answer)?;
    if !answer.shares.is_empty() {
        let rows: Vec<_> = answer
            .shares
            .iter()
            .map(|one| [one.feature.clone(), one.slice.clone(), percent(one.share)])
            .collect();
        writeln!(out)?;
        write_table(out, ["FEATURE", "SLICE", "SHARE OF THE MODEL'S DRIFT"], &rows)?;
    }
    writeln!(out, "\nagain: {}", answer.command)
}

fn print_changes(out: &mut dyn Write, answer: &Answer) -> std::io::Result<()> {
    if !answer.moved.is_empty() {
        let row = |one: &MovedCell| {
            let points = format!("{:+.1}", (one.window - one.baseline) * 100.0);
            [one.cell.clone(), percent(one.baseline), percent(one.window), points]
        };
        let rows: Vec<_> = answer.moved.iter().map(row).collect();
        writeln!(out, "\ncompared with {}:", answer.compared_with)?;
        write_table(out, ["CELL", "BEFORE", "NOW", "POINTS"], &rows)?;
    }
    if !answer.quantiles.is_empty() {
        let row = |one: &QuantileShift| {
            let name = format!("p{:.0}", one.quantile * 100.0);
            [name, short(one.baseline), short(one.window), short(one.window - one.baseline)]
        };
        let rows: Vec<_> = answer.quantiles.iter().map(row).collect();
        writeln!(out)?;
        write_table(out, ["QUANTILE", "BEFORE", "NOW", "SHIFT"], &rows)?;
    }
    if !answer.slices.is_empty() {
        let row = |one: &Concentrated| {
            let z = format!("{:.1}", one.z);
            [one.slice.clone(), one.kind.to_owned(), z, short(one.mean), short(one.expected)]
        };
        let rows: Vec<_> = answer.slices.iter().map(row).collect();
        writeln!(out)?;
        write_table(out, ["SLICE AGAINST THE REST", "KIND", "Z", "NOW", "EXPECTED"], &rows)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_whatever_signs_its_names_hold() {
        let target =
            |feature: &str, at, slice| Some(Target { feature: feature.to_owned(), at: Some(at), slice });
        assert_eq!(Target::parse("f00@1704340800000"), target("f00", 1_704_340_800_000, None));
        let segment = Some(Slice::Segment("a@7/b=c".to_owned()));
        assert_eq!(Target::parse("x@y@5/segment=a@7/b=c"), target("x@y", 5, segment));
        assert_eq!(Target::parse("f@5/version=v2"), target("f", 5, Some(Slice::Version("v2".to_owned()))));
        assert_eq!(Target::parse("a/b@5"), target("a/b", 5, None));
        for wrong in ["f00", "f00@", "f00@x", "f00@5/slice=1", "@"] {
            assert_eq!(Target::parse(wrong), None, "{wrong}");
        }
    }
}
