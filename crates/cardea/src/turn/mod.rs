//! The journal of turns: what was asked, what was done for it, and what came of it.
//!
//! A [`Turn`] is a row that one owner at a time may write, and a tool call is a step row under it. Each write here is
//! one guarded commit that carries its audit entry, so there is no action without its record and no record without
//! its action. The fence in every guard keeps out an owner that was frozen and woke up late.
//!
//! `flow` calls in this order: [`Turns::begin`], then [`Turns::start`] and [`Turns::record`] (or [`Turns::refuse`])
//! for each step, and [`Turns::close`] or [`Turns::sleep`] once. [`Turns::look`] and [`Turns::take`] give an open turn to
//! a new owner.

mod asked;
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
mod spending;
mod step;
mod undo;
mod unheard;
mod writing;

use std::{collections::BTreeSet, sync::Arc};

use cardea_core::{
    Error,
    id::{ConversationId, TurnId},
    message::Thoughts,
    time::{SharedClock, Timestamp},
};
use cardea_store::Db;
use serde::{Deserialize, Serialize};

pub use self::{
    begin::{Asker, Before, Begun, Keyed, Question},
    cancel::{Cancelled, Whose},
    close::Ending,
    elsewhere::Trail,
    follow::{Begins, Following},
    open::Unclaimed,
    read::{Event, Found, KINDS},
    receipt::{CacheUse, Failure, Receipt, ToolUse},
    recover::{Free, NODE_LEASE},
    spending::Limits,
    step::{Start, Step},
    unheard::{Coming, Unheard},
};
use crate::{
    control::{Placeholders, Screened},
    observe::{Observe, Trace},
    vault::Vault,
};
use asked::Asked;
use follow::Followed;
use held::Held;
use spending::Spending;
use writing::{Writing, lost};

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

    fn parse(name: &str) -> Option<Self> {
        [Self::Chat, Self::Call, Self::Check].into_iter().find(|kind| kind.name() == name)
    }
}

/// An open turn in the hands of its one owner.
#[derive(Debug)]
pub struct Turn {
    id: TurnId,
    asked: Asked,
    spending: Spending,
    writing: Writing,
    speech: Speech,
    steps: Vec<Step>,
    taint: BTreeSet<String>,
    cache: CacheUse,
    /// Why it is being taken back; it then only goes on with that.
    failure: Option<Failure>,
    /// The conversation of the answer that it checks.
    checks: Option<ConversationId>,
    deadline: Timestamp,
    /// The request that it is worked on for.
    trace: Trace,
    /// The placeholders of its conversation.
    placeholders: Placeholders,
    /// Until when everything that was taken from a cache is good.
    fresh_until: Option<Timestamp>,
}

/// What its model said and thought beside calls of which none has begun.
#[derive(Debug, Default)]
struct Speech {
    words: Option<String>,
    thoughts: Option<Thoughts>,
}

impl Turn {
    /// One of which nothing was done.
    fn new(id: TurnId, asked: Asked, writing: Writing) -> Self {
        Self {
            id,
            deadline: asked.started.plus(asked.limits.time),
            asked,
            spending: Spending::default(),
            writing,
            speech: Speech::default(),
            steps: Vec::new(),
            taint: BTreeSet::new(),
            cache: CacheUse::None,
            failure: None,
            checks: None,
            trace: Trace::default(),
            placeholders: Placeholders::default(),
            fresh_until: None,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> TurnId {
        self.id
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

    /// The number of its next step, from 1.
    #[must_use]
    pub fn next_step(&self) -> i64 {
        self.steps.iter().map(|step| step.number).max().unwrap_or(0) + 1
    }

    /// Notes what the model said beside the calls that follow.
    pub fn says(&mut self, words: Screened<String>) {
        self.taint_with_all(words.taint());
        self.speech.words = Some(words.into_inner());
    }

    /// Notes what the model thought before the calls that follow.
    pub fn thinks(&mut self, model: String, thoughts: Screened<String>) {
        self.taint_with_all(thoughts.taint());
        self.speech.thoughts = Some(Thoughts { model, text: thoughts.into_inner() });
    }

    /// Notes that the answer came from a cache.
    pub fn from_cache(&mut self, layer: CacheUse) {
        self.cache = layer;
    }

    /// True if a tool with an effect has done, or may have done, its work.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        self.steps.iter().any(Step::touched_the_world)
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
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests;
