//! Kills a process that works through turns, at every crash point and at random moments, and starts it again. In the
//! end nothing that was acknowledged may be lost, and no refund may be made twice.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::Command,
    sync::Arc,
};

use cardea_core::{
    Code, Error,
    cost::Prices,
    id::{ConversationId, ToolName, TurnId},
    journal::{Recovery, Repeatable, StepState, after_crash},
    log::ChainKey,
    message::Finish,
    principal::{Principal, Proof},
    saga::{Unwound, Way},
    time::{Clock, Millis, SystemClock, Timestamp},
    tool::{Effect, Outcome, ToolCall},
};
use cardea_store::{Commit, Db, DbConfig, args, crash::POINTS};
use cardea_testkit::{
    history::{Acknowledged, Effect as Happened, History},
    kill::{Dice, Victim},
    machine::Machine,
};
use serde_json::{Map, json};

use super::{
    Asker, Begun, Ending, Limits, Question, Start, Turn, Turns,
    tests::{agent, vault},
};
use crate::{
    control::Screened,
    observe::{Observe, Trace},
};

const FOLDER: &str = "CARDEA_TEST_CRASH_FOLDER";
const LIMITS: Limits = Limits {
    reflections: 9,
    tool_calls: 9,
    cost_micros: 9,
    tokens: u64::MAX,
    call: Millis::from_secs(3),
    time: Millis::from_secs(60),
};
const ANSWER: &str = "refunded";

fn key() -> ChainKey {
    ChainKey::new(&[8; 32])
}

async fn open(folder: &Path) -> Db {
    let db =
        Db::open(DbConfig::at(format!("sqlite:{}", folder.join("x.db").display())), key()).await.unwrap();
    db.migrate().await.unwrap();
    db
}

fn ann() -> Principal {
    Principal {
        tenant: "acme".into(),
        user: "ann".into(),
        client: None,
        issuer: "i".into(),
        roles: [].into(),
        scopes: [].into(),
        actors: Vec::new(),
        proof: Proof::Jwt,
        address: None,
        metadata: BTreeMap::new(),
    }
}

/// The work of the child: turns with one refund each, half of them at a provider without idempotency keys.
struct Worker<'a> {
    folder: &'a Path,
    db: Db,
    turns: Turns,
}

impl Worker<'_> {
    /// Simulates a provider that writes a line into its ledger for each refund and recognises a key that it has seen.
    fn refund(&self, key: &str, repeatable: Repeatable) {
        let ledger = self.folder.join("ledger");
        let known = fs::read_to_string(&ledger).unwrap_or_default();
        if repeatable == Repeatable::ByKey && known.contains(key) {
            return;
        }
        let mut ledger = OpenOptions::new().create(true).append(true).open(ledger).unwrap();
        ledger.write_all(format!("{key} {}\n", SystemClock.now().0).as_bytes()).unwrap();
    }

    async fn begin(&self, number: u64) -> Turn {
        let (who, talk) = (ann(), ConversationId::random());
        let conversation = "INSERT INTO conversations (id, tenant, owner, user_id, agent, created_at, updated_at) \
                            VALUES ($1, 'acme', $2, 'ann', 'a', 0, 0)";
        self.db.commit(Commit::new().run(conversation, args![talk, who.key()])).await.unwrap();
        let prompt = match number % 3 {
            0 => "keyed",
            1 => "plain",
            _ => "undone",
        };
        let (agent, prompt) = (agent("a", LIMITS), Screened::own_words(prompt.to_owned()));
        let asker = Asker { principal: &who, agent: &agent, trace: &Trace::default() };
        let begun = self.turns.begin(Question::chat(asker, prompt, talk, None));
        match begun.await.unwrap() {
            Begun::Fresh(turn) => turn,
            Begun::Again(receipt) => panic!("{receipt:?}"),
        }
    }

    /// Continues a turn from any state, as ARCHITECTURE section 7 prescribes.
    async fn settle(&self, mut turn: Turn) {
        let repeatable = if turn.prompt().as_str() == "plain" { Repeatable::No } else { Repeatable::ByKey };
        let found = turn.steps().first().cloned();
        let recovery = found
            .as_ref()
            .map_or(Recovery::Call, |step| after_crash(step.state(), step.effect(), step.repeatable()));
        let ending = match recovery {
            Recovery::Call => {
                let (call, tool) = (Self::call(), ToolName::from("refund"));
                let start = Start {
                    call: &call,
                    tool: &tool,
                    effect: Effect::Write,
                    repeatable,
                    digest: "d".into(),
                    decision: None,
                };
                let step = self.turns.start(&mut turn, start).await.unwrap();
                self.refund(&step.id().to_string(), repeatable);
                let way = Way::Call { tool: "void".into(), arguments: Map::new() };
                let step = step.taken_back_by((turn.prompt().as_str() == "undone").then_some(way));
                self.turns
                    .record(&mut turn, step, Screened::own_words(Outcome::Done { result: json!("r1") }))
                    .await
                    .unwrap();
                Self::answered()
            }
            Recovery::Stop => {
                let step = found.unwrap();
                if step.state() == StepState::Started {
                    let outcome = Outcome::unknown("stopped in the middle");
                    self.turns.record(&mut turn, step, Screened::own_words(outcome)).await.unwrap();
                }
                Ending::Unknown(Code::UpstreamUnknown.into())
            }
            Recovery::Leave => Self::answered(),
        };
        let ending = if turn.prompt().as_str() == "undone" { self.unwind(&mut turn).await } else { ending };
        let id = turn.id();
        let receipt = self.turns.close(turn, ending).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "ended {id} {} {}", receipt.status.name(), receipt.answer.unwrap_or_default()).unwrap();
        out.flush().unwrap();
    }

    /// Undoes the refund, as `flow` does. A provider with idempotency keys undoes it once.
    async fn unwind(&self, turn: &mut Turn) -> Ending {
        let failed = || Error::from(Code::UpstreamFailed);
        self.turns.unwinding(turn, &failed()).await.unwrap();
        while let Some(step) = turn.next_undo() {
            let step = self.turns.undoing(turn, step).await.unwrap();
            let (undone, key) = (self.folder.join("undone"), step.id().to_string());
            if !fs::read_to_string(&undone).unwrap_or_default().contains(&key) {
                let mut ledger = OpenOptions::new().create(true).append(true).open(undone).unwrap();
                ledger.write_all(format!("{key}\n").as_bytes()).unwrap();
            }
            self.turns
                .undone(turn, step, Screened::own_words(Outcome::Done { result: json!(null) }))
                .await
                .unwrap();
        }
        assert_eq!(turn.unwound().0, Unwound::Whole);
        Ending::Unwound(failed())
    }

    fn call() -> ToolCall {
        ToolCall { id: "c".into(), name: "refund".into(), arguments: Map::new(), written: None }
    }

    fn answered() -> Ending {
        Ending::Answer { text: Screened::own_words(ANSWER.into()), finish: Finish::Stop }
    }
}

/// Entry point of the child. Does nothing in a normal run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_is_going_to_be_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(std::path::PathBuf::from) else { return };
    let new: u64 = std::env::var("CARDEA_TEST_CRASH_NEW").unwrap().parse().unwrap();
    let db = open(&folder).await;
    let clock = Arc::new(SystemClock);
    let observe = Observe::new(db.clone(), clock.clone(), Prices::default());
    let vault = vault(&db, &observe, clock.clone()).await;
    let turns = Turns::new(db.clone(), observe.clone(), clock, "main", vault).await.unwrap();
    let worker = Worker { folder: &folder, db, turns };
    for free in worker.turns.free(1_000).await.unwrap() {
        let turn = worker.turns.claim(free.id, LIMITS).await.unwrap().unwrap();
        worker.settle(turn).await;
    }
    for number in 0..new {
        worker.settle(worker.begin(number).await).await;
    }
}

fn child(folder: &Path, new: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "turn::crashes::child_that_is_going_to_be_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder)
        .env("CARDEA_TEST_CRASH_NEW", new.to_string())
        .stderr(std::process::Stdio::null());
    command
}

/// Parses what the child reported as acknowledged.
fn acknowledged(line: &str) -> Option<Acknowledged> {
    let (_, words) = line.split_once("ended ")?;
    let mut words = words.split(' ');
    let turn: TurnId = words.next()?.parse().ok()?;
    let status = words.next()?.to_owned();
    let answer = words.next().filter(|answer| !answer.is_empty()).map(str::to_owned);
    Some(Acknowledged { turn, status, answer })
}

struct Killed {
    folder: tempfile::TempDir,
    history: History,
}

impl Killed {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), history: History::default() }
    }

    fn heard(&mut self, lines: Vec<String>) {
        self.history.acknowledged.extend(lines.iter().filter_map(|line| acknowledged(line)));
    }

    /// Finishes open turns in a last run, then checks everything.
    async fn check(mut self, story: &str) {
        let (lines, well) = Victim::start(&mut child(self.folder.path(), 1)).unwrap().wait().unwrap();
        assert!(well, "{story}: the last run failed");
        self.heard(lines);
        let ledger = fs::read_to_string(self.folder.path().join("ledger")).unwrap();
        self.history.effects = ledger
            .lines()
            .map(|line| {
                let (step, at) = line.split_once(' ').unwrap();
                Happened { step: step.to_owned(), at: Timestamp(at.parse().unwrap()) }
            })
            .collect();
        let db = open(self.folder.path()).await;
        let broken = self.history.check(&db, &key(), SystemClock.now()).await.unwrap();
        assert_eq!(broken, Vec::<String>::new(), "{story}");
        let sql = "SELECT COUNT(*) FROM turns WHERE ended_at IS NULL";
        assert_eq!(db.row::<(i64,)>(sql, args![]).await.unwrap(), Some((0,)), "{story}: a turn never ended");
        let sql = "SELECT COUNT(*) FROM steps WHERE state = 'done'";
        let (done,) = db.row::<(i64,)>(sql, args![]).await.unwrap().unwrap();
        assert!(
            done <= i64::try_from(self.history.effects.len()).unwrap(),
            "{story}: a refund that never was"
        );
        let sql = "SELECT id FROM steps WHERE state = 'compensated' ORDER BY id";
        let gone: Vec<(String,)> = db.rows(sql, args![]).await.unwrap();
        let undone = fs::read_to_string(self.folder.path().join("undone")).unwrap_or_default();
        let mut undone: Vec<&str> = undone.lines().collect();
        undone.sort_unstable();
        let gone: Vec<&str> = gone.iter().map(|(id,)| id.as_str()).collect();
        assert_eq!(gone, undone, "{story}: what is said to be taken back is so, once");
    }
}

#[tokio::test]
async fn a_process_that_ends_at_any_crash_point_does_every_refund_at_most_once_and_tells_no_lie() {
    let mut killed = Killed::new();
    for point in POINTS {
        for count in 1..=4 {
            // Every third turn is undone.
            let turns = if point.starts_with("undo.") { 12 } else { 4 };
            let command = &mut child(killed.folder.path(), turns);
            let (lines, well) = Victim::start_to_crash(command, point, count).unwrap().wait().unwrap();
            assert!(!well, "the process never came to `{point}` for the {count}th time");
            killed.heard(lines);
        }
    }
    killed.check("crash points").await;
}

#[tokio::test]
async fn a_process_that_is_killed_at_random_moments_does_every_refund_at_most_once_and_tells_no_lie() {
    let rounds = std::env::var("CARDEA_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(12_u64);
    let seed = std::env::var("CARDEA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    println!("seed {seed}, {rounds} kills");
    let (mut dice, mut killed) = (Dice::seeded(seed), Killed::new());
    for _ in 0..rounds {
        let mut victim = Victim::start(&mut child(killed.folder.path(), 1_000_000)).unwrap();
        let mut lines = Vec::new();
        for _ in 0..dice.below(12) {
            lines.extend(victim.until("ended "));
        }
        lines.extend(victim.kill().unwrap());
        killed.heard(lines);
    }
    killed.check(&format!("seed {seed}")).await;
}

/// Copies all files of a folder as they are.
fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

#[tokio::test]
async fn whenever_the_power_goes_what_was_acknowledged_is_on_the_disk_and_the_chain_is_whole() {
    let machine = match Machine::new() {
        Ok(machine) => machine,
        Err(why) => {
            println!("SKIPPED: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let (earlier, well) = Victim::start(&mut child(folder.path(), 3)).unwrap().wait().unwrap();
    assert!(well);
    let before = copied(folder.path());
    let (_, well) = Victim::start(machine.traced(&mut child(folder.path(), 45))).unwrap().wait().unwrap();
    assert!(well);
    let trace = machine.trace().unwrap();
    assert!(trace.syncs() > 100, "{} syncs in {} moments", trace.syncs(), trace.moments());
    let cuts = std::env::var("CARDEA_CUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(120_u64);
    let mut kept = 0;
    for seed in 1..=cuts {
        let (mut dice, after) = (Dice::seeded(seed), tempfile::tempdir().unwrap());
        let moment = dice.below(trace.moments());
        let said = trace.cut(moment, &mut dice, (before.path(), after.path())).unwrap();
        let told = earlier.iter().map(String::as_str).chain(said.lines());
        let history = History { acknowledged: told.filter_map(acknowledged).collect(), ..History::default() };
        let db = open(after.path()).await;
        let mut broken = history.check(&db, &key(), SystemClock.now()).await.unwrap();
        // Turns that were open at the power cut have not been resumed yet.
        broken.retain(|one| !one.starts_with("I8"));
        assert_eq!(
            broken,
            Vec::<String>::new(),
            "seed {seed}, the power went at {moment} of {}",
            trace.moments()
        );
        kept += history.acknowledged.len();
        db.close().await;
    }
    println!(
        "{cuts} power cuts among {} moments with {} syncs: {kept} ends of turns, all there",
        trace.moments(),
        trace.syncs()
    );
    assert!(kept > usize::try_from(cuts).unwrap() * 4);
}
