use std::fs;

use crate::{files, root, shown};

/// The shape to keep, as docs/ARCHITECTURE.md has it.
const MOST_LINES: usize = 800;
const LINES_AT_95_PERCENT: usize = 450;

#[test]
fn files_stay_short_enough_to_read() {
    let folders = ["crates", "examples"].map(|folder| root().join(folder));
    let sources = folders.iter().flat_map(|folder| files(folder, ".rs"));
    let mut sizes: Vec<(usize, String)> =
        sources.map(|path| (fs::read_to_string(&path).unwrap().lines().count(), shown(&path))).collect();
    sizes.sort();
    assert!(sizes.len() > 50, "the scan found only {} files", sizes.len());
    let long: Vec<&(usize, String)> = sizes.iter().filter(|(lines, _)| *lines > MOST_LINES).collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines: {long:?}");
    let (at_95, file) = &sizes[sizes.len() * 95 / 100];
    assert!(
        *at_95 <= LINES_AT_95_PERCENT,
        "one file in twenty has more than {LINES_AT_95_PERCENT} lines: {file} has {at_95}"
    );
}
