//! Values that all nodes on one database must share. The first node records its own; every other node must have the
//! same.

use std::path::Path;

use cardea_core::{Code, Error, Result};
use cardea_store::{Commit, CommitError, Db, Engine, args};

use crate::vault::{RootKey, folder_id, folder_id_or_new};

/// Changes the data folder of the installation.
pub const NEW_FOLDER: &str = "UPDATE installation SET value = $1 WHERE name = 'data_folder'";

const KEY: &str = "root_key";
const FOLDER: &str = "data_folder";

fn broken(what: String) -> Error {
    Error::new(Code::Misconfigured).detail(what)
}

async fn written(db: &Db, name: &str) -> Result<Option<String>> {
    let found: Option<(String,)> =
        db.row("SELECT value FROM installation WHERE name = $1", args![name]).await?;
    Ok(found.map(|(value,)| value))
}

/// Returns whether the tables of the database, possibly those of an older Cardea, have a place for claims.
pub(super) async fn is_kept(db: &Db) -> Result<bool> {
    let sql = "SELECT version FROM migrations WHERE name = '0014_nodes'";
    let found: Option<(i64,)> = db.row(sql, args![]).await?;
    Ok(found.is_some())
}

/// Claims a name with this value, and returns the value that it has.
async fn claim(db: &Db, name: &str, value: &str) -> Result<String> {
    // WHY: the commit has no audit entry, which would be the first one written with a key that may be the wrong one.
    let commit = Commit::new().guard(
        "installation",
        "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        args![name, value],
    );
    match db.commit(commit).await {
        Ok(()) | Err(CommitError::Conflict(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let found = written(db, name).await?;
    found.ok_or_else(|| Error::new(Code::Internal).because("what was claimed is not there"))
}

/// Claims a database for the root key before anything is written with it. If two nodes with keys of their own start at
/// once, one of them ends.
pub(super) async fn root_key(db: &Db, root: &RootKey, data: &Path) -> Result<()> {
    claim(db, KEY, root.first_id()).await?;
    other_key(db, root, data).await?.map_or(Ok(()), |says| Err(broken(says)))
}

/// Returns the message for a database that was claimed for another root key.
pub(super) async fn other_key(db: &Db, root: &RootKey, data: &Path) -> Result<Option<String>> {
    if written(db, KEY).await?.is_none_or(|id| id == root.first_id()) {
        return Ok(None);
    }
    Ok(Some(format!(
        "Another node has begun this database under another root key. Give all nodes the same `vault.root_key`, or one \
         data folder with one `root.key`; the one in `{}` is not it. Nothing was changed.",
        data.display()
    )))
}

/// Claims a database for the folder with the keys of people. SQLite has one server, and a copy of its database may be
/// restored without them.
pub(super) async fn folder(db: &Db, data: &Path) -> Result<()> {
    if db.engine() == Engine::Sqlite {
        return Ok(());
    }
    if written(db, FOLDER).await?.is_none() {
        claim(db, FOLDER, &folder_id_or_new(data).await?).await?;
    }
    other_folder(db, data).await?.map_or(Ok(()), |says| Err(broken(says)))
}

/// Returns the message for a data folder that is not the one shared by the nodes on this database.
///
/// # Errors
/// Store errors; `store_unavailable` if the folder cannot be read, or not in time.
pub async fn other_folder(db: &Db, data: &Path) -> Result<Option<String>> {
    let Some(wanted) = written(db, FOLDER).await? else { return Ok(None) };
    let what = match folder_id(data).await? {
        Some(id) if id == wanted => return Ok(None),
        Some(_) => "is another",
        None => "is empty, or another",
    };
    Ok(Some(format!(
        "`data.dir` (`{}`) {what} than the one with which this database was begun, so the keys of people are missing in \
         its `people/`: mount that folder, the same on all nodes and lasting. If it is lost for good: `cardea vault \
         adopt-folder`. Nothing was changed.",
        data.display()
    )))
}
