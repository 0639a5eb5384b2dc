//! PostgreSQL: one task that writes, and a few connections that read.
//!
//! The writer drains its queue into one transaction with a savepoint per commit. It locks in sorted order what the
//! commits say they touch, sends all statements of a commit at once, takes the head of the chain under a row lock at
//! the end, and answers all callers after `COMMIT`. If a connection is lost before `COMMIT` was sent, nothing was
//! written; if it is lost later, the outcome is unknown until the rows are read again.

mod fault;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cardea_core::{
    Code, Error, Result,
    log::{ChainKey, Head},
    secret::ExposeSecret,
};
use futures::future::join_all;
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    time::Instant,
};
use tokio_postgres::{
    Client, Config, Statement,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::fault::Fault;
use self::fault::chain;
use super::{
    Cell, Columns, CommitError, DbConfig, FromRow, Row, RowError, Value,
    address::{Address, Tls},
    commit::{Commit, Entry, Kind, Step},
    placeholders, row_error,
};
use crate::{
    crash,
    jobs::{Jobs, Stage},
};

const GROUP: usize = 128;
/// Number of statements that are sent before the first answer is awaited.
const AHEAD: usize = 24;
/// Number of prepared statements kept per connection; beyond it all are dropped and prepared anew.
const STATEMENTS: usize = 512;
const CONNECT: Duration = Duration::from_secs(1);
const ENTER: Duration = Duration::from_secs(5);
const WORK: Duration = Duration::from_secs(8);
/// Time limit of a statement that does no work yet. Without an answer by then the connection is dead, and there is
/// still time to renew the node's lease over another one.
const NOTHING: Duration = Duration::from_secs(2);
/// Time within which the kernel must detect a server that has gone silent.
const DEAD: Duration = Duration::from_secs(10);
/// Time limit of the last writes while this process ends.
const CLOSE: Duration = Duration::from_secs(5);

/// Limits that the server is asked to enforce. A lock is waited for longer than the server lets a client that has
/// stopped in the middle of a transaction keep it, and both times are well below the lease of a node, so a frozen node
/// stops no other.
const LIMITS: &str =
    "-c statement_timeout=7000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=4000";
/// A migration may take as long as large tables need, but waits for a lock no longer than other statements.
const UNHURRIED: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
/// Setting after a lock could not be obtained: the other commits of this group and of the next must not each wait as
/// long.
const HURRY: &str = "SET LOCAL lock_timeout = 100";

struct Waiting {
    commit: Commit,
    answer: oneshot::Sender<Result<(), CommitError>>,
}

pub(crate) struct Postgres {
    queue: mpsc::Sender<Waiting>,
    links: Vec<Link>,
    next: AtomicUsize,
    jobs: Jobs,
}

impl Postgres {
    pub(crate) async fn open(address: Address, config: &DbConfig, key: ChainKey) -> Result<Self> {
        let tls = address
            .tls()
            .map_err(|why| Error::new(Code::Misconfigured).detail(format!("`db.url`: {why}.")))?;
        let mut target = address.config;
        if let Some(password) = &config.password {
            target.password(password.expose_secret());
        }
        let options = target.get_options().map_or_else(|| LIMITS.to_owned(), |own| format!("{own} {LIMITS}"));
        target.options(options).connect_timeout(CONNECT).application_name("cardea");
        watched(&mut target);
        let jobs = Jobs::new();
        let link = || Link {
            target: target.clone(),
            tls: tls.clone(),
            jobs: jobs.clone(),
            session: AsyncMutex::default(),
        };
        let links: Vec<Link> = (0..config.readers).map(|_| link()).collect();
        let (queue, receive) = mpsc::channel(config.queue);
        let writer = Writer { link: link(), node: config.node.clone(), key, locked: AtomicBool::new(false) };
        // WHY: the first connection is made here, so that a wrong address is reported at the start.
        writer.link.session().await?;
        let started = jobs.spawn_in(Stage::Work, "db-write", |_stop| writer.run(receive));
        started.map_err(|error| Error::from(CommitError::Unavailable(error.to_string())))?;
        Ok(Self { queue, links, next: AtomicUsize::new(0), jobs })
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send_timeout(Waiting { commit, answer }, ENTER).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => CommitError::Unavailable("the queue is full".into()),
            mpsc::error::SendTimeoutError::Closed(_) => {
                CommitError::Unavailable("the database is closed".into())
            }
        })?;
        answered.await.unwrap_or_else(|_| Err(CommitError::Unknown("the writer ended".into())))
    }

    pub(crate) async fn rows<T: FromRow>(&self, sql: &'static str, args: &[Value]) -> Result<Vec<T>> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.links.len().max(1);
        let Some(link) = self.links.get(place) else {
            return Err(CommitError::Unavailable("no connection is configured".into()).into());
        };
        let session = link.session().await?;
        let found = match link.ask(&session, sql, args).await {
            // Reading again is harmless, and a server that was restarted or replaced answers at once. A server that
            // accepted no connection is not asked twice.
            Err(fault) if fault.lost => link.ask(&link.session().await?, sql, args).await,
            other => other,
        };
        let rows = found?;
        rows.iter().map(|row| T::from_row(&Row(row)).map_err(|error| row_error(error, sql))).collect()
    }

    pub(crate) async fn script(&self, script: String) -> Result<()> {
        let link = self.links.first().ok_or_else(|| CommitError::Unavailable("no connection".into()))?;
        let client = link.another();
        let session = client.session().await.map_err(|fault| Error::from(fault.error))?;
        // WHY: an index on a large table takes minutes, and no request waits for it.
        session.script(UNHURRIED).await.map_err(|fault| Error::from(fault.error))?;
        // Several statements sent as one text are one transaction (PostgreSQL manual, 55.2.2.1).
        session.script(&script).await.map_err(|fault| fault.error.into())
    }

    pub(crate) async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        let last = Waiting { commit: Commit::new(), answer };
        let written = async {
            if self.queue.send(last).await.is_ok() {
                let _ended = answered.await;
            }
        };
        drop(tokio::time::timeout(CLOSE, written).await);
        // Requests that still wait for an answer then are cut off.
        self.jobs.drain(CLOSE).await;
        for link in &self.links {
            link.session.lock().await.kept.take();
        }
    }
}

// -- connections -----------------------------------------------------------------------------------------------

/// A slot for one connection, which is opened when needed and again when it was lost.
pub(crate) struct Link {
    target: Config,
    tls: Tls,
    jobs: Jobs,
    session: AsyncMutex<Place>,
}

#[derive(Default)]
struct Place {
    kept: Option<Arc<Session>>,
    /// Time and reason of the last failure to connect.
    failed: Option<(Instant, Fault)>,
}

impl Link {
    /// Creates a slot for a connection of its own.
    ///
    /// # Errors
    /// Which certificates cannot be used.
    pub(crate) fn to(address: Address) -> Result<Self, String> {
        let tls = address.tls()?;
        let mut target = address.config;
        target.connect_timeout(CONNECT);
        watched(&mut target);
        Ok(Self { target, tls, jobs: Jobs::new(), session: AsyncMutex::default() })
    }

    /// Returns a slot for another connection to the same server.
    fn another(&self) -> Self {
        let (target, tls, jobs) = (self.target.clone(), self.tls.clone(), self.jobs.clone());
        Self { target, tls, jobs, session: AsyncMutex::default() }
    }

    /// Runs some work in the background, on a connection of its own. Errors only go to the log.
    pub(crate) fn later<W>(&self, name: &'static str, work: impl FnOnce(Arc<Session>) -> W + Send + 'static)
    where
        W: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let link = self.another();
        self.jobs.spawn(name, async move {
            let done = async { work(link.session().await?).await };
            if let Err(fault) = done.await {
                tracing::warn!(job.name = name, error.cause = %fault, "not done");
            }
        });
    }

    pub(crate) async fn session(&self) -> Result<Arc<Session>, Fault> {
        let asked = Instant::now();
        let mut place = self.session.lock().await;
        if let Some(session) = place.kept.as_ref().filter(|session| !session.client.is_closed()) {
            return Ok(session.clone());
        }
        // WHY: if another task's attempt failed while this one waited, that is the answer to both. With one attempt
        // after the other, the last of many tasks would learn of a silent server after minutes.
        if let Some((_, fault)) = place.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(fault.clone());
        }
        place.kept = None;
        match self.connect().await {
            Ok(session) => {
                *place = Place { kept: Some(session.clone()), failed: None };
                Ok(session)
            }
            Err(fault) => {
                place.failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    async fn connect(&self) -> Result<Arc<Session>, Fault> {
        // WHY: boxed, since a handshake is large and every read would otherwise reserve space for it.
        let connecting = Box::pin(self.target.connect(self.tls.clone()));
        let connected = tokio::time::timeout(CONNECT * 2, connecting).await;
        let (client, connection) = match connected {
            Ok(connected) => connected.map_err(|error| match error.as_db_error() {
                Some(_) => Fault::of(&error, "connect"),
                None => Fault::lost(&chain(&error)), // the network, or the handshake
            })?,
            Err(_) => return Err(Fault::lost("connecting took too long")),
        };
        let cut = CancellationToken::new();
        let dropped = cut.clone();
        let run = self.jobs.spawn_in(Stage::Upkeep, "db-connection", |stop| async move {
            tokio::select! {
                () = dropped.cancelled() => {}
                ended = connection => if let Err(error) = ended {
                    tracing::warn!(error = %error, "a database connection ended");
                },
                () = stop.cancelled() => {}
            }
        });
        run.map_err(|error| Fault::lost(&error.to_string()))?;
        Ok(Arc::new(Session { client, cut, statements: Mutex::default() }))
    }

    /// Returns the rows of a statement. A lost session is dropped.
    async fn ask(
        &self,
        session: &Arc<Session>,
        sql: &str,
        args: &[Value],
    ) -> Result<Vec<tokio_postgres::Row>, Fault> {
        let params: Vec<&(dyn ToSql + Sync)> = args.iter().map(|arg| arg as _).collect();
        let found = session.query(sql, &params).await;
        if found.as_ref().is_err_and(|fault| fault.lost) {
            self.forget(session).await;
        }
        found
    }

    /// Closes a useless connection; the next request gets a new one. Requests that still wait on it fail at once.
    pub(crate) async fn forget(&self, session: &Arc<Session>) {
        let mut place = self.session.lock().await;
        // WHY: another task may have noticed sooner, and the new connection is good.
        if place.kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, session)) {
            place.kept = None;
        }
        session.cut.cancel();
    }
}

/// Has the kernel detect a server that is gone without a word.
fn watched(target: &mut Config) {
    target.keepalives_idle(DEAD / 2).keepalives_interval(DEAD / 5).keepalives_retries(3);
    if target.get_tcp_user_timeout().is_none() {
        target.tcp_user_timeout(DEAD);
    }
}

pub(crate) struct Session {
    client: Client,
    /// Ends the connection, even if it still owes answers, which will never come.
    cut: CancellationToken,
    statements: Mutex<HashMap<Box<str>, Statement>>,
}

impl Session {
    /// Returns the rows of a statement.
    pub(crate) async fn query(
        &self,
        sql: &str,
        args: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Fault> {
        let statement = self.statement(sql).await?;
        match tokio::time::timeout(WORK, self.client.query(&statement, args)).await {
            Ok(found) => found.map_err(|error| Fault::of(&error, "read")),
            Err(_) => Err(Fault::lost(SILENT)),
        }
    }

    /// Runs several statements, in one transaction unless they say otherwise.
    pub(crate) async fn script(&self, script: &str) -> Result<(), Fault> {
        self.client.batch_execute(script).await.map_err(|error| Fault::of(&error, "script"))
    }

    async fn statement(&self, sql: &str) -> Result<Statement, Fault> {
        let kept = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = kept {
            return Ok(statement);
        }
        let select = placeholders::is_select(sql);
        let prepared = match tokio::time::timeout(WORK, self.client.prepare(sql)).await {
            Ok(prepared) => {
                prepared.map_err(|error| Fault::of(&error, if select { "read" } else { "prepare" }))?
            }
            Err(_) => return Err(Fault::lost(SILENT)),
        };
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.into(), prepared.clone());
        Ok(prepared)
    }

    async fn run(&self, sql: &str, args: &[Value], conflict: &'static str) -> Result<u64, Fault> {
        let statement = self.statement(sql).await?;
        let params: Vec<&(dyn ToSql + Sync)> = args.iter().map(|arg| arg as _).collect();
        self.client.execute(&statement, &params).await.map_err(|error| Fault::of(&error, conflict))
    }
}

/// The SQLSTATE of a missing right.
pub(super) const NO_RIGHT: &str = "SQLSTATE 42501";

/// The SQLSTATE of a wrong password.
const WRONG_PASSWORD: &str = "SQLSTATE 28P01";

/// Returns whether no password, or a wrong one, was sent to the server.
pub(super) fn wants_a_password(error: &Error) -> bool {
    let cause = error.cause_line().unwrap_or_default();
    cause.contains(WRONG_PASSWORD) || cause.contains("password missing")
}

const SILENT: &str = "no answer in time";

// -- the writer ------------------------------------------------------------------------------------------------

struct Writer {
    link: Link,
    node: String,
    key: ChainKey,
    /// True if a lock that the last group needed was held by others.
    locked: AtomicBool,
}

const HEAD: &str = "SELECT seq, link FROM audit_heads WHERE node = $1 FOR UPDATE";
const FIRST_HEAD: &str =
    "INSERT INTO audit_heads (node, seq, link) VALUES ($1, 0, $2) ON CONFLICT (node) DO NOTHING";
const KEEP_HEAD: &str = "UPDATE audit_heads SET seq = $2, link = $3 WHERE node = $1";
/// Locks in the order of the array. WHY: the rows of a set-returning function are read in the order of the array. The
/// hash is the server's own, and so the same for all nodes of whatever version.
const TOUCHED: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended(hot, 7230116)) FROM unnest($1::TEXT[]) AS hot";
const ENTRY: &str = "INSERT INTO audit (node, seq, tenant, at, body, link) VALUES ($1, $2, $3, $4, $5, $6)";

/// Locks these until the end of the transaction, or none of them, and returns why.
async fn lock_hot(session: &Session, hot: &[&str]) -> Result<Option<Fault>, Fault> {
    let statement = session.statement(TOUCHED).await?;
    let lock = async {
        let locked = session.client.execute(&statement, &[&hot]).await;
        locked.map_err(|error| Fault::of(&error, "touched"))
    };
    // In one round trip; the last statement is refused if the one before it has failed.
    let (begun, locked, ended) =
        tokio::join!(plain(session, "SAVEPOINT hot"), lock, plain(session, "RELEASE SAVEPOINT hot"));
    begun?;
    match locked {
        Ok(_) => ended.map(|()| None),
        Err(fault) if fault.lost => Err(fault),
        Err(fault) => {
            plain(session, "ROLLBACK TO SAVEPOINT hot; RELEASE SAVEPOINT hot").await?;
            Ok(Some(fault))
        }
    }
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        let mut group = Vec::new();
        while queue.recv_many(&mut group, GROUP).await > 0 {
            if group.iter().any(|waiting: &Waiting| waiting.commit.is_empty()) {
                queue.close();
            }
            let commits: Vec<&Commit> = group.iter().map(|waiting| &waiting.commit).collect();
            let mut results = self.settle(&commits).await;
            for (commit, result) in commits.iter().zip(&mut results) {
                for _ in 0..3 {
                    if result.as_ref().is_err_and(|fault| fault.again) {
                        *result = self.settle(&[commit]).await.pop().unwrap_or(Ok(()));
                    }
                }
            }
            for (waiting, result) in group.drain(..).zip(results) {
                let _nobody_waits = waiting.answer.send(result.map_err(|fault| fault.error));
            }
        }
    }

    async fn settle(&self, group: &[&Commit]) -> Vec<Result<(), Fault>> {
        let mut results = vec![Ok(()); group.len()];
        let begun = self.begin().await;
        let settled = match &begun {
            Ok(session) => self.transaction(session, group, &mut results).await,
            Err(fault) => Err(fault.clone()),
        };
        if let Err(all) = settled {
            if let Ok(session) = &begun {
                // WHY: closing the connection makes the server undo everything that was not committed.
                self.link.forget(session).await;
            }
            results.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(all.clone()));
        }
        results
    }

    /// Runs the group in one transaction. An error means that nothing of it was written, or that the outcome is
    /// unknown.
    async fn transaction(
        &self,
        session: &Session,
        group: &[&Commit],
        results: &mut [Result<(), Fault>],
    ) -> Result<(), Fault> {
        let filled = tokio::time::timeout(WORK, self.fill(session, group, results)).await;
        filled.unwrap_or_else(|_| Err(Fault::lost(SILENT)))?;
        if results.iter().all(Result::is_err) {
            return quick(session, "ROLLBACK").await;
        }
        crash::point("commit.filled");
        if crash::fails("commit.filled") {
            return Err(Fault::lost("a test"));
        }
        let unknown =
            |why: String| Fault { error: CommitError::Unknown(why), lost: true, again: false, locked: false };
        match tokio::time::timeout(WORK, session.client.batch_execute("COMMIT")).await {
            Ok(Ok(())) => {
                crash::point("commit.unanswered");
                if crash::fails("commit.unanswered") { Err(unknown("a test".into())) } else { Ok(()) }
            }
            Ok(Err(error)) => match Fault::of(&error, "commit") {
                // A refusal by the server is an answer; silence is not.
                fault if error.as_db_error().is_some() && !fault.lost => Err(fault),
                _ => Err(unknown(error.to_string())),
            },
            Err(_) => Err(unknown("no answer to COMMIT in time".into())),
        }
    }

    /// Opens a transaction, on a new connection if the old one is gone.
    async fn begin(&self) -> Result<Arc<Session>, Fault> {
        let session = self.link.session().await?;
        match quick(&session, "BEGIN").await {
            Ok(()) => Ok(session),
            Err(fault) => {
                self.link.forget(&session).await;
                if !fault.lost {
                    return Err(fault);
                }
                let session = self.link.session().await?;
                match quick(&session, "BEGIN").await {
                    Ok(()) => Ok(session),
                    Err(fault) => {
                        self.link.forget(&session).await;
                        Err(fault)
                    }
                }
            }
        }
    }

    async fn fill(
        &self,
        session: &Session,
        group: &[&Commit],
        results: &mut [Result<(), Fault>],
    ) -> Result<(), Fault> {
        let (mut entries, mut locked) = (Vec::new(), false);
        if self.locked.load(Ordering::Relaxed) {
            plain(session, HURRY).await?;
        }
        let not_had = self.lock_touched(session, group).await?;
        for (commit, result) in group.iter().zip(results) {
            plain(session, "SAVEPOINT one").await?;
            let done = match commit.touched.iter().find_map(|hot| not_had.get(&**hot)) {
                Some(fault) => Err(fault.clone()),
                None => statements(session, commit).await,
            };
            let undo = match done {
                Err(fault) if fault.lost => return Err(fault),
                Err(fault) => {
                    locked |= fault.locked;
                    *result = Err(fault);
                    "ROLLBACK TO SAVEPOINT one; RELEASE SAVEPOINT one"
                }
                Ok(()) => {
                    entries.extend(&commit.audit);
                    "RELEASE SAVEPOINT one"
                }
            };
            plain(session, undo).await?;
            if locked {
                plain(session, HURRY).await?;
            }
        }
        self.locked.store(locked, Ordering::Relaxed);
        if entries.is_empty() { Ok(()) } else { self.link_entries(session, &entries).await }
    }

    /// Locks everything that the group touches, before it holds any row. Returns what could not be locked, and why:
    /// commits that touch it fail, the others can continue.
    async fn lock_touched<'g>(
        &self,
        session: &Session,
        group: &[&'g Commit],
    ) -> Result<BTreeMap<&'g str, Fault>, Fault> {
        // INVARIANT: sorted, so that no two nodes wait for each other.
        let hot: BTreeSet<&str> = group.iter().flat_map(|commit| &commit.touched).map(|hot| &**hot).collect();
        let hot: Vec<&str> = hot.into_iter().collect();
        let mut not_had = BTreeMap::new();
        if hot.is_empty() {
            return Ok(not_had);
        }
        match lock_hot(session, &hot).await? {
            None => {}
            // WHY: what one tenant's commits wait for must not fail those of all tenants.
            Some(fault) if fault.locked && hot.len() > 1 => {
                plain(session, HURRY).await?;
                for one in hot {
                    if let Some(fault) = lock_hot(session, &[one]).await? {
                        not_had.insert(one, fault);
                    }
                }
            }
            Some(fault) => not_had.extend(hot.into_iter().map(|hot| (hot, fault.clone()))),
        }
        Ok(not_had)
    }

    /// Appends to the chain under the lock of its head, which is taken as late as possible.
    async fn link_entries(&self, session: &Session, entries: &[&Entry]) -> Result<(), Fault> {
        let mut head = match self.head(session).await? {
            Some(head) => head,
            None => {
                let first = [self.node.clone().into(), Head::default().link.into()];
                session.run(FIRST_HEAD, &first, "audit").await?;
                self.head(session).await?.unwrap_or_default()
            }
        };
        for chunk in entries.chunks(AHEAD) {
            let rows: Vec<[Value; 6]> = chunk
                .iter()
                .map(|entry| {
                    head = head.append(&self.key, &entry.body);
                    let (node, body) = (self.node.clone().into(), entry.body.clone().into());
                    let (tenant, at) = (Value::from(&entry.tenant), entry.at.into());
                    [node, head.sequence.into(), tenant, at, body, head.link.into()]
                })
                .collect();
            for sent in join_all(rows.iter().map(|row| session.run(ENTRY, row, "audit"))).await {
                sent?;
            }
        }
        let last = [self.node.clone().into(), head.sequence.into(), head.link.into()];
        session.run(KEEP_HEAD, &last, "audit").await.map(drop)
    }

    async fn head(&self, session: &Session) -> Result<Option<Head>, Fault> {
        let statement = session.statement(HEAD).await?;
        let found = session.client.query_opt(&statement, &[&self.node]).await;
        let Some(row) = found.map_err(|error| Fault::of(&error, "audit"))? else { return Ok(None) };
        let wrong = |error: RowError| Fault {
            error: CommitError::Wrong(error.to_string()),
            lost: false,
            again: false,
            locked: false,
        };
        let row = Row(&row);
        Ok(Some(Head { sequence: row.get(0).map_err(wrong)?, link: row.get(1).map_err(wrong)? }))
    }
}

/// Runs a statement that does no work.
async fn quick(session: &Session, sql: &str) -> Result<(), Fault> {
    tokio::time::timeout(NOTHING, plain(session, sql)).await.unwrap_or_else(|_| Err(Fault::lost(SILENT)))
}

async fn plain(session: &Session, sql: &str) -> Result<(), Fault> {
    session.client.batch_execute(sql).await.map_err(|error| Fault::of(&error, "transaction"))
}

/// Runs the statements of one commit, many ahead of their answers.
async fn statements(session: &Session, commit: &Commit) -> Result<(), Fault> {
    for chunk in commit.steps.chunks(AHEAD) {
        // INVARIANT: all are prepared first, one after the other, so that the sends below keep their order.
        for step in chunk {
            session.statement(&locking(step)).await?;
        }
        let texts: Vec<_> = chunk.iter().map(locking).collect();
        let sent =
            chunk.iter().zip(&texts).map(|(step, text)| session.run(text, &step.args, step.kind.conflict()));
        for (answer, step) in join_all(sent).await.into_iter().zip(chunk) {
            if let (touched, Kind::Guard(name)) = (answer?, step.kind)
                && touched != 1
            {
                return Err(Fault {
                    error: CommitError::Conflict(name),
                    lost: false,
                    again: false,
                    locked: false,
                });
            }
        }
    }
    Ok(())
}

/// Makes a reading guard keep what it has read until the end.
fn locking(step: &Step) -> Cow<'_, str> {
    let text = step.sql.text();
    match step.kind {
        Kind::Guard(_) if placeholders::is_select(text) => Cow::Owned(format!("{text} FOR SHARE")),
        _ => Cow::Borrowed(text),
    }
}

// -- values ----------------------------------------------------------------------------------------------------

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Int(n), &Type::INT8) => n.to_sql(ty, out),
            (Self::Int(n), &Type::INT4) => i32::try_from(*n)?.to_sql(ty, out),
            (Self::Int(n), &Type::FLOAT8) => (*n as f64).to_sql(ty, out),
            (Self::Real(n), &Type::FLOAT8) => n.to_sql(ty, out),
            (Self::Text(text), &(Type::TEXT | Type::VARCHAR | Type::UNKNOWN)) => {
                text.as_str().to_sql(ty, out)
            }
            (Self::Blob(bytes), &Type::BYTEA) => bytes.as_slice().to_sql(ty, out),
            _ => Err(format!("this value cannot be a `{ty}`").into()),
        }
    }

    fn accepts(_ty: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Columns for tokio_postgres::Row {
    fn cell(&self, column: usize) -> Result<Cell<'_>, RowError> {
        let wrong = |wanted| move |_| RowError::Type { column, wanted };
        let ty = self.columns().get(column).ok_or(RowError::Missing(column))?.type_();
        let cell = match *ty {
            Type::INT8 => self.try_get::<_, Option<i64>>(column).map_err(wrong("int8"))?.map(Cell::Int),
            Type::INT4 => {
                self.try_get::<_, Option<i32>>(column).map_err(wrong("int4"))?.map(|n| Cell::Int(n.into()))
            }
            Type::BOOL => {
                self.try_get::<_, Option<bool>>(column).map_err(wrong("bool"))?.map(|b| Cell::Int(b.into()))
            }
            Type::FLOAT8 => self.try_get::<_, Option<f64>>(column).map_err(wrong("float8"))?.map(Cell::Real),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => {
                self.try_get::<_, Option<&str>>(column).map_err(wrong("text"))?.map(Cell::Text)
            }
            Type::BYTEA => self.try_get::<_, Option<&[u8]>>(column).map_err(wrong("bytea"))?.map(Cell::Blob),
            _ => {
                return Err(RowError::Type { column, wanted: "a type that both engines have: write a CAST" });
            }
        };
        Ok(cell.unwrap_or(Cell::Null))
    }
}

#[cfg(test)]
mod tests {
    use cardea_core::Code;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_that_says_nothing_is_waited_for_once_by_all_who_read() {
        let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = hole.local_addr().unwrap().port();
        let url = format!("postgres://cardea@127.0.0.1:{port}/cardea?sslmode=disable");
        let links = vec![Link::to(Address::parse(&url).unwrap()).unwrap()];
        let (queue, _nobody) = mpsc::channel(1);
        let db = Postgres { queue, links, next: AtomicUsize::new(0), jobs: Jobs::new() };
        let mut taken = Vec::new();
        let silent = async {
            while let Ok(one) = hole.accept().await {
                taken.push(one);
            }
        };
        let reads = join_all((0..64).map(|_| db.rows::<(i64,)>("SELECT 1", &[])));
        let reads = async { tokio::time::timeout(CONNECT * 30, reads).await.expect("told in time") };
        let told = tokio::select! {
            told = reads => told,
            () = silent => Vec::new(),
        };
        assert!(
            told.iter().all(|one| one.as_ref().is_err_and(|error| error.code() == Code::StoreUnavailable))
        );
        assert_eq!(taken.len(), 1, "one try for all of them");
        // Later requests try anew.
        tokio::select! {
            told = db.rows::<(i64,)>("SELECT 1", &[]) => panic!("the server was not asked: {told:?}"),
            _asked = hole.accept() => {}
        }
    }
}
