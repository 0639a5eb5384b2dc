//! Doing: the tools of upstream servers and connectors, chosen and called under the caller's name.
//!
//! Promises: nothing is called without a [`Permit`]; the user's own token goes nowhere; an answer that did not come
//! is `Unknown`, never a guess; what a tool of an upstream says of itself counts until a person accepts something else.
//! Refuses: tools whose schema cannot be checked, tools whose description gives orders or has changed, names that are
//! taken. Called by `flow`.

mod catalog;
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
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use cardea_auth::Caller;
use cardea_core::{
    Code, Result, agent::Agent, connector::Connector, id::ToolName, secret::SecretString, time::SharedClock,
};
use cardea_model::embedder::Embedder;
use cardea_net::Net;
use cardea_store::{Db, Shared};
use futures::{StreamExt as _, stream};

use self::{
    catalog::Source, failing::Failing, grant::Grant, http::Http, job::not_done, select::Selector,
    upstream::Upstream,
};
pub use self::{
    catalog::{Catalog, Tool},
    config::UpstreamConfig,
    grant::secret_name,
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
    /// The operations of the connectors: files, so they are always there.
    described: Vec<Arc<Tool>>,
    catalog: RwLock<Arc<Catalog>>,
    selector: Selector,
    clock: SharedClock,
    pins: Pins,
    /// Set by a server that says that its tools have changed.
    changed: Arc<AtomicBool>,
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
        let changed = Arc::new(AtomicBool::new(false));
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
            .map(|(name, config)| {
                let upstream = Upstream::new(name, config.clone(), way.clone());
                (name.clone(), upstream.tells(Arc::clone(&changed)))
            })
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
        let catalog = RwLock::new(Arc::new(Catalog::new(described.clone())?));
        let selector = Selector::new(embedder);
        let failing = Failing::default();
        let inner =
            Inner { upstreams, connectors, described, catalog, selector, clock, pins, changed, failing };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reads the lists of all upstreams anew. An upstream that cannot be read keeps the tools it had.
    ///
    /// # Errors
    /// The first upstream that could not be read; the others are in the catalogue all the same.
    pub async fn refresh(&self) -> Result<()> {
        self.list(|_| true).await
    }

    /// The same, without those that have failed and are left alone for a while.
    ///
    /// # Errors
    /// As [`Action::refresh`]; `upstream_failed` if all failures are older ones.
    pub async fn refresh_due(&self) -> Result<()> {
        self.list(|name| self.inner.failing.is_due(name)).await
    }

    /// True if asking again may help: an upstream that failed may be asked, or none has failed.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.inner.failing.any_due()
    }

    async fn list(&self, is_asked: impl Fn(&str) -> bool) -> Result<()> {
        let mut tools = self.inner.described.clone();
        let (mut failed, mut reached) = (None, Vec::new());
        // WHY: at once. Those that are silent would otherwise hold up a start one after the other.
        let upstreams = self.inner.upstreams.iter();
        let asked = upstreams.map(|(name, one)| {
            let list = is_asked(name).then(|| one.list());
            async move { (name, futures::future::OptionFuture::from(list).await) }
        });
        let asked: Vec<_> = asked.collect();
        let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        for (name, answer) in answers {
            match answer {
                Some(Ok(listed)) => {
                    reached.push(name);
                    tools.extend(listed.into_iter().map(Arc::new));
                }
                left => {
                    let error = left.and_then(Result::err);
                    error.iter().for_each(|error| self.inner.failing.not_reached(name, error));
                    let kept = self.catalog();
                    let of = |tool: &&Arc<Tool>| matches!(&tool.source, Source::Mcp { server, .. } if server == name);
                    tools.extend(kept.all().filter(of).cloned());
                    failed = failed.or(error).or_else(|| Some(Code::UpstreamFailed.into())); // one that is left alone has failed
                }
            }
        }
        let catalog = Arc::new(Catalog::new(tools)?);
        self.inner.selector.learn(&catalog).await;
        *self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        // Only now: until its tools are known a server counts as away (`is_awaited`).
        reached.into_iter().for_each(|name| self.inner.failing.reached(name));
        failed.map_or(Ok(()), Err)
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

    /// True if a server has said since the last question that its tools have changed.
    #[must_use]
    pub fn was_told_of_changes(&self) -> bool {
        self.inner.changed.swap(false, Ordering::Relaxed)
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
        let failed = |reason: String| Acted::from(not_done(tool.effect(), job.again, reason));
        if !permit.covers(caller, tool.name(), job.digest, self.inner.clock.now()) {
            return failed("The permit is for another call, or too old.".to_owned());
        }
        match &tool.source {
            Source::Mcp { server, .. } => match self.inner.upstreams.get(server) {
                Some(upstream) => upstream.call(caller, tool, &job).await,
                None => failed(format!("The upstream `{server}` is not configured any more.")),
            },
            // How often is said by the connector's file.
            Source::Http { connector } => match self.inner.connectors.get(connector) {
                Some(http) => http.call(caller, tool, &job).await,
                None => failed(format!("The connector `{connector}` is not there any more.")),
            },
        }
    }
}
