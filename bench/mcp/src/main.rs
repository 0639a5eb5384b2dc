//! What a call costs: CPU time of the server process per call, beside the same call on bare rmcp, in one run.
//!
//! `cargo run --release -p bench-mcp -- run` starts each server as a process of its own, keeps it busy from this
//! one with so many clients in closed loops, and reads the server's CPU time from `/proc` before and after. Rounds of
//! all servers are interleaved and the cheapest round counts, since other work on the machine can only make it dearer.

mod load;
mod process;
mod report;
mod servers;

use std::{error::Error, path::PathBuf};

use clap::{Parser, Subcommand};

use self::{report::Plan, servers::Kind};

/// Figures for `bench/RESULTS-mcp.md`.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves one kind of server on a free loopback port, and prints its address and a token for each client.
    Serve {
        /// Which server.
        kind: Kind,
        /// Where the audit file goes.
        #[arg(long)]
        folder: PathBuf,
    },
    /// Measures everything and prints tables.
    Run(Plan),
}

fn main() -> Result<(), Box<dyn Error>> {
    match Options::parse().command {
        Command::Serve { kind, folder } => servers::serve(kind, &folder),
        Command::Run(plan) => report::run(&plan),
    }
}
