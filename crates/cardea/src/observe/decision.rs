//! The log of decisions: one row for each answer of policy, allow or not.

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

/// What policy said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Allow,
    /// No.
    Deny,
    /// Only if a person agrees.
    Approval,
}

impl Verdict {
    /// The one that stands for what policy said.
    #[must_use]
    pub const fn of(verdict: &policy::Verdict) -> Self {
        match verdict {
            policy::Verdict::Allow => Self::Allow,
            policy::Verdict::Deny => Self::Deny,
            policy::Verdict::NeedsApproval { .. } => Self::Approval,
        }
    }

    /// The word in rows, answers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Approval => "approval",
        }
    }
}

/// One decision, to be written.
#[derive(Debug)]
pub struct Decision<'a> {
    /// Its id: steps and audit entries name it.
    pub id: DecisionId,
    /// Who asked.
    pub principal: &'a Principal,
    /// What was to be done, such as `call`.
    pub action: &'a str,
    /// With what: a tool's or a model's name.
    pub resource: &'a str,
    /// What policy said.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: &'a str,
    /// The policies that decided.
    pub policies: &'a [String],
    /// The version of the policy set.
    pub policy_version: &'a Arc<str>,
    /// In which turn.
    pub turn: Option<TurnId>,
    /// For which request.
    pub request: Option<RequestId>,
    /// What policy was told beside that. No raw arguments unless the configuration allows them.
    pub context: Value,
}

/// Whose decisions are read.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// Those of all users of a tenant.
    Tenant(&'a TenantId),
    /// Those of one user.
    Own(&'a Principal),
}

/// A decision as entries of the audit log repeat it: the chain protects it there, and proves the row in the log of
/// decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruled {
    /// Its id.
    pub id: DecisionId,
    /// When, as its row says.
    pub at: Timestamp,
    /// What policy said.
    pub verdict: Verdict,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// The version of the policy set.
    pub version: Arc<str>,
    /// Why, in words: an entry has that beside it, where it has it.
    #[serde(skip)]
    pub reason: String,
}

/// The policies that decided, as their column has them.
pub(super) fn policies_column(policies: &[String]) -> String {
    spelled(json!(policies), REASON)
}

/// One decision, as an auditor reads it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decided {
    /// Its id.
    pub id: DecisionId,
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub user: String,
    /// Who vouched for that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What was to be done.
    pub action: String,
    /// With what.
    pub resource: String,
    /// What policy said.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// The policies that decided.
    pub policies: Value,
    /// The version of the policy set.
    pub policy_version: String,
    /// In which turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// For which request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// What policy was told beside that.
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

/// WHY `at >= $2` beside the rest: it is what an index can begin at.
pub(super) const OF_TENANT: &str = "SELECT id, at, user_id, action, resource, verdict, reason, policies, policy_version, turn, request, \
    context, owner FROM decisions WHERE tenant = $1 AND at >= $2 AND (at > $2 OR id > $3) ORDER BY at, id LIMIT $4";

pub(super) const OF_OWNER: &str = "SELECT id, at, user_id, action, resource, verdict, reason, policies, policy_version, turn, request, \
    context, owner FROM decisions WHERE user_id = $1 AND owner = $5 AND at >= $2 AND (at > $2 OR id > $3) ORDER BY at, id LIMIT $4";

impl Observe {
    /// Adds the decision to the commit and counts it; gives what entries of the audit log repeat of it.
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

    /// These decisions, the oldest first. Where only some are wanted, a page may have fewer than its limit, or none, and
    /// another behind it all the same.
    ///
    /// # Errors
    /// What the store says.
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
