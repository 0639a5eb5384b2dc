//! `cardea check` and `cardea config`.

use serde_json::json;

use super::{Cli, ConfigCommand, End, Out, ground, notes, policy};
use crate::config::{Environment, reference};

pub(super) fn check(cli: &Cli, environment: &Environment, out: &mut Out<'_>) -> End {
    let loaded = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded,
        Err(end) => return end,
    };
    let policies = match policy::summary(&loaded) {
        Ok(policies) => policies,
        Err(problems) if out.json => {
            out.json(&json!({ "good": false, "problems": problems }));
            return End::Bad;
        }
        Err(problems) => {
            problems.iter().for_each(|problem| out.note(problem));
            return End::Bad;
        }
    };
    let agents: Vec<&String> = loaded.agents.keys().collect();
    let connectors: Vec<&String> = loaded.connectors.iter().map(|connector| &connector.name).collect();
    let models: Vec<&String> = loaded.config.models.aliases.keys().collect();
    let mut notes = notes::all(&loaded, &policies.tools);
    let unread = notes::unread(&loaded.config.policies.dir);
    let (lost, odd): (Vec<_>, Vec<_>) = unread.into_iter().partition(|file| file.void);
    notes.extend(odd.into_iter().map(|file| file.says));
    let problems: Vec<&String> = policies.void.iter().chain(lost.iter().map(|file| &file.says)).collect();
    let good = problems.is_empty();
    if out.json {
        out.json(&json!({ "good": good, "problems": problems, "file": cli.config, "agents": agents, "connectors": connectors, "models": models, "policies": policies.says, "set_aside": policies.aside, "warnings": policies.warnings, "notes": notes }));
    } else {
        let names = |names: &[&String]| match names {
            [] => "none".to_owned(),
            names => names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "),
        };
        notes.iter().for_each(|note| out.note(format!("note: {note}")));
        lost.iter().for_each(|file| out.note(format!("BAD: {}", file.says)));
        for warning in &policies.warnings {
            let word = if policies.void.contains(warning) { "BAD" } else { "note" };
            out.note(format!("{word}: {warning}"));
        }
        let word = if good { "is good" } else { "is not good" };
        out.line(format!("{} {word}", cli.config.display()));
        out.line(format!("  agents      {}", names(&agents)));
        out.line(format!("  models      {}", names(&models)));
        out.line(format!("  connectors  {}", names(&connectors)));
        out.line(format!("  policies    {}", policies.says));
    }
    if good { End::Good } else { End::Bad }
}

pub(super) fn config(cli: &Cli, command: ConfigCommand, environment: &Environment, out: &mut Out<'_>) -> End {
    if matches!(command, ConfigCommand::Reference) {
        out.piece(&reference());
        return End::Good;
    }
    match ground::load(cli, environment, out) {
        Ok(loaded) if out.json => out.json(&loaded.effective.json()),
        Ok(loaded) => out.piece(&loaded.effective.toml()),
        Err(end) => return end,
    }
    End::Good
}
