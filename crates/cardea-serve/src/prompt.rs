//! A socket whose other side must begin in time, and take in time what it is sent.
//!
//! Which version of HTTP a client speaks shows in its first bytes, and nothing limits how long those are waited for: a
//! crowd of silent clients would take all places. What comes after them has limits of its own. Nothing limits either how
//! long a client may leave unread what it has asked for.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::idle::Idle;

/// As long as the first words of HTTP/2, after which the version is known for sure.
const FIRST: usize = 24;

/// How much of a request that nobody reads is let come after the answer, and for how long.
const REST: (usize, Duration) = (4 << 20, Duration::from_secs(1));

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until it has begun, until the head of a request is whole, and until it goes on where nobody waits for the server.
    pub begins: Duration,
    /// Until it takes more of what it is sent.
    pub takes: Duration,
}

/// The socket.
pub(crate) struct Prompt {
    socket: TcpStream,
    /// Bytes that must still come before the time is up, and the time.
    waits: Option<(usize, Pin<Box<Sleep>>)>,
    /// How long nothing of what is written may be taken, and the end of that while nothing is.
    taken_within: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
    idle: Idle,
    /// Set where an answer ends the connection before its request was read.
    cut: Arc<AtomicBool>,
    /// Bytes that may still come after the answer, and until when.
    lingers: Option<(usize, Pin<Box<Sleep>>)>,
}

impl Prompt {
    pub(crate) fn new(socket: TcpStream, limits: Limits, idle: Idle, cut: Arc<AtomicBool>) -> Self {
        Self {
            socket,
            waits: Some((FIRST, Box::pin(sleep(limits.begins)))),
            taken_within: limits.takes,
            stuck: None,
            idle,
            cut,
            lingers: None,
        }
    }

    /// What came of a write, or an error if none has come through for too long.
    fn poll_taken(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.stuck.take().is_some() {
                self.idle.stirs(); // slowly
            }
            return written;
        }
        let within = self.taken_within;
        let time = self.stuck.get_or_insert_with(|| Box::pin(sleep(within)));
        time.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Drops what still comes, until the other side is done or has had its time.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (left, time) = self.lingers.get_or_insert_with(|| (REST.0, Box::pin(sleep(REST.1))));
        let mut bytes = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buf) {
                Poll::Pending => return time.as_mut().poll(cx).map(Ok),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if buf.filled().is_empty() || buf.filled().len() > *left => {
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) => *left -= buf.filled().len(),
            }
        }
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        let Some((left, time)) = &mut self.waits else { return read };
        *left = left.saturating_sub(buf.filled().len() - before);
        if *left == 0 {
            self.waits = None;
            return read;
        }
        match (&read, time.as_mut().poll(cx)) {
            (Poll::Pending, Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => read,
        }
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.poll_taken(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bytes);
        self.poll_taken(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            match Pin::new(&mut self.socket).poll_shutdown(cx) {
                // WHY: a socket that is closed over bytes that nobody has read tears down the connection, and the answer with
                // it, before the client has read it (RFC 9112 section 9.6).
                Poll::Ready(Ok(())) if self.cut.load(Ordering::Relaxed) => {}
                done => return done,
            }
        }
        self.poll_rest(cx)
    }
}
