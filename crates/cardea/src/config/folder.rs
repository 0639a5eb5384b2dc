//! Folders of configuration files.

use std::{
    io,
    path::{Path, PathBuf},
};

use cardea_core::form::{Place, Problem};

use super::FileProblems;
use crate::control;

/// Returns the `.toml` files of a folder, by name. A missing folder has none; a folder that cannot be read is an
/// error, since it may have some.
pub(super) fn folder(dir: &Path) -> Result<Vec<PathBuf>, FileProblems> {
    match control::files(dir, "toml") {
        Ok(files) => Ok(files),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => {
            let problem = Problem::new("", format!("cannot be read: {error}"), Place::Nowhere);
            Err(FileProblems::new(&dir.display().to_string(), "", &[], vec![problem]))
        }
    }
}
