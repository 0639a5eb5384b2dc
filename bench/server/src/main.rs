//! What one request costs the served binary, in CPU time of its process.
//!
//! `cargo build --release -p cardea -p cardea-bench-server && target/release/cardea-bench-server`
//!
//! Cardea runs as its own process (`cardea serve`, configuration in a fresh folder, SQLite on disk). The clients, the
//! instant model and the tool server are in this one, so their work is not counted. Each figure is user and system
//! time of the server process over the requests of one run, read from `/proc` before and after.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "a bench has no jobs to drain: its tasks end with it")]

mod bare;
mod installation;
mod load;
mod neighbours;
mod relay;
mod scenes;

use std::{env, error::Error, path::PathBuf};

/// Cardea's allocator, for the baseline.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What this program's parts may fail with.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let binary = match env::var_os("BENCH_BINARY") {
        Some(path) => PathBuf::from(path),
        None => env::current_exe()?.with_file_name("cardea"),
    };
    let mut words = env::args().skip(1);
    let only = words.next();
    if only.as_deref() == Some(bare::WORD) {
        let mut place = || words.next().ok_or("where are the model and the tools?");
        return bare::serve(place()?, &place()?).await;
    }
    for (name, scene) in scenes::all() {
        if only.as_deref().is_none_or(|only| name.contains(only)) {
            for line in scene(&binary).await? {
                println!("{name:<34} {line}");
            }
        }
    }
    Ok(())
}
