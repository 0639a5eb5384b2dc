//! Checkpoints: where the chains stood, kept apart from the database.
//!
//! A chain whose end was cut off still verifies, and whoever holds its key can write it anew. Both show against a
//! checkpoint that was written earlier to another place: a file here, copied to wherever the operator trusts.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

use cardea_core::{Code, Error, Result, log::Head, time::Timestamp};
use cardea_store::args;
use serde::{Deserialize, Serialize};

use super::Observe;

/// Where one chain stood at one time: a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The node whose chain it is.
    pub node: String,
    /// The number of its last entry.
    pub sequence: u64,
    /// The link of that entry, hexadecimal.
    pub link: String,
    /// When it was seen.
    pub at: Timestamp,
}

/// All checkpoints of a file, by node and number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoints(BTreeMap<String, BTreeMap<u64, [u8; 32]>>);

impl Checkpoints {
    /// Reads the file. No file is no checkpoints.
    ///
    /// # Errors
    /// `misconfigured` names the line that cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(path, &error)),
        };
        let mut all = Self::default();
        for (place, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| unreadable(path, &error))?;
            let point: Option<Checkpoint> = serde_json::from_str(&line).ok();
            let point = point.and_then(|point| Some((unhex(&point.link)?, point)));
            let Some((link, point)) = point else {
                let name = path.display();
                let detail = format!("Line {} of `{name}` is not a checkpoint.", place + 1);
                return Err(Error::new(Code::Misconfigured).detail(detail));
            };
            all.0.entry(point.node).or_default().insert(point.sequence, link);
        }
        Ok(all)
    }

    /// The link that the entry with this number had, if somebody looked.
    #[must_use]
    pub fn seen(&self, node: &str, sequence: u64) -> Option<[u8; 32]> {
        self.0.get(node)?.get(&sequence).copied()
    }

    /// The newest checkpoint of a chain.
    #[must_use]
    pub fn newest(&self, node: &str) -> Option<Head> {
        let (sequence, link) = self.0.get(node)?.last_key_value()?;
        Some(Head { sequence: *sequence, link: *link })
    }

    /// The chains that somebody has seen.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Observe {
    /// Adds a line for each chain that has moved on since the last one, and waits until it is on the disk.
    ///
    /// # Errors
    /// `conflict` if a chain is shorter than it was: the database was set back or cut.
    pub async fn checkpoint(&self, path: &Path) -> Result<()> {
        let heads: Vec<(String, u64, [u8; 32])> =
            self.0.db.rows("SELECT node, seq, link FROM audit_heads ORDER BY node", args![]).await?;
        let known = Checkpoints::load(path)?;
        let mut lines = Vec::new();
        for (node, sequence, link) in heads {
            match known.newest(&node) {
                Some(last) if last.sequence > sequence => {
                    return Err(Error::new(Code::Conflict).detail(format!(
                        "The audit log of `{node}` ends at entry {sequence}, but entry {} was seen before.",
                        last.sequence
                    )));
                }
                Some(last) if last.sequence == sequence => {}
                _ => {
                    let point = Checkpoint { node, sequence, link: hex(&link), at: self.0.clock.now() };
                    let line = serde_json::to_vec(&point)
                        .map_err(|error| Error::new(Code::Internal).because(error))?;
                    lines.extend(line);
                    lines.push(b'\n');
                }
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        let owned = path.to_owned();
        let written = tokio::task::spawn_blocking(move || append(&owned, &lines)).await;
        let written = written.map_err(|error| Error::new(Code::Internal).because(error))?;
        written.map_err(|error| unreadable(path, &error))
    }
}

fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(lines)?;
    file.sync_data()
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::Misconfigured).detail(format!("`{}`: {error}.", path.display()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
