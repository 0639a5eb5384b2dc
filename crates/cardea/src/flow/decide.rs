//! A person decides about a call that waits for one.

use cardea_core::{Result, id::ApprovalId};

use super::Request;
use crate::{
    app::App,
    control::{Answer, Approval},
};

/// Approves or denies a call. Its turn then goes on by itself, on whichever node.
///
/// # Errors
/// `not_found`, `denied`, `conflict`, or what the store says.
pub async fn decide(app: &App, request: &Request, id: ApprovalId, answer: Answer<'_>) -> Result<Approval> {
    app.control.decide(&request.caller, id, answer, Some(request.id())).await
}
