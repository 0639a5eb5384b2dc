//! Answers, whole or in pieces, within their size limit.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use cardea_core::size;
use futures::{FutureExt as _, Stream};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body as _, Incoming},
    rt::Executor as _,
};
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use crate::{breaker::Health, error::NetError, hosts::Visit};

/// How long to wait for the end of an exchange after the end of the answer in it.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    pub(crate) host: Arc<str>,
}

impl Response {
    /// Returns the answer, if its status is one of success.
    ///
    /// # Errors
    /// [`NetError::Status`] otherwise.
    pub fn success(self) -> Result<Self, NetError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(NetError::Status { host: self.host.to_string(), status: self.status.as_u16() })
    }

    /// Parses the body as JSON.
    ///
    /// # Errors
    /// Those of the parser.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// An answer whose body is still arriving. Dropping it aborts the request.
pub struct Streaming {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    pub(crate) body: Incoming,
    pub(crate) host: Arc<str>,
    pub(crate) idle: Duration,
    pub(crate) limit: usize,
    pub(crate) seen: usize,
    pub(crate) visit: Visit,
}

impl Streaming {
    /// Returns the next piece, or `None` at the end.
    ///
    /// # Errors
    /// [`NetError::MaybeSent`] if the far side is silent for too long or breaks off, [`NetError::TooLarge`] if the sum
    /// of all pieces exceeds the limit.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let lost = |timeout, cause| NetError::MaybeSent { host: self.host.to_string(), timeout, cause };
        let piece = tokio::time::timeout(self.idle, next(&mut self.body)).await;
        self.visit.tell(if matches!(piece, Ok(Ok(_))) { Health::Good } else { Health::Bad });
        let piece = match piece {
            Ok(Ok(piece)) => piece,
            Ok(Err(cause)) => return Err(lost(cause.is_timeout(), Some(cause.into()))),
            Err(_) => return Err(lost(true, None)),
        };
        let Some(piece) = piece else { return Ok(None) };
        self.seen = self.seen.saturating_add(piece.len());
        if self.seen > self.limit { Err(self.too_large()) } else { Ok(Some(piece)) }
    }

    /// Records that the caller stopped waiting for the next piece. It counts against the host if no piece has come.
    pub fn was_silent(&mut self) {
        self.visit.tell(Health::Bad);
    }

    /// Returns the pieces as a stream, which ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, NetError>> + Send {
        futures::stream::unfold(Some(self), |streaming| async move {
            let mut streaming = streaming?;
            match streaming.chunk().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(streaming))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Ends the reading of an answer whose own end has been read. The end of the exchange may still be on its way: it
    /// is awaited in the background, so that the connection can be reused. If the answer continues all the same, the
    /// connection is closed.
    pub fn leave(mut self) {
        let ended = async move {
            while let Ok(Some(piece)) = next(&mut self.body).await {
                self.seen = self.seen.saturating_add(piece.len());
                if self.seen > self.limit {
                    break;
                }
            }
        };
        let mut ended = Box::pin(tokio::time::timeout(LAST_BYTES, ended));
        if (&mut ended).now_or_never().is_none() {
            TokioExecutor::new().execute(ended);
        }
    }

    pub(crate) async fn whole(mut self) -> Result<Response, NetError> {
        let announced = self.body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|length| length > self.limit) {
            return Err(self.too_large());
        }
        let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(64 * 1024));
        while let Some(piece) = self.chunk().await? {
            body.extend_from_slice(&piece);
        }
        Ok(Response { status: self.status, headers: self.headers, body: body.freeze(), host: self.host })
    }

    fn too_large(&self) -> NetError {
        let limit = size::Bytes(u64::try_from(self.limit).unwrap_or(u64::MAX));
        NetError::TooLarge { host: self.host.to_string(), limit }
    }
}

/// Returns the next piece of a body; trailers are skipped.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

impl std::fmt::Debug for Streaming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streaming")
            .field("status", &self.status)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
