//! Lists of tools, kept as the bytes that were sent.
//!
//! A list depends on the request, apart from its id, and on what the caller may call. Both are asked for each time, once;
//! only the writing is saved. The first request of a kind goes through rmcp, which checks it; a later one that is the
//! same byte for byte, from a caller with the same rights, gets the same result under its own id.

use std::sync::Arc;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::peek::Peek;
use crate::app::Rights;

/// Bytes of lists that are kept.
const ROOM: u64 = 8 * 1024 * 1024;
/// A longer request for a list is not one of a kind that comes again.
const LONGEST: usize = 4 * 1024;
const LONGEST_ID: usize = 64;

pub(super) struct Lists(Cache<[u8; 32], Arc<str>>);

/// Where the list that a request asks for is kept, and the id of the answer.
pub(super) struct Place {
    key: [u8; 32],
    id: String,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    result: &'a RawValue,
}

impl Default for Lists {
    fn default() -> Self {
        let weigh = |_: &[u8; 32], list: &Arc<str>| u32::try_from(list.len() + 64).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(ROOM).weigher(weigh).build())
    }
}

impl Lists {
    /// `None` if the request is not of a kind that is kept.
    pub(super) fn place(
        headers: &HeaderMap,
        body: &Bytes,
        peek: &Peek<'_>,
        rights: &Rights,
    ) -> Option<Place> {
        let id = peek.id?.get();
        let digits =
            id.len() <= 15 && id.bytes().all(|b| b.is_ascii_digit()) && (id == "0" || !id.starts_with('0'));
        let text = id.starts_with('"') && id.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\\');
        if body.len() > LONGEST || id.len() > LONGEST_ID || !(digits || text) {
            return None;
        }
        let at = id.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
        let (before, after) = (body.get(..at)?, body.get(at + id.len()..)?);
        let mut digest = Digest::new(&SHA256);
        let mut put = |part: &[u8]| {
            digest.update(&part.len().to_be_bytes());
            digest.update(part);
        };
        put(before);
        put(after);
        for word in &*rights.0 {
            put(&word.to_be_bytes());
        }
        for (name, value) in headers {
            // All that rmcp reads of a request's head.
            if *name == header::ACCEPT || *name == header::CONTENT_TYPE || name.as_str().starts_with("mcp-") {
                put(name.as_str().as_bytes());
                put(value.as_bytes());
            }
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest.finish().as_ref());
        Some(Place { key, id: id.to_owned() })
    }

    pub(super) fn get(&self, place: &Place) -> Option<Response<Body>> {
        let list = self.0.get(&place.key)?;
        let mut body = String::with_capacity(list.len() + place.id.len() + 40);
        for part in [r#"{"jsonrpc":"2.0","id":"#, &place.id, r#","result":"#, &list, "}"] {
            body.push_str(part);
        }
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(response)
    }

    /// Keeps what rmcp answered, if it is a result, and passes it on.
    pub(super) async fn keep<B>(&self, place: Place, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let (head, body) = response.into_parts();
        let json = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        if head.status != StatusCode::OK || !json {
            return Response::from_parts(head, Body::new(body));
        }
        let Ok(whole) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return Response::from_parts(head, Body::empty());
        };
        if let Ok(answer) = serde_json::from_slice::<Answer<'_>>(&whole)
            && answer.id.get() == place.id
        {
            self.0.insert(place.key, Arc::from(answer.result.get()));
        }
        Response::from_parts(head, Body::from(whole))
    }
}
