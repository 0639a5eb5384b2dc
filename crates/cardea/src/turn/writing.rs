//! Writing of a turn: one guarded commit after the other, each with all rows that wait for it.

use cardea_core::{Code, Error};
use cardea_store::{Commit, CommitError, Value, args};

use super::{KINDS, Kind, Step, Turn, Turns, held::Hold};
use crate::observe::Entry;

/// State of a turn's writing.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) fence: i64,
    /// Number of events in its stream so far.
    pub(super) events: i64,
    /// Rows that wait for the next commit of this turn.
    pub(super) pending: Commit,
    /// True once the turn's own row is in the database.
    pub(super) durable: bool,
    /// Number of commits of this turn so far. It tells whether a commit whose acknowledgement was lost has arrived.
    pub(super) commits: i64,
    /// Number of times the turn was resumed since its last commit.
    pub(super) tries: i64,
    /// Error of a failed commit. Every later commit of this value fails with it; the next owner reads the rows anew.
    pub(super) stranded: Option<CommitError>,
    /// Marks the turn as worked on by this process, until dropped.
    pub(super) held: Hold,
}

impl Writing {
    /// Creates the state of a turn of which nothing is written. Its first event is its beginning, which its row holds.
    pub(super) fn new(held: Hold) -> Self {
        Self {
            fence: 1,
            events: 1,
            pending: Commit::new(),
            durable: false,
            commits: 0,
            tries: 0,
            stranded: None,
            held,
        }
    }
}

impl Turn {
    /// Adds rows of another room that must become durable together with the turn's next commit.
    pub fn note(&mut self, rows: Commit) {
        self.writing.pending = std::mem::take(&mut self.writing.pending).and(rows);
    }

    /// Returns how often the turn was resumed since its last commit, this time included.
    #[must_use]
    pub fn tries(&self) -> i64 {
        self.writing.tries
    }

    /// Returns whether the row is in the database. If it is, the turn is resumed should its owner vanish.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.writing.durable
    }

    /// Returns whether a failed commit may have been written: its acknowledgement was lost, and its row could not be
    /// read.
    #[must_use]
    pub fn may_be_written(&self) -> bool {
        matches!(self.writing.stranded, Some(CommitError::Unknown(_)))
    }

    pub(super) fn run(&mut self, sql: &'static str, args: Vec<Value>) {
        self.writing.pending = std::mem::take(&mut self.writing.pending).run(sql, args);
    }

    pub(super) fn guard(&mut self, name: &'static str, sql: &'static str, args: Vec<Value>) {
        self.writing.pending = std::mem::take(&mut self.writing.pending).guard(name, sql, args);
    }
}

impl Turns {
    /// Commits the pending rows, guarded by the turn's fencing number.
    ///
    /// # Errors
    /// `taken_over` if another node owns the turn; store errors.
    pub async fn flush(&self, turn: &mut Turn) -> Result<(), Error> {
        let row = self.row(turn)?;
        self.commit(turn, row).await.map_err(lost)
    }

    /// Commits the turn's own row, and the pending rows after it.
    pub(super) async fn commit(&self, turn: &mut Turn, row: Commit) -> Result<(), CommitError> {
        // WHY: an outcome that could not be recorded is not reported, and whatever depends on it is not written
        // either.
        if let Some(error) = &turn.writing.stranded {
            return Err(error.clone());
        }
        let commit = row.and(std::mem::take(&mut turn.writing.pending));
        turn.writing.commits += i64::from(turn.writing.durable);
        match self.inner.db.commit(commit).await {
            Err(CommitError::Unknown(why)) if !self.arrived(turn).await => {
                turn.writing.stranded = Some(CommitError::Unknown(why.clone()));
                Err(CommitError::Unknown(why))
            }
            Ok(()) | Err(CommitError::Unknown(_)) => {
                turn.writing.durable = true;
                self.inner.followed.tell(turn.id);
                Ok(())
            }
            Err(CommitError::Conflict("key")) => {
                turn.writing.commits -= 1; // nothing was written, and the turn is still ours to end
                Err(CommitError::Conflict("key"))
            }
            Err(error) => {
                turn.writing.stranded = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Returns whether a commit whose acknowledgement was lost has arrived.
    pub(super) async fn arrived(&self, turn: &Turn) -> bool {
        let sql = "SELECT commits FROM turns WHERE id = $1 AND fence = $2 AND node = $3 AND node_fence = $4";
        let node = &self.inner.node;
        let args = args![turn.id, turn.writing.fence, &node.name, node.fence];
        let found = self.inner.db.row::<(i64,)>(sql, args).await;
        found.is_ok_and(|row| row == Some((turn.writing.commits,)))
    }

    /// Adds an event to the turn's stream, with the next commit.
    pub(super) fn event(&self, turn: &mut Turn, kind: &'static str, body: &serde_json::Value) {
        // A bare call has one request and one answer, and no followers.
        if turn.asked.kind != Kind::Chat {
            return;
        }
        debug_assert!(KINDS.contains(&kind), "`{kind}` is not described");
        turn.writing.events += 1;
        turn.run(
            "INSERT INTO events (turn, seq, tenant, kind, body, at) VALUES ($1, $2, $3, $4, $5, $6)",
            args![
                turn.id,
                turn.writing.events,
                &turn.asked.principal.tenant,
                kind,
                body.to_string(),
                self.now().0
            ],
        );
    }

    /// Returns the digest that the audit log holds in place of a text. Texts of services, models and people are wiped
    /// with their conversation, but nothing is removed from the log. Only this installation can compute the digest, so
    /// anyone who still has the text can show that it is the same.
    pub(super) fn digest(&self, words: &str) -> String {
        self.inner.vault.digest(words)
    }

    /// Adds an audit entry about this turn, with the next commit.
    pub(super) fn audit(
        &self,
        turn: &mut Turn,
        event: &'static str,
        step: Option<&Step>,
        mut detail: serde_json::Value,
    ) {
        if let Some(detail) = detail.as_object_mut().filter(|_| !turn.spending.models.is_empty()) {
            detail.insert("models".to_owned(), serde_json::json!(turn.spending.models));
        }
        let entry = Entry {
            principal: &turn.asked.principal,
            event,
            turn: Some(turn.id),
            step: step.map(Step::id),
            tool: step.map(|step| step.tool().as_str()),
            request: Some(turn.asked.request),
            detail,
        };
        self.inner.observe.audit(&mut turn.writing.pending, entry);
    }
}

/// Translates the failed commit of an owner: a broken guard means a lost lease.
pub(super) fn lost(error: CommitError) -> Error {
    match error {
        CommitError::Conflict("turn" | "step") => Error::new(Code::TakenOver),
        CommitError::Conflict("key") => {
            Error::new(Code::TokenInvalid).detail("The API key was withdrawn before this was begun.")
        }
        other => other.into(),
    }
}
