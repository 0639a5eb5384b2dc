//! `cardea approvals`: lists the calls that wait for approval on a running server, and sends a person's decision.

use cardea_core::{id::ApprovalId, pin::visible, time::Timestamp};
use http::Method;
use serde_json::{Value, json};

use super::{
    Approvals, ApprovalsCommand, Cli, Decide, End, Out,
    client::{self, Asked, Refusal},
};
use crate::config::Environment;

pub(super) fn run(cli: &Cli, words: &Approvals, environment: &Environment, out: &mut Out<'_>) -> End {
    let ended = match &words.command {
        None => list(cli, words, environment, out),
        Some(ApprovalsCommand::Approve(decide)) => say(cli, decide, "approve", environment, out),
        Some(ApprovalsCommand::Reject(decide)) => say(cli, decide, "reject", environment, out),
    };
    match ended {
        Ok(()) => End::Good,
        Err(refusal) => refusal.tell(out),
    }
}

fn list(cli: &Cli, words: &Approvals, environment: &Environment, out: &mut Out<'_>) -> Result<(), Refusal> {
    let server = Asked::of(cli, &words.server, environment)?;
    let mut told = client::ask(Method::GET, &server, "/api/v1/approvals", None)?;
    let mut waiting = Vec::new();
    for one in told.get_mut("approvals").and_then(Value::as_array_mut).into_iter().flatten() {
        if is_open(one) {
            whole(one, &server)?;
            waiting.extend(is_open(one).then(|| one.clone()));
        }
    }
    if out.json {
        out.json(&told);
        return Ok(());
    }
    if waiting.is_empty() {
        out.note("nothing waits for you, and nothing of yours for others");
    }
    for one in &waiting {
        print(one, out);
    }
    Ok(())
}

fn is_open(one: &Value) -> bool {
    one.get("state").is_some_and(|state| state == "open")
}

/// Replaces an approval of the list by its full form.
///
/// WHY: every approval is fetched, also one that the list claims to show in full, because what a person approves must
/// not depend on that claim.
fn whole(one: &mut Value, server: &Asked) -> Result<(), Refusal> {
    let id = one.get("id").and_then(Value::as_str).unwrap_or_default();
    let odd = |_| Refusal::Away(format!("{} has an approval without an id in its list", server.base));
    let id: ApprovalId = id.parse().map_err(odd)?;
    *one = client::ask(Method::GET, server, &path(id), None)?;
    Ok(())
}

fn path(id: ApprovalId) -> String {
    format!("/api/v1/approvals/{id}")
}

/// Returns who asked, the issuer that vouches for that name, and who acted on that person's behalf.
fn asker(one: &Value) -> String {
    let text = |key: &str| one.get(key).and_then(Value::as_str).map(visible);
    let actors = one.get("actors").and_then(Value::as_array).into_iter().flatten();
    let actors: Vec<String> = actors.filter_map(Value::as_str).map(visible).collect();
    let mut whole = text("user").unwrap_or_default();
    if let Some(issuer) = text("issuer") {
        whole.push_str(&format!(" ({issuer})"));
    }
    if !actors.is_empty() {
        whole.push_str(&format!(", for whom {} acts,", actors.join(", ")));
    }
    whole
}

/// Prints the approval in full: nobody should have to approve what they cannot see.
fn print(one: &Value, out: &mut Out<'_>) {
    let text = |key: &str| visible(one.get(key).and_then(Value::as_str).unwrap_or_default());
    out.line(text("id"));
    out.line(format!("  {} wants {}", asker(one), text("tool")));
    match one.get("arguments").unwrap_or(&Value::Null) {
        Value::Object(members) => {
            for (name, value) in members {
                out.line(format!("    {} = {}", visible(name), visible(&value.to_string())));
            }
        }
        other => out.line(format!("    {}", visible(&other.to_string()))),
    }
    out.line(format!("  {}", text("reason")));
    if let Some(ends) = one.get("expires_at").and_then(Value::as_i64) {
        out.line(format!("  until {}", Timestamp(ends)));
    }
}

fn say(
    cli: &Cli,
    decide: &Decide,
    decision: &str,
    environment: &Environment,
    out: &mut Out<'_>,
) -> Result<(), Refusal> {
    let id: ApprovalId = decide
        .id
        .parse()
        .map_err(|_| Refusal::Misused(format!("`{}` is not the id of an approval", decide.id)))?;
    let server = Asked::of(cli, &decide.server, environment)?;
    let body = json!({ "decision": decision, "comment": decide.comment });
    if !out.json {
        print(&client::ask(Method::GET, &server, &path(id), None)?, out);
    }
    let told = client::ask(Method::POST, &server, &path(id), Some(&body))?;
    if out.json {
        out.json(&told);
    } else {
        let text = |key: &str| visible(told.get(key).and_then(Value::as_str).unwrap_or_default());
        out.note(format!("{} is {}: {} for {}", id, text("state"), text("tool"), text("user")));
    }
    Ok(())
}
