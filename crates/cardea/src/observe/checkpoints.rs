//! The file of checkpoints, as written by the server: a line for each chain that has grown, and never half a line.
//!
//! Only the newest line of each chain is remembered. The file is read once; after that only what other nodes have
//! added.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::PoisonError,
};

use cardea_core::{Code, Error, Result, canonical::hex};
use cardea_store::{Db, args};

use super::{
    Observe,
    checkpoint::{Checkpoint, CheckpointKey, Checkpoints, is_signed, no_checkpoint, unreadable, unsigned},
};

/// A chain and its head.
type Chain = (String, u64, [u8; 32]);

/// A chain of which the file has recorded more than the database heads showed.
struct Behind {
    node: String,
    /// Last entry that the file has recorded.
    seen: u64,
}

/// What is known of the file.
#[derive(Debug, Default, Clone)]
pub(super) struct Written {
    path: PathBuf,
    /// Number of the last recorded entry of each chain.
    newest: BTreeMap<String, u64>,
    /// Bytes of the file that were read or written.
    bytes: u64,
    /// Lines in them.
    lines: usize,
}

impl Observe {
    /// Signs checkpoints with this key from now on. The first key stays.
    pub fn sign_checkpoints(&self, key: CheckpointKey) {
        // A second key would mean a second installation on the same room.
        drop(self.0.checkpoint_key.set(key));
    }

    /// Adds a line for each chain that has grown since the last one, and waits until it is on the disk.
    ///
    /// # Errors
    /// `conflict` if a chain is shorter than it was: the database was restored or cut. `misconfigured` if the file
    /// cannot be read or written, or was changed by someone else.
    pub async fn checkpoint(&self, path: &Path) -> Result<()> {
        let sql = "SELECT node, seq, link FROM audit_heads ORDER BY node";
        let mut behind: Option<Behind> = None;
        loop {
            let heads: Vec<Chain> = self.0.db.rows(sql, args![]).await?;
            // WHY: another node may have added its line after the heads were read and before the file was locked. The
            // database has by now what the file had recorded by then, unless it was restored.
            if let Some(Behind { node, seen }) = &behind {
                let ends =
                    heads.iter().find(|(known, ..)| known == node).map_or(0, |(_, sequence, _)| *sequence);
                if ends < *seen {
                    return Err(Error::new(Code::Conflict).detail(format!(
                        "The audit log of `{node}` ends at entry {ends}, but `{}` has seen entry {seen}: the database is older \
                         than it, or was cut.",
                        path.display(),
                    )));
                }
            }
            let (room, path) = (self.clone(), path.to_owned());
            let written = tokio::task::spawn_blocking(move || room.write_down(&path, heads)).await;
            behind = written.map_err(|error| Error::new(Code::Internal).because(error))??;
            if behind.is_none() {
                return Ok(());
            }
        }
    }

    /// Adds the lines, or none of them if the file has recorded more of a chain.
    fn write_down(&self, path: &Path, heads: Vec<Chain>) -> Result<Option<Behind>> {
        let mut kept = self.0.written.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.path != path || !path.exists() {
            *kept = Written { path: path.to_owned(), ..Written::default() };
        }
        if heads.is_empty() && !path.exists() {
            return Ok(None);
        }
        let told = |error: io::Error| unreadable(path, &error);
        let mut file = open(path).map_err(told)?;
        // WHY: nodes that share the folder write to the same file, and a line that is being written looks torn. A file
        // system without locks must not be shared.
        let _unlocked_when_closed = file.lock();
        let key = self.0.checkpoint_key.get();
        // If the rest of the file turns out bad, nothing that was read of it counts.
        let mut known = kept.clone();
        known.catch_up(&mut file, key.map(CheckpointKey::public).as_deref())?;
        let mut lines = Vec::new();
        for (node, sequence, link) in heads {
            match known.newest.get(&node) {
                Some(last) if *last > sequence => return Ok(Some(Behind { node, seen: *last })),
                Some(last) if *last == sequence => continue,
                _ => known.newest.insert(node.clone(), sequence),
            };
            let (link, at, signature) = (hex(&link), self.0.clock.now(), String::new());
            let mut point = Checkpoint { node, sequence, link, at, signature };
            point.signature = key.map(|key| key.sign(&point)).unwrap_or_default();
            serde_json::to_writer(&mut lines, &point)
                .map_err(|error| Error::new(Code::Internal).because(error))?;
            lines.push(b'\n');
            known.lines += 1;
        }
        if !lines.is_empty() {
            known.bytes += lines.len() as u64;
            add(&mut file, |file| file.write_all(&lines)).map_err(told)?;
        }
        *kept = known;
        Ok(None)
    }
}

/// Finds a chain that is shorter in the database than a checkpoint recorded: its node, its last entry, and the
/// recorded one. Such a database is an older copy, or was cut.
///
/// # Errors
/// Store errors.
pub async fn is_behind(db: &Db, seen: &Checkpoints) -> Result<Option<(String, u64, u64)>> {
    let heads: Vec<(String, u64)> = db.rows("SELECT node, seq FROM audit_heads", args![]).await?;
    let heads: BTreeMap<String, u64> = heads.into_iter().collect();
    let ends = |node: &str| heads.get(node).copied().unwrap_or(0);
    let behind = seen.nodes().find_map(|node| {
        let newest = seen.newest(node)?.sequence;
        (newest > ends(node)).then(|| (node.to_owned(), ends(node), newest))
    });
    Ok(behind)
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).read(true).append(true).open(path)
}

/// Appends to the file, or leaves it at its length: half a line would spoil everything after it.
fn add(file: &mut File, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written = write(file).and_then(|()| file.sync_data());
    if written.is_err()
        && let Err(error) = file.set_len(before)
    {
        tracing::warn!(error = %error, "half a line is left at the end of the checkpoints");
    }
    written
}

impl Written {
    /// Reads what was added since the last call. Half a line at the end, left by an interrupted process, is cut off.
    fn catch_up(&mut self, file: &mut File, public: Option<&str>) -> Result<()> {
        let path = self.path.clone();
        let told = |error: io::Error| unreadable(&path, &error);
        let length = file.metadata().map_err(told)?.len();
        if length < self.bytes {
            *self = Self { path: path.clone(), ..Self::default() };
        }
        if length == self.bytes {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.bytes)).map_err(told)?;
        let (mut reader, mut line) = (BufReader::new(&*file), Vec::new());
        let mut last: BTreeMap<String, (usize, Checkpoint)> = BTreeMap::new();
        loop {
            line.clear();
            let size = reader.read_until(b'\n', &mut line).map_err(told)?;
            if size == 0 {
                break;
            }
            let place = self.lines + 1;
            let whole = line.ends_with(b"\n");
            match Checkpoint::parse(&line) {
                Some((point, _)) if whole => drop(last.insert(point.node.clone(), (place, point))),
                _ if whole => return Err(no_checkpoint(&path, place)),
                _ => {
                    tracing::warn!(
                        checkpoint.line = place,
                        "half a line is cut from the end of the checkpoints"
                    );
                    file.set_len(self.bytes).map_err(told)?;
                    break;
                }
            }
            (self.bytes, self.lines) = (self.bytes + size as u64, place);
        }
        for (place, point) in last.into_values() {
            // Only these lines are relied on here; `audit verify` checks all of them.
            if public.is_some_and(|public| !is_signed(&point, public)) {
                return Err(unsigned(&path, place));
            }
            self.newest.insert(point.node, point.sequence);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_half_way_leaves_the_file_as_long_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept/points");
        let mut file = open(&path).unwrap();
        add(&mut file, |file| file.write_all(b"a line\n")).unwrap();
        let full = add(&mut file, |file| {
            file.write_all(b"half a li")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a line\n");
        add(&mut file, |file| file.write_all(b"the next\n")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a line\nthe next\n");
    }
}
