//! The description of our own routes, for clients that are made from it.

use axum::{http::header, response::IntoResponse};

/// OpenAPI 3.1, written by hand and held against the running routes by a test.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
