//! Following the audit log as it grows.
//!
//! WHY not by time: an entry bears the moment at which it was noted, and is written with what it describes. The entry of
//! a slow call is older than others that were written before it, and whoever goes on from the last moment that they have
//! seen never learns of it. Each node's chain has no gaps and grows at its end only, so its numbers miss nothing.

use std::{collections::BTreeMap, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_core::{Code, Error, Result, id::TenantId, page::Limit, time::Timestamp};
use cardea_store::args;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    Observe,
    search::{Audited, LOOKED_AT},
};

/// How far somebody has read: the number of the last entry of each node's chain. The default has read nothing.
///
/// As text it is base64url of a JSON object, and nobody but this module looks into it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bookmark(BTreeMap<String, u64>);

impl FromStr for Bookmark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = URL_SAFE_NO_PAD.decode(text).ok();
        let read = read.and_then(|json| serde_json::from_slice(&json).ok());
        read.map(Self).ok_or_else(|| "it is not the `next` of an answer of this route".to_owned())
    }
}

impl TryFrom<String> for Bookmark {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for Bookmark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_vec(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

/// A part of the log, and where it goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Followed {
    /// Entries of each node in the order in which they were written.
    pub entries: Vec<Audited>,
    /// Where the next part begins.
    pub next: Bookmark,
    /// There is more already; otherwise it is early enough to ask again in a while.
    pub more: bool,
}

/// A chain that has grown since somebody read it.
struct Grown {
    node: String,
    seen: u64,
    head: u64,
}

impl Observe {
    /// What was written for a tenant since the bookmark, each entry once and none left out, however long it took from
    /// being noted to being written. At most `limit` entries, of each node in the order of its chain.
    ///
    /// # Errors
    /// `bad_request` if the log ends before the bookmark: it was restored from an older copy. What the store says.
    pub async fn follow(&self, tenant: &TenantId, seen: &Bookmark, limit: Limit) -> Result<Followed> {
        let sql = "SELECT node, seq FROM audit_heads ORDER BY node";
        let heads: Vec<(String, u64)> = self.0.db.rows(sql, args![]).await?;
        let mut next = seen.clone();
        next.0.retain(|node, _| heads.iter().any(|(head, _)| head == node));
        let mut grown = Vec::new();
        for (node, head) in heads {
            let seen = seen.0.get(&node).copied().unwrap_or_default();
            if seen > head {
                return Err(shorter(&node, seen, head));
            }
            if seen < head {
                grown.push(Grown { node, seen, head });
            }
        }
        // Each chain gets its share, so that a busy node does not keep the others from being read.
        let chains = u32::try_from(grown.len()).unwrap_or(u32::MAX).max(1);
        let share = (limit.get() / chains).max(1);
        let (mut entries, mut more) = (Vec::new(), false);
        for chain in grown {
            if entries.len() >= limit.rows() {
                more = true;
                break;
            }
            let to = self.read_on(tenant, &chain, share, &mut entries).await?;
            more |= to < chain.head;
            next.0.insert(chain.node, to);
        }
        Ok(Followed { entries, next, more })
    }

    /// Reads a part of one chain. Gives the number up to which it was read; what belongs to other tenants counts as read.
    async fn read_on(
        &self,
        tenant: &TenantId,
        chain: &Grown,
        share: u32,
        entries: &mut Vec<Audited>,
    ) -> Result<u64> {
        let sql = "SELECT seq, at, body FROM audit WHERE node = $1 AND seq > $2 AND seq <= $3 AND tenant = $4 \
                   ORDER BY seq LIMIT $5";
        // WHY: a bound on what is looked at, since all of it may belong to others.
        let to = chain.head.min(chain.seen + u64::from(LOOKED_AT));
        let rows: Vec<(u64, Timestamp, Vec<u8>)> =
            self.0.db.rows(sql, args![&chain.node, chain.seen, to, tenant, share]).await?;
        let last = rows.last().filter(|_| rows.len() >= share as usize).map(|row| row.0);
        for (sequence, at, body) in rows {
            let body =
                serde_json::from_slice(&body).map_err(|error| Error::new(Code::Internal).because(error))?;
            entries.push(Audited { node: chain.node.clone(), sequence, at, body });
        }
        Ok(last.unwrap_or(to))
    }
}

fn shorter(node: &str, seen: u64, head: u64) -> Error {
    Error::new(Code::BadRequest).detail(format!(
        "You have read the log of the node `{node}` up to entry {seen} and it ends at {head}: it was restored from an older copy. \
         Begin anew without `after`.",
    ))
}
