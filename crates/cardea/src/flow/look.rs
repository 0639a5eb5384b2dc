//! Read access for those users of a tenant who have the right: audit log, decisions, revocations, held tools, cache
//! figures.

use cardea_core::{
    Result,
    page::{Limit, Page, Place},
};
use serde::Serialize;

use super::Request;
use crate::{
    action::Held,
    app::App,
    context::cache::{Line, Standing},
    control::Right,
    identity::Revoked,
    observe::{Audited, Bookmark, Decided, Followed, Wanted, Whose},
};

/// What the caches have done for a tenant since the start, by agent and layer.
#[derive(Debug, Serialize)]
pub struct CacheFigures {
    backend: &'static str,
    reachable: bool,
    layers: Vec<Line>,
    scopes: Vec<Standing>,
}

/// Returns entries of the tenant's audit log, oldest first.
///
/// # Errors
/// `denied`; those of the store.
pub async fn audit_entries(
    app: &App,
    request: &Request,
    after: &Place,
    wanted: Wanted<'_>,
    limit: Limit,
) -> Result<Page<Audited>> {
    app.control.require(&request.caller, Right::Audit, request.id()).await?; // may they
    app.observe.search(&request.caller.tenant, after, wanted, limit).await
}

/// Returns what was written into the tenant's audit log since a bookmark.
///
/// # Errors
/// `denied`; `bad_request` for a bookmark past the end of the log; store errors.
pub async fn follow_audit(app: &App, request: &Request, after: &Bookmark, limit: Limit) -> Result<Followed> {
    app.control.require(&request.caller, Right::Audit, request.id()).await?; // may they
    app.observe.follow(&request.caller.tenant, after, limit).await
}

/// Returns policy decisions, oldest first. Auditors see the whole tenant's, everyone else their own.
///
/// # Errors
/// Store errors.
pub async fn decisions(
    app: &App,
    request: &Request,
    after: &Place,
    wanted: Wanted<'_>,
    limit: Limit,
) -> Result<Page<Decided>> {
    let whose = match Right::Audit.is_of(&request.caller) {
        true => Whose::Tenant(&request.caller.tenant),
        false => Whose::Own(request.caller.principal()),
    };
    app.observe.decisions(whose, after, wanted, limit).await
}

/// Returns the tenant's revocations, newest first.
///
/// # Errors
/// `denied`; those of the store.
pub async fn revocations(app: &App, request: &Request) -> Result<Vec<Revoked>> {
    app.control.require(&request.caller, Right::Revocations, request.id()).await?; // may they
    app.identity.revocations(&request.caller.tenant).await
}

/// Returns the tools that are held because their descriptions differ from the accepted ones.
///
/// # Errors
/// `denied`; those of the store.
pub async fn held_tools(app: &App, request: &Request) -> Result<Vec<Held>> {
    app.control.require(&request.caller, Right::ToolChanges, request.id()).await?; // may they
    let mut held = app.action.pins().held(None).await?;
    held.retain(|held| app.config.upstreams.contains_key(&held.upstream));
    Ok(held)
}

/// Returns what the caches have done for the tenant.
///
/// # Errors
/// `denied`; those of the store.
pub async fn cache_figures(app: &App, request: &Request) -> Result<CacheFigures> {
    app.control.require(&request.caller, Right::CacheFigures, request.id()).await?; // may they
    let (cache, tenant) = (app.context.cache(), &request.caller.tenant);
    Ok(CacheFigures {
        backend: cache.backend(),
        reachable: cache.reachable().await,
        layers: cache.stats(tenant),
        scopes: cache.standing(tenant),
    })
}
