//! The example's database: SQLite, always with the same initial data.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use cardea_core::time::{Clock, SystemClock};
use cardea_mcp::{Code, Context, Error};
use rusqlite::{Connection, OptionalExtension, Params, Transaction, types::ValueRef};
use serde_json::{Map, Value, json};

use crate::seed;

/// Handle of the database. Cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Mutex<Connection>>);

/// Reason for which a transaction ends without a commit.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Error of the database.
    Sql(rusqlite::Error),
    /// Error that the caller is told.
    Told(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Told(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Sql(error) => Self::new(Code::StoreUnavailable).because(error),
            Fault::Told(error) => error,
        }
    }
}

impl Db {
    /// Opens the file, or a database in memory, and seeds it if it is empty.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn open(path: Option<&Path>) -> Result<Self, Error> {
        let open = || -> Result<Connection, Fault> {
            let mut db = match path {
                Some(path) => Connection::open(path)?,
                None => Connection::open_in_memory()?,
            };
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "foreign_keys", true)?;
            let tx = db.transaction()?;
            seed::fill(&tx)?;
            tx.commit()?;
            Ok(db)
        };
        Ok(Self(Arc::new(Mutex::new(open()?))))
    }

    /// Runs one transaction on a thread that may block. It is rolled back if `work` fails.
    ///
    /// # Errors
    /// The error of `work`, or if the database cannot be used.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let db = self.0.clone();
        let done = tokio::task::spawn_blocking(move || -> Result<T, Fault> {
            let mut db = db.lock().unwrap_or_else(PoisonError::into_inner);
            let tx = db.transaction()?;
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        });
        Ok(done.await.map_err(|why| Error::new(Code::Internal).because(why))??)
    }
}

/// Returns all rows as JSON objects with the column names as keys.
pub(crate) fn rows(tx: &Transaction<'_>, sql: &str, params: impl Params) -> Result<Vec<Value>, Fault> {
    let mut statement = tx.prepare_cached(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let found = statement.query_map(params, |row| {
        let mut object = Map::new();
        for (at, name) in names.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) if name.starts_with("is_") => json!(number != 0),
                ValueRef::Integer(number) => json!(number),
                ValueRef::Real(number) => json!(number),
                ValueRef::Text(text) | ValueRef::Blob(text) => json!(String::from_utf8_lossy(text)),
            };
            object.insert(name.clone(), value);
        }
        Ok(Value::Object(object))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Returns the single row, or the error that there is no such `what`.
pub(crate) fn one(tx: &Transaction<'_>, what: &str, sql: &str, params: impl Params) -> Result<Value, Fault> {
    rows(tx, sql, params)?.pop().ok_or_else(|| missing(what).into())
}

/// Returns the single number, or the error that there is no such `what`.
pub(crate) fn number(tx: &Transaction<'_>, what: &str, sql: &str, params: impl Params) -> Result<i64, Fault> {
    tx.query_row(sql, params, |row| row.get(0)).optional()?.ok_or_else(|| missing(what).into())
}

/// Changes exactly one row, or returns the error that there is no such `what`.
pub(crate) fn change(tx: &Transaction<'_>, what: &str, sql: &str, params: impl Params) -> Result<(), Fault> {
    if tx.execute(sql, params)? == 1 { Ok(()) } else { Err(missing(what).into()) }
}

/// Records in the example's own log who did what. `audit_log` reads it.
pub(crate) fn note(tx: &Transaction<'_>, who: &str, action: &str, object: &str) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO events (at, who, action, object) VALUES (?1, ?2, ?3, ?4)",
        (now(), who, action, object),
    )?;
    Ok(())
}

/// Returns the name of the caller for the log.
pub(crate) fn who(context: &Context) -> Result<String, Error> {
    Ok(context.user()?.to_string())
}

/// Returns the current time as text.
pub(crate) fn now() -> String {
    SystemClock.now().to_string()
}

/// Returns the error that the current state does not allow the call.
pub(crate) fn refused(why: impl Into<String>) -> Error {
    Error::new(Code::Conflict).detail(why)
}

fn missing(what: &str) -> Error {
    Error::new(Code::NotFound).detail(format!("No {what} has this number."))
}
