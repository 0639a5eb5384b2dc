//! Answers are computed from the data, and writes change the data.

use cardea_mcp::TestClient;
use serde_json::{Value, json};

use crate::{as_one_of, shop};

async fn ask(client: &TestClient, tool: &str, arguments: Value) -> Value {
    let called = client.call(tool, arguments).await;
    called.value().unwrap_or_else(|| panic!("{tool}: {called:?}"))
}

#[tokio::test]
async fn a_refund_is_done_once_however_often_it_is_asked_for() {
    let shop = shop();
    let billing = as_one_of(&shop, "billing");
    let order = ask(&billing, "get_order", json!({ "order_id": "17" })).await;
    let customer = json!({ "customer_id": order["customer_id"] });
    assert_eq!((&order["total"], &order["refunded"]), (&json!(189.0), &json!(0.0)));
    let refund =
        json!({ "order_id": "ORD-17", "amount": 25.5, "reason": "scratched", "idempotency_key": "k1" });
    let first = ask(&billing, "process_refund", refund.clone()).await;
    let calls = (0..8).map(|_| ask(&billing, "process_refund", refund.clone()));
    for again in futures_join(calls).await {
        assert_eq!(again, first);
    }
    let order = ask(&billing, "get_order", json!({ "order_id": "ORD-17", "refund_key": "k1" })).await;
    assert_eq!(order["refunds"].as_array().map(Vec::len), Some(1));
    assert_eq!(order["refunded"], 25.5);
    let other_key = ask(&billing, "get_order", json!({ "order_id": "ORD-17", "refund_key": "k2" })).await;
    assert_eq!(other_key["refunds"], json!([]));
    let admin = as_one_of(&shop, "admin");
    let same_key = json!({ "order_id": "17", "amount": 3.5, "reason": "late", "idempotency_key": "k1" });
    ask(&admin, "process_refund", same_key).await;
    for (who, amount) in [(&billing, 25.5), (&admin, 3.5)] {
        let own = ask(who, "get_order", json!({ "order_id": "17", "refund_key": "k1" })).await;
        assert_eq!(
            (own["refunds"].as_array().map(Vec::len), &own["refunds"][0]["amount"]),
            (Some(1), &json!(amount))
        );
    }
    let customer = ask(&billing, "get_customer", customer).await;
    assert_eq!(customer["balance"], 29.0);
}

/// Polls all futures concurrently, without another dependency.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(move |context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() {
            std::task::Poll::Ready(std::mem::take(&mut done))
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn a_refund_that_is_too_much_unnamed_or_another_one_is_refused() {
    let shop = shop();
    let billing = as_one_of(&shop, "billing");
    let code = async |arguments: Value| billing.call("process_refund", arguments).await.code().to_owned();
    assert_eq!(code(json!({ "order_id": "17", "amount": 10 })).await, "invalid_arguments", "no key");
    assert_eq!(code(json!({ "order_id": "17", "amount": 189.01, "idempotency_key": "a" })).await, "conflict");
    assert_eq!(code(json!({ "order_id": "17", "amount": 10, "idempotency_key": "b" })).await, "done");
    assert_eq!(
        code(json!({ "order_id": "17", "amount": 11, "idempotency_key": "b" })).await,
        "idempotency_key_reused"
    );
    assert_eq!(code(json!({ "order_id": "18000", "amount": 1, "idempotency_key": "c" })).await, "not_found");
    for odd in [json!(0), json!(-5), json!("5"), json!(1.005), json!(1e300), json!(null)] {
        let called = code(json!({ "order_id": "17", "amount": odd, "idempotency_key": "d" })).await;
        assert_eq!(called, "invalid_arguments", "{odd}");
    }
    let other = as_one_of(&shop, "admin");
    let same_key = json!({ "order_id": "17", "amount": 12, "idempotency_key": "b" });
    assert_eq!(other.call("process_refund", same_key).await.code(), "done", "a key is its user's own");
}

#[tokio::test]
async fn the_key_may_travel_beside_the_arguments() {
    let shop = shop();
    let billing = as_one_of(&shop, "billing");
    let params = |key: Value| {
        json!({
            "name": "process_refund", "arguments": { "order_id": "17", "amount": 5 },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "t", "version": "0" },
                "io.modelcontextprotocol/clientCapabilities": {},
                "dev.cardea/idempotency-key": key,
            },
        })
    };
    for none in [json!(""), json!("k".repeat(256)), json!(7)] {
        let (_, body) = billing.post("tools/call", Some("process_refund"), params(none)).await;
        assert!(body.to_string().contains("dev.cardea/idempotency-key"), "it counts as none: {body}");
    }
    for _ in 0..2 {
        let (_, body) =
            billing.post("tools/call", Some("process_refund"), params(json!("turn_1.step_1"))).await;
        assert_eq!(
            body.pointer("/result/structuredContent/idempotency_key"),
            Some(&json!("turn_1.step_1")),
            "{body}"
        );
    }
    let order = ask(&billing, "get_order", json!({ "order_id": "17" })).await;
    assert_eq!(order["refunded"], 5.0);
}

#[tokio::test]
async fn a_ticket_goes_from_its_opening_to_its_end() {
    let shop = shop();
    let support = as_one_of(&shop, "support");
    let ticket =
        ask(&support, "create_ticket", json!({ "customer_id": 42, "subject": "The lamp flickers" })).await;
    let id = ticket["ticket_id"].clone();
    let by = |more: Value| {
        let mut arguments = json!({ "ticket_id": id });
        arguments.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        arguments
    };
    assert_eq!(support.call("close_ticket", by(json!({}))).await.code(), "conflict", "not resolved yet");
    ask(&support, "assign_ticket", by(json!({ "agent": "carla" }))).await;
    ask(&support, "add_ticket_comment", by(json!({ "body": "A new one is on its way.", "internal": true })))
        .await;
    assert_eq!(ask(&support, "escalate_ticket", by(json!({}))).await["tier"], 2);
    ask(&support, "update_ticket", by(json!({ "status": "resolved" }))).await;
    assert_eq!(
        ask(&support, "close_ticket", by(json!({ "resolution": "replaced" }))).await["status"],
        "closed"
    );
    let seen = ask(&support, "get_ticket", by(json!({}))).await;
    assert_eq!((&seen["assignee"], &seen["comments"][0]["is_internal"]), (&json!("carla"), &json!(true)));
    let open = ask(&support, "list_tickets", json!({ "customer_id": 42, "status": "open" })).await;
    assert!(open["tickets"].as_array().unwrap().iter().all(|ticket| ticket["ticket_id"] != id));
}

#[tokio::test]
async fn reports_add_up_to_what_the_orders_say() {
    let shop = shop();
    let admin = as_one_of(&shop, "admin");
    let mut sum = 0.0;
    for customer in 1..=300 {
        sum += ask(&admin, "customer_lifetime_value", json!({ "customer_id": customer })).await["lifetime_value"].as_f64().unwrap();
    }
    let report = ask(&admin, "revenue_report", json!({})).await;
    assert!((report["sold"].as_f64().unwrap() - sum).abs() < 0.01, "{sum} and {report}");
    for order in 1..=60 {
        let dime = json!({ "order_id": order.to_string(), "amount": 0.1, "reason": "late", "idempotency_key": format!("dime-{order}") });
        drop(admin.call("process_refund", dime).await); // fails for unpaid orders
    }
    let mut from = Vec::new();
    for month in report["months"].as_array().unwrap() {
        from.push(format!("{}-01", month["month"].as_str().unwrap()));
    }
    for from in from {
        let part = ask(&admin, "revenue_report", json!({ "from": from })).await;
        for field in ["sold", "refunded"] {
            let written = part[field].to_string();
            let decimals = written.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            assert!(decimals <= 2, "{written} is no amount, from {from}");
        }
    }
    assert!(sum > 100_000.0);
    let churn = ask(&admin, "churn_risk_score", json!({ "customer_id": 42 })).await;
    assert!((0..=100).contains(&churn["score"].as_i64().unwrap()), "{churn}");
    let metrics = ask(&admin, "support_metrics", json!({})).await;
    let tickets: i64 =
        metrics["by_status"].as_array().unwrap().iter().filter_map(|row| row["tickets"].as_i64()).sum();
    assert_eq!(tickets, 240);
    assert_eq!(ask(&admin, "system_health", json!({})).await["status"], "ok");
}

#[tokio::test]
async fn what_was_changed_is_seen_at_once_and_stands_in_the_log() {
    let shop = shop();
    let (support, ops) = (as_one_of(&shop, "support"), as_one_of(&shop, "ops"));
    let before = ask(&support, "get_customer", json!({ "customer_id": 42 })).await;
    ask(
        &support,
        "update_customer",
        json!({ "customer_id": 42, "city": "Oslo", "email": "new@example.com" }),
    )
    .await;
    let after = ask(&support, "get_customer", json!({ "customer_id": 42 })).await;
    assert_eq!((&after["city"], &after["name"]), (&json!("Oslo"), &before["name"]));
    let found = ask(&support, "search_customers", json!({ "query": "NEW@example" })).await;
    assert_eq!(found["customers"].as_array().map(Vec::len), Some(1));
    ask(&support, "add_customer_note", json!({ "customer_id": 42, "note": "calls back" })).await;
    assert_eq!(
        ask(&support, "get_customer_history", json!({ "customer_id": 42 })).await["notes"][0]["author"],
        "support"
    );
    ask(&ops, "feature_toggle", json!({ "flag": "new_checkout", "enabled": true })).await;
    let log = ask(&ops, "audit_log", json!({ "limit": 2 })).await;
    assert_eq!(
        (&log["entries"][0]["object"], &log["entries"][1]["who"]),
        (&json!("new_checkout on"), &json!("support"))
    );
    let admin = as_one_of(&shop, "admin");
    let sold = ask(&admin, "revenue_report", json!({})).await["sold"].as_f64().unwrap();
    ask(&admin, "delete_customer", json!({ "customer_id": 42 })).await;
    let left = ask(&admin, "revenue_report", json!({})).await["sold"].as_f64().unwrap();
    assert!(left < sold, "orders that are gone are not counted: {left} of {sold}");
    assert_eq!(admin.call("get_customer", json!({ "customer_id": 42 })).await.code(), "not_found");
    assert_eq!(admin.call("list_orders", json!({ "customer_id": 42 })).await.code(), "not_found");
}

#[tokio::test]
async fn an_order_is_discounted_cancelled_tracked_and_paid_by_the_rules() {
    let shop = shop();
    let admin = as_one_of(&shop, "admin");
    let mut pending = None;
    for customer in 1..=300 {
        let orders =
            ask(&admin, "list_orders", json!({ "customer_id": customer, "status": "pending" })).await;
        if let Some(order) = orders["orders"].as_array().and_then(|orders| orders.first()) {
            pending = Some(order["order_id"].clone());
            break;
        }
    }
    let by = json!({ "order_id": pending.unwrap() });
    assert_eq!(ask(&admin, "cancel_order", by.clone()).await["status"], "cancelled");
    assert_eq!(ask(&admin, "cancel_order", by).await["status"], "cancelled", "again is no harm");
    assert_eq!(admin.call("cancel_order", json!({ "order_id": "ORD-17" })).await.code(), "conflict");
    let discount = json!({ "order_id": "ORD-17", "code": "WELCOME10" });
    assert_eq!(ask(&admin, "apply_discount", discount.clone()).await["discount"], 18.9);
    assert_eq!(ask(&admin, "apply_discount", discount).await["discount"], 18.9);
    assert_eq!(
        admin.call("apply_discount", json!({ "order_id": "17", "code": "LOYAL15" })).await.code(),
        "conflict"
    );
    assert_eq!(ask(&admin, "track_shipment", json!({ "order_id": "17" })).await["status"], "delivered");
    assert_eq!(ask(&admin, "get_invoice", json!({ "invoice_id": 10017 })).await["amount"], 189.0);
    let methods = ask(&admin, "get_payment_methods", json!({ "customer_id": 7 })).await;
    assert_eq!(methods["payment_methods"][0]["is_default"], true);
    assert!(ask(&admin, "get_customer_segments", json!({ "customer_id": 7 })).await["segments"].is_array());
}

#[tokio::test]
async fn the_data_is_the_same_every_time_and_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let config = customer_ops::Config { folder: Some(folder.path().to_owned()), ..Default::default() };
        as_one_of(&TestClient::new(customer_ops::server(config).unwrap()).unwrap(), "admin")
    };
    let fresh = as_one_of(&shop(), "admin");
    let first = open();
    for tool in ["revenue_report", "support_metrics"] {
        assert_eq!(ask(&first, tool, json!({})).await, ask(&fresh, tool, json!({})).await);
    }
    ask(&first, "process_refund", json!({ "order_id": "17", "amount": 1, "idempotency_key": "k" })).await;
    drop(first);
    assert_eq!(ask(&open(), "get_order", json!({ "order_id": "17" })).await["refunded"], 1.0);
}
