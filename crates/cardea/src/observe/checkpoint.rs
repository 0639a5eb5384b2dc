//! Checkpoints: where the chains stood, kept apart from the database.
//!
//! A chain whose end was cut off still verifies, and whoever holds its key can write it anew. Both show against a
//! checkpoint that was written earlier to another place: a file here, copied to wherever the operator trusts. Each is
//! signed, so that a witness who has the public key can tell ours from others without being able to make one.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use cardea_core::{Code, Error, Result, canonical::hex, log::Head, time::Timestamp};
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
    /// Ed25519 over all of the above, hexadecimal; empty if nobody signs.
    #[serde(default)]
    pub signature: String,
}

impl Checkpoint {
    fn signed_bytes(&self) -> Vec<u8> {
        // INVARIANT: no node name has a line break, so no two checkpoints have the same bytes.
        format!("cardea checkpoint 1\n{}\n{}\n{}\n{}", self.node, self.sequence, self.link, self.at.0)
            .into_bytes()
    }
}

/// The key that signs checkpoints.
pub struct CheckpointKey(Ed25519KeyPair);

impl std::fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckpointKey({})", self.public())
    }
}

impl CheckpointKey {
    /// The key of this seed.
    ///
    /// # Errors
    /// `internal` if no key can be made of it.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        pair.map(Self).map_err(|_| Error::new(Code::Internal).because("the checkpoint key cannot be made"))
    }

    /// Its public half, hexadecimal: what a witness needs.
    #[must_use]
    pub fn public(&self) -> String {
        hex(self.0.public_key().as_ref())
    }

    fn sign(&self, point: &Checkpoint) -> String {
        hex(self.0.sign(&point.signed_bytes()).as_ref())
    }
}

/// True if the key with this public half has signed it.
fn is_signed(point: &Checkpoint, public: &str) -> bool {
    let (Some(key), Some(signature)) = (bytes(public), bytes(&point.signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, key).verify(&point.signed_bytes(), &signature).is_ok()
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
        Self::read(path, None)
    }

    /// The same, of checkpoints that the key with this public half has signed.
    ///
    /// # Errors
    /// `misconfigured` also names the line that the key has not signed.
    pub fn load_signed(path: &Path, public: &str) -> Result<Self> {
        Self::read(path, Some(public))
    }

    fn read(path: &Path, public: Option<&str>) -> Result<Self> {
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
            if public.is_some_and(|public| !is_signed(&point, public)) {
                let name = path.display();
                let detail = format!("Line {} of `{name}` is not signed by this installation.", place + 1);
                return Err(Error::new(Code::Misconfigured).detail(detail));
            }
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
    /// Signs checkpoints with this key from now on. The first key stays.
    pub fn sign_checkpoints(&self, key: CheckpointKey) {
        // A second key would be a second installation over the same room.
        drop(self.0.checkpoint_key.set(key));
    }

    /// Adds a line for each chain that has moved on since the last one, and waits until it is on the disk.
    ///
    /// # Errors
    /// `conflict` if a chain is shorter than it was: the database was set back or cut.
    pub async fn checkpoint(&self, path: &Path) -> Result<()> {
        let heads: Vec<(String, u64, [u8; 32])> =
            self.0.db.rows("SELECT node, seq, link FROM audit_heads ORDER BY node", args![]).await?;
        let key = self.0.checkpoint_key.get();
        let known = Checkpoints::read(path, key.map(CheckpointKey::public).as_deref())?;
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
                    let (link, at, signature) = (hex(&link), self.0.clock.now(), String::new());
                    let mut point = Checkpoint { node, sequence, link, at, signature };
                    point.signature = key.map(|key| key.sign(&point)).unwrap_or_default();
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

/// The bytes of a hexadecimal text.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks_exact(2);
    if !text.is_ascii() || !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
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
