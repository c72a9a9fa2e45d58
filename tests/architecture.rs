//! The rules of dependency, read off the source files.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const CORE: [&str; 11] = [
    "action",
    "alert",
    "config",
    "engine",
    "event",
    "fault",
    "monitor",
    "reference",
    "subject",
    "view",
    "window",
];
const EDGES: [&str; 7] = ["api", "backup", "deliver", "registry", "source", "store", "telemetry"];
const ALL_SEEING: [&str; 4] = ["app", "cli", "docs", "main"];
/// Threads that the core and edges lend pure work to: what it brings does not depend on them.
const THREADS: [&str; 1] = ["workers"];

/// Edges that may use another edge, with the reason.
const ALLOWED_EDGES: [(&str, &str, &str); 2] = [
    ("deliver", "store", "the outbox is a table of the state file; all SQL stands in store"),
    ("registry", "store", "versions and stages are tables of the state file; all SQL stands in store"),
];

/// Third-party crates that do I/O, and their homes.
const HOMES: [(&str, &[&str]); 8] = [
    ("rusqlite", &["store"]),
    ("reqwest", &["deliver", "cli", "source"]),
    ("axum", &["api", "cli"]),
    ("axum_server", &["api"]),
    ("rdkafka", &["source", "cli"]),
    ("object_store", &["backup", "registry"]),
    ("parquet", &["registry", "source"]),
    ("prometheus", &["telemetry", "app"]),
];

/// Files that may say `unsafe`: each a small one around one foreign interface, with a proof at every block.
const UNSAFE: [&str; 1] = ["source/batch.rs"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a source folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Top-level module, path and production code (without tests and comments) of every file of the daemon.
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = root().join("src");
    let is_test =
        |path: &Path| path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
    rust_files(&src)
        .into_iter()
        .filter(|path| !is_test(path))
        .map(|path| {
            let inside = path.strip_prefix(&src).expect("below src");
            let module = inside.components().next().expect("a name").as_os_str().to_string_lossy();
            let text = std::fs::read_to_string(&path).expect("readable");
            let production = text.split("#[cfg(test)]").next().unwrap_or_default();
            let code: Vec<&str> =
                production.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            (module.trim_end_matches(".rs").to_owned(), path.clone(), code.join("\n"))
        })
        .collect()
}

#[test]
fn every_module_has_a_kind() {
    let known: BTreeSet<&str> =
        CORE.iter().chain(&EDGES).chain(&ALL_SEEING).chain(&THREADS).copied().collect();
    for (module, path, _) in sources() {
        assert!(known.contains(module.as_str()) || module == "lib", "{} is of no kind", path.display());
    }
}

#[test]
fn core_imports_core_and_edges_never_import_one_another() {
    let modules = EDGES.iter().chain(&ALL_SEEING).copied();
    for (module, path, code) in sources() {
        for other in modules.clone().filter(|other| *other != module) {
            let allowed = ALLOWED_EDGES.iter().any(|(from, to, _)| *from == module && *to == other);
            let restricted = CORE.contains(&module.as_str()) || EDGES.contains(&module.as_str());
            let imports =
                code.contains(&format!("crate::{other}::")) || code.contains(&format!("crate::{other};"));
            assert!(!restricted || allowed || !imports, "{} imports crate::{other}", path.display());
        }
    }
}

#[test]
fn core_and_detectors_contain_no_clock_file_network_or_runtime() {
    const FORBIDDEN: [&str; 8] = [
        "tokio",
        "SystemTime",
        "Instant",
        "std::net::Tcp",
        "std::fs::write",
        "std::thread",
        "reqwest",
        "rand::",
    ];
    let detectors = rust_files(&root().join("detectors/src")).into_iter().map(|path| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        ("detectors".to_owned(), path, code.join("\n"))
    });
    let core = sources().into_iter().filter(|(module, ..)| CORE.contains(&module.as_str()));
    for (_, path, code) in core.chain(detectors) {
        for word in FORBIDDEN {
            assert!(!code.contains(word), "{} says {word}", path.display());
        }
    }
}

#[test]
fn each_crate_that_does_io_has_its_home() {
    for (module, path, code) in sources() {
        for (name, homes) in HOMES {
            let used = code.contains(&format!("use {name}::")) || code.contains(&format!(" {name}::"));
            assert!(!used || homes.contains(&module.as_str()), "{} uses {name}", path.display());
        }
    }
}

#[test]
fn every_file_begins_with_what_lives_there() {
    for path in rust_files(&root().join("src")).into_iter().chain(rust_files(&root().join("detectors/src"))) {
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.starts_with("//!"), "{} has no module doc", path.display());
    }
}

#[test]
fn the_journey_names_files_that_exist() {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).expect("readable");
    let files: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("//! | "))
        .filter_map(|line| line.split('`').nth(1))
        .collect();
    assert_eq!(files.len(), 10, "ten steps");
    for file in files {
        assert!(root().join(file).is_file(), "{file} does not exist");
    }
}

#[test]
fn no_lint_is_switched_off_without_a_reason() {
    for (_, path, code) in sources() {
        let allowed = code.lines().find(|line| line.contains("#[allow(") || line.contains("#![allow("));
        assert_eq!(allowed, None, "{}: write #[expect(…, reason = …)]", path.display());
    }
}

#[test]
fn unsafe_code_stands_only_in_the_listed_files_with_a_proof_at_every_block() {
    let says_unsafe =
        |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
    let src = root().join("src");
    for path in rust_files(&src).into_iter().chain(rust_files(&root().join("detectors/src"))) {
        let text = std::fs::read_to_string(&path).expect("readable");
        let code = || text.lines().filter(|line| !line.trim_start().starts_with("//") && !line.contains('"'));
        let blocks = code().filter(|line| says_unsafe(line)).count();
        let name = path.strip_prefix(&src).map(|name| name.display().to_string()).unwrap_or_default();
        let listed = UNSAFE.contains(&name.as_str());
        assert_eq!(blocks > 0, listed, "{} says unsafe", path.display());
        let proofs = text.lines().filter(|line| line.trim_start().starts_with("// SAFETY: ")).count();
        assert_eq!(blocks, proofs, "{} has blocks without a proof", path.display());
    }
}

#[test]
fn every_link_of_the_readme_and_the_guides_leads_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    for folder in ["docs/guide", "docs/guide/detectors", "docs/decisions"] {
        let entries = std::fs::read_dir(root().join(folder)).expect("docs").flatten();
        pages.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("readable");
        let folder = page.parent().expect("a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(folder.join(file).exists(), "{} links to {file}", page.display());
        }
    }
}
