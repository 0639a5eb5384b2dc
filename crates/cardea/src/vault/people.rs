//! The keys of people: what their secrets are sealed under beside the root key.
//!
//! They lie in files of their own, outside the database, so a backup of the database is worth nothing for somebody whose
//! key was destroyed. Nodes that share a database must share this folder; a backup of it must not be kept for longer
//! than somebody who was erased may still be brought back. `folder.id` in it goes with them: by it a node sees that its
//! folder is the one.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::rand;
use cardea_core::{
    Code, Error, Result,
    canonical::sha256_hex,
    id::{TenantId, UserId, random_bits},
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::derive::derive;

/// The folder in the data folder.
pub(super) const FOLDER: &str = "people";

const LENGTH: usize = 32;

/// How long a request waits for a key.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Threads that may wait for the disk at once.
const THREADS: usize = 32;

/// The file in it that tells it from every other.
const ID: &str = "folder.id";

/// One person's key.
pub(super) struct Person {
    /// Its public name, a digest.
    pub(super) id: String,
    bytes: Zeroizing<[u8; LENGTH]>,
}

impl Person {
    /// The key that wraps for this person, made of the one that wraps for the row.
    pub(super) fn wrapping(&self, row: &[u8; LENGTH]) -> Zeroizing<[u8; LENGTH]> {
        derive(&self.bytes, b"cardea person wrap 1", row)
    }
}

/// The name of the key of one person: a user of a tenant whom an issuer vouches for (`Principal::key`).
pub(super) fn id_of_owner(owner: &str) -> String {
    sha256_hex(format!("owner:{owner}").as_bytes())
}

/// The name of the key of everybody who has this name in a tenant, whichever issuer vouches: for
/// what was sealed for a person before issuers counted. Each part with its length, so that no two share one.
pub(super) fn id_of(tenant: &TenantId, user: &UserId) -> String {
    let (tenant, user) = (tenant.as_str(), user.as_str());
    sha256_hex(format!("{}:{tenant};{}:{user}", tenant.len(), user.len()).as_bytes())
}

/// The folder of keys.
#[derive(Debug, Clone)]
pub(super) struct People {
    folder: PathBuf,
    /// What told it from every other when this process began.
    known: Option<String>,
    /// Threads that may wait for its disk.
    threads: Arc<Semaphore>,
    patience: Duration,
}

impl People {
    pub(super) fn in_folder(data: &Path) -> Self {
        let threads = Arc::new(Semaphore::new(THREADS));
        Self { folder: data.join(FOLDER), known: None, threads, patience: PATIENCE }
    }

    /// Holds on to the folder that is there now: where its id is missing or another one later, no key is made or said to be
    /// gone. Where it cannot be read now, no folder is the one until the next start.
    pub(super) fn hold(&mut self) {
        self.known = self.id().unwrap_or_else(|_| Some(String::new()));
    }

    /// Does something with the keys beside the threads that serve requests.
    ///
    /// WHY: the folder may lie on a network, whose server may be silent for as long as it likes. Whoever needs no key there must
    /// not wait for it, and who does must hear of it.
    ///
    /// # Errors
    /// `store_unavailable` if it takes too long; what was asked for may be done all the same. What `work` says.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (people, threads) = (self.clone(), Arc::clone(&self.threads));
        let done = async {
            let place =
                threads.acquire_owned().await.map_err(|closed| broken("is not read").because(closed))?;
            let done = tokio::task::spawn_blocking(move || {
                let done = work(&people);
                drop(place); // held also when nobody waits for it any more
                done
            });
            done.await.map_err(|ended| broken("is not read").because(ended))?
        };
        tokio::time::timeout(self.patience, done)
            .await
            .unwrap_or_else(|_| Err(away("the disk with the keys of people does not answer".to_owned())))
    }

    /// Refuses a folder that is no longer the one.
    ///
    /// WHY: a mount that is away looks like a folder without keys. A person's key would be told as destroyed that comes back
    /// with it, and one made here would be nobody else's.
    fn still(&self) -> Result<()> {
        if self.known.is_none() || self.id()? == self.known {
            return Ok(());
        }
        Err(away(format!(
            "`{}` is empty, or another than the one with which this node began: mount that folder",
            self.folder.display()
        )))
    }

    /// What tells this folder from every other, if it has been given that.
    pub(super) fn id(&self) -> Result<Option<String>> {
        match fs::read_to_string(self.folder.join(ID)) {
            Ok(id) => Ok(Some(id.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(away(format!("`folder.id` in `{FOLDER}` cannot be read: {error}"))),
        }
    }

    /// The same, given now if it has none.
    pub(super) fn id_or_new(&self) -> Result<String> {
        if let Some(id) = self.id()? {
            return Ok(id);
        }
        let id = format!("{:032x}", random_bits());
        match self.write(ID, format!("{id}\n").as_bytes()) {
            Ok(()) => Ok(id),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.id()?.ok_or_else(|| broken("vanished"))
            }
            Err(error) => {
                let detail = format!("`{}` cannot be written: {error}.", self.folder.display());
                Err(Error::new(Code::Misconfigured).detail(detail).because(error))
            }
        }
    }

    fn file(&self, id: &str) -> Result<PathBuf> {
        // WHY: ids also come from rows; one that is no digest must not lead anywhere.
        let digest = id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digest { Ok(self.folder.join(id)) } else { Err(broken("is named by something that is no digest")) }
    }

    /// The key with this name, if its person was not erased and is not just being erased.
    ///
    /// # Errors
    /// `store_unavailable` if the folder is no longer the one.
    pub(super) fn find(&self, id: &str) -> Result<Option<Person>> {
        let read = match fs::read(self.file(id)?) {
            Ok(read) => Zeroizing::new(read),
            Err(error) if error.kind() == ErrorKind::NotFound => return self.still().map(|()| None),
            Err(error) => return Err(away(format!("a key in `{FOLDER}` cannot be read: {error}"))),
        };
        let mut bytes = Zeroizing::new([0; LENGTH]);
        if read.len() != LENGTH {
            return Err(broken("is not 32 bytes"));
        }
        bytes.copy_from_slice(&read);
        // WHY: `destroy` has written over it and not removed it yet; everybody knows what stands there now.
        if *bytes == [0; LENGTH] {
            return Ok(None);
        }
        Ok(Some(Person { id: id.to_owned(), bytes }))
    }

    /// The key with this name; made if there is none.
    pub(super) fn find_or_make(&self, id: String) -> Result<Person> {
        if let Some(found) = self.find(&id)? {
            return Ok(found);
        }
        let mut bytes = Zeroizing::new([0; LENGTH]);
        rand::fill(bytes.as_mut()).map_err(|_| Error::new(Code::Internal).because("no random numbers"))?;
        match self.write(&id, bytes.as_ref()) {
            Ok(()) => Ok(Person { id, bytes }),
            // Another request made it at the same moment: its key is the one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.find(&id)?.ok_or_else(|| broken("is being destroyed"))
            }
            Err(error) => Err(away(format!("a key in `{FOLDER}` cannot be made: {error}"))),
        }
    }

    /// Whole and on disk, or not at all: what is sealed under a key that is lost in a crash is lost.
    fn write(&self, id: &str, bytes: &[u8]) -> std::io::Result<()> {
        // WHY: one that has gone since `still` must not be made anew.
        if self.known.is_none() {
            let mut folder = fs::DirBuilder::new();
            folder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
            folder.create(&self.folder)?;
        }
        let draft = self.folder.join(format!(".{:032x}", random_bits()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&draft).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::hard_link(&draft, self.folder.join(id))
        });
        let _gone = fs::remove_file(&draft);
        written.and_then(|()| self.sync())
    }

    /// Destroys the key with this name. True if there was one.
    ///
    /// # Errors
    /// `store_unavailable` if it may still be there; doing it again is harmless.
    pub(super) fn destroy(&self, id: &str) -> Result<bool> {
        let path = self.file(id)?;
        let overwritten = fs::OpenOptions::new().write(true).open(&path).and_then(|mut file| {
            // WHY: a removed name may leave its bytes on the disk.
            file.write_all(&[0; LENGTH])?;
            file.sync_all()
        });
        match overwritten {
            Ok(()) => {
                // WHY no error: zeros are no key to anybody, and what waits for this erasure must not wait for their name to go.
                if let Err(error) = fs::remove_file(&path).and_then(|()| self.sync()) {
                    tracing::warn!(%error, "the file of a destroyed key cannot be removed");
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.still().map(|()| false),
            Err(error) => Err(away(format!("a key in `{FOLDER}` cannot be destroyed: {error}"))),
        }
    }

    /// Makes the names in the folder durable.
    fn sync(&self) -> std::io::Result<()> {
        fs::File::open(&self.folder)?.sync_all()
    }
}

/// The folder cannot be used at the moment. Where it lies is for the log.
fn away(why: String) -> Error {
    let detail = "The keys of people are not there at the moment. Do it again later: that is safe, also if a part is done.";
    Error::new(Code::StoreUnavailable).detail(detail).because(why)
}

fn broken(what: &str) -> Error {
    Error::new(Code::Internal).because(format!("a key in the folder `{FOLDER}` {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_being_destroyed_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let people = People::in_folder(folder.path());
        let id = id_of_owner("acme/ann");
        let made = people.find_or_make(id.clone()).unwrap();
        assert_eq!(people.find(&id).unwrap().unwrap().bytes, made.bytes);
        fs::write(people.file(&id).unwrap(), [0; LENGTH]).unwrap(); // written over, and not removed yet
        assert!(people.find(&id).unwrap().is_none(), "everybody knows that key");
        assert!(people.find_or_make(id.clone()).is_err(), "nothing is sealed under it");
        assert!(people.destroy(&id).unwrap());
        assert_ne!(people.find_or_make(id).unwrap().bytes, made.bytes);
    }

    #[test]
    fn what_the_system_says_of_the_disk_is_over_in_a_moment_and_told_to_the_log_alone() {
        let folder = tempfile::tempdir().unwrap();
        let people = People::in_folder(folder.path());
        let id = id_of_owner("acme/ann");
        fs::write(folder.path().join(FOLDER), "").unwrap(); // as a mount that answers with errors
        for told in [
            people.find(&id).map(drop),
            people.find_or_make(id.clone()).map(drop),
            people.destroy(&id).map(drop),
        ] {
            let told = told.unwrap_err();
            assert_eq!(told.code(), Code::StoreUnavailable);
            assert!(!told.public().contains(&folder.path().display().to_string()), "{}", told.public());
        }
    }

    #[test]
    fn a_folder_that_could_not_be_read_at_the_start_is_not_the_one_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut people = People::in_folder(folder.path());
        fs::write(folder.path().join(FOLDER), "").unwrap(); // as a mount that answers with errors
        people.hold();
        fs::remove_file(folder.path().join(FOLDER)).unwrap(); // as where nothing is mounted
        let id = id_of_owner("acme/ann");
        for told in [
            people.find(&id).map(drop),
            people.find_or_make(id.clone()).map(drop),
            people.destroy(&id).map(drop),
        ] {
            assert_eq!(told.unwrap_err().code(), Code::StoreUnavailable);
        }
    }

    #[tokio::test]
    async fn a_disk_that_is_silent_is_told_of_and_takes_so_many_threads_only() {
        let folder = tempfile::tempdir().unwrap();
        let people = People { patience: Duration::from_millis(20), ..People::in_folder(folder.path()) };
        let (disk, comes_back) = std::sync::mpsc::channel::<()>();
        let comes_back = Arc::new(std::sync::Mutex::new(comes_back));
        let silent = |n: usize| {
            let comes_back = Arc::clone(&comes_back);
            people.ask(move |_| {
                assert!(n < THREADS, "one more thread");
                let _closed = comes_back.lock().unwrap().recv();
                Ok(())
            })
        };
        for told in futures::future::join_all((0..=THREADS).map(silent)).await {
            assert_eq!(told.unwrap_err().code(), Code::StoreUnavailable);
        }
        drop(disk);
        let people = People { patience: PATIENCE, ..people };
        assert!(people.ask(|people| people.find(&id_of_owner("ann"))).await.unwrap().is_none());
    }
}
