//! Looking into the audit log of one tenant.

use cardea_core::{
    Code, Error, Result,
    id::{TenantId, TurnId},
    page::{Limit, Page, Place},
    time::Timestamp,
};
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

impl Audited {
    fn place(&self) -> Place {
        place(self.at, &self.node, self.sequence)
    }
}

fn place(at: Timestamp, node: &str, sequence: u64) -> Place {
    Place { at, id: format!("{node}.{sequence}") }
}

type Row = (String, u64, Timestamp, Vec<u8>);

/// Rows that are looked at for one page, so that a search for what is not there has an end.
const LOOKED_AT: u32 = 20_000;
const ROWS: Limit = Limit::MOST;

/// How far the clocks of two nodes may differ, in milliseconds: a node that takes a turn over writes by its own.
const CLOCKS: i64 = 60_000;

/// Where to begin. Nothing tells of a turn before its moment, so a long log is not read from its beginning.
fn start(after: &Place, turn: Option<&str>) -> (Timestamp, String, u64) {
    let begun = turn.and_then(|turn| turn.parse::<TurnId>().ok()?.moment());
    let begun = begun.map(|begun| Timestamp(begun.0 - CLOCKS)).filter(|begun| *begun > after.at);
    let (node, sequence) = after.id.rsplit_once('.').unwrap_or((&after.id, ""));
    match begun {
        Some(begun) => (begun, String::new(), 0),
        None => (after.at, node.to_owned(), sequence.parse().unwrap_or(0)),
    }
}

impl Observe {
    /// Entries of one tenant, the oldest first. With `turn`, only those of that turn; a page may then have fewer entries
    /// than its limit, or none, and another behind it all the same.
    ///
    /// # Errors
    /// What the store says.
    pub async fn search(
        &self,
        tenant: &TenantId,
        after: &Place,
        turn: Option<&str>,
        limit: Limit,
    ) -> Result<Page<Audited>> {
        let sql = "SELECT node, seq, at, body FROM audit WHERE tenant = $1 AND seq > 0 AND at >= $2 AND \
                   (at > $2 OR (at = $2 AND (node > $3 OR (node = $3 AND seq > $4)))) ORDER BY at, node, seq LIMIT $5";
        let (mut at, mut node, mut sequence) = start(after, turn);
        let (mut found, mut looked) = (Vec::new(), 0);
        while looked < LOOKED_AT && found.len() <= limit.rows() {
            let args = args![tenant, at, &node, sequence, ROWS.get()];
            let rows: Vec<Row> = self.0.db.rows(sql, args).await?;
            let full = rows.len() == ROWS.rows();
            for row in rows {
                (at, node, sequence) = (row.2, row.0.clone(), row.1);
                let body: Value = serde_json::from_slice(&row.3)
                    .map_err(|error| Error::new(Code::Internal).because(error))?;
                if turn.is_none_or(|turn| body.get("turn").and_then(Value::as_str) == Some(turn)) {
                    found.push(Audited { node: row.0, sequence: row.1, at: row.2, body });
                }
            }
            if !full {
                return Ok(Page::of(found, limit, Audited::place));
            }
            looked += ROWS.get();
        }
        if found.len() > limit.rows() {
            return Ok(Page::of(found, limit, Audited::place));
        }
        Ok(Page { entries: found, next: Some(place(at, &node, sequence)) })
    }
}
