//! `/api/v1/conversations`: the caller's own conversations.

use axum::{Json, extract::State, http::StatusCode};
use cardea_core::{
    Code, Error,
    id::ConversationId,
    page::{Limit, Place},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Known, Outside, Path, Query},
};
use crate::{
    app::App,
    flow::{self, Part},
};

/// Which conversations to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Talks {
    after: Option<Place>,
    #[serde(default)]
    limit: Limit,
}

/// Which messages of a conversation to return.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Messages {
    #[serde(default)]
    after: i64,
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    originals: bool,
}

/// Parses an id in a path. Text that is not an id is answered like the id of another user's conversation.
pub(super) fn id(outside: &Outside, text: &str) -> Result<ConversationId, Problem> {
    text.parse().map_err(|_| outside.problem(Error::new(Code::NotFound)))
}

pub(super) async fn list(
    State(app): State<App>,
    known: Known,
    Query(asked): Query<Talks>,
) -> Result<Json<Value>, Problem> {
    let after = asked.after.unwrap_or(Place::END);
    let page = app.context.conversations(&known.asked.caller, &after, asked.limit).await;
    let page = page.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "conversations": page.entries, "next": page.next })))
}

pub(super) async fn get(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<Json<Value>, Problem> {
    let id = id(&known, &text)?;
    let talk =
        app.context.conversation(&known.asked.caller, id).await.map_err(|error| known.problem(error))?;
    Ok(Json(json!(*talk)))
}

pub(super) async fn messages(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
    Query(asked): Query<Messages>,
) -> Result<Json<Value>, Problem> {
    let id = id(&known, &text)?;
    let part = Part { after: asked.after, most: asked.limit.get(), originals: asked.originals };
    let said = flow::messages(&app, &known.asked, id, part).await;
    let messages = said.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "messages": messages })))
}

pub(super) async fn delete(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<StatusCode, Problem> {
    let id = id(&known, &text)?;
    let Known { asked, outside } = known;
    // WHY a task of its own: a client that disconnects must not stop the compensation half way.
    let deleted = flow::detached(&app, "delete", |app| async move { flow::delete(&app, &asked, id).await });
    deleted.await.map_err(|error| outside.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}
