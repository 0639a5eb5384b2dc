//! What only a server on the other side of a wire can do to us.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use cardea_core::log::ChainKey;
use cardea_store::{
    Commit, CommitError, Db, DbConfig,
    db::{Migration, args},
};
use futures::StreamExt as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::engines::{KEY, Server, count, place};

pub(crate) async fn own_contracts(server: &Server) {
    a_server_that_comes_back_is_used_again(server).await;
    a_lost_acknowledgement_is_unknown_and_can_be_read_again(server).await;
    rights_that_are_missing_are_told_as_such(server).await;
    a_migration_has_as_much_time_as_it_needs(server).await;
    a_connection_that_has_gone_silent_is_replaced(server).await;
    a_row_that_a_stranger_has_locked_delays_others_only_for_a_moment(server).await;
    commits_that_name_what_they_touch_do_not_lock_each_other_out(server).await;
    what_is_not_to_be_had_fails_those_who_touch_it_and_nobody_else(server).await;
    a_node_that_is_frozen_in_the_middle_of_a_commit_keeps_its_locks_for_seconds_only(server).await;
}

fn thing(id: &'static str) -> Commit {
    Commit::new().insert("things", [("id", id.into())])
}

async fn a_server_that_comes_back_is_used_again(server: &Server) {
    let place = place(server);
    let db = place.open().await;
    db.commit(thing("before")).await.unwrap();
    server.down().unwrap();
    let start = Instant::now();
    assert!(matches!(db.commit(thing("lost")).await, Err(CommitError::Unavailable(_))));
    assert!(db.rows::<(String,)>("SELECT id FROM things", args![]).await.is_err());
    assert!(start.elapsed().as_secs() < 2, "a refusal must be quick: {:?}", start.elapsed());
    server.up().unwrap();
    db.commit(thing("after")).await.unwrap();
    assert_eq!(count(&db).await, 2);
}

/// A wire that is cut after `COMMIT` has reached the server and before its answer comes back.
async fn a_lost_acknowledgement_is_unknown_and_can_be_read_again(server: &Server) {
    let place = place(server);
    let direct = place.open().await;
    let wire = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = place.url.replace(&server.port().to_string(), &wire.local_addr().unwrap().port().to_string());
    let port = server.port();
    let run = async {
        // Only the writer's connection carries a `COMMIT`; others are passed through.
        futures::future::join_all((0..8).map(|_| async {
            if let Ok((client, _)) = wire.accept().await {
                cut_at_commit(client, TcpStream::connect(("127.0.0.1", port)).await.unwrap()).await;
            }
        }))
        .await;
    };
    let test = async {
        let db = Db::open(DbConfig::at(url), ChainKey::new(&KEY)).await.unwrap();
        let audited =
            thing("maybe").audit(&"acme".into(), cardea_core::time::Timestamp(0), b"maybe".to_vec());
        assert!(matches!(db.commit(audited).await, Err(CommitError::Unknown(_))));
        let found = db.row::<(String,)>("SELECT id FROM things WHERE id = $1", args!["maybe"]).await.unwrap();
        assert_eq!(found, Some(("maybe".into(),)), "the server had committed");
    };
    tokio::select! { _ = run => {}, () = test => {} }
    assert_eq!(crate::contract::chain(&direct).await, ["maybe"]);
}

async fn cut_at_commit(mut client: TcpStream, mut server: TcpStream) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(n @ 1..) = read else { return };
                server.write_all(&up[..n]).await.unwrap();
                if up[..n].windows(6).any(|word| word == b"COMMIT") {
                    // The server has answered once there is something to read: only then is the wire cut.
                    assert_ne!(server.read(&mut down).await.unwrap(), 0);
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(n @ 1..) = read else { return };
                if client.write_all(&down[..n]).await.is_err() { return }
            }
        }
    }
}

/// A wire to the server. What it does to a connection is decided by `pass`, which is asked with each piece that goes there;
/// once it says no, nothing passes in either direction any more, and nothing is closed.
async fn wire(port: u16, pass: impl Fn(usize, &[u8]) -> bool) -> (u16, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let run = async move {
        let mut wires = futures::stream::FuturesUnordered::new();
        for number in 0.. {
            let client = loop {
                tokio::select! {
                    accepted = listener.accept() => break accepted.unwrap().0,
                    Some(()) = wires.next() => {}
                }
            };
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            wires.push(pieces(client, server, number, &pass));
        }
    };
    (own, run)
}

async fn pieces(
    mut client: TcpStream,
    mut server: TcpStream,
    number: usize,
    pass: &impl Fn(usize, &[u8]) -> bool,
) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let (from, read) = tokio::select! {
            read = client.read(&mut up) => (true, read),
            read = server.read(&mut down) => (false, read),
        };
        let Ok(n @ 1..) = read else { return };
        let piece = if from { &up[..n] } else { &down[..n] };
        if !pass(number, if from { piece } else { &[] }) {
            // Both ends stay open, and whoever closes their own is not heard either.
            std::future::pending::<()>().await;
        }
        let sent = if from { server.write_all(piece).await } else { client.write_all(piece).await };
        if sent.is_err() {
            return;
        }
    }
}

async fn a_connection_that_has_gone_silent_is_replaced(server: &Server) {
    let place = place(server);
    place.open().await.close().await;
    let (silent, opened) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (port, run) = wire(server.port(), |number, _| {
        opened.fetch_max(number + 1, Ordering::SeqCst);
        number >= silent.load(Ordering::SeqCst)
    })
    .await;
    let url = place.url.replace(&server.port().to_string(), &port.to_string());
    let test = async {
        let config = DbConfig { readers: 1, ..DbConfig::at(url) };
        let db = Db::open(config, ChainKey::new(&KEY)).await.unwrap();
        db.commit(thing("before")).await.unwrap();
        assert_eq!(count(&db).await, 1);
        // As after a failover of the address, or where a firewall has forgotten the connection: those of now are dead.
        silent.store(opened.load(Ordering::SeqCst), Ordering::SeqCst);
        let start = Instant::now();
        let (written, seen) =
            tokio::join!(async { (db.commit(thing("after")).await, start.elapsed()) }, async {
                (db.rows::<(String,)>("SELECT id FROM things", args![]).await, start.elapsed())
            });
        written.0.as_ref().unwrap();
        assert!(written.1.as_secs() < 4, "a node must show well within its lease that it lives: {written:?}");
        assert!(!seen.0.unwrap().is_empty() && seen.1.as_secs() < 10, "{:?}", seen.1);
        let start = Instant::now();
        db.commit(thing("later")).await.unwrap();
        assert_eq!(count(&db).await, 3);
        assert!(start.elapsed().as_secs() < 1, "{:?}", start.elapsed());
        // Whoever closes while the server is silent is not kept.
        silent.store(usize::MAX, Ordering::SeqCst);
        let start = Instant::now();
        let (lost, ()) = tokio::join!(db.commit(thing("lost")), async {
            tokio::task::yield_now().await;
            db.close().await;
        });
        assert!(lost.is_err() && start.elapsed().as_secs() < 12, "{lost:?} {:?}", start.elapsed());
    };
    tokio::select! { () = run => {}, () = test => {} }
}

async fn a_row_that_a_stranger_has_locked_delays_others_only_for_a_moment(server: &Server) {
    let place = place(server);
    let db = place.open().await;
    for id in ["one", "two", "three"] {
        db.commit(thing(id)).await.unwrap();
    }
    let (stranger, connection) = tokio_postgres::connect(&place.url, tokio_postgres::NoTls).await.unwrap();
    let test = async {
        stranger.batch_execute("BEGIN; UPDATE things SET n = 1 WHERE id IN ('one', 'two')").await.unwrap();
        let change = |id: &'static str| Commit::new().run("UPDATE things SET n = 2 WHERE id = $1", args![id]);
        let start = Instant::now();
        let changes = ["one", "one", "two", "three"].map(|id| db.commit(change(id)));
        let came = futures::future::join_all(changes).await;
        let took = start.elapsed();
        for locked in &came[..3] {
            assert!(matches!(locked, Err(CommitError::Unavailable(_))), "{came:?}");
        }
        assert!(came[3].is_ok() && took.as_secs() < 8, "{came:?} {took:?}");
        stranger.batch_execute("ROLLBACK").await.unwrap();
        db.commit(change("one")).await.unwrap();
    };
    tokio::select! { _ = connection => {}, () = test => {} }
}

async fn a_node_that_is_frozen_in_the_middle_of_a_commit_keeps_its_locks_for_seconds_only(server: &Server) {
    let place = place(server);
    let db = place.open().await;
    db.commit(thing("one")).await.unwrap();
    let (port, run) = wire(server.port(), |_, there| !there.windows(6).any(|word| word == b"COMMIT")).await;
    let url = place.url.replace(&server.port().to_string(), &port.to_string());
    let test = async {
        let frozen = Db::open(DbConfig::at(url), ChainKey::new(&KEY)).await.unwrap();
        let change = || Commit::new().run("UPDATE things SET n = 2 WHERE id = $1", args!["one"]);
        let other = async {
            let waits = "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
            while db.row::<(i64,)>(waits, args![]).await.unwrap() == Some((0,)) {}
            let start = Instant::now();
            db.commit(change()).await.unwrap();
            start.elapsed()
        };
        let (lost, took) = tokio::join!(frozen.commit(change()), other);
        assert!(lost.is_err() && took.as_secs() < 6, "{lost:?} {took:?}");
    };
    tokio::select! { () = run => {}, () = test => {} }
}

async fn rights_that_are_missing_are_told_as_such(server: &Server) {
    let place = place(server);
    server.say("CREATE ROLE weak LOGIN").unwrap();
    let weak = async || {
        let url = place.url.replace("postgres@", "weak@");
        Db::open(DbConfig::at(url), ChainKey::new(&KEY)).await.unwrap()
    };
    let none = weak().await.migrate_with(crate::engines::TABLES).await.unwrap_err();
    assert!(none.public().contains("may not make tables in the database"), "{none:?}");
    let owner = place.open().await;
    owner.may_write().await.unwrap();
    let reads = weak().await.may_write().await.unwrap_err();
    assert!(reads.public().contains("may not write to the tables"), "{reads:?}");
    let ahead = owner.clock_ahead(cardea_core::time::Timestamp(0)).await.unwrap().unwrap();
    assert!(ahead > 1_700_000_000_000, "{ahead}");
}

/// What bounds requests would cancel each index over a large table, at each try.
async fn a_migration_has_as_much_time_as_it_needs(server: &Server) {
    let place = place(server);
    let db = place.open().await;
    let version = |version, name, sql| Migration { version, name, sql };
    let noted = "INSERT INTO things (id, t) SELECT name, setting FROM pg_settings \
                 WHERE name IN ('statement_timeout', 'lock_timeout');";
    let [tables] = crate::engines::TABLES else { panic!("another table was added") };
    db.migrate_with(&[*tables, version(2, "0002_limits", noted)]).await.unwrap();
    let limits: Vec<(String, String)> =
        db.rows("SELECT id, t FROM things ORDER BY id", args![]).await.unwrap();
    let limits: Vec<_> = limits.iter().map(|(name, limit)| (name.as_str(), limit.as_str())).collect();
    assert_eq!(limits, [("lock_timeout", "5000"), ("statement_timeout", "0")]);
}

/// Two nodes whose commits lock the same two rows, each in its own order.
async fn commits_that_name_what_they_touch_do_not_lock_each_other_out(server: &Server) {
    let place = place(server);
    let nodes = [place.open().await, place.open().await];
    nodes[0].commit(thing("one").and(thing("two"))).await.unwrap();
    let change = |id: &'static str| {
        let sql = "UPDATE things SET n = COALESCE(n, 0) + 1 WHERE id = $1";
        Commit::new().touches(id).guard("thing", sql, args![id])
    };
    let commits = (0..200).map(|n| {
        let commit =
            if n % 2 == 0 { change("one").and(change("two")) } else { change("two").and(change("one")) };
        nodes[n % 2].commit(commit)
    });
    futures::future::join_all(commits).await.into_iter().for_each(|done| done.unwrap());
    let (sum,) =
        nodes[0].row::<(i64,)>("SELECT CAST(SUM(n) AS BIGINT) FROM things", args![]).await.unwrap().unwrap();
    assert_eq!(sum, 400);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await; // until the server has counted
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(nodes[0].row::<(i64,)>(sql, args![]).await.unwrap(), Some((0,)));
}

/// Another node holds what one tenant's commits touch, for longer than a commit waits.
async fn what_is_not_to_be_had_fails_those_who_touch_it_and_nobody_else(server: &Server) {
    let place = place(server);
    let (node, other) = (place.open().await, place.open().await);
    node.commit(thing("held").and(thing("free"))).await.unwrap();
    let change = |id: &'static str| {
        let sql = "UPDATE things SET n = COALESCE(n, 0) + 1 WHERE id = $1";
        node.commit(Commit::new().touches(id).guard("thing", sql, args![id]))
    };
    let hold = other.commit(Commit::new().touches("held").run("SELECT pg_sleep(6)", args![]));
    let work = async {
        let held = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND granted \
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while node.row::<(i64,)>(held, args![]).await.unwrap() == Some((0,)) {}
        let alone = change("held"); // goes first, and waits for five seconds
        let (alone, held, free) = tokio::join!(alone, change("held"), change("free"));
        assert!(alone.is_err() && held.is_err(), "{alone:?} {held:?}");
        free.unwrap();
    };
    let (held, ()) = tokio::join!(hold, work);
    held.unwrap();
}
