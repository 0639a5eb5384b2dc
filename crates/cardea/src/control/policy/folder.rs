//! The policy folder: what counts as a file of it, its texts, and when a change in it is finished.

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

/// The largest file of a policy folder.
const LARGEST: Bytes = Bytes::mib(1);

/// What some editors write before a text, and no reader sees.
const MARK: char = '\u{feff}';

/// The files of a folder whose names end so, sorted. What editors and copying programs leave beside a file (`.x.cedar`,
/// `~x.cedar`) is none of them.
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

/// The text of a file in a policy folder, if it is one and no larger than such files may be.
///
/// # Errors
/// Those of reading; `InvalidData` for what is no file, and for what is too large.
pub fn text(path: &Path) -> io::Result<String> {
    Ok(read(path)?.0)
}

/// The same, with the time at which it was last written.
fn read(path: &Path) -> io::Result<(String, Option<SystemTime>)> {
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let facts = path.metadata()?;
    if !facts.is_file() {
        return refuse("it is no file".to_owned());
    }
    let mut text = String::new();
    // WHY: by what is read, not by what it is said to have: it may grow while it is read.
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
    /// When each of the files was last written.
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
            // WHY: a folder that cannot be read for a moment is not one without policies: a `forbid` would be gone.
            Err(error) => return Err(unread(folder, error)),
        };
        for path in files {
            let (text, written) = read(&path).map_err(|error| unread(&path, error))?;
            if text.trim().is_empty() {
                // WHY: whoever copies a file empties it first. A file that shall not count is taken away.
                return Err(unread(&path, io::Error::new(io::ErrorKind::InvalidData, "it is empty")));
            }
            set.sources.push(Source::new(path.display().to_string(), text));
            set.written.push(written);
        }
        Ok(set)
    }
}

/// The texts of a policy folder, sorted by name, and the built-in one, which the role `approver` may lift. A folder that is
/// not there is an empty one.
///
/// # Errors
/// `misconfigured` if a file cannot be read, or is empty.
pub fn load(folder: &Path, approver: &str) -> Result<Vec<Source>> {
    Ok(Set::read(folder, approver)?.sources)
}

/// The first ten of them, a line each.
pub(super) fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().take(10).map(ToString::to_string).collect();
    lines.join("\n")
}

/// What whoever follows a policy folder saw there last.
#[derive(Debug, Default)]
pub struct Watch {
    set: Option<Set>,
}

impl Control {
    /// Reads the policy folder and takes what is in it.
    ///
    /// # Errors
    /// `misconfigured`, with every problem's file, line and column.
    pub fn adopt(&self, tools: Vec<ToolSpec>) -> Result<()> {
        let settings = &self.inner.settings;
        let sources = load(&settings.policies, &settings.approver)?;
        self.inner.in_force.change().take(sources.into(), tools, self.maker()).map(drop)
    }

    /// Fits the texts in force to the catalogue of now, unless they are made for it already, and says which server had to be
    /// left out. What was made for the old one stays if they do not fit. Thousands of policies take their time: no thread
    /// that serves requests has it.
    ///
    /// # Errors
    /// `misconfigured`, with every problem's file, line and column.
    pub fn fit(&self, tools: impl FnOnce() -> Vec<ToolSpec>) -> Result<Option<LeftOut>> {
        let change = self.inner.in_force.change();
        let sources = change.sources();
        change.take(sources, tools(), self.maker())
    }

    /// Looks at the policy folder again. A changed set is taken only if the look before has seen the very same, each
    /// file with the same time: a file that is being written is read half, and the half may lack a `forbid`. So looks
    /// must be apart. Says which server is left out.
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
            // WHY: a folder that is being moved or mounted anew is no wish to live without its rules.
            let detail = format!("The policy folder `{}` is gone.", folder.display());
            return Err(Error::new(Code::Misconfigured).detail(detail));
        }
        let settled = before.as_ref() == Some(&set);
        let sources = set.sources.clone();
        watch.set = Some(set);
        // WHY: until then it is as it was, and what is said of it stays as well.
        let (sources, taken) = if settled { (sources.into(), tools()) } else { (in_force, tools()) };
        change.take(sources, taken, self.maker())
    }

    /// What makes a set of texts, for this installation.
    fn maker(&self) -> impl Fn(&[Source], &[ToolSpec]) -> Result<Snapshot, String> {
        let names = &self.inner.settings.names;
        move |sources, tools| {
            Snapshot::compile_among(sources, tools, names).map_err(|problems| lines(&problems))
        }
    }
}
