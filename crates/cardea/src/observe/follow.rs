//! Following the audit log as it grows.
//!
//! WHY not by time: an entry carries the time at which it was noted, and is written with what it describes. The entry
//! of a slow call is older than others that were written before it, and a reader who continues from the last time seen
//! would miss it. Each node's chain has no gaps and grows only at its end, so its numbers miss nothing.

use std::{collections::HashMap, str::FromStr};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_core::{Code, Error, Result, id::TenantId, page::Limit, time::Timestamp};
use cardea_store::args;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    Observe,
    search::{Audited, LOOKED_AT},
};

/// Name of a node in a bookmark: the first bytes of the SHA-256 of its name.
type Name = [u8; 8];

/// The first bytes of an entry's link.
type Link = [u8; 4];

/// Position in one chain: the number up to which it was read, and the link of the last entry up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    sequence: u64,
    link: Link,
}

/// Bytes of one chain in a bookmark: its name, the number, the link.
const EACH: usize = 8 + 8 + 4;

/// Position of a reader in each node's chain, those read last at the end. The default has read nothing.
///
/// As text it is base64url of 20 bytes per chain. Only this module interprets it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bookmark(Vec<(Name, Mark)>);

impl FromStr for Bookmark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let not_ours = || "it is not the `next` of an answer of this route".to_owned();
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| not_ours())?;
        let (chains, []) = bytes.as_chunks::<EACH>() else { return Err(not_ours()) };
        Ok(Self(chains.iter().map(read).collect()))
    }
}

fn read(chain: &[u8; EACH]) -> (Name, Mark) {
    let [a, b, c, d, e, f, g, h, number @ .., w, x, y, z] = chain;
    let sequence = number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    ([*a, *b, *c, *d, *e, *f, *g, *h], Mark { sequence, link: [*w, *x, *y, *z] })
}

impl TryFrom<String> for Bookmark {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for Bookmark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let one = |(name, mark): &(Name, Mark)| {
            [name.as_slice(), &mark.sequence.to_be_bytes(), &mark.link].concat()
        };
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0.iter().flat_map(one).collect::<Vec<_>>()))
    }
}

/// Returns the first `N` bytes, padded with zeros.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// A part of the log, and the position after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Followed {
    /// Entries, of each node in the order in which they were written.
    pub entries: Vec<Audited>,
    /// Position of the next part.
    pub next: Bookmark,
    /// Whether there is more already; otherwise ask again after a while.
    pub more: bool,
}

/// A chain that has grown since it was read.
struct Grown {
    node: String,
    name: Name,
    /// Its index in the bookmark, and the position in it.
    seen: Option<(usize, Mark)>,
    head: u64,
}

impl Grown {
    fn from(&self) -> u64 {
        self.seen.map_or(0, |(_, mark)| mark.sequence)
    }
}

impl Observe {
    /// Returns what was written for a tenant since the bookmark: each entry once and none left out, however long it
    /// took from being noted to being written. At most `limit` entries, of each node in the order of its chain.
    ///
    /// # Errors
    /// `bad_request` if the last entry read is no longer in the log, which was restored from an older copy. Store
    /// errors.
    pub async fn follow(&self, tenant: &TenantId, seen: &Bookmark, limit: Limit) -> Result<Followed> {
        let sql = "SELECT node, seq FROM audit_heads ORDER BY node";
        let heads: Vec<(String, u64)> = self.0.db.rows(sql, args![]).await?;
        let places: HashMap<Name, (usize, Mark)> =
            seen.0.iter().enumerate().map(|(place, (name, mark))| (*name, (place, *mark))).collect();
        let (mut unread, mut read, mut grown) = (seen.0.clone(), Vec::new(), Vec::new());
        for (node, head) in heads {
            let name = first(digest::digest(&digest::SHA256, node.as_bytes()).as_ref());
            let seen = places.get(&name).copied();
            let chain = Grown { node, name, seen, head };
            if chain.from() > head {
                return Err(restored(&chain));
            }
            if chain.from() < head {
                grown.push(chain);
            }
        }
        // Each chain gets its share, and the one read last comes last: a busy node keeps no other from being read.
        grown.sort_by_key(|chain| chain.seen.map(|(place, _)| place));
        let chains = u32::try_from(grown.len()).unwrap_or(u32::MAX).max(1);
        let share = (limit.get() / chains).max(1);
        let (mut entries, mut more) = (Vec::new(), false);
        for chain in grown {
            if entries.len() >= limit.rows() {
                more = true;
                break;
            }
            let mark = self.read_on(tenant, &chain, share, &mut entries).await?;
            more |= mark.sequence < chain.head;
            read.push((chain.name, mark));
        }
        unread.retain(|(name, _)| read.iter().all(|(other, _)| other != name));
        Ok(Followed { entries, next: Bookmark([unread, read].concat()), more })
    }

    /// Reads a part of one chain. Returns the position reached; entries of other tenants count as read.
    async fn read_on(
        &self,
        tenant: &TenantId,
        chain: &Grown,
        share: u32,
        entries: &mut Vec<Audited>,
    ) -> Result<Mark> {
        if let Some((_, mark)) = chain.seen
            && self.link_at(&chain.node, mark.sequence).await? != mark.link
        {
            return Err(restored(chain));
        }
        let sql = "SELECT seq, at, body FROM audit WHERE node = $1 AND seq > $2 AND seq <= $3 AND tenant = $4 \
                   ORDER BY seq LIMIT $5";
        // WHY: a bound on the entries visited, since all of them may belong to others.
        let to = chain.head.min(chain.from() + u64::from(LOOKED_AT));
        let rows: Vec<(u64, Timestamp, Vec<u8>)> =
            self.0.db.rows(sql, args![&chain.node, chain.from(), to, tenant, share]).await?;
        let last = rows.last().filter(|_| rows.len() >= share as usize).map(|row| row.0);
        for (sequence, at, body) in rows {
            let body =
                serde_json::from_slice(&body).map_err(|error| Error::new(Code::Internal).because(error))?;
            entries.push(Audited { node: chain.node.clone(), sequence, at, body });
        }
        // WHY a number and not an entry: if entries are missing, which `audit verify` reports, others must still be
        // read.
        let sequence = last.unwrap_or(to);
        Ok(Mark { sequence, link: self.link_at(&chain.node, sequence).await? })
    }

    /// Returns the link of the last existing entry up to this number; zeros if there is none.
    async fn link_at(&self, node: &str, sequence: u64) -> Result<Link> {
        let sql = "SELECT link FROM audit WHERE node = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1";
        let row: Option<(Vec<u8>,)> = self.0.db.row(sql, args![node, sequence]).await?;
        Ok(first(&row.map(|(link,)| link).unwrap_or_default()))
    }
}

fn restored(chain: &Grown) -> Error {
    Error::new(Code::BadRequest).detail(format!(
        "You have read the log of the node `{}` up to entry {}, and what stands there now is not what you read: the log was \
         restored from an older copy. Begin anew without `after`.",
        chain.node,
        chain.from(),
    ))
}
