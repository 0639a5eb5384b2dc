//! What Cardea tells about itself: audit, decisions, meters, cost and one log event for each request.
//!
//! Promises: an audit entry travels in the commit of what it describes, in one bounded spelling that no argument can
//! break out of; a meter never grows with what users type, since each of its labels has a bounded number of values;
//! bodies, prompts, secrets and addresses are told to nobody. [`verify()`] proves the audit log, [`export`] carries it
//! out, [`Checkpoints`] are kept beside the database so that even the holder of the key cannot write it anew.
//!
//! Refuses: to know who reads any of it, and to fail a request because somebody does not. Called by every room below.

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

/// What is told in the place of a name that somebody outside has made up.
pub const OTHER: &str = "other";

/// The room. Cheap to clone; all clones are one.
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
    /// A room over this database, with these prices.
    #[must_use]
    pub fn new(db: Db, clock: SharedClock, prices: Prices) -> Self {
        let (checkpoint_key, written) = (OnceLock::new(), Mutex::default());
        let (meters, net) = (Meters::new(clock.now()), OnceLock::new());
        Self(Arc::new(Inner { db, clock, prices, meters, net, checkpoint_key, written }))
    }

    /// Counts the tokens of one call of a model for a tenant and gives its cost in millionths of a US dollar.
    ///
    /// A model without a price costs nothing and is counted as such, so that a hole in `prices.toml` is seen.
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

    /// What this would cost in millionths, by the dearest of these models.
    #[must_use]
    pub fn dearest<'a>(&self, models: impl Iterator<Item = &'a str>, usage: Usage) -> u64 {
        models.filter_map(|model| self.0.prices.of(model)).map(|price| price.cost(usage)).max().unwrap_or(0)
    }

    /// The most tokens that the dearest of these models can write for so many millionths after it has read so many: zero if
    /// not even those can be paid, and no end where there are no prices.
    #[must_use]
    pub fn room<'a>(&self, models: impl Iterator<Item = &'a str>, reads: u64, micros: u64) -> u64 {
        let priced = models.filter_map(|model| self.0.prices.of(model));
        priced.map(|price| price.room(reads, micros).unwrap_or(0)).min().unwrap_or(u64::MAX)
    }

    /// Counts one call of a model, how long it took and how it ended: `ok`, or the name of a trouble or a code.
    pub fn model_took(&self, model: &str, outcome: &'static str, took: Millis) {
        self.0.meters.model_took(model, outcome, took);
    }

    /// Counts a turn that ended or fell asleep.
    pub fn turn<'a>(&self, turn: impl Into<Seen<'a>>) {
        self.0.meters.turn(turn.into());
    }

    /// Counts a tool call that ended.
    pub fn tool_call<'a>(&self, call: impl Into<Seen<'a>>) {
        self.0.meters.tool_call(call.into());
    }

    /// Tells which tools a model was offered, and what that cost in tokens (an estimate).
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

    /// Counts findings of a guardrail on one text.
    pub fn finding(&self, kind: &str, surface: &'static str, action: &'static str) {
        self.0.meters.finding(kind, surface, action);
    }

    /// Counts a look into a cache layer for an agent: `exact`, `semantic`, `tool`, …
    pub fn cache(&self, layer: &'static str, agent: &str, result: CacheResult) {
        self.0.meters.cache(layer, agent, result);
    }

    /// Counts what a cached answer saved.
    pub fn cache_saved(&self, layer: &'static str, agent: &str, tokens: u64, micros: u64) {
        self.0.meters.cache_saved(layer, agent, tokens, micros);
    }

    /// Counts a cached answer that was answered anew.
    pub fn cache_check(&self, agent: &str, result: CheckResult) {
        self.0.meters.cache_check(agent, result);
    }

    /// Counts a connection that was not taken: `limit` (too many are open) or `error` (the system gave none).
    pub fn connection_refused(&self, reason: &'static str) {
        self.0.meters.connection_refused(reason);
    }

    /// Tells of the hosts of this way out as well.
    pub fn looks_at(&self, net: Net) {
        drop(self.0.net.set(net));
    }

    /// Counts how long a tool of this upstream or connector took.
    pub fn tool_took(&self, tool: &ToolName, outcome: &Outcome, took: Duration) {
        let upstream = tool.server().unwrap_or(OTHER);
        let outcome = match outcome {
            Outcome::Done { .. } => StepState::Done,
            Outcome::Failed { .. } => StepState::Failed,
            Outcome::Unknown { .. } => StepState::Unknown,
        };
        self.0.meters.tool_took(upstream, outcome.name(), took);
    }

    /// Counts how long the first piece of a model's answer took.
    pub fn first_token(&self, model: &str, took: Millis) {
        self.0.meters.first_token(model, took);
    }

    /// Tells whether the policy folder holds a set that cannot be used.
    pub fn policies_stale(&self, stale: bool) {
        self.0.meters.stale(stale);
    }

    /// Tells how many other nodes decide by other policies.
    pub fn policies_differ(&self, nodes: usize) {
        self.0.meters.differ(nodes);
    }

    /// Everything that is counted, in the OpenMetrics text format.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.0.meters.left_alone(self.0.net.get().map_or(0, Net::left_alone));
        self.0.meters.text()
    }
}

/// The MCP SDK: it tells each try that fails, and each message that nobody knows, with what the other side has sent. What
/// matters of it Cardea tells itself.
const CHATTY: &str = "rmcp";

/// Whether a line may be told at all: of other people's code only what is wrong, whatever level is configured. Below
/// that, protocol libraries write down whole messages.
#[must_use]
pub fn may_tell(line: &tracing::Metadata<'_>) -> bool {
    let ours = line.target().starts_with("cardea");
    ours || (*line.level() <= tracing::Level::WARN && !line.target().starts_with(CHATTY))
}

/// How a user came in, for logs and meters: a kind of user, never the user.
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
