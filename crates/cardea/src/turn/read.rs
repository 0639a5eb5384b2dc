//! What the owner of a turn may read of it.

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

/// What is told of a turn while it runs.
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
    /// From 1, without gaps: a stream goes on after any of them.
    pub seq: i64,
    /// Such as `step.ended`.
    pub kind: String,
    /// What happened.
    pub body: Value,
    /// When.
    pub at: Timestamp,
}

/// A turn as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The turn.
    pub turn: TurnId,
    /// Where it stands.
    pub status: TurnState,
    /// Its receipt, once it waits or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// Of so many turns before this one the tools are remembered.
const RECENT: i64 = 3;

/// From so many turns before this one its taint is taken over.
const TAINT_FROM: i64 = 8;

impl Turns {
    /// The tools that the turns before this one called in its conversation.
    ///
    /// # Errors
    /// What the store says.
    pub async fn tools_before(&self, turn: &Turn) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT tool FROM steps WHERE state = 'done' AND turn IN (SELECT id FROM turns \
                   WHERE conversation = $1 AND tenant = $2 AND id <> $3 ORDER BY started_at DESC LIMIT $4) ORDER BY tool";
        let args = args![turn.asked.conversation, &turn.asked.principal.tenant, turn.id, RECENT];
        let rows: Vec<(String,)> = self.inner.db.rows(sql, args).await?;
        Ok(rows.into_iter().map(|(tool,)| tool).collect())
    }

    /// Where untrusted text came into the conversation before this turn. Each turn takes it over from those before. WHY: not
    /// from the last one alone: a turn that broke off at once has taken over nothing, and nodes differ about which is the last.
    ///
    /// # Errors
    /// What the store says.
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

    /// The caller's turn. Somebody else's is as unknown as one that never was.
    ///
    /// # Errors
    /// `not_found`, or what the store says.
    pub async fn find(&self, principal: &Principal, id: TurnId) -> Result<Found> {
        let sql = "SELECT state, receipt FROM turns WHERE id = $1 AND owner = $2 AND tenant = $3";
        let args = args![id, principal.key(), &principal.tenant];
        let rows: Vec<(String, Option<String>)> = self.inner.db.rows(sql, args).await?;
        let (state, receipt) = rows.into_iter().next().ok_or_else(|| Error::new(Code::NotFound))?;
        let status = TurnState::parse(&state).ok_or_else(|| Error::new(Code::Internal))?;
        // A turn that was woken up again still has the receipt of its sleep: not the truth any more.
        let receipt = (status != TurnState::Running)
            .then(|| receipt.and_then(|json| serde_json::from_str(&json).ok()))
            .flatten();
        Ok(Found { turn: id, status, receipt })
    }

    /// The events of the caller's turn after number `after`.
    ///
    /// # Errors
    /// `not_found`, or what the store says.
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

    /// The two events that the turn's own row tells. A turn whose conversation was deleted tells nothing any more, and
    /// nobody follows a bare call.
    async fn ends(&self, found: &Found) -> Result<Option<Ends>> {
        if found.status.is_final() && found.receipt.is_none() {
            return Ok(None);
        }
        let sql =
            "SELECT conversation, agent, started_at, events, ended_at FROM turns WHERE id = $1 AND kind = $2";
        self.inner.db.row(sql, args![found.turn, Kind::Chat.name()]).await
    }
}

/// The beginning and the end of a stream.
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
    /// Puts them into their places among the events after number `after`, where an older Cardea has not written them.
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
