//! Read access to a turn for its owner.

use std::collections::BTreeSet;

use cardea_core::{
    Code, Error, Result,
    id::{ConversationId, TurnId},
    journal::TurnState,
    principal::Principal,
    time::Timestamp,
};
use cardea_store::{FromRow, Row, RowError, args};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Kind, Receipt, Turn, Turns};

/// Kinds of events that a turn publishes while it runs.
pub const KINDS: [&str; 11] = [
    "turn.started",
    "step.started",
    "step.ended",
    "step.refused",
    "turn.waiting",
    "turn.unwinding",
    "step.undoing",
    "step.undone",
    "step.not_undone",
    "step.undo_unknown",
    "turn.ended",
];

/// One event of a turn's stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Sequence number from 1, without gaps. A stream can be resumed after any event.
    pub seq: i64,
    /// Kind of the event, such as `step.ended`.
    pub kind: String,
    /// Content.
    pub body: Value,
    /// When it happened.
    pub at: Timestamp,
}

/// A turn as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The turn.
    pub turn: TurnId,
    /// State of the turn.
    pub status: TurnState,
    /// Receipt, once the turn waits or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// Number of preceding turns whose tools are looked up.
const RECENT: i64 = 3;

/// Number of preceding turns whose taint is inherited.
const TAINT_FROM: i64 = 8;

impl Turns {
    /// Returns the tools that preceding turns of its conversation called.
    ///
    /// # Errors
    /// Store errors.
    pub async fn tools_before(&self, turn: &Turn) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT tool FROM steps WHERE state = 'done' AND turn IN (SELECT id FROM turns \
                   WHERE conversation = $1 AND tenant = $2 AND id <> $3 ORDER BY started_at DESC LIMIT $4) ORDER BY tool";
        let args = args![turn.asked.conversation, &turn.asked.principal.tenant, turn.id, RECENT];
        let rows: Vec<(String,)> = self.inner.db.rows(sql, args).await?;
        Ok(rows.into_iter().map(|(tool,)| tool).collect())
    }

    /// Returns the sources of untrusted text in the conversation before this turn. Each turn inherits them from
    /// several preceding turns. WHY: not only from the last one, since a turn that broke off at once has inherited
    /// nothing, and nodes may disagree about which turn is the last.
    ///
    /// # Errors
    /// Store errors.
    pub async fn taint_before(&self, turn: &Turn) -> Result<BTreeSet<String>> {
        let Some(conversation) = turn.conversation().filter(|_| !turn.is_first()) else {
            return Ok(BTreeSet::new());
        };
        let sql = "SELECT taint FROM turns WHERE conversation = $1 AND id <> $2 AND kind = 'chat' \
                   ORDER BY started_at DESC, id DESC LIMIT $3";
        let last: Vec<(String,)> =
            self.inner.db.rows(sql, args![conversation, turn.id(), TAINT_FROM]).await?;
        let sources = last.iter().map(|(taint,)| serde_json::from_str::<Vec<String>>(taint));
        let sources: Result<Vec<_>, _> = sources.collect();
        Ok(sources
            .map_err(|error| Error::new(Code::Internal).because(error))?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Returns the caller's turn. A turn of another user is as unknown as one that never existed.
    ///
    /// # Errors
    /// `not_found`, or a store error.
    pub async fn find(&self, principal: &Principal, id: TurnId) -> Result<Found> {
        let sql = "SELECT state, receipt FROM turns WHERE id = $1 AND owner = $2 AND tenant = $3";
        let args = args![id, principal.key(), &principal.tenant];
        let rows: Vec<(String, Option<String>)> = self.inner.db.rows(sql, args).await?;
        let (state, receipt) = rows.into_iter().next().ok_or_else(|| Error::new(Code::NotFound))?;
        let status = TurnState::parse(&state).ok_or_else(|| Error::new(Code::Internal))?;
        // A turn that was resumed still has the receipt of its suspension, which is out of date.
        let receipt = (status != TurnState::Running)
            .then(|| receipt.and_then(|json| serde_json::from_str(&json).ok()))
            .flatten();
        Ok(Found { turn: id, status, receipt })
    }

    /// Returns the events of the caller's turn after number `after`.
    ///
    /// # Errors
    /// `not_found`, or a store error.
    pub async fn events(
        &self,
        principal: &Principal,
        id: TurnId,
        after: i64,
    ) -> Result<(Vec<Event>, TurnState)> {
        let found = self.find(principal, id).await?;
        let sql =
            "SELECT seq, kind, body, at FROM events WHERE turn = $1 AND seq > $2 ORDER BY seq LIMIT 1000";
        let rows: Vec<(i64, String, String, i64)> = self.inner.db.rows(sql, args![id, after]).await?;
        let event = |(seq, kind, body, at): (i64, String, String, i64)| Event {
            seq,
            kind,
            body: serde_json::from_str(&body).unwrap_or(Value::Null),
            at: Timestamp(at),
        };
        let mut events: Vec<Event> = rows.into_iter().map(event).collect();
        if let Some(ends) = self.ends(&found).await? {
            ends.put(&mut events, &found, after);
        }
        Ok((events, found.status))
    }

    /// Returns the two events that the turn's own row holds. A turn whose conversation was deleted has none, and
    /// neither has a bare call, which has no followers.
    async fn ends(&self, found: &Found) -> Result<Option<Ends>> {
        if found.status.is_final() && found.receipt.is_none() {
            return Ok(None);
        }
        let sql =
            "SELECT conversation, agent, started_at, events, ended_at FROM turns WHERE id = $1 AND kind = $2";
        self.inner.db.row(sql, args![found.turn, Kind::Chat.name()]).await
    }
}

/// The first and the last event of a stream.
struct Ends {
    conversation: Option<ConversationId>,
    agent: String,
    started: Timestamp,
    events: i64,
    ended: Option<Timestamp>,
}

impl FromRow for Ends {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let (conversation, agent, started, events, ended) = FromRow::from_row(row)?;
        Ok(Self { conversation, agent, started, events, ended })
    }
}

impl Ends {
    /// Inserts them among the events after number `after`, unless an older Cardea has written them as rows.
    fn put(self, events: &mut Vec<Event>, found: &Found, after: i64) {
        if after < 1 && events.first().is_none_or(|first| first.seq > 1) {
            let body = json!({ "turn": found.turn, "conversation": self.conversation, "agent": self.agent });
            events.insert(0, Event { seq: 1, kind: "turn.started".to_owned(), body, at: self.started });
        }
        let last = events.last().map_or(after, |last| last.seq);
        if let (true, Some(at)) =
            (found.status.is_final() && last.saturating_add(1) == self.events, self.ended)
        {
            let body = serde_json::to_value(&found.receipt).unwrap_or_default();
            events.push(Event { seq: self.events, kind: "turn.ended".to_owned(), body, at });
        }
    }
}
