//! `cardea connector`: checks connector files with their examples, and seals the secrets of tenants and users.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use cardea_core::{
    Code, Error, Result,
    connector::{Auth, Connector, Operation, Per, secret_name},
    form::closest,
    id::{TenantId, UserId},
    journal::Repeatable,
    principal::owner_key,
};
use serde_json::{Value, json};

use super::{Cli, ConnectorCommand, ConnectorSecret, End, Out, client, ground};
use crate::{
    config::{Config, ConfigError, Environment, FileProblems, read_connector},
    control,
    identity::TRY_OUT_ISSUER,
};

/// Size limit of a secret on standard input.
const LARGEST: u64 = 64 * 1024;

/// Issuers that need no configuration: those of API keys and of an embedding program.
const BUILT_IN: [&str; 2] = ["cardea:keys", "cardea:embedded"];

pub(super) fn run(
    cli: &Cli,
    command: &ConnectorCommand,
    environment: &Environment,
    out: &mut Out<'_>,
) -> End {
    match command {
        ConnectorCommand::Check { path } => look(path, out),
        ConnectorCommand::Secret(words) => match ground::load(cli, environment, out) {
            Ok(loaded) => secret(&loaded.config, &loaded.connectors, words, out),
            Err(end) => end,
        },
    }
}

/// Returns the files to check: one file, or all files of a folder.
pub(super) fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return std::fs::metadata(path).map(|_| vec![path.to_owned()]);
    }
    control::files(path, "toml")
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

/// Returns why this connector cannot take a secret given in this way.
fn misplaced(auth: &Auth, words: &ConnectorSecret) -> Option<String> {
    let name = &words.name;
    match (auth, &words.user) {
        (Auth::Secret { per: Per::User, .. }, Some(_)) | (Auth::Secret { per: Per::Tenant, .. }, None) => {
            None
        }
        (Auth::Secret { per: Per::User, .. }, None) => {
            Some(format!("secrets of `{name}` are each user's own: say --user"))
        }
        (Auth::Secret { per: Per::Tenant, .. }, Some(_)) => {
            Some(format!("the secret of `{name}` is the tenant's: leave out --user"))
        }
        (Auth::None | Auth::Caller { .. }, _) => {
            Some(format!("`{name}` takes no secret that could be sealed: {}", whose(auth)))
        }
    }
}

/// Seals the secret on standard input and prints nothing of it.
fn secret(config: &Config, connectors: &[Connector], words: &ConnectorSecret, out: &mut Out<'_>) -> End {
    let Some(connector) = connectors.iter().find(|connector| connector.name == words.name) else {
        out.note(format!("there is no connector `{}` in {}", words.name, config.connectors.dir.display()));
        return End::Misused;
    };
    if let Some(why) = misplaced(&connector.auth, words) {
        out.note(why);
        return End::Misused;
    }
    let issuer = match issuer_of(config, words) {
        Ok(issuer) => issuer,
        Err(error) => return ground::refused(&error, out),
    };
    let secret = match read_secret(std::io::stdin().lock()) {
        Ok(secret) => secret,
        Err(why) => {
            out.note(why);
            return End::Misused;
        }
    };
    match client::wait(seal(config, words, issuer.as_deref(), secret.as_bytes())) {
        Ok(Ok(())) => {
            if out.json {
                let (user, issuer) = (&words.user, &issuer);
                out.json(&json!({
                    "sealed": true, "connector": words.name, "tenant": words.tenant, "user": user, "issuer": issuer,
                }));
            } else {
                out.line(sealed(words, issuer.as_deref()));
            }
            End::Good
        }
        Ok(Err(error)) => ground::refused(&error, out),
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            End::Unreachable
        }
    }
}

/// Names in full whose secret was sealed, so that a slip in a name is seen now.
fn sealed(words: &ConnectorSecret, issuer: Option<&str>) -> String {
    let (name, tenant) = (&words.name, &words.tenant);
    match (&words.user, issuer) {
        (Some(user), Some(issuer)) => {
            format!("sealed the secret of `{name}` for the user `{user}` of `{issuer}`, tenant `{tenant}`")
        }
        _ => format!("sealed the secret of `{name}` for the tenant `{tenant}`"),
    }
}

/// Reads one line of text. An HTTP header can hold nothing else, and a bad secret would only show at the first call.
pub(super) fn read_secret(from: impl std::io::Read) -> Result<zeroize::Zeroizing<String>, &'static str> {
    let mut text = zeroize::Zeroizing::new(String::new());
    let read = from.take(LARGEST).read_to_string(&mut text);
    let clean = text.trim_end_matches(['\r', '\n']);
    if read.is_err() || clean.is_empty() {
        return Err("nothing was read; give the secret on standard input");
    }
    if clean.chars().any(char::is_control) {
        return Err("the secret has line breaks or control characters; give it as one line of text");
    }
    Ok(zeroize::Zeroizing::new(clean.to_owned()))
}

/// Returns the issuers that may vouch for users here.
fn issuers(config: &Config) -> Vec<String> {
    let mut all: Vec<String> = config.auth.issuers.values().map(|issuer| issuer.issuer.clone()).collect();
    all.extend(config.local_issuer.enabled.then(|| TRY_OUT_ISSUER.to_owned()));
    all
}

/// Returns the issuer of the user: the named one, if users of that issuer can sign in here, or the only one.
fn issuer_of(config: &Config, words: &ConnectorSecret) -> Result<Option<String>> {
    if words.user.is_none() {
        return Ok(None);
    }
    let (known, bad) = (issuers(config), |detail: String| Err(Error::new(Code::BadRequest).detail(detail)));
    match (&words.issuer, known.as_slice()) {
        (None, [only]) => Ok(Some(only.clone())),
        (None, _) => bad("Say with `--issuer` who vouches for the user (`iss`): not exactly one issuer is \
                          configured."
            .to_owned()),
        (Some(issuer), _) if known.contains(issuer) || BUILT_IN.contains(&issuer.as_str()) => {
            Ok(Some(issuer.clone()))
        }
        (Some(issuer), _) => {
            let near = closest(issuer, known.iter().map(String::as_str).chain(BUILT_IN));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", [known.join(", "), BUILT_IN.join(", ")].join(", ")),
            };
            bad(format!("No user comes from the issuer `{issuer}`; {help}"))
        }
    }
}

async fn seal(config: &Config, words: &ConnectorSecret, issuer: Option<&str>, secret: &[u8]) -> Result<()> {
    let (vault, db) = ground::vault(config).await?;
    let tenant = TenantId::from(words.tenant.as_str());
    let sealed = match (&words.user, issuer) {
        (Some(user), Some(issuer)) => {
            let name = secret_name(&words.name, Some((issuer, user)));
            let owner = owner_key(&tenant, issuer, &UserId::from(user.as_str()));
            vault.seal_for(&tenant, &owner, &name, secret).await
        }
        _ => vault.seal(&tenant, &secret_name(&words.name, None), secret).await,
    };
    let sealed = sealed.map(drop);
    db.close().await;
    sealed
}
