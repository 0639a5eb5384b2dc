//! The root key: its sources, and the keys derived from it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cardea_core::{
    Code, Error, Result,
    canonical::hex,
    log::ChainKey,
    secret::{ExposeSecret, SecretString},
    units::SecretText,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{derive::derive, people::People};

/// Name of the file in the data folder, used if the configuration sets no key.
const FILE: &str = "root.key";

/// `[vault]`: encryption of secrets at rest.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Root key: 32 bytes in base64. If absent, it is created at the first start and kept in `data.dir`, readable by
    /// its owner only.
    #[schemars(with = "Option<SecretText>")]
    pub root_key: Option<SecretString>,
    /// Root keys from before a rotation, oldest first. They still open what was sealed under them, and the oldest one
    /// still proves the audit log.
    #[schemars(with = "Vec<SecretText>")]
    pub old_root_keys: Vec<SecretString>,
}

struct Key {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

/// All root keys, oldest first. The last one seals.
pub struct RootKey {
    older: Vec<Key>,
    newest: Key,
    people: People,
    added: Added,
}

/// Keys that were added to the file since the start, since another node may seal under them already. They open here at
/// once, and seal from the next start on.
#[derive(Default)]
struct Added {
    file: Option<PathBuf>,
    found: Mutex<(Option<Instant>, Vec<Key>)>,
}

/// Shortest time between two reads of the file.
const LOOK: Duration = Duration::from_secs(1);

impl Added {
    fn wrapping(&self, id: &str, row: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |keys: &[Key]| keys.iter().find(|key| key.id == id).map(|key| key.wrapping(row));
        if let Some(wrapping) = known(&found.1) {
            return Some(wrapping);
        }
        let (looked, file) = (found.0, self.file.as_ref()?);
        if looked.is_some_and(|at| at.elapsed() < LOOK) {
            return None;
        }
        found.0 = Some(Instant::now());
        let texts = read(file).ok().flatten()?;
        found.1 = keys(&texts).ok()?;
        known(&found.1)
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootKey({})", self.newest.id)
    }
}

impl RootKey {
    /// Loads the root key of the configuration, else the one in the data folder, which is created if it does not
    /// exist. Without a data folder on disk (a database in memory), set a key in the configuration.
    ///
    /// # Errors
    /// `misconfigured` if a key is not 32 bytes in base64, or if the file cannot be read, can be read by others, or
    /// cannot be created.
    pub fn load(config: &Config, data_dir: &Path) -> Result<Self> {
        let texts = match &config.root_key {
            Some(newest) => {
                let older = config.old_root_keys.iter();
                Zeroizing::new(older.chain([newest]).fold(String::new(), |mut all, key| {
                    all.push_str(key.expose_secret().trim());
                    all.push('\n');
                    all
                }))
            }
            None if !config.old_root_keys.is_empty() => {
                return Err(wrong("`vault.old_root_keys` is set, but not `vault.root_key`"));
            }
            None => from_file(&data_dir.join(FILE))?,
        };
        let mut parsed = Self::parse(&texts, data_dir);
        let file = data_dir.join(FILE);
        if let (Ok(root), None) = (&mut parsed, &config.root_key) {
            root.added.file = Some(file.clone());
        }
        match config.root_key {
            Some(_) => parsed,
            None => parsed.map_err(|error| {
                error.detail(format!(
                    "`{}` must hold root keys, each on a line: 32 bytes in base64.",
                    file.display()
                ))
            }),
        }
    }

    /// Returns whether there is a root key, so that [`RootKey::load`] creates none.
    #[must_use]
    pub fn is_there(config: &Config, data_dir: &Path) -> bool {
        config.root_key.is_some() || data_dir.join(FILE).exists()
    }

    fn parse(texts: &str, data_dir: &Path) -> Result<Self> {
        let mut keys = keys(texts)?;
        let newest = keys.pop().ok_or_else(|| wrong("the root key is empty"))?;
        Ok(Self { older: keys, newest, people: People::in_folder(data_dir), added: Added::default() })
    }

    /// Adds a new root key to the file in the data folder; the older ones stay in it. Afterwards, restart and let
    /// [`super::Vault::rotate`] rewrap the data keys.
    ///
    /// # Errors
    /// `misconfigured` if there is no such file, or it cannot be replaced.
    pub fn rotate_file(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(FILE);
        let replaceable = |cause| wrong(&format!("`{}` cannot be replaced", path.display())).because(cause);
        // One at a time: what is read here must still be there when it is replaced.
        let place = data_dir.join(format!("{FILE}.lock"));
        let lock = fs::File::options().create(true).append(true).open(&place).map_err(replaceable)?;
        owned_as(&path, &place).map_err(replaceable)?;
        lock.lock().map_err(replaceable)?;
        let mut texts = read(&path)?.ok_or_else(|| wrong("there is no root key in the data folder"))?;
        Self::parse(&texts, data_dir)?;
        if !texts.ends_with('\n') {
            // A file written by hand may lack the last line break, and the last key must stay separate.
            texts.push('\n');
        }
        texts.push_str(&fresh()?);
        // WHY: parsed before it replaces the only copy.
        let rotated = Self::parse(&texts, data_dir)?;
        let next = data_dir.join(format!("{FILE}.new"));
        let _leftover = fs::remove_file(&next);
        let replaced = write_new(&next, &texts).and_then(|()| owned_as(&path, &next));
        if let Err(cause) = replaced.and_then(|()| fs::rename(&next, &path)).and_then(|()| sync(&path)) {
            let _draft = fs::remove_file(&next);
            return Err(replaceable(cause));
        }
        Ok(rotated)
    }

    /// Returns the public name of the newest key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.newest.id
    }

    /// Returns the public name of the oldest key, with which the installation began.
    #[must_use]
    pub fn first_id(&self) -> &str {
        &self.older.first().unwrap_or(&self.newest).id
    }

    /// Returns the key of the audit chain. It is derived from the oldest root key, so a rotation does not break the
    /// chain.
    #[must_use]
    pub fn chain_key(&self) -> ChainKey {
        let oldest = self.older.first().unwrap_or(&self.newest);
        ChainKey::new(&derive(&oldest.bytes, b"cardea audit chain 1", b""))
    }

    /// Returns the seed of the key that signs audit checkpoints. It is derived from the oldest root key as well.
    #[must_use]
    pub fn checkpoint_seed(&self) -> Zeroizing<[u8; 32]> {
        let oldest = self.older.first().unwrap_or(&self.newest);
        derive(&oldest.bytes, b"cardea audit checkpoints 1", b"")
    }

    /// Returns a hexadecimal digest that only this installation can compute. It tells texts apart that are not kept.
    pub(super) fn digest(&self, text: &str) -> String {
        let oldest = self.older.first().unwrap_or(&self.newest);
        hex(derive(&oldest.bytes, b"cardea digest 1", text.as_bytes()).as_ref())
    }

    /// Returns the proof of a decision about an approval, hexadecimal.
    pub(super) fn approval_mac(&self, decided: &str) -> String {
        let oldest = self.older.first().unwrap_or(&self.newest);
        hex(derive(&oldest.bytes, b"cardea approvals 1", decided.as_bytes()).as_ref())
    }

    /// Remembers the present folder with the keys of people.
    pub(super) async fn hold_people(&mut self) {
        self.people.hold().await;
    }

    /// Returns the keys of people.
    pub(super) fn people(&self) -> &People {
        &self.people
    }

    /// Returns the key that wraps the data key of one row; `None` if the root key with this id is missing.
    pub(super) fn wrapping(&self, id: &str, row: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        match self.older.iter().chain([&self.newest]).find(|key| key.id == id) {
            Some(key) => Some(key.wrapping(row)),
            None => self.added.wrapping(id, row),
        }
    }
}

/// Parses the keys of a file, oldest first.
fn keys(texts: &str) -> Result<Vec<Key>> {
    texts.lines().map(str::trim).filter(|line| !line.is_empty()).map(Key::parse).collect()
}

impl Key {
    fn wrapping(&self, row: &[u8]) -> Zeroizing<[u8; 32]> {
        derive(&self.bytes, b"cardea vault wrap 1", row)
    }

    fn parse(text: &str) -> Result<Self> {
        let decoded = Zeroizing::new(STANDARD.decode(text).unwrap_or_default());
        let mut bytes = Zeroizing::new([0; 32]);
        if decoded.len() != bytes.len() {
            return Err(wrong("a root key is not 32 bytes in base64"));
        }
        bytes.copy_from_slice(&decoded);
        let id = derive(&bytes, b"cardea root key id 1", b"");
        Ok(Self { id: hex(id.get(..8).unwrap_or_default()), bytes })
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<String>> {
    if let Some(texts) = read(path)? {
        return Ok(texts);
    }
    let text = fresh()?;
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| write_new(path, &text));
    match made {
        Ok(()) => Ok(text),
        // Another process created it at the same moment: that key counts.
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| wrong("the root key vanished"))
        }
        Err(cause) => Err(wrong(&format!("`{}` cannot be made", path.display())).because(cause)),
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>> {
    let unreadable = |cause| wrong(&format!("`{}` cannot be read", path.display())).because(cause);
    let facts = match fs::metadata(path) {
        Ok(facts) => facts,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(unreadable(cause)),
    };
    if open_to_others(&facts) {
        return Err(wrong(&format!(
            "`{}` can be read by others: run `chmod 600` on it. If a volume of Kubernetes \
             with `fsGroup` opens it at each mount, set `fsGroupChangePolicy: OnRootMismatch`, or give the key as \
             `vault.root_key`",
            path.display()
        )));
    }
    fs::read_to_string(path).map(|text| Some(Zeroizing::new(text))).map_err(unreadable)
}

#[cfg(unix)]
fn open_to_others(facts: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    facts.mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn open_to_others(_: &fs::Metadata) -> bool {
    false
}

/// Writes a new file that only its owner can read. It is completed under another name first: a crash half way must not
/// leave a short key behind.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = path.with_extension(format!("{:032x}", cardea_core::id::random_bits()));
    let written = write_draft(&draft, text).and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    written.and_then(|()| sync(path))
}

/// Makes the names in the folder of this file durable.
#[cfg(unix)]
fn sync(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Gives a file the owner of another one: the service must be able to read what an administrator creates.
#[cfg(unix)]
fn owned_as(other: &Path, file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let Ok(wanted) = fs::metadata(other) else { return Ok(()) }; // reported by the reader of the file
    let is = fs::metadata(file)?;
    if (is.uid(), is.gid()) == (wanted.uid(), wanted.gid()) {
        return Ok(());
    }
    chown(file, Some(wanted.uid()), Some(wanted.gid()))
}

#[cfg(not(unix))]
fn owned_as(_: &Path, _: &Path) -> std::io::Result<()> {
    Ok(())
}

fn write_draft(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn fresh() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::fill(bytes.as_mut()).map_err(|_| Error::new(Code::Internal).because("no random numbers"))?;
    let mut text = Zeroizing::new(STANDARD.encode(bytes.as_ref()));
    text.push('\n');
    Ok(text)
}

fn wrong(what: &str) -> Error {
    Error::new(Code::Misconfigured).detail(format!(
        "{}{}.",
        what.get(..1).unwrap_or_default().to_uppercase(),
        what.get(1..).unwrap_or_default()
    ))
}
