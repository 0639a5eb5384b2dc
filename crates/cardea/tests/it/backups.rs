//! Copies of the database that are taken while people work, and an installation that is set up anew from one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cardea_core::time::Millis;
use cardea_store::{Db, DbConfig, db::args};
use cardea_testkit::{
    World,
    world::{House, TENANT},
};
use serde_json::{Value, json};

use crate::machine::{nothing_is_broken, up, work_is_done, working};

/// The program with these words over this folder.
fn cardea(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARDEA_")) {
        command.env_remove(name);
    }
    command.arg("--config").arg(folder.join("cardea.toml")).args(words);
    command
}

async fn run(folder: &Path, words: &[&str]) -> Output {
    let mut command = cardea(folder, words);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Turns whose end was told.
async fn acknowledged(house: &House) -> Vec<String> {
    let ann = house.user("ann");
    let mut turns = Vec::new();
    for order in [3, 5, 17] {
        let asked = ann.asks(&format!("What is the status of order {order}?")).await;
        assert_eq!(asked.reply.status, 200, "{}", asked.reply.text);
        turns.push(asked.turn().to_owned());
    }
    turns
}

/// The chain holds up to the checkpoints of its copy, and what was told before is there.
async fn is_whole(house: &House, copy: &Path, turns: &[String]) {
    let (database, points) = (copy.join("cardea.db"), copy.join("audit.checkpoints"));
    let words = [
        "audit",
        "verify",
        "--database",
        database.to_str().unwrap(),
        "--checkpoints",
        points.to_str().unwrap(),
    ];
    let proved = run(house.folder(), &words).await;
    assert!(proved.status.success(), "{}", told(&proved));
    let db =
        Db::open(DbConfig::at(format!("sqlite:{}", database.display())), house.key().clone()).await.unwrap();
    for turn in turns {
        let row: Option<(String, i64)> =
            db.row("SELECT state, receipt IS NOT NULL FROM turns WHERE id = $1", args![turn]).await.unwrap();
        assert_eq!(row, Some(("answered".to_owned(), 1)), "{turn} was told before the copy was begun");
    }
    let torn: Vec<(String,)> = db
        .rows(
            "SELECT s.id FROM steps s WHERE s.effect <> 'read' AND NOT EXISTS (SELECT 1 FROM audit a \
             WHERE CAST(a.body AS TEXT) LIKE '%' || s.id || '%')",
            args![],
        )
        .await
        .unwrap();
    assert_eq!(torn, [], "steps of which the audit log says nothing");
    db.close().await;
}

/// The folder of another machine: what stands in version control, the copy, and the keys that were kept apart.
fn elsewhere(house: &House, copy: &Path) -> tempfile::TempDir {
    let new = tempfile::tempdir().unwrap();
    let (from, to) = (house.folder(), new.path());
    for folder in ["agents", "policies", "connectors", "data/people"] {
        for file in fs::read_dir(from.join(folder)).into_iter().flatten().flatten() {
            fs::create_dir_all(to.join(folder)).unwrap();
            fs::copy(file.path(), to.join(folder).join(file.file_name())).unwrap();
        }
    }
    fs::create_dir_all(to.join("data")).unwrap();
    let pairs: [(PathBuf, &str); 4] = [
        (from.join("cardea.toml"), "cardea.toml"),
        (from.join("data/root.key"), "data/root.key"),
        (copy.join("cardea.db"), "data/cardea.db"),
        (copy.join("audit.checkpoints"), "data/audit.checkpoints"),
    ];
    for (file, name) in pairs {
        fs::copy(file, to.join(name)).unwrap();
    }
    new
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_taken_while_people_work_is_whole_and_serves_elsewhere() {
    let (crowd, server) = working(24, House::command).await;
    let house = std::sync::Arc::clone(&crowd.house);
    let turns = acknowledged(&house).await;
    let copies = tempfile::tempdir().unwrap();
    let mut taken = Vec::new();
    for number in 0..3 {
        work_is_done(&crowd, 3).await;
        let copy = copies.path().join(number.to_string());
        let made = run(house.folder(), &["backup", copy.to_str().unwrap()]).await;
        assert!(made.status.success(), "{}", told(&made));
        taken.push(copy);
    }
    let again = run(house.folder(), &["backup", taken[0].to_str().unwrap()]).await;
    assert!(!again.status.success() && told(&again).contains("nothing is overwritten"), "{}", told(&again));
    work_is_done(&crowd, 3).await;
    nothing_is_broken(crowd, server).await;
    for copy in &taken {
        is_whole(&house, copy, &turns).await;
    }

    let new = elsewhere(&house, &taken[2]);
    let server = up(cardea(new.path(), &["serve"])).await;
    let ann = house.user("ann");
    for turn in &turns {
        let found = ann.get(&format!("/api/v1/turns/{turn}")).await.expect(200);
        assert_eq!(found.at("/status"), "answered", "{}", found.text);
    }
    drop(ann.asks("What is the status of order 9?").await.answers("order").await);
    let (_, well) = tokio::task::spawn_blocking(move || server.terminate()).await.unwrap().unwrap();
    assert!(well, "it did not stop in order");
    let proved = run(new.path(), &["audit", "verify"]).await;
    assert!(proved.status.success(), "{}", told(&proved));

    // The keys belong to it: with another root key nothing is served, and it says why.
    let key = new.path().join("data/root.key");
    fs::remove_file(&key).unwrap();
    let refused = run(new.path(), &["serve"]).await;
    assert!(!refused.status.success(), "{}", told(&refused));
    assert!(told(&refused).contains("root key"), "{}", told(&refused));
    assert!(!key.exists(), "and no other key is left in the place of the right one");
    let looked = run(new.path(), &["doctor"]).await;
    assert!(told(&looked).contains("root key") && told(&looked).contains("bring back"), "{}", told(&looked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_one_data_folder_is_refused_and_the_first_goes_on() {
    let (crowd, server) = working(4, House::command).await;
    let house = std::sync::Arc::clone(&crowd.house);
    let second = run(house.folder(), &["serve"]).await;
    assert!(!second.status.success(), "{}", told(&second));
    assert!(told(&second).contains("Another server already works with"), "{}", told(&second));
    // Nor one with a data folder of its own and the same database.
    let data = tempfile::tempdir().unwrap();
    fs::copy(house.folder().join("data/root.key"), data.path().join("root.key")).unwrap();
    let mut same = cardea(house.folder(), &["serve"]);
    same.env("CARDEA_DATA__DIR", data.path());
    same.env("CARDEA_DB__URL", format!("sqlite:{}", house.folder().join("data/cardea.db").display()));
    let third = tokio::task::spawn_blocking(move || same.output().unwrap()).await.unwrap();
    assert!(told(&third).contains("Another server already works with"), "{}", told(&third));
    work_is_done(&crowd, 3).await;
    nothing_is_broken(crowd, server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_key_that_is_changed_while_people_work_fails_nobody_and_leaves_nothing_under_the_old_one() {
    let (crowd, server) = working(26, House::command).await;
    let house = std::sync::Arc::clone(&crowd.house);
    work_is_done(&crowd, 3).await;
    let added = run(house.folder(), &["vault", "add-key"]).await;
    assert!(added.status.success(), "{}", told(&added));
    work_is_done(&crowd, 3).await; // the running server knows nothing of it yet
    let (_, well) = tokio::task::spawn_blocking(move || server.terminate()).await.unwrap().unwrap();
    assert!(well, "it did not stop in order");
    let server = up(house.command()).await;
    crowd.up.send_modify(|starts| *starts += 1);
    work_is_done(&crowd, 3).await;
    let wrapped = run(house.folder(), &["vault", "rewrap"]).await;
    assert!(wrapped.status.success(), "{}", told(&wrapped));
    work_is_done(&crowd, 3).await;
    let again = run(house.folder(), &["vault", "rewrap"]).await;
    assert!(told(&again).starts_with("0 secrets"), "{}", told(&again));
    nothing_is_broken(crowd, server).await;
    let db = house.database().await;
    let keys: Vec<(String,)> = db.rows("SELECT DISTINCT key_id FROM secrets", args![]).await.unwrap();
    let newest = told(&added).split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(keys, [(newest,)]);
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_revoked_after_a_copy_is_told_by_the_newer_database_once_the_copy_is_back() {
    let world = World::start().await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    drop(world.user("support").asks("What is the status of order 9?").await);
    let (copy, data) = (world.folder().join("monday"), world.folder().join("data"));
    let made = run(world.folder(), &["backup", copy.to_str().unwrap()]).await;
    assert!(made.status.success(), "{}", told(&made));
    drop(admin.post("/api/v1/revocations", &json!({ "user": "bob" })).await.expect(201));
    world.app.stop().await;

    // As the guide says: the newer file is kept elsewhere, and the copy takes its place.
    let newer = world.folder().join("newer");
    fs::create_dir_all(&newer).unwrap();
    for name in ["cardea.db", "cardea.db-wal", "cardea.db-shm"] {
        let _none = fs::rename(data.join(name), newer.join(name));
    }
    fs::copy(copy.join("cardea.db"), data.join("cardea.db")).unwrap();
    let file = newer.join("cardea.db");
    let here = run(world.folder(), &["audit", "export"]).await;
    assert!(here.status.success() && !told(&here).contains("token.revoked"), "{}", told(&here));
    let there = run(world.folder(), &["audit", "export", "--database", file.to_str().unwrap()]).await;
    let lines = told(&there);
    // Nobody knows of a copy what has happened since, so it says no more than how far it goes.
    let last: Value =
        serde_json::from_str(lines.lines().rfind(|line| line.starts_with('{')).unwrap()).unwrap();
    let entries = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let newest = entries.filter(|entry| entry["seq"].is_u64()).filter_map(|entry| entry["at"].as_i64()).max();
    assert_eq!((last["at"].as_i64(), last["chains"].is_object()), (newest, true), "{last}");
    let line = lines.lines().find(|line| line.contains("token.revoked")).unwrap_or_default();
    assert!(there.status.success() && line.contains("bob"), "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_proved_also_once_the_log_has_gone_on_and_one_that_was_cut_is_not() {
    let world = World::start().await;
    let ann = world.user("support");
    let points = world.folder().join("data/audit.checkpoints");
    let file = world.folder().join("export.jsonl");
    let verify = async |lines: &str| {
        fs::write(&file, lines).unwrap();
        run(world.folder(), &["audit", "verify", file.to_str().unwrap()]).await
    };
    drop(ann.asks("What is the status of order 9?").await);
    world.app.observe.checkpoint(&points).await.unwrap();
    let written = run(world.folder(), &["audit", "export"]).await;
    let lines = String::from_utf8(written.stdout.clone()).unwrap();
    world.clock.advance(Millis::from_secs(60)); // the command goes by the clock of the machine
    drop(ann.asks("What is the status of order 17?").await);
    world.app.observe.checkpoint(&points).await.unwrap();
    let proved = verify(&lines).await;
    assert!(proved.status.success() && told(&proved).contains("proved: "), "{}", told(&proved));

    // Without its last line it may be older, or cut off: that is no alarm, and no proof.
    let (entries, last) = lines.trim_end().rsplit_once('\n').unwrap();
    let open = verify(&format!("{entries}\n")).await;
    assert_eq!(open.status.code(), Some(3), "{}", told(&open));
    assert!(
        told(&open).contains("older than the newest checkpoint, or its end was cut off"),
        "{}",
        told(&open)
    );
    assert!(!told(&open).contains("NOT PROVED"), "{}", told(&open));
    // Entries were taken out before it.
    let (fewer, _) = entries.rsplit_once('\n').unwrap();
    let cut = verify(&format!("{fewer}\n{last}\n")).await;
    assert!(cut.status.code() == Some(1) && told(&cut).contains("NOT PROVED"), "{}", told(&cut));
    // Nobody else makes that line.
    let forged = verify(&format!("{entries}\n{}\n", last.replace("\"at\":1", "\"at\":2"))).await;
    assert!(forged.status.code() == Some(1) && told(&forged).contains("NOT PROVED"), "{}", told(&forged));
    // A log that was cut before it was carried out gets no such line.
    let ends = "UPDATE audit_heads SET seq = seq - 1, link = (SELECT link FROM audit a WHERE a.node = audit_heads.node \
                AND a.seq = audit_heads.seq - 1)";
    let last = "DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)";
    world.app.db.commit(cardea_store::Commit::new().run(last, args![]).run(ends, args![])).await.unwrap();
    let written = run(world.folder(), &["audit", "export"]).await;
    let open = verify(&String::from_utf8(written.stdout).unwrap()).await;
    assert_eq!(open.status.code(), Some(3), "{}", told(&open));
}
