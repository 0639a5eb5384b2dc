//! Answers and tool results given before.
//!
//! Promises: an entry can only be found from the very same [`Partition`](cardea_core::cache::Partition), the digest of
//! everything that could change the answer, so nobody is ever served somebody else's; an entry whose tag was cleared
//! after its question was asked is gone, also if it is stored later; what `cardea_core::cache::never` names is never
//! kept; what others could have changed is sealed, and what does not open is a miss. A store that is away is a miss,
//! and a clearing that could not be told to it is owed, also over a restart: until it is paid this node serves nothing from it. What other
//! nodes clear is cleared in a store of this process as well, once it is read in the database.
//! Losing all of it costs speed, not truth. Core decides, this room acts. Called by `flow`.

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

/// What the room is told at start.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether anything is given twice.
    pub enabled: bool,
    /// How long an answer stays good, unless the agent says otherwise.
    pub ttl: Millis,
    /// How long a question waits for its vector; after it, only exact repeats count.
    pub patience: Duration,
    /// What is answered anew to find errors.
    pub check: CheckSettings,
}

/// The rooms and parts that a cache works with.
#[derive(Debug)]
pub struct Neighbours {
    /// Where entries lie.
    pub store: Arc<dyn CacheStore>,
    /// How they are protected there.
    pub seal: Seal,
    /// A copy in the database, for a store that a restart empties.
    pub persist: Option<Persisted>,
    /// The store, if it lies in this process and other nodes over the database clear as well.
    pub told: Option<Arc<MemoryCache>>,
    /// For what was learned of errors.
    pub db: Db,
    /// This node's name.
    pub node: String,
    /// The time.
    pub clock: SharedClock,
    /// Meters and audit.
    pub observe: Observe,
}

/// Which layer an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The same question.
    Exact,
    /// The same question in other words.
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

/// An answer that may be given again. Guardrails of now must still look at it.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The text.
    pub text: String,
    /// Why the model stopped.
    pub finish: Finish,
    /// Where it was found.
    pub layer: Layer,
    /// Where untrusted text came into the turn that made it.
    pub taint: BTreeSet<String>,
    key: Key,
    /// What it had cost to make, in millionths.
    micros: u64,
}

/// What came of a look.
#[derive(Debug)]
pub enum Lookup {
    /// An answer.
    Hit(Hit),
    /// None. Whoever holds the flight answers for all who ask the same at this moment.
    Miss(Option<Flight>),
}

/// An answer to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewAnswer<'a> {
    /// The text.
    pub text: &'a Screened<String>,
    /// Why the model stopped.
    pub finish: Finish,
    /// What making it used.
    pub usage: Usage,
    /// What that cost, in millionths.
    pub micros: u64,
    /// Where untrusted text came into the turn that made it.
    pub taint: &'a BTreeSet<String>,
    /// How long it stays good at most, if what it was made of says so.
    pub good_for: Option<Millis>,
}

/// The room's cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    settings: Settings,
    store: Arc<dyn CacheStore>,
    seal: Seal,
    persist: Option<Persist>,
    /// Clearings in the database, for a store in this process.
    marks: Option<Marks>,
    /// Clearings that the store has not heard of.
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
    /// A cache over this store. Without an embedder it finds exact repeats only.
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

    /// Takes up what an earlier process left: what it had learned of errors, what it still had to clear, and its entries if
    /// they are persisted.
    ///
    /// # Errors
    /// What the database says.
    pub async fn load(&self) -> Result<()> {
        self.load_budgets().await?;
        self.load_owed().await?;
        self.load_entries().await
    }

    /// Looks for an answer: the same question first, then the same in other words, then whether somebody is just
    /// answering it.
    pub async fn look(&self, query: &Query) -> Lookup {
        let Some(home) = &query.home else { return Lookup::Miss(None) };
        // WHY: counted before anything is done for the answer, so that what is cleared meanwhile makes it stale.
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

    /// What was done for a tenant since the start, by agent and layer.
    #[must_use]
    pub fn stats(&self, tenant: &TenantId) -> Vec<Line> {
        self.0.stats.of(tenant)
    }

    /// Where entries lie, in the words of the configuration.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.0.store.name()
    }

    /// Whether the store answers, and has heard of all clearings.
    pub async fn reachable(&self) -> bool {
        self.ready().await.is_some()
    }

    /// What the store holds of all tenants; `None`: it is away or cannot tell.
    pub async fn held(&self) -> Option<Held> {
        self.0.store.held().await.ok().flatten()
    }
}

#[cfg(test)]
mod tests;
