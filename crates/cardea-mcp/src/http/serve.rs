//! Listening, and stopping without cutting anybody off.

use std::{future::Future, sync::Arc, time::Duration};

use cardea_serve::{Acceptor, Limits};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Http, router};
use crate::StartError;

/// Serves until `stop` is ready, then lets running calls end for at most `drain`.
pub(crate) async fn serve(
    http: Arc<Http>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
    drain: Duration,
) -> Result<(), StartError> {
    let (stopping, mut connections) = (CancellationToken::new(), JoinSet::new());
    let keys = async {
        match &http.auth {
            Some(auth) => auth.clone().keep_fresh().await,
            None => std::future::pending().await,
        }
    };
    let within = http.read_within.duration();
    let limits = Limits { begins: within, takes: within };
    let acceptor = Acceptor::new(router(http.clone()), limits, http.max_connections, stopping.clone());
    let start = |connection| {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection);
    };
    tokio::select! {
        () = acceptor.take(&listener, start, |_reason| {}) => {}
        () = stop => {}
        () = keys => {}
    }
    drop((listener, acceptor));
    http.app.stop();
    stopping.cancel();
    let ended = async {
        while connections.join_next().await.is_some() {}
        // WHY: a write goes on without its client; it is no connection's any more, and has an entry to write.
        http.app.idle().await;
    };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("calls or connections are cut off that took longer than a stop may");
    }
    http.stop.cancel();
    if let Some(audit) = &http.app.layers.audit {
        audit.file.close();
    }
    Ok(())
}
