//! The `cardea` binary.

use std::process::ExitCode;

use clap::Parser as _;

/// WHY: requests make many small allocations on several threads; the system's allocator took a tenth of their time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cardea::commands::run(&cardea::commands::Cli::parse())
}
