//! The checker: compares what clients saw and upstreams received with the database and its audit chain.
//!
//! It reads the tables by itself and shares no code with the rooms that write them. Each violation begins with the
//! number of the broken invariant.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use cardea_core::{
    Result,
    id::TurnId,
    log::{ChainKey, Verifier},
    time::Timestamp,
};
use cardea_store::{Db, args};
use serde_json::Value;

/// The end of a turn as reported to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The turn.
    pub turn: TurnId,
    /// Status of the receipt, such as `answered`.
    pub status: String,
    /// The answer, if there was one.
    pub answer: Option<String>,
}

/// An effect at an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The step, as named by its idempotency key. Empty for a call without one.
    pub step: String,
    /// When the upstream did it.
    pub at: Timestamp,
}

/// Observations from outside.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Receipts that clients got.
    pub acknowledged: Vec<Acknowledged>,
    /// Effects at upstreams. A call that was recognised by its key and did nothing more is not included.
    pub effects: Vec<Effect>,
    /// Undo calls at upstreams; the step is named by the key of the undo.
    pub undone: Vec<Effect>,
}

/// The part of an audit entry that the checker needs.
struct Told {
    at: i64,
    event: String,
    step: Option<String>,
}

impl History {
    /// Returns every invariant that does not hold at this time. A test expects none.
    ///
    /// # Errors
    /// Store errors.
    pub async fn check(&self, db: &Db, key: &ChainKey, now: Timestamp) -> Result<Vec<String>> {
        let mut broken = Vec::new();
        self.acknowledged_is_there(db, &mut broken).await?;
        let told = log(db, key, &mut broken).await?;
        single_and_announced(&self.effects, ("step.started", ""), &told, &mut broken);
        single_and_announced(&self.undone, ("step.undoing", "undo."), &told, &mut broken);
        intents_have_ends(db, &told, &mut broken).await?;
        nobody_is_forgotten(db, now, &mut broken).await?;
        Ok(broken)
    }

    /// I1: everything reported to a client can be read.
    async fn acknowledged_is_there(&self, db: &Db, broken: &mut Vec<String>) -> Result<()> {
        for seen in &self.acknowledged {
            let sql = "SELECT state, receipt, conversation FROM turns WHERE id = $1";
            type Row = (String, Option<String>, Option<String>);
            let Some((state, receipt, conversation)) = db.row::<Row>(sql, args![seen.turn]).await? else {
                broken.push(format!("I1: {} was acknowledged and is gone", seen.turn));
                continue;
            };
            if seen.status != "waiting" && state != seen.status {
                broken.push(format!("I1: {} was told to be {} and is {state}", seen.turn, seen.status));
            }
            let Some(answer) = &seen.answer else { continue };
            let receipt: Value =
                receipt.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            if receipt.get("answer").and_then(Value::as_str) != Some(answer) {
                broken.push(format!(
                    "I1: the receipt of {} does not hold the answer that was given",
                    seen.turn
                ));
            }
            if conversation.is_some() {
                let sql = "SELECT COUNT(*) FROM messages WHERE turn = $1 AND role = $2";
                for role in ["user", "assistant"] {
                    let (count,) = db.row::<(i64,)>(sql, args![seen.turn, role]).await?.unwrap_or_default();
                    if count != 1 {
                        broken.push(format!("I1: {} has {count} messages of the {role}", seen.turn));
                    }
                }
            }
        }
        Ok(())
    }
}

/// I2 and I3: at most one effect per step, each announced in the audit log by this event before it happened. An
/// upstream knows the step by its key, which begins with the prefix.
fn single_and_announced(
    effects: &[Effect],
    (event, begins): (&str, &str),
    told: &[Told],
    broken: &mut Vec<String>,
) {
    let mut announced: BTreeMap<String, i64> = BTreeMap::new();
    for entry in told.iter().filter(|entry| entry.event == event) {
        if let Some(step) = &entry.step {
            let first = announced.entry(format!("{begins}{step}")).or_insert(entry.at);
            *first = (*first).min(entry.at);
        }
    }
    let mut done = BTreeSet::new();
    for effect in effects {
        if !done.insert(&effect.step) && !effect.step.is_empty() {
            broken.push(format!("I2: {} happened more than once", effect.step));
        }
        match announced.get(&effect.step) {
            None => broken.push(format!("I3: {:?} happened without an intent in the audit log", effect.step)),
            Some(at) if *at > effect.at.0 => {
                broken.push(format!("I3: {} happened before its intent was written", effect.step));
            }
            Some(_) => {}
        }
    }
}

/// I4, first half: every chain holds from its first entry to the head that is stored for it.
async fn log(db: &Db, key: &ChainKey, broken: &mut Vec<String>) -> Result<Vec<Told>> {
    type Row = (String, u64, i64, Vec<u8>, Vec<u8>);
    let rows: Vec<Row> =
        db.rows("SELECT node, seq, at, body, link FROM audit ORDER BY node, seq", args![]).await?;
    let heads: Vec<(String, u64)> = db.rows("SELECT node, seq FROM audit_heads", args![]).await?;
    let mut chains: BTreeMap<String, Verifier> = BTreeMap::new();
    let mut lengths: BTreeMap<String, u64> = BTreeMap::new();
    let mut told = Vec::with_capacity(rows.len());
    for (node, sequence, at, body, link) in rows {
        let chain = chains.entry(node.clone()).or_insert_with(|| Verifier::new(key.clone(), None));
        if let Err(why) = chain.push(sequence, &body, &link) {
            broken.push(format!("I4: audit chain of {node}: {why}"));
            return Ok(told);
        }
        lengths.insert(node, sequence);
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        told.push(Told { at, event: text("event").unwrap_or_default(), step: text("step") });
    }
    if heads.into_iter().collect::<BTreeMap<_, _>>() != lengths {
        broken.push("I4: an audit chain does not end where its head says".to_owned());
    }
    Ok(told)
}

/// I4, second half: an intent has an outcome, or its step is open in an open turn.
async fn intents_have_ends(db: &Db, told: &[Told], broken: &mut Vec<String>) -> Result<()> {
    let sql = "SELECT s.id FROM steps s JOIN turns t ON t.id = s.turn \
               WHERE s.ended_at IS NULL AND t.ended_at IS NULL";
    let open: Vec<(String,)> = db.rows(sql, args![]).await?;
    let open: BTreeSet<String> = open.into_iter().map(|(id,)| id).collect();
    // WHY not in order: one node begins what another ends, and clocks may jump.
    let of = |events: &[&str]| -> BTreeSet<&String> {
        told.iter()
            .filter(|one| events.contains(&one.event.as_str()))
            .filter_map(|one| one.step.as_ref())
            .collect()
    };
    let (begun, ended) = (of(&["step.started"]), of(&["step.ended", "step.refused", "step.moved"]));
    let pending = begun.difference(&ended).copied();
    for step in pending.filter(|step| !open.contains(*step)) {
        broken.push(format!("I4: {step} has an intent and neither an outcome nor an open turn"));
    }
    Ok(())
}

/// I8: no turn is running without a living owner.
async fn nobody_is_forgotten(db: &Db, now: Timestamp, broken: &mut Vec<String>) -> Result<()> {
    let sql = "SELECT id FROM turns t WHERE ended_at IS NULL AND state = 'running' AND NOT EXISTS \
               (SELECT 1 FROM leases l WHERE l.name = 'node/' || t.node AND l.fence = t.node_fence AND l.expires_at > $1)";
    for (id,) in db.rows::<(String,)>(sql, args![now]).await? {
        broken.push(format!("I8: {id} is running and has no living owner"));
    }
    let sql =
        "SELECT c.id FROM conversations c JOIN turns t ON t.id = c.open_turn WHERE t.ended_at IS NOT NULL";
    for (id,) in db.rows::<(String,)>(sql, args![]).await? {
        broken.push(format!("I8: {id} waits for a turn that has ended"));
    }
    Ok(())
}

/// I7: finds files under a folder that contain one of these secrets, plainly, as hexadecimal or as base64.
///
/// # Errors
/// If a file cannot be read.
pub fn leaks(folder: &Path, canaries: &[&str]) -> io::Result<Vec<String>> {
    let mut needles = Vec::new();
    for canary in canaries {
        let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
        needles.push((*canary, canary.as_bytes().to_vec()));
        needles.push((*canary, hex.into_bytes()));
        // The first and last characters of base64 depend on what surrounds the text; its middle does not.
        for shift in 0..3 {
            needles.push((*canary, base64_middle(canary.as_bytes(), shift)));
        }
    }
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // WHY: the shop beside the server is still running, and removes its journal at any time.
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let holds =
                |needle: &[u8]| !needle.is_empty() && bytes.windows(needle.len()).any(|part| part == needle);
            for (canary, _) in needles.iter().filter(|(_, needle)| holds(needle)) {
                found.push(format!("I7: {} holds the secret `{canary}`", path.display()));
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Returns the part of the base64 encoding of these bytes that is the same whatever `shift` bytes precede them.
fn base64_middle(bytes: &[u8], shift: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let skip = (3 - shift) % 3;
    let whole = bytes.get(skip..).unwrap_or_default().chunks_exact(3);
    whole
        .flat_map(|three| {
            let word = three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
            [18, 12, 6, 0].map(|by| LETTERS.get((word >> by & 63) as usize).copied().unwrap_or(b'='))
        })
        .collect()
}

#[cfg(test)]
mod tests;
