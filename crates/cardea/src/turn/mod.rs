//! The journal of turns: what was asked, what was done for it, and the result.
//!
//! A [`Turn`] is a row that one owner at a time may write; a tool call is a step row under it. Each write is one
//! guarded commit that carries its audit entry, so there is no action without its record and no record without its
//! action. The fencing number in every guard keeps out a former owner that was frozen and wakes up late.
//!
//! `flow` calls in this order: [`Turns::begin`], then [`Turns::start`] and [`Turns::record`] (or [`Turns::refuse`])
//! for each step, and [`Turns::close`] or [`Turns::sleep`] once. [`Turns::look`] and [`Turns::take`] hand an open turn
//! to a new owner.

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

/// Kind of request that a turn serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A message to an agent.
    Chat,
    /// One tool call from outside (MCP).
    Call,
    /// A cached answer that is generated again to check it. The turn only reads, and no client waits for it.
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
    /// Reason why the turn is being undone. If set, nothing else is done for it.
    failure: Option<Failure>,
    /// Conversation of the answer that the turn checks.
    checks: Option<ConversationId>,
    deadline: Timestamp,
    /// The request on whose behalf the turn is worked on.
    trace: Trace,
    /// The placeholders of its conversation.
    placeholders: Placeholders,
    /// Expiry of everything the turn took from a cache.
    fresh_until: Option<Timestamp>,
}

/// Text and thoughts of the model beside calls of which none has begun.
#[derive(Debug, Default)]
struct Speech {
    words: Option<String>,
    thoughts: Option<Thoughts>,
}

impl Turn {
    /// Creates a turn without steps.
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

    /// Returns the id of the turn.
    #[must_use]
    pub fn id(&self) -> TurnId {
        self.id
    }

    /// Sets the request on whose behalf the turn is worked on.
    #[must_use]
    pub fn traced(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    /// Sets the placeholders of its conversation.
    #[must_use]
    pub fn with_placeholders(mut self, placeholders: Placeholders) -> Self {
        self.placeholders = placeholders;
        self
    }

    /// Returns the placeholders of its conversation.
    #[must_use]
    pub fn placeholders(&self) -> &Placeholders {
        &self.placeholders
    }

    /// Returns the trace of the request on whose behalf the turn is worked on.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Returns the steps so far, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the sources of untrusted text in this turn.
    #[must_use]
    pub fn taint(&self) -> &BTreeSet<String> {
        &self.taint
    }

    /// Adds a source of untrusted text. It becomes durable with the next step or the end.
    pub fn taint_with(&mut self, source: impl Into<String>) {
        self.taint.insert(source.into());
    }

    /// Adds several sources of untrusted text.
    pub fn taint_with_all(&mut self, sources: &[impl AsRef<str>]) {
        self.taint.extend(sources.iter().map(|source| source.as_ref().to_owned()));
    }

    /// Limits the freshness of the turn to the expiry of a cached result.
    pub fn as_fresh_as(&mut self, until: Timestamp) {
        self.fresh_until = Some(self.fresh_until.map_or(until, |known| known.min(until)));
    }

    /// Returns the expiry of everything the turn took from a cache.
    #[must_use]
    pub const fn fresh_until(&self) -> Option<Timestamp> {
        self.fresh_until
    }

    /// Returns the number of the next step, from 1.
    #[must_use]
    pub fn next_step(&self) -> i64 {
        self.steps.iter().map(|step| step.number).max().unwrap_or(0) + 1
    }

    /// Keeps the text that the model wrote beside the calls that follow.
    pub fn says(&mut self, words: Screened<String>) {
        self.taint_with_all(words.taint());
        self.speech.words = Some(words.into_inner());
    }

    /// Keeps the model's thoughts before the calls that follow.
    pub fn thinks(&mut self, model: String, thoughts: Screened<String>) {
        self.taint_with_all(thoughts.taint());
        self.speech.thoughts = Some(Thoughts { model, text: thoughts.into_inner() });
    }

    /// Records that the answer came from a cache.
    pub fn from_cache(&mut self, layer: CacheUse) {
        self.cache = layer;
    }

    /// Returns whether a tool with an effect has done, or may have done, its work.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        self.steps.iter().any(Step::touched_the_world)
    }
}

/// A node, and the start of it, as the writer of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name of the node in the installation.
    pub name: String,
    /// Fencing number, which grows with each start of the node. A row with a smaller number was left by an earlier
    /// process.
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

    /// Returns the answers whose clients disconnected before they came.
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
