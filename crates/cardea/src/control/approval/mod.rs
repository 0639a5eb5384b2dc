//! Approvals: required by policy, bound to one call, decided by a person other than the requester.

mod call_context;
mod deciding;
mod listing;
mod state;

use std::{collections::BTreeSet, sync::LazyLock};

use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    canonical::Bounds,
    id::{ApprovalId, TurnId},
    principal::Principal,
    time::{Millis, Timestamp},
    tool::{ToolCall, ToolSpec},
};
use cardea_store::{Commit, FromRow, Row, RowError, args, shared::Listener};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{call_context::CallContext, state::ApprovalState};
use super::{Control, roles::AUDITOR};

/// Topic of wake-ups.
pub(super) const TOPIC: &str = "approvals";

/// Bounds of the arguments in a list. The person who decides can read everything that will be sent.
const LISTED: Bounds = Bounds { text: 1_024, whole: 8_192, depth: 8 };

/// Number of a caller's roles that are matched in the database. For a caller with more roles, everything is read.
const ROLES_LISTED: usize = 16;

/// How long a turn waits for what it needs, such as the server of its call: after its start, and after each decision
/// about one of its calls. An approval can be used for as long.
pub const PATIENCE: Millis = Millis::from_secs(3 * 24 * 3_600);

/// Limit of calls of one user that wait for approval at once.
const MOST_OPEN: u32 = 100;

/// Size limit of arguments that a person can be asked to approve.
const LARGEST: usize = 64 * 1024;

/// All columns of an approval except its arguments, as `approval_of` reads them.
const COLUMNS: &str = "id, turn, user_id, tool, reason, roles, state, created_at, expires_at, decided_by, comment, owner, \
    digest, (SELECT principal FROM turns WHERE turns.id = approvals.turn), decided_at, mac";

/// Result of requesting an approval.
pub(super) enum Wanted {
    /// The approval was requested.
    Waiting(ApprovalId),
    /// No approval can be requested.
    NotAsked(Code, String),
}

/// The decision of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The call may be made.
    Approve,
    /// The call must not be made.
    Reject,
}

/// A person's decision on an approval, with a comment.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The decision.
    pub choice: Choice,
    /// The reason in their words; may be empty.
    pub comment: &'a str,
}

/// An approval as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// The turn that waits.
    pub turn: TurnId,
    /// The user who asked.
    pub user: String,
    /// Issuer that vouches for that name: the same name at another issuer may be another person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Actors on behalf of the user, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<String>,
    /// The tool to call.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// True in a list that does not show all of the arguments.
    pub arguments_cut: bool,
    /// Reason why policy requires an approval.
    pub reason: String,
    /// Roles of which the decider needs one.
    pub roles: BTreeSet<String>,
    /// State of the approval.
    pub state: ApprovalState,
    /// Time of the request.
    pub created_at: Timestamp,
    /// Time until which it can be decided.
    pub expires_at: Timestamp,
    /// The person who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Issuer that vouches for that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by_issuer: Option<String>,
    /// Actors on behalf of that person, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decided_by_actors: Vec<String>,
    /// That person's comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip)]
    pub(super) owner: String,
    #[serde(skip)]
    pub(super) digest: String,
    #[serde(skip)]
    decider: Option<Decider>,
    #[serde(skip)]
    pub(super) proof: Proof,
    /// True if the row says open although its time is over.
    #[serde(skip)]
    ran_out: bool,
    /// Principal of the turn that waits.
    #[serde(skip)]
    asker: Option<Principal>,
}

/// The person who decided, with the roles at that time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Decider {
    pub(super) by: String,
    pub(super) roles: BTreeSet<String>,
    /// Absent in decisions made before this was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) actors: Vec<String>,
}

impl Decider {
    pub(super) fn of(caller: &Principal) -> Self {
        Self {
            by: caller.user.to_string(),
            roles: caller.roles.clone(),
            issuer: Some(caller.issuer.clone()),
            actors: caller.actors.clone(),
        }
    }
}

/// The data by which a decision is proved.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Proof {
    /// The decider, as recorded.
    pub(super) decided_by: Option<String>,
    pub(super) decided_at: Option<Timestamp>,
    pub(super) mac: Option<String>,
}

/// Returns everybody who takes part in what this principal does. By name alone: the same name at another issuer, or
/// with an API key, may be the same person.
fn persons(principal: &Principal) -> BTreeSet<&str> {
    std::iter::once(principal.user.as_str()).chain(principal.actors.iter().map(String::as_str)).collect()
}

impl Approval {
    fn concerns(&self, caller: &Caller) -> bool {
        self.owner == caller.key() || !self.roles.is_disjoint(&caller.roles) || caller.has_role(AUDITOR)
    }

    /// Returns whether the person who asked, or an actor of that person, is among those who would decide. Also true if
    /// it is no longer known who asked.
    pub(super) fn is_by(&self, caller: &Principal) -> bool {
        let deciding = persons(caller);
        let asked = self.asker.as_ref().is_none_or(|asker| !persons(asker).is_disjoint(&deciding));
        self.owner == caller.key() || deciding.contains(self.user.as_str()) || asked
    }

    /// Returns the approval in its state at this time: an open one that can no longer be decided has expired, even if
    /// its row does not say so yet.
    fn at(mut self, now: Timestamp) -> Self {
        if self.state == ApprovalState::Open && now > self.expires_at {
            (self.state, self.ran_out) = (ApprovalState::Expired, true);
        }
        self
    }
}

impl FromRow for Approval {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let arguments = serde_json::from_str(&row.get::<String>(16)?).unwrap_or(Value::Null);
        approval_of(row, arguments)
    }
}

fn approval_of(row: &Row<'_>, arguments: Value) -> Result<Approval, RowError> {
    let decided_by: Option<String> = row.get(9)?;
    let decider: Option<Decider> = decided_by.as_ref().and_then(|text| serde_json::from_str(text).ok());
    let asker: Option<Principal> =
        row.get::<Option<String>>(13)?.and_then(|text| serde_json::from_str(&text).ok());
    Ok(Approval {
        id: row.get(0)?,
        turn: row.get(1)?,
        user: row.get(2)?,
        issuer: asker.as_ref().map(|asker| asker.issuer.clone()),
        actors: asker.as_ref().map(|asker| asker.actors.clone()).unwrap_or_default(),
        tool: row.get(3)?,
        arguments,
        arguments_cut: false,
        reason: row.get(4)?,
        roles: serde_json::from_str(&row.get::<String>(5)?).unwrap_or_default(),
        state: row.get(6)?,
        created_at: row.get(7)?,
        expires_at: row.get(8)?,
        decided_by: decider.as_ref().map(|decider| decider.by.clone()),
        decided_by_issuer: decider.as_ref().and_then(|decider| decider.issuer.clone()),
        decided_by_actors: decider.as_ref().map(|decider| decider.actors.clone()).unwrap_or_default(),
        comment: row.get(10)?,
        owner: row.get(11)?,
        digest: row.get(12)?,
        decider,
        proof: Proof { decided_by, decided_at: row.get(14)?, mac: row.get(15)? },
        ran_out: false,
        asker,
    })
}

/// A call about which policy is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Caller,
    pub(super) context: &'a CallContext<'a>,
    pub(super) tool: &'a ToolSpec,
    pub(super) call: &'a ToolCall,
    /// Digest by which permits and approvals identify the call.
    pub(super) digest: &'a str,
}

/// Reason for a call that was not approved in time.
pub(super) const TOO_LATE: &str = "Nobody approved this in time.";

/// State of an approval when its call is made again.
pub(super) enum Standing {
    /// There is none, or it belongs to another call.
    None,
    /// Not decided yet.
    Open(ApprovalId),
    /// Not decided in time, and the row does not say so yet.
    Expired(ApprovalId),
    /// Approved by this person, and still valid.
    Approved(Decider),
    /// Rejected, or not decided in time.
    Refused(String),
    /// The row holds a decision that this installation has not written.
    Unproved,
}

impl Control {
    /// Returns a listener for decisions.
    #[must_use]
    pub fn decided(&self) -> Listener {
        self.inner.shared.listen(TOPIC)
    }

    pub(super) async fn standing(&self, caller: &Caller, id: ApprovalId, digest: &str) -> Result<Standing> {
        let Some(approval) = self.load_approval(caller, id).await? else { return Ok(Standing::None) };
        // INVARIANT: an approval is valid for one call of one caller; any other call finds none.
        if approval.digest != digest || approval.owner != caller.key() {
            return Ok(Standing::None);
        }
        let late = approval.proof.decided_at.is_none_or(|at| self.now() > at.plus(PATIENCE));
        if approval.ran_out {
            return Ok(Standing::Expired(id));
        }
        let decided = matches!(approval.state, ApprovalState::Approved | ApprovalState::Rejected);
        if decided && !self.is_proved(caller, &approval) {
            return Ok(Standing::Unproved);
        }
        Ok(match (approval.state, approval.decider) {
            (ApprovalState::Approved, Some(decider)) if !late => Standing::Approved(decider),
            (ApprovalState::Open, _) => Standing::Open(id),
            (ApprovalState::Rejected, Some(decider)) => {
                let comment = approval.comment.filter(|comment| !comment.is_empty());
                let why = comment.map(|comment| format!(": {comment}")).unwrap_or_default();
                Standing::Refused(format!("`{}` did not approve this{why}.", decider.by))
            }
            _ => Standing::Refused(TOO_LATE.to_owned()),
        })
    }

    /// Returns when a call of this turn was last decided about, or its time to be decided ended.
    ///
    /// # Errors
    /// Store errors.
    pub async fn last_decision(&self, owner: &Principal, turn: TurnId) -> Result<Option<Timestamp>> {
        let sql = "SELECT MAX(COALESCE(decided_at, expires_at)) FROM approvals WHERE turn = $1 AND tenant = $2 \
                   AND COALESCE(decided_at, expires_at) <= $3";
        let last: Option<(Option<Timestamp>,)> =
            self.inner.db.row(sql, args![turn, &owner.tenant, self.now()]).await?;
        Ok(last.and_then(|(at,)| at))
    }

    pub(super) async fn load_approval(&self, caller: &Caller, id: ApprovalId) -> Result<Option<Approval>> {
        static ONE: LazyLock<String> =
            LazyLock::new(|| format!("SELECT {COLUMNS}, args FROM approvals WHERE id = $1 AND tenant = $2"));
        let found: Option<Approval> = self.inner.db.row(&ONE, args![id, &caller.tenant]).await?;
        Ok(found.map(|approval| approval.at(self.now())))
    }

    /// Adds the row of a new approval to the commit that suspends its turn, or returns why no approval can be
    /// requested.
    ///
    /// # Errors
    /// Store errors.
    pub(super) async fn want(
        &self,
        rows: &mut Commit,
        asked: &Asked<'_>,
        roles: &BTreeSet<String>,
        reason: &str,
    ) -> Result<Wanted> {
        let kept = Value::Object(asked.call.arguments.clone()).to_string();
        if kept.len() > LARGEST {
            let why = format!(
                "A person must decide about this call, and its arguments of {} bytes are more than the {LARGEST} that \
                 anybody can be asked about.",
                kept.len()
            );
            return Ok(Wanted::NotAsked(Code::TooLarge, why));
        }
        if self.open_of(asked.caller).await? >= i64::from(MOST_OPEN) {
            let why = format!(
                "A person must decide about this call, and {MOST_OPEN} calls of this user wait for people already, which \
                 is the most."
            );
            return Ok(Wanted::NotAsked(Code::RateLimited, why));
        }
        let id = ApprovalId::random();
        let now = self.now();
        *rows = std::mem::take(rows).run(
            "INSERT INTO approvals (id, tenant, turn, step, owner, user_id, tool, args, args_digest, digest, reason, roles, \
             state, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, 'open', $12, $13)",
            args![
                id,
                &asked.caller.tenant,
                asked.context.turn,
                asked.context.step,
                asked.caller.key(),
                &asked.caller.user,
                &asked.tool.name,
                kept,
                asked.digest,
                reason,
                json!(roles).to_string(),
                now,
                now.plus(self.inner.settings.approval)
            ],
        );
        Ok(Wanted::Waiting(id))
    }

    /// Counts the caller's calls that wait for approval. Requests in progress at this moment are not included; each
    /// user has only a few of them.
    async fn open_of(&self, caller: &Caller) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM approvals WHERE tenant = $1 AND owner = $2 AND state = 'open' \
                   AND expires_at >= $3";
        let open: Option<(i64,)> =
            self.inner.db.row(sql, args![&caller.tenant, caller.key(), self.now()]).await?;
        Ok(open.map_or(0, |(count,)| count))
    }

    /// Returns an approval that the caller asked for or may decide, with all of its arguments. Auditors may read every
    /// approval of their tenant.
    ///
    /// # Errors
    /// `not_found`, or a store error.
    pub async fn approval(&self, caller: &Caller, id: ApprovalId) -> Result<Approval> {
        let found = self.load_approval(caller, id).await?.filter(|approval| approval.concerns(caller));
        found.ok_or_else(|| Error::new(Code::NotFound))
    }
}
