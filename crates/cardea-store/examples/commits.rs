//! Measures durable audited commits: `cargo run --release -p cardea-store --example commits [URL] [WRITERS] [COMMITS]`.
//!
//! Each commit is one row and one entry of the audit chain. Prints commits per second and CPU time per commit of the
//! whole process, as the kernel counts it.
#![expect(clippy::print_stdout, reason = "a measuring program talks to its terminal")]

use std::{error::Error, time::Instant};

use cardea_core::{id::TurnId, log::ChainKey, time::Timestamp};
use cardea_store::{
    Commit, Db, DbConfig,
    db::{Migration, args},
};
use futures::{StreamExt, stream};

const TABLE: Migration =
    Migration { version: 1_000, name: "bench", sql: "CREATE TABLE bench (id TEXT PRIMARY KEY, body TEXT);" };

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut given = std::env::args().skip(1);
    let url = given.next().unwrap_or_else(|| "sqlite:bench.db".into());
    let writers: usize = given.next().map_or(Ok(64), |text| text.parse())?;
    let commits: usize = given.next().map_or(Ok(20_000), |text| text.parse())?;
    let db = Db::open(DbConfig::at(url), ChainKey::new(&[1; 32])).await?;
    let tables: Vec<Migration> = cardea_store::db::MIGRATIONS.iter().copied().chain([TABLE]).collect();
    db.migrate_with(&tables).await?;
    let body = format!("{{\"what\":\"{}\"}}", "x".repeat(400));

    let (start, cpu) = (Instant::now(), cpu_millis()?);
    let mut done = stream::iter(0..commits)
        .map(|_| {
            let row =
                Commit::new().insert("bench", [("id", TurnId::random().into()), ("body", "a row".into())]);
            db.commit(row.audit(&"bench".into(), Timestamp(1), body.clone().into_bytes()))
        })
        .buffer_unordered(writers);
    while let Some(result) = done.next().await {
        result?;
    }
    report("commits", commits, start, cpu)?;

    let (start, cpu) = (Instant::now(), cpu_millis()?);
    let sql = "SELECT seq, body FROM audit WHERE node = $1 AND seq = $2";
    let mut done = stream::iter(1..=commits)
        .map(|n| db.rows::<(i64, Vec<u8>)>(sql, args!["main", n]))
        .buffer_unordered(writers);
    while let Some(rows) = done.next().await {
        rows?;
    }
    report("reads", commits, start, cpu)?;
    db.close().await;
    Ok(())
}

fn report(what: &str, count: usize, start: Instant, cpu: f64) -> Result<(), Box<dyn Error>> {
    let (took, cpu) = (start.elapsed().as_secs_f64(), cpu_millis()? - cpu);
    println!("{what}: {:.0}/s, {:.4} ms CPU each", count as f64 / took, cpu / count as f64);
    Ok(())
}

/// User and system time of this process, from the kernel's table of 10 ms ticks.
fn cpu_millis() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks * 10.0)
}
