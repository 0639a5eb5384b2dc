//! The policy folder: which files belong to it, their texts, and when a change in it is complete.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use cardea_core::{
    Code, Error, Result,
    policy::{Problem, Snapshot, Source},
    size::Bytes,
    tool::ToolSpec,
};

use super::in_force::LeftOut;
use crate::control::Control;

/// Size limit of a file in a policy folder.
const LARGEST: Bytes = Bytes::mib(1);

/// Byte order mark that some editors write before a text.
const MARK: char = '\u{feff}';

/// Returns the files of a folder with this ending, sorted. Files that editors and copying programs leave behind
/// (`.x.cedar`, `~x.cedar`) are skipped.
///
/// # Errors
/// Those of reading the folder.
pub fn files(folder: &Path, end: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.retain(|path| path.extension().is_some_and(|found| found == end) && !is_left_over(path));
    files.sort();
    Ok(files)
}

pub(in crate::control) fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") || name.starts_with(b"~")
}

/// Reads a file of a policy folder, within the size limit.
///
/// # Errors
/// Those of reading; `InvalidData` for what is not a file, or is too large.
pub fn text(path: &Path) -> io::Result<String> {
    Ok(read(path)?.0)
}

/// Does the same and returns the modification time as well.
fn read(path: &Path) -> io::Result<(String, Option<SystemTime>)> {
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let facts = path.metadata()?;
    if !facts.is_file() {
        return refuse("it is no file".to_owned());
    }
    let mut text = String::new();
    // WHY: limited by what is read, not by the reported size: the file may grow while it is read.
    File::open(path)?.take(LARGEST.len() as u64 + 1).read_to_string(&mut text)?;
    if text.len() > LARGEST.len() {
        return refuse(format!("it is larger than {LARGEST}"));
    }
    if text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    Ok((text, facts.modified().ok()))
}

/// The policy texts of a folder as one look has found them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    sources: Vec<Source>,
    /// Modification time of each file.
    written: Vec<Option<SystemTime>>,
}

impl Set {
    fn read(folder: &Path, approver: &str) -> Result<Self> {
        let mut set = Self { sources: vec![Source::built_in(approver)], written: Vec::new() };
        let unread = |path: &Path, error: io::Error| {
            Error::new(Code::Misconfigured).detail(format!("`{}` cannot be read: {error}.", path.display()))
        };
        let files = match files(folder, "cedar") {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(set),
            // WHY: a folder that cannot be read for a moment must not count as one without policies: a `forbid` would
            // be gone.
            Err(error) => return Err(unread(folder, error)),
        };
        for path in files {
            let (text, written) = read(&path).map_err(|error| unread(&path, error))?;
            if text.trim().is_empty() {
                // WHY: copying a file truncates it first. To disable a file, remove it.
                return Err(unread(&path, io::Error::new(io::ErrorKind::InvalidData, "it is empty")));
            }
            set.sources.push(Source::new(path.display().to_string(), text));
            set.written.push(written);
        }
        Ok(set)
    }
}

/// Reads the texts of a policy folder, sorted by name, and adds the built-in policy, which the role `approver` may
/// lift. A missing folder counts as empty.
///
/// # Errors
/// `misconfigured` if a file cannot be read, or is empty.
pub fn load(folder: &Path, approver: &str) -> Result<Vec<Source>> {
    Ok(Set::read(folder, approver)?.sources)
}

/// Formats the first ten problems, one per line.
pub(super) fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().take(10).map(ToString::to_string).collect();
    lines.join("\n")
}

/// State of a follower of a policy folder: what the last look found.
#[derive(Debug, Default)]
pub struct Watch {
    set: Option<Set>,
}

impl Control {
    /// Reads the policy folder and puts its policies in force.
    ///
    /// # Errors
    /// `misconfigured`, with every problem's file, line and column.
    pub fn adopt(&self, tools: Vec<ToolSpec>) -> Result<()> {
        let settings = &self.inner.settings;
        let sources = load(&settings.policies, &settings.approver)?;
        self.inner.in_force.change().take(sources.into(), tools, self.maker()).map(drop)
    }

    /// Compiles the texts in force for the current catalogue, unless that has been done, and returns the server that
    /// had to be left out. If they do not fit, the set compiled for the old catalogue stays. Thousands of policies
    /// take time, so this must not run on a thread that serves requests.
    ///
    /// # Errors
    /// `misconfigured`, with every problem's file, line and column.
    pub fn fit(&self, tools: impl FnOnce() -> Vec<ToolSpec>) -> Result<Option<LeftOut>> {
        let change = self.inner.in_force.change();
        let sources = change.sources();
        change.take(sources, tools(), self.maker())
    }

    /// Looks at the policy folder again. A changed set is adopted only if two looks in a row have found the same texts
    /// with the same modification times: a file that is being written may be read half, and the missing half may hold
    /// a `forbid`. Looks must therefore be some time apart. Returns the server that is left out.
    ///
    /// # Errors
    /// `misconfigured`, with every problem's file, line and column; the old set stays.
    pub fn follow(
        &self,
        watch: &mut Watch,
        tools: impl FnOnce() -> Vec<ToolSpec>,
    ) -> Result<Option<LeftOut>> {
        let before = watch.set.take();
        let settings = &self.inner.settings;
        let set = Set::read(&settings.policies, &settings.approver)?;
        let change = self.inner.in_force.change();
        let in_force = change.sources();
        if *set.sources == *in_force {
            return change.take(in_force, tools(), self.maker());
        }
        let folder = &settings.policies;
        if !folder.exists() {
            // WHY: a folder that is being moved or remounted does not mean that its rules are withdrawn.
            let detail = format!("The policy folder `{}` is gone.", folder.display());
            return Err(Error::new(Code::Misconfigured).detail(detail));
        }
        let settled = before.as_ref() == Some(&set);
        let sources = set.sources.clone();
        watch.set = Some(set);
        // WHY: until then the folder counts as unchanged, and earlier reports about it stand.
        let (sources, taken) = if settled { (sources.into(), tools()) } else { (in_force, tools()) };
        change.take(sources, taken, self.maker())
    }

    /// Returns the function that compiles a set of texts for this installation.
    fn maker(&self) -> impl Fn(&[Source], &[ToolSpec]) -> Result<Snapshot, String> {
        let names = &self.inner.settings.names;
        move |sources, tools| {
            Snapshot::compile_among(sources, tools, names).map_err(|problems| lines(&problems))
        }
    }
}
