//! Verifies a log from its first line to its last and names the first that does not hold.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
};

use cardea_core::{
    canonical::unhex,
    log::{Broken, Head, Verifier},
    secret::{SecretString, WeakSecret},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry was changed, removed, moved or cut off.
    #[error(transparent)]
    Chain(Broken),
    /// A line is not an entry.
    #[error("line {0} is not an entry of the log")]
    Line(u64),
    /// The key cannot be the one that the log was written with.
    #[error("the key {0}")]
    Key(#[from] WeakSecret),
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Unread(io::ErrorKind),
}

#[derive(Deserialize)]
struct Line<'a> {
    seq: u64,
    link: &'a str,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// Result of a successful verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Number of its last entry.
    pub sequence: u64,
    /// True if an incomplete line follows: it is being written, or was interrupted by a crash. It was never
    /// acknowledged, so it does not count. Only a checkpoint can prove that nothing was cut off with it.
    pub is_torn: bool,
}

/// Verifies a log with its key and, if there is one, its checkpoint.
///
/// # Errors
/// [`Fault`] names the first entry that does not hold.
pub fn verify(log: &Path, checkpoint: Option<&Path>, key: &SecretString) -> Result<Held, Fault> {
    let log = File::open(log).map_err(unread)?;
    // INVARIANT: read before the log, which a server may be writing: the checkpoint is never ahead of it.
    let seen = checkpoint.map(read_checkpoint).transpose().map_err(unread)?.flatten();
    let read = lines(log, Verifier::new(super::chain_key(key)?, seen))?;
    Ok(Held { sequence: read.head.sequence, is_torn: read.is_torn })
}

/// Content of a log.
pub(super) struct Lines {
    pub(super) head: Head,
    /// Size of its complete lines in bytes.
    pub(super) length: u64,
    pub(super) is_torn: bool,
}

/// Verifies line by line, so that a log may be larger than memory. An incomplete last line is left out.
pub(super) fn lines(log: impl Read, mut verifier: Verifier) -> Result<Lines, Fault> {
    let (mut log, mut line, mut length) = (BufReader::new(log), Vec::new(), 0_u64);
    let mut is_torn = false;
    for at in 1_u64.. {
        line.clear();
        let read = log.read_until(b'\n', &mut line).map_err(unread)?;
        if line.pop_if(|last| *last == b'\n').is_none() {
            is_torn = read > 0;
            break;
        }
        length = length.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if line.is_empty() {
            continue;
        }
        let line: Line<'_> = serde_json::from_slice(&line).map_err(|_| Fault::Line(at))?;
        let link = unhex(line.link).ok_or(Fault::Line(at))?;
        verifier.push(line.seq, line.entry.get().as_bytes(), &link)?;
    }
    Ok(Lines { head: verifier.finish()?, length, is_torn })
}

fn unread(error: io::Error) -> Fault {
    Fault::Unread(error.kind())
}

/// Reads the checkpoint, if the file exists.
pub(super) fn read_checkpoint(path: &Path) -> io::Result<Option<Head>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let (sequence, link) = text.trim().split_once(' ').ok_or_else(bad)?;
    let sequence = sequence.parse().map_err(|_| bad())?;
    Ok(Some(Head { sequence, link: unhex(link).ok_or_else(bad)? }))
}
