//! What every command knows before it reads its own arguments.

use std::path::PathBuf;

/// Settings shared by all commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliContext {
    /// Folder of the state file and the references.
    pub data_dir: PathBuf,
}
