//! Which texts a version of the policies was made of, written down as it comes into force: decisions name the version only.

use std::sync::{Arc, PoisonError};

use cardea_core::{
    Result,
    canonical::sha256_hex,
    policy::Source,
    principal::{INSTALLATION, Principal},
    time::Timestamp,
};
use cardea_store::{Commit, Db, FromRow, Row, RowError, args};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::control::Control;
use crate::observe::Entry;

/// A file of a policy set, as its row and the audit log name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path.
    pub file: String,
    /// The SHA-256 of its text, hexadecimal.
    pub digest: String,
}

impl Control {
    /// Writes down the policies in force, once for each version that this node takes: their texts, and an entry
    /// `policies.adopted` with the digest of each.
    ///
    /// # Errors
    /// What the store says.
    pub async fn record(&self) -> Result<()> {
        let (sources, policies) = {
            let sources = self.inner.sources.lock().unwrap_or_else(PoisonError::into_inner);
            (sources.clone(), self.policies())
        };
        let version = policies.version();
        if self.recorded().as_ref() == Some(version) {
            return Ok(());
        }
        let (mut rows, mut files) = (Commit::new(), Vec::new());
        for Source { file, text, .. } in &sources {
            let digest = sha256_hex(text.as_bytes());
            rows = rows.run(
                "INSERT INTO policy_texts (digest, text) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
                args![&digest, text],
            );
            files.push(File { file: file.clone(), digest });
        }
        let tools = policies.tools().count();
        let listed = serde_json::to_string(&files).unwrap_or_default();
        rows = rows.run(
            "INSERT INTO policy_sets (version, at, files, tools) VALUES ($1, $2, $3, $4) ON CONFLICT (version) DO NOTHING",
            args![&**version, self.now(), listed, tools as u64],
        );
        let detail = json!({ "version": version, "policies": policies.len(), "tools": tools,
                             "files": files });
        let principal = Principal::installation(INSTALLATION.into());
        let entry = Entry {
            principal: &principal,
            event: "policies.adopted",
            turn: None,
            step: None,
            tool: None,
            request: None,
            detail,
        };
        self.inner.observe.audit(&mut rows, entry);
        self.inner.db.commit(rows).await?;
        *self.inner.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(version));
        Ok(())
    }

    fn recorded(&self) -> Option<Arc<str>> {
        self.inner.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A version of the policies that was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// Its name in decisions.
    pub version: String,
    /// When it was first in force.
    pub at: Timestamp,
    /// What it was made of.
    pub files: Vec<File>,
    /// How many tools the catalogue had that it was made for.
    pub tools: u64,
}

impl FromRow for Adopted {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let files: String = row.get(2)?;
        let files = serde_json::from_str(&files).map_err(|_| RowError::Type { column: 2, wanted: "JSON" })?;
        Ok(Self { version: row.get(0)?, at: row.get(1)?, files, tools: row.get(3)? })
    }
}

/// The versions that were in force, the newest first, no more than a thousand.
///
/// # Errors
/// What the store says.
pub async fn adopted(db: &Db) -> Result<Vec<Adopted>> {
    let sql = "SELECT version, at, files, tools FROM policy_sets ORDER BY at DESC, version LIMIT 1000";
    db.rows(sql, args![]).await
}

/// The text of one of their files; `None` if it is gone, or is another one.
///
/// # Errors
/// What the store says.
pub async fn adopted_text(db: &Db, file: &File) -> Result<Option<String>> {
    let row: Option<(String,)> =
        db.row("SELECT text FROM policy_texts WHERE digest = $1", args![&file.digest]).await?;
    Ok(row.map(|(text,)| text).filter(|text| sha256_hex(text.as_bytes()) == file.digest))
}
