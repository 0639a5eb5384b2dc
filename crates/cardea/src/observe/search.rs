//! Search in the audit log of one tenant, and the filter of log queries.

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
    /// Node of its chain.
    pub node: String,
    /// Number in the chain, from 1.
    pub sequence: u64,
    /// Time.
    pub at: Timestamp,
    /// Content.
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

/// Filter of a log query.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Fields of an entry, each with the required text.
    pub fields: &'a [(&'static str, &'a str)],
    /// Upper limit of the time.
    pub until: Option<Timestamp>,
}

impl Wanted<'_> {
    /// Matches everything.
    pub const ALL: Self = Self { fields: &[], until: None };

    pub(super) fn fits<'f>(self, field: impl Fn(&str) -> Option<&'f str>) -> bool {
        self.fields.iter().all(|(name, text)| field(name) == Some(*text))
    }

    pub(super) fn is_over(self, at: Timestamp) -> bool {
        self.until.is_some_and(|end| at > end)
    }

    /// Returns how many rows one query reads: many, if few of them may match.
    pub(super) fn rows(self, limit: Limit) -> u32 {
        if self.fields.is_empty() { limit.get() + 1 } else { Limit::MOST.get() }
    }

    fn turn(self) -> Option<TurnId> {
        self.fields.iter().find(|(name, _)| *name == "turn")?.1.parse().ok()
    }
}

type Row = (String, u64, Timestamp, Vec<u8>);

/// Limit of rows read for one page, so that a search without matches ends.
pub(super) const LOOKED_AT: u32 = 20_000;

/// Largest difference between the clocks of two nodes, in milliseconds: a node that takes a turn over writes by its
/// own clock.
const CLOCKS: i64 = 60_000;

/// Returns where to begin. There are no entries about a turn before its creation, so a long log is not read from its
/// beginning.
fn start(after: &Place, turn: Option<TurnId>) -> (Timestamp, String, u64) {
    let begun = turn.and_then(|turn| turn.moment());
    let begun = begun.map(|begun| Timestamp(begun.0 - CLOCKS)).filter(|begun| *begun > after.at);
    let (node, sequence) = after.id.rsplit_once('.').unwrap_or((&after.id, ""));
    match begun {
        Some(begun) => (begun, String::new(), 0),
        None => (after.at, node.to_owned(), sequence.parse().unwrap_or(0)),
    }
}

impl Observe {
    /// Returns entries of one tenant, oldest first. With a filter, a page may have fewer entries than its limit, or
    /// none, although another page follows.
    ///
    /// # Errors
    /// Store errors.
    pub async fn search(
        &self,
        tenant: &TenantId,
        after: &Place,
        wanted: Wanted<'_>,
        limit: Limit,
    ) -> Result<Page<Audited>> {
        let sql = "SELECT node, seq, at, body FROM audit WHERE tenant = $1 AND seq > 0 AND at >= $2 AND \
                   (at > $2 OR (at = $2 AND (node > $3 OR (node = $3 AND seq > $4)))) ORDER BY at, node, seq LIMIT $5";
        let (mut at, mut node, mut sequence) = start(after, wanted.turn());
        let (mut found, mut looked, asked) = (Vec::new(), 0, wanted.rows(limit));
        while looked < LOOKED_AT && found.len() <= limit.rows() {
            let rows: Vec<Row> = self.0.db.rows(sql, args![tenant, at, &node, sequence, asked]).await?;
            let full = rows.len() == asked as usize;
            for row in rows {
                (at, node, sequence) = (row.2, row.0.clone(), row.1);
                if wanted.is_over(at) {
                    return Ok(Page::of(found, limit, Audited::place));
                }
                let body: Value = serde_json::from_slice(&row.3)
                    .map_err(|error| Error::new(Code::Internal).because(error))?;
                if wanted.fits(|name| body.get(name).and_then(Value::as_str)) {
                    found.push(Audited { node: row.0, sequence: row.1, at: row.2, body });
                }
            }
            if !full {
                return Ok(Page::of(found, limit, Audited::place));
            }
            looked += asked;
        }
        if found.len() > limit.rows() {
            return Ok(Page::of(found, limit, Audited::place));
        }
        Ok(Page { entries: found, next: Some(place(at, &node, sequence)) })
    }
}
