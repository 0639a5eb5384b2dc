//! The OpenAPI description of Cardea's own routes, for generated clients.

use axum::{http::header, response::IntoResponse};

/// OpenAPI 3.1, written by hand. A test compares it with the running routes.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
