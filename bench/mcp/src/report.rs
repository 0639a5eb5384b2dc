//! Runs the rounds and prints what they came to.

use std::{
    error::Error,
    fmt::Write as _,
    io::Write as _,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    load::{self, Done, quantile, request},
    process::{Running, cpu, exact_cpu, resident},
    servers::Kind,
};

/// What to measure.
#[derive(Args)]
pub(crate) struct Plan {
    /// Seconds of each round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds of each server and each number of clients.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The example's binary, for start time and memory. Beside this program by default.
    #[arg(long)]
    example: Option<PathBuf>,
    /// Only these servers.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
}

/// One line of the table.
struct Row {
    what: &'static str,
    kind: Kind,
    clients: usize,
    requests: fn(&Running, usize) -> Vec<Vec<u8>>,
    best: Option<Round>,
    spread: Vec<f64>,
    /// The 99th percentile of each round.
    late: Vec<f64>,
}

struct Round {
    micros: f64,
    done: Done,
}

fn calls(server: &Running, clients: usize) -> Vec<Vec<u8>> {
    let params = r#""name":"echo","arguments":{"word":"hello"}"#;
    let tokens = server.tokens.iter().take(clients);
    tokens.map(|token| request("tools/call", params, Some("echo"), token)).collect()
}

fn lists(server: &Running, clients: usize) -> Vec<Vec<u8>> {
    server.tokens.iter().take(clients).map(|token| request("tools/list", "", None, token)).collect()
}

fn table() -> Vec<Row> {
    let row = |what, kind, clients, requests| Row {
        what,
        kind,
        clients,
        requests,
        best: None,
        spread: Vec::new(),
        late: Vec::new(),
    };
    let mut rows = Vec::new();
    for clients in [1, 64] {
        rows.push(row("call, bare rmcp", Kind::Bare, clients, calls as fn(&Running, usize) -> _));
        rows.push(row("call, no auth", Kind::Open, clients, calls));
        rows.push(row("call, JWT + role + rate", Kind::Unaudited, clients, calls));
        rows.push(row("call, JWT + role + rate + durable audit", Kind::Guarded, clients, calls));
        rows.push(row("tools/list of 30", Kind::Thirty, clients, lists));
    }
    rows
}

/// Measures everything.
pub(crate) fn run(plan: &Plan) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = table();
    rows.retain(|row| plan.only.is_empty() || plan.only.contains(&row.kind));
    for _ in 0..plan.rounds {
        for row in &mut rows {
            let folder = tempfile::tempdir_in(".")?;
            let server = Running::start(row.kind, folder.path())?;
            let requests = (row.requests)(&server, row.clients);
            let warm = Duration::from_millis(300);
            runtime.block_on(load::round(&server.address, &requests, warm))?;
            let before = server.cpu()?;
            let time = Duration::from_secs(plan.seconds);
            let done = runtime.block_on(load::round(&server.address, &requests, time))?;
            let used = server.cpu()?.saturating_sub(before);
            #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
            let micros = used.as_secs_f64() * 1e6 / done.calls as f64;
            row.spread.push(micros);
            row.late.push(quantile(&done.took, 0.99).as_secs_f64() * 1e3);
            if row.best.as_ref().is_none_or(|best| micros < best.micros) {
                row.best = Some(Round { micros, done });
            }
        }
    }
    let mut text = calls_table(&rows)?;
    let example = match &plan.example {
        Some(example) => example.clone(),
        None => std::env::current_exe()?.with_file_name("customer-ops"),
    };
    if example.exists() && plan.only.is_empty() {
        text.push_str(&start_table(&example, plan.rounds)?);
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn calls_table(rows: &[Row]) -> Result<String, Box<dyn Error>> {
    let mut text = String::from(
        "| work | clients | CPU per call (best round) | all rounds, µs | calls/s | p50 | p99, each round |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Some(best) = &row.best else { continue };
        let (spread, late) = (sorted(&row.spread), sorted(&row.late));
        #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
        let rate = best.done.calls as f64 / best.done.wall.as_secs_f64();
        let half = quantile(&best.done.took, 0.5).as_secs_f64() * 1e3;
        let (what, clients, micros) = (row.what, row.clients, best.micros);
        writeln!(
            text,
            "| {what} | {clients} | {micros:.1} µs | {spread} | {rate:.0} | {half:.2} ms | {late} ms |"
        )?;
    }
    Ok(text)
}

/// From the lowest to the highest.
fn sorted(values: &[f64]) -> String {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let values: Vec<String> = values.iter().map(|value| format!("{value:.1}")).collect();
    values.join(" ")
}

/// A started example, ended with this value.
struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        // WHY: the measurement is over; a process that is gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From the start of the process until it answers `/readyz`, and what it then holds.
fn start_table(example: &std::path::Path, rounds: usize) -> Result<String, Box<dyn Error>> {
    let mut text = String::from("\n| customer-ops, 30 tools | wall | CPU | RSS |\n|---|---|---|---|\n");
    for round in 1..=rounds.max(3) {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let began = Instant::now();
        let child = Command::new(example)
            .args(["--listen", &free.to_string(), "--secret", "a secret for this benchmark alone"])
            .stderr(Stdio::null())
            .spawn()?;
        let example = Example(child);
        while TcpStream::connect(free).is_err() {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("the example does not start".into());
            }
            std::thread::yield_now();
        }
        let (wall, pid) = (began.elapsed(), example.0.id());
        let used = exact_cpu(pid)?.max(cpu(pid)?);
        let (wall, used) = (wall.as_secs_f64() * 1e3, used.as_secs_f64() * 1e3);
        writeln!(text, "| start {round} | {wall:.1} ms | {used:.1} ms | {:.1} MB |", mb(resident(pid)?))?;
    }
    Ok(text)
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes of a process")]
fn mb(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
