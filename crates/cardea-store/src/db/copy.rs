//! Copies a SQLite database while it is in use.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use cardea_core::{Code, Error, Result, id::RequestId};
use rusqlite::{Connection, OpenFlags};

use super::{DbConfig, Place, Target, sqlite::create_private, sqlite_error};

/// Age after which a partial copy counts as left by a killed process.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// Copies the database to a new file, in its state at one moment, while a server may keep running. The copy has a
/// temporary name until it is complete and on disk, and until `beside` has written what belongs to it. Returns its
/// size in bytes.
///
/// # Errors
/// `misconfigured` for a database that is not a file, `bad_request` if the target exists, `store_unavailable` and
/// `store_full` as reported by the disk; errors of `beside`.
pub async fn copy(
    config: &DbConfig,
    to: &Path,
    beside: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<u64> {
    let from = match config.target() {
        Ok(Target::Sqlite(Place::File(path))) => path,
        Ok(Target::Sqlite(Place::Memory)) => {
            return Err(Error::new(Code::Misconfigured).detail("A database in memory has no copy."));
        }
        Ok(Target::Postgres(_)) => {
            let detail =
                "A PostgreSQL database is copied by its own tools: `pg_dump`, or its continuous archiving.";
            return Err(Error::new(Code::Misconfigured).detail(detail));
        }
        Err(why) => return Err(Error::new(Code::Misconfigured).detail(why)),
    };
    free(to)?;
    let to = to.to_owned();
    let copied = tokio::task::spawn_blocking(move || copy_file(&from, &to, beside)).await;
    copied.map_err(|error| Error::new(Code::Internal).because(error))?
}

fn copy_file(from: &Path, to: &Path, beside: impl FnOnce() -> Result<()>) -> Result<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = Connection::open_with_flags(from, flags).map_err(|error| sqlite_error(error, "open"))?;
    remove_abandoned(to);
    let part = Part(part_of(to));
    create_private(&part.0);
    let sql = "VACUUM INTO ?1";
    let target = part.0.to_string_lossy();
    open.execute(sql, [&*target]).map_err(|error| sqlite_error(error, sql))?;
    let lost = |error: std::io::Error| Error::new(Code::StoreUnavailable).because(error);
    let file = File::open(&part.0).map_err(lost)?;
    file.sync_all().map_err(lost)?;
    // WHY: of two copies to one place, only the files of the one that stays may be put beside it. On a file system
    // without locks, those of the other one may be.
    let _alone = File::open(folder_of(to)).and_then(|folder| folder.lock().map(|()| folder));
    free(to)?; // another process may have been faster
    beside()?;
    // WHY: last, so that a copy under its name is complete, with all that belongs to it.
    match fs::hard_link(&part.0, to) {
        Ok(()) => part.remove(),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(taken(to)),
        // A file system without links.
        Err(_) => free(to).and_then(|()| fs::rename(&part.0, to).map_err(lost))?,
    }
    File::open(folder_of(to)).and_then(|folder| folder.sync_all()).map_err(lost)?;
    Ok(file.metadata().map_err(lost)?.len())
}

fn taken(to: &Path) -> Error {
    let detail = format!("`{}` is there already, and nothing is overwritten.", to.display());
    Error::new(Code::BadRequest).detail(detail)
}

fn free(to: &Path) -> Result<()> {
    if to.exists() { Err(taken(to)) } else { Ok(()) }
}

/// Returns the prefix of the names of partial copies of this target.
fn before(to: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(to.file_name().unwrap_or_default());
    name.push(".");
    name
}

/// Returns `.name.ID.part` beside `name`. Each copy has its own, so that two copies to one place do not write to one
/// file.
fn part_of(to: &Path) -> PathBuf {
    let mut name = before(to);
    name.push(format!("{}.part", RequestId::random()));
    to.with_file_name(name)
}

/// Removes partial copies that were left by killed processes.
fn remove_abandoned(to: &Path) {
    let before = before(to);
    let is_part = |name: &OsStr| {
        let bytes = name.as_encoded_bytes();
        bytes.starts_with(before.as_encoded_bytes())
            && (bytes.ends_with(b".part") || bytes.ends_with(b".part-journal"))
    };
    let entries = fs::read_dir(folder_of(to)).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_part(&entry.file_name())) {
        let changed = entry.metadata().and_then(|about| about.modified());
        if changed.is_ok_and(|at| at.elapsed().is_ok_and(|since| since > ABANDONED)) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

fn folder_of(to: &Path) -> &Path {
    to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A partial copy, which is deleted when dropped.
struct Part(PathBuf);

impl Part {
    fn remove(&self) {
        let mut journal = self.0.clone().into_os_string();
        journal.push("-journal");
        let _gone = (fs::remove_file(&self.0), fs::remove_file(journal));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use cardea_core::log::ChainKey;

    use super::*;
    use crate::Db;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_copy_has_its_name_only_when_it_is_whole() {
        let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = DbConfig::at(format!("sqlite:{}", folder.path().join("x.db").display()));
        let db = Db::open(config.clone(), ChainKey::new(&[7; 32])).await.unwrap();
        db.migrate().await.unwrap();
        let to = copies.path().join("cardea.db");
        // Files left by killed processes, of this version and an older one.
        for left in [".cardea.db.part", ".cardea.db.7.part", ".cardea.db.7.part-journal"] {
            let left = File::create(copies.path().join(left)).unwrap();
            left.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }

        let full = copy(&config, &to, || Err(Error::new(Code::StoreFull))).await;
        assert_eq!(full.unwrap_err().code(), Code::StoreFull);
        assert_eq!(names(copies.path()), Vec::<String>::new());

        let looked = to.clone();
        let copied = copy(&config, &to, move || {
            let (folder, looked) = (looked.parent().unwrap(), looked.as_path());
            assert!(!looked.exists());
            let parts = names(folder);
            assert!(parts.len() == 1 && parts[0].starts_with(".cardea.db."), "{parts:?}");
            let part = Connection::open(folder.join(&parts[0])).unwrap();
            let good: String = part.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(good, "ok");
            Ok(())
        });
        assert_eq!(copied.await.unwrap(), fs::metadata(&to).unwrap().len());
        assert_eq!(names(copies.path()), ["cardea.db"]);
        let again = copy(&config, &to, || Ok(())).await;
        assert_eq!(again.unwrap_err().code(), Code::BadRequest);
        db.close().await;
    }

    #[tokio::test]
    async fn of_two_copies_to_one_place_the_first_that_is_whole_stays_and_the_other_says_so() {
        let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let from = folder.path().join("x.db");
        let config = DbConfig::at(format!("sqlite:{}", from.display()));
        let db = Db::open(config.clone(), ChainKey::new(&[7; 32])).await.unwrap();
        db.migrate().await.unwrap();
        let to = copies.path().join("cardea.db");
        let (there, beside) = (to.clone(), to.clone());
        let by = |name: &'static str| {
            let file = copies.path().join("by");
            move || {
                fs::write(file, name).unwrap();
                Ok(())
            }
        };
        let (mine, theirs) = (by("the first"), by("the second"));
        let (begin, begun) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            begun.recv().unwrap();
            copy_file(&from, &there, theirs)
        });
        let first = copy(&config, &to, move || {
            begin.send(()).unwrap();
            // The second copy is complete by then, and would be done if it did not wait.
            while names(folder_of(&beside)).len() < 2 {
                std::thread::yield_now();
            }
            mine()
        });
        first.await.unwrap();
        assert_eq!(second.join().unwrap().unwrap_err().code(), Code::BadRequest);
        assert_eq!(names(copies.path()), ["by", "cardea.db"]);
        assert_eq!(fs::read_to_string(copies.path().join("by")).unwrap(), "the first");
        let whole = Connection::open(&to).unwrap();
        let good: String = whole.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(good, "ok");
        db.close().await;
    }
}
