//! The page of promises names tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Names of all functions that are tests.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["tests", "src", "detectors/src"].iter().flat_map(|folder| rust_files(&root.join(folder)));
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).expect("a readable source");
        for part in text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1)) {
            let name = part.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
            names.extend(name.map(|name| name.trim().to_owned()));
        }
    }
    names
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/guarantees.md");
    let text = fs::read_to_string(page).expect("the page");
    let promised: BTreeSet<&str> = text
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .filter_map(|line| line.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(promised.len() > 10, "{promised:?}");
    let known = tests();
    let missing: Vec<_> = promised.iter().filter(|name| !known.contains(**name)).collect();
    assert!(missing.is_empty(), "tests that the page names and nobody wrote: {missing:?}");
}
