//! The machine fails under the server: its disk, its clock, its descriptors, whoever reads its log. The server is a
//! process of its own, people go on working, and in the end the histories are checked as after a kill.

use std::{
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use cardea_store::crash::POINTS;
use cardea_testkit::{
    kill::Victim,
    machine::{EIO, ENOSPC, Machine, Wrong, used},
    model::{Act, FakeModel},
    world::{House, Inside, User},
};
use serde_json::{Value, json};

use crate::crowd::{Crowd, PEOPLE, check};

/// Long enough for a loaded machine, and shorter than a test may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A machine to fail, or loud words that there is none here.
fn machine() -> Option<Machine> {
    Machine::new().inspect_err(|why| println!("SKIPPED: {why}")).ok()
}

pub(crate) async fn up(mut command: Command) -> Victim {
    let started = tokio::task::spawn_blocking(move || {
        let mut victim = Victim::start(&mut command).expect("the process starts");
        let listens = victim.until("cardea listens").is_some();
        (victim, listens)
    });
    let (victim, listens) = started.await.expect("a thread");
    assert!(listens, "the server did not come up");
    victim
}

/// A server on this machine, with people in front of it.
pub(crate) async fn working(seed: u64, command: impl FnOnce(&House) -> Command) -> (Crowd, Victim) {
    let mut crowd = Crowd::gather(None).await;
    let house = Arc::clone(&crowd.house);
    crowd.begin(seed, &[house.node()]);
    let server = up(command(&house)).await;
    crowd.up.send_modify(|starts| *starts += 1);
    (crowd, server)
}

/// Waits until so many more refunds stand in the shop's ledger: work is being done. It looks after each answer that a
/// person got.
pub(crate) async fn work_is_done(crowd: &Crowd, more: usize) {
    let mut answered = crowd.answered.subscribe();
    let before = crowd.house.shop().paid().await.len();
    let done = async {
        while crowd.house.shop().paid().await.len() < before + more {
            answered.changed().await.expect("the crowd is there");
        }
    };
    if tokio::time::timeout(PATIENCE, done).await.is_err() {
        let log = std::fs::read_to_string(crowd.house.log_file()).unwrap_or_default();
        panic!("nothing goes on:\n{}", log.lines().rev().take(8).collect::<Vec<_>>().join("\n"));
    }
}

/// An orderly end, and no invariant broken.
pub(crate) async fn nothing_is_broken(mut crowd: Crowd, server: Victim) {
    let saw = crowd.rest().await;
    check::settled(&crowd.house, &saw).await;
    let (_, well) =
        tokio::task::spawn_blocking(move || server.terminate()).await.expect("a thread").expect("ended");
    assert!(well, "it did not stop in order");
    let broken = check::histories(&crowd, &saw).await;
    println!("{}", check::told(&saw, &[], &crowd).await);
    if !broken.is_empty() {
        let log = std::fs::read_to_string(crowd.house.log_file()).unwrap_or_default();
        let loud = |line: &&str| line.contains("\"ERROR\"") || line.contains("\"WARN\"");
        log.lines().filter(loud).for_each(|line| println!("{line}"));
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_ends_the_process_and_nothing_that_was_said_is_lost() {
    let Some(machine) = machine() else { return };
    let under = |house: &House| {
        let mut command = house.command();
        machine.under(&mut command);
        command
    };
    let (crowd, server) = working(6, under).await;
    work_is_done(&crowd, 5).await;
    machine.set(Wrong::Sync, EIO).unwrap();
    let pid = server.id().to_string();
    let ended = tokio::task::spawn_blocking(move || server.ended());
    let ended = tokio::time::timeout(PATIENCE, ended).await.unwrap_or_else(|_| {
        drop(Command::new("kill").args(["-9", &pid]).status()); // or this test would wait for it
        let log = std::fs::read_to_string(crowd.house.log_file()).unwrap_or_default();
        panic!("it goes on without a disk:\n{}", log.lines().rev().take(12).collect::<Vec<_>>().join("\n"))
    });
    let status = ended.expect("a thread").expect("waited for");
    assert!(
        status.code().is_some_and(|code| code != 0),
        "it must end by itself, and not as if all were well: {status}"
    );
    let log = std::fs::read_to_string(crowd.house.log_file()).unwrap();
    assert!(log.contains("syncing failed"), "nobody is told why:\n{log}");
    machine.set(Wrong::Sync, 0).unwrap();
    let server = up(under(&crowd.house)).await;
    crowd.up.send_modify(|starts| *starts += 1);
    work_is_done(&crowd, 5).await;
    nothing_is_broken(crowd, server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_an_answer_when_the_disk_fails_is_told_to_come_again() {
    let Some(machine) = machine() else { return };
    let model = FakeModel::start([Act::Silent]).await.unwrap();
    let config = format!(
        "[models.providers.rehearsal]\nkind = \"rehearsal\"\n[models.aliases.rehearsal]\nprovider = \"rehearsal\"\n\
         model = \"rehearsal\"\n[models.providers.fake]\nkind = \"openai\"\nbase_url = \"{}\"\n\
         [models.aliases.silent]\nprovider = \"fake\"\nmodel = \"fake-1\"\n",
        model.base_url()
    );
    let inside = Inside { config, allow: vec![model.target()], ..Inside::default() };
    let house = House::build(Path::new(env!("CARGO_BIN_EXE_cardea")), inside, PEOPLE).await;
    let mut command = house.command();
    machine.under(&mut command);
    let server = up(command).await;
    let (ann, cat) = (house.user("ann"), house.user("cat"));
    let question =
        json!({ "model": "silent", "messages": [{ "role": "user", "content": "Are you there?" }] })
            .to_string();
    let waits = ann.tries("POST", "/v1/chat/completions", &[], &question);
    let fails = async {
        while model.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        machine.set(Wrong::Sync, EIO).unwrap();
        let asked = json!({ "agent": "support", "message": "What is the status of order 21?" }).to_string();
        drop(cat.tries("POST", "/api/v1/turns", &[], &asked).await);
    };
    let (told, ()) = tokio::join!(waits, fails);
    let told = told.expect("an answer before the end");
    assert_eq!((told.status, told.at("/error/code")), (503, "draining"), "{}", told.text);
    let status = tokio::task::spawn_blocking(move || server.ended()).await.unwrap().unwrap();
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_half_a_second_for_a_sync_makes_everything_slow_and_nothing_wrong() {
    let Some(machine) = machine() else { return };
    let under = |house: &House| {
        let mut command = house.command();
        machine.under(&mut command);
        command
    };
    let (crowd, server) = working(7, under).await;
    work_is_done(&crowd, 3).await;
    machine.set(Wrong::SlowSync, 500).unwrap();
    let before = used(server.id()).unwrap();
    let (start, ann) = (Instant::now(), crowd.house.user("ann"));
    while start.elapsed() < Duration::from_secs(6) {
        let asked = Instant::now();
        drop(ann.get("/healthz").await.expect(200));
        assert!(asked.elapsed() < Duration::from_secs(2), "the door itself waits for the disk");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let grown = used(server.id()).unwrap().resident_kib.saturating_sub(before.resident_kib);
    assert!(grown < 64 << 10, "{grown} KiB more while the disk was slow");
    machine.set(Wrong::SlowSync, 0).unwrap();
    work_is_done(&crowd, 3).await;
    nothing_is_broken(crowd, server).await;
}

/// Routes that write, if only that they refused: method, path in the description, what its `{id}` is, query and body.
/// The conversation is the one that there is.
const WRITES: [(&str, &str, &str, &str, &str); 11] = [
    ("GET", "/api/v1/keys", "", "", ""),
    ("POST", "/api/v1/keys", "", "", r#"{"name":"robot"}"#),
    ("DELETE", "/api/v1/keys/{id}", "key_00000000000000000000000000000001", "", ""),
    ("GET", "/api/v1/revocations", "", "", ""),
    ("POST", "/api/v1/revocations", "", "", r#"{"user":"bob"}"#),
    ("DELETE", "/api/v1/people/{id}", "bob", "", ""),
    ("DELETE", "/api/v1/conversations/{id}", "CONVERSATION", "", ""),
    ("GET", "/api/v1/cache", "", "", ""),
    ("DELETE", "/api/v1/cache", "", "?all=true", ""),
    ("GET", "/api/v1/tools/changes", "", "", ""),
    ("GET", "/api/v1/audit", "", "", ""),
];

/// Every one of them says that there is no room, and the description of the API says that it may.
async fn are_refused_as_described(ann: &User, conversation: &str) {
    let description: Value = serde_json::from_str(include_str!("../../src/api/openapi.json")).unwrap();
    for (method, path, id, query, body) in WRITES {
        let real = path.replace("{id}", &id.replace("CONVERSATION", conversation));
        let refused = ann.send(method, &format!("{real}{query}"), &[], body).await;
        assert_eq!(
            (refused.status, refused.at("/code")),
            (507, "store_full"),
            "{method} {path}: {}",
            refused.text
        );
        let described = &description["paths"][path][method.to_lowercase()]["responses"]["507"];
        assert_eq!(*described, json!({ "$ref": "#/components/responses/Full" }), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_on_its_disk_reads_on_refuses_to_write_and_is_back_by_itself() {
    let Some(machine) = machine() else { return };
    let crowd = Crowd::gather(None).await;
    let mut command = crowd.house.command();
    let server = up({
        machine.under(&mut command);
        command
    })
    .await;
    let ann = crowd.house.user("ann");
    let refund = json!({ "agent": "support", "message": "Please refund 1.20 euros for order 3" });
    let first = ann.post("/api/v1/turns", &refund).await.expect(200);
    let paid = crowd.house.shop().paid().await.len();
    machine.set(Wrong::Write, ENOSPC).unwrap();
    are_refused_as_described(&ann, first.at("/conversation")).await;
    for _ in 0..5 {
        let asked = Instant::now();
        let refused = ann.post("/api/v1/turns", &refund).await;
        assert_eq!((refused.status, refused.at("/code")), (507, "store_full"), "{}", refused.text);
        assert!(!refused.header("retry-after").is_empty());
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        drop(ann.get("/api/v1/conversations").await.expect(200));
        drop(ann.get("/healthz").await.expect(200));
    }
    assert_eq!(crowd.house.shop().paid().await.len(), paid, "what cannot be written down is not done");
    machine.set(Wrong::Write, 0).unwrap();
    let start = Instant::now();
    while ann.post("/api/v1/turns", &refund).await.status != 200 {
        assert!(start.elapsed() < Duration::from_secs(5), "there is room again, and it does not notice");
    }
    assert_eq!(crowd.house.shop().paid().await.len(), paid + 1);
    nothing_is_broken(crowd, server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_jumps_under_load_breaks_nothing_and_lets_no_old_token_in() {
    let Some(machine) = machine() else { return };
    let under = |house: &House| {
        let mut command = house.command();
        machine.under(&mut command);
        command
    };
    let (mut crowd, server) = working(16, under).await;
    work_is_done(&crowd, 3).await;
    // By less than what a token may be off; then by so much that the shop, whose clock is right, takes none.
    for seconds in [20, 5, 25, 0] {
        machine.set(Wrong::Clock, seconds).unwrap();
        work_is_done(&crowd, 2).await;
    }
    for seconds in [3_600, 60, 7_200, 3_600, 600] {
        machine.set(Wrong::Clock, seconds).unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await; // so long the clock is wrong; nothing is waited for
    }
    machine.set(Wrong::Clock, 0).unwrap();
    work_is_done(&crowd, 3).await;
    let saw = crowd.rest().await;
    let ann = crowd.house.user("ann");
    machine.set(Wrong::Clock, 30 * 86_400).unwrap();
    drop(ann.get("/api/v1/agents").await.expect(401));
    machine.set(Wrong::Clock, -3_600).unwrap();
    drop(ann.get("/api/v1/agents").await.expect(401));
    machine.set(Wrong::Clock, 0).unwrap();
    drop(ann.get("/api/v1/agents").await.expect(200));
    check::settled(&crowd.house, &saw).await;
    let (_, well) =
        tokio::task::spawn_blocking(move || server.terminate()).await.expect("a thread").expect("ended");
    assert!(well, "it did not stop in order");
    let mut broken = check::histories(&crowd, &saw).await;
    // The shop's clock did not jump: what it did may seem to come before its announcement.
    broken.retain(|one| !one.contains("happened before its intent"));
    // While the server's clock is an hour off the shop takes no token of it, for an undo neither: that is told, and stays.
    broken.retain(|one| !one.starts_with("F4: each purchase failed"));
    assert_eq!(broken, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_at_any_place_of_a_commit_fails_its_request_and_breaks_nothing() {
    for (at, point) in POINTS.iter().filter(|point| point.starts_with("commit.")).enumerate() {
        // WHY: more than the commits of one turn, or the same commit of each turn could fail for ever.
        let every = [7, 13, 11, 9][at % 4];
        let failing = |house: &House| {
            let mut command = house.command();
            command.env("FAIL_AT", format!("{point}:{every}"));
            command
        };
        let (mut crowd, server) = working(30 + at as u64, failing).await;
        work_is_done(&crowd, 6).await;
        let saw = crowd.rest().await;
        assert!(
            saw.later > 0 || *point == "commit.unanswered" || *point == "commit.answered",
            "`{point}` hurt nobody"
        );
        drop(
            tokio::task::spawn_blocking(move || server.terminate()).await.expect("a thread").expect("ended"),
        );
        // The faults are over: what they have left is put in order by itself.
        let server = up(crowd.house.command()).await;
        check::settled(&crowd.house, &saw).await;
        drop(
            tokio::task::spawn_blocking(move || server.terminate()).await.expect("a thread").expect("ended"),
        );
        let broken = check::histories(&crowd, &saw).await;
        println!("{point}: {}", check::told(&saw, &[], &crowd).await);
        assert_eq!(broken, Vec::<String>::new(), "an error at `{point}`, every {every}th time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_descriptors_does_not_spin_and_is_back_when_there_are_some() {
    let crowd = Crowd::gather(None).await;
    let serve = crowd.house.command();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 96; exec \"$0\" \"$@\""]).arg(serve.get_program()).args(serve.get_args());
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let log = std::fs::File::create(crowd.house.log_file()).unwrap();
    limited.stderr(log).env("TOKIO_WORKER_THREADS", "1");
    let server = up(limited).await;
    let ann = crowd.house.user("ann");
    let order = json!({ "agent": "support", "message": "What is the status of order 17?" });
    let first = ann.post("/api/v1/turns", &order).await.expect(200);
    let log = std::fs::read_to_string(crowd.house.log_file()).unwrap();
    assert!(first.at("/answer").contains("delivered"), "{}\n{log}", first.text);
    let held: Vec<TcpStream> =
        (0..160).filter_map(|_| TcpStream::connect(crowd.house.node().address()).ok()).collect();
    let start = Instant::now();
    while used(server.id()).unwrap().descriptors < 94 {
        assert!(start.elapsed() < PATIENCE, "it has descriptors left: {:?}", used(server.id()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = used(server.id()).unwrap().cpu_ms;
    tokio::time::sleep(Duration::from_secs(2)).await; // the time over which its work is measured
    let spent = used(server.id()).unwrap().cpu_ms - before;
    assert!(spent < 600, "{spent} ms of work in 2 s, for nothing");
    drop(held);
    let start = Instant::now();
    while ann.tries("GET", "/healthz", &[], "").await.map_or(0, |reply| reply.status) != 200 {
        assert!(start.elapsed() < PATIENCE, "there are descriptors again, and it does not notice");
    }
    let answered = ann.post("/api/v1/turns", &order).await.expect(200);
    assert!(answered.at("/answer").contains("delivered"), "{}", answered.text);
    nothing_is_broken(crowd, server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_holds_no_request_up() {
    let crowd = Crowd::gather(None).await;
    let mut command = crowd.house.command();
    command.stderr(Stdio::piped()).env("CARDEA_LOG__LEVEL", "info,cardea::span=debug");
    let server = up(command).await;
    let ann = crowd.house.user("ann");
    // A pipe holds 64 KiB; each request tells about one.
    for n in 1..=200 {
        let path = format!("/api/v1/conversations?limit={n}");
        let asked = tokio::time::timeout(Duration::from_secs(10), ann.get(&path)).await;
        drop(asked.unwrap_or_else(|_| panic!("request {n} waits for somebody to read the log")).expect(200));
    }
    nothing_is_broken(crowd, server).await;
}
