//! What a tenant's people may do by their role alone, beside what policies say of tools and models.

use cardea_auth::Caller;
use cardea_core::{Code, Error, Result, id::RequestId};
use cardea_store::Commit;
use serde_json::{Value, json};

use super::Control;
use crate::observe::Entry;

/// Manages the tenant: its keys, people, tokens and caches.
pub const ADMIN: &str = "admin";

/// Reads what happened in the tenant.
pub const AUDITOR: &str = "auditor";

/// Something that only people with one of some roles may do.
#[derive(Debug, Clone, Copy)]
pub struct Right {
    /// Its name in the audit log.
    pub name: &'static str,
    /// The roles; one of them is enough.
    pub roles: &'static [&'static str],
    /// What they do, as a sentence goes on after `Only the role …`.
    pub does: &'static str,
}

impl Control {
    /// Refuses whoever has none of the roles. The audit log is told once a minute of a caller and a right.
    ///
    /// # Errors
    /// `denied`; what the store says.
    pub async fn require(&self, caller: &Caller, right: Right, request: Option<RequestId>) -> Result<()> {
        if right.roles.iter().any(|role| caller.has_role(role)) {
            return Ok(());
        }
        if self.inner.memo.tells(format!("{}/{}", caller.key(), right.name)) {
            let detail = json!({ "right": right.name, "needs": right.roles, "roles": caller.roles });
            self.write_down(caller, "access.refused", detail, request).await?;
        }
        let needed: Vec<String> = right.roles.iter().map(|role| format!("`{role}`")).collect();
        let (roles, needed) = (if needed.len() == 1 { "role" } else { "roles" }, needed.join(" and "));
        Err(Error::new(Code::Denied).detail(format!("Only the {roles} {needed} {}.", right.does)))
    }

    /// Writes into the audit log what somebody does, before it is done.
    ///
    /// # Errors
    /// What the store says.
    pub async fn write_down(
        &self,
        caller: &Caller,
        event: &'static str,
        detail: Value,
        request: Option<RequestId>,
    ) -> Result<()> {
        let mut rows = Commit::new();
        let entry = Entry { principal: caller, event, turn: None, step: None, tool: None, request, detail };
        self.inner.observe.audit(&mut rows, entry);
        self.inner.db.commit(rows).await.map_err(Error::from)
    }
}
