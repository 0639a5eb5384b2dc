//! A burst of questions against the cache service: exact repeats, rewordings and new ones, 45/25/30.
//!
//!     cargo run --release -p cardea --example cache_burst -- RATE SECONDS
//!     cargo run --release -p cardea --example cache_burst -- memory ENTRIES
//!
//! Open loop: each question has its time, and is counted from that time on, however late the service is. A miss is
//! kept with an answer of 400 bytes, as after a model call; no model is called. `memory` fills the scopes of 100 users
//! and tells what the process grew by for each entry.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for people; a bench that cannot run must fail"
)]

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cardea::{
    context::cache::{
        Cache, CheckSettings, Layer, Lookup, Neighbours, Query, QueryContext, Reuse, Seal, Settings, Warm,
    },
    observe::Observe,
};
use cardea_core::{
    agent::Agent,
    cache::normalise,
    cost::Prices,
    log::ChainKey,
    principal::{Principal, Proof},
    time::{Millis, SharedClock, SystemClock},
};
use cardea_embed::Encoder;
use cardea_model::embedder::{Embedder, LocalConfig, LocalEmbedder};
use cardea_store::{Db, DbConfig, Jobs, shared::cache::MemoryCache};
use serde_json::json;
use tokio::time::Instant;

/// Questions whose answers are there at the start.
const KNOWN: usize = 1_000;
const ANSWER: usize = 400;
const VERBS: [&str; 20] = [
    "reset", "change", "cancel", "renew", "find", "share", "export", "print", "delete", "pause", "upgrade",
    "verify", "restore", "rename", "archive", "transfer", "activate", "block", "order", "return",
];
const NOUNS: [&str; 50] = [
    "password",
    "invoice",
    "subscription",
    "parcel",
    "account",
    "contract",
    "voucher",
    "warranty",
    "profile",
    "address",
    "ticket",
    "licence",
    "calendar",
    "playlist",
    "mailbox",
    "backup",
    "router",
    "printer",
    "phone",
    "tablet",
    "camera",
    "headset",
    "keyboard",
    "monitor",
    "battery",
    "charger",
    "membership",
    "insurance",
    "booking",
    "reservation",
    "flight",
    "seat",
    "luggage",
    "hotel",
    "rental",
    "meter",
    "tariff",
    "signature",
    "certificate",
    "document",
    "folder",
    "report",
    "dashboard",
    "alarm",
    "sensor",
    "light",
    "heating",
    "delivery",
    "refund",
    "receipt",
];
const OPENINGS: [&str; 8] = [
    "How can I",
    "Please, how do I",
    "Hello, how do I",
    "How could I",
    "Hi, how can I",
    "How would I",
    "Could you say how I",
    "How do I actually",
];
const ENDINGS: [&str; 8] = [
    "?",
    ", please?",
    "? Thanks",
    "? Thank you",
    "? Thanks a lot",
    ", thanks?",
    "? Many thanks",
    "? Kind regards",
];

fn person(name: &str) -> Principal {
    Principal::new("acme", name, "bench", Proof::Jwt)
}

/// A small generator, so that each run asks the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % most
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts.get(self.below(texts.len())).copied().unwrap_or_default()
    }
}

fn known(n: usize) -> (&'static str, &'static str) {
    let verb = VERBS.get(n % VERBS.len()).copied().unwrap_or_default();
    (verb, NOUNS.get(n / VERBS.len() % NOUNS.len()).copied().unwrap_or_default())
}

#[derive(Clone)]
struct Bench {
    cache: Cache,
    agent: Arc<Agent>,
    embedder: Arc<dyn Embedder>,
    /// What every question is answered with.
    answer: Arc<Warm>,
}

impl Bench {
    async fn start(bytes: usize, per_place: usize) -> Self {
        let clock: SharedClock = Arc::new(SystemClock);
        let db =
            Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&[1; 32])).await.expect("a database");
        db.migrate().await.expect("tables");
        let encoder = Encoder::bundled().expect("weights");
        let embedder: Arc<dyn Embedder> =
            Arc::new(LocalEmbedder::start(&encoder, &LocalConfig::default()).expect("a thread"));
        let patience = cardea::config::CacheConfig::default().patience.duration();
        let check = CheckSettings { share: 0.0, micros: 0, errors: 0.01 };
        let settings = Settings { enabled: true, ttl: Millis::from_secs(3_600), patience, check };
        let with = Neighbours {
            store: Arc::new(MemoryCache::new(bytes, per_place, Arc::clone(&clock))),
            seal: Seal::Own,
            persist: None,
            told: None,
            observe: Observe::new(db.clone(), Arc::clone(&clock), Prices::default()),
            db,
            node: "bench".to_owned(),
            clock,
        };
        let answer = json!({ "agent": "bench", "question": "", "answer": "word ".repeat(ANSWER / 5) });
        let agent = Agent::parse("bench", "model = \"m\"\ninstructions = \"Help.\"").expect("an agent");
        Self {
            cache: Cache::new(settings, Some(Arc::clone(&embedder)), with),
            agent: Arc::new(agent),
            embedder,
            answer: Arc::new(serde_json::from_value(answer).expect("an answer")),
        }
    }

    fn query(&self, user: &Principal, text: &str) -> Query {
        let around = QueryContext {
            conversation: None,
            history: &[],
            policy: "p",
            by_person: false,
            by_proof: false,
            tools: "t",
            guard: "standard",
            model: "m",
            reuse: Reuse::Allowed,
        };
        self.cache.query(user, &self.agent, text, &around)
    }

    async fn keep(&self, query: Query) {
        self.cache.warm(query, &self.answer).await;
    }

    /// Puts a question there at leisure: its vector is made first, however long that takes.
    async fn fill(&self, user: &Principal, text: &str) {
        let made = self.embedder.embed(vec![normalise(text)], Duration::from_secs(60)).await;
        drop(made.expect("a vector"));
        let query = self.query(user, text);
        drop(self.cache.look(&query).await);
        self.keep(query).await;
    }

    /// Asks; a miss is answered and kept.
    async fn ask(&self, user: &Principal, text: &str) -> &'static str {
        let query = self.query(user, text);
        match self.cache.look(&query).await {
            Lookup::Hit(hit) if hit.layer == Layer::Exact => "exact",
            Lookup::Hit(_) => "semantic",
            Lookup::Miss(flight) => {
                self.keep(query).await;
                drop(flight);
                "miss"
            }
        }
    }
}

/// CPU time of this process so far, in milliseconds, as the kernel counts it (100 ticks a second).
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

/// What was meant to be found, what was, and how long it took.
type Time = (&'static str, &'static str, Duration);

async fn burst(rate: u32, seconds: u32) {
    let bench = Bench::start(64 << 20, 100_000).await;
    let user = Arc::new(person("ann"));
    for n in 0..KNOWN {
        let (verb, noun) = known(n);
        bench.fill(&user, &format!("How do I {verb} my {noun}?")).await;
    }
    let times = Arc::new(Mutex::new(Vec::<Time>::new()));
    let (jobs, mut dice) = (Jobs::new(), Dice(88_172_645_463_325_252));
    let (start, cpu) = (Instant::now(), cpu_ms());
    for n in 0..u64::from(rate) * u64::from(seconds) {
        let due = start + Duration::from_nanos(1_000_000_000 / u64::from(rate) * n);
        tokio::time::sleep_until(due).await;
        let (verb, noun) = known(dice.below(KNOWN));
        let (kind, text) = match dice.below(100) {
            0..45 => ("exact", format!("how do I {verb} my {noun}")),
            45..70 => {
                let (opening, ending) = (dice.one_of(&OPENINGS), dice.one_of(&ENDINGS));
                ("semantic", format!("{opening} {verb} my {noun}{ending}"))
            }
            _ => ("miss", format!("What does the {noun} number {n} say about how to {verb} it?")),
        };
        let (bench, user, times) = (bench.clone(), Arc::clone(&user), Arc::clone(&times));
        jobs.spawn("question", async move {
            let found = bench.ask(&user, &text).await;
            times.lock().unwrap_or_else(PoisonError::into_inner).push((kind, found, due.elapsed()));
        });
    }
    jobs.drain(Duration::from_secs(60)).await;
    let (wall, cpu) = (start.elapsed(), cpu_ms() - cpu);
    let times = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
    println!("{} questions at {rate}/s; wall {:.2} s, CPU {cpu} ms", times.len(), wall.as_secs_f64());
    tell(&times);
}

fn tell(times: &[Time]) {
    println!("| asked | n | exact | semantic | miss | p50 ms | p95 ms | p99 ms | max ms |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for kind in ["exact", "semantic", "miss", "all"] {
        let of = times.iter().filter(|(query, ..)| kind == "all" || *query == kind);
        let count = |layer: &str| of.clone().filter(|(_, found, _)| *found == layer).count();
        let mut took: Vec<Duration> = of.clone().map(|(_, _, took)| *took).collect();
        took.sort();
        let at = |hundredths: usize| {
            let place = (took.len() * hundredths / 100).min(took.len().saturating_sub(1));
            took.get(place).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        println!(
            "| {kind} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
            took.len(),
            count("exact"),
            count("semantic"),
            count("miss"),
            at(50),
            at(95),
            at(99),
            at(100)
        );
    }
}

async fn memory(entries: usize) {
    let bench = Bench::start(1 << 30, 100_000).await;
    let users: Vec<Principal> = (0..100).map(|n| person(&format!("user{n}"))).collect();
    // The memory of the encoder for texts is bounded, and full before the counting begins.
    for n in 0..40_000 {
        drop(bench.embedder.embed(vec![format!("warm {n}")], Duration::from_secs(60)).await);
    }
    let before = resident();
    for n in 0..entries {
        let (verb, noun) = known(n);
        if let Some(user) = users.get(n % users.len()) {
            bench.fill(user, &format!("How do I {verb} the {noun} of customer {n}?")).await;
        }
    }
    let held = bench.cache.held().await.unwrap_or_default();
    let grown = resident().saturating_sub(before);
    println!(
        "{} entries with a vector, a question of about 45 and an answer of {ANSWER} bytes",
        held.entries
    );
    println!("resident memory grew by {} bytes an entry, answer included", grown / held.entries.max(1));
    println!("the store counts {} bytes an entry", held.bytes / held.entries.max(1));
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: u32| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(usual);
    match words.first().map(String::as_str) {
        Some("memory") => memory(number(1, 20_000) as usize).await,
        _ => burst(number(0, 1_000), number(1, 10)).await,
    }
}
