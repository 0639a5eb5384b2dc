//! The server's own binary is killed, at each crash point and at random moments, while people chat, pay back, approve
//! and call tools. It is started again at once, and in the end the checker reads three histories: what the people
//! were told, what the shop did, and what the database and its audit chain hold.
//!
//! Short in a normal run, on SQLite and, where there is one, on PostgreSQL; `just kill 200` (which sets `CARDEA_KILLS`)
//! plays the long form, `just kill 200 postgres` (`CARDEA_KILLS_ON`) on one of the two. `CARDEA_SEED` repeats one.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use cardea_store::crash::POINTS;
use cardea_testkit::{
    kill::{Dice, Victim},
    postgres::Server,
    world::House,
};
use tokio::sync::watch;

use crate::crowd::{Crowd, check};

/// SIGABRT: how a process ends at a crash point.
const ABORT: i32 = 6;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The process, and what is measured of its starts.
struct Killing {
    house: Arc<House>,
    dice: Dice,
    up: watch::Sender<u64>,
    ready: Vec<Duration>,
}

impl Killing {
    /// Starts it and waits until it listens, which is false if it ended before.
    async fn start(&mut self, mut command: Command) -> (Victim, bool) {
        let from = Instant::now();
        let started = tokio::task::spawn_blocking(move || {
            let mut victim = Victim::start(&mut command).expect("the process starts");
            let listens = victim.until("cardea listens").is_some();
            (victim, listens)
        });
        let (victim, listens) = started.await.expect("a thread");
        if listens {
            self.ready.push(from.elapsed());
            self.up.send_modify(|starts| *starts += 1);
        }
        (victim, listens)
    }

    /// Lets it run for a moment that nobody could have guessed, and ends it with SIGKILL.
    async fn at_random(&mut self) {
        let (victim, listens) = self.start(self.house.command()).await;
        assert!(listens, "it did not come up again; see {}", self.house.folder().join("serve.log").display());
        tokio::time::sleep(Duration::from_millis(20 + self.dice.below(700))).await;
        drop(tokio::task::spawn_blocking(move || victim.kill()).await.expect("a thread").expect("killed"));
    }

    /// Lets it run into a crash point.
    async fn at(&mut self, point: &'static str) {
        let count =
            if point.starts_with("commit") { 1 + self.dice.below(40) } else { 1 + self.dice.below(3) };
        let mut command = self.house.command();
        command.env("CRASH_AT", format!("{point}:{count}"));
        let (victim, _) = self.start(command).await; // it may come to the point while it starts
        let pid = victim.id().to_string();
        let ended = tokio::task::spawn_blocking(move || victim.ended());
        let ended = tokio::time::timeout(Duration::from_secs(120), ended).await;
        let ended = ended.unwrap_or_else(|_| {
            drop(Command::new("kill").args(["-9", &pid]).status()); // or this test would wait for it
            panic!("it never came to `{point}` for the {count}th time")
        });
        let status = ended.expect("a thread").expect("waited for");
        assert_eq!(status.signal(), Some(ABORT), "it ended otherwise than at `{point}`: {status}");
    }
}

/// True if the run was asked for on the other engine only.
fn elsewhere(engine: &str) -> bool {
    std::env::var("CARDEA_KILLS_ON").is_ok_and(|wanted| wanted != engine && wanted != "both")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_breaks_no_invariant() {
    if !elsewhere("sqlite") {
        kill("sqlite", None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_postgres_that_is_killed_again_and_again_breaks_no_invariant() {
    if elsewhere("postgres") {
        return;
    }
    match Server::start() {
        Ok(server) => kill("postgres", Some(server.fresh().expect("a database"))).await,
        Err(why) => println!("SKIPPED: {why}; the server is killed on SQLite only"),
    }
}

async fn kill(engine: &str, database: Option<String>) {
    let (kills, seed) = (number("CARDEA_KILLS", 14), number("CARDEA_SEED", 1));
    println!("seed {seed}, {kills} kills of the server on {engine}");
    let mut crowd = Crowd::gather(database).await;
    let house = Arc::clone(&crowd.house);
    crowd.begin(seed, &[house.node()]);
    let dice = Dice::seeded(seed ^ 0x5eed);
    let mut killing = Killing { house: Arc::clone(&house), dice, up: crowd.up.clone(), ready: Vec::new() };
    // The first rounds go through every point; later every third round is the next one's.
    let mut points = POINTS.iter().copied().cycle().peekable();
    for round in 0..kills {
        let at_a_point = round < POINTS.len() as u64 || round % 3 == 0;
        match points.next_if(|_| at_a_point) {
            Some(point) => killing.at(point).await,
            None => killing.at_random().await,
        }
    }
    let (last, listens) = killing.start(house.command()).await;
    assert!(listens, "it did not come up at the end");
    let saw = crowd.rest().await;
    check::settled(&house, &saw).await;
    let strangers = check::strangers(&house, &saw).await;
    let (_, well) =
        tokio::task::spawn_blocking(move || last.terminate()).await.expect("a thread").expect("ended");
    assert!(well, "it did not stop in order");
    let mut broken = check::histories(&crowd, &saw).await;
    broken.extend(strangers);
    println!("{engine}: {}", check::told(&saw, &killing.ready, &crowd).await);
    assert!(saw.done.len() as u64 > kills / 4 && saw.unwound > 0, "too little was done to prove anything");
    assert_eq!(broken, Vec::<String>::new(), "seed {seed}, {kills} kills on {engine}");
    println!("{kills} kills on {engine}, seed {seed}: 0 broken invariants");
}
