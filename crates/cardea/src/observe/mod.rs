//! Room `observe`: what Cardea reports about itself, which is audit, decisions, meters, cost and one log event for
//! each request.
//!
//! Promises: an audit entry travels in the commit of what it describes, in one bounded format that no argument can
//! break out of. A meter never grows with user input, since each of its labels has a bounded number of values. Bodies,
//! prompts, secrets and addresses are not reported. [`verify()`] proves the audit log, [`export`] exports it, and
//! [`Checkpoints`] are kept beside the database so that even the holder of the key cannot rewrite it.
//!
//! Refuses: to know who reads any of it, and to fail a request because a reader does not. Called by every room below.

mod audit;
mod checkpoint;
mod checkpoints;
mod compare;
mod decision;
mod event;
mod follow;
mod meter;
mod search;
mod span;
mod standing;
mod unproved;
mod verify;

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use cardea_core::{
    cost::Prices,
    id::{ToolName, TurnId},
    journal::StepState,
    message::Usage,
    principal::{Principal, Proof},
    time::{Millis, SharedClock},
    tool::Outcome,
};
use cardea_net::Net;
use cardea_store::Db;

pub use self::{
    audit::Entry,
    checkpoint::{Checkpoint, CheckpointKey, Checkpoints},
    checkpoints::is_behind,
    decision::{Decided, Decision, Ruled, Verdict, Whose},
    event::{HUNG_UP, RequestEvent, Told, Work},
    follow::{Bookmark, Followed},
    meter::{CacheResult, CheckResult, Seen},
    search::{Audited, Wanted},
    span::{Span, Trace},
    standing::Standing,
    unproved::Unproved,
    verify::{Verified, export, same_key, verify, verify_export},
};
use checkpoints::Written;
use meter::Meters;

/// Replaces a name that a client has made up.
pub const OTHER: &str = "other";

/// The room. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct Observe(Arc<Inner>);

struct Inner {
    db: Db,
    clock: SharedClock,
    prices: Prices,
    meters: Meters,
    net: OnceLock<Net>,
    checkpoint_key: OnceLock<CheckpointKey>,
    written: Mutex<Written>,
}

impl std::fmt::Debug for Observe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observe")
    }
}

impl Observe {
    /// Creates the room on this database, with these prices.
    #[must_use]
    pub fn new(db: Db, clock: SharedClock, prices: Prices) -> Self {
        let (checkpoint_key, written) = (OnceLock::new(), Mutex::default());
        let (meters, net) = (Meters::new(clock.now()), OnceLock::new());
        Self(Arc::new(Inner { db, clock, prices, meters, net, checkpoint_key, written }))
    }

    /// Counts the tokens of one model call for a tenant and returns its cost in millionths of a US dollar.
    ///
    /// A model without a price costs nothing and is counted as such, so that a gap in `prices.toml` is noticed.
    #[must_use]
    pub fn cost(&self, model: &str, tenant: &str, usage: Usage) -> u64 {
        if usage == Usage::default() {
            return 0;
        }
        let price = self.0.prices.of(model);
        let cost = price.map_or(0, |price| price.cost(usage));
        self.0.meters.model_call(model, tenant, usage, price.map(|_| cost));
        cost
    }

    /// Returns the cost of this usage in millionths, at the price of the most expensive of these models.
    #[must_use]
    pub fn dearest<'a>(&self, models: impl Iterator<Item = &'a str>, usage: Usage) -> u64 {
        models.filter_map(|model| self.0.prices.of(model)).map(|price| price.cost(usage)).max().unwrap_or(0)
    }

    /// Returns how many tokens the most expensive of these models can write for so many millionths, after it has read
    /// `reads` tokens: zero if even those cannot be paid, and no limit without prices.
    #[must_use]
    pub fn room<'a>(&self, models: impl Iterator<Item = &'a str>, reads: u64, micros: u64) -> u64 {
        let priced = models.filter_map(|model| self.0.prices.of(model));
        priced.map(|price| price.room(reads, micros).unwrap_or(0)).min().unwrap_or(u64::MAX)
    }

    /// Counts one model call: its duration and its result, which is `ok` or the name of a trouble or a code.
    pub fn model_took(&self, model: &str, outcome: &'static str, took: Millis) {
        self.0.meters.model_took(model, outcome, took);
    }

    /// Counts a turn that ended or was suspended.
    pub fn turn<'a>(&self, turn: impl Into<Seen<'a>>) {
        self.0.meters.turn(turn.into());
    }

    /// Counts a tool call that ended.
    pub fn tool_call<'a>(&self, call: impl Into<Seen<'a>>) {
        self.0.meters.tool_call(call.into());
    }

    /// Logs which tools a model was offered, and their estimated cost in tokens.
    pub fn offered<'n>(&self, turn: TurnId, names: impl Iterator<Item = &'n str>, tokens: u64) {
        let names: Vec<&str> = names.collect();
        tracing::event!(
            target: "cardea::tools",
            tracing::Level::INFO,
            turn.id = %turn,
            tools.count = names.len(),
            tools.tokens = tokens,
            tools.names = names.join(" "),
            "offered"
        );
    }

    /// Counts findings of a guardrail in one text.
    pub fn finding(&self, kind: &str, surface: &'static str, action: &'static str) {
        self.0.meters.finding(kind, surface, action);
    }

    /// Counts a lookup in a cache layer for an agent: `exact`, `semantic`, `tool`, …
    pub fn cache(&self, layer: &'static str, agent: &str, result: CacheResult) {
        self.0.meters.cache(layer, agent, result);
    }

    /// Counts what a cached answer saved.
    pub fn cache_saved(&self, layer: &'static str, agent: &str, tokens: u64, micros: u64) {
        self.0.meters.cache_saved(layer, agent, tokens, micros);
    }

    /// Counts a check of a cached answer.
    pub fn cache_check(&self, agent: &str, result: CheckResult) {
        self.0.meters.cache_check(agent, result);
    }

    /// Counts a refused connection: `limit` (too many are open) or `error` (the system gave none).
    pub fn connection_refused(&self, reason: &'static str) {
        self.0.meters.connection_refused(reason);
    }

    /// Adds the hosts of this outbound client to the meters.
    pub fn looks_at(&self, net: Net) {
        drop(self.0.net.set(net));
    }

    /// Counts the duration of a tool call at its upstream or connector.
    pub fn tool_took(&self, tool: &ToolName, outcome: &Outcome, took: Duration) {
        let upstream = tool.server().unwrap_or(OTHER);
        let outcome = match outcome {
            Outcome::Done { .. } => StepState::Done,
            Outcome::Failed { .. } => StepState::Failed,
            Outcome::Unknown { .. } => StepState::Unknown,
        };
        self.0.meters.tool_took(upstream, outcome.name(), took);
    }

    /// Counts the time to the first piece of a model's answer.
    pub fn first_token(&self, model: &str, took: Millis) {
        self.0.meters.first_token(model, took);
    }

    /// Reports whether the policy folder holds a set that cannot be used.
    pub fn policies_stale(&self, stale: bool) {
        self.0.meters.stale(stale);
    }

    /// Reports how many other nodes use different policies.
    pub fn policies_differ(&self, nodes: usize) {
        self.0.meters.differ(nodes);
    }

    /// Returns all meters in the OpenMetrics text format.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.0.meters.left_alone(self.0.net.get().map_or(0, Net::left_alone));
        self.0.meters.text()
    }
}

/// The MCP SDK. It logs each failed try and each unknown message, with what the other side has sent. Cardea logs by
/// itself what matters of that.
const CHATTY: &str = "rmcp";

/// Returns whether a line may be logged at all. Of other crates only warnings and errors are, whatever the configured
/// level: below that, protocol libraries log whole messages.
#[must_use]
pub fn may_tell(line: &tracing::Metadata<'_>) -> bool {
    let ours = line.target().starts_with("cardea");
    ours || (*line.level() <= tracing::Level::WARN && !line.target().starts_with(CHATTY))
}

/// Returns how a user was authenticated, for logs and meters: a kind of user, never the user.
#[must_use]
pub const fn class(principal: &Principal) -> &'static str {
    match principal.proof {
        Proof::Jwt => "jwt",
        Proof::ApiKey => "api_key",
        Proof::Embedded => "embedded",
        Proof::Anonymous => "anonymous",
    }
}

#[cfg(test)]
mod tests;
