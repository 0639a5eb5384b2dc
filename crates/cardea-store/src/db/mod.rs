//! Room `db`: the truth, on SQLite or PostgreSQL.
//!
//! Promises: a [`Commit`] that was answered with `Ok` survives any crash. A commit is written whole or not at all. A
//! commit whose guard fails leaves nothing behind and does not disturb others. Audit entries of a commit are linked
//! into this node's chain inside its transaction. SQL is written once, with `$1` placeholders, and runs on both
//! engines; a suite of contract tests runs on both.
//!
//! Refuses: interactive transactions (no lock is held across an await of a caller), statements that are not texts of
//! the source (so no value can become SQL), and a database that a newer Cardea has written.
//!
//! Called by: every room that stores something. Pitfalls of SQL for both engines: `SUM` of integers needs `CAST(… AS
//! BIGINT)`; a placeholder that is only compared with `NULL` needs `CAST($1 AS TEXT)`.

pub(crate) mod address;
mod commit;
mod copy;
mod migrate;
mod placeholders;
pub(crate) mod postgres;
mod sqlite;
mod value;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use cardea_core::{
    Code, Error, Result,
    log::ChainKey,
    secret::SecretString,
    time::{Millis, Timestamp},
    units::SecretText,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::oneshot;

pub use commit::{Commit, CommitError};
pub use copy::copy;
pub(crate) use value::Columns;
pub use value::{Cell, FromCell, FromRow, InOrder, Row, RowError, Value};

pub use crate::args;
use crate::crash;
pub use migrate::{MIGRATIONS, Migrated, Migration, is_newer};

use address::Address;
use commit::Sql;
use postgres::Postgres;
use sqlite::{Place, Sqlite};

/// Configuration of the database.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DbConfig {
    /// `sqlite:PATH`, `sqlite::memory:` or `postgres://user@host:port/name`. Connections to PostgreSQL on another
    /// machine are encrypted, and its certificate is verified. `?sslmode=disable`, `require` or `verify-full`
    /// overrides that, and `sslrootcert=FILE` names the certificates to trust instead of the system's.
    pub url: String,
    /// Password for PostgreSQL. It must not be part of `url`, which is printed.
    #[schemars(with = "Option<SecretText>")]
    pub password: Option<SecretString>,
    /// Name of this node, which has an audit chain of its own. Two running nodes must not share a name. If absent from
    /// a file: `main` with SQLite, the host name with PostgreSQL.
    pub node: String,
    /// Number of reader threads (SQLite) or reader connections (PostgreSQL).
    pub readers: usize,
    /// Number of commits that may wait for the writer before callers have to wait as well.
    pub queue: usize,
}

impl Default for DbConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:data/cardea.db".into(),
            password: None,
            node: "main".into(),
            readers: 2,
            queue: 1_024,
        }
    }
}

impl DbConfig {
    /// Returns the default configuration with this address.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// Checks everything that can be checked without connecting.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        self.target().map(drop)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.node.is_empty() || self.node.len() > 64 || !self.node.chars().all(plain) {
            return Err(format!("`node` is `{}`: use 1 to 64 letters, digits, `-`, `_` or `.`", self.node));
        }
        if self.readers == 0 || self.readers > 64 {
            return Err(format!("`readers` is {}: use 1 to 64", self.readers));
        }
        if self.queue == 0 {
            return Err("`queue` is 0: nothing could ever be written".into());
        }
        Ok(())
    }

    fn target(&self) -> Result<Target, String> {
        if let Some(path) = self.url.strip_prefix("sqlite:") {
            return match path {
                ":memory:" => Ok(Target::Sqlite(Place::Memory)),
                "" => Err("`url` names no file: write `sqlite:PATH`".into()),
                path => Ok(Target::Sqlite(Place::File(PathBuf::from(path)))),
            };
        }
        if !self.url.starts_with("postgres://") && !self.url.starts_with("postgresql://") {
            return Err("`url` must start with `sqlite:` or `postgres://`".into());
        }
        let address = Address::parse(&self.url).map_err(|error| format!("`url`: {error}"))?;
        if address.config.get_password().is_some() {
            return Err(
                "`url` contains a password: put it into `password`, since the address is printed".into()
            );
        }
        address.check().map_err(|error| format!("`url`: {error}"))?;
        Ok(Target::Postgres(Box::new(address)))
    }
}

enum Target {
    Sqlite(Place),
    Postgres(Box<Address>),
}

/// The database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file used by one server.
    Sqlite,
    /// A server shared by many.
    Postgres,
}

impl Engine {
    /// Returns the name: `sqlite` or `postgres`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

enum Driver {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// The database. Cheap to clone; all clones share one connection pool.
#[derive(Clone)]
pub struct Db(Arc<Driver>);

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Db({})", self.engine().name())
    }
}

impl Db {
    /// Opens the database and starts its writer and readers. Changes no table: that is [`Self::migrate`].
    ///
    /// # Errors
    /// `Misconfigured` for a bad configuration, `StoreUnavailable` if it cannot be opened.
    pub async fn open(config: DbConfig, key: ChainKey) -> Result<Self> {
        config.check().map_err(|why| Error::new(Code::Misconfigured).detail(format!("db: {why}.")))?;
        // The address contains no password: `check` refuses one.
        let url = config.url.clone();
        let opened = Self::open_checked(config, key).await;
        opened.map_err(|error| match error.code() {
            Code::StoreUnavailable if postgres::wants_a_password(&error) => error.detail(format!(
                "It is `{url}`, and the server refuses the password: correct `db.password`, or the user in `db.url`."
            )),
            Code::StoreUnavailable => error.detail(format!("It is `{url}`: start it, or correct `db.url`.")),
            _ => error,
        })
    }

    async fn open_checked(config: DbConfig, key: ChainKey) -> Result<Self> {
        let engine = match config.target() {
            Err(why) => return Err(Error::new(Code::Misconfigured).detail(why)),
            Ok(Target::Sqlite(place)) => {
                let opened = tokio::task::spawn_blocking(move || Sqlite::open(&place, &config, key)).await;
                let opened = opened.map_err(|error| Error::new(Code::Internal).because(error))?;
                Driver::Sqlite(opened.map_err(|error| sqlite_error(error, "open"))?)
            }
            Ok(Target::Postgres(target)) => Driver::Postgres(Postgres::open(*target, &config, key).await?),
        };
        Ok(Self(Arc::new(engine)))
    }

    /// Opens a copy of a SQLite database read only. No byte of it changes.
    ///
    /// # Errors
    /// `StoreUnavailable` if it cannot be opened.
    pub async fn look(copy: &Path) -> Result<Self> {
        let path = copy.to_owned();
        let opened = tokio::task::spawn_blocking(move || Sqlite::look(&path)).await;
        let opened = opened.map_err(|error| Error::new(Code::Internal).because(error))?;
        Ok(Self(Arc::new(Driver::Sqlite(opened.map_err(|error| sqlite_error(error, "open"))?))))
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match &*self.0 {
            Driver::Sqlite(_) => Engine::Sqlite,
            Driver::Postgres(_) => Engine::Postgres,
        }
    }

    /// Returns the rows of a `SELECT`.
    ///
    /// # Errors
    /// `StoreUnavailable` if the database cannot be reached, `Internal` if the statement or a row is wrong.
    pub async fn rows<T: FromRow>(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<T>> {
        let db = match &*self.0 {
            Driver::Sqlite(db) => db,
            Driver::Postgres(db) => return db.rows(sql, &args).await,
        };
        let (answer, answered) = oneshot::channel();
        let task = move |session: &mut sqlite::Session| {
            let mut rows = Vec::new();
            let read = session.query(&Sql::Fixed(sql), &args, |columns| {
                rows.push(T::from_row(&Row(columns))?);
                Ok::<_, ReadError>(())
            });
            let _nobody_waits = answer.send(read.map(|()| rows));
        };
        if !db.read(Box::new(task)).await {
            return Err(Error::new(Code::StoreUnavailable).retry_after(Millis::from_secs(1)));
        }
        let read = answered.await.map_err(|error| Error::new(Code::Internal).because(error))?;
        read.map_err(|error| match error {
            ReadError::Row(error) => row_error(error, sql),
            ReadError::Sqlite(error) => sqlite_error(error, sql),
        })
    }

    /// Returns the first row of a `SELECT`.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub async fn row<T: FromRow>(&self, sql: &'static str, args: Vec<Value>) -> Result<Option<T>> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Checks that the database answers and can be written to.
    ///
    /// # Errors
    /// `StoreUnavailable` if it does not answer or cannot be written to any more.
    pub async fn ping(&self) -> Result<()> {
        if let Some(why) = self.broken() {
            return Err(CommitError::Unavailable(why).into());
        }
        self.rows::<(i64,)>("SELECT CAST(1 AS BIGINT)", Vec::new()).await.map(drop)
    }

    /// Writes the commit, all or nothing. It continues even if the caller stops waiting.
    ///
    /// # Errors
    /// [`CommitError`] says whether something may have been written.
    pub async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if commit.is_empty() {
            return Ok(());
        }
        crash::point("commit.asked");
        if crash::fails("commit.asked") {
            return Err(CommitError::Unavailable("a test".into()));
        }
        let answer = match &*self.0 {
            Driver::Sqlite(db) => db.commit(commit).await,
            Driver::Postgres(db) => db.commit(commit).await,
        };
        crash::point("commit.answered");
        if answer.is_ok() && crash::fails("commit.answered") {
            return Err(CommitError::Unknown("a test".into()));
        }
        answer
    }

    /// Migrates the tables to this version.
    ///
    /// # Errors
    /// `Misconfigured` if a newer Cardea has written this database or an applied migration was changed since.
    pub async fn migrate(&self) -> Result<Migrated> {
        migrate::migrate(self, MIGRATIONS).await
    }

    /// Returns whether an older Cardea has written the database: it has tables, but not all migrations.
    ///
    /// # Errors
    /// As [`Self::migrate`].
    pub async fn is_older(&self) -> Result<bool> {
        migrate::is_older(self, MIGRATIONS).await
    }

    /// Tries a write that changes nothing.
    ///
    /// # Errors
    /// `misconfigured` if this role may not write; errors of [`Self::commit`].
    pub async fn may_write(&self) -> Result<()> {
        let none = "UPDATE audit_heads SET seq = seq WHERE node = ''";
        let tried = self.commit(Commit::new().guard("nothing", none, Vec::new())).await;
        match tried {
            Ok(()) | Err(CommitError::Conflict(_)) => Ok(()), // the guard affected no row, so the commit was undone
            Err(error) => Err(migrate::told(error.into(), "write to the tables of")),
        }
    }

    /// Returns by how many milliseconds the clock of the database is ahead of this one; `None` if both are the same
    /// clock.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub async fn clock_ahead(&self, now: Timestamp) -> Result<Option<i64>> {
        if matches!(&*self.0, Driver::Sqlite(_)) {
            return Ok(None);
        }
        let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
        let there: Option<(i64,)> = self.row(sql, Vec::new()).await?;
        Ok(there.map(|(there,)| there.saturating_sub(now.0)))
    }

    /// Returns how many migrations [`Self::migrate`] would apply. Changes nothing.
    ///
    /// # Errors
    /// As [`Self::migrate`]; a different error if there are no tables yet.
    pub async fn unmigrated(&self) -> Result<usize> {
        migrate::missing(self, MIGRATIONS).await
    }

    /// Does the same as [`Self::migrate`] with another list: for tests, and for embedding programs that add tables.
    ///
    /// # Errors
    /// As [`Self::migrate`].
    pub async fn migrate_with(&self, migrations: &[Migration]) -> Result<Migrated> {
        migrate::migrate(self, migrations).await
    }

    /// Removes deleted data from the files. SQLite overwrites it in place, but the write-ahead log keeps it until the
    /// next checkpoint; PostgreSQL has means of its own (`VACUUM`, archives).
    ///
    /// # Errors
    /// `StoreUnavailable` if a reader blocks the checkpoint for seconds. The data is removed at a later time then.
    pub async fn wipe_deleted(&self) -> Result<()> {
        let Driver::Sqlite(db) = &*self.0 else { return Ok(()) };
        match db.fold().await {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Error::new(Code::StoreUnavailable).because("a reader keeps the write-ahead log"))
            }
            Err(error) => Err(sqlite_error(error, "wal_checkpoint")),
        }
    }

    /// Returns why this process cannot write any more, if so. It should then end and be restarted.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        match &*self.0 {
            Driver::Sqlite(db) => db.broken(),
            Driver::Postgres(_) => None,
        }
    }

    /// Writes what is queued and ends the threads or connections. Later calls return `StoreUnavailable`.
    pub async fn close(&self) {
        match &*self.0 {
            Driver::Sqlite(db) => db.close().await,
            Driver::Postgres(db) => db.close().await,
        }
    }

    /// Runs a script in one transaction. For migrations only, since it is more than one statement.
    async fn script(&self, script: String) -> Result<()> {
        match &*self.0 {
            Driver::Postgres(db) => db.script(script).await,
            Driver::Sqlite(db) => {
                let (answer, answered) = oneshot::channel();
                let task = move |session: &mut sqlite::Session| {
                    let script = format!("BEGIN IMMEDIATE;\n{script}\nCOMMIT;");
                    let ran = session.conn.execute_batch(&script);
                    if ran.is_err() && !session.conn.is_autocommit() {
                        drop(session.conn.execute_batch("ROLLBACK"));
                    }
                    let _nobody_waits = answer.send(ran);
                };
                if !db.write(Box::new(task)).await {
                    return Err(Error::new(Code::StoreUnavailable));
                }
                let ran = answered.await.map_err(|error| Error::new(Code::Internal).because(error))?;
                ran.map_err(|error| sqlite_error(error, "a migration"))
            }
        }
    }
}

enum ReadError {
    Row(RowError),
    Sqlite(rusqlite::Error),
}

impl From<RowError> for ReadError {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn row_error(error: RowError, sql: &'static str) -> Error {
    Error::new(Code::Internal).because(Failed { sql, why: error.to_string() })
}

fn sqlite_error(error: rusqlite::Error, sql: &'static str) -> Error {
    Error::from(match sqlite::fault(&error, "read") {
        CommitError::Wrong(why) => CommitError::Wrong(format!("{why} in `{sql}`")),
        other => other,
    })
}

/// A failed statement of the source, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{why} in `{sql}`")]
struct Failed {
    sql: &'static str,
    why: String,
}
