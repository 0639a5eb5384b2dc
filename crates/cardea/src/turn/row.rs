//! The turn's own row: written by the turn's first commit, guarded and moved on by each later one.
//!
//! A turn whose first commit is also its last (a bare call that only reads) is written once, as it ended.

use cardea_core::{Code, Error, Result, journal::TurnState};
use cardea_store::{Commit, Value, args};
use serde_json::json;

use super::{Kind, Receipt, Turn, Turns};

impl Turns {
    /// The row of a turn that goes on.
    pub(super) fn row(&self, turn: &Turn) -> Result<Commit> {
        let now = self.now().0;
        if !turn.durable {
            return self.first(turn, End::none(now));
        }
        // INVARIANT: only the owner with this fence gets past here, and each of its commits counts one up.
        Ok(Commit::new().guard(
            "turn",
            "UPDATE turns SET updated_at = $3, commits = $4 + 1, tries = 0, reflections = $5, input_tokens = $6, \
             cached_tokens = $7, output_tokens = $8, cost_micros = $9, taint = $10 \
             WHERE id = $1 AND fence = $2 AND commits = $4 AND state IN ('running', 'waiting')",
            args![
                turn.id,
                turn.fence,
                now,
                turn.commits,
                turn.model_calls,
                turn.usage.input,
                turn.usage.cached_input,
                turn.usage.output,
                turn.cost_micros,
                json!(turn.taint).to_string()
            ],
        ))
    }

    /// The row of a turn that ends, under the same guard.
    pub(super) fn last_row(&self, turn: &Turn, receipt: &Receipt) -> Result<Commit> {
        let saved =
            serde_json::to_string(receipt).map_err(|error| Error::new(Code::Internal).because(error))?;
        let code = receipt.error.as_ref().map(|error| error.code.clone());
        let now = self.now().0;
        if !turn.durable {
            let (state, ended) = (receipt.status, Some(now));
            return self.first(turn, End { state, saved: Some(saved), code, ended, now });
        }
        Ok(Commit::new().guard(
            "turn",
            "UPDATE turns SET state = $5, receipt = $6, code = $7, input_tokens = $8, cached_tokens = $9, \
             output_tokens = $10, cost_micros = $11, steps = $12, reflections = $13, events = $14, taint = $15, \
             waiting_for = NULL, updated_at = $3, ended_at = $3, commits = $4 + 1 \
             WHERE id = $1 AND fence = $2 AND commits = $4 AND state IN ('running', 'waiting')",
            args![
                turn.id,
                turn.fence,
                now,
                turn.commits,
                receipt.status.name(),
                saved,
                code,
                turn.usage.input,
                turn.usage.cached_input,
                turn.usage.output,
                turn.cost_micros,
                turn.steps.len(),
                turn.model_calls,
                turn.events,
                json!(turn.taint).to_string()
            ],
        ))
    }

    fn first(&self, turn: &Turn, end: End) -> Result<Commit> {
        let principal = serde_json::to_string(&turn.principal)
            .map_err(|error| Error::new(Code::Internal).because(error))?;
        let mut values = args![
            turn.id,
            &turn.principal.tenant,
            turn.principal.key(),
            &turn.principal.user,
            principal,
            turn.kind.name(),
            &turn.agent,
            turn.conversation,
            // A check belongs to no conversation: what was said must not outlive the one it comes from.
            if turn.kind == Kind::Check { "" } else { turn.prompt.as_str() },
            end.state.name(),
            &self.inner.node.name,
            self.inner.node.fence,
            turn.fence,
            turn.request,
            json!(turn.taint).to_string(),
            turn.started.0,
            end.now,
            turn.deadline.0
        ];
        values.extend(self.used(turn, end));
        values.extend(args![turn.asked_in.map(|place| place.to_string())]);
        Ok(Commit::new().run(
            "INSERT INTO turns (id, tenant, owner, user_id, principal, kind, agent, conversation, prompt, state, node, \
             node_fence, fence, request, taint, started_at, updated_at, deadline_at, receipt, code, ended_at, steps, \
             reflections, events, input_tokens, cached_tokens, output_tokens, cost_micros, trace) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
             $22, $23, $24, $25, $26, $27, $28, $29)",
            values,
        ))
    }

    fn used(&self, turn: &Turn, end: End) -> Vec<Value> {
        args![
            end.saved,
            end.code,
            end.ended,
            turn.steps.len(),
            turn.model_calls,
            turn.events,
            turn.usage.input,
            turn.usage.cached_input,
            turn.usage.output,
            turn.cost_micros
        ]
    }
}

/// What a first row says of the turn's end.
struct End {
    state: TurnState,
    saved: Option<String>,
    code: Option<String>,
    ended: Option<i64>,
    now: i64,
}

impl End {
    fn none(now: i64) -> Self {
        Self { state: TurnState::Running, saved: None, code: None, ended: None, now }
    }
}
