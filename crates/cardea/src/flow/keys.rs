//! Lists, creates and revokes a tenant's API keys. Only its administrators may.

use cardea_core::{
    Result,
    id::KeyId,
    page::{Limit, Page, Place},
};

use super::Request;
use crate::{
    app::App,
    control::Right,
    identity::{CreatedKey, KeyInfo, NewKey, Which},
};

/// Returns a page of the tenant's keys, newest first.
///
/// # Errors
/// `denied`; store errors.
pub async fn keys(
    app: &App,
    request: &Request,
    which: Which,
    after: &Place,
    limit: Limit,
) -> Result<Page<KeyInfo>> {
    app.control.require(&request.caller, Right::Keys, request.id()).await?; // may they
    app.identity.keys(&request.caller.tenant, which, after, limit).await
}

/// Creates a key. A repeat under the same idempotency key returns the same key.
///
/// # Errors
/// `denied`, also for a role or scope that the caller lacks; `bad_request`; `idempotency_key_reused`; store errors.
pub async fn create_key(app: &App, request: &Request, new: NewKey, once: Option<&str>) -> Result<CreatedKey> {
    app.control.require(&request.caller, Right::Keys, request.id()).await?; // may they
    app.identity.create_key(&request.caller, new, once).await // durable, with its audit entry
}

/// Revokes a key.
///
/// # Errors
/// `denied`; `not_found` if the tenant has no such key; store errors.
pub async fn revoke_key(app: &App, request: &Request, id: KeyId) -> Result<()> {
    app.control.require(&request.caller, Right::Keys, request.id()).await?; // may they
    app.identity.revoke_key(&request.caller, id).await // durable, with its audit entry
}
