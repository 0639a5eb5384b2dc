//! Findings of guardrails in a form that may be reported: kinds and rules, never the value.

use std::sync::Arc;

use cardea_core::{
    Code, Error,
    guard::{Action, Finding, Surface},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Placeholders;
use crate::observe::Observe;

/// A kind that a guardrail has found, the rule, and the action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Seen {
    kind: Arc<str>,
    rule: Arc<str>,
    pub(in crate::control) action: Action,
}

/// The kinds found in a text that went on. Never the values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Kinds that were replaced by placeholders.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
    /// Kinds that are still in the text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warned: Vec<String>,
}

/// Reason why a text does not go on. It names what was found by kind and rule, and never the value.
#[derive(Debug)]
pub struct Refused(Box<Refusal>);

#[derive(Debug)]
struct Refusal {
    error: Error,
    surface: Surface,
    kinds: Vec<String>,
    rules: Vec<String>,
}

impl Refused {
    /// Creates a refusal for a reason other than a finding.
    pub(in crate::control) fn new(error: Error, surface: Surface) -> Self {
        Self(Box::new(Refusal { error, surface, kinds: Vec::new(), rules: Vec::new() }))
    }

    /// Creates a refusal because of those findings that count.
    pub(in crate::control) fn of(surface: Surface, seen: &[Seen], counts: impl Fn(Action) -> bool) -> Self {
        let (kinds, rules) = (kinds(seen, &counts), rules(seen, &counts));
        Self(Box::new(Refusal { error: refused(&kinds), surface, kinds, rules }))
    }

    /// Returns the message for the caller, with the kinds that were found.
    #[must_use]
    pub fn public(&self) -> String {
        self.0.error.public()
    }

    /// Returns what replaces refused arguments.
    #[must_use]
    pub fn withheld(&self) -> Map<String, Value> {
        withheld(&self.0.kinds)
    }

    /// Returns the detail for the audit log; `None` if the reason was not a finding.
    pub(in crate::control) fn detail(&self) -> Option<Value> {
        let Refusal { error, surface, kinds, rules } = &*self.0;
        (error.code() == Code::GuardRefused)
            .then(|| json!({ "surface": surface.name(), "kinds": kinds, "rules": rules }))
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.0.error
    }
}

/// Returns the kinds with a given action, each once.
pub(in crate::control) fn kinds(seen: &[Seen], counts: impl Fn(Action) -> bool) -> Vec<String> {
    once(seen.iter().filter(|seen| counts(seen.action)).map(|seen| &seen.kind))
}

fn rules(seen: &[Seen], counts: impl Fn(Action) -> bool) -> Vec<String> {
    once(seen.iter().filter(|seen| counts(seen.action)).map(|seen| &seen.rule))
}

fn once<'a>(words: impl Iterator<Item = &'a Arc<str>>) -> Vec<String> {
    let mut each: Vec<String> = Vec::new();
    for word in words {
        if !each.iter().any(|known| **known == **word) {
            each.push(word.to_string());
        }
    }
    each
}

pub(in crate::control) fn is_refusal(action: Action) -> bool {
    action == Action::Refuse
}

pub(in crate::control) fn withheld(kinds: &[String]) -> Map<String, Value> {
    let kinds = if kinds.is_empty() { "a guardrail that failed".to_owned() } else { kinds.join(", ") };
    Map::from_iter([("withheld".to_owned(), format!("a guardrail held this back: {kinds}").into())])
}

pub(in crate::control) fn tell(
    observe: &Observe,
    names: &Placeholders,
    surface: Surface,
    findings: &[Finding],
) -> Vec<Seen> {
    names.finds(findings.len());
    let mut all: Vec<Seen> = Vec::new();
    for finding in findings {
        observe.finding(&finding.kind, surface.name(), action(finding.action));
        let (kind, rule) = (Arc::clone(&finding.kind), Arc::clone(&finding.rule));
        let seen = Seen { kind, rule, action: finding.action };
        // WHY: a text can consist of findings, but has few kinds.
        if !all.contains(&seen) {
            all.push(seen);
        }
    }
    all
}

/// Reports that a guardrail did not answer, and the consequence.
pub(in crate::control) fn tell_of_failure(observe: &Observe, profile: &str, surface: Surface, done: Action) {
    let (surface, done) = (surface.name(), action(done));
    tracing::error!(
        guard.surface = surface,
        guard.profile = profile,
        guard.action = done,
        "a guardrail failed"
    );
    observe.finding("failure", surface, done);
}

const fn action(action: Action) -> &'static str {
    match action {
        Action::Pass => "pass",
        Action::Mask => "mask",
        Action::Warn => "warn",
        Action::Refuse => "refuse",
    }
}

pub(in crate::control) fn refused(kinds: &[String]) -> Error {
    let what = if kinds.is_empty() { "a guardrail that failed".to_owned() } else { kinds.join(", ") };
    Error::new(Code::GuardRefused).detail(format!("It was stopped by: {what}."))
}
