//! Looking into the audit log of one tenant.

use cardea_core::{Code, Error, Result, id::TenantId, time::Timestamp};
use cardea_store::args;
use serde::Serialize;
use serde_json::Value;

use super::Observe;

/// One entry of the audit log, as an auditor sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audited {
    /// The node whose chain it is in.
    pub node: String,
    /// Its number there, from 1.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub body: Value,
}

/// Rows that are looked at for one search, so that a search for what is not there has an end.
const LOOKED_AT: u32 = 20_000;
const PAGE: u32 = 1_000;

impl Observe {
    /// Entries of one tenant from `after` (milliseconds since 1970) on, the oldest first. With `turn`, only those of
    /// that turn.
    ///
    /// # Errors
    /// What the store says.
    pub async fn search(
        &self,
        tenant: &TenantId,
        after: i64,
        turn: Option<&str>,
        most: u32,
    ) -> Result<Vec<Audited>> {
        let sql = "SELECT node, seq, at, body FROM audit WHERE tenant = $1 AND \
                   (at > $2 OR (at = $2 AND (node > $3 OR (node = $3 AND seq > $4)))) ORDER BY at, node, seq LIMIT $5";
        let mut found = Vec::new();
        let (mut at, mut node, mut sequence, mut looked) = (after, String::new(), 0_u64, 0);
        while looked < LOOKED_AT {
            let args = args![tenant, at, &node, sequence, PAGE];
            let rows: Vec<(String, u64, Timestamp, Vec<u8>)> = self.0.db.rows(sql, args).await?;
            let full = rows.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
            for row in rows {
                (at, node, sequence) = (row.2.0, row.0.clone(), row.1);
                let body: Value = serde_json::from_slice(&row.3)
                    .map_err(|error| Error::new(Code::Internal).because(error))?;
                if turn.is_some_and(|turn| body.get("turn").and_then(Value::as_str) != Some(turn)) {
                    continue;
                }
                found.push(Audited { node: row.0, sequence: row.1, at: row.2, body });
                if found.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
                    return Ok(found);
                }
            }
            if !full {
                break;
            }
            looked += PAGE;
        }
        Ok(found)
    }
}
