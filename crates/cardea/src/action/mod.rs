//! Room `action`: selects the tools of upstream servers and connectors, and calls them in the caller's name.
//!
//! Promises: nothing is called without a [`Permit`]; the user's own token is never passed on; an answer that did not
//! arrive is `Unknown`, never a guess; the description of an upstream's tool counts until a person accepts another.
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

/// The most upstreams that are asked for their tools at one time.
const AT_ONCE: usize = 32;

/// How long reading the tools of all upstreams waits for each of them: a start must not wait for a silent one.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long it waits for the encoder, which reads what is new in those lists.
const LEARNING: Duration = Duration::from_secs(10);

/// What the room is built from.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// The database, in which definitions of tools are kept.
    pub db: Db,
    /// The audit log.
    pub observe: Observe,
    /// The outbound HTTP client.
    pub net: Net,
    /// Issues Cardea's own tokens.
    pub identity: Identity,
    /// Sealed secrets.
    pub vault: Vault,
    /// Token buckets.
    pub shared: Arc<dyn Shared>,
    /// Guardrails for the descriptions of tools.
    pub control: Control,
    /// The clock.
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
    /// Makes a room for these services. Tools of upstreams are missing from the catalogue until [`Action::refresh`].
    ///
    /// # Errors
    /// `misconfigured` if two tools have the same name.
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
        selector.take(&catalog); // connectors need no server to list them
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

    /// Returns the names of the upstreams.
    pub fn upstreams(&self) -> impl Iterator<Item = &str> {
        self.inner.upstreams.keys().map(String::as_str)
    }

    /// Reads the lists of all upstreams again and offers each as soon as it arrives.
    ///
    /// An upstream that cannot be read, or is silent for longer than three seconds, keeps its former tools. What the
    /// encoder has not read after ten seconds it reads later ([`Self::keep_learning`]); until then tools are selected
    /// by words.
    ///
    /// # Errors
    /// The error of an upstream that could not be read; the others are in the catalogue nevertheless.
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

    /// Reads the list of one upstream again, for as long as its `timeout` allows. If it cannot be read, its tools stay
    /// as they were.
    ///
    /// # Errors
    /// `upstream_silent`, `upstream_failed`; store errors.
    pub async fn list(&self, name: &str) -> Result<()> {
        let listed = self.tools_of(name, Duration::MAX).await;
        self.take(name, listed, Instant::now() + LEARNING).await
    }

    async fn tools_of(&self, name: &str, patience: Duration) -> Result<Vec<Tool>> {
        let Some(upstream) = self.inner.upstreams.get(name) else { return Err(Code::NotFound.into()) };
        let listed = tokio::time::timeout(patience, upstream.list()).await;
        listed.unwrap_or_else(|_| Err(Code::UpstreamSilent.into()))
    }

    /// Takes an upstream's answer. Until `learnt` the encoder may read the new tools before they are offered.
    async fn take(&self, name: &str, listed: Result<Vec<Tool>>, learnt: Instant) -> Result<()> {
        match listed {
            Ok(tools) => self.offer(name, tools, learnt).await,
            Err(error) => {
                self.inner.failing.not_reached(name, &error);
                Err(error)
            }
        }
    }

    /// Replaces the tools of an upstream.
    async fn offer(&self, name: &str, listed: Vec<Tool>, learnt: Instant) -> Result<()> {
        let _alone = self.inner.offering.lock().await;
        let before = self.catalog();
        let of = |tool: &&Arc<Tool>| !matches!(&tool.source, Source::Mcp { server, .. } if server == name);
        let others = before.all().filter(of).cloned();
        let catalog = Arc::new(Catalog::new(others.chain(listed.into_iter().map(Arc::new)).collect())?);
        self.inner.selector.take(&catalog);
        self.inner.selector.learn(learnt.saturating_duration_since(Instant::now())).await;
        *self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        // WHY last: until its tools are known, a server counts as away (`is_awaited`).
        self.inner.failing.reached(name);
        Ok(())
    }

    /// Returns true for an upstream that could not be read the last time and may be asked again.
    #[must_use]
    pub fn is_due(&self, upstream: &str) -> bool {
        self.inner.failing.has(upstream) && self.inner.failing.is_due(upstream)
    }

    /// Returns true for a tool that is not in the catalogue and belongs to a server that could not be read the last
    /// time.
    #[must_use]
    pub fn is_awaited(&self, tool: &ToolName) -> bool {
        self.catalog().get(tool.as_str()).is_none()
            && tool.server().is_some_and(|server| self.inner.failing.has(server))
    }

    /// Returns the accepted definitions of tools, and those that wait for a person.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.inner.pins
    }

    /// Returns how many changes have been accepted, so that a new one can be noticed.
    ///
    /// # Errors
    /// Store errors.
    pub async fn accepted(&self) -> Result<i64> {
        self.inner.pins.version().await
    }

    /// Returns true if this upstream has reported changed tools since the last call of this function.
    #[must_use]
    pub fn was_told_of_changes(&self, upstream: &str) -> bool {
        self.inner.upstreams.get(upstream).is_some_and(Upstream::was_told_of_changes)
    }

    /// Returns the present catalogue.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.inner.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the tools to offer for this text, out of those that the caller may call anyway. Those in `recent` are
    /// always kept.
    pub async fn select(
        &self,
        agent: &Agent,
        allowed: Vec<Arc<Tool>>,
        text: &str,
        recent: &[String],
    ) -> Selected {
        self.inner.selector.select(agent, allowed, text, recent).await
    }

    /// Returns the tools that fit a text, out of those that were left out of a selection.
    pub async fn find(&self, selected: &Selected, need: &str) -> Vec<Arc<Tool>> {
        self.inner.selector.find(selected, need).await
    }

    /// Executes what the permit allows, once. Every end is an outcome.
    ///
    /// A read, or a write that the provider makes harmless to repeat, may be sent again if the fate of the first try is
    /// unknown. Nothing else is.
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
            // Retries are set in the connector's file.
            Source::Http { connector } => match self.inner.connectors.get(connector) {
                Some(http) => http.call(caller, tool, &job).await,
                None => failed(format!("The connector `{connector}` is not there any more.")),
            },
        }
    }
}
