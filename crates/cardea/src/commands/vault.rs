//! `cardea vault`: the root key is changed, in two steps, while servers run.

use cardea_core::{Code, Error, Result};
use serde_json::json;

use super::{Cli, End, Out, VaultCommand, client, ground};
use crate::{
    config::{Config, Environment},
    vault::RootKey,
};

pub(super) fn run(cli: &Cli, command: &VaultCommand, environment: &Environment, out: &mut Out<'_>) -> End {
    let config = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded.config,
        Err(end) => return end,
    };
    let done = match command {
        VaultCommand::AddKey => add_key(&config, out),
        VaultCommand::Rewrap => rewrap(&config, out),
    };
    match done {
        Ok(()) => End::Good,
        Err(error) => ground::refused(&error, out),
    }
}

/// A new key in the file of the data folder; what is sealed from the next start on is sealed under it.
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

/// Wraps everything that stands under older keys under the newest. May be stopped and run again.
fn rewrap(config: &Config, out: &mut Out<'_>) -> Result<()> {
    let count = ground::flat(client::wait(async {
        let (vault, db) = ground::vault(config).await?;
        let done = vault.rotate().await;
        db.close().await;
        done
    }))?;
    if out.json {
        out.json(&json!({ "wrapped": count }));
    } else {
        out.line(format!(
            "{count} secrets are wrapped anew; the older keys stay, since the audit log began under them"
        ));
    }
    Ok(())
}
