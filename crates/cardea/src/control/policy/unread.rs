//! Finds files of a policy folder that may have been meant but are not read: files in subfolders, and files whose
//! ending is in another case.

use std::path::{Path, PathBuf};

use cardea_core::policy::holds_policies;

use super::folder::{files, is_left_over, text};

/// Limit of entries to look at: a link may lead anywhere.
const MOST: usize = 2_000;
/// Depth limit.
const DEPTH: usize = 8;

/// Returns the files at and below a folder with this ending in any case, without those that [`files`] returns. Sorted.
#[must_use]
pub fn unread(folder: &Path, end: &str) -> Vec<PathBuf> {
    let read = files(folder, end).unwrap_or_default();
    let (mut found, mut left) = (Vec::new(), MOST);
    let mut folders = vec![(folder.to_owned(), DEPTH)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| !is_left_over(path)) {
            left = left.saturating_sub(1);
            if path.is_dir() {
                folders.extend((left > 0 && depth > 0).then(|| (path, depth.saturating_sub(1))));
            } else if path.extension().is_some_and(|found| found.eq_ignore_ascii_case(end))
                && !read.contains(&path)
            {
                found.push(path);
            }
            if left == 0 {
                break;
            }
        }
    }
    found.sort();
    found
}

/// Returns whether such a file holds policies for certain.
#[must_use]
pub fn is_policy_file(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("cedar"))
        && text(path).is_ok_and(|text| holds_policies(&text))
}
