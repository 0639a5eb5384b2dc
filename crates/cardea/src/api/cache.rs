//! `/api/v1/cache`: figures of a tenant's cache, and clearing it.

use axum::{Json, extract::State};
use cardea_core::{Code, Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Known, Query},
};
use crate::{
    app::App,
    flow::{self, CacheFigures, Clear},
};

/// What to clear: one of these, or, if all are absent, the caller's own entries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    tag: Option<String>,
    user: Option<String>,
    #[serde(default)]
    all: bool,
}

/// The longest tag or name.
const LONGEST: usize = 1_024;

impl Named {
    fn read(self) -> Result<Clear> {
        match (self.tag, self.user, self.all) {
            (Some(tag), None, false) if tag.len() <= LONGEST => Ok(Clear::Tag(tag)),
            (None, Some(user), false) if user.len() <= LONGEST => Ok(Clear::User(user)),
            (None, None, true) => Ok(Clear::All),
            (None, None, false) => Ok(Clear::Own),
            _ => {
                let detail = "Give one of `tag`, `user` and `all`, or none of them.";
                Err(Error::new(Code::BadRequest).detail(detail))
            }
        }
    }
}

/// Clears cached answers and tool results: by tag, of one user, of the whole tenant, or the caller's own.
pub(super) async fn clear(
    State(app): State<App>,
    known: Known,
    Query(named): Query<Named>,
) -> Result<Json<Value>, Problem> {
    let what = named.read().map_err(|error| known.problem(error))?;
    let cleared = flow::clear_cache(&app, &known.asked, &what).await;
    let at_once = cleared.map_err(|error| known.problem(error))?;
    Ok(Json(match what {
        Clear::Tag(tag) => json!({ "cleared": tag }),
        Clear::User(user) => json!({ "cleared": format!("everything of {user}"), "at_once": at_once }),
        Clear::All => json!({ "cleared": "everything" }),
        Clear::Own => json!({ "cleared": "your own", "at_once": at_once }),
    }))
}

/// Returns what the caches have done for the caller's tenant since the start, by agent and layer.
pub(super) async fn stats(State(app): State<App>, known: Known) -> Result<Json<CacheFigures>, Problem> {
    let figures = flow::cache_figures(&app, &known.asked).await;
    figures.map(Json).map_err(|error| known.problem(error))
}
