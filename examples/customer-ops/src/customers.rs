//! Customers: seven tools.

use cardea_mcp::{
    Args, Context, Millis, Result, Router, State, Tool,
    guard::{HasAllRoles, HasScope},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    orders::ORDERS,
    store::{Db, change, note, now, one, rows, who},
};

const CUSTOMER: &str =
    "SELECT id AS customer_id, name, email, phone, city, plan, balance_cents / 100.0 AS balance, since
    FROM customers WHERE id = ?1";

/// Returns the seven tools with their guards.
pub(crate) fn router() -> Router {
    let (read, write) = (HasScope::new(["read"]), HasScope::new(["write"]));
    Router::new()
        .tool(
            Tool::new("get_customer", get)
                .about("Retrieve customer profile.")
                .examples(["Show me customer 42", "Who is customer 17 and which plan are they on?"])
                .reads()
                .cached_for_tenant(Millis::from_secs(60), ["customer:{customer_id}", ORDERS])
                .guard(read.clone()),
        )
        .tool(
            Tool::new("search_customers", search)
                .about("Search customers by name, email, or phone.")
                .examples([
                    "Find the customer called Brandt",
                    "Whose phone number is 555 1042?",
                    "look up ada@example.com",
                ])
                .reads()
                .guard(read.clone()),
        )
        .tool(
            Tool::new("update_customer", update)
                .about("Update customer profile fields.")
                .examples([
                    "Change the email of customer 42",
                    "Customer 9 has moved to Oslo",
                    "Move customer 3 to the plus plan",
                ])
                .writes()
                .idempotent()
                .clears(["customer:{customer_id}"])
                .guard(write.clone()),
        )
        .tool(
            Tool::new("delete_customer", delete)
                .about("Permanently delete a customer. Requires admin + support roles.")
                .examples(["Erase customer 42 for good", "This customer wants all their data removed"])
                // Deletes the customer's orders as well.
                .clears(["customer:{customer_id}", ORDERS])
                .guard(HasAllRoles::new(["admin", "support"])),
        )
        .tool(
            Tool::new("get_customer_history", history)
                .about("Get interaction history for a customer.")
                .examples([
                    "When did customer 42 last contact us?",
                    "What has happened with customer 7 so far?",
                ])
                .reads()
                .guard(read.clone()),
        )
        .tool(
            Tool::new("add_customer_note", add_note)
                .about("Add an internal note to a customer profile.")
                .examples([
                    "Write down that customer 42 prefers calls in the morning",
                    "Remember for customer 7: VIP",
                ])
                .writes()
                .guard(write),
        )
        .tool(
            Tool::new("get_customer_segments", segments)
                .about("Get marketing segments for a customer.")
                .examples(["Which segments is customer 42 in?", "Does customer 7 get the newsletter?"])
                .reads()
                .guard(read),
        )
}

#[derive(Deserialize, JsonSchema)]
struct ById {
    /// The customer's number.
    customer_id: i64,
}

async fn get(State(db): State<Db>, Args(by): Args<ById>) -> Result<Value> {
    Ok(db.run(move |tx| one(tx, "customer", CUSTOMER, [by.customer_id])).await?)
}

#[derive(Deserialize, JsonSchema)]
struct Search {
    /// Part of a name, an email address or a phone number.
    #[schemars(length(min = 2, max = 100))]
    query: String,
}

async fn search(State(db): State<Db>, Args(search): Args<Search>) -> Result<Value> {
    let found = db
        .run(move |tx| {
            let sql = "SELECT id AS customer_id, name, email, phone, plan FROM customers
                WHERE instr(lower(name || '|' || email || '|' || phone), lower(?1)) > 0 ORDER BY id LIMIT 20";
            rows(tx, sql, [search.query])
        })
        .await?;
    Ok(json!({ "customers": found }))
}

#[derive(Deserialize, JsonSchema)]
struct Update {
    /// The customer's number.
    customer_id: i64,
    /// New email address.
    email: Option<String>,
    /// New phone number.
    phone: Option<String>,
    /// New city.
    city: Option<String>,
    /// New plan.
    #[schemars(regex(pattern = "^(basic|plus|business)$"))]
    plan: Option<String>,
}

async fn update(State(db): State<Db>, Args(new): Args<Update>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        let sql = "UPDATE customers SET email = coalesce(?2, email), phone = coalesce(?3, phone),
            city = coalesce(?4, city), plan = coalesce(?5, plan) WHERE id = ?1";
        change(tx, "customer", sql, (new.customer_id, new.email, new.phone, new.city, new.plan))?;
        note(tx, &who, "update_customer", &format!("customer {}", new.customer_id))?;
        one(tx, "customer", CUSTOMER, [new.customer_id])
    });
    Ok(done.await?)
}

async fn delete(State(db): State<Db>, Args(by): Args<ById>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        change(tx, "customer", "DELETE FROM customers WHERE id = ?1", [by.customer_id])?;
        note(tx, &who, "delete_customer", &format!("customer {}", by.customer_id))?;
        Ok(json!({ "deleted": by.customer_id }))
    });
    Ok(done.await?)
}

async fn history(State(db): State<Db>, Args(by): Args<ById>) -> Result<Value> {
    let done = db.run(move |tx| {
        let customer = one(tx, "customer", "SELECT id, name FROM customers WHERE id = ?1", [by.customer_id])?;
        let contacts =
            "SELECT at, channel, summary FROM interactions WHERE customer_id = ?1 ORDER BY at DESC";
        let notes = "SELECT at, author, text FROM notes WHERE customer_id = ?1 ORDER BY id DESC";
        Ok(json!({
            "customer": customer,
            "interactions": rows(tx, contacts, [by.customer_id])?,
            "notes": rows(tx, notes, [by.customer_id])?,
        }))
    });
    Ok(done.await?)
}

#[derive(Deserialize, JsonSchema)]
struct NewNote {
    /// The customer's number.
    customer_id: i64,
    /// The note.
    #[schemars(length(min = 1, max = 2000))]
    note: String,
}

async fn add_note(State(db): State<Db>, Args(new): Args<NewNote>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        one(tx, "customer", "SELECT id FROM customers WHERE id = ?1", [new.customer_id])?;
        let sql = "INSERT INTO notes (customer_id, author, text, at) VALUES (?1, ?2, ?3, ?4)";
        tx.execute(sql, (new.customer_id, &who, &new.note, now()))?;
        Ok(json!({ "note_id": tx.last_insert_rowid(), "customer_id": new.customer_id, "author": who }))
    });
    Ok(done.await?)
}

async fn segments(State(db): State<Db>, Args(by): Args<ById>) -> Result<Value> {
    let done = db.run(move |tx| {
        one(tx, "customer", "SELECT id FROM customers WHERE id = ?1", [by.customer_id])?;
        let found = rows(
            tx,
            "SELECT segment FROM segments WHERE customer_id = ?1 ORDER BY segment",
            [by.customer_id],
        )?;
        let names: Vec<_> = found.iter().filter_map(|row| row.get("segment").cloned()).collect();
        Ok(json!({ "customer_id": by.customer_id, "segments": names }))
    });
    Ok(done.await?)
}
