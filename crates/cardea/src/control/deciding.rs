//! A person decides: somebody else than who asked, with a role that policy wants, in time and once.

use cardea_auth::Caller;
use cardea_core::{Code, Error, Result, id::ApprovalId, principal::Proof};
use cardea_store::{Commit, CommitError, args};
use serde_json::json;

use super::{
    Control,
    approval::{Approval, Choice, Decider, TOPIC},
};
use crate::observe::Entry;

impl Control {
    /// Decides an approval. The turn that waits for it goes on by itself.
    ///
    /// # Errors
    /// `not_found` for one of another tenant or one that does not concern the caller; `approval_invalid` for one's own
    /// request, without the role, too late, or decided before. Every try is in the audit log.
    pub async fn decide(
        &self,
        caller: &Caller,
        id: ApprovalId,
        choice: Choice,
        comment: &str,
    ) -> Result<Approval> {
        let approval = self.load_approval(caller, id).await?.ok_or_else(|| Error::new(Code::NotFound))?;
        let may = self.may_decide(caller, &approval);
        let refused = may.as_ref().err().map(Error::public);
        let comment: String = comment.chars().take(1_000).collect();
        let mut commit = Commit::new();
        if refused.is_none() {
            let state = if choice == Choice::Approve { "approved" } else { "rejected" };
            let decider = Decider::of(caller);
            commit = commit.guard(
                "approval",
                "UPDATE approvals SET state = $3, decided_by = $4, decided_at = $5, comment = $6 \
                 WHERE id = $1 AND tenant = $2 AND state = 'open' AND expires_at >= $5 AND owner <> $7 \
                 AND user_id <> $8",
                args![
                    id,
                    &caller.tenant,
                    state,
                    serde_json::to_string(&decider).unwrap_or_default(),
                    self.now(),
                    &comment,
                    caller.key(),
                    &caller.user
                ],
            );
        }
        let event = if refused.is_none() { "approval.decided" } else { "approval.refused" };
        let detail = json!({ "approval": id, "choice": choice, "digest": approval.digest, "refused": refused,
                             "args_digest": approval.digest, "roles": caller.roles, "comment": comment });
        let tool = Some(approval.tool.as_str());
        let entry = Entry {
            principal: caller,
            event,
            turn: Some(approval.turn),
            step: None,
            tool,
            request: None,
            detail,
        };
        self.inner.observe.audit(&mut commit, entry);
        match self.inner.db.commit(commit).await {
            Ok(()) => {}
            Err(CommitError::Conflict(_)) => return Err(too_late()),
            Err(error) => return Err(error.into()),
        }
        may?;
        self.inner.shared.wake(TOPIC).await;
        self.load_approval(caller, id).await?.ok_or_else(|| Error::new(Code::NotFound))
    }

    fn may_decide(&self, caller: &Caller, approval: &Approval) -> Result<()> {
        let invalid = |why: &str| Err(Error::new(Code::ApprovalInvalid).detail(why));
        if approval.is_by(caller) {
            return invalid(
                "Nobody decides about a request that they, or whoever acts with them, had a part in.",
            );
        }
        if approval.roles.is_disjoint(&caller.roles) {
            // WHY: somebody whom it does not concern learns nothing of it.
            return Err(Error::new(Code::NotFound));
        }
        if caller.proof == Proof::ApiKey {
            // WHY: whoever asked may have made the key, under any name.
            return invalid("An API key is no person: somebody must sign in to decide.");
        }
        if approval.state != "open" || self.now() > approval.expires_at {
            return Err(too_late());
        }
        Ok(())
    }
}

fn too_late() -> Error {
    Error::new(Code::ApprovalInvalid).detail("It was decided before, or has expired.")
}
