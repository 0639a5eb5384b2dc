//! Taking over a turn that is open: after a crash, after an approval, from a node that is gone.

use std::collections::{BTreeMap, BTreeSet};

use cardea_core::{
    Code, Error, Result,
    id::{ApprovalId, DecisionId, StepId, ToolName, TurnId},
    journal::{Repeatable, StepState},
    message::Usage,
    principal::{Principal, Proof},
    time::Timestamp,
    tool::{Effect, ToolCall},
    trace::TraceContext,
};
use cardea_store::{Commit, CommitError, FromRow, Row, RowError, args};
use serde_json::json;

use super::{CacheUse, Failure, Hold, Kind, Limits, Step, Turn, Turns};
use crate::{
    control::Placeholders,
    observe::{Entry, Trace},
};

fn corrupt(what: &str) -> Error {
    Error::new(Code::Internal).because(format!("a turn's row has an unreadable `{what}`"))
}

/// An open turn that this process has in hand and does not own: it can be looked at, and nothing of it be written.
#[derive(Debug)]
pub struct Unclaimed {
    turn: Turn,
    /// It was running elsewhere, or in an earlier process: its owner stopped half way.
    taken_over: bool,
}

impl Unclaimed {
    /// As it stands.
    #[must_use]
    pub fn turn(&self) -> &Turn {
        &self.turn
    }
}

impl Turn {
    /// How often it was taken up since something of it was last written, this time included.
    #[must_use]
    pub fn tries(&self) -> i64 {
        self.tries
    }
}

impl Turns {
    /// Takes an open turn in hand, to see whether it can go on. It stays as it is.
    ///
    /// `None` if it has ended, or somebody in this process has it in hand.
    ///
    /// # Errors
    /// What the store says; `internal` if the row cannot be read.
    pub async fn look(&self, id: TurnId, limits: Limits) -> Result<Option<Unclaimed>> {
        // WHY: a turn that somebody in this process has in hand is not free. One of this process that nobody has in
        // hand was dropped on the way (the store was away, a task was cut off), and would wait for ever.
        let Some(held) = self.inner.held.hold(id) else { return Ok(None) };
        let Some(mut open) = self.load(id, limits).await? else { return Ok(None) };
        open.turn.held = held;
        Ok(Some(open))
    }

    /// Becomes its owner: its fence grows, and whoever held it before can write no more.
    ///
    /// `None` if it has ended, is being run by a living owner, or somebody else was faster.
    ///
    /// # Errors
    /// What the store says.
    pub async fn take(&self, open: Unclaimed) -> Result<Option<Turn>> {
        let Unclaimed { mut turn, taken_over } = open;
        let before = turn.fence;
        turn.fence += 1;
        turn.tries += 1;
        turn.deadline = self.now().plus(turn.limits.time);
        let mut commit = Commit::new().guard(
            "turn",
            "UPDATE turns SET state = 'running', waiting_for = NULL, receipt = NULL, node = $3, node_fence = $4, fence = fence + 1, \
             tries = tries + 1, updated_at = $5, deadline_at = $6 WHERE id = $1 AND fence = $2 AND (state = 'waiting' OR \
             (state = 'running' AND ((node = $3 AND node_fence <= $4) OR (node <> $3 AND NOT EXISTS \
             (SELECT 1 FROM leases WHERE name = 'node/' || turns.node AND fence = turns.node_fence AND expires_at > $5)))))",
            args![
                turn.id,
                before,
                &self.inner.node.name,
                self.inner.node.fence,
                self.now().0,
                turn.deadline.0
            ],
        );
        if taken_over {
            // Whoever ran it is gone: what it had asked a model, and not written down, nobody knows.
            let entry = Entry {
                principal: &turn.principal,
                event: "turn.taken_over",
                turn: Some(turn.id),
                step: None,
                tool: None,
                request: Some(turn.request),
                detail: json!({ "node": self.inner.node.name, "fence": turn.fence }),
            };
            self.inner.observe.audit(&mut commit, entry);
        }
        match self.inner.db.commit(commit).await {
            Ok(()) => Ok(Some(turn)),
            Err(CommitError::Conflict(_)) => Ok(None),
            Err(CommitError::Unknown(_)) if self.arrived(&turn).await => Ok(Some(turn)),
            Err(error) => Err(error.into()),
        }
    }

    /// [`Turns::look`] and [`Turns::take`] in one.
    #[cfg(test)]
    pub(super) async fn claim(&self, id: TurnId, limits: Limits) -> Result<Option<Turn>> {
        match self.look(id, limits).await? {
            Some(open) => self.take(open).await,
            None => Ok(None),
        }
    }

    async fn load(&self, id: TurnId, limits: Limits) -> Result<Option<Unclaimed>> {
        let sql = "SELECT id, principal, kind, agent, conversation, prompt, fence, request, taint, reflections, \
                   (SELECT COALESCE(MAX(seq), 1) FROM events WHERE turn = turns.id), \
                   input_tokens, cached_tokens, output_tokens, cost_micros, started_at, deadline_at, commits, paid_tokens, \
                   paid_micros, failure, \
                   (SELECT deleted_at FROM conversations WHERE id = turns.conversation), trace, \
                   CAST(CASE WHEN state = 'running' AND (node <> $2 OR node_fence <> $3) THEN 1 ELSE 0 END AS BIGINT), \
                   tries FROM turns WHERE id = $1 AND ended_at IS NULL";
        let node = &self.inner.node;
        let rows: Vec<TurnRow> = self.inner.db.rows(sql, args![id, &node.name, node.fence]).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let taken_over = row.taken_over;
        let mut turn = row.read(limits)?;
        let sql = "SELECT id, number, call_id, tool, effect, safety, state, args, args_digest, approval, outcome, \
                   decision, undo, answer, said, thoughts FROM steps WHERE turn = $1 ORDER BY number";
        let steps: Vec<StepRow> = self.inner.db.rows(sql, args![id]).await?;
        turn.steps = steps.into_iter().map(StepRow::read).collect::<Result<_>>()?;
        Ok(Some(Unclaimed { turn, taken_over }))
    }
}

struct TurnRow {
    /// As in [`Unclaimed`].
    taken_over: bool,
    failure: Option<String>,
    /// When its conversation was deleted.
    deleted: Option<Timestamp>,
    turn: Turn,
    principal: String,
    taint: String,
}

impl FromRow for TurnRow {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let principal = Principal {
            tenant: "".into(),
            user: "".into(),
            client: None,
            issuer: String::new(),
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            actors: Vec::new(),
            proof: Proof::Anonymous,
            address: None,
            metadata: BTreeMap::new(),
        };
        let kind: String = row.get(2)?;
        let turn = Turn {
            id: row.get(0)?,
            principal,
            kind: [Kind::Call, Kind::Check].into_iter().find(|one| one.name() == kind).unwrap_or(Kind::Chat),
            agent: row.get(3)?,
            conversation: row.get(4)?,
            first: false,
            prompt: row.get(5)?,
            fence: row.get(6)?,
            request: row.get(7)?,
            asked_in: row.get::<Option<String>>(22)?.as_deref().and_then(TraceContext::parse),
            taint: BTreeSet::new(),
            model_calls: row.get(9)?,
            models: BTreeSet::new(),
            events: row.get(10)?,
            usage: Usage { input: row.get(11)?, cached_input: row.get(12)?, output: row.get(13)? },
            cost_micros: row.get(14)?,
            paid: (row.get(18)?, row.get(19)?),
            started: row.get(15)?,
            deadline: row.get(16)?,
            limits: Limits::NONE,
            steps: Vec::new(),
            saying: None,
            thinking: None,
            cache: CacheUse::None,
            failure: None,
            checks: None,
            pending: Commit::new(),
            durable: true,
            commits: row.get(17)?,
            tries: row.get(24)?,
            stranded: None,
            held: Hold::default(),
            trace: Trace::default(),
            placeholders: Placeholders::default(),
            fresh_until: None,
        };
        Ok(Self {
            failure: row.get(20)?,
            deleted: row.get(21)?,
            taken_over: row.get(23)?,
            turn,
            principal: row.get(1)?,
            taint: row.get(8)?,
        })
    }
}

impl TurnRow {
    fn read(self, limits: Limits) -> Result<Turn> {
        Ok(Turn {
            principal: serde_json::from_str(&self.principal).map_err(|_| corrupt("principal"))?,
            taint: serde_json::from_str(&self.taint).map_err(|_| corrupt("taint"))?,
            failure: match self.failure {
                // WHY: what was deleted goes to no model, and nothing is done for it any more.
                None if self.deleted.is_some() => Some(Failure::of(&Error::new(Code::Cancelled))),
                None => None,
                Some(json) => Some(serde_json::from_str(&json).map_err(|_| corrupt("failure"))?),
            },
            limits,
            ..self.turn
        })
    }
}

struct StepRow {
    columns: (StepId, i64, String, ToolName, String, String, String, String),
    digest: String,
    approval: Option<ApprovalId>,
    outcome: Option<String>,
    decision: Option<DecisionId>,
    undo: Option<String>,
    words: (u32, Option<String>, Option<String>),
}

impl FromRow for StepRow {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self {
            columns: FromRow::from_row(row)?,
            digest: row.get(8)?,
            approval: row.get(9)?,
            outcome: row.get(10)?,
            decision: row.get(11)?,
            undo: row.get(12)?,
            words: (row.get(13)?, row.get(14)?, row.get(15)?),
        })
    }
}

impl StepRow {
    fn read(self) -> Result<Step> {
        let (id, number, call_id, tool, effect, safety, state, arguments) = self.columns;
        let (answer, said, thoughts) = self.words;
        let arguments = serde_json::from_str(&arguments).map_err(|_| corrupt("args"))?;
        Ok(Step {
            id,
            number,
            call: ToolCall { id: call_id, name: tool.to_string(), arguments, written: None },
            tool,
            effect: match effect.as_str() {
                "read" => Effect::Read,
                "write" => Effect::Write,
                _ => Effect::Destructive,
            },
            repeatable: match safety.as_str() {
                "keyed" => Repeatable::ByKey,
                "checked" => Repeatable::ByCheck,
                _ => Repeatable::No,
            },
            state: StepState::parse(&state).ok_or_else(|| corrupt("step state"))?,
            digest: self.digest,
            approval: self.approval,
            outcome: match self.outcome {
                None => None,
                Some(json) => Some(serde_json::from_str(&json).map_err(|_| corrupt("outcome"))?),
            },
            durable: true,
            decision: self.decision,
            ruled: None,
            again: false,
            answer,
            said,
            thoughts: match thoughts {
                None => None,
                Some(json) => Some(serde_json::from_str(&json).map_err(|_| corrupt("thoughts"))?),
            },
            way: match self.undo {
                None => None,
                Some(json) => Some(serde_json::from_str(&json).map_err(|_| corrupt("undo"))?),
            },
        })
    }
}
