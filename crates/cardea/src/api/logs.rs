//! Routes for auditors: the audit log and policy decisions.

use axum::{Json, extract::State};
use cardea_core::{
    id::{RequestId, TurnId},
    page::{Limit, Place},
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Inbound, Known, Outside, Query},
};
use crate::{
    app::App,
    flow,
    observe::{Bookmark, Verdict, Wanted},
};

/// Which entries of the audit log to return.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries {
    after: Option<Place>,
    until: Option<i64>,
    #[serde(default)]
    limit: Limit,
    turn: Option<TurnId>,
    request: Option<RequestId>,
    user: Option<String>,
    event: Option<String>,
    tool: Option<String>,
}

/// Where to continue in the audit log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Following {
    #[serde(default)]
    after: Bookmark,
    #[serde(default)]
    limit: Limit,
}

/// Which decisions to return.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decisions {
    after: Option<Place>,
    until: Option<i64>,
    #[serde(default)]
    limit: Limit,
    turn: Option<TurnId>,
    request: Option<RequestId>,
    user: Option<String>,
    action: Option<String>,
    resource: Option<String>,
    verdict: Option<Verdict>,
    policy_version: Option<String>,
}

/// Returns the fields that the request names, with their required values.
fn named<'a>(
    fields: impl IntoIterator<Item = (&'static str, Option<&'a str>)>,
) -> Vec<(&'static str, &'a str)> {
    fields.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

pub(super) async fn audit(
    State(app): State<App>,
    known: Known,
    Query(asked): Query<Entries>,
) -> Result<Json<Value>, Problem> {
    let (turn, request) = (asked.turn.map(|id| id.to_string()), asked.request.map(|id| id.to_string()));
    let fields = named([
        ("turn", turn.as_deref()),
        ("request", request.as_deref()),
        ("user", asked.user.as_deref()),
        ("event", asked.event.as_deref()),
        ("tool", asked.tool.as_deref()),
    ]);
    let wanted = Wanted { fields: &fields, until: asked.until.map(Timestamp) };
    let after = asked.after.unwrap_or(Place::START);
    let found = flow::audit_entries(&app, &known.asked, &after, wanted, asked.limit).await;
    let page = found.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "entries": page.entries, "next": page.next })))
}

pub(super) async fn follow(
    State(app): State<App>,
    known: Known,
    Query(asked): Query<Following>,
) -> Result<Json<Value>, Problem> {
    followed(&app, &known.asked, &known, &asked).await
}

/// Follows the audit log with a request body: after many nodes came and went, a bookmark can be longer than a URL may
/// be.
pub(super) async fn follow_long(
    State(app): State<App>,
    inbound: Inbound<Following>,
) -> Result<Json<Value>, Problem> {
    followed(&app, &inbound.asked, &inbound.outside, &inbound.body).await
}

async fn followed(
    app: &App,
    asked: &flow::Request,
    outside: &Outside,
    following: &Following,
) -> Result<Json<Value>, Problem> {
    let found = flow::follow_audit(app, asked, &following.after, following.limit).await;
    let part = found.map_err(|error| outside.problem(error))?;
    Ok(Json(json!({ "entries": part.entries, "next": part.next, "more": part.more })))
}

pub(super) async fn decisions(
    State(app): State<App>,
    known: Known,
    Query(asked): Query<Decisions>,
) -> Result<Json<Value>, Problem> {
    let (turn, request) = (asked.turn.map(|id| id.to_string()), asked.request.map(|id| id.to_string()));
    let fields = named([
        ("turn", turn.as_deref()),
        ("request", request.as_deref()),
        ("user", asked.user.as_deref()),
        ("action", asked.action.as_deref()),
        ("resource", asked.resource.as_deref()),
        ("verdict", asked.verdict.map(Verdict::name)),
        ("policy_version", asked.policy_version.as_deref()),
    ]);
    let wanted = Wanted { fields: &fields, until: asked.until.map(Timestamp) };
    let after = asked.after.unwrap_or(Place::START);
    let found = flow::decisions(&app, &known.asked, &after, wanted, asked.limit).await;
    let page = found.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "decisions": page.entries, "next": page.next })))
}
