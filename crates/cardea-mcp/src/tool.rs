//! A tool: a handler with a name, a description, its effect on the world and its guards.

use std::{any::TypeId, collections::BTreeMap, sync::Arc};

use cardea_core::{
    time::Millis,
    tool::{Effect, Sharing},
};
use futures::future::BoxFuture;
use rmcp::model::{CallToolResult, JsonObject, MetaObject, Tool as WireTool, ToolAnnotations};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Call, Stop,
    guard::{Guard, SharedGuard},
    handler::Handler,
    schema,
};

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
/// crash: so it must be a write that is done [once per key](Tool::once_per_key).
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

type Run = dyn Fn(Call) -> BoxFuture<'static, Result<CallToolResult, Stop>> + Send + Sync;

/// A tool in the making. Give it to a [`crate::Router`].
pub struct Tool {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) about: Option<String>,
    pub(crate) input: JsonObject,
    pub(crate) output: Option<JsonObject>,
    pub(crate) facts: Facts,
    pub(crate) idempotent: bool,
    pub(crate) guards: Vec<SharedGuard>,
    pub(crate) timeout: Option<Millis>,
    pub(crate) run: Arc<Run>,
    pub(crate) states: Vec<(TypeId, &'static str)>,
}

impl Tool {
    /// A tool from an async function.
    ///
    /// Without [`Tool::about`] the doc comment on the argument type is the description. Without [`Tool::effect`] it
    /// counts as destructive.
    pub fn new<M, H: Handler<M>>(name: impl Into<String>, handler: H) -> Self {
        let needs = H::needs();
        let mut input = needs.input.unwrap_or_default();
        let about = input.remove("description").and_then(|text| text.as_str().map(str::to_owned));
        Self {
            name: name.into(),
            title: None,
            about,
            input: schema::seal(input),
            output: needs.output,
            facts: Facts::default(),
            idempotent: false,
            guards: Vec::new(),
            timeout: None,
            run: Arc::new(move |call| handler.run(call)),
            states: needs.states,
        }
    }

    /// What it does, for models and people.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// A title for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// What it does to the world.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.facts.effect = effect;
        self
    }

    /// It only looks. Short for `effect(Effect::Read)`.
    #[must_use]
    pub fn reads(self) -> Self {
        self.effect(Effect::Read)
    }

    /// It changes things that can be changed back. Short for `effect(Effect::Write)`.
    #[must_use]
    pub fn writes(self) -> Self {
        self.effect(Effect::Write)
    }

    /// A second call with the same arguments changes nothing more.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// The handler honours [`crate::Context::idempotency_key`]: one key does the work once for each user.
    #[must_use]
    pub fn once_per_key(mut self) -> Self {
        self.facts.idempotency = Idempotency::Key;
        self
    }

    /// The read that tells whether a call without an answer did its work.
    #[must_use]
    pub fn check(mut self, check: CheckHint) -> Self {
        self.facts.check = Some(check);
        self
    }

    /// The tool that takes a call back, should the work that it is a part of fail later.
    #[must_use]
    pub fn undo(mut self, undo: UndoHint) -> Self {
        self.facts.undo = Some(undo);
        self
    }

    /// It sends data outside the tenant.
    #[must_use]
    pub fn sends_outside(mut self) -> Self {
        self.facts.sends_outside = true;
        self
    }

    /// Utterances that ask for this tool, for tool selection.
    #[must_use]
    pub fn examples<I: IntoIterator<Item = S>, S: Into<String>>(mut self, examples: I) -> Self {
        self.facts.examples.extend(examples.into_iter().map(Into::into));
        self
    }

    /// The caller's own results may be reused for a while, until a write clears one of the tags.
    #[must_use]
    pub fn cached<I: IntoIterator<Item = S>, S: Into<String>>(mut self, ttl: Millis, tags: I) -> Self {
        let tags = tags.into_iter().map(Into::into).collect();
        self.facts.cache = Some(Reuse { ttl_ms: ttl.0, tags, sharing: Sharing::User });
        self
    }

    /// As [`Tool::cached`], but for everybody of the tenant: the answer does not depend on who asks.
    #[must_use]
    pub fn cached_for_tenant<I: IntoIterator<Item = S>, S: Into<String>>(self, ttl: Millis, tags: I) -> Self {
        let mut tool = self.cached(ttl, tags);
        if let Some(cache) = &mut tool.facts.cache {
            cache.sharing = Sharing::Tenant;
        }
        tool
    }

    /// A successful call clears cached results with these tags.
    #[must_use]
    pub fn clears<I: IntoIterator<Item = S>, S: Into<String>>(mut self, tags: I) -> Self {
        self.facts.clears.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Who may call; several guards must all pass.
    #[must_use]
    pub fn guard(mut self, guard: impl Guard) -> Self {
        self.guards.push(Arc::new(guard));
        self
    }

    /// How long a call may take; shorter than the server's limit.
    #[must_use]
    pub fn timeout(mut self, limit: Millis) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Replaces the argument schema by one written by hand, for handlers that take a `serde_json::Value`.
    #[must_use]
    pub fn input(mut self, schema: JsonObject) -> Self {
        self.input = schema;
        self
    }

    /// Publishes a schema of the result written by hand, for handlers that return a `serde_json::Value` or
    /// [`crate::Raw`]. Every result must fit it: clients check. [`crate::Json`] does this from the type.
    #[must_use]
    pub fn output(mut self, schema: JsonObject) -> Self {
        self.output = Some(schema);
        self
    }

    /// The tool as clients see it.
    pub(crate) fn wire(&self, name: &str) -> WireTool {
        let changes = self.facts.effect.changes_things();
        let mut hints = ToolAnnotations::new()
            .read_only(!changes)
            .idempotent(!changes || self.idempotent)
            .open_world(self.facts.sends_outside);
        if changes {
            hints = hints.destructive(self.facts.effect == Effect::Destructive);
        }
        let about = self.about.clone().unwrap_or_default();
        let mut meta = MetaObject::new();
        if let Ok(facts) = serde_json::to_value(&self.facts) {
            meta.0.insert(TOOL_META.to_owned(), facts);
        }
        let mut tool =
            WireTool::new(name.to_owned(), about, self.input.clone()).with_annotations(hints).with_meta(meta);
        tool.title.clone_from(&self.title);
        if let Some(output) = &self.output {
            tool = tool.with_raw_output_schema(Arc::new(output.clone()));
        }
        tool
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).field("facts", &self.facts).finish_non_exhaustive()
    }
}
