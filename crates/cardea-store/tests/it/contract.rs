//! What a database promises, whatever its engine.

use cardea_core::{
    Code,
    log::{ChainKey, Head, Verifier},
    time::Timestamp,
};
use cardea_store::{
    Commit, CommitError, Db, DbConfig,
    db::{Migration, Value, args},
};
use futures::{FutureExt, future::BoxFuture, future::join_all};

use crate::engines::{KEY, Place, TABLES, count, place, server};

type Contract = for<'a> fn(&'a Place) -> BoxFuture<'a, ()>;

macro_rules! contracts {
    ($($name:ident),* $(,)?) => {
        const ALL: &[(&str, Contract)] = &[$((stringify!($name), |place| $name(place).boxed())),*];
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&super::Place::sqlite()).await; })*
        }
    };
}

contracts!(
    every_kind_of_value_comes_back_as_it_went_in,
    a_failed_guard_voids_its_own_commit_and_no_other,
    a_row_that_is_there_already_is_a_conflict_with_its_table,
    a_guard_that_looks_must_find_exactly_one_row,
    a_wrong_statement_disturbs_nobody_else,
    of_many_writers_of_one_version_exactly_one_wins,
    two_processes_share_one_chain_without_a_gap,
    a_newer_database_and_a_changed_migration_are_refused,
    what_was_queued_before_the_close_is_written,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_same_contracts() {
    let Some(server) = server() else { return };
    for (name, contract) in ALL {
        println!("postgres: {name}");
        contract(&place(&server)).await;
    }
    crate::postgres::own_contracts(&server).await;
}

fn thing(id: impl std::fmt::Display, n: i64) -> Commit {
    Commit::new().insert("things", [("id", id.to_string().into()), ("n", n.into())])
}

fn told(commit: Commit, text: impl std::fmt::Display) -> Commit {
    commit.audit(&"acme".into(), Timestamp(5), text.to_string().into_bytes())
}

/// Walks the chain and gives its bodies.
pub(crate) async fn chain(db: &Db) -> Vec<String> {
    let sql = "SELECT seq, body, link FROM audit WHERE node = $1 ORDER BY seq";
    let rows: Vec<(u64, Vec<u8>, [u8; 32])> = db.rows(sql, args!["main"]).await.unwrap();
    let mut verifier = Verifier::new(ChainKey::new(&KEY), None);
    for (sequence, body, link) in &rows {
        verifier.push(*sequence, body, link).unwrap();
    }
    let head = verifier.finish().unwrap();
    let kept = db.row::<(u64, [u8; 32])>("SELECT seq, link FROM audit_heads", args![]).await.unwrap();
    assert_eq!(kept.map(|(sequence, link)| Head { sequence, link }).unwrap_or_default(), head);
    rows.into_iter().map(|(_, body, _)| String::from_utf8(body).unwrap()).collect()
}

async fn every_kind_of_value_comes_back_as_it_went_in(place: &Place) {
    let db = place.open().await;
    let columns = |id: &'static str, n: Value, r: Value, t: Value, b: Value| {
        Commit::new().insert("things", [("id", id.into()), ("n", n), ("r", r), ("t", t), ("b", b)])
    };
    let text = "Grüße, \u{1F980}\n'; DROP TABLE things; --";
    db.commit(columns("a", i64::MIN.into(), (-0.5).into(), text.into(), vec![0_u8, 255].into()))
        .await
        .unwrap();
    db.commit(columns("b", Value::Null, Value::Null, Value::Null, Value::Null)).await.unwrap();
    db.commit(columns("c", i64::MAX.into(), 3.0.into(), "".into(), Vec::new().into())).await.unwrap();

    type Thing = (String, Option<i64>, Option<f64>, Option<String>, Option<Vec<u8>>);
    let rows: Vec<Thing> = db.rows("SELECT id, n, r, t, b FROM things ORDER BY id", args![]).await.unwrap();
    assert_eq!(
        rows,
        [
            ("a".into(), Some(i64::MIN), Some(-0.5), Some(text.into()), Some(vec![0, 255])),
            ("b".into(), None, None, None, None),
            ("c".into(), Some(i64::MAX), Some(3.0), Some(String::new()), Some(Vec::new())),
        ]
    );

    let swapped = "SELECT id FROM things WHERE t = $2 AND id = $1 AND ($2 = t OR id <> '$1')";
    assert_eq!(db.rows::<(String,)>(swapped, args!["a", text]).await.unwrap(), [("a".to_owned(),)]);
    assert_eq!(
        db.rows::<(u64,)>("SELECT n FROM things WHERE id = 'a'", args![]).await.unwrap_err().code(),
        Code::Internal
    );
    assert_eq!(
        db.rows::<(i64,)>("SELECT nope FROM things", args![]).await.unwrap_err().code(),
        Code::Internal
    );
    assert_eq!(db.rows::<(i64,)>("SELECT n FROM things", args![1]).await.unwrap_err().code(), Code::Internal);
}

async fn a_failed_guard_voids_its_own_commit_and_no_other(place: &Place) {
    let db = place.open().await;
    db.commit(told(thing("gate", 0), "gate")).await.unwrap();
    let open = "UPDATE things SET n = n + 1 WHERE id = $1";
    let results = join_all((0..120_i64).map(|n| {
        let commit = told(thing(format!("t{n}"), n), n);
        let gate = if n % 3 == 0 { "missing" } else { "gate" };
        db.commit(commit.guard("gate_shut", open, args![gate]))
    }))
    .await;
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(result, if n % 3 == 0 { Err(CommitError::Conflict("gate_shut")) } else { Ok(()) });
    }
    assert_eq!(count(&db).await, 81);
    let gate = db.row::<(i64,)>("SELECT n FROM things WHERE id = 'gate'", args![]).await.unwrap();
    assert_eq!(gate, Some((80,)));
    let mut bodies = chain(&db).await;
    assert_eq!(bodies.len(), 81, "the void commits told nothing");
    bodies.retain(|body| body.parse::<i64>().is_ok_and(|n| n % 3 == 0));
    assert_eq!(bodies, Vec::<String>::new());

    db.commit(thing("second", 0)).await.unwrap();
    let both =
        Commit::new().guard("two_rows", "UPDATE things SET n = 0 WHERE id IN ('gate', 'second')", args![]);
    assert_eq!(db.commit(both).await, Err(CommitError::Conflict("two_rows")));
}

async fn a_row_that_is_there_already_is_a_conflict_with_its_table(place: &Place) {
    let db = place.open().await;
    db.commit(thing("a", 1)).await.unwrap();
    let again = told(thing("b", 2).and(thing("a", 3)), "never");
    assert_eq!(db.commit(again).await, Err(CommitError::Conflict("things")));
    assert_eq!(count(&db).await, 1);
    assert_eq!(chain(&db).await, Vec::<String>::new());
}

async fn a_guard_that_looks_must_find_exactly_one_row(place: &Place) {
    let db = place.open().await;
    let look = "SELECT id FROM things WHERE n = $1";
    let commit = |id: &str| thing(id, 0).guard("not_one", look, args![7]);
    assert_eq!(db.commit(commit("none")).await, Err(CommitError::Conflict("not_one")));
    db.commit(thing("x", 7)).await.unwrap();
    db.commit(commit("one")).await.unwrap();
    db.commit(thing("y", 7)).await.unwrap();
    assert_eq!(db.commit(commit("two")).await, Err(CommitError::Conflict("not_one")));
    assert_eq!(count(&db).await, 3);
}

async fn a_wrong_statement_disturbs_nobody_else(place: &Place) {
    let db = place.open().await;
    let results = join_all((0..30_i64).map(|n| {
        let wrong = match n % 3 {
            0 => thing(n, n).run("UPDATE nowhere SET x = 1", args![]),
            1 => Commit::new().run("INSERT INTO things (id) VALUES ($1)", args![Option::<String>::None]),
            _ => thing(n, n),
        };
        db.commit(told(wrong, n))
    }))
    .await;
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(result.is_ok(), n % 3 == 2, "{n}: {result:?}");
        assert!(result.is_ok() || matches!(result, Err(CommitError::Wrong(_))), "{n}: {result:?}");
    }
    assert_eq!(count(&db).await, 10);
    assert_eq!(chain(&db).await.len(), 10);
}

async fn of_many_writers_of_one_version_exactly_one_wins(place: &Place) {
    let (db, other) = (place.open().await, place.open().await);
    db.commit(thing("row", 0)).await.unwrap();
    let swap = "UPDATE things SET n = n + 1 WHERE id = 'row' AND n = $1";
    for version in 0..5_i64 {
        let tries = (0..20).map(|n| {
            let db = if n % 2 == 0 { &db } else { &other };
            db.commit(told(Commit::new().guard("version", swap, args![version]), version))
        });
        let won = join_all(tries).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1);
    }
    assert_eq!(chain(&db).await, ["0", "1", "2", "3", "4"]);
}

async fn two_processes_share_one_chain_without_a_gap(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    let writes = (0..60).map(|n| {
        let db = if n % 2 == 0 { &one } else { &two };
        db.commit(told(Commit::new(), n))
    });
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    assert_eq!(chain(&one).await.len(), 60);
}

async fn a_newer_database_and_a_changed_migration_are_refused(place: &Place) {
    let db = place.open().await;
    let again = db.migrate_with(TABLES).await.unwrap();
    assert_eq!((again.from, again.to), (1, 1), "a second run changes nothing");

    let add = Migration { version: 2, name: "0002_more", sql: "CREATE TABLE more (id TEXT PRIMARY KEY);" };
    let bad = Migration {
        version: 3,
        name: "0003_bad",
        sql: "CREATE TABLE half (id TEXT); SELECT nonsense FROM nowhere;",
    };
    let error = db.migrate_with(&[TABLES[0], add, bad]).await.unwrap_err();
    assert!(error.public().contains("`0003_bad` failed"), "{}", error.public());
    assert_eq!(db.migrate_with(&[TABLES[0], add]).await.unwrap().from, 2, "the good one before it stays");
    assert!(db.rows::<(String,)>("SELECT id FROM half", args![]).await.is_err(), "half a migration stayed");

    let error = db.migrate_with(TABLES).await.unwrap_err();
    assert_eq!(error.code(), Code::Misconfigured);
    assert!(
        error.public().contains("newer Cardea") && error.public().contains("0002_more"),
        "{}",
        error.public()
    );

    let changed = Migration { sql: "CREATE TABLE more (id BIGINT);", ..add };
    let error = db.migrate_with(&[TABLES[0], changed]).await.unwrap_err();
    assert!(error.public().contains("another text"), "{}", error.public());
}

async fn what_was_queued_before_the_close_is_written(place: &Place) {
    let db = place.open().await;
    let writes = join_all((0..50_i64).map(|n| db.commit(thing(n, n))));
    let (results, ()) = futures::join!(writes, db.close());
    let acknowledged = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(acknowledged, 50);
    assert!(matches!(db.commit(thing("late", 0)).await, Err(CommitError::Unavailable(_))));
    assert_eq!(count(&place.open().await).await, 50);
}

#[tokio::test]
async fn a_bad_configuration_names_its_key_and_never_tells_the_password() {
    let open = |config: DbConfig| async { Db::open(config, ChainKey::new(&KEY)).await.unwrap_err() };
    let with = |change: fn(&mut DbConfig)| {
        let mut config = DbConfig::default();
        change(&mut config);
        config
    };
    for (config, key) in [
        (with(|c| c.url = "mysql://x".into()), "`url`"),
        (with(|c| c.url = "sqlite:".into()), "`url`"),
        (with(|c| c.url = "postgres://u:hunter2@h/db".into()), "`password`"),
        (with(|c| c.node = "a b".into()), "`node`"),
        (with(|c| c.readers = 0), "`readers`"),
        (with(|c| c.queue = 0), "`queue`"),
    ] {
        let error = open(config).await;
        assert_eq!(error.code(), Code::Misconfigured);
        assert!(error.public().contains(key) && !error.public().contains("hunter2"), "{}", error.public());
    }
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, [b'x'; 8_192]).unwrap();
    let error = open(DbConfig::at(format!("sqlite:{}", garbage.display()))).await;
    assert_eq!(error.code(), Code::StoreUnavailable);
}

#[tokio::test]
async fn a_database_in_memory_keeps_rows_while_it_is_open() {
    let db = Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&KEY)).await.unwrap();
    db.migrate_with(TABLES).await.unwrap();
    db.commit(told(thing("a", 1), "a")).await.unwrap();
    assert_eq!(count(&db.clone()).await, 1);
    assert_eq!(chain(&db).await, ["a"]);
}
