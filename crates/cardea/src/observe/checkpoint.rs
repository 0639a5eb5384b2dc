//! Checkpoints: where the chains stood, kept apart from the database.
//!
//! A chain whose end was cut off still verifies, and whoever holds its key can write it anew. Both show against a
//! checkpoint that was written earlier to another place: a file here, copied to wherever the operator trusts. Each is
//! signed, so that a witness who has the public key can tell ours from others without being able to make one.

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
    /// The checkpoint in a line of the file, with its link.
    pub(super) fn parse(line: &[u8]) -> Option<(Self, [u8; 32])> {
        let point: Self = serde_json::from_slice(line).ok()?;
        let link = unhex(&point.link)?;
        Some((point, link))
    }

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

    pub(super) fn sign(&self, point: &Checkpoint) -> String {
        self.sign_bytes(&point.signed_bytes())
    }

    pub(super) fn sign_bytes(&self, bytes: &[u8]) -> String {
        hex(self.0.sign(bytes).as_ref())
    }
}

/// True if the key with this public half has signed it.
pub(super) fn is_signed(point: &Checkpoint, public: &str) -> bool {
    is_signed_with(public, &point.signed_bytes(), &point.signature)
}

/// True if this signature of these bytes was made by the key with this public half.
pub(super) fn is_signed_with(public: &str, signed: &[u8], signature: &str) -> bool {
    let (Some(key), Some(signature)) = (bytes(public), bytes(signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, key).verify(signed, &signature).is_ok()
}

/// The link of an entry, and when it was first looked at.
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
        let (mut all, mut reader, mut line) = (Self::default(), BufReader::new(file), Vec::new());
        let (mut ours, mut foreign) = (0, None);
        for place in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(|error| unreadable(path, &error))? == 0 {
                break;
            }
            let Some((point, link)) = Checkpoint::parse(&line) else {
                if !line.ends_with(b"\n") {
                    // WHY: whoever cuts the end of the file hides as much as half a line does; nothing before it is less
                    // true for that.
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

    /// The number of the last line, if it is half a one: a write that was broken off.
    #[must_use]
    pub fn torn(&self) -> Option<usize> {
        self.torn
    }

    /// The link that the entry with this number had, if somebody looked.
    #[must_use]
    pub fn seen(&self, node: &str, sequence: u64) -> Option<[u8; 32]> {
        self.seen.get(node)?.get(&sequence).map(|seen| seen.link)
    }

    /// The newest checkpoint of a chain.
    #[must_use]
    pub fn newest(&self, node: &str) -> Option<Head> {
        let (sequence, seen) = self.seen.get(node)?.last_key_value()?;
        Some(Head { sequence: *sequence, link: seen.link })
    }

    /// The last entry of a chain that was seen until then.
    pub(super) fn newest_until(&self, node: &str, until: Timestamp) -> Option<u64> {
        let chain = self.seen.get(node)?.iter().rev();
        chain.filter(|(_, seen)| seen.at <= until).map(|(sequence, _)| *sequence).next()
    }

    /// The chains that somebody has seen.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.seen.keys().map(String::as_str)
    }
}

/// The refusal of a line that is none of ours.
pub(super) fn no_checkpoint(path: &Path, place: usize) -> Error {
    let detail = format!("Line {place} of `{}` is not a checkpoint.", path.display());
    Error::new(Code::Misconfigured).detail(detail)
}

/// The refusal of a line that the key has not signed.
pub(super) fn unsigned(path: &Path, place: usize) -> Error {
    let detail = format!("Line {place} of `{}` is not signed by this installation.", path.display());
    Error::new(Code::Misconfigured).detail(detail)
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
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
