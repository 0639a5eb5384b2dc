//! Migrations: numbered scripts, applied once, in order, each in its own transaction, and recorded with their hash.

use std::collections::BTreeMap;

use cardea_core::{Code, Error, Result, canonical::sha256_hex};

use super::{Db, Engine, postgres::NO_RIGHT};

/// One step of the schema. Migrations only add; what is no longer used is removed a release later.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Number, from 1.
    pub version: i64,
    /// Name: that of the file.
    pub name: &'static str,
    /// Script for both engines.
    pub sql: &'static str,
}

/// The migrations of this version.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "0001_start", sql: include_str!("../../../../migrations/0001_start.sql") },
    Migration { version: 2, name: "0002_paid", sql: include_str!("../../../../migrations/0002_paid.sql") },
    Migration { version: 3, name: "0003_cache", sql: include_str!("../../../../migrations/0003_cache.sql") },
    Migration { version: 4, name: "0004_undo", sql: include_str!("../../../../migrations/0004_undo.sql") },
    Migration {
        version: 5,
        name: "0005_revocations",
        sql: include_str!("../../../../migrations/0005_revocations.sql"),
    },
    Migration {
        version: 6,
        name: "0006_people",
        sql: include_str!("../../../../migrations/0006_people.sql"),
    },
    Migration { version: 7, name: "0007_holds", sql: include_str!("../../../../migrations/0007_holds.sql") },
    Migration { version: 8, name: "0008_pins", sql: include_str!("../../../../migrations/0008_pins.sql") },
    Migration { version: 9, name: "0009_words", sql: include_str!("../../../../migrations/0009_words.sql") },
    Migration {
        version: 10,
        name: "0010_approvals",
        sql: include_str!("../../../../migrations/0010_approvals.sql"),
    },
    Migration {
        version: 11,
        name: "0011_policies",
        sql: include_str!("../../../../migrations/0011_policies.sql"),
    },
    Migration { version: 12, name: "0012_trace", sql: include_str!("../../../../migrations/0012_trace.sql") },
    Migration { version: 13, name: "0013_tries", sql: include_str!("../../../../migrations/0013_tries.sql") },
    Migration { version: 14, name: "0014_nodes", sql: include_str!("../../../../migrations/0014_nodes.sql") },
    Migration { version: 15, name: "0015_owed", sql: include_str!("../../../../migrations/0015_owed.sql") },
    Migration {
        version: 16,
        name: "0016_bounds",
        sql: include_str!("../../../../migrations/0016_bounds.sql"),
    },
    Migration {
        version: 17,
        name: "0017_thoughts",
        sql: include_str!("../../../../migrations/0017_thoughts.sql"),
    },
    Migration { version: 18, name: "0018_reads", sql: include_str!("../../../../migrations/0018_reads.sql") },
];

/// Result of [`Db::migrate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Newest version before.
    pub from: i64,
    /// Newest version now.
    pub to: i64,
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations \
                     (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL);";

pub(crate) async fn migrate(db: &Db, migrations: &[Migration]) -> Result<Migrated> {
    let mut known = applied(db, migrations).await?;
    let from = known.keys().next_back().copied().unwrap_or(0);
    for migration in migrations {
        if known.contains_key(&migration.version) {
            continue;
        }
        if let Err(error) = db.script(script(db, migration)).await {
            // WHY: another node may have applied it between the check and this try.
            known = applied(db, migrations).await?;
            if !known.contains_key(&migration.version) {
                let error = error.detail(format!("Migration `{}` failed.", migration.name));
                return Err(told(error, "make tables in"));
            }
        }
    }
    let to = migrations.last().map_or(from, |last| last.version);
    Ok(Migrated { from, to })
}

/// Returns whether a database has some of the migrations, and not all.
pub(crate) async fn is_older(db: &Db, migrations: &[Migration]) -> Result<bool> {
    let known = applied(db, migrations).await?;
    Ok(!known.is_empty() && migrations.iter().any(|migration| !known.contains_key(&migration.version)))
}

const NEWER: &str = "The database was written by a newer Cardea";

/// Returns whether the error is that of a database which a newer version has written.
#[must_use]
pub fn is_newer(error: &Error) -> bool {
    error.public().contains(NEWER)
}

/// Returns what the database has recorded as applied, after checking that it agrees with the known migrations.
async fn applied(db: &Db, migrations: &[Migration]) -> Result<BTreeMap<i64, String>> {
    let made = db.script(TABLE.to_owned()).await;
    let found = recorded(db, migrations).await;
    match made {
        // WHY: the failure to create the table is the cause, not the failure to read it afterwards.
        Err(error) if found.as_ref().is_err_and(|error| error.code() == Code::Internal) => {
            Err(told(error, "make tables in"))
        }
        // WHY: PostgreSQL can fail `IF NOT EXISTS` when two nodes run it at once; the table exists then.
        _ => found.map_err(|error| told(error, "read the tables of")),
    }
}

/// Words the error for an operator, if it is a missing right.
pub(super) fn told(error: Error, what: &str) -> Error {
    if !error.cause_line().is_some_and(|cause| cause.contains(NO_RIGHT)) {
        return error;
    }
    let detail = format!(
        "The user in `db.url` may not {what} the database: grant it CREATE on the schema and SELECT, INSERT, UPDATE and \
         DELETE on the tables, or make it their owner."
    );
    Error::new(Code::Misconfigured).detail(detail).because(error)
}

/// Returns how many migrations are not applied yet. Read only.
///
/// # Errors
/// `misconfigured` as for [`migrate`]; store errors, also if there are no tables at all.
pub(crate) async fn missing(db: &Db, migrations: &[Migration]) -> Result<usize> {
    let known = recorded(db, migrations).await?;
    Ok(migrations.iter().filter(|migration| !known.contains_key(&migration.version)).count())
}

async fn recorded(db: &Db, migrations: &[Migration]) -> Result<BTreeMap<i64, String>> {
    let sql = "SELECT version, name, hash FROM migrations ORDER BY version";
    let rows: Vec<(i64, String, String)> = db.rows(sql, Vec::new()).await?;
    let newest = migrations.last().map_or(0, |last| last.version);
    for (version, name, hash) in &rows {
        let Some(migration) = migrations.iter().find(|migration| migration.version == *version) else {
            return Err(Error::new(Code::Misconfigured).detail(format!(
                "{NEWER}: it has migration {version} (`{name}`), this one knows \
                 migrations up to {newest}. Run the newer Cardea, or restore a backup made before the upgrade."
            )));
        };
        if *hash != fingerprint(migration) {
            return Err(Error::new(Code::Misconfigured).detail(format!(
                "Migration {version} (`{name}`) was applied with another text than this Cardea carries: the database \
                 belongs to another build."
            )));
        }
    }
    Ok(rows.into_iter().map(|(version, _, hash)| (version, hash)).collect())
}

fn fingerprint(migration: &Migration) -> String {
    sha256_hex(migration.sql.as_bytes())
}

fn script(db: &Db, migration: &Migration) -> String {
    let sql =
        if db.engine() == Engine::Sqlite { for_sqlite(migration.sql) } else { migration.sql.to_owned() };
    let Migration { version, name, .. } = migration;
    let hash = fingerprint(migration);
    format!("{sql}\nINSERT INTO migrations (version, name, hash) VALUES ({version}, '{name}', '{hash}');")
}

/// Activates the text of `/*sqlite: TEXT*/`. PostgreSQL sees a comment.
fn for_sqlite(sql: &str) -> String {
    let mut parts = sql.split("/*sqlite:");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (words, rest) = part.split_once("*/").unwrap_or((part, ""));
        result.push_str(words);
        result.push_str(rest);
    }
    result
}
