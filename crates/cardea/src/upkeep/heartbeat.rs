//! Renews this node's lease, reports which policies it decides by, and releases what dead nodes and lost reservations
//! held.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cardea_core::Code;
use cardea_store::{Engine, jobs::Stage};

use super::told::Told;
use crate::app::App;

/// The interval, well below `turn::NODE_LEASE`.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// Nodes that decide by other policies than this one.
#[derive(Default)]
struct Others {
    /// At the last round: node and version.
    seen: BTreeSet<(String, String)>,
    told: BTreeSet<(String, String)>,
}

/// Runs until another process has taken the name of this node.
pub(super) async fn heartbeat(app: App) {
    let several = app.db.engine() == Engine::Postgres;
    let (mut others, mut silent) = (Others::default(), Told::default());
    let (mut lost, mut dead) = (Told::default(), Told::default());
    // The first beat is sent at once, so that other nodes learn by which policies this one decides.
    let mut pause = if several { Duration::ZERO } else { HEARTBEAT };
    loop {
        tokio::time::sleep(pause).await;
        pause = HEARTBEAT;
        let policies = Arc::clone(app.control.policies().version());
        let beat = app.turns.heartbeat(&policies).await;
        match &beat {
            Err(error) if error.code() == Code::Conflict => {
                tracing::error!("another process has taken the name of this node; set `db.node` apart");
                app.jobs.token(Stage::Intake).cancel();
                return; // WHY nothing more: the other process now owns what is held under this name
            }
            Err(_) => {}
            Ok(()) => app.pulse.written(),
        }
        silent.tell("no heartbeat", &beat);
        if several {
            compare_policies(&app, &policies, &mut others).await;
        }
        let given = app.control.forget_lost_reservations().await;
        lost.tell("lost reservations are not given back yet", &given);
        dead.tell("what dead nodes held is not given back yet", &app.control.forget_dead_nodes().await);
    }
}

/// Reports nodes that decide by other policies: once for each version, and not while files are being changed.
async fn compare_policies(app: &App, own: &str, others: &mut Others) {
    let Ok(now) = app.turns.deciding_otherwise(own).await else { return };
    for (node, theirs) in now.intersection(&others.seen).filter(|one| !others.told.contains(*one)) {
        tracing::warn!(
            "the node `{node}` decides by the policies {theirs}, this one by {own}: give all nodes the same files"
        );
    }
    others.told = now.intersection(&others.seen).cloned().collect();
    app.observe.policies_differ(others.told.len());
    others.seen = now;
}
