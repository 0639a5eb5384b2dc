//! The permit: policy allowed this caller this one call, and nothing else.

use cardea_auth::Caller;
use cardea_core::{
    Code, Result,
    canonical::{Spelling, sha256_hex},
    id::{ApprovalId, DecisionId, ToolName},
    policy::{Approved, Decision, Question, Subject, Verdict},
    principal::Principal,
    time::{Millis, Timestamp},
    tool::{ToolCall, ToolSpec},
};
use cardea_store::Commit;
use serde_json::json;

use super::{
    Control,
    approval::{Asked, CallContext, Decider, Standing, TOO_LATE, Wanted},
};
use crate::observe::{self, Ruled};

/// Lifetime of a permit.
const PERMIT_LIFE: Millis = Millis::from_secs(60);

/// Reason for refusing an approval that this installation has not written.
const UNPROVED: &str = "It cannot be proved that somebody approved this.";

/// Proof that policy allowed one call. [`Control::permit`] makes it, `Action::execute` spends it.
///
/// Only this room makes one:
///
/// ```compile_fail,E0451
/// # use cardea::control::Permit;
/// fn forged(permit: Permit, digest: String) -> Permit {
///     Permit { digest, ..permit }
/// }
/// ```
///
/// It is spent once:
///
/// ```compile_fail,E0382
/// # use cardea::control::Permit;
/// fn twice(permit: Permit) -> [Permit; 2] {
///     [permit, permit]
/// }
/// ```
#[must_use = "a permit that is not spent allowed nothing"]
#[derive(Debug)]
pub struct Permit {
    caller: String,
    tool: ToolName,
    digest: String,
    until: Timestamp,
}

impl Permit {
    /// Returns whether the permit is valid now, for this caller, this tool and these arguments.
    #[must_use]
    pub fn covers(&self, caller: &Principal, tool: &ToolName, digest: &str, now: Timestamp) -> bool {
        self.caller == caller.key() && self.tool == *tool && self.digest == digest && now <= self.until
    }
}

/// Result of asking for a permit.
#[derive(Debug)]
pub enum Permission {
    /// Policy allows the call.
    Granted(Permit),
    /// A person must decide first.
    Waiting(ApprovalId),
    /// A person would have to decide, but no approval can be requested.
    NotAsked(Code, String),
    /// Policy or a person refuses. The sentence is for the caller and the model.
    Refused(String),
}

/// A permission, with the rows that must be written together with what follows from it.
#[derive(Debug)]
pub struct Ruling {
    /// The permission.
    pub permission: Permission,
    /// The decision, as in the decision log.
    pub decision: Ruled,
    /// Rows of the decision and the approval, for the turn's next commit.
    pub rows: Commit,
}

impl Control {
    /// Returns the digest by which permits, approvals and steps identify a call: caller, tool and arguments.
    #[must_use]
    pub fn digest(caller: &Principal, call: &ToolCall) -> String {
        let mut body = Spelling::about(256);
        body.object("args", &call.arguments);
        body.own("tool", Some(&call.name));
        body.own("who", Some(caller.key()));
        sha256_hex(body.end().as_bytes())
    }

    /// Asks policy, and requests an approval if policy requires one.
    ///
    /// # Errors
    /// Store errors. A refusal is not an error.
    pub async fn permit(
        &self,
        caller: &Caller,
        context: &CallContext<'_>,
        tool: &ToolSpec,
        call: &ToolCall,
    ) -> Result<Ruling> {
        let digest = Self::digest(caller, call);
        let standing = match context.approval {
            Some(id) => self.standing(caller, id, &digest).await?,
            None => Standing::None,
        };
        let decider = match &standing {
            Standing::Approved(decider) => Some(decider),
            _ => None,
        };
        let approved = decider.map(|one| Approved { by: one.by.clone(), roles: one.roles.clone() });
        let decision = self.policies().decide(&Question {
            principal: caller,
            subject: Subject::Call { tool: &tool.name, arguments: &call.arguments },
            at: self.now(),
            agent: context.agent,
            via: context.via,
            taint: context.taint,
            approved: approved.as_ref(),
        });
        let mut rows = Commit::new();
        let asked = Asked { caller, context, tool, call, digest: &digest };
        match &standing {
            Standing::Unproved => self.tell_unproved(&mut rows, &asked),
            Standing::Expired(id) => self.expire(&mut rows, *id, &asked),
            _ => {}
        }
        let ruled = self.log(&mut rows, &asked, &decision, decider);
        let permission = match (&decision.verdict, standing) {
            (Verdict::Allow, _) => Permission::Granted(Permit {
                caller: caller.key(),
                tool: tool.name.clone(),
                digest,
                until: self.now().plus(PERMIT_LIFE),
            }),
            (Verdict::NeedsApproval { .. }, Standing::Open(approval)) => Permission::Waiting(approval),
            (Verdict::NeedsApproval { .. }, Standing::Refused(why)) => Permission::Refused(why),
            (Verdict::NeedsApproval { .. }, Standing::Expired(_)) => Permission::Refused(TOO_LATE.to_owned()),
            (Verdict::NeedsApproval { .. }, Standing::Unproved) => Permission::Refused(UNPROVED.to_owned()),
            (Verdict::NeedsApproval { roles }, _) => {
                match self.want(&mut rows, &asked, roles, &decision.reason).await? {
                    Wanted::Waiting(approval) => Permission::Waiting(approval),
                    Wanted::NotAsked(code, why) => Permission::NotAsked(code, why),
                }
            }
            (Verdict::Deny, _) => Permission::Refused(decision.reason.clone()),
        };
        Ok(Ruling { permission, decision: ruled, rows })
    }

    fn log(
        &self,
        rows: &mut Commit,
        asked: &Asked<'_>,
        decision: &Decision,
        approved: Option<&Decider>,
    ) -> Ruled {
        let Asked { caller, context, tool, digest, .. } = *asked;
        let policies: Vec<String> = decision.policies.iter().map(ToString::to_string).collect();
        let told = json!({
            "effect": tool.effect, "via": context.via, "agent": context.agent, "taint": context.taint,
            "issuer": caller.issuer, "actors": caller.actors, "roles": caller.roles, "args_digest": digest,
            "errors": decision.errors, "approval": approved.and(context.approval),
            "approved_by": approved.map(|one| &one.by),
            "approved_by_issuer": approved.and_then(|one| one.issuer.as_ref()),
        });
        self.inner.observe.decision(
            rows,
            observe::Decision {
                id: DecisionId::random(),
                principal: caller,
                action: "call",
                resource: tool.name.as_str(),
                verdict: observe::Verdict::of(&decision.verdict),
                reason: &decision.reason,
                policies: &policies,
                policy_version: &decision.version,
                turn: Some(context.turn),
                request: Some(context.request),
                context: told,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use cardea_core::principal::Proof;

    use super::*;

    fn person(tenant: &str, user: &str) -> Principal {
        Principal::new(tenant, user, "test", Proof::Jwt)
    }

    #[test]
    fn a_permit_covers_one_call_of_one_caller_until_its_time_and_nothing_else() {
        let ann = person("acme", "ann");
        let (tool, other) = (ToolName::from("ops__refund"), ToolName::from("ops__get"));
        let permit =
            Permit { caller: ann.key(), tool: tool.clone(), digest: "d".to_owned(), until: Timestamp(1_000) };
        assert!(permit.covers(&ann, &tool, "d", Timestamp(1_000)));
        assert!(!permit.covers(&ann, &tool, "d", Timestamp(1_001)), "too late");
        assert!(!permit.covers(&ann, &tool, "e", Timestamp(1)), "other arguments");
        assert!(!permit.covers(&ann, &other, "d", Timestamp(1)), "another tool");
        assert!(!permit.covers(&person("acme", "bob"), &tool, "d", Timestamp(1)), "somebody else");
        assert!(!permit.covers(&person("rival", "ann"), &tool, "d", Timestamp(1)), "another tenant");
    }
}
