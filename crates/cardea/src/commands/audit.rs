//! `cardea audit`: verifies and exports the audit log.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use cardea_core::{
    Error,
    log::ChainKey,
    time::{Clock as _, SystemClock, Timestamp},
};
use cardea_store::Db;
use serde_json::json;

use super::{AuditCommand, AuditExport, AuditVerify, Cli, End, Out, client, ground};
use crate::{
    config::{Config, Environment},
    observe::{self, CheckpointKey, Checkpoints, Standing, Unproved, Verified},
    vault::RootKey,
};

/// Name of the file of checkpoints that a server writes beside its database; the default of `--checkpoints`.
pub(super) const CHECKPOINTS: &str = "audit.checkpoints";

/// Finds the key of the chain and runs the command.
pub(super) fn run(cli: &Cli, command: &AuditCommand, environment: &Environment, out: &mut Out<'_>) -> End {
    let config = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded.config,
        Err(end) => return end,
    };
    // WHY: loading a root key creates one if there is none, and a new key proves nothing.
    if !RootKey::is_there(&config.vault, &config.data.dir) {
        out.note(format!(
            "there is no root key in {}, without which no audit log can be proved: bring back the `root.key` that the \
             log was written with, or set `vault.root_key`",
            config.data.dir.display()
        ));
        return End::Unreachable;
    }
    match RootKey::load(&config.vault, &config.data.dir) {
        Ok(root) => match CheckpointKey::from_seed(&root.checkpoint_seed()) {
            Ok(signer) => audit(command, &config, root.chain_key(), Some(signer), out),
            Err(error) => unproved(&Unproved::from(error), out),
        },
        Err(error) => {
            out.note(error.public());
            End::Unreachable
        }
    }
}

/// Runs an audit command with the chain key, and with the key that signs checkpoints if they must be signed.
pub(super) fn audit(
    command: &AuditCommand,
    config: &Config,
    key: ChainKey,
    signer: Option<CheckpointKey>,
    out: &mut Out<'_>,
) -> End {
    match command {
        AuditCommand::Verify(what) => verify(what, config, key, signer, out),
        AuditCommand::Export(what) => export(what, config, key, signer, out),
    }
}

fn verify(
    what: &AuditVerify,
    config: &Config,
    key: ChainKey,
    signer: Option<CheckpointKey>,
    out: &mut Out<'_>,
) -> End {
    let signer = signer.as_ref().map(CheckpointKey::public);
    let beside = beside(what.database.as_deref(), config);
    let checkpoints = what.checkpoints.as_deref().unwrap_or(&beside);
    if !checkpoints.is_file() {
        let missing = format!("{}: no such file", checkpoints.display());
        if what.checkpoints.is_some() {
            return unproved(&Unproved::Unreadable(missing), out);
        }
        out.note(format!("{missing}: without checkpoints, an end that was cut off does not show"));
    }
    let seen = match load(checkpoints, signer.as_deref()) {
        Ok(seen) => seen,
        Err(error) => return unproved(&Unproved::from(error), out),
    };
    if let Some(line) = seen.torn() {
        out.note(format!(
            "line {line} of {} is half a line, which counts for nothing: a write was broken off",
            checkpoints.display()
        ));
    }
    let proved = match &what.file {
        Some(path) => match File::open(path) {
            Ok(file) => observe::verify_export(BufReader::new(file), &key, &seen, signer.as_deref()),
            Err(error) => Err(Unproved::Unreadable(format!("{}: {error}", path.display()))),
        },
        None => match client::wait(in_database(what.database.as_deref(), config, key, &seen)) {
            Ok(proved) => proved,
            Err(error) => Err(Unproved::Unreadable(error.to_string())),
        },
    };
    match proved {
        Ok(verified) => {
            if let Some(signer) = signer.filter(|_| !out.json) {
                out.line(format!("checkpoints are signed by {signer}"));
            }
            proof(&verified, out)
        }
        Err(error) => unproved(&error, out),
    }
}

/// Returns the checkpoints beside a database. A copy is verified with the copy's own checkpoints: newer ones would
/// name entries that the copy does not hold.
fn beside(copy: Option<&Path>, config: &Config) -> PathBuf {
    copy.and_then(Path::parent).unwrap_or(&config.data.dir).join(CHECKPOINTS)
}

fn load(checkpoints: &Path, signer: Option<&str>) -> Result<Checkpoints, Error> {
    match signer {
        Some(signer) => Checkpoints::load_signed(checkpoints, signer),
        None => Checkpoints::load(checkpoints),
    }
}

fn proof(verified: &Verified, out: &mut Out<'_>) -> End {
    if out.json {
        let chains: Vec<_> = verified
            .chains
            .iter()
            .map(|(node, head)| json!({ "node": node, "entries": head.sequence }))
            .collect();
        let compared = verified.compared;
        out.json(
            &json!({ "proved": true, "entries": verified.entries, "compared": compared, "chains": chains,
                     "as_of": verified.as_of }),
        );
        return End::Good;
    }
    for (node, head) in &verified.chains {
        out.line(format!("node {node}: {} entries, unchanged from the first to the last", head.sequence));
    }
    if verified.compared > 0 {
        let rows = verified.compared;
        out.line(format!(
            "{rows} decisions, approvals and sets of policies are what these entries say of them"
        ));
    }
    let as_of = verified.as_of.map(|at| format!(", all that there were at {at}")).unwrap_or_default();
    out.line(format!("proved: {} entries{as_of}", verified.entries));
    End::Good
}

fn unproved(error: &Unproved, out: &mut Out<'_>) -> End {
    // WHY: an honest export looks like this too until its last line is written.
    let is_open = matches!(error, Unproved::Older { .. });
    if out.json {
        out.json(&json!({ "proved": false, "open": is_open, "problem": error.to_string() }));
    } else if is_open {
        out.note(format!("not decided: {error}"));
    } else {
        out.note(format!("NOT PROVED: {error}"));
    }
    if is_open || matches!(error, Unproved::Unreadable(_)) { End::Unreachable } else { End::Bad }
}

async fn in_database(
    copy: Option<&Path>,
    config: &Config,
    key: ChainKey,
    seen: &Checkpoints,
) -> Result<Verified, Unproved> {
    let db = open(copy, config, key.clone()).await?;
    let proved = observe::verify(&db, &key, seen).await;
    db.close().await;
    proved
}

/// Opens the configured database, or a copy of one, read only. Opening must not create a database that does not exist.
async fn open(copy: Option<&Path>, config: &Config, key: ChainKey) -> Result<Db, Unproved> {
    let file = copy.or_else(|| config.db.url.strip_prefix("sqlite:").map(Path::new));
    if let Some(path) = file.filter(|path| !path.is_file()) {
        return Err(Unproved::Unreadable(format!("{} is not there", path.display())));
    }
    Ok(match copy {
        Some(path) => Db::look(path).await?,
        None => Db::open(config.db.clone(), key).await?,
    })
}

fn export(
    what: &AuditExport,
    config: &Config,
    key: ChainKey,
    signer: Option<CheckpointKey>,
    out: &mut Out<'_>,
) -> End {
    // WHY: the checkpoints are read before the log, so that the log holds every entry that they name.
    let seen = load(
        &beside(what.database.as_deref(), config),
        signer.as_ref().map(CheckpointKey::public).as_deref(),
    );
    let began = SystemClock.now();
    let written = client::wait(async {
        let db = open(what.database.as_deref(), config, key).await?;
        let written = observe::export(&db, out).await;
        db.close().await;
        written
    });
    match written {
        Ok(Ok(standing)) => {
            // WHY: chains are read one after the other while each grows. The time at which a copy was made is unknown,
            // but it is not before the copy's newest entry.
            let all_at = if what.database.is_some() { standing.newest } else { Some(began) };
            seal(&standing, all_at, signer, seen, out)
        }
        Ok(Err(_)) if out.reader_is_gone() => End::Good,
        Ok(Err(error)) => unproved(&error, out),
        Err(error) => unproved(&Unproved::Unreadable(error.to_string()), out),
    }
}

/// Writes the last line, which proves to a later `audit verify` that the export was complete when it was made.
fn seal(
    standing: &Standing,
    at: Option<Timestamp>,
    signer: Option<CheckpointKey>,
    seen: Result<Checkpoints, Error>,
    out: &mut Out<'_>,
) -> End {
    match (signer, seen) {
        (Some(key), Ok(seen)) => match at.and_then(|at| standing.line(at, &key, &seen)) {
            Some(line) => out.line(line),
            None if at.is_none() => {}
            None => out.note("a checkpoint has seen more than there is: run `cardea audit verify`"),
        },
        (_, Err(error)) => {
            out.note(format!("there is no last line to prove its end by: {}", error.public()));
        }
        (None, Ok(_)) => {}
    }
    if !out.reader_is_gone() {
        out.note(format!("{} entries", standing.entries));
    }
    End::Good
}
