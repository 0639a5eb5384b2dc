//! A tool: a handler with a name, a description, its effect on the world and its guards.

use std::{any::TypeId, sync::Arc};

use cardea_core::{
    time::Millis,
    tool::{Effect, Sharing},
};
use rmcp::model::{JsonObject, MetaObject, Tool as WireTool, ToolAnnotations};

use crate::{
    call::Work,
    facts::{CheckHint, Facts, Idempotency, Reuse, TOOL_META, UndoHint},
    guard::{Guard, SharedGuard},
    handler::Handler,
    schema,
};

/// Builder of a tool. Give it to a [`crate::Router`].
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
    pub(crate) run: Arc<Work>,
    pub(crate) states: Vec<(TypeId, &'static str)>,
}

impl Tool {
    /// Creates a tool from an async function.
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

    /// Sets the description, for models and people.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// Sets the title, for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Declares the effect on the world.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.facts.effect = effect;
        self
    }

    /// Declares that it only reads. Short for `effect(Effect::Read)`.
    #[must_use]
    pub fn reads(self) -> Self {
        self.effect(Effect::Read)
    }

    /// Declares that it changes something reversibly. Short for `effect(Effect::Write)`.
    #[must_use]
    pub fn writes(self) -> Self {
        self.effect(Effect::Write)
    }

    /// Declares that a second call with the same arguments changes nothing more.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Declares that the handler honours [`crate::Context::idempotency_key`]: one key does the work once per user.
    #[must_use]
    pub fn once_per_key(mut self) -> Self {
        self.facts.idempotency = Idempotency::Key;
        self
    }

    /// Declares the read that tells whether a call without an answer was done. It is published to callers; Cardea
    /// itself does not call it, and repeats only what is done [once per key](Tool::once_per_key).
    #[must_use]
    pub fn check(mut self, check: CheckHint) -> Self {
        self.facts.check = Some(check);
        self
    }

    /// Declares the tool that undoes a call if the work that it is a part of fails later.
    #[must_use]
    pub fn undo(mut self, undo: UndoHint) -> Self {
        self.facts.undo = Some(undo);
        self
    }

    /// Declares that it sends data outside the tenant.
    #[must_use]
    pub fn sends_outside(mut self) -> Self {
        self.facts.sends_outside = true;
        self
    }

    /// Adds example utterances, for tool selection.
    #[must_use]
    pub fn examples<I: IntoIterator<Item = S>, S: Into<String>>(mut self, examples: I) -> Self {
        self.facts.examples.extend(examples.into_iter().map(Into::into));
        self
    }

    /// Declares that the caller's own results may be reused for a while, until a write clears one of the tags.
    #[must_use]
    pub fn cached<I: IntoIterator<Item = S>, S: Into<String>>(mut self, ttl: Millis, tags: I) -> Self {
        let tags = tags.into_iter().map(Into::into).collect();
        self.facts.cache = Some(Reuse { ttl_ms: ttl.0, tags, sharing: Sharing::User });
        self
    }

    /// Does the same as [`Tool::cached`] for all callers of the tenant: the result does not depend on the caller.
    #[must_use]
    pub fn cached_for_tenant<I: IntoIterator<Item = S>, S: Into<String>>(self, ttl: Millis, tags: I) -> Self {
        let mut tool = self.cached(ttl, tags);
        if let Some(cache) = &mut tool.facts.cache {
            cache.sharing = Sharing::Tenant;
        }
        tool
    }

    /// Declares that a successful call clears cached results with these tags.
    #[must_use]
    pub fn clears<I: IntoIterator<Item = S>, S: Into<String>>(mut self, tags: I) -> Self {
        self.facts.clears.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Adds a guard; several guards must all pass.
    #[must_use]
    pub fn guard(mut self, guard: impl Guard) -> Self {
        self.guards.push(Arc::new(guard));
        self
    }

    /// Sets the time limit of a call; shorter than the server's limit.
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

    /// Publishes a result schema written by hand, for handlers that return a `serde_json::Value` or [`crate::Raw`].
    /// Every result must match it: clients check. [`crate::Json`] does this from the type.
    #[must_use]
    pub fn output(mut self, schema: JsonObject) -> Self {
        self.output = Some(schema);
        self
    }

    /// Returns the tool as clients see it.
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
