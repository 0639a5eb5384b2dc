//! Answers and tool results given before, kept in this process.
//!
//! Promises: an entry can only be found from the very same [`Partition`], the digest of everything that could change
//! the answer, so nobody is ever served somebody else's; an entry whose tag was cleared after its question was asked
//! is gone, also if it is stored later; what `cardea_core::cache::never` names is never kept. Losing all of it costs
//! speed, not truth. Core decides, this room acts. Called by `flow`.

mod asked;
mod flight;
mod tools;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cardea_core::{
    cache::{Candidate, ExactKey, Finished, Partition, Verdict, judge, never},
    id::TenantId,
    message::Finish,
    principal::Principal,
    time::{Millis, SharedClock, Timestamp},
};
use cardea_embed::Vector;
use cardea_model::embedder::{Embedder, Embedding};

pub use self::{
    asked::{Around, Asked},
    flight::Flight,
    tools::ToolUse,
};
use self::{flight::Flights, tools::KeptResult};
use crate::observe::{CacheResult, Observe};

/// Neighbours that a decision by meaning looks at.
const NEIGHBOURS: usize = 12;

/// How long a question waits for its vector; after it, only exact repeats count.
const PATIENCE: Duration = Duration::from_millis(150);

/// Longest time that anything is kept: after it, a cleared tag need not be remembered.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What the room is told at start.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether anything is given twice.
    pub enabled: bool,
    /// How long an answer stays good, unless the agent says otherwise.
    pub ttl: Millis,
    /// Bytes of all entries together.
    pub bytes: u64,
    /// Entries of one partition that are compared by meaning.
    pub per_partition: usize,
}

/// Which layer an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The same question.
    Exact,
    /// The same question in other words.
    Semantic,
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
}

/// What came of a look.
#[derive(Debug)]
pub enum Looked {
    /// An answer.
    Hit(Hit),
    /// None. Whoever holds the flight answers for all who ask the same at this moment.
    Miss(Option<Flight>),
}

#[derive(Debug)]
struct Entry {
    question: String,
    answer: Arc<str>,
    finish: Finish,
    tags: Vec<String>,
    /// The count of clearings when its question was asked.
    asked_at: u64,
    until: Timestamp,
    /// A number for "the same answer", of the text.
    answer_id: u64,
}

impl Entry {
    fn weight(&self) -> u32 {
        let tags: usize = self.tags.iter().map(String::len).sum();
        u32::try_from(256 + self.question.len() + self.answer.len() + tags).unwrap_or(u32::MAX)
    }
}

/// The entries of one partition by meaning.
#[derive(Debug, Default)]
struct Shelf(Mutex<cardea_embed::Partition<Arc<Entry>>>);

/// The room's cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    settings: Settings,
    exact: moka::sync::Cache<ExactKey, Arc<Entry>>,
    shelves: moka::sync::Cache<Partition, Arc<Shelf>>,
    results: moka::sync::Cache<String, Arc<KeptResult>>,
    cleared: moka::sync::Cache<String, u64>,
    clearings: AtomicU64,
    flights: Flights,
    embedder: Option<Arc<dyn Embedder>>,
    clock: SharedClock,
    observe: Observe,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("exact", &self.0.exact.entry_count()).finish_non_exhaustive()
    }
}

/// A tag of one tenant: the same word of another tenant is another tag.
fn tag_key(tenant: &TenantId, tag: &str) -> String {
    format!("{}:{tenant}/{tag}", tenant.as_str().len())
}

/// The tag that every entry of a user carries.
fn user_tag(user: &Principal) -> String {
    format!("user/{}", user.key())
}

impl Cache {
    /// An empty cache. Without an embedder it finds exact repeats only.
    #[must_use]
    pub fn new(
        settings: Settings,
        embedder: Option<Arc<dyn Embedder>>,
        clock: SharedClock,
        observe: Observe,
    ) -> Self {
        let third = settings.bytes / 3;
        // A vector, its code and its place beside the entry: see `cardea_embed::Partition`.
        let shelf_weight = |_: &Partition, shelf: &Arc<Shelf>| {
            let shelf = shelf.0.lock().unwrap_or_else(PoisonError::into_inner);
            u32::try_from(shelf.len().saturating_mul(1_024).saturating_add(256)).unwrap_or(u32::MAX)
        };
        Self(Arc::new(Inner {
            settings,
            exact: moka::sync::Cache::builder()
                .max_capacity(third)
                .weigher(|_, entry: &Arc<Entry>| entry.weight())
                .time_to_live(LONGEST)
                .build(),
            shelves: moka::sync::Cache::builder()
                .max_capacity(third)
                .weigher(shelf_weight)
                .time_to_idle(LONGEST)
                .build(),
            results: moka::sync::Cache::builder()
                .max_capacity(third)
                .weigher(|_, kept: &Arc<KeptResult>| kept.weight())
                .time_to_live(LONGEST)
                .build(),
            cleared: moka::sync::Cache::builder().max_capacity(1_000_000).time_to_live(LONGEST).build(),
            clearings: AtomicU64::new(1),
            flights: Flights::default(),
            embedder,
            clock,
            observe,
        }))
    }

    fn fresh(&self, until: Timestamp, asked_at: u64, tags: &[String]) -> bool {
        let cleared = |tag: &String| self.0.cleared.get(tag).is_some_and(|at| at > asked_at);
        self.0.clock.now() < until && !tags.iter().any(cleared)
    }

    /// Looks for an answer: the same question first, then the same in other words, then whether somebody is just
    /// answering it.
    pub async fn look(&self, asked: &Asked) -> Looked {
        let Some(place) = &asked.place else { return Looked::Miss(None) };
        if let Some(hit) = self.exact(asked) {
            return Looked::Hit(hit);
        }
        if let Some(hit) = self.semantic(asked).await {
            return Looked::Hit(hit);
        }
        let flight = self.0.flights.lead(&format!("{:?}", place.exact)).await;
        if flight.is_none()
            && let Some(hit) = self.exact(asked)
        {
            return Looked::Hit(hit);
        }
        Looked::Miss(flight)
    }

    fn exact(&self, asked: &Asked) -> Option<Hit> {
        let key = asked.place.as_ref()?.exact;
        let entry =
            self.0.exact.get(&key).filter(|entry| self.fresh(entry.until, entry.asked_at, &entry.tags));
        self.0.observe.cache("exact", if entry.is_some() { CacheResult::Hit } else { CacheResult::Miss });
        entry.map(|entry| Hit { text: entry.answer.to_string(), finish: entry.finish, layer: Layer::Exact })
    }

    async fn semantic(&self, asked: &Asked) -> Option<Hit> {
        let place = asked.place.as_ref()?;
        let mode = asked.semantic?;
        let vector = self.vector(asked).await?;
        let shelf = self.0.shelves.get(&place.partition)?;
        let near: Vec<(f32, Arc<Entry>)> = {
            let shelf = shelf.0.lock().unwrap_or_else(PoisonError::into_inner);
            shelf
                .nearest(&vector, NEIGHBOURS)
                .into_iter()
                .map(|near| (near.cosine, Arc::clone(near.item)))
                .collect()
        };
        let near: Vec<_> = near
            .into_iter()
            .filter(|(_, entry)| self.fresh(entry.until, entry.asked_at, &entry.tags))
            .collect();
        let candidates: Vec<Candidate<'_>> = near
            .iter()
            .map(|(cosine, entry)| Candidate {
                text: &entry.question,
                cosine: *cosine,
                answer: entry.answer_id,
            })
            .collect();
        let verdict = judge(&asked.text, &candidates, mode);
        let hit = match &verdict {
            Verdict::Hit { index, .. } => near.get(*index).map(|(_, entry)| Hit {
                text: entry.answer.to_string(),
                finish: entry.finish,
                layer: Layer::Semantic,
            }),
            _ => None,
        };
        let result = match (&hit, candidates.is_empty()) {
            (Some(_), _) => CacheResult::Hit,
            (None, true) => CacheResult::Miss,
            (None, false) => CacheResult::Rejected,
        };
        self.0.observe.cache("semantic", result);
        hit
    }

    /// The question's vector, made once. `None`: no embedder, too long, or too busy; then only exact repeats count.
    async fn vector(&self, asked: &Asked) -> Option<Arc<Vector>> {
        if let Some(known) = asked.vector.get() {
            return known.clone();
        }
        let made = match &self.0.embedder {
            Some(embedder) => embedder.embed(vec![asked.text.clone()], PATIENCE).await.ok().and_then(one),
            None => None,
        };
        asked.vector.get_or_init(|| made).clone()
    }

    /// Keeps an answer, if it may be given again at all. Best effort.
    pub async fn keep(&self, asked: &Asked, answer: (&str, Finish), finished: Finished, tags: Vec<String>) {
        let Some(place) = &asked.place else { return };
        if never(finished).is_some() {
            return;
        }
        let mut tags: Vec<String> = tags.iter().map(|tag| tag_key(&asked.tenant, tag)).collect();
        tags.push(tag_key(&asked.tenant, &asked.user_tag));
        let entry = Arc::new(Entry {
            question: asked.text.clone(),
            answer: Arc::from(answer.0),
            finish: answer.1,
            tags,
            asked_at: asked.asked_at,
            until: self.0.clock.now().plus(asked.ttl),
            answer_id: answer_id(answer.0),
        });
        self.0.exact.insert(place.exact, Arc::clone(&entry));
        if asked.semantic.is_none() {
            return;
        }
        let Some(vector) = self.vector(asked).await else { return };
        let shelf = self.0.shelves.get_with(place.partition, Arc::default);
        {
            let mut shelf = shelf.0.lock().unwrap_or_else(PoisonError::into_inner);
            let stale = (0..shelf.len()).find(|at| {
                shelf.get(*at).is_some_and(|old| {
                    !self.fresh(old.until, old.asked_at, &old.tags) || old.question == entry.question
                })
            });
            let full = (shelf.len() >= self.0.settings.per_partition).then_some(0);
            if let Some(at) = stale.or(full) {
                shelf.swap_remove(at);
            }
            shelf.insert(Vector::clone(&vector), entry);
        }
        // Weighed anew: the shelf has grown.
        self.0.shelves.insert(place.partition, shelf);
    }

    /// Forgets everything of one tenant that carries the tag.
    pub fn clear_tag(&self, tenant: &TenantId, tag: &str) {
        let now = self.0.clearings.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.cleared.insert(tag_key(tenant, tag), now);
    }

    /// Forgets everything that was kept for one user, in every scope and layer.
    pub fn purge(&self, user: &Principal) {
        self.clear_tag(&user.tenant, &user_tag(user));
    }
}

/// The one vector that was asked for. Of a text that was cut the rest had no say, so it is not compared.
fn one(made: Vec<Embedding>) -> Option<Arc<Vector>> {
    made.into_iter().next().filter(|made| !made.truncated).map(|made| made.vector)
}

/// The same text, the same number.
fn answer_id(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
