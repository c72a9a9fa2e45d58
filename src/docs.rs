//! Pages that are written by the program itself are compared with the files in the repository.

use std::path::Path;

/// Fails unless the file at this path of the repository has this content; with `UPDATE_DOCS=1` writes it instead.
pub(crate) fn compare(path: &str, content: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("folder");
        std::fs::write(&file, content).expect("write the page");
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == content, "{path} is not current; run: UPDATE_DOCS=1 cargo test --lib generated_pages");
}
