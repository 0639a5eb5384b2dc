//! Connectors: HTTP services that are described by a file, as values and decisions.
//!
//! Promises: a loaded [`Connector`] is complete, and everything that is wrong with a file is reported at once, with
//! its place. What a model provides can only become a path segment, a query value, a header value or a JSON value, and
//! never a host, another path, another header or a key. A request is built without its secret ([`Draft`]); the sender
//! adds the secret last. An answer is bounded, cut to what the file asks for, and translated into an
//! [`Outcome`](crate::tool::Outcome) that guesses nothing. Refuses: hosts, methods and headers that the file does not
//! list or may not set, and writes for which the effect of a repeat is not declared. Called by the configuration and
//! by the room `action`, which sends.

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

/// A checked service with its operations.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Its name.
    pub name: String,
    /// The only hosts that it may reach.
    pub hosts: Vec<String>,
    /// Place and owner of its secret.
    pub auth: Auth,
    /// Base addresses of its requests.
    pub bases: Vec<Base>,
    /// Its operations, in the order of the file.
    pub operations: Vec<Operation>,
    /// Digest of the file. Results cached under another digest are not reused.
    pub digest: String,
}

/// A checked operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The tool as a model and a policy see it.
    pub spec: ToolSpec,
    /// How it is undone.
    pub undo: Option<Undo>,
    /// Consequence of a repeat.
    pub repeatable: Repeatable,
    /// Time limit of one call, repeats included.
    pub timeout: Millis,
    /// Rate limit of one user.
    pub per_user: Option<Rate>,
    /// Number of tries in total.
    pub attempts: u32,
    /// Name of the service in messages for the model.
    service: String,
    retry_on: Vec<u16>,
    request: Plan,
    check: Option<Look>,
    key_header: Option<(String, KeyForm)>,
    by: Option<By>,
    result: ResultSpec,
    examples: Vec<ExampleSpec>,
}

/// How to build a request.
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

/// How to check whether a write was done.
#[derive(Debug, Clone)]
struct Look {
    plan: Plan,
    found: Option<String>,
    take: Option<String>,
}

impl Connector {
    /// Parses a connector's file.
    ///
    /// # Errors
    /// Everything that is wrong with it, with places.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let root = form::parse(text)?;
        let manifest: Manifest = form::read(&root)?;
        let digest = sha256_hex(text.as_bytes());
        check::connector(&root, manifest).map(|connector| Self { digest, ..connector })
    }

    /// Runs the examples of all operations; returns every difference, with places.
    ///
    /// # Errors
    /// The mistakes of the file, if it is invalid.
    pub fn play(text: &str) -> Result<Vec<Problem>, Vec<Problem>> {
        let connector = Self::parse(text)?;
        let root = form::parse(text)?;
        Ok(example::play(&root, &connector))
    }
}

impl Operation {
    /// Returns the number of its examples.
    #[must_use]
    pub fn examples(&self) -> usize {
        self.examples.len()
    }

    /// Returns whether the outcome of a call can be checked.
    #[must_use]
    pub fn can_look(&self) -> bool {
        self.check.is_some()
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.request.method.name()
    }
}

/// Templates by name, sorted.
type Named<T> = BTreeMap<String, T>;

#[cfg(test)]
mod tests;
