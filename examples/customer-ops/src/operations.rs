//! Operations: three tools.

use cardea_mcp::{
    Args, Context, Result, Router, State, Tool,
    guard::{HasAllRoles, HasRole, HasScope},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::store::{Db, change, note, number, one, rows, who};

/// Returns the three tools with their guards.
pub(crate) fn router() -> Router {
    Router::new()
        .tool(
            Tool::new("system_health", health)
                .about("Check system health across all services.")
                .examples(["Is everything running?", "Are there problems with our systems?"])
                .reads()
                .guard(HasScope::new(["read"])),
        )
        .tool(
            Tool::new("feature_toggle", toggle)
                .about("Enable or disable a feature flag. Requires admin + ops.")
                .examples(["Turn on the new checkout", "Switch fast_refunds off"])
                .writes()
                .idempotent()
                .guard(HasAllRoles::new(["admin", "ops"])),
        )
        .tool(
            Tool::new("audit_log", log)
                .about("Retrieve recent audit log entries.")
                .examples(["Who changed what today?", "Show the last twenty changes"])
                .reads()
                .guard(HasRole::new(["admin"])),
        )
}

async fn health(State(db): State<Db>) -> Result<Value> {
    let done = db.run(|tx| {
        let check = one(tx, "check", "SELECT quick_check AS result FROM pragma_quick_check", [])?;
        let sound = check.get("result") == Some(&json!("ok"));
        let late = "SELECT count(*) FROM orders WHERE status = 'paid'";
        let high = "SELECT count(*) FROM tickets WHERE status = 'open' AND priority = 'high'";
        Ok(json!({
            "status": if sound { "ok" } else { "degraded" },
            "database": check.get("result"),
            "orders_waiting_for_shipment": number(tx, "count", late, [])?,
            "urgent_open_tickets": number(tx, "count", high, [])?,
            "flags": rows(tx, "SELECT name, is_enabled FROM flags ORDER BY name", [])?,
        }))
    });
    Ok(done.await?)
}

#[derive(Deserialize, JsonSchema)]
struct Toggle {
    /// The flag's name, such as new_checkout.
    flag: String,
    /// On or off.
    enabled: bool,
}

async fn toggle(State(db): State<Db>, Args(new): Args<Toggle>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        let sql = "UPDATE flags SET is_enabled = ?2, changed_by = ?3 WHERE name = ?1";
        change(tx, "flag", sql, (&new.flag, new.enabled, &who))?;
        note(
            tx,
            &who,
            "feature_toggle",
            &format!("{} {}", new.flag, if new.enabled { "on" } else { "off" }),
        )?;
        one(tx, "flag", "SELECT name, is_enabled, changed_by FROM flags WHERE name = ?1", [&new.flag])
    });
    Ok(done.await?)
}

#[derive(Deserialize, JsonSchema)]
struct Recent {
    /// How many entries; 20 if absent.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u32>,
}

async fn log(State(db): State<Db>, Args(recent): Args<Recent>) -> Result<Value> {
    let limit = recent.limit.unwrap_or(20);
    let sql = "SELECT at, who, action, object FROM events ORDER BY id DESC LIMIT ?1";
    Ok(json!({ "entries": db.run(move |tx| rows(tx, sql, [limit])).await? }))
}
