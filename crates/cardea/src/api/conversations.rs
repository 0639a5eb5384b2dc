//! `/api/v1/conversations`: the caller's own.

use axum::{Json, extract::State, http::StatusCode};
use cardea_core::{Code, Error, id::ConversationId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Outside, Path, Query},
};
use crate::app::App;

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
    Query(page): Query<Page>,
    mut outside: Outside,
) -> Result<Json<Value>, Problem> {
    let credentials = outside.credentials()?;
    let work = async {
        let caller = app.auth.authenticate(&credentials).await?;
        app.context.conversations(&caller, page.most()).await
    };
    let list = work.await.map_err(|error| outside.problem(error))?;
    Ok(Json(json!({ "conversations": list })))
}

pub(super) async fn get(
    State(app): State<App>,
    Path(text): Path,
    mut outside: Outside,
) -> Result<Json<Value>, Problem> {
    let (credentials, id) = (outside.credentials()?, id(&outside, &text)?);
    let work = async {
        let caller = app.auth.authenticate(&credentials).await?;
        let talk = app.context.conversation(&caller, id).await?;
        Ok::<_, Error>(json!(*talk))
    };
    work.await.map(Json).map_err(|error| outside.problem(error))
}

pub(super) async fn messages(
    State(app): State<App>,
    Path(text): Path,
    Query(page): Query<Page>,
    mut outside: Outside,
) -> Result<Json<Value>, Problem> {
    let (credentials, id) = (outside.credentials()?, id(&outside, &text)?);
    let work = async {
        let caller = app.auth.authenticate(&credentials).await?;
        let talk = app.context.conversation(&caller, id).await?;
        let said = app.context.messages(&talk, page.after, page.most()).await?;
        match app.find_agent(&talk.agent) {
            Ok(agent) if page.originals => app.context.with_originals(&talk, said, &agent.spec.restore).await,
            _ => Ok(said),
        }
    };
    let messages = work.await.map_err(|error| outside.problem(error))?;
    Ok(Json(json!({ "messages": messages })))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(text): Path,
    mut outside: Outside,
) -> Result<StatusCode, Problem> {
    let (credentials, id) = (outside.credentials()?, id(&outside, &text)?);
    let work = async {
        let caller = app.auth.authenticate(&credentials).await?;
        let talk = app.context.conversation(&caller, id).await?;
        app.context.delete(talk).await
    };
    work.await.map_err(|error| outside.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}
