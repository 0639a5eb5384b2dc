//! The server's own binary is killed, at each crash point and at random moments, while people chat, pay back, approve
//! and call tools. It is started again at once, and in the end the checker reads three histories: what the people
//! were told, what the shop did, and what the database and its audit chain hold.
//!
//! Short in a normal run; `just kill 200` (which sets `CARDEA_KILLS`) plays the long form. `CARDEA_SEED` repeats one.

mod check;
mod client;

use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cardea_store::crash::POINTS;
use cardea_testkit::{
    kill::{Dice, Victim},
    world::{House, Who},
};
use tokio::{sync::watch, task::JoinSet};

use self::client::{Client, Saw};

const STAFF: &[&str] = &["read", "write", "billing:read", "billing:write"];

const PEOPLE: &[Who] = &[
    Who { tenant: "acme", name: "ann", roles: &["support"], scopes: STAFF },
    Who { tenant: "acme", name: "cat", roles: &["support"], scopes: STAFF },
    Who { tenant: "other", name: "dan", roles: &["support"], scopes: STAFF },
    Who { tenant: "acme", name: "sue", roles: &["supervisor"], scopes: &["read"] },
    Who { tenant: "other", name: "sam", roles: &["supervisor"], scopes: &["read"] },
    Who { tenant: "acme", name: "eve", roles: &["admin", "support"], scopes: STAFF },
];

/// Who asks, and who approves for them.
const CLIENTS: [(&str, &str); 3] = [("ann", "sue"), ("cat", "sue"), ("dan", "sam")];

/// Budgets are set so that their counters are kept; they are far off.
const CONFIG: &str = r#"
[limits]
per_user = "60000/min"
per_tenant = "60000/min"

[limits.user_budget]
tokens = 1000000000

[limits.tenant_budget]
tokens = 1000000000

[log]
level = "info"
"#;

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
            if point.starts_with("effect") { 1 + self.dice.below(3) } else { 1 + self.dice.below(40) };
        let mut command = self.house.command();
        command.env("CRASH_AT", format!("{point}:{count}"));
        let (victim, _) = self.start(command).await; // it may come to the point while it starts
        let ended = tokio::task::spawn_blocking(move || victim.ended());
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
        let ended = ended.unwrap_or_else(|_| panic!("it never came to `{point}` for the {count}th time"));
        let status = ended.expect("a thread").expect("waited for");
        assert_eq!(status.signal(), Some(ABORT), "it ended otherwise than at `{point}`: {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_breaks_no_invariant() {
    let (kills, seed) = (number("CARDEA_KILLS", 12), number("CARDEA_SEED", 1));
    println!("seed {seed}, {kills} kills of the server");
    let house = Arc::new(House::build(Path::new(env!("CARGO_BIN_EXE_cardea")), CONFIG, PEOPLE).await);
    let (up, _) = watch::channel(0);
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for (at, (name, supervisor)) in CLIENTS.into_iter().enumerate() {
        let people = (house.user(name), house.user(supervisor));
        let client = Client::new(name, people, Dice::seeded(seed + 1_000 * at as u64), up.subscribe());
        clients.spawn(client.go_on(Arc::clone(&stop)));
    }
    let dice = Dice::seeded(seed ^ 0x5eed);
    let mut killing = Killing { house: Arc::clone(&house), dice, up, ready: Vec::new() };
    // The first rounds go through every point; later every third round is the next one's.
    // Nothing of the shop is taken back; the journal's own test goes through those points.
    let reached: Vec<&'static str> =
        POINTS.iter().copied().filter(|point| !point.starts_with("undo.")).collect();
    let mut points = reached.iter().cycle().peekable();
    for round in 0..kills {
        let at_a_point = round < reached.len() as u64 || round % 3 == 0;
        match points.next_if(|_| at_a_point) {
            Some(point) => killing.at(point).await,
            None => killing.at_random().await,
        }
    }
    let (last, listens) = killing.start(house.command()).await;
    assert!(listens, "it did not come up at the end");
    stop.store(true, Ordering::SeqCst);
    let saw = clients.join_all().await.into_iter().fold(Saw::default(), Saw::and);
    check::settled(&house, &saw).await;
    let strangers = check::strangers(&house, &saw).await;
    let (_, well) =
        tokio::task::spawn_blocking(move || last.terminate()).await.expect("a thread").expect("ended");
    assert!(well, "it did not stop in order");
    let mut broken = check::histories(&house, &saw).await;
    broken.extend(strangers);
    println!("{}", check::told(&saw, &killing.ready, &house).await);
    assert!(saw.done.len() as u64 > kills / 4, "too little was done to prove anything");
    assert_eq!(broken, Vec::<String>::new(), "seed {seed}, {kills} kills");
    println!("{kills} kills, seed {seed}: 0 broken invariants");
}
