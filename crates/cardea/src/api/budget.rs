//! `/api/v1/budget`: what the caller and their tenant have used this month.

use axum::{Json, extract::State};

use super::{Problem, extract::Known};
use crate::{app::App, control::Account};

pub(super) async fn read(State(app): State<App>, known: Known) -> Result<Json<Account>, Problem> {
    let account = app.control.account_of(known.asked.caller.principal()).await;
    account.map(Json).map_err(|error| known.problem(error))
}
