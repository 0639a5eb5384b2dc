//! `cardea vault`: changes the root key in two steps while servers run, and gives up a lost data folder.

use std::{path::Path, sync::Arc};

use cardea_core::{
    Code, Error, Result,
    cost::Prices,
    time::{SharedClock, SystemClock},
};
use cardea_store::{Commit, Db, args};
use serde_json::json;

use super::{Cli, End, Out, VaultCommand, client, ground};
use crate::{
    app::{NEW_FOLDER, truth_but_folder},
    config::{Config, Environment},
    observe::Observe,
    vault::{RootKey, Vault, folder_id_or_new},
};

pub(super) fn run(cli: &Cli, command: &VaultCommand, environment: &Environment, out: &mut Out<'_>) -> End {
    let config = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded.config,
        Err(end) => return end,
    };
    let done = match command {
        VaultCommand::AddKey => add_key(&config, out),
        VaultCommand::Rewrap => rewrap(&config, out),
        VaultCommand::AdoptFolder => adopt_folder(&config, out),
    };
    match done {
        Ok(()) => End::Good,
        Err(error) => ground::refused(&error, out),
    }
}

/// Adds a new key to the file in the data folder. From the next start on, secrets are sealed under it.
fn add_key(config: &Config, out: &mut Out<'_>) -> Result<()> {
    if config.vault.root_key.is_some() {
        let detail = "The root key stands in the configuration: move it to the end of `vault.old_root_keys`, put a new \
                      one into `vault.root_key` (openssl rand -base64 32), restart all servers, and rewrap.";
        return Err(Error::new(Code::Misconfigured).detail(detail));
    }
    let key = RootKey::rotate_file(&config.data.dir)?;
    if out.json {
        out.json(&json!({ "key": key.id() }));
    } else {
        out.line(format!("new root key {}", key.id()));
        out.note("next: restart all servers, then `cardea vault rewrap`; keep a copy of root.key, with all its lines");
    }
    Ok(())
}

/// Rewraps everything that is wrapped under older keys. May be interrupted and run again.
fn rewrap(config: &Config, out: &mut Out<'_>) -> Result<()> {
    let done = ground::flat(client::wait(async {
        let (vault, db) = ground::vault(config).await?;
        let done = vault.rotate().await;
        db.close().await;
        done
    }))?;
    if out.json {
        out.json(&json!({ "wrapped": done.wrapped, "keyless": done.keyless }));
        return Ok(());
    }
    out.line(format!(
        "{} secrets are wrapped anew; the older keys stay, since the audit log began under them",
        done.wrapped
    ));
    if done.keyless > 0 {
        out.note(format!(
            "{} more stay as they were: the key of their person is not in {}. Either the person was erased and came back with \
             a backup of the database (erase them again), or the folder is not the one: bring it back, and rewrap once more",
            done.keyless,
            config.data.dir.join("people").display()
        ));
    }
    Ok(())
}

/// Makes the folder of this configuration the installation's. Everything sealed under keys in another folder stays
/// unreadable.
fn adopt_folder(config: &Config, out: &mut Out<'_>) -> Result<()> {
    let adopted = ground::flat(client::wait(async {
        ground::not_older(config).await?;
        let (data, root, db) = truth_but_folder(config, ground::own_chain(config)).await?;
        let adopted = adopt(&data, root, &db).await;
        db.close().await;
        adopted
    }))?;
    if out.json {
        out.json(&json!({ "folder": adopted }));
    } else {
        out.line(format!("{} is the data folder of this installation now", config.data.dir.display()));
    }
    Ok(())
}

async fn adopt(data: &Path, root: RootKey, db: &Db) -> Result<String> {
    let clock: SharedClock = Arc::new(SystemClock);
    let sql = "SELECT holder FROM leases WHERE name LIKE 'node/%' AND expires_at > $1 ORDER BY holder";
    let alive: Vec<(String,)> = db.rows(sql, args![clock.now()]).await?;
    if let Some((node,)) = alive.first() {
        let detail =
            format!("The node `{node}` runs, or ended just now: stop all servers, and wait ten seconds.");
        return Err(Error::new(Code::Conflict).detail(detail));
    }
    let id = folder_id_or_new(data).await?;
    let observe = Observe::new(db.clone(), Arc::clone(&clock), Prices::default());
    let vault = Vault::new(db.clone(), observe, root, clock).await;
    let commit = Commit::new().run(NEW_FOLDER, args![&id]);
    db.commit(vault.told_of_folder(commit, &id)).await?;
    Ok(id)
}
