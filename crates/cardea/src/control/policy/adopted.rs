//! Records the texts of each policy version as it comes into force, since decisions name only the version.

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

/// A file of a policy set, as named in its row and in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Path.
    pub file: String,
    /// SHA-256 of its text, hexadecimal.
    pub digest: String,
}

impl Control {
    /// Records the policies in force, once for each version that this node adopts: their texts, and an audit entry
    /// `policies.adopted` with the digest of each.
    ///
    /// # Errors
    /// Store errors.
    pub async fn record(&self) -> Result<()> {
        let (sources, policies) = self.inner.in_force.texts();
        let version = policies.version();
        if self.recorded().as_ref() == Some(version) {
            return Ok(());
        }
        let (mut rows, mut files) = (Commit::new(), Vec::new());
        for Source { file, text, .. } in &*sources {
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
    /// Name of the version in decisions.
    pub version: String,
    /// When it first came into force.
    pub at: Timestamp,
    /// Its files.
    pub files: Vec<File>,
    /// Number of tools in the catalogue that it was compiled for.
    pub tools: u64,
}

impl FromRow for Adopted {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let files: String = row.get(2)?;
        let files = serde_json::from_str(&files).map_err(|_| RowError::Type { column: 2, wanted: "JSON" })?;
        Ok(Self { version: row.get(0)?, at: row.get(1)?, files, tools: row.get(3)? })
    }
}

/// Returns the versions that were in force, newest first, at most a thousand.
///
/// # Errors
/// Store errors.
pub async fn adopted(db: &Db) -> Result<Vec<Adopted>> {
    let sql = "SELECT version, at, files, tools FROM policy_sets ORDER BY at DESC, version LIMIT 1000";
    db.rows(sql, args![]).await
}

/// Returns the text of a file; `None` if it is gone or its digest differs.
///
/// # Errors
/// Store errors.
pub async fn adopted_text(db: &Db, file: &File) -> Result<Option<String>> {
    let row: Option<(String,)> =
        db.row("SELECT text FROM policy_texts WHERE digest = $1", args![&file.digest]).await?;
    Ok(row.map(|(text,)| text).filter(|text| sha256_hex(text.as_bytes()) == file.digest))
}
