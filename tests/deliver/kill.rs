//! A process that is killed between a request and its answer repeats a notification and holds an action.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anchorwatch::alert::ActionKind;
use anchorwatch::store::OutboxState;

use crate::fixtures::{asked, automation, row, told, webhook};
use crate::support::{Receiver, Reply, wait_until};
use crate::workers::{DEADLINE, Running, folder, ids};

const FOLDER: &str = "ANCHORWATCH_TEST_KILL_FOLDER";
const BASE: &str = "ANCHORWATCH_TEST_KILL_RECEIVER";

fn running(folder: &Path, base: &str) -> Running {
    let targets =
        [("hook", webhook(&format!("{base}/hook"))), ("retrain", automation(&format!("{base}/retrain")))];
    Running::start(folder, &targets)
}

/// Not a test of its own: the process that is killed below while both requests are under way.
#[test]
fn child_that_delivers_until_it_is_killed() {
    let (Ok(folder), Ok(base)) = (std::env::var(FOLDER), std::env::var(BASE)) else { return };
    let running = running(Path::new(&folder), &base);
    running.decide([row("hook", told("k-1", "g")), row("retrain", asked("a-1", ActionKind::Rollback))]);
    running.wait_for(OutboxState::Delivered, 2);
}

#[test]
fn killed_between_request_and_answer_an_action_is_unknown_and_told_and_never_sent_again() {
    let (folder, receiver) = (folder(), Receiver::start());
    for path in ["/hook", "/retrain"] {
        receiver.next(path, [Reply::ok().after(Duration::from_secs(600))]);
    }
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "kill::child_that_delivers_until_it_is_killed"])
        .env(FOLDER, folder.path())
        .env(BASE, receiver.url(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    receiver.wait_for_requests("/hook", 1, DEADLINE);
    receiver.wait_for_requests("/retrain", 1, DEADLINE);
    child.kill().expect("killed");
    child.wait().expect("reaped");

    let running = running(folder.path(), &receiver.url(""));
    running.wait_for(OutboxState::Delivered, 1);
    running.wait_for(OutboxState::Unknown, 1);
    wait_until(DEADLINE, "people to be told", || running.seen.ailments().unknown.contains_key("retrain/2"));
    assert_eq!(ids(&receiver.requests_to("/hook")), ["k-1", "k-1"], "told again under its key");
    assert_eq!(ids(&receiver.requests_to("/retrain")), ["a-1"], "asked once");
    running.stop();
}
