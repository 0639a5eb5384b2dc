//! Files that people write, checked against the type they are meant for.
//!
//! Promises: every problem of a text is found in one pass, each with its place, its key, what was expected and, for an
//! unknown name, the name that was probably meant. The schema of the type (its fields, their types and their doc
//! comments) is the only description, so what the check accepts, what the reference says and what an environment
//! variable may set cannot drift apart. Refuses: unknown keys, at every level. Called by the configuration, by agent
//! files, and by all code that reads hand-written TOML.

mod check;
mod shape;
mod suggest;
mod tree;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use check::check;
pub use shape::{Expects, Schema, Shape};
pub use suggest::closest;
pub use tree::{Entry, Kind, Node, Place, Position, parse, position};

/// A problem in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Full key, such as `auth.issuers.corp.secret`; empty for the file as a whole.
    pub key: String,
    /// What is wrong: lower case, without a full stop, and never with a secret in it.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Place in the file.
    pub place: Place,
}

impl Problem {
    /// Creates a problem with the value of `key`.
    #[must_use]
    pub fn new(key: impl Into<String>, message: impl Into<String>, place: Place) -> Self {
        Self { key: key.into(), message: message.into(), help: None, place }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Reads a value from a tree, or returns everything that is wrong with it.
///
/// # Errors
/// All problems that the schema shows; if it shows none, those that the type itself finds.
pub fn read<T: JsonSchema + DeserializeOwned>(root: &Node) -> Result<T, Vec<Problem>> {
    let problems = check(&Schema::of::<T>(), root);
    if problems.is_empty() { decode(root.clone()) } else { Err(problems) }
}

/// Lets the type itself read the tree. After an error the refused value is removed and the rest tried again, so that
/// one bad value does not hide the next.
fn decode<T: DeserializeOwned>(mut root: Node) -> Result<T, Vec<Problem>> {
    let mut problems = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(root.to_json()) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let key = error.path().to_string();
        let message = error.into_inner().to_string();
        if !problems.is_empty() && message.starts_with("missing field") {
            return Err(problems);
        }
        let place = root.find(&key).map_or(Place::Nowhere, |node| node.place.clone());
        problems.push(Problem::new(&key, message, place));
        if !root.remove(&key) {
            return Err(problems);
        }
    }
}

#[cfg(test)]
mod tests;
