//! A process that does nothing but consume one model's events: how much memory that takes.

use std::process::Command;

use anchorwatch::reference::decode;
use anyhow::{Context as _, ensure};

use crate::turns::{self, Work};
use crate::{TOPIC, catalog, configuration};

/// Tells this program to consume and to end.
pub(crate) const ALONE: &str = "--alone";

/// Consumes: the arguments are the address of the broker, the number of events, and the file of the reference.
pub(crate) fn consume(arguments: &[String]) -> anyhow::Result<()> {
    let [bootstrap, events, file, ..] = arguments else { anyhow::bail!("no broker, events and reference") };
    let catalog = catalog(decode(&std::fs::read(file)?)?)?;
    let work = Work { events: events.parse()?, warm: 0, checkpoints: true };
    let spent = turns::anchorwatch(&configuration(bootstrap, TOPIC)?, &catalog[..1], work)?;
    println!("{} {}", spent.resident[0], spent.resident[1]);
    Ok(())
}

/// Resident memory in KiB of such a process, when half of the events were read and at the end.
pub(crate) fn resident(bootstrap: &str, events: u64, reference: &[u8]) -> anyhow::Result<[u64; 2]> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, reference)?;
    let output = Command::new(std::env::current_exe()?)
        .args([ALONE, bootstrap, &events.to_string()])
        .arg(file.path())
        .output()?;
    ensure!(output.status.success(), "a consumer failed: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let numbers: Vec<u64> = said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    numbers.try_into().ok().context("a consumer said something else")
}
