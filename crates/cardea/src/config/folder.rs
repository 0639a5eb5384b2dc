//! Folders of files that an installation is made of.

use std::path::{Path, PathBuf};

/// The files of a folder that end in `.toml`, by name.
pub(super) fn folder(dir: &Path) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    files
}
