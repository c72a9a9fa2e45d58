//! The file that benches keep their results in, a section each, and what they were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

use mimalloc::MiMalloc;

/// As the program has it: what a bench measures is the library in that surrounding.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const HEAD: &str = "# Results of the benches\n\nCPU time, as `make bench` measured it last; see the note below each table.\n";

/// Writes a section into `benches/RESULTS.md`, in the place of the one of that name before.
pub(crate) fn save(name: &str, section: &str) -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
    let (begin, end) =
        (format!("<!-- {name}: written by `make bench` -->"), format!("<!-- end of {name} -->"));
    let before = fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    let (head, tail) = match (before.split_once(&begin), before.split_once(&end)) {
        (Some((head, _)), Some((_, tail))) => (head, tail),
        _ => (before.as_str(), ""),
    };
    let (head, section, tail) = (head.trim_end(), section.trim_end(), tail.trim_start());
    let tail = if tail.is_empty() { String::new() } else { format!("\n{tail}") };
    fs::write(path, format!("{head}\n\n{begin}\n{section}\n{end}\n{tail}"))
}

/// Machine and versions, so that figures are not compared that cannot be.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stdout).into_owned());
    format!(
        "{} ({cores} cores), Linux {}, load average {} at the end; {}, Anchorwatch {}.",
        model.trim_start_matches([' ', '\t', ':']),
        read("/proc/sys/kernel/osrelease").trim(),
        load.join(" "),
        rustc.trim(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
