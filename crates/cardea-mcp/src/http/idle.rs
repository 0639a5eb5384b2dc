//! For how long nobody has waited for the server on a connection.
//!
//! HTTP/1.1 has a limit of its own for the head of a request. Nothing limits how long the first bytes are waited for, which
//! tell the version; a connection of HTTP/2 lasts for as long as its client answers pings, and an answer for as long as its
//! client takes nothing of it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

/// What goes on at one connection.
#[derive(Clone)]
pub(super) struct Idle(Arc<Mutex<State>>);

struct State {
    /// Requests and answers that wait for the server.
    waiting: usize,
    /// When something went on last.
    since: Instant,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { waiting: 0, since: Instant::now() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stirs(&self) {
        self.state().since = Instant::now();
    }

    /// The client waits for the server, until this is dropped.
    pub(super) fn waits(&self) -> Waits {
        self.state().waiting += 1;
        Waits(self.clone())
    }

    /// An answer, for which the client waits while it is asked for more and has none.
    pub(super) fn answer(&self, body: Body) -> Body {
        Body::new(Answer { body, idle: self.clone(), waits: None })
    }

    /// The socket: whoever takes slowly what it is sent does take it.
    pub(super) fn socket(&self, socket: TcpStream) -> Socket {
        Socket { socket, idle: self.clone(), is_stuck: false }
    }

    /// Ends once nobody has waited for so long.
    pub(super) async fn lasts(&self, limit: Duration) {
        loop {
            let since = {
                let state = self.state();
                if state.waiting > 0 { Instant::now() } else { state.since }
            };
            let end = since + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// A client that waits.
pub(super) struct Waits(Idle);

impl Drop for Waits {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting = state.waiting.saturating_sub(1);
        state.since = Instant::now();
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    idle: Idle,
    waits: Option<Waits>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let answer = self.get_mut();
        let frame = Pin::new(&mut answer.body).poll_frame(cx);
        if frame.is_ready() {
            answer.waits = None;
            answer.idle.stirs();
        } else if answer.waits.is_none() {
            answer.waits = Some(answer.idle.waits());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The socket of a connection.
pub(super) struct Socket {
    socket: TcpStream,
    idle: Idle,
    /// The client has not taken all that is there for it.
    is_stuck: bool,
}

impl Socket {
    fn noted(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        // WHY: only what comes through after a wait. The pings that HTTP/2 has for an idle connection are no use of it.
        if self.is_stuck && written.is_ready() {
            self.idle.stirs();
        }
        self.is_stuck = written.is_pending();
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bytes);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
