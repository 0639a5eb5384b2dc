//! Tools: what a model may ask for, and what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{id::ToolName, time::Millis};

/// What a tool does to the world. An undeclared effect counts as the worst.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Looks, and changes nothing.
    Read,
    /// Changes something that can be changed back.
    Write,
    /// Changes something that cannot.
    #[default]
    Destructive,
}

impl Effect {
    /// True if calling the tool twice could do harm.
    #[must_use]
    pub const fn changes_things(self) -> bool {
        !matches!(self, Self::Read)
    }

    /// The word in files, policies, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }
}

/// Whose cached result may be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Only the caller's own earlier result.
    #[default]
    User,
    /// Any result inside the tenant: the answer does not depend on who asks.
    Tenant,
}

/// How long, and for whom, results of a read tool may be reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheHint {
    /// How long a result stays good.
    pub ttl: Millis,
    /// Templates such as `order:{order_id}`, filled from the arguments; a write that declares the tag clears it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whose results may be reused.
    #[serde(default)]
    pub sharing: Sharing,
}

/// A tool as a model sees it, with what Cardea must know to call it safely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name for callers and models.
    pub name: ToolName,
    /// What it does, for the model. Untrusted if it comes from an upstream.
    pub description: String,
    /// JSON Schema (2020-12) of the arguments: an object.
    pub input_schema: Value,
    /// What it does to the world.
    #[serde(default)]
    pub effect: Effect,
    /// True if a second call with the same arguments changes nothing more.
    #[serde(default)]
    pub idempotent: bool,
    /// True if it sends data outside the tenant (mail, chat, payment, web).
    #[serde(default)]
    pub sends_outside: bool,
    /// Example utterances that ask for this tool: used by tool selection only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// How results may be reused; `None` means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheHint>,
    /// Tags that a successful call of this write tool clears.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clears: Vec<String>,
}

/// A model's wish to call a tool. Nothing has been checked yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id for this call; unique in its turn.
    pub id: String,
    /// The tool's name as the model wrote it.
    pub name: String,
    /// The arguments, as a JSON object.
    pub arguments: Map<String, Value>,
}

/// How a call ended, as far as anybody can know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The tool did its work.
    Done {
        /// What it returned.
        result: Value,
    },
    /// The tool, or the way to it, refused before anything was done.
    Failed {
        /// Why, in words that a model and a person may read.
        reason: String,
    },
    /// Nobody can say whether it was done. Never retried by itself.
    Unknown {
        /// What was seen last.
        reason: String,
    },
}

impl Outcome {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
        }
    }
}
