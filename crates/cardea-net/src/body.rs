//! Answers, whole or in pieces, never more than was allowed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cardea_core::size;
use futures::Stream;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::{error::NetError, hosts::Visit};

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    pub(crate) host: String,
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
        Err(NetError::Status { host: self.host, status: self.status.as_u16() })
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
    pub(crate) inner: reqwest::Response,
    pub(crate) host: String,
    pub(crate) idle: Duration,
    pub(crate) limit: usize,
    pub(crate) seen: usize,
    pub(crate) _visit: Visit,
}

impl Streaming {
    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    /// [`NetError::MaybeSent`] if the far side is silent for too long or breaks off, [`NetError::TooLarge`] if the
    /// sum of all pieces exceeds the limit.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let host = || self.host.clone();
        let piece = match tokio::time::timeout(self.idle, self.inner.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(cause)) => {
                let timeout = cause.is_timeout();
                return Err(NetError::MaybeSent { host: host(), timeout, cause: Some(cause) });
            }
            Err(_) => return Err(NetError::MaybeSent { host: host(), timeout: true, cause: None }),
        };
        let Some(piece) = piece else { return Ok(None) };
        self.seen = self.seen.saturating_add(piece.len());
        if self.seen > self.limit { Err(self.too_large()) } else { Ok(Some(piece)) }
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

    pub(crate) async fn whole(mut self) -> Result<Response, NetError> {
        let announced = self.inner.content_length().and_then(|length| usize::try_from(length).ok());
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
        NetError::TooLarge { host: self.host.clone(), limit }
    }
}

impl std::fmt::Debug for Streaming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streaming")
            .field("status", &self.status)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
