//! Places to put a database: a folder for SQLite, a server of our own for PostgreSQL.

use std::path::PathBuf;

use cardea_core::log::ChainKey;
use cardea_store::{
    Db, DbConfig,
    db::{Migration, args},
};
use tempfile::TempDir;

pub(crate) use crate::own_server::Server;

pub(crate) const KEY: [u8; 32] = [9; 32];

/// Tables of the tests, beside the chain's own.
pub(crate) const TABLES: &[Migration] = &[Migration {
    version: 1,
    name: "0001_tests",
    sql: "CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY, n BIGINT, r DOUBLE PRECISION, t TEXT, b BYTEA)\
            /*sqlite: WITHOUT ROWID*/;
          CREATE TABLE audit (node TEXT NOT NULL, seq BIGINT NOT NULL, tenant TEXT NOT NULL, at BIGINT NOT NULL,
            body BYTEA NOT NULL, link BYTEA NOT NULL, PRIMARY KEY (node, seq));
          CREATE TABLE audit_heads (node TEXT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, link BYTEA NOT NULL);",
}];

/// One empty database, which can be opened several times.
pub(crate) struct Place {
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        Self { url, _folder: Some(folder) }
    }

    pub(crate) async fn open(&self) -> Db {
        let db = Db::open(DbConfig::at(&self.url), ChainKey::new(&KEY)).await.unwrap();
        db.migrate_with(TABLES).await.unwrap();
        db
    }
}

/// The server, or loud words that there is none on this machine.
pub(crate) fn server() -> Option<Server> {
    told(Server::start())
}

/// The same with the programs of this folder.
pub(crate) fn server_from(bin: PathBuf) -> Option<Server> {
    told(Server::start_from(bin))
}

fn told(started: Result<Server, String>) -> Option<Server> {
    started.inspect_err(|why| println!("SKIPPED: {why}, its half of the contract is not tested")).ok()
}

/// A new empty database.
pub(crate) fn place(server: &Server) -> Place {
    Place { url: server.fresh().unwrap(), _folder: None }
}

/// How many rows `things` has.
pub(crate) async fn count(db: &Db) -> i64 {
    db.row::<(i64,)>("SELECT COUNT(*) FROM things", args![]).await.unwrap().unwrap().0
}
