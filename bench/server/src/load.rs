//! Clients that ask over kept connections.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::Result;

/// One kept connection.
#[derive(Debug)]
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    bearer: String,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr, token: &str) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        // A connection that broke shows in the next request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host: address.to_string(), bearer: format!("Bearer {token}") })
    }

    /// Reads a path.
    pub(crate) async fn get(&mut self, path: &str) -> Result<(u16, Bytes)> {
        let request = Request::get(path).header(header::HOST, &self.host).body(Full::default())?;
        self.send(request).await
    }

    /// Posts JSON.
    pub(crate) async fn post(&mut self, path: &str, body: String) -> Result<(u16, Bytes)> {
        self.post_with(path, body, &[]).await
    }

    /// Posts JSON with more headers.
    pub(crate) async fn post_with(
        &mut self,
        path: &str,
        body: String,
        more: &[(&str, &str)],
    ) -> Result<(u16, Bytes)> {
        let mut request = Request::post(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, &self.bearer)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::from(body))?).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes)> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// Posts JSON and gives the time of each piece of the answer.
    pub(crate) async fn pieces(&mut self, path: &str, body: String) -> Result<Vec<Instant>> {
        let request = Request::post(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, &self.bearer)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        self.sender.ready().await?;
        let mut answer = self.sender.send_request(request).await?.into_body();
        let mut times = Vec::new();
        while let Some(frame) = answer.frame().await {
            if frame?.is_data() {
                times.push(Instant::now());
            }
        }
        Ok(times)
    }
}

/// What clients saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How long each answer took, sorted.
    pub(crate) waits: Vec<Duration>,
}

impl Seen {
    /// The wait that this share of all did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list of thousands"
        )]
        let place = (self.waits.len() as f64 * share) as usize;
        self.waits.get(place.min(self.waits.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// A request that is sent many times; the number tells them apart.
pub(crate) type Ask = Arc<dyn Fn(usize) -> (String, String) + Send + Sync>;

/// Sends `count` requests over `connections` connections, as fast as they are answered; the connection of a request is its
/// number modulo `connections`. All must be answered with 200,
/// and each answer must contain `word`.
pub(crate) async fn run(
    to: (SocketAddr, &str),
    connections: usize,
    count: usize,
    word: &'static str,
    ask: Ask,
) -> Result<Seen> {
    let mut tasks = JoinSet::new();
    for first in 0..connections {
        let mut client = Client::connect(to.0, to.1).await?;
        let ask = Arc::clone(&ask);
        tasks.spawn(async move {
            let mut waits = Vec::new();
            for number in (first..count).step_by(connections) {
                let (path, body) = ask(number);
                let started = Instant::now();
                let accept = [("accept", "application/json, text/event-stream")];
                let (status, answer) = client.post_with(&path, body, &accept).await?;
                waits.push(started.elapsed());
                let text = String::from_utf8_lossy(&answer);
                if status != 200 || !text.contains(word) {
                    return Err(format!("{path} answered {status}: {text}").into());
                }
            }
            Result::Ok(waits)
        });
    }
    let mut waits = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        waits.extend(done??);
    }
    waits.sort_unstable();
    Ok(Seen { waits })
}
