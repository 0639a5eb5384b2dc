//! Analytics: four reports, computed from the data.

use cardea_mcp::{
    Args, Json, Millis, Result, Router, State, Tool,
    guard::{HasRole, HasScope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    orders::ORDERS,
    store::{Db, number, one, rows},
};

/// Returns the four tools with their guards.
pub(crate) fn router() -> Router {
    Router::new()
        .guard(HasRole::new(["analyst", "admin"]))
        .guard(HasScope::new(["read"]))
        .tool(
            Tool::new("customer_lifetime_value", lifetime_value)
                .about("Calculate customer lifetime value.")
                .examples(["What is customer 42 worth to us?", "How much has customer 7 spent in total?"])
                .reads(),
        )
        .tool(
            Tool::new("churn_risk_score", churn)
                .about("Get churn risk prediction for a customer.")
                .examples(["Will customer 42 leave us?", "How likely is it that we lose customer 7?"])
                .reads(),
        )
        .tool(
            Tool::new("revenue_report", revenue)
                .about("Generate revenue summary report.")
                .examples(["How much did we sell each month?", "Revenue from January to March, please"])
                .reads()
                .cached_for_tenant(Millis::from_secs(60), [ORDERS]),
        )
        .tool(
            Tool::new("support_metrics", support)
                .about("Get support team performance metrics.")
                .examples(["How is the support team doing?", "Who has the most open tickets?"])
                .reads(),
        )
}

#[derive(Deserialize, JsonSchema)]
struct ById {
    /// The customer's number.
    customer_id: i64,
}

async fn lifetime_value(State(db): State<Db>, Args(by): Args<ById>) -> Result<Value> {
    let sql = "SELECT c.id AS customer_id, count(o.id) AS orders,
        coalesce(sum(o.total_cents - o.discount_cents - o.refunded_cents), 0) / 100.0 AS lifetime_value,
        round(coalesce(avg(o.total_cents - o.discount_cents), 0) / 100.0, 2) AS average_order, min(o.placed) AS first_order
        FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.status NOT IN ('pending', 'cancelled')
        WHERE c.id = ?1 GROUP BY c.id";
    Ok(db.run(move |tx| one(tx, "customer", sql, [by.customer_id])).await?)
}

/// Churn risk, computed from a customer's inactivity, complaints and refunds.
#[derive(Serialize, JsonSchema)]
struct Churn {
    customer_id: i64,
    /// 0 to 100; from 35 on the risk is medium, from 65 on high.
    score: i64,
    /// `low`, `medium` or `high`.
    risk: &'static str,
    because: Reasons,
}

#[derive(Serialize, JsonSchema)]
struct Reasons {
    /// Days between the customer's last order and the newest of all; 365 for one who never ordered.
    days_without_order: i64,
    open_tickets: i64,
    refunded_orders: i64,
}

async fn churn(State(db): State<Db>, Args(by): Args<ById>) -> Result<Json<Churn>> {
    let done = db.run(move |tx| {
        let id = [by.customer_id];
        one(tx, "customer", "SELECT id FROM customers WHERE id = ?1", id)?;
        let quiet = "SELECT CAST(coalesce(julianday((SELECT max(placed) FROM orders)) - julianday(max(placed)), 365) AS INTEGER)
            FROM orders WHERE customer_id = ?1";
        let quiet = number(tx, "order", quiet, id)?;
        let open = "SELECT count(*) FROM tickets WHERE customer_id = ?1 AND status IN ('open', 'pending')";
        let open = number(tx, "ticket", open, id)?;
        let refunds = number(tx, "order", "SELECT count(*) FROM orders WHERE customer_id = ?1 AND refunded_cents > 0", id)?;
        let score = (quiet.min(300) / 5 + open.min(2) * 15 + refunds.min(2) * 5).min(100);
        let risk = match score {
            0..35 => "low",
            35..65 => "medium",
            _ => "high",
        };
        let because = Reasons { days_without_order: quiet, open_tickets: open, refunded_orders: refunds };
        Ok(Churn { customer_id: by.customer_id, score, risk, because })
    });
    Ok(Json(done.await?))
}

#[derive(Deserialize, JsonSchema)]
struct Period {
    /// First day, such as 2026-01-01.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    from: Option<String>,
    /// Last day.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    to: Option<String>,
}

async fn revenue(State(db): State<Db>, Args(period): Args<Period>) -> Result<Value> {
    let done = db.run(move |tx| {
        // Sums whole cents and divides once, which avoids rounding errors.
        let sums = "coalesce(sum(total_cents - discount_cents), 0) / 100.0 AS sold, coalesce(sum(refunded_cents), 0) / 100.0 AS refunded
            FROM orders
            WHERE status NOT IN ('pending', 'cancelled') AND (?1 IS NULL OR placed >= ?1) AND (?2 IS NULL OR placed <= ?2)";
        let each = format!("SELECT substr(placed, 1, 7) AS month, count(*) AS orders, {sums} GROUP BY month ORDER BY month");
        let all = one(tx, "order", &format!("SELECT {sums}"), (&period.from, &period.to))?;
        Ok((all, rows(tx, &each, (&period.from, &period.to))?))
    });
    let (all, months) = done.await?;
    Ok(
        json!({ "sold": all.get("sold"), "refunded": all.get("refunded"), "currency": "EUR", "months": months }),
    )
}

async fn support(State(db): State<Db>) -> Result<Value> {
    let done = db.run(|tx| {
        let by_state = "SELECT status, count(*) AS tickets FROM tickets GROUP BY status ORDER BY status";
        let by_agent = "SELECT coalesce(assignee, 'nobody') AS agent, count(*) AS tickets,
            sum(status IN ('open', 'pending')) AS open, sum(tier = 2) AS escalated
            FROM tickets GROUP BY assignee ORDER BY agent";
        Ok(json!({ "by_status": rows(tx, by_state, [])?, "by_agent": rows(tx, by_agent, [])? }))
    });
    Ok(done.await?)
}
