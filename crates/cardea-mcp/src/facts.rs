//! A tool's declarations beyond MCP's annotations: effect, repeats, reuse, checks, undo.

use std::collections::BTreeMap;

use cardea_core::tool::{Effect, Sharing};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Key in a tool's `_meta` that holds a [`Facts`], which says more than MCP's annotations can.
pub const TOOL_META: &str = "dev.cardea/tool";

/// What a caller must know to select, cache, repeat and check calls of a tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Effect on the world.
    pub effect: Effect,
    /// Whether the tool honours an idempotency key.
    #[serde(default)]
    pub idempotency: Idempotency,
    /// Whether it sends data outside the tenant.
    #[serde(default)]
    pub sends_outside: bool,
    /// Example utterances that ask for this tool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// How results may be reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Reuse>,
    /// Cache tags that a successful call clears.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clears: Vec<String>,
    /// How to check whether a call without an answer was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckHint>,
    /// How a call is undone if the work that it is a part of fails later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoHint>,
}

/// Whether two calls with one key ([`crate::Context::idempotency_key`]) are done once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Idempotency {
    /// A key has no effect.
    #[default]
    None,
    /// Per user, one key does the work once, and every call with it gets the first result.
    Key,
}

/// How long, and for whom, results of a read may be reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reuse {
    /// Lifetime of a result in milliseconds.
    pub ttl_ms: u64,
    /// Templates such as `order:{order_id}`, filled from the arguments.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Who may reuse the results.
    #[serde(default)]
    pub sharing: Sharing,
}

/// A read that tells whether an earlier write was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckHint {
    /// The reading tool.
    pub tool: String,
    /// Its arguments; `{name}` stands for an argument of the write.
    pub arguments: Value,
    /// JSON Pointer into its result: the write was done if there is a value.
    pub done: String,
}

/// A tool that undoes an earlier call. It is called with an idempotency key, and again with the same one after a
/// crash, so it must be a write that is done [once per key](crate::Tool::once_per_key).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UndoHint {
    /// The tool of this server.
    pub tool: String,
    /// Its arguments. In a text, `{name}` stands for an argument of the call to undo, and `{result.name}` for a member
    /// of its result.
    pub with: BTreeMap<String, Value>,
}

impl UndoHint {
    /// Creates an undo with this tool and these arguments.
    pub fn new<K: Into<String>, V: Into<Value>>(
        tool: impl Into<String>,
        with: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let with = with.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { tool: tool.into(), with }
    }
}
