//! The keys of people, under which their secrets are sealed in addition to the root key.
//!
//! The keys lie in files of their own, outside the database, so that a backup of the database is worthless for a
//! person whose key was destroyed. Nodes that share a database must share this folder. A backup of the folder must not
//! be kept for longer than an erased person may still be restored. The file `folder.id` belongs to the keys: by it a
//! node recognises that its folder is the right one.

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

/// Name of the folder in the data folder.
pub(super) const FOLDER: &str = "people";

const LENGTH: usize = 32;

/// How long a request waits for a key.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Limit of threads that wait for the disk at once.
const THREADS: usize = 32;

/// Name of the file that identifies the folder.
const ID: &str = "folder.id";

/// One person's key.
pub(super) struct Person {
    /// Public name of the key, a digest.
    pub(super) id: String,
    bytes: Zeroizing<[u8; LENGTH]>,
}

impl Person {
    /// Derives the key that wraps for this person from the key that wraps for the row.
    pub(super) fn wrapping(&self, row: &[u8; LENGTH]) -> Zeroizing<[u8; LENGTH]> {
        derive(&self.bytes, b"cardea person wrap 1", row)
    }
}

/// Returns the name of the key of one person: a user of a tenant, as vouched for by one issuer (`Principal::key`).
pub(super) fn id_of_owner(owner: &str) -> String {
    sha256_hex(format!("owner:{owner}").as_bytes())
}

/// Returns the name of the key of everybody with this name in a tenant, whatever the issuer: for what was sealed for a
/// person before issuers were part of the key. Each part is preceded by its length, so that no two names coincide.
pub(super) fn id_of(tenant: &TenantId, user: &UserId) -> String {
    let (tenant, user) = (tenant.as_str(), user.as_str());
    sha256_hex(format!("{}:{tenant};{}:{user}", tenant.len(), user.len()).as_bytes())
}

/// The folder of keys.
#[derive(Debug, Clone)]
pub(super) struct People {
    folder: PathBuf,
    /// Id of the folder when this process began.
    known: Option<String>,
    /// Limits the threads that wait for the disk.
    threads: Arc<Semaphore>,
    patience: Duration,
}

impl People {
    pub(super) fn in_folder(data: &Path) -> Self {
        let threads = Arc::new(Semaphore::new(THREADS));
        Self { folder: data.join(FOLDER), known: None, threads, patience: PATIENCE }
    }

    /// Remembers the present folder. If its id is missing or different later, no key is created or reported as
    /// missing. If the id cannot be read now, or not in time, no folder is accepted until the next start.
    pub(super) async fn hold(&mut self) {
        self.known = self.ask(Self::id).await.unwrap_or_else(|error| {
            tracing::error!(error.cause = %error, "no key of a person is used until the next start: their folder cannot be read");
            Some(String::new())
        });
    }

    /// Runs work with the keys outside the threads that serve requests.
    ///
    /// WHY: the folder may lie on a network whose server does not answer for any length of time. Requests that need no
    /// key must not wait for it, and those that do must get an error.
    ///
    /// # Errors
    /// `store_unavailable` if it takes too long; the work may be done all the same. Errors of `work`.
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
                drop(place); // held even if the caller has stopped waiting
                done
            });
            done.await.map_err(|ended| broken("is not read").because(ended))?
        };
        tokio::time::timeout(self.patience, done)
            .await
            .unwrap_or_else(|_| Err(away("the disk with the keys of people does not answer".to_owned())))
    }

    /// Refuses a folder that is no longer the right one.
    ///
    /// WHY: a mount that is missing looks like a folder without keys. A person's key would be reported as destroyed
    /// although it comes back with the mount, and one created here would be lost to the other nodes.
    fn still(&self) -> Result<()> {
        if self.known.is_none() || self.id()? == self.known {
            return Ok(());
        }
        Err(away(format!(
            "`{}` is empty, or another than the one with which this node began: mount that folder",
            self.folder.display()
        )))
    }

    /// Returns the id of this folder, if it has one.
    pub(super) fn id(&self) -> Result<Option<String>> {
        match fs::read_to_string(self.folder.join(ID)) {
            Ok(id) => Ok(Some(id.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(away(format!("`folder.id` in `{FOLDER}` cannot be read: {error}"))),
        }
    }

    /// Does the same, and assigns an id if there is none.
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
        // WHY: ids also come from rows; one that is not a digest must not lead to another path.
        let digest = id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digest { Ok(self.folder.join(id)) } else { Err(broken("is named by something that is no digest")) }
    }

    /// Returns the key with this name, if its person was not erased and is not being erased now.
    ///
    /// # Errors
    /// `store_unavailable` if the folder is no longer the right one.
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
        // WHY: `destroy` has overwritten the file and not removed it yet; its present content is known to everybody.
        if *bytes == [0; LENGTH] {
            return Ok(None);
        }
        Ok(Some(Person { id: id.to_owned(), bytes }))
    }

    /// Returns the key with this name; creates it if there is none.
    pub(super) fn find_or_make(&self, id: String) -> Result<Person> {
        if let Some(found) = self.find(&id)? {
            return Ok(found);
        }
        let mut bytes = Zeroizing::new([0; LENGTH]);
        rand::fill(bytes.as_mut()).map_err(|_| Error::new(Code::Internal).because("no random numbers"))?;
        match self.write(&id, bytes.as_ref()) {
            Ok(()) => Ok(Person { id, bytes }),
            // Another request created it at the same moment: that key counts.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.find(&id)?.ok_or_else(|| broken("is being destroyed"))
            }
            Err(error) => Err(away(format!("a key in `{FOLDER}` cannot be made: {error}"))),
        }
    }

    /// Writes the key completely and to the disk, or not at all: data sealed under a key that is lost in a crash is
    /// lost.
    fn write(&self, id: &str, bytes: &[u8]) -> std::io::Result<()> {
        // WHY: a folder that has vanished since `still` must not be created anew.
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

    /// Destroys the key with this name. Returns whether it existed.
    ///
    /// # Errors
    /// `store_unavailable` if it may still exist; repeating it is harmless.
    pub(super) fn destroy(&self, id: &str) -> Result<bool> {
        let path = self.file(id)?;
        let overwritten = fs::OpenOptions::new().write(true).open(&path).and_then(|mut file| {
            // WHY: removing a file may leave its bytes on the disk.
            file.write_all(&[0; LENGTH])?;
            file.sync_all()
        });
        match overwritten {
            Ok(()) => {
                // WHY no error: zeros are no key, and whatever waits for this erasure must not wait for the removal of
                // their file.
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

/// Returns the error for a folder that cannot be used at the moment. Its path is for the log only.
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
        fs::write(people.file(&id).unwrap(), [0; LENGTH]).unwrap(); // overwritten, and not removed yet
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
        fs::write(folder.path().join(FOLDER), "").unwrap(); // like a mount that answers with errors
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

    #[tokio::test]
    async fn a_folder_that_could_not_be_read_at_the_start_is_not_the_one_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut people = People::in_folder(folder.path());
        fs::write(folder.path().join(FOLDER), "").unwrap(); // as a mount that answers with errors
        people.hold().await;
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

    /// Makes a folder whose files can be written and not removed, also for root.
    struct Fixed(PathBuf);

    impl Fixed {
        fn make(folder: &Path) -> Option<Self> {
            let fixed = Self(folder.to_owned());
            let probe = folder.join("probe");
            fs::write(&probe, "").unwrap();
            fixed.turn("555", "+i");
            fs::remove_file(probe).is_err().then_some(fixed)
        }

        fn turn(&self, mode: &str, flag: &str) {
            for (command, with) in [("chmod", mode), ("chattr", flag)] {
                drop(std::process::Command::new(command).arg(with).arg(&self.0).output()); // the probe tells
            }
        }
    }

    impl Drop for Fixed {
        fn drop(&mut self) {
            self.turn("700", "-i");
            self.turn("700", "-i"); // the mode of an immutable folder stays
        }
    }

    #[test]
    fn a_destroyed_key_whose_file_cannot_be_removed_is_no_key_and_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let people = People::in_folder(folder.path());
        let id = id_of_owner("acme/ann");
        people.find_or_make(id.clone()).unwrap();
        let Some(_fixed) = Fixed::make(&people.folder) else {
            println!("SKIPPED: everything can be removed here");
            return;
        };
        for _ in 0..2 {
            assert!(people.destroy(&id).unwrap(), "what waits for the erasure goes on");
            assert_eq!(fs::read(people.file(&id).unwrap()).unwrap(), [0; LENGTH]);
            assert!(people.find(&id).unwrap().is_none());
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
