//! A copy of a SQLite database while it is written to.

use std::{fs::File, path::Path};

use cardea_core::{Code, Error, Result};
use rusqlite::{Connection, OpenFlags};

use super::{DbConfig, Place, Target, sqlite::create_private, sqlite_error};

/// Copies the database to a new file, as it is at one moment: a running server goes on meanwhile. The copy is on disk
/// when this returns. Gives its size in bytes.
///
/// # Errors
/// `misconfigured` for a database that is no file, `bad_request` if the target is there already, `store_unavailable`
/// and `store_full` as the disk says.
pub async fn copy(config: &DbConfig, to: &Path) -> Result<u64> {
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
    if to.exists() {
        let detail = format!("`{}` is there already, and nothing is overwritten.", to.display());
        return Err(Error::new(Code::BadRequest).detail(detail));
    }
    let to = to.to_owned();
    let copied = tokio::task::spawn_blocking(move || copy_file(&from, &to)).await;
    copied.map_err(|error| Error::new(Code::Internal).because(error))?
}

fn copy_file(from: &Path, to: &Path) -> Result<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = Connection::open_with_flags(from, flags).map_err(|error| sqlite_error(error, "open"))?;
    create_private(to);
    let sql = "VACUUM INTO ?1";
    let target = to.to_string_lossy();
    let copied = open.execute(sql, [&*target]).map_err(|error| sqlite_error(error, sql));
    let synced = copied.and_then(|_| {
        let lost = |error: std::io::Error| Error::new(Code::StoreUnavailable).because(error);
        let file = File::open(to).map_err(lost)?;
        file.sync_all().map_err(lost)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(lost)?;
        Ok(file.metadata().map_err(lost)?.len())
    });
    if synced.is_err() {
        // Half a copy is none.
        let _gone = std::fs::remove_file(to);
    }
    synced
}
