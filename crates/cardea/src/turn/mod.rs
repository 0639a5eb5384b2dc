//! The journal of turns: what was asked, what was done for it, and what came of it.
//!
//! A [`Turn`] is a row that one owner at a time may write, and a tool call is a step row under it. Each write here is
//! one guarded commit that carries its audit entry, so there is no action without its record and no record without
//! its action. The fence in every guard keeps out an owner that was frozen and woke up late.
//!
//! `flow` calls in this order: [`Turns::begin`], then [`Turns::start`] and [`Turns::record`] (or [`Turns::refuse`])
//! for each step, and [`Turns::close`] or [`Turns::sleep`] once. [`Turns::look`] and [`Turns::take`] give an open turn to
//! a new owner.

mod begin;
mod cancel;
mod close;
mod elsewhere;
mod follow;
mod held;
mod open;
mod read;
mod receipt;
mod recover;
mod row;
mod step;
mod undo;
mod unheard;
mod words;

use std::{collections::BTreeSet, sync::Arc};

use cardea_core::{
    Code, Error,
    id::{AgentName, ConversationId, RequestId, TurnId},
    message::{Thoughts, Usage},
    principal::Principal,
    time::{Millis, SharedClock, Timestamp},
    trace::TraceContext,
};
use cardea_store::{Commit, CommitError, Db, Value, args};
use serde::{Deserialize, Serialize};

pub use self::{
    begin::{Before, Begun, Question},
    cancel::{Cancelled, Whose},
    close::Ending,
    elsewhere::Trail,
    follow::{Begins, Following},
    open::Unclaimed,
    read::{Event, Found, KINDS},
    receipt::{CacheUse, Failure, Receipt, ToolUse},
    recover::{Free, NODE_LEASE},
    step::{Start, Step},
    undo::Undone,
    unheard::{Coming, Unheard},
};
use crate::{
    control::Placeholders,
    observe::{Entry, Observe, Trace},
    vault::Vault,
};
use follow::Followed;
use held::{Held, Hold};

/// Which kind of request a turn serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A message to an agent.
    Chat,
    /// One tool call from outside (MCP).
    Call,
    /// A cached answer, answered anew to see whether it was right: reads only, and nobody waits for it.
    Check,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Call => "call",
            Self::Check => "check",
        }
    }
}

/// What an agent allows one turn to use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Model calls after the first.
    pub reflections: u32,
    /// Tool calls.
    pub tool_calls: u32,
    /// Money, in millionths.
    pub cost_micros: u64,
    /// Tokens, read and written.
    pub tokens: u64,
    /// One tool call.
    pub call: Millis,
    /// From the first row to the last.
    pub time: Millis,
}

/// An open turn in the hands of its one owner.
#[derive(Debug)]
pub struct Turn {
    id: TurnId,
    request: RequestId,
    /// The place in a trace of that request.
    asked_in: Option<TraceContext>,
    principal: Principal,
    kind: Kind,
    agent: AgentName,
    conversation: Option<ConversationId>,
    /// True if its conversation was made with it: nothing was said there before.
    first: bool,
    prompt: String,
    limits: Limits,
    fence: i64,
    steps: Vec<Step>,
    model_calls: u32,
    /// Who thought since it was begun, or taken up: entries of the audit log name them.
    models: BTreeSet<String>,
    usage: Usage,
    cost_micros: u64,
    /// Tokens and money that a budget has paid already, before a pause.
    paid: (u64, u64),
    taint: BTreeSet<String>,
    /// What its model said beside calls of which none has begun.
    saying: Option<String>,
    /// What it thought before them.
    thinking: Option<Thoughts>,
    cache: CacheUse,
    /// Why it is being taken back; it then only goes on with that.
    failure: Option<Failure>,
    /// The conversation of the answer that it checks.
    checks: Option<ConversationId>,
    events: i64,
    started: Timestamp,
    deadline: Timestamp,
    /// Rows that wait for the next commit of this turn.
    pending: Commit,
    /// True once the turn's own row is in the database.
    durable: bool,
    /// Commits of this turn so far: tells whether one whose acknowledgement was lost has arrived.
    commits: i64,
    /// How often it was taken up since the last of them.
    tries: i64,
    /// Why a commit failed. Every later commit of this value fails with it; whoever takes the turn up next reads the rows anew.
    stranded: Option<CommitError>,
    /// Says that this process has the turn in hand, until it is dropped.
    held: Hold,
    /// The request that it is worked on for.
    trace: Trace,
    /// The placeholders of its conversation.
    placeholders: Placeholders,
    /// Until when everything that was taken from a cache is good.
    fresh_until: Option<Timestamp>,
}

impl Turn {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> TurnId {
        self.id
    }

    /// The request it came with.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// The place in a trace of that request, if it is known.
    #[must_use]
    pub fn asked_in(&self) -> Option<TraceContext> {
        self.asked_in
    }

    /// The same turn, worked on for this request.
    #[must_use]
    pub fn traced(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    /// The same turn, with the placeholders of its conversation.
    #[must_use]
    pub fn with_placeholders(mut self, placeholders: Placeholders) -> Self {
        self.placeholders = placeholders;
        self
    }

    /// The placeholders of its conversation.
    #[must_use]
    pub fn placeholders(&self) -> &Placeholders {
        &self.placeholders
    }

    /// The trace of the request that it is worked on for.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Who asked, as facts.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What it serves.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// When it was asked.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started
    }

    /// The agent that answers.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// The conversation it belongs to; a bare tool call has none.
    #[must_use]
    pub fn conversation(&self) -> Option<ConversationId> {
        self.conversation
    }

    /// True if nothing was said in its conversation before.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// What was asked, screened.
    #[must_use]
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Its steps so far, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Where untrusted text came into this turn.
    #[must_use]
    pub fn taint(&self) -> &BTreeSet<String> {
        &self.taint
    }

    /// Tokens used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Money used so far, in millionths.
    #[must_use]
    pub fn cost_micros(&self) -> u64 {
        self.cost_micros
    }

    /// Tokens and money that no budget has paid yet.
    #[must_use]
    pub fn unpaid(&self) -> (u64, u64) {
        let (tokens, micros) = self.paid;
        (self.usage.total().saturating_sub(tokens), self.cost_micros.saturating_sub(micros))
    }

    /// When it must have ended.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn run(&mut self, sql: &'static str, args: Vec<Value>) {
        self.pending = std::mem::take(&mut self.pending).run(sql, args);
    }

    fn guard(&mut self, name: &'static str, sql: &'static str, args: Vec<Value>) {
        self.pending = std::mem::take(&mut self.pending).guard(name, sql, args);
    }

    /// Notes that untrusted text has come in; durable with the next step or the end.
    pub fn taint_with(&mut self, source: impl Into<String>) {
        self.taint.insert(source.into());
    }

    /// Notes each of these sources.
    pub fn taint_with_all(&mut self, sources: &[impl AsRef<str>]) {
        self.taint.extend(sources.iter().map(|source| source.as_ref().to_owned()));
    }

    /// Notes until when a result is good that was taken from a cache.
    pub fn as_fresh_as(&mut self, until: Timestamp) {
        self.fresh_until = Some(self.fresh_until.map_or(until, |known| known.min(until)));
    }

    /// Until when everything that was taken from a cache is good.
    #[must_use]
    pub const fn fresh_until(&self) -> Option<Timestamp> {
        self.fresh_until
    }

    /// Adds rows of another room that must become durable together with the turn's next commit.
    pub fn note(&mut self, rows: Commit) {
        self.pending = std::mem::take(&mut self.pending).and(rows);
    }

    /// How long it may go on.
    #[must_use]
    pub fn time_left(&self, now: Timestamp) -> Millis {
        self.deadline.since(now)
    }

    /// The number of its next step, from 1.
    #[must_use]
    pub fn next_step(&self) -> i64 {
        self.steps.iter().map(|step| step.number).max().unwrap_or(0) + 1
    }

    /// Notes what one call of this model used.
    pub fn charge(&mut self, model: &str, usage: Usage, cost_micros: u64) {
        self.models.insert(model.to_owned());
        self.model_calls = self.model_calls.saturating_add(1);
        self.usage = self.usage.plus(usage);
        self.cost_micros = self.cost_micros.saturating_add(cost_micros);
    }

    /// Notes what the model said beside the calls that follow, screened.
    pub fn says(&mut self, words: String) {
        self.saying = Some(words);
    }

    /// Notes what the model thought before the calls that follow, screened.
    pub fn thinks(&mut self, thoughts: Thoughts) {
        self.thinking = Some(thoughts);
    }

    /// Notes that the answer came from a cache.
    pub fn from_cache(&mut self, layer: CacheUse) {
        self.cache = layer;
    }

    /// True if its row is in the database: it is taken up again if nobody ends it.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// True if a tool with an effect has done, or may have done, its work.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        self.steps.iter().any(Step::touched_the_world)
    }

    /// Refuses another model call once a limit is reached. Each limit has its own ending.
    ///
    /// # Errors
    /// `reflections_spent`, `time_spent` or `money_spent`.
    pub fn within_limits(&self, now: Timestamp) -> Result<(), Error> {
        if self.model_calls > self.limits.reflections {
            let most = self.limits.reflections.saturating_add(1);
            return Err(
                Error::new(Code::ReflectionsSpent).detail(format!("The limit is {most} model calls."))
            );
        }
        self.has_time(now)?;
        if self.usage.total() >= self.limits.tokens {
            return Err(self.tokens_spent());
        }
        if self.cost_micros > self.limits.cost_micros {
            return Err(self.money_spent());
        }
        Ok(())
    }

    /// Refuses what came of a model call that has used more than there was.
    ///
    /// # Errors
    /// `tokens_spent` or `money_spent`.
    pub fn has_paid(&self) -> Result<(), Error> {
        if self.usage.total() > self.limits.tokens {
            return Err(self.tokens_spent());
        }
        if self.cost_micros > self.limits.cost_micros {
            return Err(self.money_spent());
        }
        Ok(())
    }

    /// Refuses to begin anything once its time is over.
    ///
    /// # Errors
    /// `time_spent`.
    pub fn has_time(&self, now: Timestamp) -> Result<(), Error> {
        if now >= self.deadline {
            return Err(Error::new(Code::TimeSpent).detail(format!("The limit is {}.", self.limits.time)));
        }
        Ok(())
    }

    /// How many tokens its next model call may write, if it reads so many.
    ///
    /// # Errors
    /// `tokens_spent` if there is no room for an answer.
    pub fn tokens_left(&self, reads: u64) -> Result<Option<u32>, Error> {
        if self.limits.tokens == u64::MAX {
            return Ok(None);
        }
        match self.limits.tokens.saturating_sub(self.usage.total()).saturating_sub(reads) {
            0 => Err(self.tokens_spent()),
            left => Ok(Some(u32::try_from(left).unwrap_or(u32::MAX))),
        }
    }

    /// The end of a turn that has used all its tokens.
    #[must_use]
    pub fn tokens_spent(&self) -> Error {
        let (most, used) = (self.limits.tokens, self.usage.total());
        let detail = format!("The limit is {most} tokens per turn, and {used} are used.");
        Error::new(Code::TokensSpent).detail(detail)
    }

    /// How many millionths its next model call may cost; no end without a limit.
    #[must_use]
    pub fn micros_left(&self) -> u64 {
        match self.limits.cost_micros {
            u64::MAX => u64::MAX,
            most => most.saturating_sub(self.cost_micros),
        }
    }

    /// The end of a turn whose next model call its money cannot pay, or not to its end.
    #[must_use]
    pub fn money_spent(&self) -> Error {
        let (most, used) = (self.limits.cost_micros as f64 / 1e6, self.cost_micros as f64 / 1e6);
        let detail = format!("The limit is {most:.4} USD per turn, and {used:.4} are used.");
        Error::new(Code::MoneySpent).detail(detail)
    }

    /// How long its next tool call may take.
    #[must_use]
    pub fn call_time(&self, now: Timestamp) -> (Millis, &'static str) {
        let (left, own) = (self.time_left(now), self.limits.call);
        if left < own {
            (left, "all that was left of the turn's time (`limits.time` of the agent)")
        } else {
            (own, "the longest that one tool call may take (`limits.tool_timeout` of the agent)")
        }
    }

    /// The longest that one tool call may take, whatever is left of the turn's time.
    #[must_use]
    pub fn call_limit(&self) -> Millis {
        self.limits.call
    }

    /// Refuses another tool call once the turn has made all it may.
    ///
    /// # Errors
    /// `steps_spent`.
    pub fn another_call(&self) -> Result<(), Error> {
        // A step that is still open is the call that is about to go on, not one more.
        let made = self.steps.iter().filter(|step| !step.is_open()).count();
        let made = u32::try_from(made).unwrap_or(u32::MAX);
        if made >= self.limits.tool_calls {
            let most = self.limits.tool_calls;
            return Err(
                Error::new(Code::StepsSpent).detail(format!("The limit is {most} tool calls per turn."))
            );
        }
        Ok(())
    }
}

/// Which node writes, and since which start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name in the installation.
    pub name: String,
    /// Grows with each start of this node: a row with a smaller one was left by an earlier process.
    pub fence: i64,
}

/// The room. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    observe: Observe,
    clock: SharedClock,
    node: Node,
    vault: Vault,
    followed: Followed,
    held: Held,
    unheard: Unheard,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").field("node", &self.inner.node).finish_non_exhaustive()
    }
}

impl Turns {
    /// Takes the node's place in the journal. An earlier process of the same name loses its turns to this one.
    ///
    /// # Errors
    /// `store_unavailable` if the node's lease cannot be written.
    pub async fn new(
        db: Db,
        observe: Observe,
        clock: SharedClock,
        node: &str,
        vault: Vault,
    ) -> Result<Self, Error> {
        let fence = recover::take_node(&db, node, clock.now()).await?;
        let node = Node { name: node.to_owned(), fence };
        let unheard = Unheard::new(SharedClock::clone(&clock));
        let (followed, held) = (Followed::default(), Held::default());
        Ok(Self { inner: Arc::new(Inner { db, observe, clock, node, vault, followed, held, unheard }) })
    }

    /// The answers whose clients have gone before they came.
    #[must_use]
    pub fn unheard(&self) -> &Unheard {
        &self.inner.unheard
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Commits what waits, guarded by the turn's fence.
    async fn flush(&self, turn: &mut Turn) -> Result<(), Error> {
        let row = self.row(turn)?;
        self.commit(turn, row).await.map_err(lost)
    }

    /// Commits the turn's own row, and what waits after it.
    async fn commit(&self, turn: &mut Turn, row: Commit) -> Result<(), CommitError> {
        // WHY: an outcome that could not be recorded is told to nobody, and what depends on it is not written either.
        if let Some(error) = &turn.stranded {
            return Err(error.clone());
        }
        let commit = row.and(std::mem::take(&mut turn.pending));
        turn.commits += i64::from(turn.durable);
        match self.inner.db.commit(commit).await {
            Err(CommitError::Unknown(why)) if !self.arrived(turn).await => {
                turn.stranded = Some(CommitError::Unknown(why.clone()));
                Err(CommitError::Unknown(why))
            }
            Ok(()) | Err(CommitError::Unknown(_)) => {
                turn.durable = true;
                self.inner.followed.tell(turn.id);
                Ok(())
            }
            Err(CommitError::Conflict("key")) => {
                turn.commits -= 1; // nothing was written, and the turn is still ours to be ended
                Err(CommitError::Conflict("key"))
            }
            Err(error) => {
                turn.stranded = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Looks whether a commit whose acknowledgement was lost is there.
    async fn arrived(&self, turn: &Turn) -> bool {
        let sql = "SELECT commits FROM turns WHERE id = $1 AND fence = $2 AND node = $3 AND node_fence = $4";
        let node = &self.inner.node;
        let args = args![turn.id, turn.fence, &node.name, node.fence];
        let found = self.inner.db.row::<(i64,)>(sql, args).await;
        found.is_ok_and(|row| row == Some((turn.commits,)))
    }

    /// Adds an event to the turn's stream, with the next commit.
    fn event(&self, turn: &mut Turn, kind: &'static str, body: &serde_json::Value) {
        // A bare call has one request and one answer; nobody follows its stream.
        if turn.kind != Kind::Chat {
            return;
        }
        debug_assert!(KINDS.contains(&kind), "`{kind}` is not described");
        turn.events += 1;
        turn.run(
            "INSERT INTO events (turn, seq, tenant, kind, body, at) VALUES ($1, $2, $3, $4, $5, $6)",
            args![turn.id, turn.events, &turn.principal.tenant, kind, body.to_string(), self.now().0],
        );
    }

    /// Adds an audit entry about this turn, with the next commit.
    fn audit(
        &self,
        turn: &mut Turn,
        event: &'static str,
        step: Option<&Step>,
        mut detail: serde_json::Value,
    ) {
        if let Some(detail) = detail.as_object_mut().filter(|_| !turn.models.is_empty()) {
            detail.insert("models".to_owned(), serde_json::json!(turn.models));
        }
        let entry = Entry {
            principal: &turn.principal,
            event,
            turn: Some(turn.id),
            step: step.map(Step::id),
            tool: step.map(|step| step.tool().as_str()),
            request: Some(turn.request),
            detail,
        };
        self.inner.observe.audit(&mut turn.pending, entry);
    }
}

/// What a failed commit of a turn's owner means: a broken guard is a lost lease.
fn lost(error: CommitError) -> Error {
    match error {
        CommitError::Conflict("turn" | "step") => Error::new(Code::TakenOver),
        CommitError::Conflict("key") => {
            Error::new(Code::TokenInvalid).detail("The API key was withdrawn before this was begun.")
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests;
