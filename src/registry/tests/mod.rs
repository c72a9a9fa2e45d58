//! What the registry promises, as sentences.

mod bad_input;
mod estimates;
mod flights;
mod quantile;
mod stages;

use std::path::PathBuf;

use crate::reference::{Column, ColumnCounts, Reference};
use crate::registry::{BaselineOptions, BuildError, build};

/// A folder with one baseline file in it.
struct Baseline {
    folder: tempfile::TempDir,
    options: BaselineOptions,
}

impl Baseline {
    fn new(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Self { options: BaselineOptions::new("m", "1.0.0", path), folder }
    }

    fn with(mut self, change: impl FnOnce(&mut BaselineOptions)) -> Self {
        change(&mut self.options);
        self
    }

    fn with_schema(mut self, yaml: &str) -> Self {
        let path = self.folder.path().join("schema.yaml");
        std::fs::write(&path, yaml).unwrap();
        self.options.schema = Some(path);
        self
    }

    fn build(&self) -> Result<Reference, BuildError> {
        build(&self.options)
    }

    fn built(&self) -> Reference {
        self.build().unwrap()
    }

    fn refused(&self) -> String {
        self.build().unwrap_err().to_string()
    }
}

fn column<'a>(reference: &'a Reference, name: &str) -> (&'a Column, ColumnCounts<'a>) {
    let position = reference.columns.iter().position(|column| column.name == name);
    let position = position.unwrap_or_else(|| panic!("no column {name} in {:?}", reference.columns));
    (&reference.columns[position], counts_of(reference, position))
}

fn counts_of(reference: &Reference, position: usize) -> ColumnCounts<'_> {
    reference.layout().column(&reference.profile, position)
}

fn remark(reference: &Reference, words: &str) -> bool {
    reference.provenance.remarks.iter().any(|remark| remark.contains(words))
}

fn flights_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/flights/reference.parquet")
}
