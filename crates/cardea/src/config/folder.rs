//! Folders of files that an installation is made of.

use std::{
    io,
    path::{Path, PathBuf},
};

use cardea_core::form::{Place, Problem};

use super::FileProblems;
use crate::control;

/// The files of a folder that end in `.toml`, by name. A folder that is not there has none; one that cannot be read may
/// have some.
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
