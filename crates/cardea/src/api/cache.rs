//! `/api/v1/cache`: what cached answers do for a tenant, and forgetting them.

use axum::{Json, extract::State};
use cardea_core::{Code, Error};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Known, Query},
};
use crate::{
    app::App,
    context::cache::{Cleared, Purged},
    control::{ADMIN, AUDITOR, Right},
};

/// Who may forget what is not their own.
const CLEAR: Right = Right { name: "cache.clear", roles: &[ADMIN], does: "clears what is not its own" };
/// Who sees the whole tenant's caches.
const FIGURES: Right = Right { name: "cache.figures", roles: &[ADMIN, AUDITOR], does: "see these figures" };

/// What to clear: one of these, or nothing for the caller's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clear {
    tag: Option<String>,
    user: Option<String>,
    #[serde(default)]
    all: bool,
}

/// The longest tag or name.
const LONGEST: usize = 1_024;

/// Clears cached answers and tool results of the caller's tenant by tag, of one user, of all, or the caller's own.
pub(super) async fn clear(
    State(app): State<App>,
    known: Known,
    Query(clear): Query<Clear>,
) -> Result<Json<Value>, Problem> {
    let work = async {
        let caller = &known.caller;
        let cache = app.context.cache();
        let named = clear.tag.iter().chain(&clear.user).map(String::len).max().unwrap_or(0);
        let given =
            usize::from(clear.tag.is_some()) + usize::from(clear.user.is_some()) + usize::from(clear.all);
        if given > 1 || named > LONGEST {
            return Err(
                Error::new(Code::BadRequest).detail("Give one of `tag`, `user` and `all`, or none of them.")
            );
        }
        app.control.count(caller).await?; // rate: everybody's entries are looked through
        if given > 0 {
            let request = Some(known.request);
            app.control.require(caller, CLEAR, request).await?;
            let detail = json!({ "tag": clear.tag, "user": clear.user, "all": clear.all });
            app.control.write_down(caller, "cache.cleared", detail, request).await?;
        }
        Ok(match clear {
            Clear { tag: Some(tag), .. } => {
                kept(cache.clear_tags(&caller.tenant, std::slice::from_ref(&tag)).await)?;
                json!({ "cleared": tag })
            }
            Clear { user: Some(user), .. } => {
                let at_once = taken_out(cache.purge(&caller.tenant, &user).await)?;
                json!({ "cleared": format!("everything of {user}"), "at_once": at_once })
            }
            Clear { all: true, .. } => {
                kept(cache.clear_tenant(&caller.tenant).await)?;
                json!({ "cleared": "everything" })
            }
            _ => {
                let at_once = taken_out(cache.purge_owner(&caller.tenant, &caller.key()).await)?;
                json!({ "cleared": "your own", "at_once": at_once })
            }
        })
    };
    work.await.map(Json).map_err(|error: Error| known.problem(error))
}

/// Refuses to say that something was cleared which would be served again after a restart.
fn kept(cleared: Cleared) -> Result<(), Error> {
    match cleared {
        Cleared::Surely => Ok(()),
        Cleared::ForNow => {
            Err(Error::new(Code::StoreUnavailable)
                .because("a clearing is neither delivered nor written down"))
        }
    }
}

/// The same of what is to be taken out; true if it is out already.
fn taken_out(purged: Purged) -> Result<bool, Error> {
    match purged {
        Purged::Out => Ok(true),
        Purged::Owed => Ok(false),
        Purged::ForNow => kept(Cleared::ForNow).map(|()| false),
    }
}

/// What the caches did for the caller's tenant since the start, by agent and layer.
pub(super) async fn stats(State(app): State<App>, known: Known) -> Result<Json<Value>, Problem> {
    let work = async {
        let caller = &known.caller;
        app.control.require(caller, FIGURES, Some(known.request)).await?;
        let cache = app.context.cache();
        Ok(json!({
            "backend": cache.backend(),
            "reachable": cache.reachable().await,
            "layers": cache.stats(&caller.tenant),
            "scopes": cache.standing(&caller.tenant),
        }))
    };
    work.await.map(Json).map_err(|error: Error| known.problem(error))
}
