//! Every golden case of the statistics here: same data, same convention, same number within the stated tolerance.
//!
//! The folder is `testdata/golden` of the workspace, or the one named by `ANCHORWATCH_GOLDEN`. A case of tier `core` must
//! pass; what this crate does not offer is listed by name and counted, never skipped in silence.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a golden file that cannot be read is a failed test")]

#[path = "golden/binned.rs"]
mod binned;
#[path = "golden/case.rs"]
mod case;
#[path = "golden/compat.rs"]
mod compat;
#[path = "golden/data.rs"]
mod data;
#[path = "golden/laws.rs"]
mod laws;
#[path = "golden/multivariate.rs"]
mod multivariate;
#[path = "golden/numeric.rs"]
mod numeric;
#[path = "golden/performance.rs"]
mod performance;
#[path = "golden/sequential.rs"]
mod sequential;
#[path = "golden/streamed.rs"]
mod streamed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use case::{Case, Verdict};
use data::Datasets;

/// Files of cases, each with the function that judges one of them.
type Judge = fn(&Case, &Datasets) -> Verdict;
const FILES: [(&str, Judge); 13] = [
    ("batch_numeric", numeric::judge),
    ("batch_binned", binned::judge_numeric),
    ("categorical", binned::judge_categorical),
    ("distributions", laws::judge_distribution),
    ("multiple_testing", laws::judge_multiple),
    ("latency", streamed::judge_latency),
    ("stream_state", streamed::judge_state),
    ("performance", performance::judge),
    ("multivariate", multivariate::judge),
    ("quality_threshold", multivariate::judge_quality),
    ("sequential_river", sequential::judge_stream),
    ("sequential_frouros", sequential::judge_stream),
    ("sequential", sequential::judge_bets),
];

/// What was asked of us and came out how.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    as_peers: usize,
    other_tiers: usize,
    not_offered: BTreeMap<String, usize>,
}

impl Tally {
    fn take(&mut self, case: &Case, verdict: Verdict) {
        match verdict {
            Verdict::Peer(errors) if errors.is_empty() => self.as_peers += 1,
            Verdict::Peer(errors) => self.failed.push(format!("{case}: {}", errors.join("; "))),
            _ if case.tier != "core" => self.other_tiers += 1,
            Verdict::NotOffered => {
                *self.not_offered.entry(case.detector.clone()).or_default() += 1;
                self.failed.push(format!("{case}: not offered"));
            }
            Verdict::Judged(errors) if errors.is_empty() => self.passed += 1,
            Verdict::Judged(errors) => self.failed.push(format!("{case}: {}", errors.join("; "))),
        }
    }
}

/// The guide's table of other tools' conventions, whose figures are those of the cases in this repository.
const GUIDE: &str = include_str!("../../docs/guide/compat.md");

impl Tally {
    #[expect(clippy::print_stdout, reason = "the tally is what this test is run for")]
    fn take_peers(&mut self, peers: &compat::Tally) {
        for ((convention, detector), (passed, asked)) in &peers.by_detector {
            println!("golden: compat {convention} {detector}: {passed} of {asked}");
        }
        let (passed, asked) = peers.sums();
        println!("golden: compat: {passed} of {asked} cases of other tools' conventions passed");
        for difference in &peers.failed {
            println!("golden: compat: differs: {difference}");
        }
        if std::env::var_os("ANCHORWATCH_GOLDEN").is_none() {
            self.failed.extend(peers.contradictions(GUIDE));
        }
    }
}

#[expect(clippy::print_stdout, reason = "the tally is what this test is run for")]
fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/golden");
    let folder = std::env::var_os("ANCHORWATCH_GOLDEN").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let datasets = Datasets::read(&folder);
    let mut tally = Tally::default();
    for (file, judge) in FILES {
        let before = (tally.passed, tally.failed.len());
        for case in case::read(&folder, file) {
            let verdict = judge(&case, &datasets);
            tally.take(&case, verdict);
        }
        println!(
            "golden: {file}: {} passed, {} failed",
            tally.passed - before.0,
            tally.failed.len() - before.1
        );
    }
    tally.take_peers(&compat::Tally::of(&folder, &datasets));
    for failure in &tally.failed {
        println!("golden: FAILED {failure}");
    }
    for (detector, cases) in &tally.not_offered {
        println!("golden: not offered: {detector} ({cases} core cases)");
    }
    println!("golden: {} cases of peers' conventions passed", tally.as_peers);
    println!("golden: not asked here: {} cases of other tiers", tally.other_tiers);
    println!("golden: {} core passed, {} failed", tally.passed, tally.failed.len());
    if tally.failed.is_empty() && tally.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
