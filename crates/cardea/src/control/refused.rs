//! Logs policy decisions made outside a turn: on a tool that the caller is not shown, and on a model asked without an
//! agent.

use cardea_core::{
    Code, Error, Result,
    id::DecisionId,
    policy::{self, Subject},
    tool::{ToolCall, ToolSpec},
};
use cardea_store::Commit;
use serde_json::json;

use super::{Control, Refused, Requester, policy::question};
use crate::observe::{Decision, Entry, Ruled, Verdict};

impl Control {
    /// Returns why policy does not show this tool to the caller, whatever its arguments, with the row for the decision
    /// log. `None` if policy shows the tool now.
    #[must_use]
    pub fn unseen(&self, who: Requester<'_>, tool: &ToolSpec, call: &ToolCall) -> Option<(Ruled, Commit)> {
        let subject = Subject::List { tool: &tool.name };
        let decision = self.policies().decide(&question(who.caller, who.agent, who.via, subject, self.now()));
        if decision.verdict != policy::Verdict::Deny {
            return None;
        }
        let more =
            json!({ "effect": tool.effect, "args_digest": Self::digest(who.caller, call), "shown": false });
        Some(self.log_unturned(who, subject, &decision, more))
    }

    /// Logs that the caller has named a tool that policy does not show to them.
    ///
    /// # Errors
    /// Store errors.
    pub async fn refuse_unseen(&self, who: Requester<'_>, tool: &ToolSpec, call: &ToolCall) -> Result<()> {
        let Some((ruled, mut rows)) = self.unseen(who, tool, call) else { return Ok(()) };
        let detail = json!({ "reason": ruled.reason, "args_digest": Self::digest(who.caller, call),
                             "decision": ruled, "roles": who.caller.roles });
        let entry = Entry { tool: Some(tool.name.as_str()), detail, ..who.entry("call.refused") };
        self.inner.observe.audit(&mut rows, entry);
        self.inner.db.commit(rows).await.map_err(Error::from)
    }

    /// Returns the rows that record a guardrail's refusal of what the caller sent; none if the reason was not a
    /// finding.
    pub fn input_refused(&self, who: Requester<'_>, refused: &Refused) -> Commit {
        let mut rows = Commit::new();
        if let Some(mut detail) = refused.detail() {
            if let Some(detail) = detail.as_object_mut() {
                detail.insert("agent".to_owned(), json!(who.agent));
                detail.insert("via".to_owned(), json!(who.via));
            }
            self.inner.observe.audit(&mut rows, Entry { detail, ..who.entry("input.refused") });
        }
        rows
    }

    /// Allows the caller to ask a model without an agent, or refuses it; either is logged first. An allowing decision
    /// is made and logged once a minute per caller, model and policy set, and covers all requests in that time. The
    /// refusal of a model that does not exist is not logged.
    ///
    /// # Errors
    /// `denied`, with the policy's reason; store errors.
    pub async fn may_use_model(
        &self,
        who: Requester<'_>,
        model: &str,
        known: bool,
    ) -> Result<Option<DecisionId>> {
        let key = self.model_key(who.caller, who.agent, model);
        if let Some(id) = self.inner.memo.allowed(&key, who.caller) {
            return Ok(Some(id));
        }
        let decision = self.of_model(who.caller, who.agent, model);
        let allowed = decision.verdict == policy::Verdict::Allow;
        let mut logged = None;
        if known {
            let (ruled, mut rows) = self.log_unturned(who, Subject::Complete { model }, &decision, json!({}));
            logged = Some(ruled.id);
            let detail = json!({ "model": model, "reason": ruled.reason, "decision": ruled,
                                 "roles": who.caller.roles });
            let event = if allowed { "completion.allowed" } else { "completion.refused" };
            self.inner.observe.audit(&mut rows, Entry { detail, ..who.entry(event) });
            self.inner.db.commit(rows).await?;
        }
        if !allowed {
            return Err(Error::new(Code::Denied).detail(decision.reason.as_str()));
        }
        if let Some(id) = logged {
            self.inner.memo.allow(key, who.caller, id);
        }
        Ok(logged)
    }

    /// Returns the row of the decision, with the further facts that policy was given.
    pub(super) fn log_unturned(
        &self,
        who: Requester<'_>,
        subject: Subject<'_>,
        decision: &policy::Decision,
        mut context: serde_json::Value,
    ) -> (Ruled, Commit) {
        let (action, resource) = match subject {
            Subject::Call { tool, .. } | Subject::List { tool } => ("call", tool.as_str()),
            Subject::Complete { model } => ("complete", model),
            Subject::Restore { .. } => ("restore", who.agent.as_str()),
        };
        let policies: Vec<String> = decision.policies.iter().map(ToString::to_string).collect();
        let caller = who.caller;
        if let Some(context) = context.as_object_mut() {
            let facts = json!({ "via": who.via, "agent": who.agent, "issuer": caller.issuer, "actors": caller.actors,
                                "roles": caller.roles, "errors": decision.errors });
            context.extend(facts.as_object().cloned().unwrap_or_default());
        }
        let decision = Decision {
            id: DecisionId::random(),
            principal: caller,
            action,
            resource,
            verdict: Verdict::of(&decision.verdict),
            reason: &decision.reason,
            policies: &policies,
            policy_version: &decision.version,
            turn: who.turn,
            request: Some(who.request),
            context,
        };
        let mut rows = Commit::new();
        let ruled = self.inner.observe.decision(&mut rows, decision);
        (ruled, rows)
    }
}
