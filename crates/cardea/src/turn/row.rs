//! The row of a turn: written by its first commit, updated under a guard by each later one, and read by a new owner.
//!
//! A turn whose first commit is also its last (a bare call that only reads) is written once, in its final state.

use cardea_core::{
    Code, Error, Result,
    id::{AgentName, ConversationId, RequestId, TurnId},
    journal::TurnState,
    time::Timestamp,
    trace::TraceContext,
};
use cardea_store::{Commit, FromRow, Row, RowError, Value, args};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    Failure, Kind, Limits, Receipt, Turn, Turns,
    asked::Asked,
    held::Hold,
    spending::{Spending, spent},
    writing::Writing,
};
use crate::control::Screened;

/// The statement by which the owner of a turn updates its row: the values of [`Turns::moved`], then these columns.
///
/// INVARIANT: only the owner with this fencing number passes the guard, and each of its commits increments the commit
/// count.
macro_rules! moves {
    ($($columns:literal),*) => {
        concat!(
            "UPDATE turns SET ", spent!(set), ", taint = $6, updated_at = $7, commits = $10 + 1, ", $($columns,)*
            " WHERE id = $8 AND fence = $9 AND commits = $10 AND state IN ('running', 'waiting')"
        )
    };
}

impl Turns {
    /// Returns the row of a turn that continues.
    pub(super) fn row(&self, turn: &Turn) -> Result<Commit> {
        if !turn.writing.durable {
            return self.first(turn, Stands::running(turn));
        }
        Ok(Commit::new().guard("turn", moves!("tries = 0"), self.moved(turn)))
    }

    /// Returns the row of a turn that ends, under the same guard.
    pub(super) fn last_row(&self, turn: &Turn, receipt: &Receipt) -> Result<Commit> {
        let ended = Stands::ended(turn, receipt, self.now())?;
        if !turn.writing.durable {
            return self.first(turn, ended);
        }
        let sql = moves!(
            "state = $11, receipt = $12, code = $13, steps = $14, events = $15, ended_at = $16, waiting_for = NULL"
        );
        Ok(Commit::new().guard("turn", sql, [self.moved(turn), ended.values()].concat()))
    }

    /// Returns the values that every update of the row writes.
    fn moved(&self, turn: &Turn) -> Vec<Value> {
        let mut values = turn.spending.values();
        values.extend(args![
            json!(turn.taint).to_string(),
            self.now(),
            turn.id,
            turn.writing.fence,
            turn.writing.commits
        ]);
        values
    }

    fn first(&self, turn: &Turn, stands: Stands) -> Result<Commit> {
        let asked = &turn.asked;
        let principal = serde_json::to_string(&asked.principal)
            .map_err(|error| Error::new(Code::Internal).because(error))?;
        let mut values = [self.moved(turn), stands.values()].concat();
        values.extend(args![
            &asked.principal.tenant,
            asked.principal.key(),
            &asked.principal.user,
            principal,
            asked.kind.name(),
            &asked.agent,
            asked.conversation,
            // A check belongs to no conversation, and its question must not outlive the conversation it comes from.
            if asked.kind == Kind::Check { "" } else { asked.prompt.as_str() },
            &self.inner.node.name,
            self.inner.node.fence,
            asked.request,
            asked.started,
            turn.deadline,
            asked.place.map(|place| place.to_string())
        ]);
        let sql = concat!(
            "INSERT INTO turns (",
            spent!(columns),
            ", taint, updated_at, id, fence, commits, state, receipt, code, steps, events, ended_at, tenant, owner, \
             user_id, principal, kind, agent, conversation, prompt, node, node_fence, request, started_at, deadline_at, \
             trace) VALUES (",
            spent!(values),
            ", $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, \
             $28, $29, $30)"
        );
        Ok(Commit::new().run(sql, values))
    }
}

/// State columns of a turn's row.
struct Stands {
    state: TurnState,
    receipt: Option<String>,
    code: Option<String>,
    steps: usize,
    events: i64,
    ended: Option<Timestamp>,
}

impl Stands {
    fn running(turn: &Turn) -> Self {
        let (steps, events) = (turn.steps.len(), turn.writing.events);
        Self { state: TurnState::Running, receipt: None, code: None, steps, events, ended: None }
    }

    fn ended(turn: &Turn, receipt: &Receipt, now: Timestamp) -> Result<Self> {
        let saved =
            serde_json::to_string(receipt).map_err(|error| Error::new(Code::Internal).because(error))?;
        let code = receipt.error.as_ref().map(|error| error.code.clone());
        let (state, receipt, ended) = (receipt.status, Some(saved), Some(now));
        Ok(Self { state, receipt, code, ended, ..Self::running(turn) })
    }

    fn values(self) -> Vec<Value> {
        args![self.state.name(), self.receipt, self.code, self.steps, self.events, self.ended]
    }
}

/// The row of an open turn. [`TurnRow`] reads these columns in this order.
pub(super) const TURN: &str = concat!(
    "SELECT id, request, trace, principal, kind, agent, conversation, prompt, started_at, ",
    spent!(columns),
    ", paid_tokens, paid_micros, fence, (SELECT COALESCE(MAX(seq), 1) FROM events WHERE turn = turns.id), commits, tries, \
     taint, failure, (SELECT deleted_at FROM conversations WHERE id = turns.conversation), \
     CAST(CASE WHEN state = 'running' AND (node <> $2 OR node_fence <> $3) THEN 1 ELSE 0 END AS BIGINT) \
     FROM turns WHERE id = $1 AND ended_at IS NULL"
);

/// A turn as read from its row.
pub(super) struct TurnRow {
    id: TurnId,
    request: RequestId,
    place: Option<String>,
    principal: String,
    kind: String,
    agent: AgentName,
    conversation: Option<ConversationId>,
    prompt: String,
    started: Timestamp,
    spending: Spending,
    fence: i64,
    events: i64,
    commits: i64,
    tries: i64,
    taint: String,
    failure: Option<String>,
    /// When its conversation was deleted.
    deleted: Option<Timestamp>,
    /// True if the turn was running at another node or in an earlier process, whose owner stopped half way.
    pub(super) taken_over: bool,
}

impl FromRow for TurnRow {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let mut row = row.in_order();
        Ok(Self {
            id: row.take()?,
            request: row.take()?,
            place: row.take()?,
            principal: row.take()?,
            kind: row.take()?,
            agent: row.take()?,
            conversation: row.take()?,
            prompt: row.take()?,
            started: row.take()?,
            spending: Spending::read(&mut row)?,
            fence: row.take()?,
            events: row.take()?,
            commits: row.take()?,
            tries: row.take()?,
            taint: row.take()?,
            failure: row.take()?,
            deleted: row.take()?,
            taken_over: row.take()?,
        })
    }
}

impl TurnRow {
    /// Builds the turn for its new holder.
    pub(super) fn read(self, limits: Limits, held: Hold) -> Result<Turn> {
        let asked = Asked {
            request: self.request,
            place: self.place.as_deref().and_then(TraceContext::parse),
            principal: serde_json::from_str(&self.principal).map_err(|_| corrupt("principal"))?,
            kind: Kind::parse(&self.kind).ok_or_else(|| corrupt("kind"))?,
            agent: self.agent,
            conversation: self.conversation,
            first: false,
            prompt: Screened::from_journal(self.prompt),
            limits,
            started: self.started,
        };
        let (fence, events, commits, tries) = (self.fence, self.events, self.commits, self.tries);
        let writing = Writing { fence, events, commits, tries, durable: true, ..Writing::new(held) };
        Ok(Turn {
            spending: self.spending,
            taint: serde_json::from_str(&self.taint).map_err(|_| corrupt("taint"))?,
            // WHY: a turn of a deleted conversation goes to no model, and nothing more is done for it.
            failure: read_json(self.failure, "failure")?
                .or_else(|| self.deleted.map(|_| Failure::of(&Error::new(Code::Cancelled)))),
            ..Turn::new(self.id, asked, writing)
        })
    }
}

/// Returns the error of a row that cannot be continued.
pub(super) fn corrupt(what: &str) -> Error {
    Error::new(Code::Internal).because(format!("a turn's row has an unreadable `{what}`"))
}

/// Parses a JSON column that may be empty.
pub(super) fn read_json<T: DeserializeOwned>(text: Option<String>, column: &str) -> Result<Option<T>> {
    text.map(|text| serde_json::from_str(&text).map_err(|_| corrupt(column))).transpose()
}
