//! Results of reading tools, for as long as the tool's author says they stay good.

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
    kept::Kept,
    tags::{digest, tag, user_tag},
};
use crate::observe::CacheResult;

/// One call of a tool whose results may be reused.
#[derive(Debug)]
pub struct ToolUse<'a> {
    /// Who calls, and in whose turn.
    pub user: (&'a Principal, &'a str),
    /// The tool.
    pub tool: &'a ToolSpec,
    /// The call.
    pub call: &'a ToolCall,
    /// Its tags, filled from the arguments.
    pub tags: Vec<String>,
    /// The count of clearings before the call; absent until it was looked for.
    asked_at: OnceLock<u64>,
}

impl<'a> ToolUse<'a> {
    /// A call that is about to be made.
    #[must_use]
    pub fn new(
        user: (&'a Principal, &'a str),
        tool: &'a ToolSpec,
        call: &'a ToolCall,
        tags: Vec<String>,
    ) -> Self {
        Self { user, tool, call, tags, asked_at: OnceLock::new() }
    }

    /// Where the result is kept; `None` if it is not.
    fn at(&self) -> Option<(Place, Key)> {
        let hint = self.tool.cache.as_ref().filter(|_| self.tool.effect == Effect::Read)?;
        let user = self.user.0;
        let whose = match hint.sharing {
            Sharing::User => json!({
                "user": user.key(), "actors": user.actors, "roles": user.roles, "scopes": user.scopes,
            }),
            Sharing::Tenant => json!({ "tenant": user.tenant }),
        };
        let tool = json!({ "tool": self.tool.name, "schema": self.tool.input_schema });
        let place = digest("tool place", [canonical(&whose).as_bytes(), canonical(&tool).as_bytes()]);
        let arguments = canonical(&Value::Object(self.call.arguments.clone()));
        Some((Place(place), Key(digest("tool key", [place.as_slice(), arguments.as_bytes()]))))
    }
}

impl Cache {
    /// The result of an earlier call, if it is still good, and until when it is.
    pub async fn tool(&self, used: &ToolUse<'_>) -> Option<(Outcome, Timestamp)> {
        let (place, key) = used.at().filter(|_| self.0.settings.enabled)?;
        let asked_at = self.ready().await?;
        let found = self.0.store.get(&place, &key).await.ok()?;
        let (user, agent) = used.user;
        let value =
            found.and_then(|record| match self.open((&user.tenant, agent), (&place, &key), &record)? {
                Kept::Result(value) => Some((value, record.until)),
                Kept::Answer { .. } => None,
            });
        // Two looks for one call: the first counts.
        used.asked_at.get_or_init(|| asked_at);
        let result = if value.is_some() { CacheResult::Hit } else { CacheResult::Miss };
        self.tell((&user.tenant, agent), "tool", result);
        value.map(|(result, until)| (Outcome::Done { result }, until))
    }

    /// Keeps a result, if the tool's author says that it may be reused and it was looked for before the call.
    pub async fn keep_tool(&self, used: &ToolUse<'_>, outcome: &Outcome) {
        let (Some((place, key)), Some(hint), Outcome::Done { result }, Some(asked_at)) =
            (used.at(), &used.tool.cache, outcome, used.asked_at.get())
        else {
            return;
        };
        let tenant = &used.user.0.tenant;
        let own = used.tags.iter().map(|text| tag(tenant, text));
        let record = Record {
            asked_at: *asked_at,
            // Longer than that a clearing is not remembered.
            until: self.0.clock.now().plus(hint.ttl.min(LONGEST)),
            tags: own.chain(self.common_tags(tenant, user_tag(used.user.0))).collect(),
            vector: None,
            body: Vec::new().into(),
        };
        self.put(tenant, (&place, &key), record, &Kept::Result(result.clone())).await;
    }
}
