//! Records in this process: bounded by bytes, evicted by least recent use.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use cardea_core::time::{SharedClock, Timestamp};
use cardea_embed::{Partition, Vector};
use futures::{FutureExt, future::ready};

use super::{Answer, Bytes, CacheStore, Held, Key, LARGEST, LONGEST, Place, Record, Tag};

/// Overhead of a record beside its body and tags: its places in three maps, rounded up.
const OVERHEAD: usize = 512;
/// Size of a vector: its codes, its signs, its key, and the spare room of a growing list.
const VECTOR: usize = 704;
/// Limit of remembered cleared tags. Beyond it everything is dropped instead, so that nothing stale is served.
const MARKS: usize = 200_000;

/// A record that was dropped, for the keeper of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// Its place.
    pub place: Place,
    /// Its key.
    pub key: Key,
}

type Shelf = Arc<RwLock<Partition<Key>>>;

#[derive(Debug)]
struct Slot {
    asked_at: u64,
    until: Timestamp,
    tags: Box<[Tag]>,
    body: Bytes,
    /// Its index on the shelf.
    at: Option<usize>,
    used: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Rack {
    slots: HashMap<Key, Slot>,
    shelf: Shelf,
    /// Records with a vector, least recently used first.
    recent: BTreeMap<u64, Key>,
}

#[derive(Debug, Default)]
struct State {
    racks: HashMap<Place, Rack>,
    /// All records, least recently used first.
    order: BTreeMap<u64, (Place, Key)>,
    bytes: usize,
    uses: u64,
    evicted: u64,
    clearings: u64,
    /// Count of clearings below which every record is stale, whatever its tags.
    floor: u64,
    cleared: HashMap<Tag, (u64, Timestamp)>,
    gone: Option<Vec<Gone>>,
}

/// [`CacheStore`] in memory.
pub struct MemoryCache {
    clock: SharedClock,
    limit: usize,
    per_place: usize,
    state: Mutex<State>,
}

impl std::fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryCache").field("bytes", &self.lock().bytes).finish_non_exhaustive()
    }
}

impl State {
    fn fresh(&self, slot: &Slot, now: Timestamp) -> bool {
        let cleared = |tag: &Tag| self.cleared.get(tag).is_some_and(|(at, _)| *at > slot.asked_at);
        slot.until > now && slot.asked_at >= self.floor && !slot.tags.iter().any(cleared)
    }

    fn remove(&mut self, place: &Place, key: &Key) {
        let Some(rack) = self.racks.get_mut(place) else { return };
        let Some(slot) = rack.slots.remove(key) else { return };
        self.bytes = self.bytes.saturating_sub(slot.bytes);
        self.order.remove(&slot.used);
        if let Some(at) = slot.at {
            rack.recent.remove(&slot.used);
            let mut shelf = rack.shelf.write().unwrap_or_else(PoisonError::into_inner);
            shelf.swap_remove(at);
            // The last one was moved to its place.
            if let Some(moved) = shelf.get(at).and_then(|moved| rack.slots.get_mut(moved)) {
                moved.at = Some(at);
            }
        }
        if rack.slots.is_empty() {
            self.racks.remove(place);
        }
        if let Some(gone) = &mut self.gone {
            gone.push(Gone { place: *place, key: *key });
        }
    }

    fn touch(&mut self, place: &Place, key: &Key) {
        self.uses += 1;
        let uses = self.uses;
        let Some(rack) = self.racks.get_mut(place) else { return };
        let Some(slot) = rack.slots.get_mut(key) else { return };
        self.order.remove(&slot.used);
        self.order.insert(uses, (*place, *key));
        if slot.at.is_some() {
            rack.recent.remove(&slot.used);
            rack.recent.insert(uses, *key);
        }
        slot.used = uses;
    }

    /// Returns the record, if it is fresh; drops a stale one.
    fn take_out(&mut self, place: &Place, key: &Key, now: Timestamp) -> Option<Record> {
        let slot = self.racks.get(place)?.slots.get(key)?;
        if !self.fresh(slot, now) {
            self.remove(place, key);
            return None;
        }
        self.touch(place, key);
        let rack = self.racks.get(place)?;
        let slot = rack.slots.get(key)?;
        let shelf = rack.shelf.read().unwrap_or_else(PoisonError::into_inner);
        Some(Record {
            asked_at: slot.asked_at,
            until: slot.until,
            tags: slot.tags.to_vec(),
            vector: slot.at.and_then(|at| shelf.vector(at)),
            body: Arc::clone(&slot.body),
        })
    }

    /// Clears tags under the next number, or this one if it is higher.
    fn mark(&mut self, at: u64, tags: &[Tag], now: Timestamp) {
        self.clearings = at.max(self.clearings + 1);
        if self.cleared.len() + tags.len() > MARKS {
            self.cleared.retain(|_, (_, since)| now.since(*since) < LONGEST);
        }
        if self.cleared.len() + tags.len() > MARKS {
            self.cleared.clear();
            self.floor = self.clearings;
        }
        self.cleared.extend(tags.iter().map(|tag| (*tag, (self.clearings, now))));
    }
}

impl MemoryCache {
    /// Creates an empty store with limits of bytes, and of records with a vector in one place.
    #[must_use]
    pub fn new(limit: usize, per_place: usize, clock: SharedClock) -> Self {
        let state = State { clearings: 1, ..State::default() };
        Self { clock, limit, per_place: per_place.max(1), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records from now on what is dropped, for [`MemoryCache::gone`].
    pub fn note_gone(&self) {
        self.lock().gone.get_or_insert_default();
    }

    /// Returns what was dropped since the last call.
    #[must_use]
    pub fn gone(&self) -> Vec<Gone> {
        self.lock().gone.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns whether there is a record of this key, fresh or not.
    #[must_use]
    pub fn holds(&self, place: &Place, key: &Key) -> bool {
        self.lock().racks.get(place).is_some_and(|rack| rack.slots.contains_key(key))
    }

    /// Continues from an earlier process, with its count of clearings and the tags that it had cleared.
    pub fn resume(&self, clearings: u64, marks: impl IntoIterator<Item = (Tag, u64)>) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.clearings = state.clearings.max(clearings);
        state.cleared.extend(marks.into_iter().map(|(tag, at)| (tag, (at, now))));
    }

    /// Clears tags that another node has cleared under this number.
    pub fn learn(&self, at: u64, tags: &[Tag]) {
        let now = self.clock.now();
        self.lock().mark(at, tags, now);
    }

    /// Removes records with a tag. Records that are put later are not affected; clearing covers those.
    pub fn take_out(&self, tag: &Tag) {
        let mut state = self.lock();
        let carries = |(place, rack): (&Place, &Rack)| {
            let place = *place;
            let of = |(key, slot): (&Key, &Slot)| slot.tags.contains(tag).then_some((place, *key));
            rack.slots.iter().filter_map(of).collect::<Vec<_>>()
        };
        let all: Vec<(Place, Key)> = state.racks.iter().flat_map(carries).collect();
        all.iter().for_each(|(place, key)| state.remove(place, key));
    }

    fn insert(&self, place: &Place, key: &Key, record: Record) {
        let bytes = OVERHEAD
            + record.body.len()
            + record.tags.len() * size_of::<Tag>()
            + if record.vector.is_some() { VECTOR } else { 0 };
        let mut state = self.lock();
        let state = &mut *state;
        state.remove(place, key);
        if bytes > self.limit || bytes > LARGEST || record.until <= self.clock.now() {
            return;
        }
        while state.bytes + bytes > self.limit {
            let Some((_, (place, key))) = state.order.first_key_value().map(|(used, at)| (*used, *at)) else {
                break;
            };
            state.remove(&place, &key);
            state.evicted += 1;
        }
        while record.vector.is_some()
            && let Some(rack) = state.racks.get(place)
            && rack.recent.len() >= self.per_place
            && let Some(oldest) = rack.recent.first_key_value().map(|(_, key)| *key)
        {
            state.remove(place, &oldest);
            state.evicted += 1;
        }
        state.uses += 1;
        let used = state.uses;
        let rack = state.racks.entry(*place).or_default();
        let at = record.vector.map(|vector| {
            rack.recent.insert(used, *key);
            rack.shelf.write().unwrap_or_else(PoisonError::into_inner).insert(vector, *key)
        });
        let tags = record.tags.into_boxed_slice();
        let slot =
            Slot { asked_at: record.asked_at, until: record.until, tags, body: record.body, at, used, bytes };
        rack.slots.insert(*key, slot);
        state.order.insert(used, (*place, *key));
        state.bytes += bytes;
    }

    fn nearest(&self, place: &Place, to: &Vector, count: usize) -> Vec<(Key, Record)> {
        let Some(shelf) = self.lock().racks.get(place).map(|rack| Arc::clone(&rack.shelf)) else {
            return Vec::new();
        };
        let found: Vec<Key> = {
            // WHY: scanned without the lock of the whole store, so that a large place blocks no one else.
            let shelf = shelf.read().unwrap_or_else(PoisonError::into_inner);
            shelf.nearest(to, count).into_iter().map(|near| *near.item).collect()
        };
        let now = self.clock.now();
        let mut state = self.lock();
        found.into_iter().filter_map(|key| Some((key, state.take_out(place, &key, now)?))).collect()
    }
}

impl CacheStore for MemoryCache {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn clearings(&self) -> Answer<'_, u64> {
        ready(Ok(self.lock().clearings)).boxed()
    }

    fn get<'a>(&'a self, place: &'a Place, key: &'a Key) -> Answer<'a, Option<Record>> {
        let now = self.clock.now();
        ready(Ok(self.lock().take_out(place, key, now))).boxed()
    }

    fn near<'a>(&'a self, place: &'a Place, to: &'a Vector, count: usize) -> Answer<'a, Vec<(Key, Record)>> {
        ready(Ok(self.nearest(place, to, count))).boxed()
    }

    fn put<'a>(&'a self, place: &'a Place, key: &'a Key, record: Record) -> Answer<'a, ()> {
        self.insert(place, key, record);
        ready(Ok(())).boxed()
    }

    fn clear<'a>(&'a self, tags: &'a [Tag]) -> Answer<'a, ()> {
        let now = self.clock.now();
        self.lock().mark(0, tags, now);
        ready(Ok(())).boxed()
    }

    fn purge<'a>(&'a self, tag: &'a Tag) -> Answer<'a, ()> {
        let now = self.clock.now();
        self.lock().mark(0, &[*tag], now);
        self.take_out(tag);
        ready(Ok(())).boxed()
    }

    fn held(&self) -> Answer<'_, Option<Held>> {
        let state = self.lock();
        let held =
            Held { entries: state.order.len() as u64, bytes: state.bytes as u64, evicted: state.evicted };
        ready(Ok(Some(held))).boxed()
    }
}
