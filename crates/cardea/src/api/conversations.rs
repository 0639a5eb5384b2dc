//! `/api/v1/conversations`: the caller's own.

use axum::{Json, extract::State, http::StatusCode};
use cardea_core::{Code, Error, id::ConversationId};
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

/// Which part of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    after: i64,
    limit: Option<u32>,
    #[serde(default)]
    originals: bool,
}

impl Page {
    fn most(&self) -> u32 {
        self.limit.unwrap_or(100).clamp(1, 1_000)
    }
}

/// An id in a path. What is no id is answered like an id of somebody else's.
pub(super) fn id(outside: &Outside, text: &str) -> Result<ConversationId, Problem> {
    text.parse().map_err(|_| outside.problem(Error::new(Code::NotFound)))
}

pub(super) async fn list(
    State(app): State<App>,
    known: Known,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    let list = app.context.conversations(&known.caller, page.most()).await;
    let list = list.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "conversations": list })))
}

pub(super) async fn get(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<Json<Value>, Problem> {
    let id = id(&known, &text)?;
    let talk = app.context.conversation(&known.caller, id).await.map_err(|error| known.problem(error))?;
    Ok(Json(json!(*talk)))
}

pub(super) async fn messages(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    let id = id(&known, &text)?;
    let part = Part { after: page.after, most: page.most(), originals: page.originals };
    let said = flow::messages(&app, &known.caller, (id, part), &known.trace).await;
    let messages = said.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "messages": messages })))
}

pub(super) async fn delete(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<StatusCode, Problem> {
    let id = id(&known, &text)?;
    let work = async { app.context.delete(app.context.conversation(&known.caller, id).await?).await };
    work.await.map_err(|error| known.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}
