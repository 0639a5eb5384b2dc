//! Results of reading tools, for as long as the tool's author says they stay good.

use std::sync::{Arc, atomic::Ordering};

use cardea_core::{
    canonical::{canonical, sha256_hex},
    principal::Principal,
    time::Timestamp,
    tool::{Effect, Outcome, Sharing, ToolCall, ToolSpec},
};
use serde_json::{Value, json};

use super::{Cache, tag_key, user_tag};
use crate::observe::CacheResult;

/// One call of a tool whose results may be reused.
#[derive(Debug)]
pub struct ToolUse<'a> {
    /// Who calls.
    pub user: &'a Principal,
    /// The tool.
    pub tool: &'a ToolSpec,
    /// The call.
    pub call: &'a ToolCall,
    /// Its tags, filled from the arguments.
    pub tags: Vec<String>,
    /// The count of clearings before the call; see [`Cache::tool_use`].
    asked_at: u64,
}

#[derive(Debug)]
pub(super) struct KeptResult {
    result: Value,
    size: u32,
    tags: Vec<String>,
    asked_at: u64,
    until: Timestamp,
}

impl KeptResult {
    pub(super) fn weight(&self) -> u32 {
        self.size
    }
}

impl ToolUse<'_> {
    /// Where the result is kept; `None` if it is not.
    fn key(&self) -> Option<String> {
        let hint = self.tool.cache.as_ref().filter(|_| self.tool.effect == Effect::Read)?;
        let whose = match hint.sharing {
            Sharing::User => {
                json!({ "user": self.user.key(), "roles": self.user.roles, "scopes": self.user.scopes })
            }
            Sharing::Tenant => json!({ "tenant": self.user.tenant }),
        };
        let body = json!({
            "whose": whose, "tool": self.tool.name, "schema": self.tool.input_schema,
            "args": Value::Object(self.call.arguments.clone()),
        });
        Some(sha256_hex(canonical(&body).as_bytes()))
    }
}

impl Cache {
    /// A call that is about to be made.
    #[must_use]
    pub fn tool_use<'a>(
        &self,
        user: &'a Principal,
        tool: &'a ToolSpec,
        call: &'a ToolCall,
        tags: Vec<String>,
    ) -> ToolUse<'a> {
        ToolUse { user, tool, call, tags, asked_at: self.0.clearings.load(Ordering::SeqCst) }
    }

    /// The result of an earlier call, if it is still good.
    #[must_use]
    pub fn tool(&self, used: &ToolUse<'_>) -> Option<Outcome> {
        let key = used.key().filter(|_| self.0.settings.enabled)?;
        let kept = self.0.results.get(&key).filter(|kept| self.fresh(kept.until, kept.asked_at, &kept.tags));
        self.0.observe.cache("tool", if kept.is_some() { CacheResult::Hit } else { CacheResult::Miss });
        kept.map(|kept| Outcome::Done { result: kept.result.clone() })
    }

    /// Keeps a result, if the tool's author says that it may be reused.
    pub fn keep_tool(&self, used: &ToolUse<'_>, outcome: &Outcome) {
        let (Some(key), Some(hint), Outcome::Done { result }) = (used.key(), &used.tool.cache, outcome)
        else {
            return;
        };
        let mut tags: Vec<String> = used.tags.iter().map(|tag| tag_key(&used.user.tenant, tag)).collect();
        tags.push(tag_key(&used.user.tenant, &user_tag(used.user)));
        let size = u32::try_from(result.to_string().len().saturating_add(256)).unwrap_or(u32::MAX);
        let kept = KeptResult {
            result: result.clone(),
            size,
            tags,
            asked_at: used.asked_at,
            until: self.0.clock.now().plus(hint.ttl),
        };
        self.0.results.insert(key, Arc::new(kept));
    }
}
