//! The daemon as a process of its own: started, asked, ended politely or not.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::http::{self, Answer};
use crate::support::{wait_for, wait_until};

/// Longest wait for a daemon to become ready or to drain.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `anchorwatch`, or one that has ended; its output is kept in files until it is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    output: TempDir,
    http: String,
}

impl Daemon {
    /// `anchorwatch run CONFIG ARGS…`; `http` is the address (`host:port`) that the configuration listens on.
    pub(crate) fn spawn(config: &Path, http: &str, args: &[&str]) -> Self {
        let first = [OsStr::new("run"), config.as_os_str()];
        Self::command(first.into_iter().chain(args.iter().map(OsStr::new)), http)
    }

    /// `anchorwatch ARGS…`, for the other commands.
    pub(crate) fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, http: &str) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_anchorwatch")).args(args), http)
    }

    /// `WRAPPER… anchorwatch run CONFIG` with these variables in its environment; the wrapper is to become the daemon
    /// or to end with it.
    pub(crate) fn spawn_under(
        wrapper: &[&str],
        environment: &[(&str, &str)],
        config: &Path,
        http: &str,
    ) -> Self {
        let program = env!("CARGO_BIN_EXE_anchorwatch");
        let words: Vec<&OsStr> = wrapper.iter().chain([&program, &"run"]).map(OsStr::new).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(config).envs(environment.iter().copied());
        Self::launch(&mut command, http)
    }

    /// Whatever this command becomes.
    pub(crate) fn launch(command: &mut Command, http: &str) -> Self {
        let output = tempfile::tempdir().expect("a temporary folder can be made");
        let file = |name: &str| File::create(output.path().join(name)).expect("a writable temporary folder");
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the binary that cargo built runs");
        Self { child, output, http: http.to_owned() }
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        fs::read(self.output.path().join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// GET from its listener; fails the test when it does not answer.
    #[track_caller]
    pub(crate) fn http_get(&self, path: &str) -> Answer {
        http::get(&self.http, path)
            .unwrap_or_else(|error| panic!("{path} of the daemon: {error}\n{}", self.stderr()))
    }

    /// GET from its listener, if it answers.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        http::get(&self.http, path).ok()
    }

    /// Waits until `/readyz` answers 200; fails at once when the process ends first.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        let http = self.http.clone();
        wait_until(PATIENCE, "the daemon to be ready", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the daemon ended at its start, {status}:\n{}{}", self.stdout(), self.stderr());
            }
            http::get(&http, "/readyz").is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Time from now until `/readyz` answers 200.
    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "how long a start takes is part of what is promised")]
    pub(crate) fn ready_after(&mut self) -> Duration {
        let begun = std::time::Instant::now();
        self.wait_ready();
        begun.elapsed()
    }

    /// Sends a signal by its name: `STOP`, `CONT`, `TERM`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("sh").args(["-c", "kill -\"$0\" \"$1\"", name, &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "no signal {name} to the daemon");
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the daemon can be awaited").is_some()
    }

    /// The value of a metric without labels, or with exactly these (`name{a="b"}`), read from `/metrics`.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let text = self.http_get("/metrics").body;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub(crate) fn kill_9(&mut self) {
        self.child.kill().expect("the daemon can be killed");
        self.child.wait().expect("the daemon can be awaited");
    }

    /// Asks it to drain and stop, and returns how it ended.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.pid().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "the daemon could not be asked to stop");
        self.wait()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for(PATIENCE, "the daemon to end", || self.child.try_wait().expect("the daemon can be awaited"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.stderr();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- end of the daemon's standard error:");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
