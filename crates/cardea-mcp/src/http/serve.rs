//! Listening, limits of connections, and stopping without cutting anybody off.

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Http, idle::Idle, router};
use crate::StartError;

/// The pause after a connection that could not be taken.
const NO_SOCKET: Duration = Duration::from_millis(50);

/// The shortest time between two lines about connections that could not be taken.
const TELL_REFUSED: Duration = Duration::from_secs(10);

/// How often an idle client of HTTP/2 is asked whether it is still there.
const PING: Duration = Duration::from_secs(30);

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
    tokio::select! {
        () = taken(&http, listener, &stopping, &mut connections) => {}
        () = stop => {}
        () = keys => {}
    }
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

/// Takes connections, each into a task of its own.
async fn taken(
    http: &Arc<Http>,
    listener: TcpListener,
    stopping: &CancellationToken,
    connections: &mut JoinSet<()>,
) {
    let limit = http.read_within.duration();
    let places = Arc::new(Semaphore::new(http.max_connections));
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(limit);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(100).keep_alive_interval(PING);
    let stopping = stopping.clone();
    let acceptor = Arc::new(Acceptor { server, routes: router(http.clone()), limit, stopping });
    let mut refusals = Refusals::default();
    loop {
        while connections.try_join_next().is_some() {}
        let (socket, peer) = match listener.accept().await {
            Ok(taken) => taken,
            Err(error) => {
                refusals.tell(&error.to_string());
                // Out of descriptors, most likely: let some be given back, and do not spin until then.
                tokio::time::sleep(NO_SOCKET).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            drop(socket);
            refusals.tell("as many are open as the server takes");
            continue;
        };
        // WHY: answers are small; waiting to fill a packet costs 40 ms with some clients.
        let _ = socket.set_nodelay(true);
        let acceptor = Arc::clone(&acceptor);
        connections.spawn(async move {
            acceptor.carry(socket, peer).await;
            drop(place);
        });
    }
}

/// What every connection is served with.
struct Acceptor {
    server: auto::Builder<TokioExecutor>,
    routes: Router,
    /// How long nobody may wait for anything on a connection.
    limit: Duration,
    stopping: CancellationToken,
}

impl Acceptor {
    /// Sees a connection to its end: of itself, because the server stops, or because nobody waits for anything on it any more.
    async fn carry(&self, socket: TcpStream, peer: SocketAddr) {
        let idle = Idle::new();
        let service = self.routes.clone().map_request(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(Body::new)
        });
        let watched = idle.clone();
        let service = service.map_future(move |answer| {
            let (idle, waits) = (watched.clone(), watched.waits());
            async move {
                let answer =
                    answer.await.map(|response: Response<Body>| response.map(|body| idle.answer(body)));
                drop(waits);
                answer
            }
        });
        let socket = TokioIo::new(idle.socket(socket));
        let mut connection = pin!(self.server.serve_connection(socket, TowerToHyperService::new(service)));
        // A connection that broke is the client's business; what it has asked for goes on in its own task.
        tokio::select! {
            biased;
            _ended = connection.as_mut() => return,
            () = self.stopping.cancelled() => {}
            () = idle.lasts(self.limit) => {}
        }
        connection.as_mut().graceful_shutdown(); // what is on its way is answered, and taken if the client wants it
        tokio::select! {
            biased;
            _ended = connection => {}
            () = idle.lasts(self.limit * 2) => {}
        }
    }
}

/// Connections that could not be taken: the log tells of them now and then.
#[derive(Default)]
struct Refusals {
    told: Option<Instant>,
    since: u64,
}

impl Refusals {
    fn tell(&mut self, why: &str) {
        self.since += 1;
        if self.told.is_some_and(|told| told.elapsed() < TELL_REFUSED) {
            return;
        }
        tracing::warn!(connections.refused = self.since, "connections are refused: {why}");
        *self = Self { told: Some(Instant::now()), since: 0 };
    }
}
