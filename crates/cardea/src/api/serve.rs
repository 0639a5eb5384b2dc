//! The listener: sockets, transport limits, and an orderly end.

use std::{
    any::Any,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response, header},
    response::IntoResponse as _,
};
use cardea_core::{Code, Error, Result, id::RequestId};
use cardea_store::jobs::Stage;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    Problem, Shape,
    idle::Idle,
    prompt::{Limits, Prompt},
    router,
};
use crate::app::App;

/// The pause after a connection that could not be taken.
const NO_SOCKET: Duration = Duration::from_millis(50);

/// The shortest time between two lines about connections that could not be taken.
const TELL_REFUSED: Duration = Duration::from_secs(10);

/// A bound socket, not yet serving.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Bound {
    /// Binds the address; port 0 picks a free one.
    ///
    /// # Errors
    /// `misconfigured` if the address cannot be bound.
    pub async fn new(address: SocketAddr) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            Error::new(Code::Misconfigured)
                .detail(format!("`server.bind`: `{address}` cannot be listened on: {error}."))
        };
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address })
    }
}

/// Takes connections until the app's jobs are told to stop. Those that are open are jobs themselves, which [`App::stop`]
/// lets end.
///
/// # Errors
/// None today; the signature leaves room for a listener that dies.
pub async fn serve(app: App, bound: Bound) -> Result<()> {
    let stop = app.jobs.stopping();
    let most = app.config.server.max_connections;
    let places = Arc::new(tokio::sync::Semaphore::new(most));
    let routes = router(app.clone()).layer(CatchPanicLayer::custom(panicked));
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(app.config.server.header_timeout.duration());
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .keep_alive_interval(Duration::from_secs(30));
    let limits = Limits {
        begins: app.config.server.header_timeout.duration(),
        takes: app.config.server.send_timeout.duration(),
    };
    let mut refusals = Refusals::default();
    loop {
        let accepted = tokio::select! {
            accepted = bound.listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (socket, peer) = match accepted {
            Ok(taken) => taken,
            Err(error) => {
                refusals.tell(&app, "error", &error.to_string());
                // Out of descriptors, most likely: let some be given back, and do not spin until then.
                tokio::time::sleep(NO_SOCKET).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            drop(socket);
            refusals.tell(&app, "limit", "as many as `server.max_connections` are open");
            continue;
        };
        // WHY: without it Nagle's algorithm and delayed acknowledgements hold back the pieces of a stream by 40 ms.
        if socket.set_nodelay(true).is_err() {
            continue;
        }
        let idle = Idle::new();
        let connection = connection(&server, (socket, peer), &routes, (limits, &idle));
        let carried = Box::pin(carry(connection, (limits, idle), stop.clone()));
        // One that comes too late is closed.
        let _stopping = app.jobs.spawn_in(Stage::Answers, "connection", |_last| async move {
            carried.await;
            drop(place);
        });
    }
    Ok(())
}

/// Sees a connection to its end: of itself, because this node stops, or because nobody waits for anything on it any more.
async fn carry(connection: impl GracefulConnection, (limits, idle): (Limits, Idle), stop: CancellationToken) {
    let mut connection = pin!(connection);
    // A connection that broke is the client's business; its work goes on in its own task.
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = idle.lasts(limits.begins) => {}
    }
    connection.as_mut().graceful_shutdown(); // what is on its way is answered, and taken if the client wants it
    tokio::select! {
        _ended = connection => {}
        () = idle.lasts(limits.begins + limits.takes) => {}
    }
}

/// Connections that could not be taken: each is counted, and the log tells of them now and then.
#[derive(Default)]
struct Refusals {
    told: Option<Instant>,
    since: u64,
}

impl Refusals {
    fn tell(&mut self, app: &App, reason: &'static str, why: &str) {
        app.observe.connection_refused(reason);
        self.since += 1;
        if self.told.is_some_and(|told| told.elapsed() < TELL_REFUSED) {
            return;
        }
        tracing::warn!(connections.refused = self.since, reason, "connections are refused: {why}");
        *self = Self { told: Some(Instant::now()), since: 0 };
    }
}

fn connection(
    server: &auto::Builder<TokioExecutor>,
    (socket, peer): (TcpStream, SocketAddr),
    routes: &Router,
    (limits, idle): (Limits, &Idle),
) -> impl GracefulConnection + Send + use<> {
    let cut = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&cut);
    let service = routes.clone().map_request(move |mut request: Request<hyper::body::Incoming>| {
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
    server
        .serve_connection_with_upgrades(
            TokioIo::new(Prompt::new(socket, limits, idle.clone(), cut)),
            TowerToHyperService::new(service),
        )
        .into_owned()
}

/// A panic in one request is one failed request.
fn panicked(_: Box<dyn Any + Send>) -> Response<Body> {
    tracing::error!("a request panicked");
    Problem::new(Code::Internal.into(), RequestId::random(), Shape::Problem).into_response()
}
