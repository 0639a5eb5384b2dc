//! Doing: the tools of upstream servers, chosen, called under the caller's name, and taken back.
//!
//! Promises: nothing is called without a [`Permit`]; the user's own token goes nowhere; an answer that did not come
//! is `Unknown`, never a guess. Refuses: tools whose schema cannot be checked, tools whose
//! description gives orders, names that are taken. Called by `flow`.

mod catalog;
mod config;
mod grant;
mod select;
mod upstream;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use cardea_auth::Caller;
use cardea_core::{
    Error, Result,
    agent::Agent,
    journal::{Repeatable, StepState},
    message::Message,
    time::SharedClock,
    tool::Outcome,
};
use cardea_model::embedder::Embedder;
use cardea_net::Net;

use self::{catalog::Source, grant::Grant, select::Selector, upstream::Upstream};
pub use self::{
    catalog::{Catalog, Tool},
    config::UpstreamConfig,
    select::Selected,
};
use crate::{
    control::{Control, Permit},
    identity::Identity,
    turn::{Ending, Step, Turn, Turns},
};

/// How often a call with an idempotency key, or a read, is sent before it counts as not done.
const ATTEMPTS: u32 = 2;

/// The room. Cheap to clone.
#[derive(Clone)]
pub struct Action {
    inner: Arc<Inner>,
}

struct Inner {
    upstreams: BTreeMap<String, Upstream>,
    catalog: RwLock<Arc<Catalog>>,
    selector: Selector,
    clock: SharedClock,
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action").field("catalog", &self.catalog().version()).finish_non_exhaustive()
    }
}

impl Action {
    /// A room for these upstreams. The catalogue is empty until [`Action::refresh`].
    #[must_use]
    pub fn new(
        (net, identity, control, clock): (&Net, &Identity, &Control, SharedClock),
        upstreams: &BTreeMap<String, UpstreamConfig>,
        embedder: Option<Arc<dyn Embedder>>,
    ) -> Self {
        let grant = Grant::new(identity.clone());
        let upstreams = upstreams
            .iter()
            .map(|(name, config)| {
                let guarded = (net.clone(), control.clone());
                (name.clone(), Upstream::new(name, config.clone(), guarded, grant.clone()))
            })
            .collect();
        let selector = Selector::new(embedder);
        let inner = Inner { upstreams, catalog: RwLock::default(), selector, clock };
        Self { inner: Arc::new(inner) }
    }

    /// Reads the lists of all upstreams anew. An upstream that cannot be read keeps the tools it had.
    ///
    /// # Errors
    /// The first upstream that could not be read; the others are in the catalogue all the same.
    pub async fn refresh(&self) -> Result<()> {
        let mut tools = Vec::new();
        let mut failed = None;
        for (name, upstream) in &self.inner.upstreams {
            match upstream.list().await {
                Ok(listed) => tools.extend(listed.into_iter().map(Arc::new)),
                Err(error) => {
                    tracing::warn!(
                        upstream = name,
                        error.code = error.code().name(),
                        cause = error.cause_line(),
                        "not listed"
                    );
                    let kept = self.catalog();
                    let of = |tool: &&Arc<Tool>| {
                        let Source::Mcp { server, .. } = &tool.source;
                        server == name
                    };
                    tools.extend(kept.all().filter(of).cloned());
                    failed = failed.or(Some(error));
                }
            }
        }
        let catalog = Arc::new(Catalog::new(tools)?);
        self.inner.selector.learn(&catalog).await;
        *self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        failed.map_or(Ok(()), Err)
    }

    /// The tools of now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.inner.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tools to offer for this text, out of those that the caller may call anyway.
    pub async fn select(
        &self,
        agent: &Agent,
        allowed: Vec<Arc<Tool>>,
        text: &str,
        history: &[Message],
    ) -> Selected {
        self.inner.selector.select(agent, allowed, text, history).await
    }

    /// Does what the permit allows, once. Whatever happens is an outcome.
    ///
    /// A read, or a write that the provider makes harmless to repeat, is sent a second time if nobody knows what
    /// became of the first; nothing else is.
    pub async fn execute(&self, permit: Permit, caller: &Caller, tool: &Tool, step: &Step) -> Outcome {
        if !permit.covers(caller, tool.name(), step.digest(), self.inner.clock.now()) {
            return Outcome::Failed { reason: "The permit is for another call, or too old.".to_owned() };
        }
        let mut outcome = self.once(caller, tool, step).await;
        for _ in 1..ATTEMPTS {
            let again = matches!(outcome, Outcome::Unknown { .. }) && tool.repeatable() == Repeatable::ByKey;
            if !again {
                break;
            }
            outcome = self.once(caller, tool, step).await;
        }
        outcome
    }

    async fn once(&self, caller: &Caller, tool: &Tool, step: &Step) -> Outcome {
        match &tool.source {
            Source::Mcp { server, name } => match self.inner.upstreams.get(server) {
                Some(upstream) => upstream.call(caller, name, step, &step.id().to_string()).await,
                None => {
                    Outcome::Failed { reason: format!("The upstream `{server}` is not configured any more.") }
                }
            },
        }
    }

    /// Takes back what a failed turn has done, the last effect first, and says how the turn ends.
    ///
    /// No tool behind MCP declares how to take its effect back, so such a turn ends as failed, and the receipt's
    /// steps tell what was done; an effect that nobody can speak for ends it as unknown.
    ///
    /// # Errors
    /// What the journal says.
    pub async fn unwind(&self, turns: &Turns, turn: &mut Turn, error: Error) -> Result<Ending> {
        let _ = turns;
        let unknown = turn.steps().iter().any(|step| step.state() == StepState::Unknown);
        Ok(if unknown { Ending::Unknown(error) } else { Ending::Failed(error) })
    }
}
