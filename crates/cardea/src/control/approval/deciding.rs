//! Decisions on approvals: by a person other than the requester, with a role that the policy names, in time and once.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    id::{ApprovalId, RequestId},
    principal,
    time::Timestamp,
};
use cardea_store::{Commit, CommitError, args};
use serde_json::json;

use super::{Answer, Approval, ApprovalState, Asked, Choice, Decider, Proof, TOPIC, persons};
use crate::control::Control;
use crate::{identity::makers, observe::Entry};

/// The recorded parts of a decision, beside the call that it is about.
struct Written<'a> {
    state: ApprovalState,
    by: &'a str,
    at: Timestamp,
}

impl Control {
    /// Returns the MAC of a recorded decision, over everything by which it lets a call run.
    fn mac(&self, caller: &Caller, approval: &Approval, written: &Written<'_>) -> String {
        let bound = json!([
            approval.id,
            caller.tenant,
            approval.turn,
            approval.owner,
            approval.tool,
            approval.digest,
            approval.expires_at,
            written.state,
            written.by,
            written.at
        ]);
        self.inner.vault.approval_mac(&bound.to_string())
    }

    /// Returns whether the decision in the row was written by [`Control::decide`].
    pub(in crate::control) fn is_proved(&self, caller: &Caller, approval: &Approval) -> bool {
        let Proof { decided_by: Some(by), decided_at: Some(at), mac: Some(mac) } = &approval.proof else {
            return false;
        };
        let right = self.mac(caller, approval, &Written { state: approval.state, by, at: *at });
        verify_slices_are_equal(right.as_bytes(), mac.as_bytes()).is_ok()
    }

    /// Records that nobody has decided in time.
    pub(in crate::control) fn expire(&self, rows: &mut Commit, id: ApprovalId, asked: &Asked<'_>) {
        *rows = std::mem::take(rows).run(
            "UPDATE approvals SET state = 'expired' WHERE id = $1 AND tenant = $2 AND state = 'open'",
            args![id, &asked.caller.tenant],
        );
        self.tell(rows, "approval.expired", asked);
    }

    /// Records that the row of an approval holds a decision that this installation has not written.
    pub(in crate::control) fn tell_unproved(&self, rows: &mut Commit, asked: &Asked<'_>) {
        let approval = asked.context.approval;
        tracing::error!(
            approval.id = approval.as_ref().map(tracing::field::display),
            tenant.id = %asked.caller.tenant,
            "an approval was not written by this installation: the call is refused"
        );
        self.tell(rows, "approval.unproved", asked);
    }

    fn tell(&self, rows: &mut Commit, event: &'static str, asked: &Asked<'_>) {
        let Asked { caller, context, tool, .. } = *asked;
        let entry = Entry {
            principal: caller,
            event,
            turn: Some(context.turn),
            step: None,
            tool: Some(tool.name.as_str()),
            request: Some(context.request),
            detail: json!({ "approval": context.approval }),
        };
        self.inner.observe.audit(rows, entry);
    }

    /// Decides an approval. The turn that waits for it continues by itself.
    ///
    /// # Errors
    /// `not_found` for an approval of another tenant, or one that does not concern the caller. `approval_invalid` for
    /// one's own request, without the role, too late, or decided before. Refusals go into the audit log, once a minute
    /// per caller and approval.
    pub async fn decide(
        &self,
        caller: &Caller,
        id: ApprovalId,
        answer: Answer<'_>,
        request: Option<RequestId>,
    ) -> Result<Approval> {
        let Answer { choice, comment } = answer;
        let approval = self.load_approval(caller, id).await?.ok_or_else(|| Error::new(Code::NotFound))?;
        let may = match self.may_decide(caller, &approval) {
            Ok(()) => match self.made_no_key_of(caller, &approval).await {
                Err(error) if error.code() != Code::ApprovalInvalid => return Err(error), // an error, not a refusal
                may => may,
            },
            refused => refused,
        };
        let told = format!("{}/{id}", caller.key());
        let may = match may {
            Err(error) if !self.inner.memo.tells(told.clone()) => return Err(error), // recorded within this minute
            may => may,
        };
        let refused = may.as_ref().err().map(Error::public);
        let comment: String = comment.chars().take(1_000).collect();
        let mut commit = Commit::new();
        if refused.is_none() {
            let state = match choice {
                Choice::Approve => ApprovalState::Approved,
                Choice::Reject => ApprovalState::Rejected,
            };
            let by = serde_json::to_string(&Decider::of(caller))
                .map_err(|error| Error::new(Code::Internal).because(error))?;
            let now = self.now();
            let mac = self.mac(caller, &approval, &Written { state, by: &by, at: now });
            commit = commit.guard(
                "approval",
                "UPDATE approvals SET state = $3, decided_by = $4, decided_at = $5, comment = $6, mac = $9 \
                 WHERE id = $1 AND tenant = $2 AND state = 'open' AND expires_at >= $5 AND owner <> $7 \
                 AND user_id <> $8",
                args![id, &caller.tenant, state, by, now, &comment, caller.key(), &caller.user, mac],
            );
        }
        let event = if refused.is_none() { "approval.decided" } else { "approval.refused" };
        // WHY no comment: the row keeps it and is wiped with the conversation; nothing is removed from the log.
        let comment = self.inner.vault.digest(&comment);
        let detail = json!({ "approval": id, "choice": choice, "digest": approval.digest, "refused": refused,
                             "args_digest": approval.digest, "roles": caller.roles, "comment_digest": comment });
        let tool = Some(approval.tool.as_str());
        let entry =
            Entry { principal: caller, event, turn: Some(approval.turn), step: None, tool, request, detail };
        self.inner.observe.audit(&mut commit, entry);
        match self.inner.db.commit(commit).await {
            Ok(()) => {}
            Err(CommitError::Conflict(_)) => return Err(too_late()),
            Err(error) => {
                self.inner.memo.tells_again(&told);
                return Err(error.into());
            }
        }
        may?;
        self.inner.shared.wake(TOPIC).await;
        self.load_approval(caller, id).await?.ok_or_else(|| Error::new(Code::NotFound))
    }

    /// Refuses a decider who created the API key of the request, or a key with which that key was created.
    async fn made_no_key_of(&self, caller: &Caller, approval: &Approval) -> Result<()> {
        let Some(asker) = approval.asker.as_ref().filter(|asker| asker.proof == principal::Proof::ApiKey)
        else {
            return Ok(());
        };
        let key = asker.client.as_ref().map_or("", |client| client.as_str());
        let invalid = |why: &str| Err(Error::new(Code::ApprovalInvalid).detail(why));
        let Some(makers) = makers(&self.inner.db, &caller.tenant, key).await? else {
            return invalid("Nobody can say who made the API key with which this was asked.");
        };
        let deciding = persons(caller);
        // WHY: a name may contain brackets; that may refuse one person too many, but never one too few.
        if makers.iter().any(|made_by| deciding.iter().any(|name| is_maker(made_by, name))) {
            return invalid("Nobody decides about what was asked with an API key that they made.");
        }
        Ok(())
    }

    fn may_decide(&self, caller: &Caller, approval: &Approval) -> Result<()> {
        let invalid = |why: &str| Err(Error::new(Code::ApprovalInvalid).detail(why));
        if approval.is_by(caller) {
            return invalid(
                "Nobody decides about a request that they, or whoever acts with them, had a part in.",
            );
        }
        if approval.roles.is_disjoint(&caller.roles) {
            // WHY: someone whom the approval does not concern learns nothing about it.
            return Err(Error::new(Code::NotFound));
        }
        if caller.proof == principal::Proof::ApiKey {
            // WHY: the requester may have created the key, under any name.
            return invalid("An API key is no person: somebody must sign in to decide.");
        }
        if approval.state != ApprovalState::Open || self.now() > approval.expires_at {
            return Err(too_late());
        }
        Ok(())
    }
}

/// Returns whether this name is among the recorded makers of a key.
fn is_maker(made_by: &str, name: &str) -> bool {
    made_by.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
}

fn too_late() -> Error {
    Error::new(Code::ApprovalInvalid).detail("It was decided before, or has expired.")
}
