//! The cache of answers and tool results.
//!
//! Promises: an entry can only be found from the very same [`Partition`](cardea_core::cache::Partition), the digest of
//! everything that could change the answer, so no one is ever served another person's entry. An entry whose tag was
//! cleared after its question was asked is gone, even if it is stored later. Content named by
//! `cardea_core::cache::never` is never kept. Entries that others could have changed are sealed, and an entry that
//! cannot be opened is a miss. An unavailable store is a miss too. A clearing that the store has not received is owed,
//! also after a restart; until it is delivered, this node serves nothing from the store. Clearings of other nodes are
//! applied to an in-process store once they are read from the database.
//!
//! Losing the whole cache costs speed, not truth. The core decides, this room acts. Called by `flow`.

mod check;
mod clear;
mod clearing;
mod compare;
mod entry;
mod flight;
mod lookup;
mod marks;
mod owed;
mod persist;
mod query;
mod stats;
mod store;
mod surroundings;
mod tags;
mod tools;
mod warm;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cardea_core::{
    Result,
    id::TenantId,
    message::{Finish, Usage},
    time::{Millis, SharedClock},
};
use cardea_model::embedder::Embedder;
use cardea_store::{
    Db,
    shared::cache::{CacheStore, Held, Key, MemoryCache},
};

use self::{
    check::Budgets,
    flight::{Flights, Lead},
    marks::Marks,
    owed::Owed,
    persist::Persist,
    stats::Stats,
    surroundings::Surroundings,
};
pub use self::{
    check::{CheckSettings, Due, Fresh, Standing},
    clearing::{Cleared, Purged},
    compare::{Agreement, agreement},
    entry::Seal,
    flight::Flight,
    persist::Persisted,
    query::{Query, QueryContext, Reuse},
    stats::{Line, Tally},
    tools::ToolUse,
    warm::{Warm, WarmError, read_warm},
};
use crate::{control::Screened, observe::Observe};

/// Settings of the cache, fixed at start.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether answers and results are cached.
    pub enabled: bool,
    /// Lifetime of an answer, unless the agent sets one.
    pub ttl: Millis,
    /// How long a question waits for its vector; after that, only exact repeats count.
    pub patience: Duration,
    /// Spot checks for errors.
    pub check: CheckSettings,
}

/// The rooms and parts that a cache works with.
#[derive(Debug)]
pub struct Neighbours {
    /// Store of the entries.
    pub store: Arc<dyn CacheStore>,
    /// Protection of entries in the store.
    pub seal: Seal,
    /// Copy in the database, for a store that a restart empties.
    pub persist: Option<Persisted>,
    /// The store, if it lies in this process and other nodes on the database clear as well.
    pub told: Option<Arc<MemoryCache>>,
    /// Database for what was learned about errors.
    pub db: Db,
    /// Name of this node.
    pub node: String,
    /// The clock.
    pub clock: SharedClock,
    /// Meters and audit log.
    pub observe: Observe,
}

/// Cache layer that an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The same question.
    Exact,
    /// A reworded question.
    Semantic,
}

impl Layer {
    const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Semantic => "semantic",
        }
    }
}

/// A cached answer that may be given again, once the present guardrails have screened it.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The text.
    pub text: String,
    /// Reason why the model stopped.
    pub finish: Finish,
    /// Layer it was found in.
    pub layer: Layer,
    /// Sources of untrusted text in the turn that generated it.
    pub taint: BTreeSet<String>,
    key: Key,
    /// Cost of generating it, in millionths of a US dollar.
    micros: u64,
}

/// Result of a lookup.
#[derive(Debug)]
pub enum Lookup {
    /// An answer.
    Hit(Hit),
    /// No answer. The holder of the flight answers for all requests that ask the same at this moment.
    Miss(Option<Flight>),
}

/// An answer to keep.
#[derive(Debug, Clone, Copy)]
pub struct NewAnswer<'a> {
    /// The text.
    pub text: &'a Screened<String>,
    /// Reason why the model stopped.
    pub finish: Finish,
    /// Tokens that generating it took.
    pub usage: Usage,
    /// Cost in millionths of a US dollar.
    pub micros: u64,
    /// Sources of untrusted text in the turn that generated it.
    pub taint: &'a BTreeSet<String>,
    /// Upper limit of its lifetime, if the data it is based on sets one.
    pub good_for: Option<Millis>,
}

/// The cache of the room. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    settings: Settings,
    store: Arc<dyn CacheStore>,
    seal: Seal,
    persist: Option<Persist>,
    /// Clearings in the database, for a store in this process.
    marks: Option<Marks>,
    /// Clearings that the store has not received.
    owed: Owed,
    budgets: Budgets,
    surroundings: Surroundings,
    stats: Stats,
    flights: Flights,
    embedder: Option<Arc<dyn Embedder>>,
    db: Db,
    node: String,
    clock: SharedClock,
    observe: Observe,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("store", &self.0.store).finish_non_exhaustive()
    }
}

impl Cache {
    /// Creates a cache on this store. Without an encoder it finds exact repeats only.
    #[must_use]
    pub fn new(settings: Settings, embedder: Option<Arc<dyn Embedder>>, with: Neighbours) -> Self {
        let Neighbours { store, seal, persist, told, db, node, clock, observe } = with;
        let told = told.or_else(|| persist.as_ref().map(|persisted| Arc::clone(&persisted.store)));
        let marks = told.map(|store| Marks::new(store, db.clone()));
        let persist = persist.map(|persisted| Persist::new(persisted, db.clone()));
        Self(Arc::new(Inner {
            settings,
            store,
            seal,
            persist,
            marks,
            owed: Owed::new(db.clone()),
            budgets: Budgets::new(settings.check),
            surroundings: Surroundings::new(),
            stats: Stats::default(),
            flights: Flights::new(),
            embedder,
            db,
            node,
            clock,
            observe,
        }))
    }

    /// Loads what an earlier process left: what it learned about errors, the clearings it still owed, and its entries
    /// if they are persisted.
    ///
    /// # Errors
    /// Database errors.
    pub async fn load(&self) -> Result<()> {
        self.load_budgets().await?;
        self.load_owed().await?;
        self.load_entries().await
    }

    /// Looks for an answer: the same question first, then a reworded one, then a request that is answering it now.
    pub async fn look(&self, query: &Query) -> Lookup {
        let Some(home) = &query.home else { return Lookup::Miss(None) };
        // WHY: counted before anything is done for the answer, so that a clearing in the meantime makes it stale.
        let Some(count) = self.ready().await else { return Lookup::Miss(None) };
        query.asked_at.get_or_init(|| count);
        if query.fresh {
            return Lookup::Miss(None);
        }
        if let Some(hit) = self.exact(query).await {
            return Lookup::Hit(hit);
        }
        if let Some(hit) = self.semantic(query).await {
            return Lookup::Hit(hit);
        }
        if !query.waits {
            return Lookup::Miss(None);
        }
        match self.0.flights.lead(&home.at.key.to_string()).await {
            Lead::First(flight) => Lookup::Miss(Some(flight)),
            Lead::Entry => self.exact(query).await.map_or(Lookup::Miss(None), Lookup::Hit),
            Lead::Alone => Lookup::Miss(None),
        }
    }

    /// Returns the statistics of a tenant since the start, by agent and layer.
    #[must_use]
    pub fn stats(&self, tenant: &TenantId) -> Vec<Line> {
        self.0.stats.of(tenant)
    }

    /// Returns the name of the backend, as in the configuration.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.0.store.name()
    }

    /// Returns whether the store answers and has received all clearings.
    pub async fn reachable(&self) -> bool {
        self.ready().await.is_some()
    }

    /// Returns what the store holds for all tenants; `None` if it is unavailable or cannot tell.
    pub async fn held(&self) -> Option<Held> {
        self.0.store.held().await.ok().flatten()
    }
}

#[cfg(test)]
mod tests;
