//! The decision log: one row for each policy decision, allowed or not.

use std::sync::Arc;

use cardea_core::{
    Result,
    canonical::{Bounds, spelled},
    id::{DecisionId, RequestId, TenantId, TurnId},
    page::{Limit, Page, Place},
    policy,
    principal::Principal,
    time::Timestamp,
};
use cardea_store::{Commit, FromRow, Row, RowError, args};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Observe,
    search::{LOOKED_AT, Wanted},
};

const CONTEXT: Bounds = Bounds { text: 512, whole: 4_096, depth: 4 };
const REASON: Bounds = Bounds { text: 1_024, whole: 8_192, depth: 1 };

/// Verdict of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
    /// Allowed only with a person's approval.
    Approval,
}

impl Verdict {
    /// Converts the verdict of a policy decision.
    #[must_use]
    pub const fn of(verdict: &policy::Verdict) -> Self {
        match verdict {
            policy::Verdict::Allow => Self::Allow,
            policy::Verdict::Deny => Self::Deny,
            policy::Verdict::NeedsApproval { .. } => Self::Approval,
        }
    }

    /// Returns the name used in rows, answers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Approval => "approval",
        }
    }
}

/// A decision to log.
#[derive(Debug)]
pub struct Decision<'a> {
    /// Id, which steps and audit entries refer to.
    pub id: DecisionId,
    /// The principal who asked.
    pub principal: &'a Principal,
    /// The action, such as `call`.
    pub action: &'a str,
    /// The resource: name of a tool or a model.
    pub resource: &'a str,
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, in words.
    pub reason: &'a str,
    /// The policies that decided.
    pub policies: &'a [String],
    /// Version of the policy set.
    pub policy_version: &'a Arc<str>,
    /// Its turn.
    pub turn: Option<TurnId>,
    /// Its request.
    pub request: Option<RequestId>,
    /// Further input of the policies. No raw arguments, unless the configuration allows them.
    pub context: Value,
}

/// Selects whose decisions are read.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// Those of all users of a tenant.
    Tenant(&'a TenantId),
    /// Those of one user.
    Own(&'a Principal),
}

/// A decision as repeated in audit entries, where the chain protects it and so proves the row in the decision log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruled {
    /// Id.
    pub id: DecisionId,
    /// Time, as in its row.
    pub at: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// Version of the policy set.
    pub version: Arc<str>,
    /// The reason, in words. Entries hold it beside the decision, if at all.
    #[serde(skip)]
    pub reason: String,
}

/// Formats the policies that decided, as in their column.
pub(super) fn policies_column(policies: &[String]) -> String {
    spelled(json!(policies), REASON)
}

/// A decision as an auditor reads it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decided {
    /// Id.
    pub id: DecisionId,
    /// Time.
    pub at: Timestamp,
    /// The user who asked.
    pub user: String,
    /// Issuer that vouches for that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The action.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// The verdict.
    pub verdict: String,
    /// The reason.
    pub reason: String,
    /// The policies that decided.
    pub policies: Value,
    /// Version of the policy set.
    pub policy_version: String,
    /// Its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// Its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// Further input of the policies.
    pub context: Value,
}

impl Decided {
    fn place(&self) -> Place {
        Place { at: self.at, id: self.id.to_string() }
    }

    fn fits(&self, wanted: Wanted<'_>) -> bool {
        let (turn, request) =
            (self.turn.map(|turn| turn.to_string()), self.request.map(|request| request.to_string()));
        wanted.fits(|name| match name {
            "user" => Some(self.user.as_str()),
            "action" => Some(self.action.as_str()),
            "resource" => Some(self.resource.as_str()),
            "verdict" => Some(self.verdict.as_str()),
            "policy_version" => Some(self.policy_version.as_str()),
            "turn" => turn.as_deref(),
            "request" => request.as_deref(),
            _ => None,
        })
    }
}

impl FromRow for Decided {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let json = |column: usize| -> Result<Value, RowError> {
            let text: String = row.get(column)?;
            serde_json::from_str(&text).map_err(|_| RowError::Type { column, wanted: "JSON" })
        };
        Ok(Self {
            id: row.get(0)?,
            at: row.get(1)?,
            user: row.get(2)?,
            action: row.get(3)?,
            resource: row.get(4)?,
            verdict: row.get(5)?,
            reason: row.get(6)?,
            policies: json(7)?,
            policy_version: row.get(8)?,
            turn: row.get(9)?,
            request: row.get(10)?,
            context: json(11)?,
            issuer: Principal::issuer_in(&row.get::<String>(12)?).map(str::to_owned),
        })
    }
}

/// Query for the decisions of a tenant. WHY `at >= $2` beside the rest: an index can start there.
pub(super) const OF_TENANT: &str = "SELECT id, at, user_id, action, resource, verdict, reason, policies, policy_version, turn, request, \
    context, owner FROM decisions WHERE tenant = $1 AND at >= $2 AND (at > $2 OR id > $3) ORDER BY at, id LIMIT $4";

pub(super) const OF_OWNER: &str = "SELECT id, at, user_id, action, resource, verdict, reason, policies, policy_version, turn, request, \
    context, owner FROM decisions WHERE user_id = $1 AND owner = $5 AND at >= $2 AND (at > $2 OR id > $3) ORDER BY at, id LIMIT $4";

impl Observe {
    /// Adds the decision to the commit and counts it. Returns what audit entries repeat of it.
    pub fn decision(&self, commit: &mut Commit, decision: Decision<'_>) -> Ruled {
        let ruled = Ruled {
            id: decision.id,
            at: self.0.clock.now(),
            verdict: decision.verdict,
            policies: decision.policies.to_vec(),
            version: Arc::clone(decision.policy_version),
            reason: decision.reason.to_owned(),
        };
        let who = decision.principal;
        self.0.meters.decision(decision.verdict.name(), who.tenant.as_str());
        let short = |text: &str| {
            if text.len() <= REASON.text { text.to_owned() } else { spelled(json!(text), REASON) }
        };
        *commit = std::mem::take(commit).run(
            "INSERT INTO decisions (tenant, at, id, owner, user_id, action, resource, verdict, reason, policies, \
             policy_version, turn, request, context) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            args![
                &who.tenant,
                ruled.at,
                ruled.id,
                who.key(),
                &who.user,
                decision.action,
                short(decision.resource),
                decision.verdict.name(),
                short(decision.reason),
                policies_column(decision.policies),
                &**decision.policy_version,
                decision.turn,
                decision.request,
                spelled(decision.context, CONTEXT),
            ],
        );
        ruled
    }

    /// Returns decisions, oldest first. With a filter, a page may have fewer rows than its limit, or none, although
    /// another page follows.
    ///
    /// # Errors
    /// Store errors.
    pub async fn decisions(
        &self,
        whose: Whose<'_>,
        after: &Place,
        wanted: Wanted<'_>,
        limit: Limit,
    ) -> Result<Page<Decided>> {
        let (sql, name, key) = match whose {
            Whose::Tenant(tenant) => (OF_TENANT, tenant.as_str(), None),
            Whose::Own(owner) => {
                (OF_OWNER, owner.user.as_str(), Some(cardea_store::Value::from(owner.key())))
            }
        };
        let (mut place, mut found) = (after.clone(), Vec::new());
        let (mut looked, asked) = (0, wanted.rows(limit));
        while looked < LOOKED_AT && found.len() <= limit.rows() {
            let mut args = args![name, place.at, &place.id, asked];
            args.extend(key.clone());
            let rows: Vec<Decided> = self.0.db.rows(sql, args).await?;
            let full = rows.len() == asked as usize;
            for row in rows {
                place = row.place();
                if wanted.is_over(row.at) {
                    return Ok(Page::of(found, limit, Decided::place));
                }
                if row.fits(wanted) {
                    found.push(row);
                }
            }
            if !full {
                return Ok(Page::of(found, limit, Decided::place));
            }
            looked += asked;
        }
        if found.len() > limit.rows() {
            return Ok(Page::of(found, limit, Decided::place));
        }
        Ok(Page { entries: found, next: Some(place) })
    }
}
