//! What a tool says about its calls beyond MCP's annotations: effect, repeats, reuse, checks, ways back.

use std::collections::BTreeMap;

use cardea_core::tool::{Effect, Sharing};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Under this key of a tool's `_meta` stands a [`Facts`], which says more than MCP's annotations can.
pub const TOOL_META: &str = "dev.cardea/tool";

/// What a caller must know to select, cache, repeat and check calls of a tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// What it does to the world.
    pub effect: Effect,
    /// Whether the tool honours an idempotency key.
    #[serde(default)]
    pub idempotency: Idempotency,
    /// True if it sends data outside the tenant.
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
    /// How to find out whether a call without an answer did its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckHint>,
    /// What takes a call back, should the work that it is a part of fail later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoHint>,
}

/// Whether two calls with one key ([`crate::Context::idempotency_key`]) do the work once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Idempotency {
    /// A key changes nothing.
    #[default]
    None,
    /// For each user, one key does the work once, and every call with it gets the first result.
    Key,
}

/// How long, and for whom, results of a read may be reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reuse {
    /// How long a result stays good, in milliseconds.
    pub ttl_ms: u64,
    /// Templates such as `order:{order_id}`, filled from the arguments.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whose results may be reused.
    #[serde(default)]
    pub sharing: Sharing,
}

/// A read that tells whether an earlier write was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckHint {
    /// The tool that reads.
    pub tool: String,
    /// Its arguments; `{name}` stands for an argument of the write.
    pub arguments: Value,
    /// JSON Pointer into its result: the write was done if something stands there.
    pub done: String,
}

/// A tool that takes an earlier call back. It is called with an idempotency key, and again with the same one after a
/// crash: so it must be a write that is done [once per key](crate::Tool::once_per_key).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UndoHint {
    /// The tool of this server.
    pub tool: String,
    /// Its arguments: in a text, `{name}` stands for an argument of the call that is taken back, `{result.name}` for
    /// something that it returned.
    pub with: BTreeMap<String, Value>,
}

impl UndoHint {
    /// This tool, with these arguments.
    pub fn new<K: Into<String>, V: Into<Value>>(
        tool: impl Into<String>,
        with: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let with = with.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { tool: tool.into(), with }
    }
}
