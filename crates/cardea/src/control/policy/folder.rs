//! The policy folder: what counts as a file of it, its texts, and when a change in it is finished.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::SystemTime,
};

use cardea_core::{
    Code, Error, Result,
    policy::{Problem, Snapshot, Source},
    size::Bytes,
    tool::ToolSpec,
};

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

pub(in crate::control) fn broken(problems: &[Problem]) -> Error {
    let lines: Vec<String> = problems.iter().take(10).map(ToString::to_string).collect();
    Error::new(Code::Misconfigured).detail(format!("The policies cannot be used:\n{}", lines.join("\n")))
}

/// What whoever follows a policy folder saw there last.
#[derive(Debug, Default)]
pub struct Watch {
    set: Option<Set>,
    /// The version that was in force after the last look, and the catalogue that it was made for.
    fitted: Option<(Arc<str>, Vec<ToolSpec>)>,
}

impl Control {
    /// Reads the policy folder and takes what is in it.
    ///
    /// # Errors
    /// `misconfigured`, with every problem's file, line and column.
    pub fn adopt(&self, tools: &[ToolSpec]) -> Result<()> {
        let settings = &self.inner.settings;
        self.take(load(&settings.policies, &settings.approver)?, tools)
    }

    /// Fits the texts in force to this catalogue. What was made for the old one stays if they do not fit.
    ///
    /// # Errors
    /// `misconfigured`, with every problem's file, line and column.
    pub fn fit(&self, tools: &[ToolSpec]) -> Result<()> {
        let sources = self.inner.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.take(sources, tools)
    }

    /// Looks at the policy folder again. A changed set is taken only if the look before has seen the very same, each
    /// file with the same time: a file that is being written is read half, and the half may lack a `forbid`. So looks
    /// must be apart.
    ///
    /// # Errors
    /// `misconfigured`, with every problem's file, line and column; the old set stays.
    pub fn follow(&self, watch: &mut Watch, tools: &[ToolSpec]) -> Result<()> {
        let before = watch.set.take();
        let settings = &self.inner.settings;
        let set = Set::read(&settings.policies, &settings.approver)?;
        let in_force = self.inner.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if set.sources == in_force {
            return self.fit_again(watch, in_force, tools);
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
        if settled { self.take(sources, tools) } else { Ok(()) }
    }

    /// Makes the texts in force once more for this catalogue, unless that is what is in force: thousands of policies take
    /// their time.
    fn fit_again(&self, watch: &mut Watch, sources: Vec<Source>, tools: &[ToolSpec]) -> Result<()> {
        let fits = |(version, known): &(Arc<str>, Vec<ToolSpec>)| {
            *version == *self.policies().version() && known.as_slice() == tools
        };
        if watch.fitted.as_ref().is_some_and(fits) {
            return Ok(());
        }
        watch.fitted = None;
        self.take(sources, tools)?;
        watch.fitted = Some((Arc::clone(self.policies().version()), tools.to_vec()));
        Ok(())
    }

    /// Puts these texts in force, made for this catalogue.
    fn take(&self, sources: Vec<Source>, tools: &[ToolSpec]) -> Result<()> {
        let names = &self.inner.settings.names;
        let snapshot =
            Snapshot::compile_among(&sources, tools, names).map_err(|problems| broken(&problems))?;
        let mut kept = self.inner.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        if now.version() != snapshot.version() {
            let names: BTreeSet<&str> = snapshot.names().collect();
            let gone: Vec<&str> = now.names().filter(|name| !names.contains(name)).collect();
            if !gone.is_empty() {
                tracing::warn!(policy.gone = ?gone, "policies that were in force are no longer there");
            }
            tracing::info!(policy.version = %snapshot.version(), policy.count = snapshot.len(), "policies adopted");
            *now = Arc::new(snapshot);
        }
        *kept = sources;
        Ok(())
    }
}
