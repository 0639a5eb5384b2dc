//! The rest of a request that is answered before it was read.
//!
//! A connection of HTTP/1.1 lives on only if the body before the answer was taken off it. One that is small or on its way
//! already is read and dropped; before any other the answer says that the connection ends, so that nobody sends the next
//! request into it (RFC 9112, sections 9.3 and 9.6).

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    response::Response,
};
use bytes::Bytes;
use http::{HeaderValue, Version, header};

/// What is read and dropped at most: bytes, and time.
const MOST: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// The body of a request, of which something may be left when its reader is gone.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is left, if it is little. True if nothing is left.
    async fn is_taken(&self) -> bool {
        let (ended, least) = {
            let body = self.body();
            (body.is_end_stream(), body.size_hint().lower())
        };
        if ended || least > MOST {
            return ended;
        }
        let mut left = MOST;
        let rest = async {
            loop {
                let next = poll_fn(|cx| Pin::new(&mut *self.body()).poll_frame(cx)).await;
                let Some(frame) = next else { return true };
                let length = frame.ok().map(|frame| frame.data_ref().map_or(0, |data| data.len() as u64));
                match length.and_then(|length| left.checked_sub(length)) {
                    Some(less) => left = less,
                    None => return false,
                }
            }
        };
        tokio::time::timeout(PATIENCE, rest).await.unwrap_or(false)
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body().size_hint()
    }
}

/// Sees to it that the connection goes on after an answer, or that the answer says that it does not. For all routes, around
/// everything else.
pub async fn rest_of_body<F>(request: Request, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
        return answer(request).await;
    }
    // WHY: whoever waits for leave to send has sent nothing, and reading would be that leave.
    let asks = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let shared = Shared(Arc::new(Mutex::new(body)));
    let mut response = answer(Request::from_parts(parts, Body::new(shared.clone()))).await;
    let is_read_on = Arc::strong_count(&shared.0) > 1;
    let lives = match (is_read_on, asks) {
        (true, _) => true,
        (_, true) => shared.body().is_end_stream(),
        _ => shared.is_taken().await,
    };
    if !lives {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
