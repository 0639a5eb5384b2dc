//! Secrets in files: where they come from, and how messages hide them.

use std::{ops::Range, path::Path};

use cardea_core::form::{Expects, Kind, Node, Place, Problem, Schema, Shape};

use super::Environment;

/// Returns the byte ranges of the file that no message may show: values of secrets, and of unknown keys, which may be
/// secrets under a misspelt name.
pub(super) fn spans(schema: &Schema, root: &Node) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    hide(Some(schema.top()), root, &mut found);
    found
}

fn hide(shape: Option<Shape<'_>>, node: &Node, found: &mut Vec<Range<usize>>) {
    let Some(shape) = shape.filter(|shape| !shape.is_secret()) else {
        if let (Place::File(span), false) = (&node.place, matches!(node.kind, Kind::Table(_))) {
            found.push(span.clone());
        }
        node.entries().unwrap_or_default().iter().for_each(|entry| hide(None, &entry.value, found));
        return;
    };
    match &node.kind {
        Kind::Table(entries) => {
            entries.iter().for_each(|entry| hide(shape.key(&entry.key), &entry.value, found))
        }
        Kind::List(items) => {
            let each = if let Expects::List(each) = shape.expects() { Some(each) } else { None };
            items.iter().for_each(|item| hide(each, item, found));
        }
        // An address may carry a password where none belongs, before the host or after it.
        Kind::Text(text) if text.contains('@') || (text.contains("://") && text.contains('?')) => {
            if let Place::File(span) = &node.place {
                found.push(span.clone());
            }
        }
        _ => {}
    }
}

/// Replaces `{ file = "…" }` and `{ env = "…" }` by the secret.
pub(super) fn resolve(
    schema: &Schema,
    root: &mut Node,
    folder: &Path,
    environment: &Environment,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    fill(schema.top(), root, &Sources { folder, environment }, "", &mut problems);
    problems
}

struct Sources<'a> {
    folder: &'a Path,
    environment: &'a Environment,
}

fn fill(shape: Shape<'_>, node: &mut Node, from: &Sources<'_>, path: &str, problems: &mut Vec<Problem>) {
    if shape.is_secret() {
        let Some([source]) = node.entries() else { return };
        let Kind::Text(name) = &source.value.kind else { return };
        match from.secret(&source.key, name) {
            Ok(text) => node.kind = Kind::Text(text),
            Err(message) => problems.push(Problem::new(path, message, source.value.place.clone())),
        }
        return;
    }
    if let (Kind::List(items), Expects::List(each)) = (&mut node.kind, shape.expects()) {
        for (i, item) in items.iter_mut().enumerate() {
            fill(each, item, from, &format!("{path}[{i}]"), problems);
        }
    } else if let Kind::Table(entries) = &mut node.kind {
        for entry in entries {
            if let Some(inner) = shape.key(&entry.key) {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                fill(inner, &mut entry.value, from, &path, problems);
            }
        }
    }
}

impl Sources<'_> {
    fn secret(&self, kind: &str, name: &str) -> Result<String, String> {
        let text = if kind == "env" {
            let value = self.environment.get(name);
            value.map(str::to_owned).ok_or_else(|| format!("the environment variable {name} is not set"))?
        } else {
            let path = self.folder.join(name);
            std::fs::read_to_string(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?
        };
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() { Err(format!("the secret in {name} is empty")) } else { Ok(text.to_owned()) }
    }
}
