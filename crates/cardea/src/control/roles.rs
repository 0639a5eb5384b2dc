//! Rights that people of a tenant have by their role alone, beside what policies say about tools and models.

use cardea_auth::Caller;
use cardea_core::{Code, Error, Result, id::RequestId};
use cardea_store::Commit;
use serde_json::{Value, json};

use super::Control;
use crate::observe::Entry;

/// Manages the tenant: its keys, people, tokens and caches.
const ADMIN: &str = "admin";

/// Reads the logs of the tenant.
pub(super) const AUDITOR: &str = "auditor";

/// A right that only certain roles have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To read the tenant's audit log, and the decisions about all its people.
    Audit,
    /// To clear cached answers of others.
    CacheClear,
    /// To read the cache statistics of the tenant.
    CacheFigures,
    /// To manage the API keys of the tenant.
    Keys,
    /// To erase people of the tenant.
    PeopleErase,
    /// To list the revocations of the tenant.
    Revocations,
    /// To revoke tokens of others.
    TokensRevoke,
    /// To read which tools have changed their definition since they were accepted.
    ToolChanges,
}

/// Definition of a right.
struct Row {
    /// Name in the audit log.
    name: &'static str,
    /// The roles, of which one is enough.
    roles: &'static [&'static str],
    /// What the roles do, as the end of a sentence that begins with `Only the role …`.
    does: &'static str,
}

impl Right {
    const fn row(self) -> Row {
        let (name, roles, does): (_, &[&str], _) = match self {
            Self::Audit => ("audit", &[AUDITOR], "reads the audit log"),
            Self::CacheClear => ("cache.clear", &[ADMIN], "clears what is not its own"),
            Self::CacheFigures => ("cache.figures", &[ADMIN, AUDITOR], "see these figures"),
            Self::Keys => ("keys", &[ADMIN], "manages API keys"),
            Self::PeopleErase => ("people.erase", &[ADMIN], "erases people"),
            Self::Revocations => ("revocations", &[ADMIN], "sees what was taken back"),
            Self::TokensRevoke => ("tokens.revoke", &[ADMIN], "takes back what is not its own"),
            Self::ToolChanges => ("tool.changes", &[ADMIN, AUDITOR], "see what tools say of themselves"),
        };
        Row { name, roles, does }
    }

    /// Returns whether the caller has one of the roles.
    #[must_use]
    pub fn is_of(self, caller: &Caller) -> bool {
        self.row().roles.iter().any(|role| caller.has_role(role))
    }
}

impl Control {
    /// Refuses a caller who has none of a right's roles. The audit log records it once a minute per caller and right.
    ///
    /// # Errors
    /// `denied`; store errors.
    pub async fn require(&self, caller: &Caller, right: Right, request: RequestId) -> Result<()> {
        if right.is_of(caller) {
            return Ok(());
        }
        let Row { name, roles, does } = right.row();
        let key = format!("{}/{name}", caller.key());
        if self.inner.memo.tells(key.clone()) {
            let detail = json!({ "right": name, "needs": roles, "roles": caller.roles });
            let written = self.write_down(caller, "access.refused", detail, request).await;
            written.inspect_err(|_| self.inner.memo.tells_again(&key))?;
        }
        let needed: Vec<String> = roles.iter().map(|role| format!("`{role}`")).collect();
        let (roles, needed) = (if needed.len() == 1 { "role" } else { "roles" }, needed.join(" and "));
        Err(Error::new(Code::Denied).detail(format!("Only the {roles} {needed} {does}.")))
    }

    /// Writes an administrative action into the audit log before it is done.
    ///
    /// # Errors
    /// Store errors.
    pub async fn write_down(
        &self,
        caller: &Caller,
        event: &'static str,
        detail: Value,
        request: RequestId,
    ) -> Result<()> {
        let (mut rows, request) = (Commit::new(), Some(request));
        let entry = Entry { principal: caller, event, turn: None, step: None, tool: None, request, detail };
        self.inner.observe.audit(&mut rows, entry);
        self.inner.db.commit(rows).await.map_err(Error::from)
    }
}
