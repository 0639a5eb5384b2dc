//! Orders: eight tools. A refund is made exactly once for each idempotency key.

use cardea_mcp::{
    Args, CheckHint, Code, Context, Error, Millis, Result, Router, State, Tool, guard::HasScope,
};
use rusqlite::{OptionalExtension, Transaction};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::store::{Db, Fault, change, note, now, number, one, refused, rows, who};

/// An order's number: `ORD-17`, `17` or `#17`.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct OrderId(i64);

impl TryFrom<String> for OrderId {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        let digits = text.trim().trim_start_matches(['#', 'O', 'o', 'R', 'r', 'D', 'd', '-', ' ']);
        digits.parse().map(Self).map_err(|_| "an order's number looks like `ORD-17`")
    }
}

impl std::fmt::Display for OrderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ORD-{}", self.0)
    }
}

/// Delay between a refund and its answer, to test a crash in between.
#[derive(Clone, Copy)]
pub(crate) struct RefundDelay(pub(crate) Millis);

const ORDER: &str = "SELECT 'ORD-' || id AS order_id, customer_id, status, item, quantity, total_cents / 100.0 AS total,
    discount_code, discount_cents / 100.0 AS discount, refunded_cents / 100.0 AS refunded, placed FROM orders";

/// Tags of results that show an order. A change of an order clears them. WHY: an order can be named `17` or `ORD-17`,
/// and a list or an invoice does not name it at all, so a tag for each order is not enough.
const TAGS: [&str; 2] = ["order:{order_id}", ORDERS];

/// Tag of all results that depend on orders, or on what orders change.
pub(crate) const ORDERS: &str = "orders";

/// Returns the eight tools with their guards.
pub(crate) fn router() -> Router {
    Router::new()
        .merge(billing())
        .tool(
            Tool::new("get_order", get)
                .about("Retrieve order details.")
                .examples([
                    "What is in order 17?",
                    "Has order 99 been paid back?",
                    "Show me the details of order 5",
                ])
                .reads()
                .guard(HasScope::new(["read"])),
        )
        .tool(
            Tool::new("list_orders", list)
                .about("List orders for a customer, optionally filtered by status.")
                .examples(["Which orders does customer 42 have?", "Show the pending orders of customer 7"])
                .reads()
                .cached(Millis::from_secs(30), [ORDERS, "customer:{customer_id}"])
                .guard(HasScope::new(["read"])),
        )
        .tool(
            Tool::new("track_shipment", track)
                .about("Get real-time shipment tracking for an order.")
                .examples(["Where is order 17?", "When will the parcel of order 99 arrive?"])
                .reads()
                .cached_for_tenant(Millis::from_secs(30), TAGS)
                .guard(HasScope::new(["read"])),
        )
        .tool(
            Tool::new("apply_discount", discount)
                .about("Apply a discount code to an order.")
                .examples(["Use WELCOME10 on order 17", "Give order 5 the loyalty code LOYAL15"])
                .writes()
                .idempotent()
                .clears(TAGS)
                .guard(HasScope::new(["write"])),
        )
        .tool(
            Tool::new("cancel_order", cancel)
                .about("Cancel a pending order.")
                .examples(["Stop order 17 before it ships", "The customer no longer wants order 5"])
                .writes()
                .idempotent()
                .clears(TAGS)
                .guard(HasScope::new(["write"])),
        )
}

fn billing() -> Router {
    let check = CheckHint {
        tool: "get_order".to_owned(),
        arguments: json!({ "order_id": "{order_id}", "refund_key": "{idempotency_key}" }),
        done: "/refunds/0".to_owned(),
    };
    Router::new()
        .tool(
            Tool::new("get_invoice", invoice)
                .about("Retrieve invoice details.")
                .examples(["Show the invoice of order 17", "Has invoice 10017 been paid?"])
                .reads()
                .cached(Millis::from_secs(30), [ORDERS])
                .guard(HasScope::new(["billing:read"])),
        )
        .tool(
            Tool::new("get_payment_methods", payment_methods)
                .about("List saved payment methods for a customer.")
                .examples(["Which cards has customer 42 saved?", "How does customer 7 pay?"])
                .reads()
                .guard(HasScope::new(["billing:read"])),
        )
        .tool(
            Tool::new("process_refund", refund)
                .about("Process a refund. Requires billing:write scope.")
                .examples([
                    "Refund order 17",
                    "Pay the customer back 25 euros for order 99",
                    "Return the money for the broken chair",
                ])
                .writes()
                .once_per_key()
                .check(check)
                .clears(TAGS)
                .guard(HasScope::new(["billing:write"])),
        )
}

#[derive(Deserialize, JsonSchema)]
struct ById {
    /// The order's number, such as ORD-17.
    order_id: OrderId,
}

#[derive(Deserialize, JsonSchema)]
struct Get {
    /// The order's number, such as ORD-17.
    order_id: OrderId,
    /// Show only the refund that was made under this idempotency key.
    refund_key: Option<String>,
}

async fn get(State(db): State<Db>, Args(by): Args<Get>, context: Context) -> Result<Value> {
    let owner = context.owner()?;
    let done = db.run(move |tx| {
        let mut order = one(tx, "order", &format!("{ORDER} WHERE id = ?1"), [by.order_id.0])?;
        let sql = "SELECT idempotency_key, amount_cents / 100.0 AS amount, reason, by_user, at FROM refunds
            WHERE order_id = ?1 AND (?2 IS NULL OR (idempotency_key = ?2 AND owner = ?3)) ORDER BY at";
        let refunds = rows(tx, sql, (by.order_id.0, by.refund_key, owner))?;
        if let Some(order) = order.as_object_mut() {
            order.insert("refunds".to_owned(), json!(refunds));
        }
        Ok(order)
    });
    Ok(done.await?)
}

#[derive(Deserialize, JsonSchema)]
struct List {
    /// The customer's number.
    customer_id: i64,
    /// Only orders in this state.
    #[schemars(regex(pattern = "^(pending|paid|shipped|delivered|cancelled)$"))]
    status: Option<String>,
}

async fn list(State(db): State<Db>, Args(list): Args<List>) -> Result<Value> {
    let done = db.run(move |tx| {
        one(tx, "customer", "SELECT id FROM customers WHERE id = ?1", [list.customer_id])?;
        let sql = format!(
            "{ORDER} WHERE customer_id = ?1 AND (?2 IS NULL OR status = ?2) ORDER BY placed DESC, id"
        );
        rows(tx, &sql, (list.customer_id, list.status))
    });
    Ok(json!({ "orders": done.await? }))
}

async fn track(State(db): State<Db>, Args(by): Args<ById>) -> Result<Value> {
    Ok(db.run(move |tx| one(tx, "shipment", "SELECT 'ORD-' || order_id AS order_id, carrier, tracking, status, last_seen, expected FROM shipments WHERE order_id = ?1", [by.order_id.0])).await?)
}

#[derive(Deserialize, JsonSchema)]
struct Invoice {
    /// The invoice's number. Invoice 10017 belongs to order ORD-17.
    invoice_id: i64,
}

async fn invoice(State(db): State<Db>, Args(by): Args<Invoice>) -> Result<Value> {
    let sql = "SELECT id AS invoice_id, 'ORD-' || order_id AS order_id, amount_cents / 100.0 AS amount, status, issued, due
        FROM invoices WHERE id = ?1";
    Ok(db.run(move |tx| one(tx, "invoice", sql, [by.invoice_id])).await?)
}

#[derive(Deserialize, JsonSchema)]
struct ByCustomer {
    /// The customer's number.
    customer_id: i64,
}

async fn payment_methods(State(db): State<Db>, Args(by): Args<ByCustomer>) -> Result<Value> {
    let done = db.run(move |tx| {
        one(tx, "customer", "SELECT id FROM customers WHERE id = ?1", [by.customer_id])?;
        let sql =
            "SELECT kind, label, expires, is_default FROM payment_methods WHERE customer_id = ?1 ORDER BY id";
        rows(tx, sql, [by.customer_id])
    });
    Ok(json!({ "payment_methods": done.await? }))
}

#[derive(Deserialize, JsonSchema)]
struct Refund {
    /// The order's number, such as ORD-17.
    order_id: OrderId,
    /// How much to pay back, in euros: 25 or 12.50.
    #[schemars(range(min = 0.01, max = 1_000_000.0))]
    amount: f64,
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 500))]
    reason: String,
    /// A text of your own that names this refund: with the same key it is done only once.
    #[schemars(length(min = 1, max = 200))]
    idempotency_key: Option<String>,
}

async fn refund(
    State(db): State<Db>,
    State(delay): State<RefundDelay>,
    Args(refund): Args<Refund>,
    context: Context,
) -> Result<Value> {
    let key = refund.idempotency_key.clone().or_else(|| context.idempotency_key().map(str::to_owned));
    let key =
        key.ok_or_else(|| wrong("`/idempotency_key`: a refund needs a key, so that it is done only once."))?;
    let (who, owner) = (who(&context)?, context.owner()?);
    let answer = db.run(move |tx| refunded(tx, &refund, (&owner, &key), &who)).await?;
    if delay.0 > Millis(0) {
        tokio::time::sleep(delay.0.duration()).await;
    }
    Ok(answer)
}

fn wrong(why: &str) -> Error {
    Error::new(Code::InvalidArguments).detail(why)
}

/// Converts euros to cents, without rounding.
fn cents(euros: f64) -> std::result::Result<i64, Error> {
    let exact = euros * 100.0;
    if (exact - exact.round()).abs() > 1e-6 {
        return Err(wrong("`/amount`: an amount has at most two decimals."));
    }
    format!("{:.0}", exact.round()).parse().map_err(|_| wrong("`/amount`: this is no amount."))
}

/// Makes a refund once for each key of a user. Every later call with the key gets the first answer.
fn refunded(
    tx: &Transaction<'_>,
    wanted: &Refund,
    (owner, key): (&str, &str),
    who: &str,
) -> std::result::Result<Value, Fault> {
    let (order, amount) = (wanted.order_id, cents(wanted.amount)?);
    let answer = json!({ "order_id": order.to_string(), "refunded": wanted.amount, "idempotency_key": key });
    let sql = "SELECT order_id, amount_cents FROM refunds WHERE owner = ?1 AND idempotency_key = ?2";
    let earlier = tx.query_row(sql, [owner, key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match earlier {
        Some(first) if first == (order.0, amount) => return Ok(answer),
        Some(_) => return Err(Error::new(Code::KeyReused).into()),
        None => {}
    }
    let sql = "SELECT total_cents - discount_cents - refunded_cents FROM orders
        WHERE id = ?1 AND status NOT IN ('pending', 'cancelled')";
    let left = number(tx, "paid order", sql, [order.0])?;
    if amount > left {
        return Err(
            refused(format!("Only {:.2} of this order are left to pay back.", left as f64 / 100.0)).into()
        );
    }
    let sql = "INSERT INTO refunds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    tx.execute(sql, (owner, key, order.0, amount, &wanted.reason, who, now()))?;
    change(
        tx,
        "order",
        "UPDATE orders SET refunded_cents = refunded_cents + ?2 WHERE id = ?1",
        (order.0, amount),
    )?;
    let sql = "UPDATE customers SET balance_cents = balance_cents + ?2
        WHERE id = (SELECT customer_id FROM orders WHERE id = ?1)";
    change(tx, "customer", sql, (order.0, amount))?;
    note(tx, who, "process_refund", &format!("{order}: {:.2}", wanted.amount))?;
    Ok(answer)
}

#[derive(Deserialize, JsonSchema)]
struct Discount {
    /// The order's number, such as ORD-17.
    order_id: OrderId,
    /// The discount code.
    code: String,
}

async fn discount(State(db): State<Db>, Args(wanted): Args<Discount>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        let percent =
            number(tx, "discount code", "SELECT percent FROM discounts WHERE code = ?1", [&wanted.code])?;
        let order = one(
            tx,
            "order",
            "SELECT discount_code, refunded_cents FROM orders WHERE id = ?1",
            [wanted.order_id.0],
        )?;
        let used = order.get("discount_code").and_then(Value::as_str);
        if used.is_some_and(|used| used != wanted.code) || order.get("refunded_cents") != Some(&json!(0)) {
            return Err(refused("The order already has a discount or a refund.").into());
        }
        let sql =
            "UPDATE orders SET discount_code = ?2, discount_cents = total_cents * ?3 / 100 WHERE id = ?1";
        change(tx, "order", sql, (wanted.order_id.0, &wanted.code, percent))?;
        note(tx, &who, "apply_discount", &format!("{}: {}", wanted.order_id, wanted.code))?;
        one(tx, "order", &format!("{ORDER} WHERE id = ?1"), [wanted.order_id.0])
    });
    Ok(done.await?)
}

async fn cancel(State(db): State<Db>, Args(by): Args<ById>, context: Context) -> Result<Value> {
    let who = who(&context)?;
    let done = db.run(move |tx| {
        let order = one(tx, "order", "SELECT status FROM orders WHERE id = ?1", [by.order_id.0])?;
        match order.get("status").and_then(Value::as_str) {
            Some("cancelled") => {}
            Some("pending") => {
                change(tx, "order", "UPDATE orders SET status = 'cancelled' WHERE id = ?1", [by.order_id.0])?;
                note(tx, &who, "cancel_order", &by.order_id.to_string())?;
            }
            _ => return Err(refused("Only a pending order can be cancelled.").into()),
        }
        Ok(json!({ "order_id": by.order_id.to_string(), "status": "cancelled" }))
    });
    Ok(done.await?)
}
