//! `cardea policy show`: lists the policy versions that were in force, or prints the texts of one.

use cardea_core::{Code, Error, Result};
use cardea_store::Db;
use serde_json::json;

use super::{Cli, End, Out, client, ground};
use crate::{
    config::Environment,
    control::{Adopted, adopted, adopted_text},
};

/// Shortest prefix that names a version.
const SHORTEST: usize = 4;

pub(super) fn show(cli: &Cli, version: Option<&str>, environment: &Environment, out: &mut Out<'_>) -> End {
    let config = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded.config,
        Err(end) => return end,
    };
    let done = client::wait(async {
        let (_, db, _) = ground::rooms(&config).await?;
        let done = match version {
            None => adopted(&db).await.map(|all| list(&all, out)),
            Some(version) => texts(&db, version, out).await,
        };
        db.close().await;
        done
    });
    match ground::flat(done) {
        Ok(end) => end,
        Err(error) => ground::refused(&error, out),
    }
}

fn list(all: &[Adopted], out: &mut Out<'_>) -> End {
    if out.json {
        out.json(&json!({ "versions": all }));
        return End::Good;
    }
    if all.is_empty() {
        out.note("no policies were in force yet: a server writes them down as it takes them");
    }
    for one in all {
        let files: Vec<&str> = one.files.iter().map(|file| file.file.as_str()).collect();
        out.line(format!("{} since {}, for {} tools: {}", one.version, one.at, one.tools, files.join(", ")));
    }
    End::Good
}

async fn texts(db: &Db, version: &str, out: &mut Out<'_>) -> Result<End> {
    let all = adopted(db).await?;
    let named: Vec<&Adopted> = all.iter().filter(|one| one.version.starts_with(version)).collect();
    let [one] = named.as_slice() else {
        let why = if named.is_empty() { "was never in force here" } else { "names several" };
        return Err(refuse(format!(
            "The version `{version}` {why}: `cardea policy show` lists those that were."
        )));
    };
    if version.len() < SHORTEST {
        return Err(refuse(format!("`{version}` is too short to name a version.")));
    }
    let (mut texts, mut end) = (Vec::new(), End::Good);
    for file in &one.files {
        let text = adopted_text(db, file).await?;
        if text.is_none() {
            out.note(format!("the text of {} is gone, or is not the one that was in force", file.file));
            end = End::Bad;
        }
        texts.push((file, text));
    }
    if out.json {
        let files: Vec<_> = texts
            .iter()
            .map(|(file, text)| json!({ "file": file.file, "digest": file.digest, "text": text }))
            .collect();
        out.json(&json!({ "version": one.version, "at": one.at, "tools": one.tools, "files": files }));
        return Ok(end);
    }
    for (file, text) in &texts {
        out.line(format!("// {}, SHA-256 {}", file.file, file.digest));
        out.line(text.as_deref().unwrap_or_default().trim_end());
    }
    Ok(end)
}

fn refuse(why: String) -> Error {
    Error::new(Code::BadRequest).detail(why)
}
