//! Doing: the tools of upstream servers and connectors, chosen and called under the caller's name.
//!
//! Promises: nothing is called without a [`Permit`]; the user's own token goes nowhere; an answer that did not come
//! is `Unknown`, never a guess; what a tool of an upstream says of itself counts until a person accepts something else.
//! Refuses: tools whose schema cannot be checked, tools whose description gives orders or has changed, names that are
//! taken. Called by `flow`.

mod catalog;
mod challenge;
mod config;
mod failing;
mod fault;
mod grant;
mod http;
mod job;
mod pins;
mod result;
mod select;
mod upstream;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use cardea_auth::Caller;
use cardea_core::{
    Code, Result, agent::Agent, connector::Connector, id::ToolName, secret::SecretString, time::SharedClock,
};
use cardea_model::embedder::Embedder;
use cardea_net::Net;
use cardea_store::{Db, Shared};
use futures::{StreamExt as _, stream};
use tokio::time::Instant;

use self::{
    catalog::Source, failing::Failing, grant::Grant, http::Http, select::Selector, upstream::Upstream,
};
pub use self::{
    catalog::{Catalog, Tool},
    config::UpstreamConfig,
    job::{Acted, Job, Within},
    pins::{Held, Pins},
    select::Selected,
};
use crate::{
    control::{Control, Permit},
    identity::Identity,
    observe::Observe,
    vault::Vault,
};

/// How many upstreams are asked for their tools at one time.
const AT_ONCE: usize = 32;

/// For how long those wait who want the tools of all upstreams: a start must not wait for one that is silent.
const PATIENCE: Duration = Duration::from_secs(3);

/// For how long they wait for the encoder, which reads what is new in those lists.
const LEARNING: Duration = Duration::from_secs(10);

/// What the room is built from.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Where definitions of tools are kept.
    pub db: Db,
    /// The audit log.
    pub observe: Observe,
    /// The way out.
    pub net: Net,
    /// Tokens of ours.
    pub identity: Identity,
    /// Sealed secrets.
    pub vault: Vault,
    /// Token buckets.
    pub shared: Arc<dyn Shared>,
    /// Guardrails over what tools say of themselves.
    pub control: Control,
    /// The time.
    pub clock: SharedClock,
}

/// The services whose tools are offered.
#[derive(Debug)]
pub struct Services<'a> {
    /// MCP servers.
    pub upstreams: &'a BTreeMap<String, UpstreamConfig>,
    /// Connectors.
    pub connectors: Vec<Connector>,
    /// The installation's own secrets, by the connector's name.
    pub secrets: &'a BTreeMap<String, SecretString>,
}

/// The room. Cheap to clone.
#[derive(Clone)]
pub struct Action {
    inner: Arc<Inner>,
}

struct Inner {
    upstreams: BTreeMap<String, Upstream>,
    connectors: BTreeMap<String, Http>,
    /// Tools of connectors come from files and are always there.
    catalog: RwLock<Arc<Catalog>>,
    /// INVARIANT: held while the catalogue is read, changed and replaced.
    offering: tokio::sync::Mutex<()>,
    selector: Selector,
    clock: SharedClock,
    pins: Pins,
    /// Upstreams that could not be read the last time.
    failing: Failing,
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action").field("catalog", &self.catalog().version()).finish_non_exhaustive()
    }
}

impl Action {
    /// A room for these services. Tools of upstreams are missing from the catalogue until [`Action::refresh`].
    ///
    /// # Errors
    /// `misconfigured` if two tools have one name.
    pub fn new(
        neighbours: Neighbours,
        services: Services<'_>,
        embedder: Option<Arc<dyn Embedder>>,
    ) -> Result<Self> {
        let Neighbours { db, observe, net, identity, vault, shared, control, clock } = neighbours;
        let pins = Pins::new(db, observe, Arc::clone(&clock));
        let grant = Grant::new(identity, vault);
        let way = upstream::Way {
            net: net.clone(),
            grant: grant.clone(),
            control,
            pins: pins.clone(),
            clock: Arc::clone(&clock),
        };
        let upstreams = services
            .upstreams
            .iter()
            .map(|(name, config)| (name.clone(), Upstream::new(name, config.clone(), way.clone())))
            .collect();
        let way = http::Way { net, grant, shared, clock: Arc::clone(&clock) };
        let connectors: BTreeMap<String, Http> = services
            .connectors
            .into_iter()
            .map(|connector| {
                let (name, secret) = (connector.name.clone(), services.secrets.get(&connector.name).cloned());
                (name, Http::new(connector, secret, way.clone()))
            })
            .collect();
        let mut described = Vec::new();
        for connector in connectors.values() {
            described.extend(connector.tools()?.into_iter().map(Arc::new));
        }
        let (catalog, selector) = (Arc::new(Catalog::new(described)?), Selector::new(embedder));
        selector.take(&catalog); // connectors are there without any server
        let catalog = RwLock::new(catalog);
        let failing = Failing::default();
        let inner = Inner {
            upstreams,
            connectors,
            catalog,
            offering: tokio::sync::Mutex::default(),
            selector,
            clock,
            pins,
            failing,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The names of the upstreams.
    pub fn upstreams(&self) -> impl Iterator<Item = &str> {
        self.inner.upstreams.keys().map(String::as_str)
    }

    /// Reads the lists of all upstreams anew, and takes each as it comes. One that cannot be read, or is silent for longer
    /// than three seconds, keeps the tools it had. What the encoder has not read of them after ten seconds it reads later
    /// ([`Self::keep_learning`]); until then words decide which tools a text is about.
    ///
    /// # Errors
    /// Of an upstream that could not be read; the others are in the catalogue all the same.
    pub async fn refresh(&self) -> Result<()> {
        let learnt = Instant::now() + LEARNING;
        let soon = async |name| {
            let listed = self.tools_of(name, PATIENCE).await;
            self.take(name, listed, learnt).await
        };
        let mut answers = stream::iter(self.upstreams()).map(soon).buffer_unordered(AT_ONCE);
        let mut all = Ok(());
        while let Some(listed) = answers.next().await {
            all = all.and(listed);
        }
        all
    }

    /// Lets the encoder read what is new in lists of tools, for as long as this runs.
    pub async fn keep_learning(self) {
        loop {
            self.inner.selector.learn(Duration::MAX).await;
            self.inner.selector.news().await;
        }
    }

    /// Reads the list of one upstream anew, for as long as its `timeout` allows. What cannot be read stays as it was.
    ///
    /// # Errors
    /// `upstream_silent`, `upstream_failed`; what the store says.
    pub async fn list(&self, name: &str) -> Result<()> {
        let listed = self.tools_of(name, Duration::MAX).await;
        self.take(name, listed, Instant::now() + LEARNING).await
    }

    async fn tools_of(&self, name: &str, patience: Duration) -> Result<Vec<Tool>> {
        let Some(upstream) = self.inner.upstreams.get(name) else { return Err(Code::NotFound.into()) };
        let listed = tokio::time::timeout(patience, upstream.list()).await;
        listed.unwrap_or_else(|_| Err(Code::UpstreamSilent.into()))
    }

    /// Takes what an upstream has answered. The encoder may read until then before it is offered.
    async fn take(&self, name: &str, listed: Result<Vec<Tool>>, learnt: Instant) -> Result<()> {
        match listed {
            Ok(tools) => self.offer(name, tools, learnt).await,
            Err(error) => {
                self.inner.failing.not_reached(name, &error);
                Err(error)
            }
        }
    }

    /// Puts these in the place of the tools that an upstream had.
    async fn offer(&self, name: &str, listed: Vec<Tool>, learnt: Instant) -> Result<()> {
        let _alone = self.inner.offering.lock().await;
        let before = self.catalog();
        let of = |tool: &&Arc<Tool>| !matches!(&tool.source, Source::Mcp { server, .. } if server == name);
        let others = before.all().filter(of).cloned();
        let catalog = Arc::new(Catalog::new(others.chain(listed.into_iter().map(Arc::new)).collect())?);
        self.inner.selector.take(&catalog);
        self.inner.selector.learn(learnt.saturating_duration_since(Instant::now())).await;
        *self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        self.inner.failing.reached(name); // only now: until its tools are known a server counts as away (`is_awaited`)
        Ok(())
    }

    /// True of an upstream that could not be read the last time, and may be asked again.
    #[must_use]
    pub fn is_due(&self, upstream: &str) -> bool {
        self.inner.failing.has(upstream) && self.inner.failing.is_due(upstream)
    }

    /// True of a tool that nobody knows, of a server that could not be asked the last time.
    #[must_use]
    pub fn is_awaited(&self, tool: &ToolName) -> bool {
        self.catalog().get(tool.as_str()).is_none()
            && tool.server().is_some_and(|server| self.inner.failing.has(server))
    }

    /// What tools say of themselves, and what of it waits for a person.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.inner.pins
    }

    /// How many changes have been accepted, so that somebody can see that there was one more.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn accepted(&self) -> Result<i64> {
        self.inner.pins.version().await
    }

    /// True if this upstream has said since the last question that its tools have changed.
    #[must_use]
    pub fn was_told_of_changes(&self, upstream: &str) -> bool {
        self.inner.upstreams.get(upstream).is_some_and(Upstream::was_told_of_changes)
    }

    /// The tools of now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.inner.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tools to offer for this text, out of those that the caller may call anyway. Those in `recent` stay.
    pub async fn select(
        &self,
        agent: &Agent,
        allowed: Vec<Arc<Tool>>,
        text: &str,
        recent: &[String],
    ) -> Selected {
        self.inner.selector.select(agent, allowed, text, recent).await
    }

    /// The tools that a text is about, out of those that were left out of a choice.
    pub async fn find(&self, selected: &Selected, need: &str) -> Vec<Arc<Tool>> {
        self.inner.selector.find(selected, need).await
    }

    /// Does what the permit allows, once. Whatever happens is an outcome.
    ///
    /// A read, or a write that the provider makes harmless to repeat, may be sent again if nobody knows what became
    /// of the first; nothing else is.
    pub async fn execute(&self, permit: Permit, caller: &Caller, tool: &Tool, job: Job<'_>) -> Acted {
        let failed = |reason: String| Acted::from(job.attempt(tool.effect()).not_done(reason));
        if !permit.covers(caller, tool.name(), job.digest, self.inner.clock.now()) {
            return failed("The permit is for another call, or too old.".to_owned());
        }
        match &tool.source {
            Source::Mcp { server, .. } => match self.inner.upstreams.get(server) {
                Some(upstream) => upstream.call(caller, tool, &job).await,
                None => failed(format!("The upstream `{server}` is not configured any more.")),
            },
            // The connector's file says how often it is tried.
            Source::Http { connector } => match self.inner.connectors.get(connector) {
                Some(http) => http.call(caller, tool, &job).await,
                None => failed(format!("The connector `{connector}` is not there any more.")),
            },
        }
    }
}
