//! A process that is killed while it commits has lost nothing that it acknowledged.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use cardea_core::{log::ChainKey, time::Timestamp};
use cardea_store::{Commit, Db, DbConfig, crash::POINTS, db::args};
use futures::{StreamExt, stream};

use crate::engines::{KEY, Place};

const PLACE: &str = "CARDEA_TEST_CRASH_URL";

fn commit(n: u64) -> Commit {
    let body = format!("row {n}").into_bytes();
    Commit::new().insert("things", [("id", format!("r{n}").into())]).audit(&"acme".into(), Timestamp(0), body)
}

/// The child: commits for ever, sixteen at a time, and says which rows were acknowledged. Does nothing in a normal run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_is_going_to_be_killed() {
    let Ok(url) = std::env::var(PLACE) else { return };
    let db = Db::open(DbConfig::at(url), ChainKey::new(&KEY)).await.unwrap();
    let start: u64 = std::env::var("CARDEA_TEST_CRASH_FROM").unwrap().parse().unwrap();
    let acknowledged = stream::iter(start..).map(|n| {
        let db = &db;
        async move { (n, db.commit(commit(n)).await) }
    });
    let mut acknowledged = std::pin::pin!(acknowledged.buffer_unordered(16));
    while let Some((n, result)) = acknowledged.next().await {
        result.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {n}").unwrap();
        out.flush().unwrap();
    }
}

fn child(place: &Place, from: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::child_that_is_going_to_be_killed", "--nocapture", "--test-threads=1"])
        .env(PLACE, &place.url)
        .env("CARDEA_TEST_CRASH_FROM", from)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn acknowledged(line: &str) -> Option<u64> {
    line.split_once("acknowledged ").map(|(_, n)| n.parse().unwrap())
}

async fn nothing_is_lost(place: &Place, acknowledged: &[u64]) {
    let db = place.open().await;
    let rows: Vec<(String,)> = db.rows("SELECT id FROM things", args![]).await.unwrap();
    let rows: std::collections::HashSet<_> = rows.into_iter().map(|(id,)| id).collect();
    for n in acknowledged {
        assert!(rows.contains(&format!("r{n}")), "row {n} was acknowledged and is gone");
    }
    assert_eq!(
        crate::contract::chain(&db).await.len(),
        rows.len(),
        "each row has its entry, each entry its row"
    );
    db.close().await;
}

#[tokio::test]
async fn at_every_place_where_a_commit_can_be_cut_nothing_acknowledged_is_lost() {
    let place = Place::sqlite();
    place.open().await.close().await;
    let mut told = Vec::new();
    for (round, point) in POINTS.iter().filter(|point| point.starts_with("commit.")).enumerate() {
        let command = &mut child(&place, &(round * 100_000).to_string());
        let ended = command.env("CRASH_AT", format!("{point}:3")).output().unwrap();
        assert!(!ended.status.success(), "the process never came to `{point}`");
        told.extend(String::from_utf8_lossy(&ended.stdout).lines().filter_map(acknowledged));
        nothing_is_lost(&place, &told).await;
    }
}

#[tokio::test]
async fn a_killed_process_loses_no_acknowledged_row_and_leaves_a_whole_chain() {
    let place = Place::sqlite();
    place.open().await.close().await;
    let mut told = Vec::new();
    for round in 0..5_usize {
        let from = (round * 100_000).to_string();
        let mut child = child(&place, &from).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = told.len() + 30 + round * 37;
        while told.len() < enough {
            told.extend(acknowledged(&lines.next().expect("the child ended by itself").unwrap()));
        }
        child.kill().unwrap();
        // What was still in the pipe had been acknowledged as well.
        told.extend(lines.map_while(Result::ok).filter_map(|line| acknowledged(&line)));
        child.wait().unwrap();
        nothing_is_lost(&place, &told).await;
    }
}
