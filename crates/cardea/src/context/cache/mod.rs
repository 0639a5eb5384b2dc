//! Answers and tool results given before.
//!
//! Promises: an entry can only be found from the very same [`Partition`](cardea_core::cache::Partition), the digest of
//! everything that could change the answer, so nobody is ever served somebody else's; an entry whose tag was cleared
//! after its question was asked is gone, also if it is stored later; what `cardea_core::cache::never` names is never
//! kept; what others could have changed is sealed, and what does not open is a miss. A store that is away is a miss,
//! and a clearing that could not be told to it is owed: until it is paid this node serves nothing from it.
//! Losing all of it costs speed, not truth. Core decides, this room acts. Called by `flow`.

mod asked;
mod check;
mod compare;
mod flight;
mod kept;
mod persist;
mod stats;
mod surroundings;
mod tools;
mod warm;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{Context as Hash, SHA256};
use cardea_core::{
    Result,
    cache::{Candidate, Finished, Question, Verdict, judge, never},
    id::{ConversationId, TenantId},
    message::{Finish, Usage},
    principal::Principal,
    time::{Millis, SharedClock},
};
use cardea_embed::Vector;
use cardea_model::embedder::{Embedder, Embedding};
use cardea_store::{
    Db,
    shared::cache::{CacheStore, Held, Key, LONGEST, Place, Record, Tag},
};

pub use self::{
    asked::{Around, Asked},
    check::{CheckSettings, Due, Standing},
    compare::{Agreement, agreement},
    flight::Flight,
    kept::Seal,
    persist::Persisted,
    stats::{Line, Tally},
    tools::ToolUse,
    warm::{Warm, WarmError, read_warm},
};
use self::{
    check::Budgets, flight::Flights, kept::Kept, persist::Persist, stats::Stats, surroundings::Surroundings,
};
use crate::observe::{CacheResult, Observe};

/// Neighbours that a decision by meaning looks at.
const NEIGHBOURS: usize = 12;

/// Clearings that may be owed one by one; beyond it everything of the tenant is cleared instead.
const OWED: usize = 4_096;

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
    key: Key,
    /// What it had cost to make, in millionths.
    micros: u64,
}

/// What came of a look.
#[derive(Debug)]
pub enum Looked {
    /// An answer.
    Hit(Hit),
    /// None. Whoever holds the flight answers for all who ask the same at this moment.
    Miss(Option<Flight>),
}

/// An answer to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The text, screened.
    pub text: &'a str,
    /// Why the model stopped.
    pub finish: Finish,
    /// What making it used.
    pub usage: Usage,
    /// What that cost, in millionths.
    pub micros: u64,
}

/// The room's cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    settings: Settings,
    store: Arc<dyn CacheStore>,
    seal: Seal,
    persist: Option<Persist>,
    /// Clearings that the store has not heard of, with how often each was asked for.
    owed: Mutex<BTreeMap<Tag, u64>>,
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

/// A digest over parts, each with its length, so that no choice of parts can make two of them one.
fn digest<const N: usize>(kind: &str, parts: [&[u8]; N]) -> [u8; 32] {
    let mut hash = Hash::new(&SHA256);
    for part in std::iter::once(kind.as_bytes()).chain(parts) {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

fn short<const N: usize>(kind: &str, parts: [&[u8]; N]) -> Tag {
    let mut tag = [0; 16];
    digest(kind, parts).iter().zip(&mut tag).for_each(|(from, to)| *to = *from);
    Tag(tag)
}

/// A tag of one tenant: the same word of another tenant is another tag.
fn tag(tenant: &TenantId, text: &str) -> Tag {
    short("tag", [tenant.as_str().as_bytes(), text.as_bytes()])
}

/// The tag that every entry of a user carries, whoever vouched for the name. No word that anybody may clear is it.
fn user_tag_of(tenant: &TenantId, user: &str) -> Tag {
    short("user", [tenant.as_str().as_bytes(), user.as_bytes()])
}

fn user_tag(user: &Principal) -> Tag {
    user_tag_of(&user.tenant, user.user.as_str())
}

/// The tag of answers that were given in a conversation.
fn talk_tag(tenant: &TenantId, talk: ConversationId) -> Tag {
    short("talk", [tenant.as_str().as_bytes(), talk.to_string().as_bytes()])
}

/// The tag that every entry of a tenant carries.
fn tenant_tag(tenant: &TenantId) -> Tag {
    short("tenant", [tenant.as_str().as_bytes()])
}

impl Cache {
    /// A cache over this store. Without an embedder it finds exact repeats only.
    #[must_use]
    pub fn new(settings: Settings, embedder: Option<Arc<dyn Embedder>>, with: Neighbours) -> Self {
        let Neighbours { store, seal, persist, db, node, clock, observe } = with;
        let persist = persist.map(|persisted| Persist::new(persisted, db.clone()));
        Self(Arc::new(Inner {
            settings,
            store,
            seal,
            persist,
            owed: Mutex::default(),
            budgets: Budgets::new(settings.check),
            surroundings: Surroundings::new(),
            stats: Stats::default(),
            flights: Flights::default(),
            embedder,
            db,
            node,
            clock,
            observe,
        }))
    }

    /// Takes up what an earlier process left: what it had learned of errors, and its entries if they are persisted.
    ///
    /// # Errors
    /// What the database says.
    pub async fn load(&self) -> Result<()> {
        self.load_budgets().await?;
        self.load_entries().await
    }

    /// Looks for an answer: the same question first, then the same in other words, then whether somebody is just
    /// answering it.
    pub async fn look(&self, asked: &Asked) -> Looked {
        let Some(place) = &asked.place else { return Looked::Miss(None) };
        // WHY: counted before anything is done for the answer, so that what is cleared meanwhile makes it stale.
        let Some(count) = self.ready().await else { return Looked::Miss(None) };
        asked.asked_at.get_or_init(|| count);
        if let Some(hit) = self.exact(asked).await {
            return Looked::Hit(hit);
        }
        if let Some(hit) = self.semantic(asked).await {
            return Looked::Hit(hit);
        }
        let flight = self.0.flights.lead(&place.key.to_string()).await;
        if flight.is_none()
            && let Some(hit) = self.exact(asked).await
        {
            return Looked::Hit(hit);
        }
        Looked::Miss(flight)
    }

    /// The count of clearings, or `None` if the store is away or has not heard of all clearings.
    async fn ready(&self) -> Option<u64> {
        let owed = self.owed().clone();
        let count = self.0.store.clearings().await.ok()?;
        if owed.is_empty() {
            return Some(count);
        }
        let tags: Vec<Tag> = owed.keys().copied().collect();
        self.0.store.clear(&tags).await.ok()?;
        // What was asked for once more meanwhile is still owed.
        self.owed().retain(|tag, times| owed.get(tag) != Some(times));
        self.0.store.clearings().await.ok()
    }

    fn owed(&self) -> MutexGuard<'_, BTreeMap<Tag, u64>> {
        self.0.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, (tenant, agent): (&TenantId, &str), layer: &'static str, result: CacheResult) {
        self.0.observe.cache(layer, agent, result);
        self.0.stats.count((tenant, agent), layer, |tally| match result {
            CacheResult::Hit => tally.hits += 1,
            CacheResult::Miss => tally.misses += 1,
            CacheResult::Rejected => tally.vetoes += 1,
            CacheResult::Forged => tally.forged += 1,
        });
    }

    /// What a record holds, if we made it for this place and key and it is not over.
    fn open(&self, who: (&TenantId, &str), (place, key): (&Place, &Key), record: &Record) -> Option<Kept> {
        let opened = self.0.seal.open(place, key, record);
        if opened.is_none() {
            self.tell(who, "store", CacheResult::Forged);
            tracing::warn!(
                agent.name = who.1,
                "a cached entry does not open: it was changed, or is not ours"
            );
        }
        opened.filter(|_| record.until > self.0.clock.now())
    }

    fn hit(&self, asked: &Asked, key: Key, kept: Kept, layer: Layer) -> Option<Hit> {
        let Kept::Answer { text, finish, tokens, micros, .. } = kept else { return None };
        let who = (&asked.tenant, asked.agent.as_str());
        self.0.observe.cache_saved(layer.name(), who.1, tokens, micros);
        self.0.stats.count(who, layer.name(), |tally| {
            tally.saved_tokens += tokens;
            tally.saved_micros += micros;
        });
        Some(Hit { text, finish, layer, key, micros })
    }

    async fn exact(&self, asked: &Asked) -> Option<Hit> {
        let at = asked.place.as_ref()?;
        let who = (&asked.tenant, asked.agent.as_str());
        let found = self.0.store.get(&at.place, &at.key).await.ok()?;
        let kept = found.and_then(|record| self.open(who, (&at.place, &at.key), &record));
        self.tell(who, "exact", if kept.is_some() { CacheResult::Hit } else { CacheResult::Miss });
        self.hit(asked, at.key, kept?, Layer::Exact)
    }

    async fn semantic(&self, asked: &Asked) -> Option<Hit> {
        let at = asked.place.as_ref()?;
        let mode = asked.semantic?;
        let vector = self.vector(asked).await?;
        let found = self.0.store.near(&at.place, &vector, NEIGHBOURS).await.ok()?;
        let who = (&asked.tenant, asked.agent.as_str());
        let answer = |(key, record): (Key, Record)| {
            let kept = self.open(who, (&at.place, &key), &record)?;
            if !matches!(kept, Kept::Answer { .. }) {
                return None;
            }
            // The vector is under the seal, so the distance is ours and not the store's word.
            let own = record.vector?;
            let near = Near {
                cosine: own.cosine(&vector),
                crowd: self.0.surroundings.of(&at.place, &own, Some(&key)),
            };
            Some((key, near, kept))
        };
        let mut near: Vec<(Key, Near, Kept)> = found.into_iter().filter_map(answer).collect();
        let candidates: Vec<Candidate<'_>> = near.iter().filter_map(candidate).collect();
        let mode = self.0.budgets.tightened(&asked.scope(), mode);
        let crowd = self.0.surroundings.of(&at.place, &vector, None);
        let chosen = match judge(Question { text: &asked.text, crowd }, &candidates, mode) {
            Verdict::Hit { index, .. } => Some(index),
            Verdict::Miss(_) => None,
        };
        let result = match (chosen, candidates.is_empty()) {
            (Some(_), _) => CacheResult::Hit,
            (None, true) => CacheResult::Miss,
            (None, false) => CacheResult::Rejected,
        };
        self.tell(who, "semantic", result);
        self.0.budgets.looked_up(&asked.scope(), chosen.is_some());
        let chosen = chosen.filter(|index| *index < near.len())?;
        let (key, _, kept) = near.swap_remove(chosen);
        self.hit(asked, key, kept, Layer::Semantic)
    }

    /// The question's vector, made once. `None`: no embedder, too long, or too busy; then only exact repeats count.
    async fn vector(&self, asked: &Asked) -> Option<Arc<Vector>> {
        if let Some(known) = asked.vector.get() {
            return known.clone();
        }
        let made = match &self.0.embedder {
            Some(embedder) => {
                embedder.embed(vec![asked.text.clone()], self.0.settings.patience).await.ok().and_then(one)
            }
            None => None,
        };
        asked.vector.get_or_init(|| made).clone()
    }

    /// Keeps an answer, if it may be given again at all and was looked for before it was made. Best effort.
    pub async fn keep(&self, asked: &Asked, answer: Answered<'_>, finished: Finished, tags: Vec<String>) {
        let (Some(at), Some(asked_at)) = (&asked.place, asked.asked_at.get()) else { return };
        if never(finished).is_some() {
            return;
        }
        let vector = match asked.semantic {
            Some(_) => self.vector(asked).await.map(|vector| Vector::clone(&vector)),
            None => None,
        };
        let own = tags.iter().map(|text| tag(&asked.tenant, text));
        let group = std::iter::once(self.group(&at.place, answer.text));
        let record = Record {
            asked_at: *asked_at,
            until: self.0.clock.now().plus(asked.ttl.min(LONGEST)),
            tags: own
                .chain(self.common_tags(&asked.tenant, asked.user_tag))
                .chain(group)
                .chain(asked.talk)
                .collect(),
            vector,
            body: Vec::new().into(),
        };
        let kept = Kept::Answer {
            question: asked.text.clone(),
            text: answer.text.to_owned(),
            finish: answer.finish,
            tokens: answer.usage.total(),
            micros: answer.micros,
        };
        self.put(&asked.tenant, (&at.place, &at.key), record, &kept).await;
    }

    async fn put(&self, tenant: &TenantId, (place, key): (&Place, &Key), record: Record, kept: &Kept) {
        if !self.0.settings.enabled {
            return;
        }
        if let Some(persist) = &self.0.persist {
            persist.note(tenant, (place, key), &record, kept);
        }
        if let Some(vector) = &record.vector {
            self.0.surroundings.met(place, key, vector);
        }
        if let Some(closed) = self.0.seal.close(place, key, record, kept) {
            // Best effort: without the store it is not kept.
            drop(self.0.store.put(place, key, closed).await);
        }
    }

    /// The tag of all entries of a place with this answer: what is wrong of one is wrong of its siblings.
    fn group(&self, place: &Place, text: &str) -> Tag {
        short("answer", [place.0.as_slice(), text.as_bytes()])
    }

    fn common_tags(&self, tenant: &TenantId, user: Tag) -> [Tag; 2] {
        [user, tenant_tag(tenant)]
    }

    /// Forgets everything of one tenant that carries one of the tags.
    pub async fn clear_tags(&self, tenant: &TenantId, tags: &[String]) {
        if !tags.is_empty() {
            let tags: Vec<Tag> = tags.iter().map(|text| tag(tenant, text)).collect();
            self.clear(tenant, &tags).await;
        }
    }

    /// Forgets the answers that were given in a conversation.
    pub async fn forget_talk(&self, tenant: &TenantId, talk: ConversationId) {
        self.clear(tenant, &[talk_tag(tenant, talk)]).await;
    }

    /// Forgets everything of one tenant.
    pub async fn clear_tenant(&self, tenant: &TenantId) {
        self.clear(tenant, &[tenant_tag(tenant)]).await;
    }

    async fn clear(&self, tenant: &TenantId, tags: &[Tag]) {
        let cleared = match &self.0.persist {
            Some(persist) => persist.clear(tenant, tags, self.0.clock.now()).await,
            None => self.0.store.clear(tags).await,
        };
        if cleared.is_err() {
            self.owe(tenant, tags);
        }
    }

    fn owe(&self, tenant: &TenantId, tags: &[Tag]) {
        let mut owed = self.owed();
        let all = [tenant_tag(tenant)];
        let tags = if owed.len() + tags.len() > OWED { &all } else { tags };
        tags.iter().for_each(|tag| *owed.entry(*tag).or_default() += 1);
    }

    /// Takes out everything that was kept for one user of the tenant, in every scope and layer, and clears what is on
    /// its way. False if the store is away: it is owed then.
    pub async fn purge(&self, tenant: &TenantId, user: &str) -> bool {
        let tag = user_tag_of(tenant, user);
        self.clear(tenant, &[tag]).await;
        let purged = match &self.0.persist {
            Some(persist) => persist.purge(&tag).await,
            None => self.0.store.purge(&tag).await,
        };
        let purged = purged.is_ok();
        self.persist().await;
        purged
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

/// How near a kept question is, and how crowded its place.
struct Near {
    cosine: f32,
    crowd: f32,
}

fn candidate((_, near, kept): &(Key, Near, Kept)) -> Option<Candidate<'_>> {
    match kept {
        Kept::Answer { question, .. } => {
            Some(Candidate { text: question, cosine: near.cosine, crowd: near.crowd })
        }
        Kept::Result(_) => None,
    }
}

/// The one vector that was asked for. Of a text that was cut the rest had no say, so it is not compared.
fn one(made: Vec<Embedding>) -> Option<Arc<Vector>> {
    made.into_iter().next().filter(|made| !made.truncated).map(|made| made.vector)
}

#[cfg(test)]
mod tests;
