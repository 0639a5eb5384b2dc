//! What nodes over one PostgreSQL database must share, and what becomes of one that does not: the root key, the folder
//! with the keys of people, and what was cleared of their caches.

use std::{path::Path, process::Command, time::Duration};

use cardea::{
    app::{App, Options},
    config::{Config, Environment},
    context::cache::Purged,
};
use cardea_auth::VerifiedClaims;
use cardea_core::{Error, Result, log::ChainKey};
use cardea_store::{Commit, Db, DbConfig, args};
use cardea_testkit::postgres::Server;
use futures::future::join;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::crowd::Crowd;

const PATIENCE: Duration = Duration::from_secs(30);

/// A database, or loud words that there is none here.
fn postgres() -> Option<Server> {
    Server::start().inspect_err(|why| println!("SKIPPED: {why}")).ok()
}

/// What a node is told by its environment.
fn variables(node: &str, database: &str, data: &Path, key: Option<&str>) -> Vec<(String, String)> {
    let mut all = vec![("DB__NODE", node.to_owned()), ("DB__URL", database.to_owned())];
    all.push(("DATA__DIR", data.display().to_string()));
    all.extend(key.map(|key| ("VAULT__ROOT_KEY", key.to_owned())));
    all.into_iter().map(|(name, value)| (format!("CARDEA_{name}"), value)).collect()
}

async fn node(crowd: &Crowd, told: &[(String, String)]) -> Result<App> {
    let file = crowd.house.folder().join("cardea.toml");
    let loaded = Config::load(&file, &Environment::from_iter(told.iter().cloned())).unwrap();
    App::build(loaded, Options::default()).await
}

/// Ends it as an orderly stop does, and what others know of it.
async fn gone(app: App) {
    app.db.commit(Commit::new().run("UPDATE leases SET expires_at = 0", args![])).await.unwrap();
    app.stop().await;
}

fn refused(app: Result<App>, word: &str) {
    let error: Error = app.expect_err("it must not begin");
    assert_eq!(error.code().name(), "misconfigured", "{error:?}");
    assert!(error.public().contains(word), "{}", error.public());
}

fn folders() -> (TempDir, TempDir) {
    (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_begin_at_once_with_keys_of_their_own_one_leaves_without_a_trace() {
    let Some(postgres) = postgres() else { return };
    let crowd = Crowd::gather(None).await;
    for round in 0..4 {
        let (database, (one, two)) = (postgres.fresh().unwrap(), folders());
        let told =
            [("one", &one), ("two", &two)].map(|(name, data)| variables(name, &database, data.path(), None));
        let (first, second) = join(node(&crowd, &told[0]), node(&crowd, &told[1])).await;
        let (good, winner, loser, late) = match (first, second) {
            (Ok(app), late) => (app, 0, 1, late),
            (late, app) => (app.expect("one of them begins"), 1, 0, late),
        };
        refused(late, "root.key");
        let heads: Vec<(String,)> = good.db.rows("SELECT node FROM audit_heads", args![]).await.unwrap();
        assert_eq!(heads.len(), 1, "round {round}: {heads:?}");
        gone(good).await;
        gone(node(&crowd, &told[winner]).await.expect("it begins again")).await;
        // As the guide said once: the key is copied, and the folder is not shared.
        let folders = [one.path(), two.path()];
        std::fs::copy(folders[winner].join("root.key"), folders[loser].join("root.key")).unwrap();
        refused(node(&crowd, &told[loser]).await, "people");
        let shared = variables("late", &database, folders[winner], None);
        gone(node(&crowd, &shared).await.expect("with the same folder")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_data_folder_is_gone_says_so_instead_of_failing_people() {
    let Some(postgres) = postgres() else { return };
    let crowd = Crowd::gather(None).await;
    let (database, (lasting, empty)) = (postgres.fresh().unwrap(), folders());
    let key = format!("{}=", "A".repeat(43));
    let before = variables("one", &database, lasting.path(), Some(&key));
    let app = node(&crowd, &before).await.unwrap();
    // An installation of before this was written down takes the folder that it has.
    app.db.commit(Commit::new().run("DELETE FROM installation", args![])).await.unwrap();
    gone(app).await;
    gone(node(&crowd, &before).await.unwrap()).await;
    let after = variables("one", &database, empty.path(), Some(&key));
    refused(node(&crowd, &after).await, "mount");
    assert!(!empty.path().join("people").exists(), "nothing is made");
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        command.arg("--config").arg(crowd.house.folder().join("cardea.toml")).args(words);
        command.envs(after.iter().cloned());
        let output = command.output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    assert!(run(&["doctor"]).contains("the keys of people are missing"), "{}", run(&["doctor"]));
    assert!(run(&["token", "ann"]).contains("mount that folder"));
    // It is lost for good.
    let app = node(&crowd, &before).await.unwrap();
    assert!(run(&["vault", "adopt-folder"]).contains("The node `one` runs"));
    gone(app).await;
    assert!(run(&["vault", "adopt-folder"]).contains("is the data folder"));
    refused(node(&crowd, &before).await, "is another");
    gone(node(&crowd, &after).await.unwrap()).await;
}

/// What makes the tables of a database those of version 16, and then those of before the first fact that all nodes share.
const BACK: [&[&str]; 2] = [
    &[
        "DROP INDEX turns_by",
        "DROP INDEX decisions_by",
        "CREATE INDEX decisions_of ON decisions (owner, at, id)",
        "ALTER TABLE steps DROP COLUMN thoughts",
        "DELETE FROM migrations WHERE version > 16",
    ],
    &[
        "DROP INDEX approvals_waiting",
        "DROP INDEX approvals_by",
        "DROP INDEX approvals_at",
        "DROP INDEX approvals_stand",
        "DROP INDEX turns_running",
        "DROP INDEX turns_waiting",
        "DROP INDEX turns_stopped",
        "DROP INDEX decisions_of",
        "DROP TABLE cache_owed",
        "DROP TABLE installation",
        "DROP INDEX cache_marks_at",
        "DROP INDEX cache_marks_since",
        "ALTER TABLE cache_marks DROP COLUMN purged",
        "DELETE FROM versions WHERE name = 'cache'",
        "ALTER TABLE leases DROP COLUMN policies",
        "DELETE FROM migrations WHERE version > 13",
    ],
];

/// The database as a server of before sees it.
async fn older(database: &str) -> Db {
    let config = DbConfig { url: database.to_owned(), ..DbConfig::default() };
    Db::open(config, ChainKey::new(&[0; 32])).await.unwrap() // nothing is written under it
}

async fn still_older(database: &str, newest: i64) {
    let db = older(database).await;
    let (version,): (i64,) = db.row("SELECT MAX(version) FROM migrations", args![]).await.unwrap().unwrap();
    db.close().await;
    assert_eq!(version, newest, "the servers of before start on it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_the_wrong_key_or_folder_leaves_the_database_to_the_servers_of_before() {
    let (crowd, postgres, file) = (Crowd::gather(None).await, postgres(), tempfile::tempdir().unwrap());
    let mut databases = vec![format!("sqlite:{}", file.path().join("cardea.db").display())];
    databases.extend(postgres.as_ref().map(|server| server.fresh().unwrap()));
    let keys = ["A", "E"].map(|letter| format!("{}{letter}=", "A".repeat(42)));
    for database in databases {
        let (lasting, empty) = folders();
        let right = variables("one", &database, lasting.path(), Some(&keys[0]));
        let mut app = node(&crowd, &right).await.unwrap();
        for (count, newest) in [(1, 16), (2, 13)] {
            gone(app).await;
            let db = older(&database).await;
            for sql in BACK.iter().take(count).copied().flatten() {
                db.commit(Commit::new().run(sql, args![])).await.unwrap();
            }
            db.close().await;
            refused(
                node(&crowd, &variables("one", &database, lasting.path(), Some(&keys[1]))).await,
                "root key",
            );
            still_older(&database, newest).await;
            if database.starts_with("postgres") && newest > 13 {
                let elsewhere = variables("one", &database, empty.path(), Some(&keys[0]));
                refused(node(&crowd, &elsewhere).await, "mount");
                still_older(&database, newest).await;
            }
            app = node(&crowd, &right).await.expect("with what it was written with it goes on");
        }
        gone(app).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cleared_at_one_node_is_not_given_out_by_the_other() {
    let Some(postgres) = postgres() else { return };
    let crowd = Crowd::gather(None).await;
    let (database, data) = (postgres.fresh().unwrap(), tempfile::tempdir().unwrap());
    let mut apps = Vec::new();
    for name in ["one", "two"] {
        let app = node(&crowd, &variables(name, &database, data.path(), None)).await.unwrap();
        app.start().await.unwrap();
        apps.push(app);
    }
    let who = VerifiedClaims::new("acme", "ann").role("support").scope("read");
    let ann = apps[0].auth.embedded(who).unwrap();
    let ask = async || {
        drop(apps[0].agent("support").chat(&ann, None, "What is the return policy?").await.unwrap());
        apps[0].context.cache().held().await.unwrap().entries
    };
    let kept = ask().await;
    assert!(kept > 0, "the answer is kept");
    assert_eq!(ask().await, kept, "and given again");
    assert_eq!(apps[1].context.cache().purge(&"acme".into(), "ann").await, Purged::Out);
    let start = Instant::now();
    while apps[0].context.cache().held().await.unwrap().entries > 0 {
        assert!(start.elapsed() < PATIENCE, "the other node still has it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for app in apps {
        app.stop().await;
    }
}
