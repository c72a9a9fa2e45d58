//! The schema file: a list that names and types columns where inference is not enough.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use super::error::BuildError;
use super::source::read_error;
use crate::reference::ColumnKind;

/// What a schema file says about one column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaColumn {
    /// Name in the baseline file.
    pub name: String,
    /// How its values are read; inferred if absent.
    #[serde(default)]
    pub kind: Option<ColumnKind>,
    /// Whether an event without it is a data fault; if absent, true where the baseline has no nulls.
    #[serde(default)]
    pub required: Option<bool>,
    /// Leaves the column out.
    #[serde(default)]
    pub ignore: bool,
}

/// A schema file; columns that it does not name are inferred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    columns: Vec<SchemaColumn>,
}

impl Schema {
    /// Reads a schema file in YAML or JSON.
    ///
    /// # Errors
    /// When the file cannot be read, is no list of columns, or names a column twice.
    pub fn read(path: &Path) -> Result<Self, BuildError> {
        let failed = |reason: String| BuildError::Schema { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|source| read_error(path, source))?;
        Self::parse(&text, path.extension().is_some_and(|extension| extension == "json")).map_err(failed)
    }

    fn parse(text: &str, json: bool) -> Result<Self, String> {
        let expected =
            "expected a list of {name, kind: numeric|categorical|coded_category|boolean, required, ignore}";
        let columns: Vec<SchemaColumn> = if json {
            serde_json::from_str(text).map_err(|error| format!("{error}; {expected}"))?
        } else {
            serde_saphyr::from_str(text).map_err(|error| format!("{error}; {expected}"))?
        };
        let mut known = HashSet::new();
        match columns.iter().find(|column| !known.insert(column.name.as_str())) {
            Some(twice) => Err(format!("column `{}` is listed twice", twice.name)),
            None => Ok(Self { columns }),
        }
    }

    /// All columns listed.
    #[must_use]
    pub fn columns(&self) -> &[SchemaColumn] {
        &self.columns
    }

    /// What is said about a column.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SchemaColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub(super) fn kind(&self, name: &str) -> Option<ColumnKind> {
        self.get(name).and_then(|column| column.kind)
    }

    pub(super) fn ignores(&self, name: &str) -> bool {
        self.get(name).is_some_and(|column| column.ignore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = "- {name: zip, kind: coded_category}\n- name: note\n  ignore: true\n";
        let json = r#"[{"name": "zip", "kind": "coded_category"}, {"name": "note", "ignore": true}]"#;
        let schema = Schema::parse(yaml, false).unwrap();
        assert_eq!(schema, Schema::parse(json, true).unwrap());
        assert_eq!(schema.kind("zip"), Some(ColumnKind::CodedCategory));
        assert!(schema.ignores("note") && !schema.ignores("zip"));
    }

    #[test]
    fn a_misspelt_key_and_a_repeated_column_are_refused() {
        let misspelt = Schema::parse("- {name: a, knd: numeric}", false).unwrap_err();
        assert!(misspelt.contains("knd"), "{misspelt}");
        let twice = Schema::parse("- {name: a}\n- {name: a}", false).unwrap_err();
        assert!(twice.contains("`a` is listed twice"), "{twice}");
    }
}
