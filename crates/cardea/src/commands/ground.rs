//! What all commands share: loading the configuration, opening its rooms, and wording a refusal.

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

/// Length limit of a node name.
const LONGEST_NODE: usize = 60;

/// Loads the configuration, or prints what is wrong with it.
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

/// Opens the vault on the configured database.
pub(super) async fn vault(config: &Config) -> Result<(Vault, Db)> {
    let (vault, db, _) = rooms(config).await?;
    Ok((vault, db))
}

pub(super) async fn rooms(config: &Config) -> Result<(Vault, Db, Observe)> {
    let clock: cardea_core::time::SharedClock = Arc::new(SystemClock);
    not_older(config).await?;
    let (_, root, db) = truth(config, own_chain(config)).await?;
    let observe = Observe::new(db.clone(), Arc::clone(&clock), Prices::default());
    let vault = Vault::new(db.clone(), observe.clone(), root, clock).await;
    Ok((vault, db, observe))
}

/// Refuses a database that an older version has written.
///
/// WHY: a command that only reads must not migrate the database. The servers that still run on it would not start with
/// the new schema.
///
/// # Errors
/// `misconfigured` for a database that an older Cardea has written; store errors.
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

/// Returns the settings with which a command opens the database beside a running server.
pub(super) fn own_chain(config: &Config) -> DbConfig {
    // WHY: a server may run on this database at the same time, and each writer needs an audit chain of its own.
    let mut settings = config.db.clone();
    settings.node = format!("{}.cli", settings.node.chars().take(LONGEST_NODE).collect::<String>());
    settings
}

pub(super) fn flat<T>(waited: std::io::Result<Result<T>>) -> Result<T> {
    waited.unwrap_or_else(|error| Err(Error::new(Code::Internal).because(error)))
}

/// Words an error for the operator: the sentences of these codes are meant for clients and say nothing here.
pub(super) fn words(error: &Error) -> String {
    let (code, whole) = (error.code(), error.public());
    let own = matches!(code, Code::BadRequest | Code::Misconfigured | Code::Conflict);
    let bare = whole.strip_prefix(code.sentence()).map(str::trim).filter(|bare| own && !bare.is_empty());
    bare.map_or_else(|| whole.clone(), str::to_owned)
}

/// Prints why a command was not done (as JSON in place of the result if asked for) and returns how it ends.
pub(super) fn refused(error: &Error, out: &mut Out<'_>) -> End {
    let says = match error.cause_line() {
        Some(cause) => format!("{} ({cause})", words(error)),
        None => words(error),
    };
    out.error(error.code().name(), &says);
    end_of(error)
}

/// Returns how a command ends after this error.
pub(super) fn end_of(error: &Error) -> End {
    match error.code() {
        Code::Misconfigured if is_newer(error) => End::Unreachable,
        Code::Misconfigured => End::Bad,
        Code::BadRequest => End::Misused,
        code if code.status() >= 500 => End::Unreachable,
        _ => End::Bad,
    }
}
