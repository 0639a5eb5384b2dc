//! A model of a power cut: what was written after the last sync of its file may be on the disk completely, in part, or
//! not at all.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::kill::Dice;

/// Disks write whole sectors.
const SECTOR: usize = 512;

/// An operation of a process.
#[derive(Debug, Clone)]
enum Did {
    Write {
        file: PathBuf,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        file: PathBuf,
        length: usize,
    },
    Sync {
        file: PathBuf,
    },
    /// Output that the outside world has seen.
    Said(Vec<u8>),
}

/// All operations of a process on its database files, and its output, in order.
#[derive(Debug, Clone)]
pub struct Trace(Vec<Did>);

impl Trace {
    pub(super) fn read(file: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(file)?;
        let mut rest = bytes.as_slice();
        let mut did = Vec::new();
        // The process was killed, so the last line may be incomplete: it ends the list.
        while let Some(one) = next(&mut rest) {
            did.push(one);
        }
        Ok(Self(did))
    }

    /// Returns the number of moments at which the power may fail.
    #[must_use]
    pub fn moments(&self) -> u64 {
        self.0.len() as u64
    }

    /// Returns the number of syncs: a trace without any proves nothing.
    #[must_use]
    pub fn syncs(&self) -> usize {
        self.0.iter().filter(|did| matches!(did, Did::Sync { .. })).count()
    }

    /// Takes the files of `from` (in their state before the process started), cuts the power at this moment, and
    /// writes to `to` what the disk may then contain. Returns the output up to that moment.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn cut(&self, moment: u64, dice: &mut Dice, (from, to): (&Path, &Path)) -> io::Result<String> {
        let mut files: BTreeMap<&Path, Vec<u8>> = BTreeMap::new();
        let mut loose: BTreeMap<&Path, Vec<&Did>> = BTreeMap::new();
        let mut said = Vec::new();
        let until = usize::try_from(moment).unwrap_or(usize::MAX).min(self.0.len());
        for did in self.0.iter().take(until) {
            match did {
                Did::Said(bytes) => said.extend_from_slice(bytes),
                Did::Write { file, .. } | Did::Cut { file, .. } => {
                    loose.entry(file.as_path()).or_default().push(did);
                }
                Did::Sync { file } => {
                    let held = held(&mut files, file, from)?;
                    loose.remove(file.as_path()).into_iter().flatten().for_each(|did| apply(held, did, None));
                }
            }
        }
        for (file, done) in loose {
            let held = held(&mut files, file, from)?;
            for did in done {
                if dice.below(2) == 0 {
                    apply(held, did, Some(dice));
                }
            }
        }
        for entry in std::fs::read_dir(from)?.flatten() {
            if !entry.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        for (file, bytes) in files {
            std::fs::write(to.join(file.file_name().unwrap_or_default()), bytes)?;
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

/// Returns the bytes of a file that are on the disk for certain.
fn held<'a, 'f>(
    files: &'a mut BTreeMap<&'f Path, Vec<u8>>,
    file: &'f Path,
    from: &Path,
) -> io::Result<&'a mut Vec<u8>> {
    if !files.contains_key(file) {
        let before = from.join(file.file_name().unwrap_or_default());
        let bytes = if before.exists() { std::fs::read(before)? } else { Vec::new() };
        files.insert(file, bytes);
    }
    Ok(files.entry(file).or_default())
}

/// Applies an operation to the bytes; with dice, each sector of a write arrives or not.
fn apply(held: &mut Vec<u8>, did: &Did, mut dice: Option<&mut Dice>) {
    match did {
        Did::Cut { length, .. } => held.resize(*length, 0),
        Did::Write { at, bytes, .. } => {
            for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                if dice.as_mut().is_some_and(|dice| dice.below(3) == 0) {
                    continue;
                }
                let start = at + number * SECTOR;
                let end = start + sector.len();
                if held.len() < end {
                    held.resize(end, 0);
                }
                if let Some(place) = held.get_mut(start..end) {
                    place.copy_from_slice(sector);
                }
            }
        }
        Did::Sync { .. } | Did::Said(_) => {}
    }
}

/// Parses one line of the trace, as written by `faults.c`.
fn next(rest: &mut &[u8]) -> Option<Did> {
    let (head, tail) = rest.split_at_checked(21)?;
    let number = |from: usize| Some(u64::from_ne_bytes(head.get(from..from + 8)?.try_into().ok()?));
    let name = u32::from_ne_bytes(head.get(1..5)?.try_into().ok()?);
    let (at, count) = (usize::try_from(number(5)?).ok()?, usize::try_from(number(13)?).ok()?);
    let (name, tail) = tail.split_at_checked(usize::try_from(name).ok()?)?;
    let (bytes, tail) = tail.split_at_checked(count)?;
    let file = PathBuf::from(String::from_utf8_lossy(name).into_owned());
    let did = match head.first()? {
        b'W' => Did::Write { file, at, bytes: bytes.to_vec() },
        b'T' => Did::Cut { file, length: at },
        b'S' => Did::Sync { file },
        _ => Did::Said(bytes.to_vec()),
    };
    *rest = tail;
    Some(did)
}
