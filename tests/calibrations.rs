//! What is normal for a reference is computed from the windows of its baseline a little at a time, kept in checkpoints, and
//! done without while they cannot be read.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anchorwatch::action::VersionFacts;
use anchorwatch::config::{self, Config};
use anchorwatch::engine::{CatalogEntry, Checkpoint, Engine, Restored, Standing, TroubleKind};
use anchorwatch::event::Record;
use anchorwatch::reference::{
    BaselineWindow, BaselineWindows, ReadWindows, Reference, WindowsUnread, decode,
};
use anchorwatch::view::WindowView;
use anchorwatch::window::WatchedVersion;

const MINUTE: i64 = 60_000;
const START: i64 = 1_767_600_000_000;
const MODELS: usize = 12;

/// Windows of all references; they can be taken away, and count how often they are asked for.
#[derive(Debug)]
struct Shelf {
    windows: Arc<[BaselineWindow]>,
    there: AtomicBool,
    asked: AtomicUsize,
}

impl ReadWindows for Shelf {
    fn read(&self) -> Result<Arc<[BaselineWindow]>, WindowsUnread> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.there.load(Ordering::Relaxed) {
            true => Ok(Arc::clone(&self.windows)),
            false => Err(WindowsUnread::because(std::io::Error::other("the shelf is empty"))),
        }
    }
}

impl Shelf {
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

/// A reference of four hundred minutes, and who keeps its windows.
fn reference() -> (Arc<Reference>, Arc<Shelf>) {
    let whole = decode(include_bytes!("../testdata/references/format-1.awref")).expect("a reference");
    let windows = whole.windows.read().expect("at hand");
    let shelf = Arc::new(Shelf { windows, there: AtomicBool::new(true), asked: AtomicUsize::new(0) });
    let reader: Arc<dyn ReadWindows> = Arc::<Shelf>::clone(&shelf);
    let windows = BaselineWindows::kept_by(reader, whole.windows.len());
    (Arc::new(Reference { windows, ..whole }), shelf)
}

fn settings() -> Config {
    let text = "kafka: {bootstrap: 'h:1', topics: [t]}\n\
        windows: {pane: 1m, horizons: [{length: 1m}, {length: 5m}], min_rows: 5}\n\
        monitor: {verdicts: classical}";
    config::parse(text, "test").expect("settings")
}

fn engine(reference: &Arc<Reference>) -> Engine {
    let mut engine = Engine::new(&settings());
    watch(&mut engine, reference);
    engine
}

fn watch(engine: &mut Engine, reference: &Arc<Reference>) {
    let entry = |model| CatalogEntry {
        watched: WatchedVersion {
            model: format!("m{model}"),
            version: "1.0.0".to_owned(),
            reference_id: format!("reference-{model}"),
            reference: Arc::clone(reference),
            takes_feedback: true,
        },
        facts: VersionFacts { current: true, ..VersionFacts::default() },
    };
    engine.set_catalog(&(0..MODELS).map(entry).collect::<Vec<_>>());
    engine.assign("t", 0, None);
}

/// Events of every model in these minutes, and the end of the last one.
fn feed(engine: &mut Engine, minutes: std::ops::Range<i64>) -> i64 {
    let mut offset = minutes.start * 1_000;
    let end = START + minutes.end * MINUTE;
    for minute in minutes {
        for event in 0..MODELS as i64 * 8 {
            let ts = START + minute * MINUTE + event * 100;
            let model = event % MODELS as i64;
            let payload = format!(
                r#"{{"model":"m{model}","version":"1.0.0","ts":{ts},"features":{{"b":true,"c":"a","region":"n","x":{}.5}},"prediction":{{"score":0.3}}}}"#,
                event % 3
            );
            let record = Record {
                topic: "t",
                partition: 0,
                offset,
                timestamp: Some(ts),
                appended_at: None,
                key: None,
                headers: &[],
                payload: Some(payload.as_bytes()),
            };
            engine.ingest(&record, ts);
            offset += 1;
        }
    }
    engine.at_end("t", 0, 0);
    end
}

fn in_steps(engine: &mut Engine, now: i64, mut after: impl FnMut()) -> Vec<WindowView> {
    let mut windows = Vec::new();
    loop {
        let (progress, standing) = engine.advance_some(now, 16);
        windows.extend(progress.windows);
        after();
        if standing == Standing::Idle {
            return windows;
        }
    }
}

fn stored(engine: &mut Engine) -> Restored {
    let checkpoint = engine.checkpoint();
    let text = |(name, text): (&str, Option<Cow<'_, str>>)| Some((name.to_owned(), text?.into_owned()));
    let documents = checkpoint.every_document().filter_map(text).collect();
    let Checkpoint { subjects, panes, positions, .. } = checkpoint;
    Restored { subjects, panes, positions, documents }
}

#[test]
fn no_step_computes_two_calibrations_and_the_outcome_is_that_of_one_go() {
    let (reference, shelf) = reference();
    let (mut slow, mut fast) = (engine(&reference), engine(&reference));
    let end = feed(&mut slow, 0..6);
    let windows = in_steps(&mut slow, end + MINUTE, || {
        let asked = shelf.asked();
        assert!(asked <= 1, "{asked} at once");
    });
    feed(&mut fast, 0..6);
    let at_once = fast.advance(end + MINUTE, usize::MAX).0.windows;
    assert_eq!(shelf.asked(), 2 * MODELS, "once for each reference and length");
    assert!(windows.len() >= 6 * MODELS && windows == at_once, "{} {}", windows.len(), at_once.len());
    assert!(windows.iter().flat_map(|window| &window.verdicts).any(|verdict| verdict.threshold.is_some()));
}

#[test]
fn after_a_restart_nothing_is_read_again_and_verdicts_are_the_same() {
    let (reference, shelf) = reference();
    let mut running = engine(&reference);
    let end = feed(&mut running, 0..6);
    running.advance(end, usize::MAX);
    let state = stored(&mut running);
    let kept = state.documents.keys().filter(|name| name.starts_with("calibration/")).count();
    assert_eq!((kept, shelf.asked()), (MODELS, 2 * MODELS));

    let mut restarted = Engine::new(&settings());
    restarted.restore(state, |_| Some(Arc::clone(&reference))).expect("its own documents");
    watch(&mut restarted, &reference);
    let outcomes = [&mut running, &mut restarted].map(|engine| {
        let end = feed(engine, 6..12);
        engine.advance(end + MINUTE, usize::MAX).0.windows
    });
    assert!(!outcomes[0].is_empty() && outcomes[0] == outcomes[1]);
    assert_eq!(shelf.asked(), 0, "all of it is known");

    // Nobody watches against them any more: their documents go.
    restarted.set_catalog(&[]);
    let later = START + 3_000 * MINUTE;
    restarted.at_end("t", 0, later);
    let gone = restarted.checkpoint().documents;
    let gone = gone.iter().filter(|(name, text)| name.starts_with("calibration/") && text.is_none()).count();
    let left = restarted.checkpoint().documents;
    assert!(gone == MODELS || left.is_empty(), "{gone}");
}

#[test]
fn while_windows_cannot_be_read_it_is_told_and_judged_by_fixed_thresholds() {
    let (reference, shelf) = reference();
    shelf.there.store(false, Ordering::Relaxed);
    let mut engine = engine(&reference);
    let end = feed(&mut engine, 0..6);
    let blind = engine.advance(end, usize::MAX).0.windows;
    let asked = shelf.asked();
    assert!(!blind.is_empty() && asked == MODELS, "once a reference: {} windows, {asked}", blind.len());
    let told = engine.troubles();
    assert_eq!(told.len(), MODELS);
    assert!(told.contains_key(&(TroubleKind::BaselineUnread, "m0 1.0.0".to_owned())), "{told:?}");

    // They stay told over a restart, until something was calibrated.
    let state = stored(&mut engine);
    let mut engine = Engine::new(&settings());
    engine.restore(state, |_| Some(Arc::clone(&reference))).expect("its own documents");
    watch(&mut engine, &reference);
    shelf.there.store(true, Ordering::Relaxed);
    let end = feed(&mut engine, 6..12);
    engine.advance(end, usize::MAX);
    let end = feed(&mut engine, 12..18);
    let seeing = engine.advance(end + MINUTE, usize::MAX).0.windows;
    assert_eq!(engine.troubles().len(), 0);
    // Thresholds of five minutes by column and detector: what the baseline shows raises some of them.
    let thresholds = |windows: &[WindowView]| {
        let of_one =
            windows.iter().filter(|window| window.horizon == "5m").flat_map(|window| &window.verdicts);
        let mut largest: BTreeMap<String, f64> = BTreeMap::new();
        for verdict in of_one {
            let of = format!("{} {}", verdict.column, verdict.detector);
            let largest = largest.entry(of).or_default();
            *largest = largest.max(verdict.threshold.unwrap_or_default());
        }
        largest
    };
    let (blind, seeing) = (thresholds(&blind), thresholds(&seeing));
    let raised = blind.iter().filter(|(of, threshold)| seeing[*of] > **threshold).count();
    assert!(raised > 0, "{blind:?} {seeing:?}");
}
