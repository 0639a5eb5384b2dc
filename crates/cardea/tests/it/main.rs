//! Tests of the project as a whole: its layout, its documents, its dependencies.
#![cfg(test)]

mod backups;
mod circles;
mod commands;
mod crowd;
mod dependencies;
mod documents;
mod ends;
mod engines;
mod kills;
mod machine;
mod nodes;
mod peers;
mod proofs;
mod rooms;
mod shared;
mod sizes;
mod stories;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the whole project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file below `folder` whose name ends so, in order. Build output and hidden folders are left out.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let hidden = name.starts_with('.') || name == "target" || name == "node_modules";
            if entry.path().is_dir() && !hidden {
                folders.push(entry.path());
            } else if name.ends_with(end) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// A path as people write it: from the project's folder.
fn shown(path: &Path) -> String {
    let root = root();
    path.strip_prefix(&root).unwrap_or(path).display().to_string()
}
