//! The reference page of the configuration, generated from the types.

use std::fmt::Write as _;

use cardea_core::{
    agent::AgentSpec,
    form::{Expects, Schema, Shape},
};

use super::{Config, effective::toml_value, env::variable_for};

const HEAD: &str = "# Configuration reference

The file `cardea.toml` holds the whole configuration. Every key that is not marked as required is optional.
`cardea check` validates a file. `cardea config show` prints the effective values and their origins, with secrets
masked.

- Lengths of time, sizes and rates carry their unit: `\"30s\"`, `\"64KiB\"`, `\"60/min\"`.
- A secret is a text, or `{ file = \"path\" }`, or `{ env = \"NAME\" }`. Relative paths start at the file's folder.
- An environment variable sets one key: `CARDEA_SERVER__BIND` sets `server.bind`. Lists are written `a,b,c`.
  A name of your choice, such as that of an issuer or an upstream, must exist in the file before a variable can set a
  key below it. Variables that match no key are refused.
- `${…}` is never expanded and therefore refused.

This page is generated from the types, and a test fails if it is out of date.
`just bless` writes it anew.
";

const AGENT_HEAD: &str = "# Agent reference

Each file `agents/NAME.toml` defines one agent; clients ask for the model `agent/NAME`. `cardea check` validates all
agent files and reports problems with line and key. The version of an agent is the digest of its file. Any change to the
file, however small, makes a new version, and answers cached for the old version are not used again.

This page is generated from the types, and a test fails if it is out of date.
`just bless` writes it anew.
";

/// Generates the reference of agent files, as Markdown.
#[must_use]
pub fn agent_reference() -> String {
    let schema = Schema::of::<AgentSpec>();
    let mut page = Page { text: AGENT_HEAD.to_owned(), variables: false };
    page.section(schema.top(), "");
    page.text
}

/// Generates the reference of the configuration, as Markdown.
#[must_use]
pub fn reference() -> String {
    let schema = Schema::of::<Config>();
    let mut page = Page { text: HEAD.to_owned(), variables: true };
    if let Expects::Table(rooms) = schema.top().expects() {
        for (name, room) in rooms {
            page.section(room, name);
        }
    }
    page.text
}

struct Page {
    text: String,
    /// Whether environment variables can set these keys.
    variables: bool,
}

impl Page {
    fn section(&mut self, shape: Shape<'_>, path: &str) {
        let (keys, path) = match shape.expects() {
            Expects::Table(keys) => (keys, path.to_owned()),
            Expects::Named(each) => match each.expects() {
                Expects::Table(keys) => (keys, format!("{path}.NAME")),
                _ => return,
            },
            _ => return,
        };
        if path.is_empty() {
            self.text.push_str("\n## At the top\n\n");
        } else {
            let _ = write!(self.text, "\n## `[{path}]`\n\n");
            if let Some(about) = shape.about() {
                let _ = write!(self.text, "{about}\n\n");
            }
        }
        let required = match shape.expects() {
            Expects::Named(each) => each.required(),
            _ => shape.required(),
        };
        for (key, inner) in keys.iter().filter(|(_, inner)| !is_section(*inner)) {
            let about = inner.about().unwrap_or_default().replace('\n', "\n  ");
            let standing = match inner.default().filter(|value| !value.is_null()) {
                Some(value) => format!("default `{}`", toml_value(value)),
                None if required.contains(key) => "required".to_owned(),
                None => "not set by default".to_owned(),
            };
            let is_named = matches!(inner.expects(), Expects::Named(_));
            let variable = if !self.variables || is_named || path.contains("NAME") {
                String::new()
            } else {
                format!(", `{}`", variable_for(&below(&path, key)))
            };
            let _ = writeln!(self.text, "- **`{key}`** ({}; {standing}{variable})\n  {about}", kind(*inner));
        }
        for (key, inner) in keys.iter().filter(|(_, inner)| is_section(*inner)) {
            self.section(*inner, &below(&path, key));
        }
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn is_section(shape: Shape<'_>) -> bool {
    match shape.expects() {
        Expects::Table(_) => true,
        Expects::Named(each) => matches!(each.expects(), Expects::Table(_)),
        _ => false,
    }
}

fn kind(shape: Shape<'_>) -> String {
    match shape.expects() {
        Expects::Text(Some("secret")) => "secret".to_owned(),
        Expects::Text(Some("duration")) => "length of time".to_owned(),
        Expects::Text(Some("size")) => "size".to_owned(),
        Expects::Text(Some("rate")) => "rate".to_owned(),
        Expects::Text(_) => "text".to_owned(),
        Expects::Whole(Some(least), Some(most)) => format!("whole number, {least} to {most}"),
        Expects::Whole(..) => "whole number".to_owned(),
        Expects::Real(..) => "number".to_owned(),
        Expects::Truth => "true or false".to_owned(),
        Expects::Choice(names) => {
            names.iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(" or ")
        }
        Expects::List(each) => format!("list, each {}", kind(each)),
        Expects::Named(each) => format!("table of names, each {}", kind(each)),
        Expects::Table(_) => "table".to_owned(),
        Expects::Either(all) => all.iter().map(|each| kind(*each)).collect::<Vec<_>>().join(" or "),
        Expects::Anything => "anything".to_owned(),
    }
}
