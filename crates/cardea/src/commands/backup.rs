//! `cardea backup`: copies the database while a server may be running.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
};

use cardea_core::{Code, Error, Result};
use cardea_store::db::copy;
use serde_json::json;

use super::{Cli, End, Out, audit::CHECKPOINTS, client, ground};
use crate::{
    app::private_folder,
    config::{Config, Environment},
};

/// Name of the database in the folder of a copy.
const DATABASE: &str = "cardea.db";

pub(super) fn backup(cli: &Cli, dir: &Path, environment: &Environment, out: &mut Out<'_>) -> End {
    let config = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded.config,
        Err(end) => return end,
    };
    if let Err(error) = private_folder(dir) {
        out.note(format!("{} cannot be made: {error}", dir.display()));
        return End::Unreachable;
    }
    match ground::flat(client::wait(work(&config, dir))) {
        Ok(bytes) if out.json => out.json(&json!({ "dir": dir, "bytes": bytes })),
        Ok(bytes) => {
            out.line(format!("wrote {} ({bytes} bytes)", dir.join(DATABASE).display()));
            out.note(format!(
                "not in it, and needed with it: {0}/root.key (or vault.root_key), and {0}/people; keep them apart from it",
                config.data.dir.display()
            ));
        }
        Err(error) => return ground::refused(&error, out),
    }
    End::Good
}

async fn work(config: &Config, dir: &Path) -> Result<u64> {
    // WHY: the checkpoints are copied first. Every entry that they name is in the database by then, so the copy holds
    // all of them. In the other order a good copy would look truncated.
    let (from, to) = (config.data.dir.join(CHECKPOINTS), dir.join(CHECKPOINTS));
    let seen = match fs::read(&from) {
        Ok(seen) => seen,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let detail = format!("`{}` cannot be read: {error}.", from.display());
            return Err(Error::new(Code::StoreUnavailable).detail(detail));
        }
    };
    let beside = move || {
        let written = File::create(&to).and_then(|mut file| {
            file.write_all(&seen)?;
            file.sync_all()
        });
        written.map_err(|error| {
            let detail = format!("`{}` cannot be written: {error}.", to.display());
            Error::new(Code::StoreUnavailable).detail(detail)
        })
    };
    copy(&config.db, &dir.join(DATABASE), beside).await
}
