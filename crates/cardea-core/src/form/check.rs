//! Checks a tree against a schema: every unknown key, wrong type, invalid value and missing key, in the order of the
//! file.

use std::net::SocketAddr;

use super::{Expects, Kind, Node, Place, Problem, Schema, Shape, closest, tree::join};
use crate::{size::Bytes, time::Millis, units::Rate};

/// Returns all problems that the schema shows.
#[must_use]
pub fn check(schema: &Schema, root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    value(schema.top(), root, "", &mut problems);
    problems
}

fn value(shape: Shape<'_>, node: &Node, path: &str, problems: &mut Vec<Problem>) {
    match (shape.expects(), &node.kind) {
        (Expects::Anything, _) | (Expects::Truth, Kind::Truth(_)) => {}
        (Expects::Table(keys), Kind::Table(_)) => table(shape, &keys, node, path, problems),
        (Expects::Named(each), Kind::Table(entries)) => {
            entries.iter().for_each(|entry| value(each, &entry.value, &join(path, &entry.key), problems));
        }
        (Expects::List(each), Kind::List(items)) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(i, item)| value(each, item, &format!("{path}[{i}]"), problems));
        }
        (Expects::Choice(names), Kind::Text(text)) => problems.extend(choice(&names, text, node, path)),
        (Expects::Text(Some("secret")), Kind::Table(_)) => problems.extend(secret_source(node, path)),
        (Expects::Text(format), Kind::Text(text)) => problems.extend(text_of(format, text, node, path)),
        (Expects::Whole(least, most), Kind::Whole(number)) => {
            let fits = least.is_none_or(|least| *number >= least) && most.is_none_or(|most| *number <= most);
            problems.extend((!fits).then(|| out_of_bounds(number, least, most, node, path)));
        }
        (Expects::Real(least, most), Kind::Whole(_) | Kind::Real(_)) => {
            let number = if let Kind::Real(real) = node.kind { real } else { whole_as_real(node) };
            let fits = number.is_finite()
                && least.is_none_or(|least| number >= least)
                && most.is_none_or(|most| number <= most);
            problems.extend((!fits).then(|| out_of_bounds(number, least, most, node, path)));
        }
        (Expects::Either(all), _) => either(&all, node, path, problems),
        (wanted, found) => problems.push(wrong_kind(&wanted, found, node, path)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a bound is compared, and bounds are small")]
fn whole_as_real(node: &Node) -> f64 {
    if let Kind::Whole(number) = node.kind { number as f64 } else { f64::NAN }
}

fn table(shape: Shape<'_>, keys: &[(&str, Shape<'_>)], node: &Node, path: &str, problems: &mut Vec<Problem>) {
    for entry in node.entries().unwrap_or_default() {
        let full = join(path, &entry.key);
        match keys.iter().find(|(key, _)| *key == entry.key) {
            Some((_, inner)) => value(*inner, &entry.value, &full, problems),
            None => problems.push(unknown_key(keys, &entry.key, full, entry.key_place.clone())),
        }
    }
    for key in shape.required() {
        if node.get(key).is_none() {
            let problem = Problem::new(join(path, key), "is missing", node.place.clone());
            let about = keys.iter().find(|(name, _)| *name == key).and_then(|(_, inner)| inner.about());
            problems.push(match about {
                Some(about) => problem.help(first_line(about)),
                None => problem,
            });
        }
    }
}

fn unknown_key(keys: &[(&str, Shape<'_>)], written: &str, full: String, place: Place) -> Problem {
    let problem = Problem::new(full, format!("unknown key `{written}`"), place);
    let names = || keys.iter().map(|(key, _)| *key);
    match closest(written, names()) {
        Some(name) => problem.help(format!("did you mean `{name}`?")),
        None if keys.is_empty() => problem.help("no key is known here"),
        None => problem.help(format!("known here: {}", listed(names()))),
    }
}

fn choice(names: &[&str], text: &str, node: &Node, path: &str) -> Option<Problem> {
    if names.contains(&text) {
        return None;
    }
    let problem = Problem::new(path, format!("does not know `{}`", clipped(text)), node.place.clone());
    Some(match closest(text, names.iter().copied()) {
        Some(name) => problem.help(format!("did you mean \"{name}\"?")),
        None => problem.help(format!("one of: {}", listed(names.iter().copied()))),
    })
}

/// Checks `{ file = "…" }` or `{ env = "…" }` in place of a secret.
fn secret_source(node: &Node, path: &str) -> Option<Problem> {
    let entries = node.entries().unwrap_or_default();
    let good = match entries {
        [only] => {
            matches!(only.key.as_str(), "file" | "env")
                && matches!(&only.value.kind, Kind::Text(t) if !t.is_empty())
        }
        _ => false,
    };
    let help = "write the text itself, { file = \"path\" } or { env = \"NAME\" }";
    (!good).then(|| Problem::new(path, "is not a secret", node.place.clone()).help(help))
}

fn text_of(format: Option<&str>, text: &str, node: &Node, path: &str) -> Option<Problem> {
    let message = match format {
        Some("duration") => text.parse::<Millis>().err()?.to_string(),
        Some("size") => text.parse::<Bytes>().err()?.to_string(),
        Some("rate") => text.parse::<Rate>().err()?.to_string(),
        Some("socket") if text.parse::<SocketAddr>().is_err() => {
            format!(
                "`{text}` is not an address and a port: write one such as \"127.0.0.1:8080\"; a name will not do"
            )
        }
        Some("secret") if text.is_empty() => "is empty".to_owned(),
        _ => return None,
    };
    let (message, help) = match message.split_once(": ") {
        Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
        None => (message, None),
    };
    Some(Problem { key: path.to_owned(), message, help, place: node.place.clone() })
}

/// Checks against several shapes: the one whose fixed text the value carries, or else the one with the fewest
/// problems.
fn either(all: &[Shape<'_>], node: &Node, path: &str, problems: &mut Vec<Problem>) {
    if let Some(tag) = all.iter().flat_map(|each| each.tags()).next() {
        let written =
            node.get(tag).and_then(|inner| if let Kind::Text(t) = &inner.kind { Some(t) } else { None });
        let known: Vec<&str> = all.iter().filter_map(|each| each.tag(tag)).collect();
        match (written, node.get(tag)) {
            (Some(text), Some(inner)) => match all.iter().find(|each| each.tag(tag) == Some(text)) {
                Some(shape) => value(*shape, node, path, problems),
                None => problems.extend(choice(&known, text, inner, &join(path, tag))),
            },
            (None, Some(inner)) => {
                problems.push(wrong_kind(&Expects::Choice(known), &inner.kind, inner, &join(path, tag)))
            }
            (_, None) if node.entries().is_some() => {
                let help = format!("one of: {}", listed(known.iter().copied()));
                problems.push(Problem::new(join(path, tag), "is missing", node.place.clone()).help(help));
            }
            (_, None) => problems.push(wrong_kind(&Expects::Table(Vec::new()), &node.kind, node, path)),
        }
        return;
    }
    let tries = all.iter().map(|each| {
        let mut found = Vec::new();
        value(*each, node, path, &mut found);
        found
    });
    problems.extend(tries.min_by_key(Vec::len).unwrap_or_default());
}

fn wrong_kind(wanted: &Expects<'_>, found: &Kind, node: &Node, path: &str) -> Problem {
    let message = format!("expects {}, found {}", wanted.words(), found.words());
    let problem = Problem::new(path, message, node.place.clone());
    match (wanted, found) {
        (Expects::Text(Some("duration")), Kind::Whole(n)) => {
            problem.help(format!("with its unit: \"{n}s\" or \"{n}ms\""))
        }
        (Expects::Text(Some("size")), Kind::Whole(n)) => {
            problem.help(format!("with its unit: \"{n}B\" or \"{n}KiB\""))
        }
        (Expects::Text(Some("rate")), Kind::Whole(n)) => {
            problem.help(format!("with its unit: \"{n}/min\" or \"{n}/s\""))
        }
        (Expects::Text(_) | Expects::Choice(_), Kind::Whole(_) | Kind::Real(_) | Kind::Truth(_)) => {
            problem.help("put it in quotes")
        }
        (Expects::Whole(..) | Expects::Real(..), Kind::Text(text)) if text.parse::<f64>().is_ok() => {
            problem.help("take the quotes away")
        }
        (Expects::Truth, Kind::Text(text)) if text == "true" || text == "false" => {
            problem.help("take the quotes away")
        }
        (Expects::List(_), Kind::Text(_)) => problem.help("put it in brackets: [\"…\"]"),
        _ => problem,
    }
}

fn out_of_bounds<N: std::fmt::Display, B: std::fmt::Display>(
    number: N,
    least: Option<B>,
    most: Option<B>,
    node: &Node,
    path: &str,
) -> Problem {
    let message = match (least, most) {
        (Some(least), Some(most)) => format!("must be between {least} and {most}, found {number}"),
        (Some(least), None) => format!("must be at least {least}, found {number}"),
        (None, Some(most)) => format!("must be at most {most}, found {number}"),
        (None, None) => format!("is no usable number: {number}"),
    };
    Problem::new(path, message, node.place.clone())
}

impl Expects<'_> {
    /// Returns what is expected, in words, with its article.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Table(_) => "a table".to_owned(),
            Self::Named(_) => "a table of names".to_owned(),
            Self::List(each) => format!("a list, each {}", each.expects().words()),
            Self::Choice(names) => format!("one of {}", listed(names.iter().copied())),
            Self::Text(Some("duration")) => "a length of time such as \"30s\"".to_owned(),
            Self::Text(Some("size")) => "a size such as \"64KiB\"".to_owned(),
            Self::Text(Some("rate")) => "a rate such as \"60/min\"".to_owned(),
            Self::Text(Some("secret")) => "a secret".to_owned(),
            Self::Text(_) => "a text".to_owned(),
            Self::Whole(..) => "a whole number".to_owned(),
            Self::Real(..) => "a number".to_owned(),
            Self::Truth => "true or false".to_owned(),
            Self::Either(all) => {
                all.iter().map(|each| each.expects().words()).collect::<Vec<_>>().join(" or ")
            }
            Self::Anything => "anything".to_owned(),
        }
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn clipped(text: &str) -> String {
    text.chars().take(40).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}
