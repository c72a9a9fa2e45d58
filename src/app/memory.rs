//! How much memory the process may use: as configured, or most of what its container or machine has.

use std::path::Path;

use crate::config::{Config, OF_WINDOWS, does_not_fit};

/// Share of the memory of container or machine that is taken without being told.
const OF_WHAT_IS_THERE: (u64, u64) = (3, 4);

/// Bytes for windows.
///
/// # Errors
/// When what the configuration lets grow beside them does not fit.
pub(super) fn of_windows(config: &Config) -> anyhow::Result<usize> {
    let (parts, of) = OF_WHAT_IS_THERE;
    let Some(all) = config.memory.max.or_else(|| Some(there_is()? / of * parts)) else {
        return Ok(usize::MAX);
    };
    if let Some(what) = does_not_fit(config, all) {
        anyhow::bail!("{what}: set memory.max, or less in one of them");
    }
    Ok(usize::try_from(all / OF_WINDOWS).unwrap_or(usize::MAX))
}

/// The least of the limits of cgroups (version 2 and 1) and of the machine.
fn there_is() -> Option<u64> {
    let number = |path: &str| std::fs::read_to_string(Path::new(path)).ok()?.trim().parse::<u64>().ok();
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    limits.into_iter().filter_map(number).chain(machine()).min()
}

fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}
