//! Finds open turns that are free to take, and keeps the lease that shows that a node is alive.

use std::collections::BTreeSet;

use cardea_core::{
    Code, Error, Result,
    id::{AgentName, TurnId},
    time::{Millis, Timestamp},
};
use cardea_store::{Commit, CommitError, Db, args};

use super::Turns;

/// How long a node counts as alive after its last heartbeat.
pub const NODE_LEASE: Millis = Millis::from_secs(10);

/// How long a turn that no task is working on is left alone, since its last commit may still be on its way.
const ORPHANED: Millis = Millis::from_secs(2);

/// An open turn that no living node works on.
#[derive(Debug, Clone)]
pub struct Free {
    /// The turn.
    pub id: TurnId,
    /// The agent that answers; its limits still apply.
    pub agent: AgentName,
}

/// Starts a new lease of the node. The fencing number grows, which tells rows of an earlier process apart.
pub(super) async fn take_node(db: &Db, node: &str, now: Timestamp) -> Result<i64> {
    let name = format!("node/{node}");
    for _ in 0..8 {
        let found: Vec<(i64,)> = db.rows("SELECT fence FROM leases WHERE name = $1", args![&name]).await?;
        let before = found.first().map_or(0, |row| row.0);
        let mut commit = Commit::new();
        let until = now.plus(NODE_LEASE).0;
        if found.is_empty() {
            commit = commit.guard(
                "lease",
                "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, $2, 1, $3) ON CONFLICT DO NOTHING",
                args![&name, node, until],
            );
        } else {
            commit = commit.guard(
                "lease",
                "UPDATE leases SET fence = fence + 1, holder = $2, expires_at = $3, policies = NULL \
                 WHERE name = $1 AND fence = $4",
                args![&name, node, until, before],
            );
        }
        match db.commit(commit).await {
            Ok(()) => return Ok(before + 1),
            Err(CommitError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::new(Code::Conflict).detail(format!("Another process keeps taking the node name `{node}`.")))
}

impl Turns {
    /// Renews the lease of this node and publishes the policy version that it uses. Must be called well within
    /// [`NODE_LEASE`].
    ///
    /// # Errors
    /// `conflict` if another process has taken this node's name: this one must stop working.
    pub async fn heartbeat(&self, policies: &str) -> Result<()> {
        let node = &self.inner.node;
        let commit = Commit::new().guard(
            "lease",
            "UPDATE leases SET expires_at = $3, policies = $4 WHERE name = $1 AND fence = $2",
            args![format!("node/{}", node.name), node.fence, self.now().plus(NODE_LEASE).0, policies],
        );
        self.inner.db.commit(commit).await.map_err(Error::from)
    }

    /// Returns other live nodes that use a different policy version: their names and versions.
    ///
    /// # Errors
    /// Store errors.
    pub async fn deciding_otherwise(&self, policies: &str) -> Result<BTreeSet<(String, String)>> {
        let sql = "SELECT holder, policies FROM leases WHERE name LIKE 'node/%' AND holder <> $1 \
                   AND expires_at > $2 AND policies <> $3";
        let found: Vec<(String, String)> =
            self.inner.db.rows(sql, args![&self.inner.node.name, self.now().0, policies]).await?;
        Ok(found.into_iter().collect())
    }

    /// Returns open turns that this node may claim: its own from before a restart, those of nodes whose lease has
    /// expired, and suspended turns whose approval was decided or has expired, or whose stop was requested.
    ///
    /// # Errors
    /// Store errors.
    pub async fn free(&self, most: u32) -> Result<Vec<Free>> {
        let sql = "SELECT id, agent FROM ( \
                   SELECT id, agent, updated_at FROM turns WHERE ended_at IS NULL AND state = 'running' \
                   AND node = $1 AND node_fence < $2 \
                   UNION SELECT id, agent, updated_at FROM turns WHERE ended_at IS NULL AND state = 'running' \
                   AND node <> $1 AND NOT EXISTS (SELECT 1 FROM leases l \
                       WHERE l.name = 'node/' || turns.node AND l.fence = turns.node_fence AND l.expires_at > $3) \
                   UNION SELECT id, agent, updated_at FROM turns WHERE ended_at IS NULL AND state = 'waiting' \
                   AND EXISTS (SELECT 1 FROM approvals a WHERE a.id = turns.waiting_for \
                       AND (a.state <> 'open' OR a.expires_at <= $3)) \
                   UNION SELECT id, agent, updated_at FROM turns WHERE ended_at IS NULL AND state = 'waiting' \
                   AND failure IS NOT NULL) AS free ORDER BY updated_at LIMIT $4";
        let node = &self.inner.node;
        let rows: Vec<(TurnId, AgentName)> =
            self.inner.db.rows(sql, args![&node.name, node.fence, self.now().0, i64::from(most)]).await?;
        // Turns of this very process that no task is working on: dropped half way because of an error.
        let sql = "SELECT id, agent FROM turns WHERE ended_at IS NULL AND state = 'running' AND node = $1 \
                   AND node_fence = $2 AND updated_at <= $3";
        let quiet = self.now().minus(ORPHANED).0;
        let own: Vec<(TurnId, AgentName)> =
            self.inner.db.rows(sql, args![&node.name, node.fence, quiet]).await?;
        let own = own.into_iter().filter(|(id, _)| !self.inner.held.has(*id));
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(rows.into_iter().chain(own).map(|(id, agent)| Free { id, agent }).take(most).collect())
    }
}
