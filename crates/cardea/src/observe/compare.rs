//! Compares the audit log's statements about decisions, approvals and policies with their tables.
//!
//! Nothing of what is compared is ever erased: erasing a person or a conversation removes only what was said.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use cardea_core::{
    canonical::sha256_hex,
    id::{ApprovalId, DecisionId, TenantId},
    time::Timestamp,
};
use cardea_store::{Db, Value as Cell, args};
use serde::Deserialize;
use serde_json::Value;

use super::{
    decision::{Ruled, policies_column},
    unproved::Unproved,
};

/// Rows read by one query.
const AT_ONCE: usize = 64;

static DECISIONS: LazyLock<String> = LazyLock::new(|| {
    let one = |n: usize| format!("(tenant = ${} AND at = ${} AND id = ${})", 3 * n + 1, 3 * n + 2, 3 * n + 3);
    let any: Vec<String> = (0..AT_ONCE).map(one).collect();
    format!("SELECT id, verdict, policies, policy_version FROM decisions WHERE {}", any.join(" OR "))
});

static APPROVALS: LazyLock<String> = LazyLock::new(|| {
    let any: Vec<String> = (1..=AT_ONCE).map(|n| format!("${n}")).collect();
    format!(
        "SELECT id, tenant, state, args_digest, decided_by FROM approvals WHERE id IN ({})",
        any.join(", ")
    )
});

/// Statements of one page of entries about other tables.
#[derive(Default)]
pub(super) struct Claims {
    decisions: Vec<(u64, TenantId, Ruled)>,
    approvals: Vec<(u64, TenantId, Given)>,
    policies: Vec<(u64, Adopted)>,
}

/// Statement about a set of policies.
#[derive(Deserialize)]
struct Adopted {
    version: String,
    files: Vec<Text>,
}

/// One text of a set of policies.
#[derive(Deserialize)]
struct Text {
    digest: String,
}

/// Statement about a decided approval.
struct Given {
    id: ApprovalId,
    state: &'static str,
    digest: String,
    decider: Decider,
}

/// The decider, as both the entry and the row record it.
#[derive(Deserialize, PartialEq)]
struct Decider {
    by: String,
    issuer: String,
    roles: BTreeSet<String>,
}

type Decided = (DecisionId, String, String, String);
type Approved = (ApprovalId, TenantId, String, String, Option<String>);

impl Claims {
    /// Collects the statements of an entry. Entries of earlier versions state less, and are skipped.
    pub(super) fn take(&mut self, sequence: u64, tenant: &TenantId, body: &mut Value) {
        let ruled = body.pointer_mut("/detail/decision").filter(|ruled| ruled.is_object()).map(Value::take);
        if let Some(ruled) = ruled.and_then(|ruled| serde_json::from_value(ruled).ok()) {
            self.decisions.push((sequence, tenant.clone(), ruled));
        }
        match body.get("event").and_then(Value::as_str) {
            Some("approval.decided") => {
                self.approvals.extend(given(body).map(|given| (sequence, tenant.clone(), given)));
            }
            Some("policies.adopted") => {
                let adopted = body.get("detail").and_then(|detail| Adopted::deserialize(detail).ok());
                self.policies.extend(adopted.map(|adopted| (sequence, adopted)));
            }
            _ => {}
        }
    }

    /// Compares all statements; returns the number of rows.
    pub(super) async fn compare(self, db: &Db, node: &str) -> Result<u64, Unproved> {
        let differs = |sequence, what, id: String, why| Unproved::Differs {
            node: node.to_owned(),
            sequence,
            what,
            id,
            why,
        };
        for some in self.decisions.chunks(AT_ONCE) {
            let found = decisions(db, some).await?;
            for (sequence, _, ruled) in some {
                if let Some(why) = decision_differs(ruled, found.get(&ruled.id)) {
                    return Err(differs(*sequence, "the decision", ruled.id.to_string(), why));
                }
            }
        }
        for some in self.approvals.chunks(AT_ONCE) {
            let found = approvals(db, some).await?;
            for (sequence, tenant, given) in some {
                if let Some(why) = approval_differs(tenant, given, found.get(&given.id)) {
                    return Err(differs(*sequence, "the approval", given.id.to_string(), why));
                }
            }
        }
        for (sequence, adopted) in &self.policies {
            if let Some(why) = policies_differ(db, adopted).await? {
                return Err(differs(*sequence, "the set of policies", adopted.version.clone(), why));
            }
        }
        Ok((self.decisions.len() + self.approvals.len() + self.policies.len()) as u64)
    }
}

fn given(body: &Value) -> Option<Given> {
    let detail = body.get("detail")?;
    let text = |value: &Value, key: &str| Some(value.get(key)?.as_str()?.to_owned());
    Some(Given {
        id: detail.get("approval")?.as_str()?.parse().ok()?,
        state: if detail.get("choice")? == "approve" { "approved" } else { "rejected" },
        digest: text(detail, "args_digest")?,
        decider: Decider {
            by: text(body, "user")?,
            issuer: text(body, "issuer")?,
            roles: Deserialize::deserialize(detail.get("roles")?).ok()?,
        },
    })
}

async fn decisions(
    db: &Db,
    some: &[(u64, TenantId, Ruled)],
) -> Result<BTreeMap<DecisionId, Decided>, Unproved> {
    let mut asked: Vec<Cell> = Vec::with_capacity(3 * AT_ONCE);
    for (_, tenant, ruled) in some {
        asked.extend(args![tenant, ruled.at, ruled.id]);
    }
    for _ in some.len()..AT_ONCE {
        asked.extend(args!["", Timestamp(0), ""]);
    }
    let sql: &'static str = &DECISIONS;
    let rows: Vec<Decided> = db.rows(sql, asked).await?;
    Ok(rows.into_iter().map(|row| (row.0, row)).collect())
}

async fn approvals(
    db: &Db,
    some: &[(u64, TenantId, Given)],
) -> Result<BTreeMap<ApprovalId, Approved>, Unproved> {
    let mut asked: Vec<Cell> = some.iter().flat_map(|(_, _, given)| args![given.id]).collect();
    asked.extend((some.len()..AT_ONCE).flat_map(|_| args![""]));
    let sql: &'static str = &APPROVALS;
    let rows: Vec<Approved> = db.rows(sql, asked).await?;
    Ok(rows.into_iter().map(|row| (row.0, row)).collect())
}

async fn policies_differ(db: &Db, adopted: &Adopted) -> Result<Option<&'static str>, Unproved> {
    let sql = "SELECT files FROM policy_sets WHERE version = $1";
    let row: Option<(String,)> = db.row(sql, args![&adopted.version]).await?;
    let Some((files,)) = row else { return Ok(Some("whose texts are not there")) };
    // WHY: not the names of files. A version consists of texts, and two nodes may keep them in different folders.
    let row: Vec<Text> = serde_json::from_str(&files).unwrap_or_default();
    if !row.iter().map(|text| &text.digest).eq(adopted.files.iter().map(|text| &text.digest)) {
        return Ok(Some("which is made of other texts, as its row has it"));
    }
    for Text { digest, .. } in &adopted.files {
        let text: Option<(String,)> =
            db.row("SELECT text FROM policy_texts WHERE digest = $1", args![digest]).await?;
        if text.is_none_or(|(text,)| sha256_hex(text.as_bytes()) != *digest) {
            return Ok(Some("of which a text was changed or is gone"));
        }
    }
    Ok(None)
}

fn decision_differs(ruled: &Ruled, row: Option<&Decided>) -> Option<&'static str> {
    let Some((_, verdict, policies, version)) = row else {
        return Some("which is not in the log of decisions");
    };
    if verdict != ruled.verdict.name() {
        return Some("whose verdict is another one in the log of decisions");
    }
    if *policies != policies_column(&ruled.policies) {
        return Some("whose policies are others in the log of decisions");
    }
    (version.as_str() != &*ruled.version)
        .then_some("whose policy version is another one in the log of decisions")
}

fn approval_differs(tenant: &TenantId, given: &Given, row: Option<&Approved>) -> Option<&'static str> {
    let Some((_, owner, state, digest, by)) = row else { return Some("which is not there") };
    if owner != tenant || *digest != given.digest {
        return Some("which is for another call now");
    }
    if state != given.state {
        return Some("which was decided otherwise, as its row has it");
    }
    let by: Option<Decider> = by.as_deref().and_then(|text| serde_json::from_str(text).ok());
    (by.as_ref() != Some(&given.decider)).then_some("which somebody else decided, as its row has it")
}
