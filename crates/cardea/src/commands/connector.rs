//! `cardea connector`: files of connectors checked and played, and secrets of tenants and users sealed.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use cardea_core::{
    Code, Error, Result,
    connector::{Auth, Connector, Operation, Per},
    id::{TenantId, UserId},
    journal::Repeatable,
};
use serde_json::{Value, json};

use super::{Cli, ConnectorCommand, ConnectorSecret, End, Out, check, client, people};
use crate::{
    action::secret_name,
    config::{Config, ConfigError, Environment, FileProblems, read_connector},
    identity::TRY_OUT_ISSUER,
};

/// The largest secret that is read from standard input.
const LARGEST: u64 = 64 * 1024;

pub(super) fn run(
    cli: &Cli,
    command: &ConnectorCommand,
    environment: &Environment,
    out: &mut Out<'_>,
) -> End {
    match command {
        ConnectorCommand::Check { path } => look(path, out),
        ConnectorCommand::Secret(words) => match check::load(cli, environment, out) {
            Ok(loaded) => secret(&loaded.config, &loaded.connectors, words, out),
            Err(end) => end,
        },
    }
}

/// The files that are meant: one, or all of a folder.
pub(super) fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return std::fs::metadata(path).map(|_| vec![path.to_owned()]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    Ok(files)
}

fn look(path: &Path, out: &mut Out<'_>) -> End {
    let files = match files(path) {
        Ok(files) => files,
        Err(error) => {
            out.note(format!("{}: {error}", path.display()));
            return End::Unreachable;
        }
    };
    let (mut good, mut broken) = (Vec::new(), Vec::new());
    for file in &files {
        match read_connector(file) {
            Ok((text, connector)) => match Connector::play(&text) {
                Ok(problems) if problems.is_empty() => good.push((file, connector)),
                Ok(problems) | Err(problems) => {
                    broken.push(FileProblems::new(&file.display().to_string(), &text, &[], problems));
                }
            },
            Err(problems) => broken.push(problems),
        }
    }
    let error = ConfigError::from(broken);
    let lines = error.lines();
    if out.json {
        let seen: Vec<Value> = good.iter().map(|(file, connector)| told(file, connector)).collect();
        out.json(&json!({ "good": lines.is_empty(), "connectors": seen, "problems": lines }));
    } else {
        good.iter().for_each(|(file, connector)| print(file, connector, out));
        if files.is_empty() {
            out.note(format!("{}: there is no connector", path.display()));
        }
        if !lines.is_empty() {
            let pretty = error.pretty(out.colours);
            out.note(pretty.trim_end());
            let count = lines.len();
            out.note(format!("\n{count} {} to put right", if count == 1 { "thing" } else { "things" }));
        }
    }
    if lines.is_empty() { End::Good } else { End::Bad }
}

const fn repeat(repeatable: Repeatable) -> &'static str {
    match repeatable {
        Repeatable::ByKey => "harmless",
        Repeatable::ByCheck => "checked first",
        Repeatable::No => "never",
    }
}

fn told(file: &Path, connector: &Connector) -> Value {
    let operation = |operation: &Operation| {
        json!({
            "tool": operation.spec, "method": operation.method(), "repeat": operation.repeatable,
            "undo": operation.undo.as_ref().map(|undo| undo.tool()), "examples": operation.examples(),
        })
    };
    let operations: Vec<Value> = connector.operations.iter().map(operation).collect();
    json!({ "file": file, "name": connector.name, "hosts": connector.hosts, "operations": operations })
}

fn print(file: &Path, connector: &Connector, out: &mut Out<'_>) {
    out.line(format!("{} is good", file.display()));
    out.line(format!("  may reach {}; secret: {}", connector.hosts.join(", "), whose(&connector.auth)));
    let head = ["tool", "effect", "method", "repeat", "undone by", "examples"].map(str::to_owned).to_vec();
    let row = |operation: &Operation| {
        let reads = !operation.spec.effect.changes_things();
        vec![
            operation.spec.name.to_string(),
            operation.spec.effect.name().to_owned(),
            operation.method().to_owned(),
            if reads { "harmless" } else { repeat(operation.repeatable) }.to_owned(),
            operation.undo.as_ref().map_or_else(|| "-".to_owned(), |undo| undo.tool().to_string()),
            operation.examples().to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(connector.operations.iter().map(row)).collect();
    out.table(&rows);
    out.line("  what a model sees:");
    for operation in &connector.operations {
        out.line(format!("  {}: {}", operation.spec.name, operation.spec.description));
        out.line(format!("      {}", operation.spec.input_schema));
    }
}

const fn whose(auth: &Auth) -> &'static str {
    match auth {
        Auth::None => "none is sent",
        Auth::Caller { .. } => "a token that Cardea signs for the caller",
        Auth::Secret { per: Per::Tenant, .. } => "the tenant's, or the installation's",
        Auth::Secret { per: Per::User, .. } => "each user's own",
    }
}

/// Seals what stands on standard input; nothing of it is printed.
fn secret(config: &Config, connectors: &[Connector], words: &ConnectorSecret, out: &mut Out<'_>) -> End {
    let Some(connector) = connectors.iter().find(|connector| connector.name == words.name) else {
        out.note(format!("there is no connector `{}` in {}", words.name, config.connectors.dir.display()));
        return End::Misused;
    };
    let per_user = matches!(connector.auth, Auth::Secret { per: Per::User, .. });
    if !matches!(connector.auth, Auth::Secret { .. }) || per_user != words.user.is_some() {
        let name = &words.name;
        out.note(match &connector.auth {
            Auth::None | Auth::Caller { .. } => {
                format!("`{name}` takes no secret that could be sealed: {}", whose(&connector.auth))
            }
            Auth::Secret { per: Per::User, .. } => {
                format!("secrets of `{name}` are each user's own: say --user")
            }
            Auth::Secret { per: Per::Tenant, .. } => {
                format!("the secret of `{name}` is the tenant's: leave out --user")
            }
        });
        return End::Misused;
    }
    let mut text = String::new();
    let read = std::io::stdin().take(LARGEST).read_to_string(&mut text);
    let text = zeroize::Zeroizing::new(text);
    let clean = text.trim_end_matches(['\r', '\n']);
    if read.is_err() || clean.is_empty() {
        out.note("nothing was read; give the secret on standard input");
        return End::Misused;
    }
    match client::wait(seal(config, words, clean.as_bytes())) {
        Ok(Ok(())) => {
            out.line(format!("sealed the secret of `{}` for {}", words.name, words.tenant));
            End::Good
        }
        Ok(Err(error)) => people::refused(&error, out),
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            End::Unreachable
        }
    }
}

/// The issuer of all users, if there is only one.
fn only_issuer(config: &Config) -> Result<String> {
    let configured = config.auth.issuers.values().map(|issuer| issuer.issuer.clone());
    let try_out = config.local_issuer.enabled.then(|| TRY_OUT_ISSUER.to_owned());
    let mut all = configured.chain(try_out);
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        _ => {
            let detail =
                "Say with `--issuer` who vouches for the user (`iss`): not exactly one issuer is configured.";
            Err(Error::new(Code::BadRequest).detail(detail))
        }
    }
}

async fn seal(config: &Config, words: &ConnectorSecret, secret: &[u8]) -> Result<()> {
    let (vault, db) = people::vault(config).await?;
    let issuer = match (&words.user, &words.issuer) {
        (Some(_), None) => only_issuer(config)?,
        (_, given) => given.clone().unwrap_or_default(),
    };
    let name = secret_name(&words.name, words.user.as_deref().map(|user| (issuer.as_str(), user)));
    let tenant = TenantId::from(words.tenant.as_str());
    let sealed = match &words.user {
        Some(user) => vault.seal_for((&tenant, &UserId::from(user.as_str())), &name, secret).await,
        None => vault.seal(&tenant, &name, secret).await,
    };
    let sealed = sealed.map(drop);
    db.close().await;
    sealed
}
