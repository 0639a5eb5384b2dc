//! For how long nobody has waited for this server on a connection.
//!
//! HTTP/1.1 has a limit of its own between two requests. A connection of HTTP/2 would last for as long as its client answers
//! pings, and each of its streams for as long as the client takes none of the answer.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// What goes on at one connection.
#[derive(Debug, Clone)]
pub(crate) struct Idle(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Requests and answers that wait for the server; what the client could take and has not is none of them.
    ours: usize,
    /// When something went on last.
    since: Instant,
}

impl Idle {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { ours: 0, since: Instant::now() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something went on.
    pub(crate) fn stirs(&self) {
        self.state().since = Instant::now();
    }

    /// The client waits for the server, until this is dropped.
    pub(crate) fn waits(&self) -> Waits {
        self.state().ours += 1;
        Waits(self.clone())
    }

    /// An answer that waits for the server whenever it is asked for more and has none.
    pub(crate) fn answer(&self, body: Body) -> Body {
        Body::new(Answer { body, idle: self.clone(), waits: None })
    }

    /// Ends once nobody has waited for so long.
    pub(crate) async fn lasts(&self, limit: Duration) {
        loop {
            let since = {
                let state = self.state();
                if state.ours > 0 { Instant::now() } else { state.since }
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
#[derive(Debug)]
pub(crate) struct Waits(Idle);

impl Drop for Waits {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ours = state.ours.saturating_sub(1);
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
        match &frame {
            Poll::Pending if answer.waits.is_none() => answer.waits = Some(answer.idle.waits()),
            Poll::Pending => {}
            Poll::Ready(_) => {
                answer.waits = None;
                answer.idle.stirs();
            }
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// True if nobody has waited for the limit.
    fn is_over(idle: &Idle) -> bool {
        idle.lasts(LIMIT).now_or_never().is_some()
    }

    fn later(idle: &Idle) {
        let mut state = idle.state();
        state.since -= LIMIT;
    }

    #[tokio::test]
    async fn it_is_idle_when_nobody_waits_for_the_server_and_nothing_goes_on() {
        let idle = Idle::new();
        assert!(!is_over(&idle));
        later(&idle);
        assert!(is_over(&idle));
        let (one, other) = (idle.waits(), idle.waits());
        drop(one);
        later(&idle);
        assert!(!is_over(&idle), "the other one waits");
        drop(other);
        assert!(!is_over(&idle), "and has gone just now");
        later(&idle);
        assert!(is_over(&idle));
        idle.stirs();
        assert!(!is_over(&idle));
    }

    #[tokio::test]
    async fn an_answer_waits_for_the_server_while_it_has_nothing_to_give() {
        let (give, pieces) = futures::channel::mpsc::unbounded::<Result<Bytes, axum::Error>>();
        let idle = Idle::new();
        let mut answer = idle.answer(Body::from_stream(pieces));
        later(&idle);
        assert!(is_over(&idle), "nobody has asked for any of it");
        let mut next = || {
            let next = std::future::poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).now_or_never();
            next.map(|frame| frame.is_some())
        };
        assert_eq!(next(), None);
        later(&idle);
        assert!(!is_over(&idle), "it is the server that has nothing");
        give.unbounded_send(Ok(Bytes::from_static(b"word"))).unwrap();
        assert_eq!(next(), Some(true));
        later(&idle);
        assert!(is_over(&idle), "it is the client that takes nothing");
        drop(give);
        assert_eq!(next(), Some(false));
        assert!(!is_over(&idle));
    }
}
