//! Two nodes over one PostgreSQL database: restarted one after the other, frozen, cut from the database. People use
//! both doors, repeat what was not answered with its key at the other one, and in the end the histories are checked.

use std::{
    collections::BTreeSet,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use cardea::{
    app::{App, Options},
    config::{Config, Environment},
    flow::resume_one,
    turn::Free,
};
use cardea_auth::VerifiedClaims;
use cardea_core::log::ChainKey;
use cardea_store::{Commit, Db, DbConfig, Jobs};
use cardea_testkit::{
    World,
    chaos::{ChaosProxy, Weather},
    kill::Victim,
    model::Act,
    postgres::Server,
    world::Seat,
};
use futures::future::join_all;
use serde_json::json;

use crate::{
    crowd::{Crowd, check, client::Saw},
    machine::up,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A database, or loud words that there is none here.
fn postgres() -> Option<(Server, String)> {
    let server = Server::start().inspect_err(|why| println!("SKIPPED: {why}")).ok()?;
    let database = server.fresh().expect("a database");
    Some((server, database))
}

async fn ended_well(server: Victim) {
    let ended = tokio::task::spawn_blocking(move || server.terminate());
    let (_, well) = ended.await.expect("a thread").expect("ended");
    assert!(well, "it did not stop in order");
}

fn signal(server: &Victim, name: &str) {
    let told = Command::new("kill").arg(name).arg(server.id().to_string()).status();
    assert!(told.expect("kill").success());
}

/// Waits until so many more refunds stand in the shop's ledger: work is being done.
async fn work_is_done(crowd: &Crowd, more: usize) {
    let before = crowd.house.shop().paid().await.len();
    let start = Instant::now();
    while crowd.house.shop().paid().await.len() < before + more {
        assert!(start.elapsed() < PATIENCE, "nothing goes on; see {}", crowd.house.log_file().display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn nothing_is_broken(crowd: &Crowd, saw: &Saw, servers: Vec<Victim>) {
    check::settled(&crowd.house, saw).await;
    for server in servers {
        ended_well(server).await;
    }
    let broken = check::histories(crowd, saw).await;
    println!("{}", check::told(saw, &[], crowd).await);
    assert_eq!(broken, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_are_restarted_in_turn_fail_no_request_that_has_a_key() {
    let Some((_postgres, database)) = postgres() else { return };
    let mut crowd = Crowd::gather(Some(database)).await;
    let house = Arc::clone(&crowd.house);
    let second = Seat::named("second");
    crowd.begin(17, &[house.node(), &second]);
    let (mut one, mut two) = (up(house.command()).await, up(house.command_of(&second)).await);
    crowd.up.send_modify(|starts| *starts += 1);
    for _ in 0..2 {
        work_is_done(&crowd, 4).await;
        ended_well(one).await;
        work_is_done(&crowd, 2).await;
        one = up(house.command()).await;
        ended_well(two).await;
        work_is_done(&crowd, 2).await;
        two = up(house.command_of(&second)).await;
    }
    let saw = crowd.rest().await;
    assert_eq!(saw.unknown, 0, "an orderly end leaves nothing that nobody knows of");
    nothing_is_broken(&crowd, &saw, vec![one, two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_frozen_writes_nothing_when_it_wakes_and_its_turns_were_ended_by_the_other() {
    let Some((_postgres, database)) = postgres() else { return };
    let mut crowd = Crowd::gather(Some(database)).await;
    let house = Arc::clone(&crowd.house);
    let second = Seat::named("second");
    crowd.begin(18, &[house.node(), &second]);
    let (one, two) = (up(house.command()).await, up(house.command_of(&second)).await);
    crowd.up.send_modify(|starts| *starts += 1);
    work_is_done(&crowd, 4).await;
    signal(&one, "-STOP");
    // Longer than the lease of a node: the other one takes its turns.
    tokio::time::sleep(Duration::from_secs(14)).await;
    signal(&one, "-CONT");
    work_is_done(&crowd, 4).await;
    let saw = crowd.rest().await;
    nothing_is_broken(&crowd, &saw, vec![one, two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_from_the_database_refuses_quickly_and_the_other_goes_on() {
    let Some((postgres, database)) = postgres() else { return };
    let jobs = Jobs::new();
    let proxy = ChaosProxy::start(&jobs, ([127, 0, 0, 1], postgres.port()).into()).await.unwrap();
    let through = database.replace(&postgres.port().to_string(), &proxy.address().port().to_string());
    let mut crowd = Crowd::gather(Some(database)).await;
    let house = Arc::clone(&crowd.house);
    let second = Seat::named("second");
    crowd.begin(19, &[house.node(), &second]);
    let mut behind = house.command_of(&second);
    behind.env("CARDEA_DB__URL", through);
    let (one, two) = (up(house.command()).await, up(behind).await);
    crowd.up.send_modify(|starts| *starts += 1);
    work_is_done(&crowd, 3).await;
    let ann = house.user_of(&second, "ann");
    proxy.set(Weather::Refuse);
    let asked = Instant::now();
    let refused = ann.post("/api/v1/turns", &json!({ "agent": "support", "message": "Hello?" })).await;
    assert_eq!((refused.status, refused.at("/code")), (503, "store_unavailable"), "{}", refused.text);
    assert!(!refused.header("retry-after").is_empty(), "{:?}", refused.headers);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    drop(ann.get("/healthz").await.expect(200));
    // Until the other node has taken over what this one had in hand.
    let silent = Instant::now();
    while silent.elapsed() < Duration::from_secs(13) {
        work_is_done(&crowd, 1).await;
    }
    proxy.set(Weather::BlackHole);
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy.set(Weather::Fair);
    let back = Instant::now();
    while ann.get("/api/v1/conversations").await.status != 200 {
        assert!(back.elapsed() < Duration::from_secs(15), "it does not come back by itself");
    }
    work_is_done(&crowd, 3).await;
    let saw = crowd.rest().await;
    nothing_is_broken(&crowd, &saw, vec![one, two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_database_has_gone_silent_says_so_and_can_be_stopped() {
    let Some((postgres, database)) = postgres() else { return };
    let jobs = Jobs::new();
    let proxy = ChaosProxy::start(&jobs, ([127, 0, 0, 1], postgres.port()).into()).await.unwrap();
    let through = database.replace(&postgres.port().to_string(), &proxy.address().port().to_string());
    let crowd = Crowd::gather(Some(database)).await;
    let mut command = crowd.house.command();
    command.env("CARDEA_DB__URL", through).env("CARDEA_SERVER__DRAIN", "5s");
    let server = up(command).await;
    let ann = crowd.house.user("ann");
    drop(ann.get("/readyz").await.expect(200));
    proxy.set(Weather::BlackHole);
    let told = ann.get("/readyz").await;
    assert_eq!((told.status, told.text.as_str()), (503, "the database does not answer\n"));
    let stopped = Instant::now();
    ended_well(server).await;
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_short_cuts_of_the_wire_to_the_database_lose_nothing_and_double_nothing() {
    let Some((postgres, database)) = postgres() else { return };
    let jobs = Jobs::new();
    let proxy = ChaosProxy::start(&jobs, ([127, 0, 0, 1], postgres.port()).into()).await.unwrap();
    let through = database.replace(&postgres.port().to_string(), &proxy.address().port().to_string());
    let mut crowd = Crowd::gather(Some(database)).await;
    let house = Arc::clone(&crowd.house);
    crowd.begin(9, &[house.node()]);
    let mut command = house.command();
    command.env("CARDEA_DB__URL", through);
    let server = up(command).await;
    crowd.up.send_modify(|starts| *starts += 1);
    work_is_done(&crowd, 2).await;
    for cut in 0..100_u64 {
        // Every second one breaks in the middle of an answer.
        proxy.set(if cut % 2 == 0 { Weather::Refuse } else { Weather::CutAfter(cut * 37 % 2_000) });
        tokio::time::sleep(Duration::from_millis(30 + cut % 7 * 20)).await;
        proxy.set(Weather::Fair);
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    work_is_done(&crowd, 3).await;
    let saw = crowd.rest().await;
    assert!(saw.later + saw.lost > 10, "the wire was never missed: {} {}", saw.later, saw.lost);
    nothing_is_broken(&crowd, &saw, vec![server]).await;
}

/// Waits until this returns a row.
async fn row<T: cardea_store::FromRow>(db: &Db, sql: &'static str) -> T {
    let start = Instant::now();
    loop {
        if let Ok(Some(row)) = db.row(sql, Vec::new()).await {
            return row;
        }
        assert!(start.elapsed() < PATIENCE, "{sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_whose_commit_was_written_and_never_acknowledged_is_paid_once() {
    let Some((postgres, database)) = postgres() else { return };
    let jobs = Jobs::new();
    let proxy = ChaosProxy::start(&jobs, ([127, 0, 0, 1], postgres.port()).into()).await.unwrap();
    let through = database.replace(&postgres.port().to_string(), &proxy.address().port().to_string());
    // The call that is refused keeps the check from comparing, so the first commit with its usage is the one of its end.
    let script = ["Page 5.", "", "Page 7."].map(|text| match text {
        "" => Act::call("ops__nothing", json!({})),
        text => Act::say(text),
    });
    let plan = World::plan().model(script).set("CARDEA_DB__URL", &through);
    let plan = plan.set("CARDEA_CACHE__CHECK__SHARE", "1");
    let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "1000000000").start().await;
    let direct = Db::open(DbConfig::at(&database), ChainKey::new(&[1; 32])).await.unwrap();
    for sql in [
        "CREATE TABLE gate AS SELECT 1 AS shut",
        "CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN WHILE EXISTS (SELECT 1 FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NULL; END'",
        "CREATE CONSTRAINT TRIGGER gate AFTER UPDATE ON turns DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
         WHEN (NEW.kind = 'check' AND NEW.output_tokens > 0) EXECUTE FUNCTION waits()",
    ] {
        direct.commit(Commit::new().run(sql, Vec::new())).await.unwrap();
    }
    let ann = world.user("support");
    for question in ["How do I reset my password?", "How can I reset my password?"] {
        ann.asks(question).await.answers("Page 5.").await;
    }
    row::<(i64,)>(&direct, "SELECT CAST(pid AS BIGINT) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        .await;
    proxy.set(Weather::LoseAnswers);
    direct.commit(Commit::new().run("DELETE FROM gate", Vec::new())).await.unwrap();
    while world.app.jobs.names().contains(&"cache check") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.set(Weather::Fair);
    let sql = "SELECT id, agent FROM turns WHERE kind = 'check' AND output_tokens > 0 AND ended_at IS NULL";
    let (id, agent) = row(&direct, sql).await;
    let free = Free { id, agent };
    let start = Instant::now();
    while let Err(error) = resume_one(&world.app, &free).await {
        assert!(start.elapsed() < PATIENCE, "{error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    row::<(i64,)>(&direct, "SELECT ended_at FROM turns WHERE kind = 'check' AND ended_at IS NOT NULL").await;
    let sql = "SELECT CAST(SUM(spent) AS BIGINT) FROM budgets WHERE unit = 'tokens' HAVING SUM(reserved) = 0";
    let (paid,): (i64,) = row(&direct, sql).await;
    let sql = "SELECT CAST(SUM(input_tokens + output_tokens) AS BIGINT) FROM turns";
    assert_eq!((paid,), row(&direct, sql).await, "each token is paid once");
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_at_two_nodes_at_once_is_one_turn_and_one_payment() {
    let Some((_postgres, database)) = postgres() else { return };
    let crowd = Crowd::gather(Some(database)).await;
    let (house, second) = (Arc::clone(&crowd.house), Seat::named("second"));
    let servers = vec![up(house.command()).await, up(house.command_of(&second)).await];
    let doors = [house.user("ann"), house.user_of(&second, "ann")];
    for round in 0..4 {
        let message = format!("Please refund 2.0{round} euros for order 17");
        let (key, body) =
            (format!("key-{round}"), json!({ "agent": "support", "message": message }).to_string());
        let headers = [("idempotency-key", key.as_str())];
        let ask = |n: usize| doors[n % 2].send("POST", "/api/v1/turns", &headers, &body);
        let replies = join_all((0..30).map(ask)).await;
        let turns: BTreeSet<&str> =
            replies.iter().filter(|one| one.status == 200).map(|one| one.at("/turn")).collect();
        let told: BTreeSet<String> = replies.iter().map(|one| one.text.chars().take(160).collect()).collect();
        assert_eq!(turns.len(), 1, "one turn: {told:?}");
        let later = replies.iter().filter(|one| one.status != 200);
        later.for_each(|one| assert_eq!(one.at("/code"), "in_progress", "{}", one.text));
        let other = json!({ "agent": "support", "message": "Something else." }).to_string();
        let reused =
            doors[round % 2].send("POST", "/api/v1/turns", &[("idempotency-key", &key)], &other).await;
        assert_eq!((reused.status, reused.at("/code")), (422, "idempotency_key_reused"), "{}", reused.text);
        assert_eq!(house.shop().refunds(17).await, i64::try_from(round).unwrap() + 1);
    }
    nothing_is_broken(&crowd, &Saw::default(), servers).await;
}

/// Two nodes inside this process: what they decide about at the same instant.
async fn two_apps(crowd: &Crowd) -> Vec<App> {
    let mut apps = Vec::new();
    for node in ["third", "fourth"] {
        let variables = [("CARDEA_DB__NODE".to_owned(), node.to_owned())];
        let file = crowd.house.folder().join("cardea.toml");
        let loaded = Config::load(&file, &Environment::from_iter(variables)).unwrap();
        let app = App::build(loaded, Options::default()).await.unwrap();
        app.start().await.unwrap();
        apps.push(app);
    }
    apps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_two_nodes_share_is_not_overspent_and_a_dead_nodes_share_comes_back() {
    let Some((_postgres, database)) = postgres() else { return };
    let budget = "[limits.user_budget]\ntokens = 60000\n";
    let crowd = Crowd::gather_with(Some(database), |usual| {
        usual.replace("[limits.user_budget]\ntokens = 1000000000\n", budget)
    });
    let crowd = crowd.await;
    let apps = two_apps(&crowd).await;
    let asked = (0..40).map(|n| {
        let app = &apps[n % 2];
        let ann =
            app.auth.embedded(VerifiedClaims::new("acme", "ann").role("support").scope("read")).unwrap();
        async move {
            app.agent("support").chat(&ann, None, &format!("What is the status of order {}?", n + 1)).await
        }
    });
    let came = join_all(asked).await;
    let answered = came.iter().filter(|one| one.is_ok()).count();
    let refused: Vec<&str> =
        came.iter().filter_map(|one| one.as_ref().err()).map(|one| one.code().name()).collect();
    assert!(answered > 0 && refused.contains(&"budget_spent"), "{answered} of 40 were let in: {refused:?}");
    let sql = "SELECT spent, reserved FROM budgets WHERE unit = 'tokens' AND user_id <> ''";
    let held = || async { apps[0].db.rows::<(i64, i64)>(sql, Vec::new()).await.unwrap() };
    let (spent, reserved) = held().await[0];
    assert!(spent <= 60_000 && reserved == 0, "{spent} spent, {reserved} held");
    for app in apps {
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_pay_out_of_the_same_budgets_do_not_lock_each_other_out() {
    let Some((_postgres, database)) = postgres() else { return };
    let crowd = Crowd::gather(Some(database)).await;
    let apps = two_apps(&crowd).await;
    let asked =
        (0..200).map(|n| {
            let app = &apps[n % 2];
            let (tenant, user) = (["acme", "other"][n / 2 % 2], format!("u{}", n / 4 % 5));
            let claims = VerifiedClaims::new(tenant, user.as_str()).role("support").scope("read");
            let who = app.auth.embedded(claims).unwrap();
            async move {
                app.agent("support").chat(&who, None, &format!("What is the status of order {n}?")).await
            }
        });
    let failed: Vec<_> = join_all(asked).await.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} of 200, as {:?}", failed.len(), failed.first());
    tokio::time::sleep(Duration::from_secs(1)).await; // until PostgreSQL has counted
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks: Option<(i64,)> = apps[0].db.row(sql, Vec::new()).await.unwrap();
    for app in apps {
        app.stop().await;
    }
    assert_eq!(deadlocks, Some((0,)));
}
