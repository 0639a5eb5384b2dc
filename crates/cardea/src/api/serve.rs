//! The listener, and an orderly end.

use std::{any::Any, net::SocketAddr};

use axum::{body::Body, http::Response, response::IntoResponse as _};
use cardea_core::{Code, Error, Result, id::RequestId};
use cardea_serve::{Acceptor, Limits};
use cardea_store::jobs::Stage;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use super::{Problem, Shape, router};
use crate::app::App;

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
    let server = &app.config.server;
    let limits = Limits { begins: server.header_timeout.duration(), takes: server.send_timeout.duration() };
    let routes = router(app.clone()).layer(CatchPanicLayer::custom(panicked));
    let acceptor = Acceptor::new(routes, limits, server.max_connections, app.jobs.stopping());
    let start = |connection| {
        // One that comes too late is closed.
        let _stopping = app.jobs.spawn_in(Stage::Answers, "connection", |_last| connection);
    };
    acceptor.take(&bound.listener, start, |reason| app.observe.connection_refused(reason)).await;
    Ok(())
}

/// A panic in one request is one failed request.
fn panicked(_: Box<dyn Any + Send>) -> Response<Body> {
    let request = RequestId::random(); // what was its own is gone with it
    tracing::error!(request.id = %request, "a request panicked");
    Problem::new(Code::Internal.into(), request, Shape::Problem).into_response()
}
