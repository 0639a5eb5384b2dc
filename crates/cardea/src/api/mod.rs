//! Room `api`: the HTTP routes and wire formats of Cardea, OpenAI and MCP.
//!
//! A handler reads the request, calls one function of `flow`, and writes the answer. It decides nothing. Only the
//! caller's own conversations, turns, approvals and budget it reads directly, from the one room that returns no one
//! else's. Middleware handles transport only: size, time, request id, panics.

mod approvals;
mod budget;
mod cache;
mod chat;
mod conversations;
mod extract;
mod headers;
mod health;
mod host;
mod keys;
mod logs;
mod mcp;
mod models;
mod openai;
mod openapi;
mod origin;
mod people;
mod problem;
mod revocations;
mod serve;
mod tools;
mod trace;
mod turns;

use axum::{
    Router,
    routing::{delete, get, post},
};

use self::problem::{Problem, Shape};
pub use self::serve::{Bound, serve};
use crate::app::App;

/// Builds the router with all routes of this installation.
pub fn router(app: App) -> Router {
    let own = Router::new()
        .route("/agents", get(models::agents))
        .route("/conversations", get(conversations::list))
        .route("/conversations/{id}", get(conversations::get).delete(conversations::delete))
        .route("/conversations/{id}/messages", get(conversations::messages))
        .route("/turns", post(turns::ask))
        .route("/turns/{id}", get(turns::get))
        .route("/turns/{id}/events", get(turns::events))
        .route("/turns/{id}/cancel", post(turns::cancel))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}", get(approvals::get).post(approvals::decide))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", delete(keys::revoke))
        .route("/people/{id}", delete(people::erase))
        .route("/revocations", get(revocations::list).post(revocations::revoke))
        .route("/tools/changes", get(tools::changes))
        .route("/audit", get(logs::audit))
        .route("/audit/follow", get(logs::follow).post(logs::follow_long))
        .route("/decisions", get(logs::decisions))
        .route("/budget", get(budget::read))
        .route("/cache", get(cache::stats).delete(cache::clear))
        .route("/openapi.json", get(openapi::document));
    let limit = app.config.server.max_body.len();
    let metadata = app.metadata_path();
    let prefixed = Some(metadata.as_str()).filter(|_| !app.public_path().is_empty());
    let prefixed = prefixed.filter(|path| !path.contains(['{', '}']));
    let there = prefixed.map(|path| Router::new().route(path, get(health::protected_resource)));
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*model}", get(models::one))
        .nest("/api/v1", own)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/docs/errors/{code}", get(health::error_page))
        .route("/.well-known/oauth-protected-resource", get(health::protected_resource))
        .route("/.well-known/oauth-protected-resource/mcp", get(health::protected_resource))
        .merge(there.unwrap_or_default())
        .route("/.well-known/jwks.json", get(health::jwks))
        .fallback(health::unknown_route)
        .method_not_allowed_fallback(health::wrong_method)
        .layer(axum::extract::DefaultBodyLimit::max(limit))
        .with_state(app.clone())
        .merge(mcp::routes(app.clone()))
        .layer(origin::told_to_browsers(&app))
        .layer(axum::middleware::from_fn_with_state(app, trace::around))
}
