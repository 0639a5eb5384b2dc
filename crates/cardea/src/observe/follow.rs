//! Following the audit log as it grows.
//!
//! WHY not by time: an entry bears the moment at which it was noted, and is written with what it describes. The entry of
//! a slow call is older than others that were written before it, and whoever goes on from the last moment that they have
//! seen never learns of it. Each node's chain has no gaps and grows at its end only, so its numbers miss nothing.

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

/// What stands for a node in a bookmark: the first bytes of the SHA-256 of its name.
type Name = [u8; 8];

/// The first bytes of an entry's link.
type Link = [u8; 4];

/// How far one chain was read: up to which number, and the link of the last entry up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    sequence: u64,
    link: Link,
}

/// Bytes of one chain in a bookmark: its name, the number, the link.
const EACH: usize = 8 + 8 + 4;

/// How far somebody has read in each node's chain, those that were read last at the end. The default has read nothing.
///
/// As text it is base64url of 20 bytes for each chain, and nobody but this module looks into it.
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

/// The first bytes of something, as many as are wanted; zeros where it has fewer.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
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
    name: Name,
    /// Its place in the bookmark, and how far it was read.
    seen: Option<(usize, Mark)>,
    head: u64,
}

impl Grown {
    fn from(&self) -> u64 {
        self.seen.map_or(0, |(_, mark)| mark.sequence)
    }
}

impl Observe {
    /// What was written for a tenant since the bookmark, each entry once and none left out, however long it took from
    /// being noted to being written. At most `limit` entries, of each node in the order of its chain.
    ///
    /// # Errors
    /// `bad_request` if what was read last is not in the log any more: it was restored from an older copy. What the store
    /// says.
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
        // Each chain gets its share, and who was read last comes last: a busy node keeps no other from being read.
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

    /// Reads a part of one chain. Gives how far it was read; what belongs to other tenants counts as read.
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
        // WHY: a bound on what is looked at, since all of it may belong to others.
        let to = chain.head.min(chain.from() + u64::from(LOOKED_AT));
        let rows: Vec<(u64, Timestamp, Vec<u8>)> =
            self.0.db.rows(sql, args![&chain.node, chain.from(), to, tenant, share]).await?;
        let last = rows.last().filter(|_| rows.len() >= share as usize).map(|row| row.0);
        for (sequence, at, body) in rows {
            let body =
                serde_json::from_slice(&body).map_err(|error| Error::new(Code::Internal).because(error))?;
            entries.push(Audited { node: chain.node.clone(), sequence, at, body });
        }
        // WHY a place and not an entry: where entries are missing, which `audit verify` tells of, others are still to be read.
        let sequence = last.unwrap_or(to);
        Ok(Mark { sequence, link: self.link_at(&chain.node, sequence).await? })
    }

    /// The link of the last entry that is there up to this place; zeros if there is none.
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
