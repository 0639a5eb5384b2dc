//! Environment variables `CARDEA_ROOM__KEY`, which override the file.

use std::collections::BTreeMap;

use cardea_core::form::{Entry, Expects, Kind, Node, Place, Problem, Schema, Shape, closest, parse};

/// The environment at the start of the process; nothing reads it later.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    texts: BTreeMap<String, String>,
    /// Cardea's variables whose value is not valid text.
    garbled: Vec<String>,
}

/// Variables of commands, which are not part of the configuration.
const OTHERS: &[&str] = &["CARDEA_CONFIG", "CARDEA_URL", "CARDEA_TOKEN"];

/// Prefix of variables that Cardea's own tests read.
const FOR_TESTS: &str = "CARDEA_TEST_";

/// Returns whether Kubernetes has set the variable for a service named `cardea`: it puts the address of each service
/// into the environment of every pod, as container links once did.
fn is_of_a_service(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("CARDEA_") else { return false };
    if matches!(rest, "SERVICE_HOST" | "SERVICE_PORT" | "PORT") || rest.starts_with("SERVICE_PORT_") {
        return true;
    }
    let Some(mut parts) = rest.strip_prefix("PORT_").map(|rest| rest.split('_')) else { return false };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(number)
        && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
        && matches!((parts.next(), parts.next()), (None | Some("ADDR" | "PORT" | "PROTO"), None))
}

impl Environment {
    /// Reads the environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let mut all = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(all.texts.insert(name, value)),
                Err(_) if is_ours(&name) => all.garbled.push(name),
                Err(_) => {}
            }
        }
        all
    }

    /// Returns the value of one variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        let texts = all.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { texts, garbled: Vec::new() }
    }
}

/// Returns the variable that sets a key.
pub(super) fn variable_for(key: &str) -> String {
    format!("CARDEA_{}", key.replace('.', "__").replace('-', "_").to_uppercase())
}

/// Applies the values of the environment to the tree.
pub(super) fn apply(environment: &Environment, schema: &Schema, root: &mut Node) -> Vec<Problem> {
    let ours = environment.texts.iter().filter(|(name, _)| is_ours(name));
    let garbled = environment.garbled.iter().map(|name| {
        let message = format!("the value of the environment variable {name} is not UTF-8");
        Problem { key: String::new(), message, help: None, place: Place::Variable(name.clone()) }
    });
    ours.filter_map(|(name, value)| set(name, value, schema, root).err()).chain(garbled).collect()
}

/// Returns whether a variable sets a key.
fn is_ours(name: &str) -> bool {
    let other = name.starts_with(FOR_TESTS) || OTHERS.contains(&name) || is_of_a_service(name);
    name.starts_with("CARDEA_") && !other
}

fn set(name: &str, value: &str, schema: &Schema, root: &mut Node) -> Result<(), Problem> {
    let path: Vec<&str> = name.trim_start_matches("CARDEA_").split("__").collect();
    let place = Place::Variable(name.to_owned());
    let unknown = |help: Option<String>| Problem {
        key: String::new(),
        message: format!("the environment variable {name} names no key"),
        help,
        place: place.clone(),
    };
    let (mut shape, mut node, mut so_far) = (schema.top(), root, String::new());
    let (last, rooms) = path.split_last().ok_or_else(|| unknown(None))?;
    for written in rooms.iter().chain([last]).enumerate() {
        let (depth, part) = written;
        let (key, inner) = step(shape, node, part).map_err(|near| {
            if near.is_none() && matches!(shape.expects(), Expects::Named(_)) {
                let named = part.to_lowercase();
                return unknown(Some(format!("`[{so_far}.{named}]` must stand in the file first")));
            }
            let here = || near.map(|near| suggestion(&so_far, &near, &path, depth));
            let near = if rooms.is_empty() { whole(schema, name).or_else(here) } else { here() };
            let near = near.or_else(|| whole(schema, name));
            unknown(near.map(|near| format!("did you mean {near}?")))
        })?;
        so_far = if so_far.is_empty() { key.clone() } else { format!("{so_far}.{key}") };
        let in_room = node.table_at(&key);
        node = in_room.ok_or_else(|| Problem::new(&so_far, "is not a table in the file", place.clone()))?;
        shape = inner;
    }
    if matches!(shape.expects(), Expects::Table(_) | Expects::Named(_)) {
        let help = "set one of its keys: NAME__KEY";
        return Err(Problem::new(so_far, "is a table and cannot be set as a whole", place).help(help));
    }
    *node = typed(shape, value, place);
    Ok(())
}

/// Returns the key that a part of a variable's name stands for, or the most similar key as an error.
fn step<'s>(shape: Shape<'s>, node: &Node, part: &str) -> Result<(String, Shape<'s>), Option<String>> {
    let same = |key: &str| key.to_uppercase().replace('-', "_") == part.to_uppercase();
    match shape.expects() {
        Expects::Table(keys) => match keys.iter().find(|(key, _)| same(key)) {
            Some((key, inner)) => Ok(((*key).to_owned(), *inner)),
            None => Err(closest(part, keys.iter().map(|(key, _)| *key)).map(str::to_owned)),
        },
        // The user's own names must exist in the file: otherwise a slip would create a second, half empty entry.
        Expects::Named(each) => {
            let keys = || node.entries().unwrap_or_default().iter().map(|entry: &Entry| entry.key.as_str());
            match keys().find(|key| same(key)) {
                Some(key) => Ok((key.to_owned(), each)),
                None => Err(closest(part, keys()).map(str::to_owned)),
            }
        }
        _ => Err(None),
    }
}

fn suggestion(so_far: &str, near: &str, path: &[&str], depth: usize) -> String {
    let rest: Vec<&str> = path.iter().skip(depth + 1).copied().collect();
    let all: Vec<&str> = [so_far, near].into_iter().filter(|part| !part.is_empty()).chain(rest).collect();
    variable_for(&all.join("."))
}

/// Returns the most similar variable, for names with one underscore instead of two.
fn whole(schema: &Schema, name: &str) -> Option<String> {
    let mut all = Vec::new();
    collect(schema.top(), "", &mut all);
    closest(name, all.iter().map(String::as_str)).map(str::to_owned)
}

fn collect(shape: Shape<'_>, path: &str, all: &mut Vec<String>) {
    match shape.expects() {
        Expects::Table(keys) => {
            for (key, inner) in keys {
                collect(inner, &if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }, all);
            }
        }
        Expects::Named(_) => {}
        _ => all.push(variable_for(path)),
    }
}

/// Converts the value to the type of the key. A value that does not fit stays a text, which the check reports.
fn typed(shape: Shape<'_>, value: &str, place: Place) -> Node {
    let kind = match shape.expects() {
        Expects::Whole(..) => value.parse().map(Kind::Whole).ok(),
        Expects::Real(..) => value.parse().map(Kind::Real).ok(),
        Expects::Truth => value.parse().map(Kind::Truth).ok(),
        Expects::List(each) => Some(Kind::List(list(each, value, &place))),
        _ => None,
    };
    Node { kind: kind.unwrap_or_else(|| Kind::Text(value.to_owned())), place }
}

/// Parses `a,b,c`, or a list in TOML syntax.
fn list(each: Shape<'_>, value: &str, place: &Place) -> Vec<Node> {
    if value.trim_start().starts_with('[')
        && let Ok(root) = parse(&format!("list = {value}"))
        && let Some(Node { kind: Kind::List(items), .. }) = root.get("list")
    {
        return items.iter().map(|item| Node { kind: item.kind.clone(), place: place.clone() }).collect();
    }
    let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| typed(each, part, place.clone())).collect()
}
