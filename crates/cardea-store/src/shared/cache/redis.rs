//! Records in Redis or Valkey, with plain commands: no module, no script.
//!
//! `NAME:e:PLACE:KEY` is one record, with its time to live. `NAME:s:PLACE` is the shelf of a place: a sorted set of
//! key ‖ vector. Its score is a number that only grows, so a node that has read up to a number asks for what came
//! after it and compares its own copy. `NAME:c` is a sorted set of the count of clearings (`clock`), the least count
//! that is still valid (`floor`), the number of the newest vector (`seq`), and the count at which each tag was
//! cleared.
//!
//! WHY one set for all counts: a server that loses it (a flush, an eviction) loses all of it, and a new one starts
//! with a floor above every older count, so that no record outlives the memory of its clearing.

mod back;
mod copies;
mod sweep;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cardea_core::{secret::SecretString, time::SharedClock};
use cardea_embed::{DIMS, Vector};
use futures::FutureExt;
use redis::{Client, FromRedisValue, RedisError, aio::MultiplexedConnection, cmd};
use tokio::sync::Mutex as AsyncMutex;

use self::copies::{Copied, Copies};
use super::{
    Answer, Away, CacheStore, Held, Key, LONGEST, PATIENCE, Place, Record, Tag, address, wire::Wire,
};

/// Members of the counts that are not tags. Tags have 16 bytes, these have not.
const CLOCK: &[u8] = b"clock";
const FLOOR: &[u8] = b"floor";
const SEQ: &[u8] = b"seq";
/// Limit of remembered cleared tags; beyond it the oldest are removed and the floor rises above them.
const MARKS: u64 = 200_000;
/// Numbers that are read again, since two nodes may write theirs in another order than they drew them.
const OVERLAP: f64 = 8.0;
/// Size of a shelf entry.
const ENTRY: usize = 32 + DIMS;
/// Limit of bytes of copied shelves in a node, unless set by [`RedisCache::copying`].
const COPIES: u64 = 64 << 20;

/// [`CacheStore`] on a Redis or Valkey server. The server bounds the bytes (`maxmemory`); every key expires.
pub struct RedisCache {
    client: Client,
    line: AsyncMutex<Option<MultiplexedConnection>>,
    wire: Wire,
    clock: SharedClock,
    name: String,
    per_place: usize,
    copies: Copies,
    /// Highest count of clearings seen so far.
    highest: AtomicU64,
}

impl std::fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCache").field("name", &self.name).finish_non_exhaustive()
    }
}

fn away(error: &RedisError) -> Away {
    // Never the address: it may contain a user name.
    Away(format!("{:?}: {}", error.kind(), error.code().unwrap_or("no code")))
}

impl RedisCache {
    /// Sets the limit of bytes of copied shelves in this process.
    #[must_use]
    pub fn copying(mut self, bytes: u64) -> Self {
        self.copies = Copies::within(bytes);
        self
    }

    /// Sets how long to wait for the server, instead of [`PATIENCE`].
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.wire = Wire::new(patience);
        self
    }

    /// Creates a store with this key prefix on the server. Does not connect yet.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the address.
    pub fn new(
        url: &str,
        password: Option<&SecretString>,
        name: &str,
        per_place: usize,
        clock: SharedClock,
    ) -> Result<Self, String> {
        Ok(Self {
            client: address::client(url, password)?,
            line: AsyncMutex::new(None),
            wire: Wire::new(PATIENCE),
            clock,
            name: name.to_owned(),
            per_place: per_place.max(1),
            copies: Copies::within(COPIES),
            highest: AtomicU64::default(),
        })
    }

    async fn line(&self) -> Result<MultiplexedConnection, Away> {
        let mut line = self.line.lock().await;
        // WHY: a caller that gives up drops its query, so nothing else notices that its connection is silent.
        let silent = self.wire.fell_silent();
        if let Some(line) = line.as_ref().filter(|_| !silent) {
            return Ok(line.clone());
        }
        let fresh = self.client.get_multiplexed_async_connection().await.map_err(|error| away(&error))?;
        Ok(line.insert(fresh).clone())
    }

    async fn run<T: FromRedisValue>(&self, pipe: &redis::Pipeline) -> Result<T, Away> {
        self.tell(pipe).await?
    }

    /// Does the same; the inner error is the server's own: it is available, and refuses.
    async fn tell<T: FromRedisValue>(&self, pipe: &redis::Pipeline) -> Result<Result<T, Away>, Away> {
        let mut line = self.line().await?;
        let answer = pipe.query_async(&mut line).await;
        let Err(error) = answer.as_ref().map(drop) else { return Ok(answer.map_err(|error| away(&error))) };
        let lost = error.is_unrecoverable_error() || error.is_io_error() || error.is_connection_dropped();
        if lost {
            *self.line.lock().await = None;
        }
        if lost || error.is_timeout() { Err(away(error)) } else { Ok(Err(away(error))) }
    }

    async fn one<T: FromRedisValue>(&self, command: redis::Cmd) -> Result<T, Away> {
        let mut pipe = redis::pipe();
        pipe.add_command(command);
        self.run::<(T,)>(&pipe).await.map(|(answer,)| answer)
    }

    fn counts(&self) -> String {
        format!("{}:c", self.name)
    }

    fn record(&self, place: &Place, key: &Key) -> String {
        format!("{}:e:{place}:{key}", self.name)
    }

    fn shelf(&self, place: &Place) -> String {
        format!("{}:s:{place}", self.name)
    }

    /// Returns the count of clearings and the floor; creates them if they are missing.
    async fn count(&self) -> Result<(u64, u64), Away> {
        let ask = || cmd("ZMSCORE").arg(self.counts()).arg(CLOCK).arg(FLOOR).to_owned();
        let mut found: Vec<Option<f64>> = self.one(ask()).await?;
        if found.iter().any(Option::is_none) {
            // INVARIANT: above every earlier count, as long as there was less than one clearing per millisecond.
            let now = u64::try_from(self.clock.now().0).unwrap_or_default();
            let start = now.max(self.highest.load(Ordering::Relaxed) + 1);
            let mut pipe = redis::pipe();
            pipe.atomic();
            for member in [CLOCK, FLOOR, SEQ] {
                // GT and not NX: another node may have started counting from zero meanwhile.
                pipe.cmd("ZADD").arg(self.counts()).arg("GT").arg(start).arg(member).ignore();
            }
            self.run::<()>(&pipe).await?;
            self.copies.drain(); // the shelves are gone as well
            found = self.one(ask()).await?;
        }
        let clock = found.first().copied().flatten().map(whole);
        if let Some(clock) = clock
            && self.went_back(clock).await?
        {
            found = self.one(ask()).await?;
        }
        match found.as_slice() {
            [Some(clock), Some(floor)] => Ok((whole(*clock), whole(*floor))),
            _ => Err(Away("it does not keep its counts".to_owned())),
        }
    }

    /// Returns those of the records that are not cleared.
    async fn fresh(&self, found: Vec<(Key, Record)>) -> Result<Vec<(Key, Record)>, Away> {
        if found.is_empty() {
            return Ok(found);
        }
        let mut ask = cmd("ZMSCORE");
        ask.arg(self.counts()).arg(CLOCK).arg(FLOOR);
        for tag in found.iter().flat_map(|(_, record)| &record.tags) {
            ask.arg(&tag.0);
        }
        let scores: Vec<Option<f64>> = self.one(ask).await?;
        let mut scores = scores.into_iter();
        // Without them the counts are gone, and it is unknown what was cleared.
        let mut count = || scores.next().flatten().map(whole);
        let (Some(clock), Some(floor)) = (count(), count()) else { return Ok(Vec::new()) };
        if self.went_back(clock).await? {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let fresh = |(_, record): &(Key, Record)| {
            let cleared = scores.by_ref().take(record.tags.len()).flatten().map(whole).max().unwrap_or(0);
            record.until > now && record.asked_at >= floor && record.asked_at >= cleared
        };
        Ok(found.into_iter().filter(fresh).collect())
    }

    async fn read(&self, place: &Place, keys: &[Key]) -> Result<Vec<(Key, Record)>, Away> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut ask = cmd("MGET");
        for key in keys {
            ask.arg(self.record(place, key));
        }
        let bytes: Vec<Option<Vec<u8>>> = self.one(ask).await?;
        let record = |(key, bytes): (&Key, Option<Vec<u8>>)| Some((*key, Record::from_bytes(&bytes?)?));
        self.fresh(keys.iter().zip(bytes).filter_map(record).collect()).await
    }

    async fn nearest(&self, place: &Place, to: &Vector, count: usize) -> Result<Vec<(Key, Record)>, Away> {
        let copy = self.copies.of(place);
        let upto = copy.lock().unwrap_or_else(PoisonError::into_inner).upto;
        let mut ask = cmd("ZRANGEBYSCORE");
        ask.arg(self.shelf(place)).arg(upto - OVERLAP).arg("+inf").arg("WITHSCORES");
        let news: Vec<(Vec<u8>, f64)> = self.one(ask).await?;
        let keys: Vec<Key> = {
            let mut copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
            for (member, score) in news.iter().filter(|(member, _)| member.len() == ENTRY) {
                if *score > copy.upto || !knows(&copy, member) {
                    copy.add(member, self.per_place);
                }
                copy.upto = copy.upto.max(*score);
            }
            copy.vectors.nearest(to, count).into_iter().map(|near| *near.item).collect()
        };
        if !news.is_empty() {
            self.copies.grown(place, &copy);
        }
        let found = self.read(place, &keys).await?;
        if found.len() < keys.len() {
            self.unshelve(
                place,
                &copy,
                keys.iter().filter(|key| !found.iter().any(|(there, _)| there == *key)),
            )
            .await?;
        }
        Ok(found)
    }

    /// Removes vectors from the shelf whose records are gone or stale.
    async fn unshelve<'a>(
        &self,
        place: &Place,
        copy: &Mutex<Copied>,
        lost: impl Iterator<Item = &'a Key>,
    ) -> Result<(), Away> {
        let mut rem = cmd("ZREM");
        rem.arg(self.shelf(place));
        let mut some = false;
        {
            let mut copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
            for key in lost {
                if let Some(vector) = copy.known.get(key).and_then(|at| copy.vectors.vector(*at)) {
                    rem.arg(member(key, &vector));
                    some = true;
                }
                copy.drop_key(key);
            }
        }
        if some { self.one(rem).await } else { Ok(()) }
    }

    /// Writes a record. The inner error is that of a server that is available and accepts no writes: it is full, or a
    /// replica.
    async fn write(&self, place: &Place, key: &Key, record: Record) -> Result<Result<(), Away>, Away> {
        let left = record.until.since(self.clock.now()).0;
        let Some(bytes) = record.to_bytes().filter(|_| left > 0) else { return Ok(Ok(())) };
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(self.record(place, key)).arg(bytes).arg("PX").arg(left.min(LONGEST.0)).ignore();
        let Some(vector) = record.vector else { return self.tell(&pipe).await };
        let mut count = redis::pipe();
        count.cmd("ZINCRBY").arg(self.counts()).arg(1).arg(SEQ);
        let seq = match self.tell::<(f64,)>(&count).await? {
            Ok((seq,)) => seq,
            Err(refused) => return Ok(Err(refused)),
        };
        let shelf = self.shelf(place);
        pipe.cmd("ZADD").arg(&shelf).arg(seq).arg(member(key, &vector)).ignore();
        let last = -(i64::try_from(self.per_place).unwrap_or(i64::MAX - 1)) - 1;
        pipe.cmd("ZREMRANGEBYRANK").arg(&shelf).arg(0).arg(last).ignore();
        pipe.cmd("PEXPIRE").arg(&shelf).arg(LONGEST.0).ignore();
        self.tell(&pipe).await
    }

    async fn mark(&self, tags: &[Tag]) -> Result<(), Away> {
        self.count().await?;
        let counts = self.counts();
        let at: f64 = self.one(cmd("ZINCRBY").arg(&counts).arg(1).arg(CLOCK).to_owned()).await?;
        self.highest.fetch_max(whole(at), Ordering::Relaxed);
        let mut pipe = redis::pipe();
        let mut add = cmd("ZADD");
        // GT: of two clearings at the same time the later one stays.
        add.arg(&counts).arg("GT");
        for tag in tags {
            add.arg(at).arg(&tag.0);
        }
        pipe.add_command(add).ignore();
        pipe.cmd("ZCARD").arg(&counts);
        let (held,): (u64,) = self.run(&pipe).await?;
        if held > MARKS + 3 {
            // The oldest marks are removed; the floor rises above them, so that what they had cleared stays cleared.
            let gone: Vec<(Vec<u8>, f64)> = self
                .one(cmd("ZRANGE").arg(&counts).arg(0).arg(held / 4).arg("WITHSCORES").to_owned())
                .await?;
            let tags = gone.iter().filter(|(member, _)| member.len() == size_of::<Tag>());
            let Some(floor) = tags.clone().map(|(_, at)| *at).reduce(f64::max) else { return Ok(()) };
            let mut pipe = redis::pipe();
            pipe.atomic().cmd("ZADD").arg(&counts).arg("GT").arg(floor).arg(FLOOR).ignore();
            let mut rem = cmd("ZREM");
            rem.arg(&counts);
            for (member, _) in tags {
                rem.arg(member);
            }
            pipe.add_command(rem).ignore();
            self.run::<()>(&pipe).await?;
        }
        Ok(())
    }
}

/// Returns the entry on a shelf.
fn member(key: &Key, vector: &Vector) -> Vec<u8> {
    [key.0.as_slice(), &vector.to_bytes()].concat()
}

fn knows(copy: &Copied, member: &[u8]) -> bool {
    member.get(..32).and_then(|key| key.try_into().ok()).is_some_and(|key| copy.known.contains_key(&Key(key)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and below 2^53"
)]
fn whole(score: f64) -> u64 {
    score.max(0.0) as u64
}

impl CacheStore for RedisCache {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn clearings(&self) -> Answer<'_, u64> {
        self.wire.ask(async { self.count().await.map(|(clock, _)| clock) }).boxed()
    }

    fn get<'a>(&'a self, place: &'a Place, key: &'a Key) -> Answer<'a, Option<Record>> {
        let work = async { Ok(self.read(place, &[*key]).await?.pop().map(|(_, record)| record)) };
        self.wire.ask(work).boxed()
    }

    fn near<'a>(&'a self, place: &'a Place, to: &'a Vector, count: usize) -> Answer<'a, Vec<(Key, Record)>> {
        self.wire.ask(self.nearest(place, to, count)).boxed()
    }

    fn put<'a>(&'a self, place: &'a Place, key: &'a Key, record: Record) -> Answer<'a, ()> {
        // WHY: a server that accepts no more writes can still be read.
        let work = async {
            let answer = self.wire.ask(self.write(place, key, record)).await?;
            self.wire.took(&answer);
            answer
        };
        work.boxed()
    }

    fn clear<'a>(&'a self, tags: &'a [Tag]) -> Answer<'a, ()> {
        self.wire.insist(self.mark(tags)).boxed()
    }

    fn purge<'a>(&'a self, tag: &'a Tag) -> Answer<'a, ()> {
        async {
            self.wire.insist(self.mark(std::slice::from_ref(tag))).await?;
            self.sweep(tag).await
        }
        .boxed()
    }

    fn held(&self) -> Answer<'_, Option<Held>> {
        futures::future::ready(Ok(None)).boxed()
    }
}
