//! `cardea tool changes` and `cardea tool accept`: tools held back because their definition changed.

use std::sync::Arc;

use cardea_core::{
    Code, Error, Result,
    form::closest,
    id::TenantId,
    pin::{Difference, visible},
    time::SystemClock,
};
use serde_json::{Value, json};

use super::{Cli, End, Out, ToolAccept, ToolCommand, client, ground};
use crate::{
    action::{Held, Pins},
    config::{Config, Environment},
    identity::operator,
};

/// Characters of a digest that are shown.
const SHOWN: usize = 12;

/// Length limit of one text that is shown.
const LONGEST: usize = 600;

pub(super) fn run(cli: &Cli, command: &ToolCommand, environment: &Environment, out: &mut Out<'_>) -> End {
    let config = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded.config,
        Err(end) => return end,
    };
    let done = client::wait(async {
        let (pins, db) = open(&config).await?;
        let done = match command {
            ToolCommand::Changes => pins.held(None).await.map(|mut held| {
                held.retain(|held| config.upstreams.contains_key(&held.upstream));
                changes(&held, out)
            }),
            ToolCommand::Accept(words) => accept(&config, &pins, words, out).await,
        };
        db.close().await;
        done
    });
    match ground::flat(done) {
        Ok(end) => end,
        Err(error) => ground::refused(&error, out),
    }
}

async fn open(config: &Config) -> Result<(Pins, cardea_store::Db)> {
    let (_, db, observe) = ground::rooms(config).await?;
    Ok((Pins::new(db.clone(), observe, Arc::new(SystemClock)), db))
}

fn changes(held: &[Held], out: &mut Out<'_>) -> End {
    let end = if held.is_empty() { End::Good } else { End::Bad };
    if out.json {
        out.json(&json!({ "changes": held }));
        return end;
    }
    if held.is_empty() {
        out.note("nothing waits: every tool says of itself what was accepted");
    }
    for one in held {
        let what = if one.known { "has changed" } else { "is new" };
        out.line(format!("{} {what}, {}, not offered", visible(&one.tool), one.since));
        for difference in &one.differences {
            print(difference, one.known, out);
        }
        let digest: String = one.digest.chars().take(SHOWN).collect();
        out.line(format!("  to accept it: cardea tool accept {} {digest}\n", visible(&one.tool)));
    }
    end
}

fn print(difference: &Difference, known: bool, out: &mut Out<'_>) {
    let at = if difference.at.is_empty() { "it says" } else { &difference.at };
    out.line(format!("  {}", visible(at)));
    if let Some(before) = difference.before.as_ref().filter(|_| known) {
        out.line(format!("    - {}", shown(before)));
    }
    if let Some(now) = &difference.now {
        out.line(format!("    + {}", shown(now)));
    }
}

/// Formats a value on one line, with invisible characters made visible.
fn shown(value: &Value) -> String {
    let text = visible(&value.to_string());
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push_str(&format!("… ({} characters; --json shows all of it)", text.chars().count()));
    }
    short
}

/// Returns everything of a server that is held back, with its digest.
async fn of_upstream(config: &Config, pins: &Pins, name: &str) -> Result<Vec<(String, String)>> {
    let held = pins.held(Some(name)).await?;
    let wanted: Vec<(String, String)> = held.into_iter().map(|held| (held.tool, held.digest)).collect();
    // Tools held back before their server left the configuration may still be accepted.
    if wanted.is_empty() && !config.upstreams.contains_key(name) {
        let names = || config.upstreams.keys().map(String::as_str);
        let help = match closest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
        };
        let detail = format!("There is no upstream `{name}` in the configuration; {help}");
        return Err(Error::new(Code::BadRequest).detail(detail));
    }
    Ok(wanted)
}

async fn accept(config: &Config, pins: &Pins, words: &ToolAccept, out: &mut Out<'_>) -> Result<End> {
    let by = operator(&TenantId::from("cardea"));
    let wanted: Vec<(String, String)> = match (&words.tool, &words.digest, &words.upstream) {
        (Some(tool), Some(digest), _) => vec![(tool.clone(), digest.clone())],
        (_, _, upstream) => of_upstream(config, pins, upstream.as_deref().unwrap_or_default()).await?,
    };
    if wanted.is_empty() {
        out.note("nothing of that server waits");
    }
    for (tool, digest) in &wanted {
        pins.accept(&by, tool, digest).await?;
        out.note(format!("{} is accepted as it is now", visible(tool)));
    }
    if out.json {
        let tools: Vec<&String> = wanted.iter().map(|(tool, _)| tool).collect();
        out.json(&json!({ "accepted": tools }));
    } else if !wanted.is_empty() {
        out.note("running servers offer it within two seconds");
    }
    Ok(End::Good)
}
