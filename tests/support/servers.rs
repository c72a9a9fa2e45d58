//! Real servers on loopback, each on free ports with its data in a temporary folder, started by the scripts of
//! `deploy/local`. They stop with the value that holds them, and with the test process however it ends.
//! What cannot be started fails the test and says what is missing; nothing is skipped.

mod alertmanager;
mod kafka;
mod prometheus;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, process, thread};

use tempfile::TempDir;

pub(crate) use alertmanager::Alertmanager;
pub(crate) use kafka::{Kafka, Read};
pub(crate) use prometheus::Prometheus;

/// A port of loopback that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("loopback has a free port")
        .port()
}

/// One server of `deploy/local`: its script, its folder and its address.
#[derive(Debug)]
struct Server {
    name: &'static str,
    dir: TempDir,
    config: Option<PathBuf>,
    address: String,
}

impl Server {
    /// Starts `deploy/local/NAME.sh` in a new folder; `configure` writes a configuration file, if there is one.
    fn start(name: &'static str, configure: impl FnOnce(&Path) -> Option<PathBuf>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix(&format!("anchorwatch-{name}-"))
            .tempdir()
            .expect("a temporary folder can be made");
        let config = configure(dir.path());
        let mut server = Self { name, dir, config, address: String::new() };
        server.address = server.started();
        server
    }

    /// Runs `start` and returns the address it prints.
    fn started(&self) -> String {
        let mut command = self.script("start");
        command.args(&self.config);
        let output = command.output().unwrap_or_else(|error| panic!("{}.sh did not run: {error}", self.name));
        assert!(
            output.status.success(),
            "the test needs a real {}, which did not start:\n{}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs `stop` or `kill` and waits until the process is gone.
    fn end(&self, how: &str) {
        let output =
            self.script(how).output().unwrap_or_else(|error| panic!("{}.sh did not run: {error}", self.name));
        assert!(output.status.success(), "{} {how}: {}", self.name, String::from_utf8_lossy(&output.stderr));
    }

    fn script(&self, command: &str) -> Command {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local").join(format!("{}.sh", self.name));
        let mut script = Command::new(script);
        script
            .arg(command)
            .arg(self.dir.path())
            .env("ANCHORWATCH_OWNER_PID", process::id().to_string())
            .env("ANCHORWATCH_OWNED_DIR", self.dir.path())
            .stdin(Stdio::null());
        script
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join(format!("{}.log", self.name))).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("--- end of the log of {} ({}):", self.name, self.address);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        let _ = self.script("kill").output();
    }
}
