//! Records a person's decision about a call that waits for approval.

use cardea_core::{Result, id::ApprovalId};

use super::Request;
use crate::{
    app::App,
    control::{Answer, Approval},
};

/// Approves or denies a call. Its turn is then resumed by any node.
///
/// # Errors
/// `not_found`, `denied`, `conflict`, or a store error.
pub async fn decide(app: &App, request: &Request, id: ApprovalId, answer: Answer<'_>) -> Result<Approval> {
    app.control.decide(&request.caller, id, answer, Some(request.id())).await
}
