//! Types of the OpenAI wire format: `/v1/chat/completions` and `/v1/models`.
//!
//! The objects follow OpenAI's public API reference: `chat.completion`, `chat.completion.chunk`, and `list` of `model`.
//! The error object is in `problem`.

mod messages;
mod request;
mod response;

use cardea_core::time::Timestamp;
use serde_json::{Value, json};

pub(crate) use request::{Completion, rest};
pub(crate) use response::{Answer, Envelope, Said};

/// Returns the body of `GET /v1/models`.
#[must_use]
pub(crate) fn models(names: &[String], now: Timestamp) -> Value {
    let models: Vec<Value> = names.iter().map(|name| model(name, now)).collect();
    json!({ "object": "list", "data": models })
}

/// Returns the body of `GET /v1/models/{model}`.
#[must_use]
pub(crate) fn model(name: &str, now: Timestamp) -> Value {
    json!({ "id": name, "object": "model", "created": now.secs(), "owned_by": "cardea" })
}
