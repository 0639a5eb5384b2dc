//! Connectors: HTTP services that are described by a file, as values and decisions.
//!
//! Promises: a [`Connector`] that was read is complete, and everything that is wrong with a file is told at once,
//! with its place. What a model gives can only become a segment of a path, a value of a query, a header's value or a
//! JSON value: it never becomes a host, another path, another header or a key. A request is made without its secret
//! ([`Draft`]); the secret is put in last, by whoever sends it. What comes back is bounded, cut to what the file asks
//! for, and an [`Outcome`](crate::tool::Outcome) that guesses nothing. Refuses: hosts, methods and headers that the
//! file does not list or may not set, writes of which nobody says what a repeat does. Called by the configuration
//! and by room `action`, which sends.

mod address;
mod answer;
mod body;
mod check;
mod example;
mod exchange;
mod input;
mod manifest;
mod secret;

use std::collections::BTreeMap;

use crate::{
    canonical::sha256_hex,
    form::{self, Problem},
    journal::Repeatable,
    saga::Undo,
    template::{Template, Tree},
    time::Millis,
    tool::ToolSpec,
    units::Rate,
};

pub use self::{
    address::Base,
    answer::Answer,
    exchange::Draft,
    manifest::{Method, Per},
    secret::{Auth, Placed, SecretPlace, scrub, scrub_body, secret_name, secret_user},
};
use manifest::{By, ExampleSpec, KeyForm, Manifest, ResultSpec};

/// A service with its operations, checked.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Its name.
    pub name: String,
    /// The only hosts that it may reach.
    pub hosts: Vec<String>,
    /// Where its secret is put, and whose it is.
    pub auth: Auth,
    /// Where its requests go.
    pub bases: Vec<Base>,
    /// What can be done there, in the order of the file.
    pub operations: Vec<Operation>,
    /// A digest of the file: what it gave under another one it may not give any more.
    pub digest: String,
}

/// One thing that can be done, checked.
#[derive(Debug, Clone)]
pub struct Operation {
    /// As a model and a policy see it.
    pub spec: ToolSpec,
    /// What takes it back.
    pub undo: Option<Undo>,
    /// What a repeat would do.
    pub repeatable: Repeatable,
    /// How long one call may take, repeats included.
    pub timeout: Millis,
    /// How often one user may call it.
    pub per_user: Option<Rate>,
    /// How often it is sent in all.
    pub attempts: u32,
    /// What `[connector]` is called: for what a model is told.
    service: String,
    retry_on: Vec<u16>,
    request: Plan,
    check: Option<Look>,
    key_header: Option<(String, KeyForm)>,
    by: Option<By>,
    result: ResultSpec,
    examples: Vec<ExampleSpec>,
}

/// How a request is made.
#[derive(Debug, Clone)]
struct Plan {
    method: Method,
    base: Base,
    path: Vec<Template>,
    query: Vec<(String, Tree)>,
    headers: Vec<(String, Template)>,
    body: Option<Body>,
}

#[derive(Debug, Clone)]
enum Body {
    Json(Tree),
    Form(Vec<(String, Tree)>),
}

/// How to find out whether a write was done.
#[derive(Debug, Clone)]
struct Look {
    plan: Plan,
    found: Option<String>,
    take: Option<String>,
}

impl Connector {
    /// Reads a connector's file.
    ///
    /// # Errors
    /// Everything that is wrong with it, with places.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let root = form::parse(text)?;
        let manifest: Manifest = form::read(&root)?;
        let digest = sha256_hex(text.as_bytes());
        check::connector(&root, manifest).map(|connector| Self { digest, ..connector })
    }

    /// Plays the examples of all operations: what is otherwise than they say, with places.
    ///
    /// # Errors
    /// The mistakes of the file, if it is none.
    pub fn play(text: &str) -> Result<Vec<Problem>, Vec<Problem>> {
        let connector = Self::parse(text)?;
        let root = form::parse(text)?;
        Ok(example::play(&root, &connector))
    }
}

impl Operation {
    /// How many examples show what it does.
    #[must_use]
    pub fn examples(&self) -> usize {
        self.examples.len()
    }

    /// True if a call can be found out about with a look.
    #[must_use]
    pub fn can_look(&self) -> bool {
        self.check.is_some()
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.request.method.name()
    }
}

/// Named templates, in the order of their names.
type Named<T> = BTreeMap<String, T>;

#[cfg(test)]
mod tests;
