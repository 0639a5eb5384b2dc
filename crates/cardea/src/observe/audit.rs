//! Audit entries: one spelling, bounded, in the commit of what they describe.

use cardea_core::{
    canonical::{Bounds, bounded, canonical},
    id::{RequestId, StepId, TurnId},
    principal::Principal,
    time::Timestamp,
};
use cardea_store::Commit;
use serde_json::{Map, Value, json};

use super::Observe;

/// The bounds of the part of an entry that rooms fill freely.
const BOUNDS: Bounds = Bounds { text: 2_048, whole: 16_384, depth: 8 };

/// The bounds of names that come from credentials and models.
const NAME: Bounds = Bounds { text: 512, whole: 2_048, depth: 1 };

/// What happened, and who did it.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// What, such as `step.started`.
    pub event: &'static str,
    /// In which turn.
    pub turn: Option<TurnId>,
    /// In which step.
    pub step: Option<StepId>,
    /// With which tool.
    pub tool: Option<&'a str>,
    /// For which request.
    pub request: Option<RequestId>,
    /// Whatever else belongs to it. What is too large is cut, with a digest of the whole. Never a secret.
    pub detail: Value,
}

impl Observe {
    /// Adds the entry to the commit, so that it becomes durable with what it describes or not at all.
    pub fn audit(&self, commit: &mut Commit, entry: Entry<'_>) {
        let at = self.0.clock.now();
        let tenant = entry.principal.tenant.clone();
        let body = spell(entry, at).into_bytes();
        *commit = std::mem::take(commit).audit(&tenant, at, body);
    }
}

/// The bytes that the chain protects.
pub(super) fn spell(entry: Entry<'_>, at: Timestamp) -> String {
    let who = entry.principal;
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("v", json!(1));
    put("at", json!(at.to_string()));
    put("ms", json!(at.0));
    put("event", json!(entry.event));
    // INVARIANT: not cut, since verification compares it with the column beside the body.
    put("tenant", json!(who.tenant));
    put("user", bounded(json!(who.user), NAME));
    put("issuer", bounded(json!(who.issuer), NAME));
    put("proof", json!(who.proof));
    for (key, value) in [
        ("client", who.client.as_ref().map(|client| bounded(json!(client), NAME))),
        ("actors", (!who.actors.is_empty()).then(|| bounded(json!(who.actors), NAME))),
        ("turn", entry.turn.map(|id| json!(id))),
        ("step", entry.step.map(|id| json!(id))),
        ("request", entry.request.map(|id| json!(id))),
        ("tool", entry.tool.map(|tool| bounded(json!(tool), NAME))),
        ("detail", (!entry.detail.is_null()).then(|| bounded(entry.detail, BOUNDS))),
    ] {
        if let Some(value) = value {
            put(key, value);
        }
    }
    canonical(&Value::Object(body))
}
