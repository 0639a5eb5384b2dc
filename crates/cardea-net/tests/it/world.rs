//! Far sides of every kind, on loopback.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use cardea_core::time::{ManualClock, Timestamp};
use cardea_net::{AllowList, Egress, Net, NetConfig, Request};
use futures::{StreamExt, stream};

/// A server that counts what reaches it and misbehaves as the path says.
pub(crate) struct Far {
    pub(crate) target: String,
    shown: Arc<Shown>,
}

#[derive(Default)]
struct Shown {
    reached: AtomicUsize,
    status: AtomicUsize,
}

impl Far {
    #[expect(clippy::disallowed_methods, reason = "a server of this test, which ends with it")]
    pub(crate) async fn start() -> Self {
        let shown = Arc::new(Shown { status: AtomicUsize::new(200), ..Shown::default() });
        let app = Router::new()
            .route("/do/{what}", get(answer).post(answer))
            .route("/to/{*target}", get(redirect).post(redirect))
            .with_state(Arc::clone(&shown));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { target, shown }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.target)
    }

    pub(crate) fn port(&self) -> &str {
        self.target.rsplit_once(':').unwrap().1
    }

    pub(crate) fn reached(&self) -> usize {
        self.shown.reached.load(Ordering::SeqCst)
    }

    pub(crate) fn answers(&self, status: u16) {
        self.shown.status.store(usize::from(status), Ordering::SeqCst);
    }
}

async fn answer(State(shown): State<Arc<Shown>>, Path(what): Path<String>) -> Response {
    shown.reached.fetch_add(1, Ordering::SeqCst);
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096])));
    match what.as_str() {
        "silent" => std::future::pending().await,
        "mute" => Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()).into_response(),
        "endless" => Body::from_stream(endless).into_response(),
        "stuck" => Body::from_stream(endless.take(1).chain(stream::pending())).into_response(),
        "large" => vec![b'x'; 100_000].into_response(),
        "broken" => {
            let cut = stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
            Body::from_stream(endless.take(1).chain(cut)).into_response()
        }
        _ => {
            let status = u16::try_from(shown.status.load(Ordering::SeqCst)).unwrap();
            (StatusCode::from_u16(status).unwrap(), r#"{"good":true}"#).into_response()
        }
    }
}

async fn redirect(State(shown): State<Arc<Shown>>, Path(target): Path<String>) -> Response {
    shown.reached.fetch_add(1, Ordering::SeqCst);
    (StatusCode::FOUND, [(header::LOCATION, target)]).into_response()
}

/// Settings with short limits, and the targets that may be reached.
pub(crate) fn config(allow: &[&str]) -> NetConfig {
    let mut list = AllowList::default();
    for target in allow {
        list.add(target).unwrap();
    }
    NetConfig { allow: list, ..NetConfig::default() }
}

pub(crate) fn net(config: NetConfig) -> (Net, Arc<ManualClock>) {
    let clock = ManualClock::at(Timestamp(1_800_000_000_000));
    (Net::new(config, clock.clone()).unwrap(), clock)
}

pub(crate) fn get_any(url: &str) -> Request {
    Request::get(url, Egress::any()).unwrap().timeout(Duration::from_secs(5))
}
