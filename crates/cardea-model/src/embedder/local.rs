//! The bundled encoder behind a queue.
//!
//! A few threads take texts from one bounded queue, a batch at a time; questions (a few texts) take precedence over
//! catalogues (many). Equal texts that are requested at the same time are encoded once. Encoded texts are cached:
//! vectors for long, tokens of the last texts only, so that a turn that needs both pays once. A caller waits no longer
//! than its limit. A text that is no longer waited for is skipped, so that a burst does not leave the encoder working
//! in vain.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use cardea_core::size::Bytes;
use cardea_embed::{Encoder, Table};
use futures::{FutureExt, future::BoxFuture};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{Close, Embedder, Embedding, EncoderId, NotNow, lru::Lru};

/// `[embedder]`: the queue of the local encoder.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LocalConfig {
    /// Number of encoding threads. Default: 1.
    pub threads: usize,
    /// Limit of waiting texts; calls beyond it are refused at once. A call with more texts than that is accepted while
    /// nothing else waits. Default: 512.
    pub queue: usize,
    /// Number of texts that a thread takes at a time. Default: 8.
    pub batch: usize,
    /// Memory limit of the cache of encoded texts. Default: `"16MiB"`.
    pub remember: Bytes,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self { threads: 1, queue: 512, batch: 8, remember: Bytes::mib(16) }
    }
}

/// Statistics of the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Texts found in the cache.
    pub remembered: u64,
    /// Texts that were encoded.
    pub encoded: u64,
    /// Texts that joined an equal one already waiting.
    pub joined: u64,
    /// Texts that were no longer waited for when their turn came.
    pub skipped: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Waiting texts.
    pub waiting: usize,
    /// Size of the cache in bytes.
    pub held: usize,
}

/// The local encoder as a service. Cheap to clone; the threads end when the last clone is dropped.
#[derive(Clone)]
pub struct LocalEmbedder(Arc<Handle>);

/// Ends the threads when dropped.
struct Handle {
    shared: Arc<Shared>,
    id: EncoderId,
    /// The tokenizer, and the word table with its id, if there is one for this vocabulary.
    encoder: Encoder,
    table: Option<(Table, EncoderId)>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    queue: usize,
    batch: usize,
}

struct State {
    /// Texts of calls with a few texts, in order of arrival.
    questions: VecDeque<Arc<str>>,
    /// Texts of calls with many texts.
    catalogues: VecDeque<Arc<str>>,
    /// Callers that wait for a text that is queued or being encoded.
    waiting: HashMap<Arc<str>, Vec<oneshot::Sender<Close>>>,
    memory: Lru,
    /// The last texts with their tokens.
    last: VecDeque<(Arc<str>, Close)>,
    stats: Stats,
    /// Recent time per text, and the number of threads that share the work.
    pace: (Duration, u32),
    open: bool,
}

impl LocalEmbedder {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the operating system cannot create a thread.
    pub fn start(encoder: &Encoder, config: &LocalConfig) -> std::io::Result<Self> {
        let id = EncoderId::new(encoder.id());
        let memory = Lru::new(config.remember.len());
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(memory)),
            work: Condvar::new(),
            queue: config.queue.max(1),
            batch: config.batch.max(1),
        });
        let table = Table::bundled(encoder).ok().flatten();
        let table = table.map(|table| {
            let id = EncoderId::new(table.id());
            (table, id)
        });
        let handle = Handle { shared: Arc::clone(&shared), id: id.clone(), encoder: encoder.clone(), table };
        let handle = Self(Arc::new(handle));
        let threads = config.threads.max(1);
        shared.lock().pace.1 = u32::try_from(threads).unwrap_or(u32::MAX);
        for number in 0..threads {
            let (shared, encoder, id) = (Arc::clone(&shared), encoder.clone(), id.clone());
            thread::Builder::new()
                .name(format!("encoder-{number}"))
                .spawn(move || shared.work(&encoder, &id))?;
        }
        Ok(handle)
    }

    /// Returns the statistics so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.0.shared.lock();
        let (held, _) = state.memory.size();
        Stats { waiting: state.queued(), held, ..state.stats }
    }

    async fn wait(&self, texts: Vec<String>, within: Duration, need: Need) -> Result<Vec<Close>, NotNow> {
        let until = Instant::now() + within;
        let places = {
            let mut state = self.0.shared.lock();
            if state.hopeless(&texts, within, need) {
                state.stats.refused += 1;
                return Err(NotNow::Busy);
            }
            state.ask(&texts, self.0.shared.queue, need)?
        };
        self.0.shared.work.notify_one();
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            found.push(match place {
                Place::Known(close) => close,
                Place::Coming(coming) => match timeout_at(until, coming).await {
                    Ok(Ok(close)) => close,
                    Ok(Err(_)) => return Err(NotNow::Away("the encoder has ended".into())),
                    Err(_) => {
                        self.0.shared.lock().stats.refused += 1;
                        return Err(NotNow::Late);
                    }
                },
            });
        }
        Ok(found)
    }
}

impl Embedder for LocalEmbedder {
    fn encoder(&self) -> &EncoderId {
        &self.0.id
    }

    fn glance(&self, text: &str) -> Option<Embedding> {
        let (table, id) = self.0.table.as_ref()?;
        let vector = Arc::new(table.vector(&self.0.encoder, text));
        Some(Embedding { encoder: id.clone(), vector, truncated: false })
    }

    fn embed(&self, texts: Vec<String>, within: Duration) -> BoxFuture<'_, Result<Vec<Embedding>, NotNow>> {
        let plain = |close: Close| close.embedding;
        async move { Ok(self.wait(texts, within, Need::Vector).await?.into_iter().map(plain).collect()) }
            .boxed()
    }

    fn read(&self, texts: Vec<String>, within: Duration) -> BoxFuture<'_, Result<Vec<Close>, NotNow>> {
        self.wait(texts, within, Need::Tokens).boxed()
    }
}

impl std::fmt::Debug for LocalEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalEmbedder").field("encoder", &self.0.id).field("stats", &self.stats()).finish()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().open = false;
        self.shared.work.notify_all();
    }
}

enum Place {
    Known(Close),
    Coming(oneshot::Receiver<Close>),
}

/// What a caller needs of its texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Vector,
    Tokens,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while holding the lock left counters behind, but nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one thread.
    fn work(&self, encoder: &Encoder, id: &EncoderId) {
        while let Some(batch) = self.take() {
            for text in batch {
                // Callers may have given up since the batch was taken.
                if !self.lock().still_wanted(&text) {
                    continue;
                }
                let begun = Instant::now();
                let (found, pieces) = encoder.read(&text);
                let took = begun.elapsed();
                let embedding = Embedding {
                    encoder: id.clone(),
                    vector: Arc::new(found.vector),
                    truncated: found.truncated,
                };
                let mut state = self.lock();
                state.memory.put(&text, embedding.clone());
                let close = Close { embedding, pieces: Some(Arc::new(pieces)) };
                state.remember(&text, &close);
                state.stats.encoded += 1;
                state.pace.0 = if state.pace.0.is_zero() { took } else { (state.pace.0 * 15 + took) / 16 };
                for waiter in state.waiting.remove(&text).unwrap_or_default() {
                    // A caller that is gone does not need it; the cache has it.
                    let _ = waiter.send(close.clone());
                }
            }
        }
    }

    /// Returns the next texts; waits for some. `None` once no caller is left.
    fn take(&self) -> Option<Vec<Arc<str>>> {
        let mut state = self.lock();
        loop {
            if !state.open {
                return None;
            }
            let batch: Vec<Arc<str>> = std::iter::from_fn(|| state.pop()).take(self.batch).collect();
            if !batch.is_empty() {
                return Some(batch);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Number of texts up to which a call counts as a question, not a catalogue.
const FEW: usize = 4;
/// Number of texts whose tokens are cached: some 10 KB each.
const LAST: usize = 128;

impl State {
    fn new(memory: Lru) -> Self {
        Self {
            questions: VecDeque::new(),
            catalogues: VecDeque::new(),
            waiting: HashMap::new(),
            memory,
            last: VecDeque::with_capacity(LAST),
            stats: Stats::default(),
            pace: (Duration::ZERO, 1),
            open: true,
        }
    }

    fn queued(&self) -> usize {
        self.questions.len().saturating_add(self.catalogues.len())
    }

    /// Returns whether a question cannot be read in time, by all that is known. It is then refused at once, since
    /// waiting first would cost the time as well.
    fn hopeless(&self, texts: &[String], within: Duration, need: Need) -> bool {
        let (each, threads) = self.pace;
        let ahead = u32::try_from(self.questions.len()).unwrap_or(u32::MAX);
        let lacks = |text: &String| match need {
            Need::Vector => self.memory.lacks(text),
            Need::Tokens => self.last.iter().all(|(known, _)| **known != **text),
        };
        let fresh = texts.len() <= FEW && texts.iter().any(lacks);
        fresh && each.saturating_mul(ahead) / threads > within
    }

    /// Caches the tokens of the last texts.
    fn remember(&mut self, text: &Arc<str>, close: &Close) {
        if self.last.len() >= LAST {
            self.last.pop_front();
        }
        self.last.push_back((Arc::clone(text), close.clone()));
    }

    fn known(&mut self, text: &str, need: Need) -> Option<Close> {
        match need {
            Need::Vector => self.memory.get(text).map(|embedding| Close { embedding, pieces: None }),
            Need::Tokens => {
                self.last.iter().find(|(known, _)| **known == *text).map(|(_, close)| close.clone())
            }
        }
    }

    fn pop(&mut self) -> Option<Arc<str>> {
        self.questions.pop_front().or_else(|| self.catalogues.pop_front())
    }

    /// Queues each text: all of them, or none.
    fn ask(&mut self, texts: &[String], queue: usize, need: Need) -> Result<Vec<Place>, NotNow> {
        let known: Vec<Option<Close>> = texts.iter().map(|text| self.known(text, need)).collect();
        let fresh: BTreeSet<&str> = texts
            .iter()
            .zip(&known)
            .filter(|(text, known)| known.is_none() && !self.waiting.contains_key(text.as_str()))
            .map(|(text, _)| text.as_str())
            .collect();
        let (few, room) = (fresh.len() <= FEW, queue.max(fresh.len()));
        if self.queued().saturating_add(fresh.len()) > room {
            self.stats.refused += 1;
            return Err(NotNow::Busy);
        }
        let places = texts.iter().zip(known).map(|(text, known)| match known {
            Some(close) => {
                self.stats.remembered += 1;
                Place::Known(close)
            }
            None => Place::Coming(self.join(text, few)),
        });
        Ok(places.collect())
    }

    fn join(&mut self, text: &str, question: bool) -> oneshot::Receiver<Close> {
        let (sender, receiver) = oneshot::channel();
        match self.waiting.get_mut(text) {
            Some(waiters) => {
                self.stats.joined += 1;
                waiters.push(sender);
            }
            None => {
                let text: Arc<str> = text.into();
                let lane = if question { &mut self.questions } else { &mut self.catalogues };
                lane.push_back(Arc::clone(&text));
                self.waiting.insert(text, vec![sender]);
            }
        }
        receiver
    }

    fn still_wanted(&mut self, text: &str) -> bool {
        let wanted =
            self.waiting.get(text).is_some_and(|waiters| waiters.iter().any(|waiter| !waiter.is_closed()));
        if !wanted && self.waiting.remove(text).is_some() {
            self.stats.skipped += 1;
        }
        wanted
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
