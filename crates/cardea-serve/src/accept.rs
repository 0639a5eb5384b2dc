//! Accepts connections, and serves each until it ends.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{Request, Response, header};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    idle::Idle,
    prompt::{Limits, Prompt},
};

/// Pause after a connection that could not be accepted.
const NO_SOCKET: Duration = Duration::from_millis(50);

/// Shortest time between two log lines about refused connections.
const TELL_REFUSED: Duration = Duration::from_secs(10);

/// Interval of pings to idle clients of HTTP/2.
const PING: Duration = Duration::from_secs(30);

/// Accepts connections and serves routes on them.
#[derive(Debug)]
pub struct Acceptor {
    server: auto::Builder<TokioExecutor>,
    routes: Router,
    limits: Limits,
    /// Limit of connections at a time.
    most: usize,
    stop: CancellationToken,
}

impl Acceptor {
    /// Serves these routes on at most `most` connections at a time. After `stop` none is accepted, and open ones end once
    /// their pending requests are answered.
    #[must_use]
    pub fn new(routes: Router, limits: Limits, most: usize, stop: CancellationToken) -> Self {
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http1().timer(TokioTimer::new()).header_read_timeout(limits.begins);
        server.http2().timer(TokioTimer::new()).max_concurrent_streams(100).keep_alive_interval(PING);
        Self { server, routes, limits, most: most.min(Semaphore::MAX_PERMITS), stop }
    }

    /// Accepts connections until `stop`. `start` runs each of them, and `refused` counts those that could not be accepted, with
    /// the reason.
    pub async fn take(
        &self,
        listener: &TcpListener,
        mut start: impl FnMut(Pin<Box<dyn Future<Output = ()> + Send>>),
        refused: impl FnMut(&'static str),
    ) {
        let places = Arc::new(Semaphore::new(self.most));
        let mut refusals = Refusals { count: refused, told: None, since: 0 };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            let (socket, peer) = match accepted {
                Ok(taken) => taken,
                Err(error) => {
                    refusals.tell("error", &error.to_string());
                    // Out of descriptors, most likely: wait until some are released.
                    tokio::time::sleep(NO_SOCKET).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                drop(socket);
                refusals.tell("limit", "as many as `max_connections` are open");
                continue;
            };
            // WHY: without it Nagle's algorithm and delayed acknowledgements hold back the pieces of a stream by 40 ms.
            if socket.set_nodelay(true).is_err() {
                continue;
            }
            let idle = Idle::new();
            let connection = self.connection(socket, peer, &idle);
            let (limits, stop) = (self.limits, self.stop.clone());
            start(Box::pin(async move {
                carry(connection, limits, idle, stop).await;
                drop(place);
            }));
        }
    }

    fn connection(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        idle: &Idle,
    ) -> impl GracefulConnection + Send + use<> {
        let cut = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&cut);
        let service = self.routes.clone().map_request(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(Body::new)
        });
        let service = service.map_response(move |response: Response<Body>| {
            if response.headers().contains_key(header::CONNECTION) {
                noted.store(true, Ordering::Relaxed);
            }
            response
        });
        let watched = idle.clone();
        let service = service.map_future(move |answer| {
            let (idle, waits) = (watched.clone(), watched.waits());
            async move {
                let answer = answer.await.map(|response| response.map(|body| idle.answer(body)));
                drop(waits);
                answer
            }
        });
        let socket = Prompt::new(socket, self.limits, idle.clone(), cut);
        self.server.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service)).into_owned()
    }
}

/// Runs a connection until it ends: by itself, because the server stops, or because it is idle.
async fn carry(connection: impl GracefulConnection, limits: Limits, idle: Idle, stop: CancellationToken) {
    let mut connection = pin!(connection);
    // The error of a broken connection concerns only the client; its work continues in its own task.
    tokio::select! {
        biased;
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = idle.lasts(limits.begins) => {}
    }
    connection.as_mut().graceful_shutdown(); // pending requests are answered, if the client reads the answers
    tokio::select! {
        biased;
        _ended = connection => {}
        () = idle.lasts(limits.begins + limits.takes) => {}
    }
}

/// Refused connections: each is counted, and the log reports them from time to time.
struct Refusals<C> {
    count: C,
    told: Option<Instant>,
    since: u64,
}

impl<C: FnMut(&'static str)> Refusals<C> {
    fn tell(&mut self, reason: &'static str, why: &str) {
        (self.count)(reason);
        self.since += 1;
        if self.told.is_some_and(|told| told.elapsed() < TELL_REFUSED) {
            return;
        }
        tracing::warn!(connections.refused = self.since, reason, "connections are refused: {why}");
        (self.told, self.since) = (Some(Instant::now()), 0);
    }
}
