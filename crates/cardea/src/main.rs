//! The `cardea` binary.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cardea::commands::run(&cardea::commands::Cli::parse())
}
