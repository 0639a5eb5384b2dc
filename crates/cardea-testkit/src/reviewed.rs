//! Generated texts that people review: a changed line is a question to the reviewer.

#![expect(clippy::panic, reason = "a test fails by it")]

use std::{env, fs, path::Path};

/// Fails unless the file, given by its path from the root of the project, contains this text. With `CARDEA_TEST_BLESS`
/// set (`just bless`) it is written first.
///
/// # Panics
/// If it contains another text, or cannot be written.
pub fn reviewed(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    if env::var_os("CARDEA_TEST_BLESS").is_some() {
        fs::write(&path, text).unwrap_or_else(|error| panic!("{file} cannot be written: {error}"));
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let new: Vec<&str> = text.lines().filter(|line| !kept.lines().any(|known| known == *line)).collect();
    assert!(kept == text, "{file} is old: run `just bless` and look at the change. New: {new:#?}");
}
