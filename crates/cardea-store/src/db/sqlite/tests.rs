use cardea_core::time::Timestamp;
use futures::future::join_all;

use super::*;

async fn on_writer(db: &Sqlite, sql: &'static str) {
    let (answer, answered) = oneshot::channel();
    let task: Task = Box::new(move |session| answer.send(session.conn.execute_batch(sql)).unwrap());
    assert!(db.write(task).await);
    answered.await.unwrap().unwrap();
}

fn large(id: usize) -> Commit {
    let commit =
        Commit::new().insert("things", [("id", id.to_string().into()), ("b", vec![7; 3_000].into())]);
    commit.audit(&"acme".into(), Timestamp(0), b"large".to_vec())
}

/// The limit on pages makes SQLite answer as a full disk does.
#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else_and_ends_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join("full.db"));
    let db = Sqlite::open(&place, &DbConfig::default(), ChainKey::new(&[1; 32])).unwrap();
    on_writer(
        &db,
        "CREATE TABLE things (id TEXT PRIMARY KEY, b BYTEA);
         CREATE TABLE audit (node TEXT, seq BIGINT, tenant TEXT, at BIGINT, body BYTEA, link BYTEA);
         CREATE TABLE audit_heads (node TEXT PRIMARY KEY, seq BIGINT, link BYTEA);
         PRAGMA max_page_count = 40;",
    )
    .await;
    let results = join_all((0..100).map(|n| db.commit(large(n)))).await;
    assert!(results.contains(&Err(CommitError::Full)), "40 pages cannot hold them");
    let written = |result: &Result<(), CommitError>| match result {
        Ok(()) => true,
        Err(CommitError::Full) => false,
        Err(other) => panic!("{other}"),
    };
    let written = results.iter().filter(|result| written(result)).count();
    assert_eq!(count(&db, "SELECT COUNT(*) FROM things").await, i64::try_from(written).unwrap());
    assert_eq!(count(&db, "SELECT COUNT(*) FROM audit").await, i64::try_from(written).unwrap());

    on_writer(&db, "PRAGMA max_page_count = 4000;").await;
    assert_eq!(db.commit(large(1_000)).await, Ok(()), "space is back, and no restart was needed");
    assert_eq!(db.broken(), None);
}

async fn count(db: &Sqlite, sql: &'static str) -> i64 {
    let (answer, answered) = oneshot::channel();
    let task: Task =
        Box::new(move |session| answer.send(session.conn.query_row(sql, [], |row| row.get(0))).unwrap());
    assert!(db.read(task).await);
    answered.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_task_that_panics_does_not_take_the_threads_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join("x.db"));
    let config = DbConfig { readers: 1, ..DbConfig::default() };
    let db = Sqlite::open(&place, &config, ChainKey::new(&[1; 32])).unwrap();
    assert!(db.read(Box::new(|_| panic!("on purpose"))).await);
    assert!(db.write(Box::new(|_| panic!("on purpose"))).await);
    assert_eq!(count(&db, "SELECT 1").await, 1);
    on_writer(&db, "CREATE TABLE still (here TEXT)").await;
    assert_eq!(count(&db, "SELECT COUNT(*) FROM still").await, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_on_the_machine_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join("private.db"));
    let db = Sqlite::open(&place, &DbConfig::default(), ChainKey::new(&[1; 32])).unwrap();
    on_writer(&db, "CREATE TABLE t (x TEXT)").await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
    }
}

/// What stands in the files: the database and its log.
fn bytes_of(path: &Path) -> Vec<u8> {
    let log = std::fs::read(format!("{}-wal", path.display())).unwrap();
    [std::fs::read(path).unwrap(), log].concat()
}

#[tokio::test]
async fn what_was_deleted_is_in_no_file_once_the_log_is_folded_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let db = Sqlite::open(&Place::File(path.clone()), &DbConfig::default(), ChainKey::new(&[1; 32])).unwrap();
    on_writer(&db, "CREATE TABLE things (id TEXT PRIMARY KEY, b TEXT) WITHOUT ROWID;").await;
    // Some rows fit into a page, and some spill over.
    let word = |n: usize| format!("zebrafish{}", "x".repeat(n * 97));
    for n in 0..60 {
        let row = [("id", n.to_string().into()), ("b", word(n).into())];
        db.commit(Commit::new().insert("things", row)).await.unwrap();
    }
    assert!(db.fold().await.unwrap());
    let holds = |bytes: Vec<u8>| bytes.windows(9).any(|window| window == b"zebrafish");
    assert!(holds(bytes_of(&path)));
    let keep = |sql| db.commit(Commit::new().run(sql, crate::args![]));
    keep("UPDATE things SET b = '' WHERE CAST(id AS INTEGER) < 30").await.unwrap();
    keep("DELETE FROM things WHERE b <> ''").await.unwrap();
    let folded = join_all((0..5).map(|_| db.fold())).await;
    assert!(folded.into_iter().all(Result::unwrap), "one for all");
    assert!(!holds(bytes_of(&path)));
    assert_eq!(std::fs::metadata(format!("{}-wal", path.display())).unwrap().len(), 0);

    // Whoever reads an older state holds it up, and no longer than that.
    let reader = Connection::open(&path).unwrap();
    keep("UPDATE things SET b = 'a' WHERE id = '1'").await.unwrap();
    reader.execute_batch("BEGIN; SELECT COUNT(*) FROM things;").unwrap();
    let _rows: i64 = reader.query_row("SELECT COUNT(*) FROM things", [], |row| row.get(0)).unwrap();
    keep("UPDATE things SET b = 'b' WHERE id = '1'").await.unwrap();
    let (folded, ()) = tokio::join!(db.fold(), async {
        keep("UPDATE things SET b = 'c' WHERE id = '1'").await.unwrap();
        reader.execute_batch("COMMIT").unwrap();
    });
    assert!(folded.unwrap());
}
