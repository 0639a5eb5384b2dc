//! Cached results of reading tools, for as long as the tool's author says they stay valid.

use std::sync::OnceLock;

use cardea_core::{
    canonical::canonical,
    principal::Principal,
    time::Timestamp,
    tool::{Effect, Outcome, Sharing, ToolCall, ToolSpec},
};
use cardea_store::shared::cache::{Key, LONGEST, Place, Record};
use serde_json::{Value, json};

use super::{
    Cache,
    entry::Entry,
    query::Address,
    tags::{digest, tag, user_tags},
};
use crate::observe::CacheResult;

/// Prefix of places. It changes whenever results are kept with different tags, so that older ones are never found
/// again.
const PLACE: &str = "tool place 2";

/// A call of a tool whose results may be reused.
#[derive(Debug)]
pub struct ToolUse<'a> {
    /// The caller.
    pub user: &'a Principal,
    /// The agent whose turn makes the call.
    pub agent: &'a str,
    /// The tool.
    pub tool: &'a ToolSpec,
    /// Origin of its results: another connector file or address gives other results.
    pub origin: &'a str,
    /// The call.
    pub call: &'a ToolCall,
    /// Its tags, filled from the arguments.
    pub tags: Vec<String>,
    /// Count of clearings before the call; absent until it was looked up.
    asked_at: OnceLock<u64>,
}

impl<'a> ToolUse<'a> {
    /// Creates a call that is about to be made.
    #[must_use]
    pub fn new(
        user: &'a Principal,
        agent: &'a str,
        tool: &'a ToolSpec,
        origin: &'a str,
        call: &'a ToolCall,
    ) -> Self {
        Self { user, agent, tool, origin, call, tags: Vec::new(), asked_at: OnceLock::new() }
    }

    /// Sets the tags, filled from the arguments.
    #[must_use]
    pub fn tagged(self, tags: Vec<String>) -> Self {
        Self { tags, ..self }
    }

    /// Returns the address of the result; `None` if it is not kept.
    fn at(&self) -> Option<Address> {
        let hint = self.tool.cache.as_ref().filter(|_| self.tool.effect == Effect::Read)?;
        let user = self.user;
        let whose = match hint.sharing {
            Sharing::User => json!({
                "user": user.key(), "actors": user.actors, "roles": user.roles, "scopes": user.scopes,
            }),
            Sharing::Tenant => json!({ "tenant": user.tenant }),
        };
        let tool = json!({ "tool": self.tool.name, "schema": self.tool.input_schema, "origin": self.origin });
        let place = digest(PLACE, [canonical(&whose).as_bytes(), canonical(&tool).as_bytes()]);
        let arguments = canonical(&Value::Object(self.call.arguments.clone()));
        let key = Key(digest("tool key", [place.as_slice(), arguments.as_bytes()]));
        Some(Address { place: Place(place), key })
    }
}

impl Cache {
    /// Returns the result of an earlier call that is still valid, with its expiry.
    pub async fn tool(&self, used: &ToolUse<'_>) -> Option<(Outcome, Timestamp)> {
        let at = used.at().filter(|_| self.0.settings.enabled)?;
        let asked_at = self.ready().await?;
        let found = self.0.store.get(&at.place, &at.key).await.ok()?;
        let (tenant, agent) = (&used.user.tenant, used.agent);
        let value = found.and_then(|record| match self.open(tenant, agent, at, &record)? {
            Entry::Result(value) => Some((value, record.until)),
            Entry::Answer { .. } => None,
        });
        // If a call is looked up twice, the first count applies.
        used.asked_at.get_or_init(|| asked_at);
        let result = if value.is_some() { CacheResult::Hit } else { CacheResult::Miss };
        self.tell(tenant, agent, "tool", result);
        value.map(|(result, until)| (Outcome::Done { result }, until))
    }

    /// Keeps a result, if the tool's author allows its reuse and it was looked up before the call.
    pub async fn keep_tool(&self, used: &ToolUse<'_>, outcome: &Outcome) {
        let (Some(at), Some(hint), Outcome::Done { result }, Some(asked_at)) =
            (used.at(), &used.tool.cache, outcome, used.asked_at.get())
        else {
            return;
        };
        let tenant = &used.user.tenant;
        let own = used.tags.iter().map(|text| tag(tenant, text));
        let record = Record {
            asked_at: *asked_at,
            // Clearings are not remembered for longer than that.
            until: self.0.clock.now().plus(hint.ttl.min(LONGEST)),
            tags: own.chain(self.common_tags(tenant, user_tags(used.user))).collect(),
            vector: None,
            body: Vec::new().into(),
        };
        self.put(tenant, at, record, &Entry::Result(result.clone())).await;
    }
}
