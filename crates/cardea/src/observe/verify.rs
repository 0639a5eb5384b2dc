//! Verification of the audit log: in the database, or from an exported file.

use std::{
    collections::BTreeMap,
    io::{BufRead, Write},
};

use cardea_core::{
    Error,
    canonical::{hex, unhex},
    id::TenantId,
    log::{Broken, ChainKey, Head, Verifier},
    time::Timestamp,
};
use cardea_store::{Db, FromCell, args, db::Cell};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{checkpoint::Checkpoints, compare::Claims, standing::Standing, unproved::Unproved};

const PAGE: u32 = 2_000;

/// Number, tenant, time, body and link of an entry.
type Row = (u64, TenantId, Timestamp, Raw, Raw);

/// The bytes of a column, whatever its type: the chain shows whether it was changed.
struct Raw(Vec<u8>);

impl FromCell for Raw {
    const WANTED: &'static str = "bytes";

    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Blob(bytes) => Some(Self(bytes.to_vec())),
            Cell::Text(text) => Some(Self(text.as_bytes().to_vec())),
            Cell::Null => Some(Self(Vec::new())),
            Cell::Int(_) | Cell::Real(_) => Some(Self(b"a number".to_vec())),
        }
    }
}

/// Result of a successful verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Number of entries checked.
    pub entries: u64,
    /// Number of decisions and approvals compared with the entries about them; zero for an export.
    pub compared: u64,
    /// When an export was written, as its last line says.
    pub as_of: Option<Timestamp>,
    /// Head of each chain.
    pub chains: BTreeMap<String, Head>,
    /// The chain that begins with each link.
    firsts: BTreeMap<[u8; 32], String>,
}

/// Refuses a log that was begun with another key: one entry written with the wrong key would break it for good.
///
/// # Errors
/// `misconfigured` if neither the first nor the last entry of a chain was written with this key; store errors.
pub async fn same_key(db: &Db, key: &ChainKey) -> cardea_core::Result<()> {
    if !is_foreign(db, key).await? {
        return Ok(());
    }
    let detail = "The root key is not the one that this database was written with: bring back `root.key` in the data \
                  folder, or `vault.root_key`. Nothing was changed.";
    Err(Error::new(cardea_core::Code::Misconfigured).detail(detail))
}

/// Returns whether neither the first nor the last entry of a chain was written with this key.
async fn is_foreign(db: &Db, key: &ChainKey) -> cardea_core::Result<bool> {
    let heads: Vec<(String, u64)> = db.rows("SELECT node, seq FROM audit_heads", args![]).await?;
    let sql = "SELECT seq, body, link FROM audit WHERE node = $1 AND seq IN (1, $2 - 1, $2) ORDER BY seq";
    for (node, last) in heads {
        let entries: Vec<(u64, Vec<u8>, [u8; 32])> = db.rows(sql, args![&node, last]).await?;
        let mut before = Head::default();
        let mut looked = Vec::new();
        for (sequence, body, link) in entries {
            if before.sequence + 1 == sequence {
                looked.push(before.append(key, &body).link == link);
            }
            before = Head { sequence, link };
        }
        // A single entry that does not hold was tampered with; `audit verify` names it.
        if !looked.is_empty() && looked.iter().all(|good| !good) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One entry of an export: a line of JSON. The body is a text, so that its bytes stay as the chain has them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    node: String,
    seq: u64,
    tenant: TenantId,
    at: Timestamp,
    body: String,
    link: String,
}

/// The same, preceded by the node.
type Exported = (String, u64, TenantId, Timestamp, Vec<u8>, [u8; 32]);

/// An entry of the log, without its link.
struct Written<'a> {
    sequence: u64,
    tenant: &'a TenantId,
    at: Timestamp,
    body: &'a [u8],
}

/// State of the verification of one chain.
struct Walk<'a> {
    node: String,
    verifier: Verifier,
    seen: &'a Checkpoints,
    last: Head,
    first: Option<[u8; 32]>,
}

impl<'a> Walk<'a> {
    fn new(node: &str, key: &ChainKey, seen: &'a Checkpoints) -> Self {
        let verifier = Verifier::new(key.clone(), seen.newest(node));
        Self { node: node.to_owned(), verifier, seen, last: Head::default(), first: None }
    }

    fn broken(&self, broken: Broken) -> Unproved {
        Unproved::Broken { node: self.node.clone(), broken }
    }

    fn push(&mut self, written: &Written<'_>, link: &[u8; 32]) -> Result<Value, Unproved> {
        let Written { sequence, tenant, at, body } = *written;
        self.verifier.push(sequence, body, link).map_err(|broken| self.broken(broken))?;
        if self.seen.seen(&self.node, sequence).is_some_and(|seen| seen != *link) {
            return Err(self.broken(Broken::Rewritten(sequence)));
        }
        let column = |column| Unproved::Column { node: self.node.clone(), sequence, column };
        let body: Value = serde_json::from_slice(body).map_err(|_| column("body"))?;
        if body.get("tenant").and_then(Value::as_str) != Some(tenant.as_str()) {
            return Err(column("tenant"));
        }
        if body.get("ms").and_then(Value::as_i64) != Some(at.0) {
            return Err(column("at"));
        }
        self.first.get_or_insert(*link);
        self.last = Head { sequence, link: *link };
        Ok(body)
    }

    /// Verifies one page, up to this entry; returns whether there may be more.
    async fn page(&mut self, db: &Db, until: u64, verified: &mut Verified) -> Result<bool, Unproved> {
        let sql = "SELECT seq, tenant, at, body, link FROM audit WHERE node = $1 AND seq > $2 AND seq <= $3 ORDER BY seq
                   LIMIT $4";
        let until = until.min(i64::MAX.unsigned_abs());
        let rows: Vec<Row> = db.rows(sql, args![&self.node, self.last.sequence, until, PAGE]).await?;
        let mut claims = Claims::default();
        for (sequence, tenant, at, Raw(body), Raw(link)) in &rows {
            let link = link.as_slice().try_into().map_err(|_| Unproved::Column {
                node: self.node.clone(),
                sequence: *sequence,
                column: "link",
            })?;
            let mut body = self.push(&Written { sequence: *sequence, tenant, at: *at, body }, link)?;
            claims.take(*sequence, tenant, &mut body);
        }
        verified.compared += claims.compare(db, &self.node).await?;
        Ok(rows.len() == usize::try_from(PAGE).unwrap_or(0))
    }

    fn finish(self, verified: &mut Verified) -> Result<Head, Unproved> {
        let node = self.node;
        let head =
            self.verifier.finish().map_err(|broken| Unproved::Broken { node: node.clone(), broken })?;
        if let Some(first) = self.first
            && let Some(other) = verified.firsts.insert(first, node.clone())
        {
            return Err(Unproved::Copied { node, other });
        }
        verified.entries += head.sequence;
        verified.chains.insert(node, head);
        Ok(head)
    }
}

/// Proves every chain in the database, from its first entry to its last, against all checkpoints.
///
/// # Errors
/// [`Unproved`] names the first entry that does not hold.
pub async fn verify(db: &Db, key: &ChainKey, seen: &Checkpoints) -> Result<Verified, Unproved> {
    let proved = prove(db, key, seen).await;
    // WHY: with a foreign key every entry looks changed. If there are checkpoints, their signatures have shown that
    // already.
    let first = matches!(proved, Err(Unproved::Broken { broken: Broken::Link(1), .. }));
    if first && seen.nodes().next().is_none() && is_foreign(db, key).await? {
        return Err(Unproved::OtherKey);
    }
    proved
}

/// Returns the head of a node's chain, as the row beside the log has it.
async fn head_of(db: &Db, node: &str) -> Result<Head, Unproved> {
    let kept: Option<(u64, [u8; 32])> =
        db.row("SELECT seq, link FROM audit_heads WHERE node = $1", args![node]).await?;
    Ok(kept.map(|(sequence, link)| Head { sequence, link }).unwrap_or_default())
}

async fn prove(db: &Db, key: &ChainKey, seen: &Checkpoints) -> Result<Verified, Unproved> {
    let heads: Vec<(String,)> = db.rows("SELECT node FROM audit_heads", args![]).await?;
    // A chain without a head, or one that only a checkpoint names, must not be skipped.
    let found: Vec<(String,)> = db.rows("SELECT node FROM audit GROUP BY node", args![]).await?;
    let mut nodes: Vec<&str> = found.iter().map(|(node,)| node.as_str()).collect();
    nodes.extend(heads.iter().map(|(node,)| node.as_str()).chain(seen.nodes()));
    nodes.sort_unstable();
    nodes.dedup();

    let early: Vec<(String, i64)> =
        db.rows("SELECT node, seq FROM audit WHERE seq < 1 ORDER BY node, seq LIMIT 1", args![]).await?;
    if let Some((node, sequence)) = early.into_iter().next() {
        return Err(Unproved::BeforeFirst { node, sequence });
    }
    let mut verified = Verified::default();
    for node in nodes {
        let mut walk = Walk::new(node, key, seen);
        while walk.page(db, u64::MAX, &mut verified).await? {}
        // WHY: read after the walk, since a server may be writing. What it wrote in between is verified as well, up to
        // this head, so that the walk ends however fast it writes.
        let head = head_of(db, node).await?;
        while walk.last.sequence < head.sequence && walk.page(db, head.sequence, &mut verified).await? {}
        let end = walk.finish(&mut verified)?;
        if head != end {
            // WHY: the head is written together with the entries; if they disagree, one of them was changed by hand.
            let (node, head, entry) = (node.to_owned(), head.sequence, end.sequence);
            return Err(Unproved::Head { node, head, entry });
        }
    }
    Ok(verified)
}

/// Writes the whole log, chain after chain, one entry per line, and returns the heads.
///
/// # Errors
/// [`Unproved::Unreadable`] if the database cannot be read or the file cannot be written. Nothing is checked here.
pub async fn export(db: &Db, out: &mut (impl Write + Send)) -> Result<Standing, Unproved> {
    let unwritable = |error: std::io::Error| Unproved::Unreadable(error.to_string());
    let sql = "SELECT node, seq, tenant, at, body, link FROM audit WHERE seq > 0 \
               AND (node > $1 OR (node = $1 AND seq > $2)) ORDER BY node, seq LIMIT $3";
    let (mut node, mut sequence, mut written) = (String::new(), 0, Standing::default());
    loop {
        let rows: Vec<Exported> = db.rows(sql, args![&node, sequence, PAGE]).await?;
        let Some(last) = rows.last() else { break };
        (node, sequence) = (last.0.clone(), last.1);
        for (node, seq, tenant, at, body, link) in rows {
            written.newest = written.newest.max(Some(at));
            let body = String::from_utf8(body).map_err(|_| Unproved::Column {
                node: node.clone(),
                sequence: seq,
                column: "body",
            })?;
            match written.chains.get_mut(&node) {
                Some(head) => *head = Head { sequence: seq, link },
                None => drop(written.chains.insert(node.clone(), Head { sequence: seq, link })),
            }
            let line = Line { node, seq, tenant, at, body, link: hex(&link) };
            serde_json::to_writer(&mut *out, &line)
                .map_err(|error| Unproved::Unreadable(error.to_string()))?;
            out.write_all(b"\n").map_err(unwritable)?;
            written.entries += 1;
        }
    }
    out.flush().map_err(unwritable)?;
    Ok(written)
}

/// Proves an exported log, whose last line must be signed with this key, if one is given.
///
/// # Errors
/// [`Unproved`] names the first entry, or the line, that does not hold.
pub fn verify_export(
    lines: impl BufRead,
    key: &ChainKey,
    seen: &Checkpoints,
    signer: Option<&str>,
) -> Result<Verified, Unproved> {
    let mut verified = Verified::default();
    let (mut walk, mut last): (Option<Walk<'_>>, Option<(usize, String)>) = (None, None);
    for (place, line) in lines.lines().enumerate() {
        let line = line.map_err(|error| Unproved::Unreadable(error.to_string()))?;
        if let Some((place, _)) = last {
            return Err(Unproved::Line(place)); // only the last line may be something other than an entry
        }
        let line = match serde_json::from_str::<Line>(&line) {
            Ok(entry) => entry,
            Err(_) => {
                last = Some((place + 1, line));
                continue;
            }
        };
        let link = unhex(&line.link).ok_or(Unproved::Line(place + 1))?;
        let mut current = match walk.take() {
            Some(current) if current.node == line.node => current,
            before => {
                if let Some(before) = before {
                    before.finish(&mut verified)?;
                }
                if verified.chains.contains_key(&line.node) {
                    return Err(Unproved::Line(place + 1));
                }
                // The last line tells whether it is complete.
                Walk { verifier: Verifier::new(key.clone(), None), ..Walk::new(&line.node, key, seen) }
            }
        };
        let Line { seq, tenant, at, body, .. } = &line;
        current.push(&Written { sequence: *seq, tenant, at: *at, body: body.as_bytes() }, &link)?;
        walk = Some(current);
    }
    if let Some(walk) = walk {
        walk.finish(&mut verified)?;
    }
    let standing = Standing { entries: verified.entries, chains: verified.chains.clone(), newest: None };
    match (last, standing.first_behind(seen)) {
        (Some((place, line)), _) => {
            let at = standing.told(&line, signer).ok_or(Unproved::Line(place))??;
            standing.holds_what_was_seen(seen, at)?;
            verified.as_of = Some(at);
        }
        (None, Some((node, entry, seen))) => return Err(Unproved::Older { node, entry, seen }),
        (None, None) => {}
    }
    Ok(verified)
}
