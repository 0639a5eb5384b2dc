//! `cardea migrate`.

use cardea_core::log::ChainKey;
use cardea_store::{
    Db,
    db::{MIGRATIONS, Migrated},
};
use serde_json::json;

use super::{Cli, End, Out, client, ground};
use crate::{
    app::data_folder,
    config::{Config, Environment},
};

pub(super) fn migrate(cli: &Cli, environment: &Environment, out: &mut Out<'_>) -> End {
    let loaded = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded,
        Err(end) => return end,
    };
    let moved = match client::wait(work(&loaded.config)) {
        Ok(Ok(moved)) => moved,
        Ok(Err(error)) => {
            out.error("store_unavailable", &error);
            return End::Unreachable;
        }
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            return End::Unreachable;
        }
    };
    if out.json {
        out.json(&json!({ "from": moved.from, "to": moved.to }));
    } else if moved.from == moved.to {
        out.line(format!("nothing to do: the database is at version {}", moved.to));
    } else {
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > moved.from) {
            out.line(format!("applied {}", migration.name));
        }
        out.line(format!("the database went from version {} to {}", moved.from, moved.to));
    }
    End::Good
}

async fn work(config: &Config) -> Result<Migrated, String> {
    let words = |error: cardea_core::Error| match error.cause_line() {
        Some(cause) => format!("{}: {error} {cause}", config.db.url),
        None => format!("{}: {error}", config.db.url),
    };
    if config.db.url.starts_with("sqlite:") {
        let made = data_folder(&config.data.dir);
        made.map_err(|error| error.public())?;
    }
    // WHY: a migration writes no audit entry, so the key of the chain is not needed.
    let db = Db::open(config.db.clone(), ChainKey::new(&[0; 32])).await.map_err(words)?;
    let moved = db.migrate().await.map_err(words);
    db.close().await;
    moved
}
