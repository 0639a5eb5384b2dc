//! A socket whose other side must begin in time.
//!
//! Which version of HTTP a client speaks shows in its first bytes, and nothing limits how long those are waited for: a
//! crowd of silent clients would take all places. What comes after them has limits of its own.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// As long as the first words of HTTP/2, after which the version is known for sure.
const FIRST: usize = 24;

/// The socket.
pub(super) struct Prompt {
    socket: TcpStream,
    /// Bytes that must still come before the time is up, and the time.
    waits: Option<(usize, Pin<Box<Sleep>>)>,
}

impl Prompt {
    pub(super) fn new(socket: TcpStream, patience: Duration) -> Self {
        Self { socket, waits: Some((FIRST, Box::pin(sleep(patience)))) }
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
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
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
