//! One case: a day of history is taken up, some minutes are counted and judged as the daemon does it, and all of that is
//! timed.

use std::sync::Arc;
use std::time::Duration;

use anchorwatch::app::{JUDGE_FOR, STEPS_AT_ONCE};
use anchorwatch::engine::{Engine, Standing};
use anchorwatch::telemetry::Metrics;
use anchorwatch::view::Board;

use rustix::time::{ClockId, clock_gettime};

use crate::results::median;
use crate::world::{LAST, MINUTE, Producer, Shape, catalog, day, reference, sends};

/// KiB a subject, the same with the board, µs an event, the three kinds of edges, the last of them by the clock until its last
/// verdict and until it is done, stall and the same by the clock, checkpoint, packing, status shown.
pub(crate) const FIGURES: usize = 13;

/// Minutes that are counted after the edge at which all horizons end.
const AFTER: i64 = 3;

struct Run {
    engine: Engine,
    board: Board,
    metrics: Metrics,
    stall: Duration,
    /// The same by the clock.
    wait: Duration,
    /// Times of edges: of the shortest horizon, of the two shortest, of all.
    edges: [Vec<f64>; 3],
    /// That of all, by the clock: until the last verdict, and in all.
    by_the_clock: [f64; 2],
    checkpoints: Vec<f64>,
    packing: Vec<f64>,
    shown: Vec<f64>,
}

pub(crate) fn measure(shape: Shape) -> anyhow::Result<[f64; FIGURES]> {
    let reference = Arc::new(reference(shape)?);
    let config = shape.config("data")?;
    let id = |_| "reference".to_owned();
    let before = resident();
    let mut engine = Engine::new(&config);
    let state = day(shape, &reference, id)?;
    let offset = state.positions.first().map_or(0, |position| position.next_offset);
    engine.restore(state, |_| Some(Arc::clone(&reference)))?;
    engine.set_catalog(&catalog(shape, &reference, id));
    let mut run = Run {
        engine,
        board: Board::default(),
        metrics: Metrics::with_budget(config.telemetry.max_series)?,
        stall: Duration::ZERO,
        wait: Duration::ZERO,
        edges: Default::default(),
        by_the_clock: [0.0; 2],
        checkpoints: Vec::new(),
        packing: Vec::new(),
        shown: Vec::new(),
    };
    let mut producer = Producer::new(shape, offset);
    let (mut counting, mut events) = (Duration::ZERO, 0_u64);
    for pane in LAST - shape.before() + 1..=LAST + 2 + AFTER {
        let ts = pane * MINUTE + 1_000;
        for version in (0..shape.versions()).filter(|version| sends(shape, *version, pane)) {
            let record = producer.event(version, ts);
            let began = thread_cpu();
            run.engine.ingest(&record, ts);
            counting += thread_cpu().saturating_sub(began);
            events += 1;
        }
        run.close(ts);
        run.checkpoint();
        run.show();
    }
    let all = resident();
    run.board = Board::default();
    let without = resident();
    let of_each = |bytes: u64| bytes.saturating_sub(before) as f64 / 1_024.0 / shape.subjects as f64;
    let [short, middle, long] = run.edges;
    Ok([
        of_each(without),
        of_each(all),
        micros(counting) / events.max(1) as f64,
        median(short),
        median(middle),
        long.last().copied().unwrap_or_default(),
        run.by_the_clock[0],
        run.by_the_clock[1],
        millis(run.stall),
        millis(run.wait),
        median(run.checkpoints),
        median(run.packing),
        median(run.shown),
    ])
}

impl Run {
    /// Judges what is due in slices, as the daemon does between two polls.
    fn close(&mut self, now: i64) {
        let mut edge = Duration::ZERO;
        let (clock, mut last_verdict) = (now_by_the_clock(), Duration::ZERO);
        loop {
            let (began, began_by_the_clock) = (process_cpu(), now_by_the_clock());
            let mut standing;
            loop {
                let progress;
                (progress, standing) = self.engine.advance_some(now, STEPS_AT_ONCE);
                let judged = !progress.windows.is_empty();
                progress.windows.iter().for_each(|window| self.metrics.window(window));
                self.board.publish_all(progress.windows);
                if judged {
                    last_verdict = clock.elapsed();
                }
                let spent = process_cpu().saturating_sub(began);
                if standing != Standing::Judging || spent >= slice() {
                    edge += spent;
                    self.stall = self.stall.max(spent);
                    self.wait = self.wait.max(began_by_the_clock.elapsed());
                    break;
                }
            }
            match standing {
                Standing::Judging => {}
                Standing::Idle => return,
                Standing::EdgeDone => {
                    let end = self.engine.watermark().unwrap_or_default() / MINUTE;
                    let kind = usize::from(end % 5 == 0) + usize::from(end % 120 == 0);
                    self.edges[kind].push(millis(std::mem::take(&mut edge)));
                    if kind == 2 {
                        self.by_the_clock = [last_verdict, clock.elapsed()].map(millis);
                    }
                }
            }
        }
    }

    fn checkpoint(&mut self) {
        let (began, began_by_the_clock) = (thread_cpu(), now_by_the_clock());
        let checkpoint = self.engine.checkpoint();
        let taken = thread_cpu().saturating_sub(began);
        self.stall = self.stall.max(taken);
        self.wait = self.wait.max(began_by_the_clock.elapsed());
        self.checkpoints.push(millis(taken));
        let began = thread_cpu();
        let panes = checkpoint.panes.iter().map(|row| row.counts.packed().len());
        let documents = checkpoint.every_document().filter_map(|(_, text)| Some(text?.len()));
        let bytes: usize = panes.chain(documents).sum();
        self.packing.push(millis(thread_cpu().saturating_sub(began)));
        std::hint::black_box(bytes);
    }

    /// Shows how everything stands, as the daemon does every second.
    fn show(&mut self) {
        let (began, began_by_the_clock) = (thread_cpu(), now_by_the_clock());
        let status = Arc::new(self.engine.status());
        self.metrics.status(Arc::clone(&status));
        self.board.set_status(status);
        let taken = thread_cpu().saturating_sub(began);
        self.stall = self.stall.max(taken);
        self.wait = self.wait.max(began_by_the_clock.elapsed());
        self.shown.push(millis(taken));
        if self.engine.alerts_changed() {
            self.list_alerts();
        }
    }

    /// Lists alerts in slices, as the daemon does between two polls.
    fn list_alerts(&mut self) {
        let mut list = self.engine.begin_alert_list();
        let mut complete = false;
        while !complete {
            let (began, began_by_the_clock) = (process_cpu(), now_by_the_clock());
            while !complete && process_cpu().saturating_sub(began) < slice() {
                complete = self.engine.extend_alert_list(&mut list);
            }
            let alerts = complete.then(|| Arc::new(std::mem::take(list.views_mut())));
            let before = self.board.alerts();
            if let Some(alerts) = alerts {
                self.metrics.alerts(Arc::clone(&alerts));
                self.board.set_alerts(alerts);
            }
            let taken = process_cpu().saturating_sub(began);
            self.stall = self.stall.max(taken);
            self.wait = self.wait.max(began_by_the_clock.elapsed());
            // The daemon has it done by another thread.
            drop(before);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures by the clock")]
fn now_by_the_clock() -> std::time::Instant {
    std::time::Instant::now()
}

/// How long the daemon does one thing between two polls.
fn slice() -> Duration {
    Duration::from_millis(JUDGE_FOR.unsigned_abs())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// CPU time of all threads of this process, which others on the machine do not add to.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// CPU time of this thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
