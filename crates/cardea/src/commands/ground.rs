//! What every command stands on: the configuration, the rooms behind it, and how a refusal is told.

use std::{path::Path, sync::Arc};

use cardea_core::{Code, Error, Result, cost::Prices, log::ChainKey, time::SystemClock};
use cardea_store::{Db, DbConfig, db::is_newer};
use serde_json::json;

use super::{Cli, End, Out};
use crate::{
    app::truth,
    config::{Config, ConfigError, Environment, Loaded},
    observe::Observe,
    vault::Vault,
};

/// The longest name that a node may have.
const LONGEST_NODE: usize = 60;

/// Loads the configuration, or says what is wrong with it.
pub(super) fn load(cli: &Cli, environment: &Environment, out: &mut Out<'_>) -> Result<Loaded, End> {
    Config::load(&cli.config, environment).map_err(|error| {
        refuse(&error, out);
        if error.is_unread() { End::Unreachable } else { End::Bad }
    })
}

fn refuse(error: &ConfigError, out: &mut Out<'_>) {
    if out.json {
        out.json(&json!({ "good": false, "problems": error.lines() }));
        return;
    }
    let count = error.lines().len();
    let pretty = error.pretty(out.colours);
    out.note(pretty.trim_end());
    out.note(format!("\n{count} {} to put right", if count == 1 { "thing" } else { "things" }));
}

/// The vault, on the configured database.
pub(super) async fn vault(config: &Config) -> Result<(Vault, Db)> {
    let (vault, db, _) = rooms(config).await?;
    Ok((vault, db))
}

pub(super) async fn rooms(config: &Config) -> Result<(Vault, Db, Observe)> {
    let clock: cardea_core::time::SharedClock = Arc::new(SystemClock);
    not_older(config).await?;
    let (_, root, db) = truth(config, own_chain(config)).await?;
    let observe = Observe::new(db.clone(), Arc::clone(&clock), Prices::default());
    let vault = Vault::new(db.clone(), observe.clone(), root, clock);
    Ok((vault, db, observe))
}

/// WHY: a command that looks at something must not bring a database to tables with which the servers that run on it do not
/// start any more.
///
/// # Errors
/// `misconfigured` of a database that an older Cardea has written; what the store says.
pub(super) async fn not_older(config: &Config) -> Result<()> {
    if config.db.url.strip_prefix("sqlite:").is_some_and(|path| !Path::new(path).is_file()) {
        return Ok(());
    }
    let db = Db::open(config.db.clone(), ChainKey::new(&[0; 32])).await?; // nothing is written under it
    let older = db.is_older().await;
    db.close().await;
    if older? {
        let detail = "The database is that of an older Cardea. `cardea migrate` brings it up to date, as the start of a \
                      server does; older servers do not start on it from then on.";
        return Err(Error::new(Code::Misconfigured).detail(detail));
    }
    Ok(())
}

/// How the database is opened beside a server.
pub(super) fn own_chain(config: &Config) -> DbConfig {
    // WHY: a server may run on this database at the same time, and each writer needs an audit chain of its own.
    let mut settings = config.db.clone();
    settings.node = format!("{}.cli", settings.node.chars().take(LONGEST_NODE).collect::<String>());
    settings
}

pub(super) fn flat<T>(waited: std::io::Result<Result<T>>) -> Result<T> {
    waited.unwrap_or_else(|error| Err(Error::new(Code::Internal).because(error)))
}

/// The words of an error for whoever sits at the keyboard: what these codes say to clients says nothing here.
pub(super) fn words(error: &Error) -> String {
    let (code, whole) = (error.code(), error.public());
    let own = matches!(code, Code::BadRequest | Code::Misconfigured | Code::Conflict);
    let bare = whole.strip_prefix(code.sentence()).map(str::trim).filter(|bare| own && !bare.is_empty());
    bare.map_or_else(|| whole.clone(), str::to_owned)
}

/// Says why a command was not done, to a machine in the place of its result, and how the command ends.
pub(super) fn refused(error: &Error, out: &mut Out<'_>) -> End {
    let says = match error.cause_line() {
        Some(cause) => format!("{} ({cause})", words(error)),
        None => words(error),
    };
    out.error(error.code().name(), &says);
    end_of(error)
}

/// How a command ends that met this error.
pub(super) fn end_of(error: &Error) -> End {
    match error.code() {
        Code::Misconfigured if is_newer(error) => End::Unreachable,
        Code::Misconfigured => End::Bad,
        Code::BadRequest => End::Misused,
        code if code.status() >= 500 => End::Unreachable,
        _ => End::Bad,
    }
}
