//! Audit entries: in one bounded format, in the commit of what they describe.

use cardea_core::{
    canonical::{Bounds, Spelling},
    id::{RequestId, StepId, TurnId},
    principal::Principal,
    time::Timestamp,
};
use cardea_store::Commit;
use serde_json::{Value, json};

use super::Observe;

/// Bounds of the free-form part of an entry.
const BOUNDS: Bounds = Bounds { text: 2_048, whole: 16_384, depth: 8 };

/// Bounds of names that come from credentials and models.
const NAME: Bounds = Bounds { text: 512, whole: 2_048, depth: 1 };

/// An event, with the principal who caused it.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The principal.
    pub principal: &'a Principal,
    /// The event, such as `step.started`.
    pub event: &'static str,
    /// Its turn.
    pub turn: Option<TurnId>,
    /// Its step.
    pub step: Option<StepId>,
    /// Its tool.
    pub tool: Option<&'a str>,
    /// Its request.
    pub request: Option<RequestId>,
    /// Further data. Oversized data is cut, with a digest of the whole. Never a secret.
    pub detail: Value,
}

impl<'a> Entry<'a> {
    /// Creates an entry without turn, request and detail.
    #[must_use]
    pub const fn new(principal: &'a Principal, event: &'static str) -> Self {
        Self { principal, event, turn: None, step: None, tool: None, request: None, detail: Value::Null }
    }
}

impl Observe {
    /// Adds the entry to the commit, so that it becomes durable together with what it describes, or not at all.
    pub fn audit(&self, commit: &mut Commit, entry: Entry<'_>) {
        let at = self.0.clock.now();
        let tenant = entry.principal.tenant.clone();
        let body = spell(entry, at).into_bytes();
        *commit = std::mem::take(commit).audit(&tenant, at, body);
    }
}

/// Returns the bytes that the chain protects.
pub(super) fn spell(entry: Entry<'_>, at: Timestamp) -> String {
    let who = entry.principal;
    let mut body = Spelling::about(640);
    if !who.actors.is_empty() {
        body.value("actors", json!(who.actors), NAME);
    }
    body.own("at", Some(at));
    if let Some(client) = &who.client {
        body.text("client", client.as_str(), NAME);
    }
    if !entry.detail.is_null() {
        body.value("detail", entry.detail, BOUNDS);
    }
    body.own("event", Some(entry.event));
    body.text("issuer", &who.issuer, NAME);
    body.number("ms", at.0);
    body.value("proof", json!(who.proof), NAME);
    body.own("request", entry.request);
    body.own("step", entry.step);
    // INVARIANT: not cut, since verification compares it with the column beside the body.
    body.own("tenant", Some(&who.tenant));
    if let Some(tool) = entry.tool {
        body.text("tool", tool, NAME);
    }
    body.own("turn", entry.turn);
    body.text("user", who.user.as_str(), NAME);
    body.number("v", 1);
    body.end()
}
