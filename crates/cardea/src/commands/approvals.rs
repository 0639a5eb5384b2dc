//! `cardea approvals`: what waits for a person on a running server, and the person's decision.

use cardea_core::{id::ApprovalId, pin::visible};
use http::Method;
use serde_json::{Value, json};

use super::{
    Approvals, ApprovalsCommand, Cli, Decide, End, Out,
    client::{self, Asked, Refusal},
};
use crate::config::Environment;

/// The most of the arguments that is shown in the list. `--json` shows all that the server tells, what was decided too.
const LONGEST: usize = 400;

pub(super) fn run(cli: &Cli, words: &Approvals, environment: &Environment, out: &mut Out<'_>) -> End {
    let ended = match &words.command {
        None => list(cli, words, environment, out),
        Some(ApprovalsCommand::Approve(decide)) => say(cli, (decide, "approve"), environment, out),
        Some(ApprovalsCommand::Reject(decide)) => say(cli, (decide, "reject"), environment, out),
    };
    match ended {
        Ok(()) => End::Good,
        Err(refusal) => refusal.tell(out),
    }
}

fn list(cli: &Cli, words: &Approvals, environment: &Environment, out: &mut Out<'_>) -> Result<(), Refusal> {
    let server = Asked::of(cli, &words.server, environment)?;
    let told = client::ask(Method::GET, &server, "/api/v1/approvals", None)?;
    if out.json {
        out.json(&told);
        return Ok(());
    }
    let mut waiting = told.get("approvals").and_then(Value::as_array).cloned().unwrap_or_default();
    waiting.retain(|one| one.get("state").is_some_and(|state| state == "open"));
    if waiting.is_empty() {
        out.note("nothing waits for you, and nothing of yours for others");
    }
    waiting.iter().for_each(|one| print(one, out));
    Ok(())
}

fn print(one: &Value, out: &mut Out<'_>) {
    let text = |key: &str| visible(one.get(key).and_then(Value::as_str).unwrap_or_default());
    let arguments = visible(&one.get("arguments").unwrap_or(&Value::Null).to_string());
    let mut short: String = arguments.chars().take(LONGEST).collect();
    if short.len() < arguments.len() {
        short.push('…');
    }
    out.line(text("id"));
    out.line(format!("  {} wants {} {short}", text("user"), text("tool")));
    out.line(format!("  {}", text("reason")));
    out.line(format!("  until {}", text("expires_at")));
}

fn say(
    cli: &Cli,
    (decide, decision): (&Decide, &str),
    environment: &Environment,
    out: &mut Out<'_>,
) -> Result<(), Refusal> {
    let id: ApprovalId = decide
        .id
        .parse()
        .map_err(|_| Refusal::Misused(format!("`{}` is not the id of an approval", decide.id)))?;
    let server = Asked::of(cli, &decide.server, environment)?;
    let body = json!({ "decision": decision, "comment": decide.comment });
    let told = client::ask(Method::POST, &server, &format!("/api/v1/approvals/{id}"), Some(&body))?;
    if out.json {
        out.json(&told);
    } else {
        let text = |key: &str| visible(told.get(key).and_then(Value::as_str).unwrap_or_default());
        out.note(format!("{} is {}: {} for {}", id, text("state"), text("tool"), text("user")));
    }
    Ok(())
}
