//! Checkpoints: the heads of the chains, kept apart from the database.
//!
//! A chain whose end was cut off still verifies, and the holder of its key can rewrite it. Both are detected by a
//! checkpoint that was written earlier to another place: a file here, copied to a place that the operator trusts. Each
//! checkpoint is signed, so that a witness with the public key can recognise genuine ones without being able to make
//! any.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use cardea_core::{
    Code, Error, Result,
    canonical::{hex, unhex},
    log::Head,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// The head of one chain at one time, as a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Node of the chain.
    pub node: String,
    /// Number of its last entry.
    pub sequence: u64,
    /// Link of that entry, hexadecimal.
    pub link: String,
    /// When it was read.
    pub at: Timestamp,
    /// Ed25519 signature over all of the above, hexadecimal; empty without a signing key.
    #[serde(default)]
    pub signature: String,
}

impl Checkpoint {
    /// Parses a line of the file and its link.
    pub(super) fn parse(line: &[u8]) -> Option<(Self, [u8; 32])> {
        let point: Self = serde_json::from_slice(line).ok()?;
        let link = unhex(&point.link)?;
        Some((point, link))
    }

    fn signed_bytes(&self) -> Vec<u8> {
        // INVARIANT: no node name contains a line break, so no two checkpoints have the same bytes.
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
    /// Creates the key from a seed.
    ///
    /// # Errors
    /// `internal` if the seed gives no key.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        pair.map(Self).map_err(|_| Error::new(Code::Internal).because("the checkpoint key cannot be made"))
    }

    /// Returns the public key, hexadecimal: what a witness needs.
    #[must_use]
    pub fn public(&self) -> String {
        hex(self.0.public_key().as_ref())
    }

    pub(super) fn sign(&self, point: &Checkpoint) -> String {
        self.sign_bytes(&point.signed_bytes())
    }

    pub(super) fn sign_bytes(&self, bytes: &[u8]) -> String {
        hex(self.0.sign(bytes).as_ref())
    }
}

/// Returns whether the checkpoint was signed with this key.
pub(super) fn is_signed(point: &Checkpoint, public: &str) -> bool {
    is_signed_with(public, &point.signed_bytes(), &point.signature)
}

/// Returns whether this signature of these bytes was made with this key.
pub(super) fn is_signed_with(public: &str, signed: &[u8], signature: &str) -> bool {
    let (Some(key), Some(signature)) = (bytes(public), bytes(signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, key).verify(signed, &signature).is_ok()
}

/// The link of an entry, and when it was first read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    link: [u8; 32],
    at: Timestamp,
}

/// All checkpoints of a file, by node and number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoints {
    seen: BTreeMap<String, BTreeMap<u64, Seen>>,
    torn: Option<usize>,
}

impl Checkpoints {
    /// Reads the file. A missing file has no checkpoints.
    ///
    /// # Errors
    /// `misconfigured`, naming the line that cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        Self::read(path, None)
    }

    /// Does the same, and requires that each checkpoint is signed with this key.
    ///
    /// # Errors
    /// `misconfigured`, also naming a line that the key has not signed.
    pub fn load_signed(path: &Path, public: &str) -> Result<Self> {
        Self::read(path, Some(public))
    }

    fn read(path: &Path, public: Option<&str>) -> Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(path, &error)),
        };
        let (mut all, mut reader, mut line) = (Self::default(), BufReader::new(file), Vec::new());
        let (mut ours, mut foreign) = (0, None);
        for place in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(|error| unreadable(path, &error))? == 0 {
                break;
            }
            let Some((point, link)) = Checkpoint::parse(&line) else {
                if !line.ends_with(b"\n") {
                    // WHY: cutting the end of the file hides as much as half a line does; the lines before it are
                    // still true.
                    all.torn = Some(place);
                    break;
                }
                return Err(no_checkpoint(path, place));
            };
            if public.is_none_or(|public| is_signed(&point, public)) {
                ours += 1;
            } else {
                foreign.get_or_insert(place);
            }
            let seen = all.seen.entry(point.node).or_default().entry(point.sequence);
            let now = Seen { link, at: point.at };
            seen.and_modify(|seen| *seen = Seen { at: seen.at.min(point.at), ..now }).or_insert(now);
        }
        match foreign {
            None => Ok(all),
            Some(place) if ours > 0 => Err(unsigned(path, place)),
            Some(_) => Err(Error::new(Code::Misconfigured).detail(format!(
                "No line of `{}` is signed with the root key that is here: it is another one than that of this log. Bring \
                 back the `root.key` that the log was written with, or `vault.root_key`.",
                path.display()
            ))),
        }
    }

    /// Returns the number of the last line, if a broken write left only half of it.
    #[must_use]
    pub fn torn(&self) -> Option<usize> {
        self.torn
    }

    /// Returns the link that the entry with this number had, if a checkpoint recorded it.
    #[must_use]
    pub fn seen(&self, node: &str, sequence: u64) -> Option<[u8; 32]> {
        self.seen.get(node)?.get(&sequence).map(|seen| seen.link)
    }

    /// Returns the newest checkpoint of a chain.
    #[must_use]
    pub fn newest(&self, node: &str) -> Option<Head> {
        let (sequence, seen) = self.seen.get(node)?.last_key_value()?;
        Some(Head { sequence: *sequence, link: seen.link })
    }

    /// Returns the last entry of a chain that was recorded until then.
    pub(super) fn newest_until(&self, node: &str, until: Timestamp) -> Option<u64> {
        let chain = self.seen.get(node)?.iter().rev();
        chain.filter(|(_, seen)| seen.at <= until).map(|(sequence, _)| *sequence).next()
    }

    /// Returns the chains that have checkpoints.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.seen.keys().map(String::as_str)
    }
}

/// Returns the error for a line that is not a checkpoint.
pub(super) fn no_checkpoint(path: &Path, place: usize) -> Error {
    let detail = format!("Line {place} of `{}` is not a checkpoint.", path.display());
    Error::new(Code::Misconfigured).detail(detail)
}

/// Returns the error for a line that the key has not signed.
pub(super) fn unsigned(path: &Path, place: usize) -> Error {
    let detail = format!("Line {place} of `{}` is not signed by this installation.", path.display());
    Error::new(Code::Misconfigured).detail(detail)
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::Misconfigured).detail(format!("`{}`: {error}.", path.display()))
}

/// Parses a hexadecimal text.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks_exact(2);
    if !text.is_ascii() || !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
