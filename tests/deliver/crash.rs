//! A process that is killed while it writes leaves a state file in which everything belongs to the same checkpoint.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anchorwatch::engine::{Checkpoint, PaneRow, Position};
use anchorwatch::store::Store;
use anchorwatch::subject::Subject;

use crate::fixtures::{open, row, told};

const FOLDER: &str = "ANCHORWATCH_TEST_CRASH_FOLDER";

/// Checkpoint number `n`: every part of it says `n`.
fn numbered(n: i64) -> Checkpoint {
    let panes = (0..20).map(|subject| {
        let counts = n.to_le_bytes().repeat(50);
        PaneRow { subject, pane: 7, reference: "r".into(), counts: counts.as_slice().into() }
    });
    Checkpoint {
        subjects: (0..20).map(|id| (id, Subject::whole("m", &format!("{id}.0.0")))).collect(),
        panes: panes.collect(),
        positions: vec![Position {
            topic: "t".into(),
            partition: 0,
            next_offset: n,
            max_event_time: Some(n),
            last_record_hash: None,
        }],
        documents: [("alerts".to_owned(), Some(n.to_string()))].into(),
        outbox: vec![row("slack", told(&format!("k{n}"), "g"))],
        ..Checkpoint::default()
    }
}

fn newest(store: &Store) -> i64 {
    store.restore().expect("a state").positions.first().map_or(0, |position| position.next_offset)
}

/// Not a test of its own: the process that is killed below. It says each number once that is durable.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut store = open(Path::new(&folder));
    let mut out = std::io::stderr();
    for n in newest(&store) + 1.. {
        store.apply(&numbered(n)).expect("a checkpoint");
        writeln!(out, "durable {n}").expect("the parent reads");
    }
}

/// Lets a child write until it has reported `reports` checkpoints, kills it, and returns the last number reported.
fn write_and_kill(folder: &Path, reports: usize) -> i64 {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "crash::child_that_writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let lines = BufReader::new(child.stderr.take().expect("its output")).lines();
    let number = |line: String| line.strip_prefix("durable ").and_then(|text| text.parse().ok());
    let said = lines.map_while(Result::ok).filter_map(number).take(reports).last();
    child.kill().expect("killed");
    child.wait().expect("reaped");
    said.expect("the child reported a checkpoint")
}

#[test]
fn killing_the_writer_at_any_moment_leaves_one_whole_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..8 {
        let reported = write_and_kill(folder.path(), 1 + round % 3);
        let store = open(folder.path());
        let found = newest(&store);
        assert!(found >= reported, "checkpoint {reported} was reported durable, {found} was found");
        let restored = store.restore().expect("a state");
        let expected = numbered(found);
        assert_eq!(restored.panes, expected.panes, "round {round}");
        assert_eq!(restored.documents["alerts"], found.to_string());
        let rows = store.list_outbox(None, 100_000).expect("rows");
        assert_eq!(
            rows.len(),
            usize::try_from(found).expect("a count"),
            "one delivery per checkpoint, never two"
        );
    }
}
