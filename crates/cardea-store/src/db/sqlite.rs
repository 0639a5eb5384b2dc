//! SQLite: one thread that writes, a few that read.
//!
//! The writer drains its queue into one transaction with a savepoint per commit, so that many requests share one sync
//! to disk, and answers all callers after `COMMIT`. A failed guard undoes only its own savepoint. A failed sync is
//! final: the content of the disk is then unknown, so nothing more is written until the process is restarted.

use std::{
    collections::{HashMap, VecDeque},
    fs::OpenOptions,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use cardea_core::log::{ChainKey, Head};
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Cell, Columns, CommitError, DbConfig, RowError, Value,
    commit::{Commit, Kind, Sql, Step},
    placeholders,
};
use crate::crash;

/// Limit of commits that share one transaction.
const GROUP: usize = 256;
/// Number of pages in the write-ahead log that triggers a checkpoint. The larger it is, the more pages were changed
/// several times and are written only once.
const CHECKPOINT: i64 = 4_000;
/// Page cache of the writer, in kilobytes.
const CACHE: i64 = 8_192;
/// Limit of reads that wait for a reader.
const READS: usize = 4_096;
/// How long a commit waits for a place in the queue.
const ENTER: Duration = Duration::from_secs(5);
const BUSY: Duration = Duration::from_secs(5);
/// How long the writer waits for readers before a checkpoint; nothing is written meanwhile.
const FOLD: Duration = Duration::from_millis(50);
/// Number of attempts, and the pause between them, in which other work continues.
const FOLDS: u32 = 12;
const FOLD_AGAIN: Duration = Duration::from_millis(250);

/// Work for a thread that owns a connection.
pub(crate) type Task = Box<dyn FnOnce(&mut Session) + Send>;

enum Job {
    Commit(Waiting),
    Task(Task),
    Close(oneshot::Sender<()>),
}

struct Waiting {
    commit: Commit,
    answer: oneshot::Sender<Result<(), CommitError>>,
}

/// Location of the database.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Memory,
    File(PathBuf),
}

pub(crate) struct Sqlite {
    queue: mpsc::Sender<Job>,
    readers: Option<Readers>,
    broken: Arc<OnceLock<String>>,
    /// Number of requested checkpoints, and of those that were made.
    folds_wanted: AtomicU64,
    folds_served: tokio::sync::Mutex<u64>,
}

impl Sqlite {
    /// Opens the file (created if missing, readable by its owner only) and starts the threads.
    pub(crate) fn open(place: &Place, config: &DbConfig, key: ChainKey) -> Result<Self, rusqlite::Error> {
        let broken = Arc::new(OnceLock::new());
        let (send, receive) = mpsc::channel(config.queue.max(1));
        let conn = match place {
            Place::Memory => Connection::open_in_memory()?,
            Place::File(path) => {
                create_private(path);
                Connection::open_with_flags(path, flags())?
            }
        };
        conn.busy_timeout(BUSY)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
        conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
        conn.pragma_update(None, "cache_size", -CACHE)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        // WHY: otherwise deleted data stays readable in the file until its place is used again.
        conn.pragma_update(None, "secure_delete", true)?;
        let writer =
            Writer { session: Session::new(conn)?, node: config.node.clone(), key, broken: broken.clone() };
        start("cardea-db-write", move || writer.run(receive))?;
        let readers = match place {
            Place::Memory => None,
            Place::File(path) => Some(Readers::start(path, flags(), config.readers)?),
        };
        let (folds_wanted, folds_served) = Default::default();
        Ok(Self { queue: send, readers, broken, folds_wanted, folds_served })
    }

    /// Opens a copy read only: no byte of it changes, and no file is created beside it. Writes go to an empty
    /// in-memory database, and fail there.
    pub(crate) fn look(path: &Path) -> Result<Self, rusqlite::Error> {
        let config = DbConfig::default();
        let nowhere = Self::open(&Place::Memory, &config, ChainKey::new(&[0; 32]))?;
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let readers = Readers::start(Path::new(&as_it_is(path)), flags, config.readers)?;
        Ok(Self { readers: Some(readers), ..nowhere })
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if let Some(why) = self.broken.get() {
            return Err(CommitError::Unavailable(why.clone()));
        }
        let (answer, answered) = oneshot::channel();
        let job = Job::Commit(Waiting { commit, answer });
        self.queue.send_timeout(job, ENTER).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => CommitError::Unavailable("the queue is full".into()),
            mpsc::error::SendTimeoutError::Closed(_) => {
                CommitError::Unavailable("the database is closed".into())
            }
        })?;
        answered.await.unwrap_or_else(|_| Err(CommitError::Unknown("the writer ended".into())))
    }

    /// Runs a task on a reader (on the writer for an in-memory database). Returns `false` if it cannot be queued.
    pub(crate) async fn read(&self, task: Task) -> bool {
        match &self.readers {
            Some(readers) => readers.push(task),
            None => self.queue.send(Job::Task(task)).await.is_ok(),
        }
    }

    /// Runs a task on the writer, between two groups.
    pub(crate) async fn write(&self, task: Task) -> bool {
        self.queue.send(Job::Task(task)).await.is_ok()
    }

    /// Makes a checkpoint: moves everything that was written before this call from the write-ahead log to the
    /// database. Concurrent callers share one. Returns false if a reader kept using the log.
    pub(crate) async fn fold(&self) -> Result<bool, rusqlite::Error> {
        let mine = self.folds_wanted.fetch_add(1, Ordering::AcqRel) + 1;
        let mut served = self.folds_served.lock().await;
        if *served >= mine {
            return Ok(true);
        }
        let wanted = self.folds_wanted.load(Ordering::Acquire);
        for _ in 0..FOLDS {
            let (answer, answered) = oneshot::channel();
            let task = move |session: &mut Session| drop(answer.send(session.fold()));
            if !self.write(Box::new(task)).await {
                return Ok(false);
            }
            if answered.await.unwrap_or(Ok(false))? {
                *served = wanted;
                return Ok(true);
            }
            tokio::time::sleep(FOLD_AGAIN).await;
        }
        Ok(false)
    }

    /// Returns why nothing is written any more, if so.
    pub(crate) fn broken(&self) -> Option<String> {
        self.broken.get().cloned()
    }

    pub(crate) async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Job::Close(answer)).await.is_ok() {
            let _ended = answered.await;
        }
        if let Some(readers) = &self.readers {
            readers.close();
        }
    }
}

/// Returns the address of a file that is never written to.
///
/// WHY: a log beside the copy holds a part of it, and is ignored for a file that is declared immutable.
fn as_it_is(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let text = path.to_string_lossy();
    let log = std::fs::metadata(format!("{text}-wal")).is_ok_and(|log| log.len() > 0);
    let mut address = String::from("file:");
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                address.push(char::from(byte))
            }
            byte => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address.push_str(if log { "?mode=ro" } else { "?immutable=1" });
    address
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Creates the file with private permissions. SQLite gives its side files the mode of the main file.
pub(super) fn create_private(path: &Path) {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // An error here (the file exists, the folder does not) is reported by the open that follows.
    drop(options.open(path));
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), rusqlite::Error> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map(drop).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// A connection with its prepared statements.
pub(crate) struct Session {
    pub(crate) conn: Connection,
    /// Rewritten texts whose `$2` comes before their `$1`, by address, since SQLite numbers names in order of
    /// appearance.
    texts: HashMap<(usize, usize), Option<Box<str>>>,
}

impl Session {
    fn new(conn: Connection) -> rusqlite::Result<Self> {
        conn.set_prepared_statement_cache_capacity(512);
        // WHY: otherwise a statement with a range is planned anew each time that another value is bound to it, which
        // costs more than running it.
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(Self { conn, texts: HashMap::new() })
    }

    fn statement(&mut self, sql: &Sql) -> rusqlite::Result<rusqlite::CachedStatement<'_>> {
        let text = match sql {
            Sql::Built(text) => text,
            Sql::Fixed(text) => self
                .texts
                .entry((text.as_ptr() as usize, text.len()))
                .or_insert_with(|| placeholders::numbered(text).map(Into::into))
                .as_deref()
                .unwrap_or(text),
        };
        self.conn.prepare_cached(text)
    }

    /// Runs one statement and returns the number of affected rows.
    fn run(&mut self, sql: &Sql, args: &[Value]) -> rusqlite::Result<usize> {
        let select = placeholders::is_select(sql.text());
        let mut statement = self.statement(sql)?;
        bind(&mut statement, args)?;
        if !select {
            return statement.raw_execute();
        }
        let mut rows = statement.raw_query();
        let mut found = 0;
        while found < 2 && rows.next()?.is_some() {
            found += 1;
        }
        Ok(found)
    }

    /// Runs a query and passes each row to `each`.
    pub(crate) fn query<E: From<rusqlite::Error>>(
        &mut self,
        sql: &Sql,
        args: &[Value],
        mut each: impl FnMut(&dyn Columns) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.statement(sql)?;
        bind(&mut statement, args)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            each(row)?;
        }
        Ok(())
    }

    /// Writes the whole write-ahead log into the database and empties it. Returns false if a reader uses it.
    pub(crate) fn fold(&self) -> rusqlite::Result<bool> {
        self.conn.busy_timeout(FOLD)?;
        let busy = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.conn.busy_timeout(BUSY)?;
        match busy {
            Ok(busy) => Ok(busy == 0),
            Err(error) if code(&error) == Some(ErrorCode::DatabaseBusy) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn plain(&mut self, sql: &'static str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.raw_execute().map(drop)
    }
}

fn bind(statement: &mut rusqlite::Statement<'_>, args: &[Value]) -> rusqlite::Result<()> {
    if statement.parameter_count() != args.len() {
        return Err(rusqlite::Error::InvalidParameterCount(args.len(), statement.parameter_count()));
    }
    args.iter().enumerate().try_for_each(|(place, value)| statement.raw_bind_parameter(place + 1, value))
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Real(n) => ValueRef::Real(*n),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Columns for rusqlite::Row<'_> {
    fn cell(&self, column: usize) -> Result<Cell<'_>, RowError> {
        match self.get_ref(column).map_err(|_| RowError::Missing(column))? {
            ValueRef::Null => Ok(Cell::Null),
            ValueRef::Integer(n) => Ok(Cell::Int(n)),
            ValueRef::Real(n) => Ok(Cell::Real(n)),
            ValueRef::Text(bytes) => std::str::from_utf8(bytes)
                .map(Cell::Text)
                .map_err(|_| RowError::Type { column, wanted: "UTF-8" }),
            ValueRef::Blob(bytes) => Ok(Cell::Blob(bytes)),
        }
    }
}

// -- the writer ------------------------------------------------------------------------------------------------

struct Writer {
    session: Session,
    node: String,
    key: ChainKey,
    broken: Arc<OnceLock<String>>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut group = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            let mut next = Some(first);
            while let Some(job) = next.take() {
                match job {
                    Job::Commit(waiting) => group.push(waiting),
                    Job::Task(task) => {
                        self.settle(&mut group);
                        shielded(&mut self.session, task);
                    }
                    Job::Close(done) => {
                        self.settle(&mut group);
                        queue.close();
                        while let Ok(Job::Commit(late)) = queue.try_recv() {
                            group.push(late);
                        }
                        self.settle(&mut group);
                        let fold =
                            self.session.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
                        if let Err(error) = fold {
                            tracing::warn!(error = %error, "the write-ahead log was not folded in at close");
                        }
                        drop(self);
                        let _nobody_waits = done.send(());
                        return;
                    }
                }
                if group.len() < GROUP {
                    next = queue.try_recv().ok();
                }
            }
            self.settle(&mut group);
        }
    }

    /// Commits the group and answers all of its callers.
    fn settle(&mut self, group: &mut Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let mut results = vec![Ok(()); group.len()];
        if let Err(all) = self.transaction(group, &mut results) {
            // Commits whose own statement failed keep their own reason.
            results.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(all.clone()));
        }
        for (waiting, result) in group.drain(..).zip(results) {
            let _nobody_waits = waiting.answer.send(result);
        }
    }

    /// Runs the group in one transaction. An error means that nothing of it was written, or that the outcome is
    /// unknown.
    fn transaction(
        &mut self,
        group: &[Waiting],
        results: &mut [Result<(), CommitError>],
    ) -> Result<(), CommitError> {
        if let Some(why) = self.broken.get() {
            return Err(CommitError::Unavailable(why.clone()));
        }
        self.session.plain("BEGIN IMMEDIATE").map_err(|error| fault(&error, "begin"))?;
        let outcome = self.fill(group, results);
        let written = results.iter().any(Result::is_ok);
        if outcome.is_err() || !written {
            self.rollback();
            return outcome;
        }
        crash::point("commit.filled");
        if crash::fails("commit.filled") {
            self.rollback();
            return Err(CommitError::Unavailable("a test".into()));
        }
        let committed = self.session.plain("COMMIT").map_err(|error| {
            self.rollback();
            self.commit_fault(&error)
        });
        crash::point("commit.unanswered");
        if committed.is_ok() && crash::fails("commit.unanswered") {
            return Err(CommitError::Unknown("a test".into()));
        }
        committed
    }

    fn fill(
        &mut self,
        group: &[Waiting],
        results: &mut [Result<(), CommitError>],
    ) -> Result<(), CommitError> {
        let mut chain = None;
        if let ([only], [result]) = (group, &mut *results) {
            *result = self.statements(&only.commit, &mut chain);
            // If SQLite itself has undone the transaction (disk full, I/O error), there is nothing to continue with.
            return match result {
                Ok(()) => self.keep_head(chain),
                Err(error) if self.session.conn.is_autocommit() => Err(error.clone()),
                Err(_) => Ok(()),
            };
        }
        // WHY: for each savepoint SQLite copies every page before it is changed. Nearly all groups need none, so they
        // are tried without. A group in which a guard fails is run again, with savepoints that isolate its commits.
        let together = group.iter().all(|waiting| self.statements(&waiting.commit, &mut chain).is_ok());
        if !together {
            self.rollback();
            self.session.plain("BEGIN IMMEDIATE").map_err(|error| fault(&error, "begin"))?;
            chain = None;
            self.apart(group, results, &mut chain)?;
        }
        self.keep_head(chain)
    }

    /// Runs each commit of a group under a savepoint of its own.
    fn apart(
        &mut self,
        group: &[Waiting],
        results: &mut [Result<(), CommitError>],
        chain: &mut Option<Head>,
    ) -> Result<(), CommitError> {
        for (waiting, result) in group.iter().zip(results) {
            let before = *chain;
            self.session.plain("SAVEPOINT one").map_err(|error| fault(&error, "savepoint"))?;
            *result = self.statements(&waiting.commit, chain);
            if result.is_err() {
                *chain = before;
                if self.session.conn.is_autocommit() {
                    // SQLite has undone the whole transaction (disk full, I/O error): nothing was written for any
                    // caller.
                    return result.clone();
                }
                self.session.plain("ROLLBACK TO one").map_err(|error| fault(&error, "savepoint"))?;
            }
            self.session.plain("RELEASE one").map_err(|error| fault(&error, "savepoint"))?;
        }
        Ok(())
    }

    fn statements(&mut self, commit: &Commit, chain: &mut Option<Head>) -> Result<(), CommitError> {
        for Step { sql, args, kind } in &commit.steps {
            let touched = self.session.run(sql, args).map_err(|error| fault(&error, kind.conflict()))?;
            if let (Kind::Guard(name), true) = (kind, touched != 1) {
                return Err(CommitError::Conflict(name));
            }
        }
        for entry in &commit.audit {
            let head = match *chain {
                Some(head) => head,
                None => self.load_head()?,
            };
            let next = head.append(&self.key, &entry.body);
            let insert =
                "INSERT INTO audit (node, seq, tenant, at, body, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let mut statement =
                self.session.conn.prepare_cached(insert).map_err(|error| fault(&error, "audit"))?;
            let args = rusqlite::params![
                self.node,
                i64::try_from(next.sequence).unwrap_or(i64::MAX),
                entry.tenant.as_str(),
                entry.at.0,
                entry.body,
                next.link.as_slice()
            ];
            statement.execute(args).map_err(|error| fault(&error, "audit"))?;
            *chain = Some(next);
        }
        Ok(())
    }

    /// Loads the head of the chain. WHY: in every group, and not kept in memory, since another process (a command-line
    /// tool) may have appended.
    fn load_head(&mut self) -> Result<Head, CommitError> {
        let sql = "SELECT seq, link FROM audit_heads WHERE node = ?1";
        let mut statement = self.session.conn.prepare_cached(sql).map_err(|error| fault(&error, "audit"))?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?));
        match statement.query_row([&self.node], read) {
            Ok((sequence, link)) => Ok(Head { sequence: u64::try_from(sequence).unwrap_or(0), link }),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(Head::default()),
            Err(error) => Err(fault(&error, "audit")),
        }
    }

    fn keep_head(&mut self, head: Option<Head>) -> Result<(), CommitError> {
        let Some(head) = head else { return Ok(()) };
        let sql = "INSERT INTO audit_heads (node, seq, link) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, link = excluded.link";
        let sequence = i64::try_from(head.sequence).unwrap_or(i64::MAX);
        let mut statement = self.session.conn.prepare_cached(sql).map_err(|error| fault(&error, "audit"))?;
        let args = rusqlite::params![self.node, sequence, head.link.as_slice()];
        statement.execute(args).map(drop).map_err(|error| fault(&error, "audit"))
    }

    fn rollback(&mut self) {
        if !self.session.conn.is_autocommit()
            && let Err(error) = self.session.plain("ROLLBACK")
        {
            tracing::error!(error = %error, "a transaction could not be undone");
        }
    }

    /// Returns what a failed `COMMIT` means.
    fn commit_fault(&self, error: &rusqlite::Error) -> CommitError {
        match fault(error, "commit") {
            CommitError::Unavailable(why) if code(error) == Some(ErrorCode::SystemIoFailure) => {
                // WHY: after a failed sync it is unknown which pages reached the disk, and a second sync that succeeds
                // proves nothing. Only recovery at the next start tells.
                tracing::error!(error = %error, "syncing failed: nothing is written any more until a restart");
                let _first_reason_stays = self.broken.set(format!("syncing failed: {why}"));
                CommitError::Unknown(why)
            }
            other => other,
        }
    }
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

/// Classifies SQLite errors. `conflict` names what a violated unique constraint means here.
pub(crate) fn fault(error: &rusqlite::Error, conflict: &'static str) -> CommitError {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE};
    match code(error) {
        Some(ErrorCode::DiskFull) => CommitError::Full,
        Some(ErrorCode::ConstraintViolation) => match error.sqlite_error().map(|inner| inner.extended_code) {
            Some(SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_ROWID | SQLITE_CONSTRAINT_UNIQUE) => {
                CommitError::Conflict(conflict)
            }
            _ => CommitError::Wrong(error.to_string()),
        },
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::PermissionDenied
            | ErrorCode::OperationInterrupted,
        ) => CommitError::Unavailable(error.to_string()),
        _ => CommitError::Wrong(error.to_string()),
    }
}

// -- the readers -----------------------------------------------------------------------------------------------

#[derive(Default)]
struct Line {
    waiting: Mutex<(VecDeque<Task>, bool)>,
    more: Condvar,
}

struct Readers(Arc<Line>);

impl Readers {
    fn start(path: &Path, flags: OpenFlags, count: usize) -> Result<Self, rusqlite::Error> {
        let readers = Self(Arc::new(Line::default()));
        for _ in 0..count.max(1) {
            let conn = Connection::open_with_flags(path, flags)?;
            conn.busy_timeout(BUSY)?;
            conn.pragma_update(None, "query_only", true)?;
            let (line, mut session) = (readers.0.clone(), Session::new(conn)?);
            start("cardea-db-read", move || {
                while let Some(task) = next(&line) {
                    shielded(&mut session, task);
                }
            })?;
        }
        Ok(readers)
    }

    fn push(&self, task: Task) -> bool {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.1 || waiting.0.len() >= READS {
            return false;
        }
        waiting.0.push_back(task);
        self.0.more.notify_one();
        true
    }

    fn close(&self) {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.0.more.notify_all();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

fn next(line: &Line) -> Option<Task> {
    let mut waiting = line.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(task) = waiting.0.pop_front() {
            return Some(task);
        }
        if waiting.1 {
            return None;
        }
        waiting = line.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Shields the thread from a panic in one task: the caller of that task sees a closed channel.
fn shielded(session: &mut Session, task: Task) {
    if catch_unwind(AssertUnwindSafe(|| task(session))).is_err() {
        tracing::error!("a database task panicked");
    }
}

#[cfg(test)]
mod tests;
