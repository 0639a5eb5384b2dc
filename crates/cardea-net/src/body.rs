//! Answers, whole or in pieces, never more than was allowed.

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

/// How long the end of an exchange is waited for, once the answer in it has ended.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// A whole answer.
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
    /// The answer, if its status is one of success.
    ///
    /// # Errors
    /// [`NetError::Status`] otherwise.
    pub fn success(self) -> Result<Self, NetError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(NetError::Status { host: self.host.to_string(), status: self.status.as_u16() })
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Those of the parser.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// An answer whose body is still coming. Dropping it closes the request.
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
    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    /// [`NetError::MaybeSent`] if the far side is silent for too long or breaks off, [`NetError::TooLarge`] if the
    /// sum of all pieces exceeds the limit.
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

    /// Whoever waits for the next piece waits no longer. It counts against the host if there was none yet.
    pub fn was_silent(&mut self) {
        self.visit.tell(Health::Bad);
    }

    /// The pieces as a stream. It ends after the first error.
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

    /// Nothing more of the answer is wanted, since its own end has been read. What closes the exchange may still be on
    /// its way: it is waited for aside, so that the connection can be used again. An answer that goes on all the
    /// same costs the connection.
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

/// The next piece of a body; trailers are passed over.
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
