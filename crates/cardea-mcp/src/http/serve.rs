//! Listening, and stopping without cutting anybody off.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
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
    let io = |source| StartError::Io { what: "serve".to_owned(), source };
    let stopping = CancellationToken::new();
    let listener = listener.tap_io(|stream| {
        // WHY: answers are small; waiting to fill a packet costs 40 ms with some clients.
        let _ = stream.set_nodelay(true);
    });
    let service = router(http.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let stopped = stopping.clone();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(async move { stopped.cancelled().await });
    let ended = async {
        stop.await;
        http.app.stop();
        stopping.cancel();
        tokio::time::sleep(drain).await;
    };
    let keys = async {
        match &http.auth {
            Some(auth) => auth.clone().keep_fresh().await,
            None => std::future::pending().await,
        }
    };
    let whole = async {
        let served = server.into_future().await;
        // WHY: a write goes on without its client; it is no connection's any more, and has an entry to write.
        http.app.idle().await;
        served
    };
    let served = tokio::select! {
        served = whole => served.map_err(io),
        () = ended => Ok(()),
        () = keys => Ok(()),
    };
    http.stop.cancel();
    if let Some(audit) = &http.app.layers.audit {
        audit.file.close();
    }
    served
}
