//! Stores the definitions of upstreams' tools: the accepted one, and one that waits for a person.

use std::collections::{BTreeMap, HashSet};

use cardea_core::{
    Code, Error, Result,
    pin::{Definition, Difference, Pinning, Standing, differences, standing},
    principal::{INSTALLATION, Principal},
    time::{SharedClock, Timestamp},
};
use cardea_store::{Commit, CommitError, Db, args};
use rmcp::model::Tool as WireTool;
use serde::Serialize;
use serde_json::{Value, json};

use crate::observe::{Entry, Observe};

/// The member of a tool's `_meta` with its author's declarations for Cardea.
pub(super) const ABOUT: &str = "dev.cardea/tool";

/// The most tools of one server that are read.
const MOST_TOOLS: usize = 2_000;

/// The most tools of one server that are remembered, including those that no longer exist.
const MOST_KEPT: usize = 10_000;

/// The most attempts to write the rows when other nodes come first.
const TRIES: usize = 3;

/// The shortest prefix of a digest that identifies a definition.
const SHORTEST: usize = 8;

/// The stored definitions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pins {
    db: Db,
    observe: Observe,
    clock: SharedClock,
}

/// A tool that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Held {
    /// Its name, as it would be offered.
    pub tool: String,
    /// The server that it belongs to.
    pub upstream: String,
    /// The digest of the definition that waits.
    pub digest: String,
    /// Since when it waits.
    pub since: Timestamp,
    /// Whether an earlier definition was accepted. If not, the tool is new.
    pub known: bool,
    /// How it differs from the accepted definition; for a new tool, all of it.
    pub differences: Vec<Difference>,
}

/// The stored digests of one tool.
struct Known {
    accepted: Option<String>,
    held: Option<String>,
}

/// The row of a tool that waits.
type Found = (String, String, Option<String>, String, String, Timestamp);

fn shown((tool, upstream, before, digest, now, since): Found) -> Held {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let known = before.is_some();
    let differences = differences(&before.as_deref().map(read).unwrap_or_default(), &read(&now));
    Held { tool, upstream, digest, since, known, differences }
}

/// A tool as its server lists it now.
struct Listed<'a> {
    server: &'a str,
    /// Its name as it would be offered.
    name: String,
    definition: Definition,
}

impl Pins {
    /// Makes the pins in this database.
    #[must_use]
    pub fn new(db: Db, observe: Observe, clock: SharedClock) -> Self {
        Self { db, observe, clock }
    }

    /// Returns those of a server's listed tools that may be offered. The others are held.
    ///
    /// # Errors
    /// Store errors: a tool that cannot be compared is not offered.
    pub(super) async fn admit(
        &self,
        server: &str,
        pinning: Pinning,
        tools: Vec<WireTool>,
    ) -> Result<Vec<WireTool>> {
        let tools = named(server, tools);
        if pinning == Pinning::Off {
            return Ok(tools);
        }
        for _ in 0..TRIES {
            let known = self.known(server).await?;
            let (admitted, commit) = self.judged(server, pinning, &tools, &known);
            match self.db.commit(commit).await {
                Ok(()) => {
                    let mut kept = tools;
                    kept.retain(|tool| admitted.contains(tool.name.as_ref()));
                    return Ok(kept);
                }
                // Another node was first, and its definition counts.
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(Code::Conflict).detail(format!("The tools of `{server}` change all the time.")))
    }

    /// Returns the names that may be offered, and the rows to write.
    fn judged(
        &self,
        server: &str,
        pinning: Pinning,
        tools: &[WireTool],
        known: &BTreeMap<String, Known>,
    ) -> (HashSet<String>, Commit) {
        let now = self.clock.now();
        let (mut admitted, mut commit) = (HashSet::new(), Commit::new());
        let (mut first, mut count) = (BTreeMap::new(), known.len());
        for tool in tools {
            let name = format!("{server}__{}", tool.name);
            let listed = Listed { server, name, definition: Definition::of(&said(tool)) };
            let Listed { name, definition, .. } = &listed;
            let before = known.get(name);
            let accepted = before.map(|known| known.accepted.as_deref());
            if before.is_none() {
                count += 1;
                if count > MOST_KEPT {
                    tracing::warn!(
                        upstream = server,
                        tool.name = name,
                        "not imported: too many tools have been seen"
                    );
                    continue;
                }
            }
            match standing(pinning, accepted, definition) {
                Standing::Accepted => {
                    admitted.insert(tool.name.to_string());
                    if let Some(held) = before.and_then(|known| known.held.as_deref()) {
                        commit = self.returned(commit, &listed, held);
                    }
                }
                Standing::First => {
                    admitted.insert(tool.name.to_string());
                    first.insert(name.clone(), definition.digest().to_owned());
                    commit = commit.insert(
                        "tool_pins",
                        [
                            ("tool", name.as_str().into()),
                            ("upstream", server.into()),
                            ("accepted", definition.digest().into()),
                            ("definition", definition.spelled().into()),
                            ("accepted_at", now.into()),
                        ],
                    );
                }
                Standing::Held => commit = self.hold(commit, &listed, before),
            }
        }
        if !first.is_empty() {
            self.tell(&mut commit, "tools.pinned", None, json!({ "upstream": server, "tools": first }));
        }
        (admitted, commit)
    }

    /// Holds a definition, unless it is already held.
    fn hold(&self, commit: Commit, listed: &Listed<'_>, before: Option<&Known>) -> Commit {
        let Listed { server, name, definition } = listed;
        let (server, name) = (*server, name.as_str());
        let (now, digest) = (self.clock.now(), definition.digest());
        if before.is_some_and(|known| known.held.as_deref() == Some(digest)) {
            return commit;
        }
        let mut commit = match before {
            None => commit.insert(
                "tool_pins",
                [
                    ("tool", name.into()),
                    ("upstream", server.into()),
                    ("held", digest.into()),
                    ("held_as", definition.spelled().into()),
                    ("held_at", now.into()),
                ],
            ),
            // WHY: the empty text stands for NULL here. No digest is empty, and both engines can compare it.
            Some(Known { accepted, held }) => commit.guard(
                "pin",
                "UPDATE tool_pins SET held = $2, held_as = $3, held_at = $4 \
                 WHERE tool = $1 AND COALESCE(accepted, '') = $5 AND COALESCE(held, '') = $6",
                args![
                    name,
                    digest,
                    definition.spelled(),
                    now,
                    accepted.as_deref().unwrap_or_default(),
                    held.as_deref().unwrap_or_default()
                ],
            ),
        };
        let was = before.and_then(|known| known.accepted.as_deref());
        tracing::warn!(
            upstream = server,
            tool.name = name,
            "not offered: it speaks otherwise of itself than what was accepted; see `cardea tool changes`"
        );
        self.tell(&mut commit, "tool.held", Some(name), json!({ "was": was, "now": digest }));
        commit
    }

    /// Records that the server offers the accepted definition again.
    fn returned(&self, commit: Commit, listed: &Listed<'_>, held: &str) -> Commit {
        let name = listed.name.as_str();
        let mut commit = commit.guard(
            "pin",
            "UPDATE tool_pins SET held = NULL, held_as = NULL, held_at = NULL \
             WHERE tool = $1 AND accepted = $2 AND held = $3",
            args![name, listed.definition.digest(), held],
        );
        self.tell(&mut commit, "tool.returned", Some(name), Value::Null);
        commit
    }

    /// Returns everything that waits for a person, of one server or of all, ordered by name.
    ///
    /// # Errors
    /// Store errors.
    pub async fn held(&self, upstream: Option<&str>) -> Result<Vec<Held>> {
        const PAGE: usize = 1_000;
        let sql = "SELECT tool, upstream, definition, held, held_as, held_at FROM tool_pins \
                   WHERE held IS NOT NULL AND tool > $1 AND ($2 = '' OR upstream = $2) ORDER BY tool LIMIT 1000";
        let mut all: Vec<Held> = Vec::new();
        loop {
            let last = all.last().map(|held| held.tool.clone()).unwrap_or_default();
            let rows: Vec<Found> = self.db.rows(sql, args![last, upstream.unwrap_or_default()]).await?;
            let is_last = rows.len() < PAGE;
            all.extend(rows.into_iter().map(shown));
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Returns the waiting definition of one tool.
    async fn waiting(&self, tool: &str) -> Result<Option<Held>> {
        let sql = "SELECT tool, upstream, definition, held, held_as, held_at FROM tool_pins \
                   WHERE tool = $1 AND held IS NOT NULL";
        let row: Option<Found> = self.db.row(sql, args![tool]).await?;
        Ok(row.map(shown))
    }

    /// Accepts the definition that waits, if its digest still starts with `digest`. The tool is offered within seconds.
    ///
    /// # Errors
    /// `not_found` if nothing of this name waits; `conflict` if another definition waits by now; store errors.
    pub async fn accept(&self, by: &Principal, tool: &str, digest: &str) -> Result<()> {
        let Some(waits) = self.waiting(tool).await? else {
            return Err(
                Error::new(Code::NotFound).detail(format!("No change of `{tool}` waits for anybody."))
            );
        };
        if digest.len() < SHORTEST || !waits.digest.starts_with(digest) {
            let detail =
                format!("What waits of `{tool}` is `{}`, not `{digest}`: look at it again.", waits.digest);
            return Err(Error::new(Code::Conflict).detail(detail));
        }
        let now = self.clock.now();
        let mut commit = Commit::new()
            .guard(
                "pin",
                "UPDATE tool_pins SET accepted = held, definition = held_as, accepted_by = $3, accepted_at = $4, \
                 held = NULL, held_as = NULL, held_at = NULL WHERE tool = $1 AND held = $2",
                args![tool, &waits.digest, &by.user, now],
            )
            .run("UPDATE versions SET version = version + 1, updated_at = $1 WHERE name = 'tools'", args![now]);
        let detail = json!({ "now": waits.digest, "places": waits.differences.len() });
        let entry = Entry { tool: Some(tool), detail, ..Entry::new(by, "tool.accepted") };
        self.observe.audit(&mut commit, entry);
        Ok(self.db.commit(commit).await?)
    }

    /// Returns a number that grows with each acceptance, on whichever node.
    ///
    /// # Errors
    /// Store errors.
    pub(super) async fn version(&self) -> Result<i64> {
        let row: Option<(i64,)> =
            self.db.row("SELECT version FROM versions WHERE name = 'tools'", args![]).await?;
        Ok(row.map_or(0, |(version,)| version))
    }

    async fn known(&self, server: &str) -> Result<BTreeMap<String, Known>> {
        let sql = "SELECT tool, accepted, held FROM tool_pins WHERE upstream = $1";
        let rows: Vec<(String, Option<String>, Option<String>)> = self.db.rows(sql, args![server]).await?;
        Ok(rows.into_iter().map(|(tool, accepted, held)| (tool, Known { accepted, held })).collect())
    }

    /// Writes an audit entry about what the installation did by itself.
    fn tell(&self, commit: &mut Commit, event: &'static str, tool: Option<&str>, detail: Value) {
        let installation = Principal::installation(INSTALLATION.into());
        self.observe.audit(commit, Entry { tool, detail, ..Entry::new(&installation, event) });
    }
}

/// Returns true for a valid MCP tool name (2025-11-25, server/tools, "Tool Names").
///
/// Other names are neither shown to models, which would read them, nor stored: a database key has a limited length and
/// alphabet.
fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
}

/// Returns the tools with valid names, each name once. A server that lists a name twice could choose at each call which
/// tool is meant.
fn named(server: &str, mut tools: Vec<WireTool>) -> Vec<WireTool> {
    let mut seen = HashSet::new();
    tools.retain(|tool| {
        if !is_name(&tool.name) {
            let name: String = tool.name.chars().take(128).collect();
            tracing::warn!(upstream = server, tool = ?name, "not imported: that is no name of a tool");
            return false;
        }
        let new = seen.len() < MOST_TOOLS && seen.insert(tool.name.to_string());
        if !new {
            tracing::warn!(upstream = server, tool.name = %tool.name, "not imported: listed twice, or one too many");
        }
        new
    });
    tools
}

/// Returns everything in a tool's definition that a model, a person or Cardea relies on.
pub(super) fn said(tool: &WireTool) -> Value {
    json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
        "annotations": tool.annotations,
        ABOUT: tool.meta.as_ref().and_then(|meta| meta.get(ABOUT)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cardea_core::{cost::Prices, log::ChainKey, time::ManualClock};
    use cardea_store::DbConfig;

    use super::*;

    fn pay(about: &str) -> WireTool {
        let schema = json!({ "type": "object" });
        serde_json::from_value(json!({ "name": "pay", "description": about, "inputSchema": schema })).unwrap()
    }

    /// Returns what a node writes that has read this state when the tool says so.
    fn written(pins: &Pins, known: &BTreeMap<String, Known>, about: &str) -> Commit {
        pins.judged("odd", Pinning::Changed, &[pay(about)], known).1
    }

    #[tokio::test]
    async fn of_two_nodes_that_see_a_change_one_tells_of_it_and_neither_undoes_an_acceptance() {
        let db = Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&[1; 32])).await.unwrap();
        db.migrate().await.unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(1_750_000_000));
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        let observe = Observe::new(db.clone(), shared.clone(), Prices::default());
        let pins = Pins::new(db.clone(), observe, shared);
        pins.admit("odd", Pinning::Changed, vec![pay("Pays.")]).await.unwrap();
        let twice = async |about: &str| {
            let known = pins.known("odd").await.unwrap();
            let (first, second) = (written(&pins, &known, about), written(&pins, &known, about));
            db.commit(first).await.unwrap();
            assert!(matches!(db.commit(second).await, Err(CommitError::Conflict(_))), "{about}");
        };
        twice("Pays twice.").await;
        twice("Pays.").await;
        twice("Pays twice.").await;
        let slow = pins.known("odd").await.unwrap();
        let by = Principal::installation(INSTALLATION.into());
        let digest = pins.held(None).await.unwrap()[0].digest.clone();
        pins.accept(&by, "odd__pay", &digest).await.unwrap();
        for about in ["Pays.", "Pays three times."] {
            let late = db.commit(written(&pins, &slow, about)).await;
            assert!(matches!(late, Err(CommitError::Conflict(_))), "{about}");
        }
        assert!(pins.held(None).await.unwrap().is_empty());
    }
}
