//! The OpenAI wire format for `/v1/chat/completions` and `/v1/models`, as values.
//!
//! Shapes follow the public API reference: `chat.completion`, `chat.completion.chunk`, `list` of `model`, and the
//! `{"error": {message, type, code, param}}` envelope.

mod asked;
mod messages;
mod told;

use cardea_core::{Error, time::Timestamp};
use serde_json::{Value, json};

pub(crate) use asked::{Completion, rest};
pub(crate) use told::{Envelope, Said};

/// The error envelope of OpenAI's API.
#[must_use]
pub(crate) fn error(error: &Error, request: &str) -> Value {
    let kind = match error.code().status() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    let mut object = json!({
        "message": error.public(), "type": kind, "code": error.code().name(), "param": error.about(), "request_id": request,
    });
    super::problem::name_turn(&mut object, error);
    json!({ "error": object })
}

/// `GET /v1/models`.
#[must_use]
pub(crate) fn models(names: &[String], now: Timestamp) -> Value {
    let models: Vec<Value> = names.iter().map(|name| model(name, now)).collect();
    json!({ "object": "list", "data": models })
}

/// `GET /v1/models/{model}`.
#[must_use]
pub(crate) fn model(name: &str, now: Timestamp) -> Value {
    json!({ "id": name, "object": "model", "created": now.secs(), "owned_by": "cardea" })
}
