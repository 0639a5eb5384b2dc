//! The commands of the binary.
//!
//! Promises: results go to standard output, remarks to standard error. `--json` makes the output machine-readable. The
//! exit code says whether everything checked is good. No command prints a secret, except one that it has just created
//! for the caller. Called by `main`.

mod adopted;
mod approvals;
mod audit;
mod backup;
mod cache;
mod chat;
mod check;
pub mod cli;
mod client;
mod connector;
mod doctor;
mod ground;
mod guard;
mod init;
mod line;
mod log;
mod migrate;
mod notes;
pub mod out;
mod people;
mod person;
mod policy;
mod serve;
mod tool;
mod tune;
mod vault;

use std::{io::IsTerminal as _, process::ExitCode};

use clap::CommandFactory as _;

pub use cli::{
    Approvals, ApprovalsCommand, AuditCommand, AuditExport, AuditVerify, CacheClear, CacheCommand, Chat, Cli,
    Command, ConfigCommand, ConnectorCommand, ConnectorSecret, Decide, Demo, GuardCommand, GuardScan,
    KeyCommand, KeyCreate, PersonCommand, PersonErase, PolicyCommand, Server, Token, TokenCommand,
    TokenRevoke, ToolAccept, ToolCommand, VaultCommand,
};
pub use out::{End, Out};

use crate::config::Environment;

/// Runs the command of this process.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    // WHY: not locked. A server's log goes to standard error from other threads.
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let mut out = Out::new(&mut stdout, &mut stderr);
    out.colours = out::colours();
    out.json = cli.json;
    run_with(cli, &Environment::of_process(), &mut out).into()
}

/// Runs a command with the given environment and outputs.
pub fn run_with(cli: &Cli, environment: &Environment, out: &mut Out<'_>) -> End {
    let end = one(cli, environment, out);
    out.end(end)
}

fn one(cli: &Cli, environment: &Environment, out: &mut Out<'_>) -> End {
    match &cli.command {
        Command::Serve => serve::serve(cli, environment, out),
        Command::Demo(words) => crate::demo::demo(words, out),
        Command::Check => check::check(cli, environment, out),
        Command::Config { command } => check::config(cli, *command, environment, out),
        Command::Init { dir } => init::init(dir, out),
        Command::Connector { command } => connector::run(cli, command, environment, out),
        Command::Audit { command } => audit::run(cli, command, environment, out),
        Command::Token(wanted) => people::token(cli, wanted, environment, out),
        Command::Key { command } => people::key(cli, command, environment, out),
        Command::Tool { command } => tool::run(cli, command, environment, out),
        Command::Person { command: PersonCommand::Erase(words) } => {
            asked(cli, &words.server, environment, out, |server, out| {
                let (lines, asks) = (std::io::stdin().lock(), std::io::stdin().is_terminal());
                person::erase(words, server, lines, asks, out)
            })
        }
        Command::Vault { command } => vault::run(cli, command, environment, out),
        Command::Backup { dir } => backup::backup(cli, dir, environment, out),
        Command::Migrate => migrate::migrate(cli, environment, out),
        Command::Chat(words) => chat::chat(cli, words, environment, out),
        Command::Approvals(words) => approvals::run(cli, words, environment, out),
        Command::Doctor => doctor::doctor(cli, environment, out),
        Command::Policy { command: PolicyCommand::Test { dir } } => {
            policy::run(cli, dir.as_deref(), environment, out)
        }
        Command::Policy { command: PolicyCommand::Show { version } } => {
            adopted::show(cli, version.as_deref(), environment, out)
        }
        Command::Cache { command: CacheCommand::Tune { file, wrong } } => tune::tune(file, *wrong, out),
        Command::Cache { command: CacheCommand::Clear(words) } => {
            asked(cli, &words.server, environment, out, |server, out| cache::clear(words, server, out))
        }
        Command::Cache { command: CacheCommand::Stats(server) } => {
            asked(cli, server, environment, out, cache::stats)
        }
        Command::Guard { command: GuardCommand::Scan(words) } => guard::scan(words, out),
        Command::Guard { command: GuardCommand::Eval { file, profile } } => guard::eval(file, profile, out),
        Command::Guard { command: GuardCommand::List { markdown } } => guard::list(*markdown, out),
        Command::Completions { shell } => completions(*shell, out),
    }
}

/// Resolves the running server and runs a command against it.
fn asked<'w>(
    cli: &Cli,
    server: &Server,
    environment: &Environment,
    out: &mut Out<'w>,
    work: impl FnOnce(&client::Asked, &mut Out<'w>) -> End,
) -> End {
    match client::Asked::of(cli, server, environment) {
        Ok(server) => work(&server, out),
        Err(refusal) => refusal.tell(out),
    }
}

fn completions(shell: clap_complete::Shell, out: &mut Out<'_>) -> End {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cardea", &mut script);
    out.piece(&String::from_utf8_lossy(&script));
    End::Good
}

#[cfg(test)]
mod tests;
