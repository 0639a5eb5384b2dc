//! Support tickets: eight tools.

use cardea_mcp::{Args, Context, Result, Router, State, Tool, guard::HasScope};
use rusqlite::Transaction;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::store::{Db, Fault, change, note, now, number, one, refused, rows, who};

/// Returns the eight tools with their guards.
pub(crate) fn router() -> Router {
    let read = Router::new()
        .guard(HasScope::new(["read"]))
        .tool(
            Tool::new("get_ticket", get)
                .about("Retrieve a support ticket.")
                .examples(["Show ticket 12", "What does the customer say in ticket 99?"])
                .reads(),
        )
        .tool(
            Tool::new("list_tickets", list)
                .about("List support tickets, optionally filtered by customer and status.")
                .examples(["Which tickets are open?", "Show all tickets of customer 42"])
                .reads(),
        );
    let write = Router::new()
        .guard(HasScope::new(["write"]))
        .tool(
            Tool::new("create_ticket", create)
                .about("Create a new support ticket.")
                .examples([
                    "Open a ticket for customer 42: the lamp flickers",
                    "Log a complaint about a late parcel",
                ])
                .writes(),
        )
        .tool(
            Tool::new("update_ticket", update)
                .about("Update ticket fields (status, priority, assignee).")
                .examples(["Set ticket 12 to high priority", "Ticket 99 is resolved"])
                .writes()
                .idempotent(),
        )
        .tool(
            Tool::new("add_ticket_comment", comment)
                .about("Add a comment to a ticket. Set internal=True for agent-only notes.")
                .examples([
                    "Reply on ticket 12 that a new one is on its way",
                    "Leave a note for colleagues on ticket 99",
                ])
                .writes(),
        )
        .tool(
            Tool::new("assign_ticket", assign)
                .about("Assign a ticket to a support agent.")
                .examples(["Give ticket 12 to Carla", "Let Bob take care of ticket 99"])
                .writes()
                .idempotent(),
        )
        .tool(
            Tool::new("escalate_ticket", escalate)
                .about("Escalate a ticket to tier-2 support.")
                .examples(["Ticket 12 needs a specialist", "Pass ticket 99 on to the second level"])
                .writes()
                .idempotent(),
        )
        .tool(
            Tool::new("close_ticket", close)
                .about("Close a resolved ticket.")
                .examples(["Ticket 12 is done, close it", "Finish ticket 99: parts were replaced"])
                .writes()
                .idempotent(),
        );
    Router::new().merge(read).merge(write)
}

const TICKET: &str =
    "SELECT id AS ticket_id, customer_id, subject, status, priority, assignee, tier, opened, closed
    FROM tickets";

fn ticket(tx: &Transaction<'_>, id: i64) -> std::result::Result<Value, Fault> {
    one(tx, "ticket", &format!("{TICKET} WHERE id = ?1"), [id])
}

#[derive(Deserialize, JsonSchema)]
struct ById {
    /// The ticket's number.
    ticket_id: i64,
}

async fn get(State(db): State<Db>, Args(by): Args<ById>) -> Result<Value> {
    let done = db.run(move |tx| {
        let mut found = ticket(tx, by.ticket_id)?;
        let sql = "SELECT author, text, is_internal, at FROM comments WHERE ticket_id = ?1 ORDER BY id";
        let comments = rows(tx, sql, [by.ticket_id])?;
        if let Some(found) = found.as_object_mut() {
            found.insert("comments".to_owned(), json!(comments));
        }
        Ok(found)
    });
    Ok(done.await?)
}

#[derive(Deserialize, JsonSchema)]
struct List {
    /// Only tickets of this customer.
    customer_id: Option<i64>,
    /// Only tickets in this state.
    #[schemars(regex(pattern = "^(open|pending|resolved|closed)$"))]
    status: Option<String>,
}

async fn list(State(db): State<Db>, Args(list): Args<List>) -> Result<Value> {
    let done = db.run(move |tx| {
        let sql = format!(
            "{TICKET} WHERE (?1 IS NULL OR customer_id = ?1) AND (?2 IS NULL OR status = ?2) ORDER BY id DESC LIMIT 50"
        );
        rows(tx, &sql, (list.customer_id, list.status))
    });
    Ok(json!({ "tickets": done.await? }))
}

#[derive(Deserialize, JsonSchema)]
struct Create {
    /// The customer's number.
    customer_id: i64,
    /// What it is about, in one line.
    #[schemars(length(min = 3, max = 200))]
    subject: String,
    /// How urgent it is; normal if absent.
    #[schemars(regex(pattern = "^(low|normal|high)$"))]
    priority: Option<String>,
}

async fn create(State(db): State<Db>, Args(new): Args<Create>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        one(tx, "customer", "SELECT id FROM customers WHERE id = ?1", [new.customer_id])?;
        let sql = "INSERT INTO tickets (customer_id, subject, status, priority, opened)
            VALUES (?1, ?2, 'open', coalesce(?3, 'normal'), ?4)";
        tx.execute(sql, (new.customer_id, &new.subject, &new.priority, now()))?;
        let id = tx.last_insert_rowid();
        note(tx, &who, "create_ticket", &format!("ticket {id}"))?;
        ticket(tx, id)
    });
    Ok(done.await?)
}

#[derive(Deserialize, JsonSchema)]
struct Update {
    /// The ticket's number.
    ticket_id: i64,
    /// New state. Use close_ticket to close it.
    #[schemars(regex(pattern = "^(open|pending|resolved)$"))]
    status: Option<String>,
    /// New priority.
    #[schemars(regex(pattern = "^(low|normal|high)$"))]
    priority: Option<String>,
    /// Who takes care of it.
    assignee: Option<String>,
}

async fn update(State(db): State<Db>, Args(new): Args<Update>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        let sql = "UPDATE tickets SET status = coalesce(?2, status), priority = coalesce(?3, priority),
            assignee = coalesce(?4, assignee) WHERE id = ?1";
        change(tx, "ticket", sql, (new.ticket_id, &new.status, &new.priority, &new.assignee))?;
        note(tx, &who, "update_ticket", &format!("ticket {}", new.ticket_id))?;
        ticket(tx, new.ticket_id)
    });
    Ok(done.await?)
}

#[derive(Deserialize, JsonSchema)]
struct Comment {
    /// The ticket's number.
    ticket_id: i64,
    /// The comment.
    #[schemars(length(min = 1, max = 4000))]
    body: String,
    /// True if only agents may see it.
    #[serde(default)]
    internal: bool,
}

async fn comment(State(db): State<Db>, Args(new): Args<Comment>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        ticket(tx, new.ticket_id)?;
        let sql =
            "INSERT INTO comments (ticket_id, author, text, is_internal, at) VALUES (?1, ?2, ?3, ?4, ?5)";
        tx.execute(sql, (new.ticket_id, &who, &new.body, new.internal, now()))?;
        Ok(json!({ "ticket_id": new.ticket_id, "comment_id": tx.last_insert_rowid(), "author": who }))
    });
    Ok(done.await?)
}

#[derive(Deserialize, JsonSchema)]
struct Assign {
    /// The ticket's number.
    ticket_id: i64,
    /// The agent's name.
    #[schemars(length(min = 1, max = 100))]
    agent: String,
}

async fn assign(State(db): State<Db>, Args(new): Args<Assign>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        change(tx, "ticket", "UPDATE tickets SET assignee = ?2 WHERE id = ?1", (new.ticket_id, &new.agent))?;
        note(tx, &who, "assign_ticket", &format!("ticket {} to {}", new.ticket_id, new.agent))?;
        ticket(tx, new.ticket_id)
    });
    Ok(done.await?)
}

async fn escalate(State(db): State<Db>, Args(by): Args<ById>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        if number(tx, "ticket", "SELECT status = 'closed' FROM tickets WHERE id = ?1", [by.ticket_id])? == 1 {
            return Err(refused("The ticket is closed.").into());
        }
        change(tx, "ticket", "UPDATE tickets SET tier = 2, priority = 'high' WHERE id = ?1", [by.ticket_id])?;
        note(tx, &who, "escalate_ticket", &format!("ticket {}", by.ticket_id))?;
        ticket(tx, by.ticket_id)
    });
    Ok(done.await?)
}

#[derive(Deserialize, JsonSchema)]
struct Close {
    /// The ticket's number.
    ticket_id: i64,
    /// How it was solved.
    resolution: Option<String>,
}

async fn close(State(db): State<Db>, Args(by): Args<Close>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        let found = ticket(tx, by.ticket_id)?;
        match found.get("status").and_then(Value::as_str) {
            Some("closed") => return Ok(found),
            Some("resolved") => {}
            _ => return Err(refused("Only a resolved ticket can be closed.").into()),
        }
        let sql = "UPDATE tickets SET status = 'closed', closed = ?2 WHERE id = ?1";
        change(tx, "ticket", sql, (by.ticket_id, now()))?;
        let what = by.resolution.unwrap_or_default();
        note(tx, &who, "close_ticket", &format!("ticket {} {what}", by.ticket_id))?;
        ticket(tx, by.ticket_id)
    });
    Ok(done.await?)
}
