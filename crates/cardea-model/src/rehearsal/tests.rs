//! Ann and Bob of customer operations, thirty tools, and no language model.

use cardea_core::time::{ManualClock, Timestamp};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use cardea_embed::{Encoder, Vector};
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::*;
use crate::embedder::{EncoderId, NotNow};

/// 2026-11-18, a Wednesday.
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

/// The bundled encoder on the caller's thread.
struct Direct(Encoder, EncoderId, Mutex<HashMap<String, Arc<Vector>>>);

impl Embedder for Direct {
    fn encoder(&self) -> &EncoderId {
        &self.1
    }

    fn embed(&self, texts: Vec<String>, _within: Duration) -> BoxFuture<'_, Result<Vec<Embedding>, NotNow>> {
        let mut known = self.2.lock().unwrap();
        let mut one = |text: &String| {
            let vector = known.entry(text.clone()).or_insert_with(|| Arc::new(self.0.encode(text).vector));
            Embedding { encoder: self.1.clone(), vector: Arc::clone(vector), truncated: false }
        };
        std::future::ready(Ok(texts.iter().map(&mut one).collect())).boxed()
    }
}

fn with_encoder() -> Rehearsal {
    let encoder = Encoder::bundled().unwrap();
    let id = EncoderId::new(encoder.id());
    Rehearsal::new(Some(Arc::new(Direct(encoder, id, Mutex::default()))), ManualClock::at(NOW)).unwrap()
}

fn words_alone() -> Rehearsal {
    Rehearsal::new(None, ManualClock::at(NOW)).unwrap()
}

fn thirty() -> Vec<ToolSpec> {
    let tools: Vec<Value> = serde_json::from_str(include_str!("thirty_tools.json")).unwrap();
    tools.into_iter().map(|tool| serde_json::from_value(tool).unwrap()).collect()
}

fn user(text: &str) -> Message {
    Message::User { text: text.into() }
}

/// What the model does about these messages: the calls and the text.
fn asked(model: &Rehearsal, messages: &[Message]) -> (Vec<ToolCall>, String) {
    let prompt = Prompt {
        model: "rehearsal".into(),
        messages: messages.to_vec(),
        tools: thirty(),
        sampling: Default::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let events: Vec<ModelEvent> = runtime
        .block_on(async { model.next(prompt).await.unwrap().map(|event| event.unwrap()).collect().await });
    let (mut calls, mut text, mut ends) = (Vec::new(), String::new(), 0);
    for event in events {
        assert_eq!(ends, 0, "something came after the end");
        match event {
            ModelEvent::Text(piece) => text.push_str(&piece),
            ModelEvent::Call(call) => calls.push(call),
            ModelEvent::End { usage, .. } => {
                assert!(usage.input > 0 && usage.output > 0);
                ends += 1;
            }
        }
    }
    assert_eq!(ends, 1);
    (calls, text)
}

/// `tool {arguments}`, or the question that was asked back.
fn outcome(model: &Rehearsal, messages: &[Message]) -> String {
    let (calls, text) = asked(model, messages);
    match calls.first() {
        Some(call) => {
            let sorted: BTreeMap<&String, &Value> = call.arguments.iter().collect();
            format!("{} {}", call.name, serde_json::to_string(&sorted).unwrap())
        }
        None => match text.split("waiting for `").nth(1) {
            Some(rest) => format!("ask {rest}").replace(['`', ')'], ""),
            None => text,
        },
    }
}

/// What people type, and what should come of it.
fn utterances() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("What's the status of order #12345?", "get_order", json!({ "order_id": 12345 })),
        ("what is the status of order 17", "get_order", json!({ "order_id": 17 })),
        ("Can you show me order 1042 please?", "get_order", json!({ "order_id": 1042 })),
        ("How much did order 88 cost?", "get_order", json!({ "order_id": 88 })),
        ("Show me the churn risk for customer 42", "churn_risk_score", json!({ "customer_id": 42 })),
        ("Is customer 42 likely to leave us?", "churn_risk_score", json!({ "customer_id": 42 })),
        ("Where is the package for order 5512 right now?", "track_shipment", json!({ "order_id": 5512 })),
        ("when will order 9 arrive?", "track_shipment", json!({ "order_id": 9 })),
        ("track the delivery of order #31", "track_shipment", json!({ "order_id": 31 })),
        ("Put promo SAVE10 on order 881", "apply_discount", json!({ "order_id": 881, "code": "SAVE10" })),
        (
            "apply the coupon WELCOME to order 12",
            "apply_discount",
            json!({ "order_id": 12, "code": "WELCOME" }),
        ),
        ("Who is customer 1007?", "get_customer", json!({ "customer_id": 1007 })),
        ("show me the profile of client 5", "get_customer", json!({ "customer_id": 5 })),
        (
            "Find the account belonging to jane@corp.example",
            "search_customers",
            json!({ "query": "jane@corp.example" }),
        ),
        ("search for customers named Jane Miller", "search_customers", json!({ "query": "Jane Miller" })),
        ("is there a customer called Okafor?", "search_customers", json!({ "query": "Okafor" })),
        (
            "Change the phone number on file for customer 9 to +49 151 2345678",
            "update_customer",
            json!({ "customer_id": 9, "phone": "+49 151 2345678" }),
        ),
        (
            "set the email of customer 4 to new@mail.example",
            "update_customer",
            json!({ "customer_id": 4, "email": "new@mail.example" }),
        ),
        ("Erase customer 8 for good, GDPR request", "delete_customer", json!({ "customer_id": 8 })),
        ("permanently delete client 77", "delete_customer", json!({ "customer_id": 77 })),
        (
            "What did we talk about with customer 3 in the past?",
            "get_customer_history",
            json!({ "customer_id": 3 }),
        ),
        ("interaction history of customer 15", "get_customer_history", json!({ "customer_id": 15 })),
        (
            "Jot down that customer 6 prefers email contact",
            "add_customer_note",
            json!({ "customer_id": 6, "note": "customer 6 prefers email contact" }),
        ),
        (
            "add a note to customer 5: call after 5 pm",
            "add_customer_note",
            json!({ "customer_id": 5, "note": "call after 5 pm" }),
        ),
        (
            "Which marketing groups does customer 7 belong to?",
            "get_customer_segments",
            json!({ "customer_id": 7 }),
        ),
        ("list the orders of customer 12", "list_orders", json!({ "customer_id": 12 })),
        (
            "which orders of customer 12 are pending?",
            "list_orders",
            json!({ "customer_id": 12, "status": "pending" }),
        ),
        ("What has customer 4 bought so far?", "list_orders", json!({ "customer_id": 4 })),
        ("show the last 3 orders of customer 12", "list_orders", json!({ "customer_id": 12, "limit": 3 })),
        ("Pull up bill 4471", "get_invoice", json!({ "invoice_id": 4471 })),
        ("show me invoice #31", "get_invoice", json!({ "invoice_id": 31 })),
        (
            "refund $25.50 for order 17 because it arrived broken",
            "process_refund",
            json!({ "order_id": 17, "amount": 25.5, "reason": "it arrived broken" }),
        ),
        ("please refund 750 dollars on order 17", "process_refund", json!({ "order_id": 17, "amount": 750 })),
        (
            "give 20 euros back for order 3, the mug was chipped",
            "process_refund",
            json!({ "order_id": 3, "amount": 20, "reason": "the mug was chipped" }),
        ),
        (
            "refund order 17 for the amount of 9.99",
            "process_refund",
            json!({ "order_id": 17, "amount": 9.99 }),
        ),
        ("Stop order 5512 before it ships", "cancel_order", json!({ "order_id": 5512 })),
        (
            "cancel order 9 because the customer changed her mind",
            "cancel_order",
            json!({ "order_id": 9, "reason": "the customer changed her mind" }),
        ),
        ("Which cards does customer 5 have on file?", "get_payment_methods", json!({ "customer_id": 5 })),
        ("payment methods of customer 11", "get_payment_methods", json!({ "customer_id": 11 })),
        ("Open case 310 for me", "get_ticket", json!({ "ticket_id": 310 })),
        ("what is ticket 12 about?", "get_ticket", json!({ "ticket_id": 12 })),
        (
            "Any unresolved cases for customer 88?",
            "list_tickets",
            json!({ "customer_id": 88, "status": "open" }),
        ),
        ("list all open tickets", "list_tickets", json!({ "status": "open" })),
        (
            "show me 5 tickets that are in progress",
            "list_tickets",
            json!({ "status": "in_progress", "limit": 5 }),
        ),
        (
            "Log a new issue for customer 3: the app crashes on login",
            "create_ticket",
            json!({ "customer_id": 3, "subject": "the app crashes on login", "description": "the app crashes on login" }),
        ),
        (
            "create an urgent ticket for customer 5: payment page is blank",
            "create_ticket",
            json!({ "customer_id": 5, "subject": "payment page is blank", "description": "payment page is blank", "priority": "urgent" }),
        ),
        ("Bump case 12 to high priority", "update_ticket", json!({ "ticket_id": 12, "priority": "high" })),
        ("mark ticket 4 as in progress", "update_ticket", json!({ "ticket_id": 4, "status": "in_progress" })),
        (
            "Reply on case 12 that we are investigating",
            "add_ticket_comment",
            json!({ "ticket_id": 12, "body": "we are investigating" }),
        ),
        (
            "add an internal comment to ticket 4: waiting for parts",
            "add_ticket_comment",
            json!({ "ticket_id": 4, "body": "waiting for parts", "internal": true }),
        ),
        ("Give case 77 to agent Maria", "assign_ticket", json!({ "ticket_id": 77, "agent": "Maria" })),
        ("assign ticket 5 to Tom Berger", "assign_ticket", json!({ "ticket_id": 5, "agent": "Tom Berger" })),
        ("This needs tier two, send case 9 up", "escalate_ticket", json!({ "ticket_id": 9 })),
        (
            "escalate ticket 4 because the customer is furious",
            "escalate_ticket",
            json!({ "ticket_id": 4, "reason": "the customer is furious" }),
        ),
        ("Case 5 is fixed, mark it as done", "close_ticket", json!({ "ticket_id": 5 })),
        ("close ticket 8", "close_ticket", json!({ "ticket_id": 8 })),
        (
            "How much is customer 42 worth to us over time?",
            "customer_lifetime_value",
            json!({ "customer_id": 42 }),
        ),
        ("lifetime value of customer 3", "customer_lifetime_value", json!({ "customer_id": 3 })),
        ("How much money did we make last quarter?", "revenue_report", json!({ "period": "quarter" })),
        ("give me the revenue report for this month", "revenue_report", json!({ "period": "month" })),
        ("How fast is the support team answering?", "support_metrics", json!({})),
        ("support performance over the last 30 days", "support_metrics", json!({ "days": 30 })),
        ("how did support do in the past 2 weeks?", "support_metrics", json!({ "days": 14 })),
        ("Is everything up and running?", "system_health", json!({})),
        ("are there any outages at the moment?", "system_health", json!({})),
        (
            "Turn off the new checkout for everyone",
            "feature_toggle",
            json!({ "flag": "new_checkout", "enabled": false }),
        ),
        ("enable dark_mode", "feature_toggle", json!({ "flag": "dark_mode", "enabled": true })),
        ("Who changed what in the last day?", "audit_log", json!({})),
        ("show the last 20 audit entries", "audit_log", json!({ "limit": 20 })),
    ]
}

#[test]
fn what_people_type_becomes_the_call_they_mean() {
    let model = with_encoder();
    let all = utterances();
    let mut wrong = Vec::new();
    for (text, tool, arguments) in &all {
        let got = outcome(&model, &[user(text)]);
        let expected = format!("{tool} {arguments}");
        let same = got.split_once(' ').is_some_and(|(name, rest)| {
            name == *tool && serde_json::from_str::<Value>(rest).ok().as_ref() == Some(arguments)
        });
        if !same {
            wrong.push(format!("{text}\n  expected {expected}\n  got      {got}"));
        }
    }
    println!("{} of {} utterances understood", all.len() - wrong.len(), all.len());
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn without_an_encoder_the_words_decide_nearly_as_well() {
    let model = words_alone();
    let all = utterances();
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|(text, tool, _)| {
            let got = outcome(&model, &[user(text)]);
            (!got.starts_with(&format!("{tool} ")))
                .then(|| format!("{text}\n  expected {tool}\n  got      {got}"))
        })
        .collect();
    println!("{} of {} tools chosen by words alone", all.len() - wrong.len(), all.len());
    assert!(wrong.len() * 20 <= all.len(), "{} of {} wrong:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

fn call(number: usize, tool: &str, arguments: Value) -> Message {
    let arguments = arguments.as_object().unwrap().clone();
    Message::Assistant {
        text: String::new(),
        calls: vec![ToolCall { id: format!("call_{number}"), name: tool.into(), arguments }],
    }
}

fn result(number: usize, tool: &str, data: Value) -> Message {
    Message::Tool {
        call_id: format!("call_{number}"),
        name: tool.into(),
        text: data.to_string(),
        failed: false,
    }
}

fn answer(text: &str) -> Message {
    Message::Assistant { text: text.into(), calls: Vec::new() }
}

/// Says the line, takes what the model says, and goes on: for talks in which the model asks back.
fn talk(model: &Rehearsal, lines: &[&str]) -> String {
    let mut messages = Vec::new();
    let mut last = String::new();
    for line in lines {
        messages.push(user(line));
        last = outcome(model, &messages);
        let (_, text) = asked(model, &messages);
        messages.push(answer(&text));
    }
    last
}

#[test]
fn what_is_missing_is_asked_for_and_the_answer_completes_the_call() {
    let model = words_alone();
    let table: [(&[&str], &str); 9] = [
        (&["what is the status of my order?"], "ask order_id of get_order"),
        (&["what is the status of my order?", "17"], r#"get_order {"order_id":17}"#),
        (&["what is the status of my order?", "it's number 17, thanks"], r#"get_order {"order_id":17}"#),
        (&["refund order 17"], "ask amount of process_refund"),
        (&["refund order 17", "$12.50"], r#"process_refund {"amount":12.5,"order_id":17}"#),
        (
            &["add a note to customer 5", "prefers to be called after 5 pm"],
            r#"add_customer_note {"customer_id":5,"note":"prefers to be called after 5 pm"}"#,
        ),
        (&["give me the revenue report"], "ask period of revenue_report"),
        (&["give me the revenue report", "for the quarter"], r#"revenue_report {"period":"quarter"}"#),
        (
            &["create a ticket: printer is on fire", "customer 9"],
            r#"create_ticket {"customer_id":9,"description":"printer is on fire","subject":"printer is on fire"}"#,
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(talk(&model, lines), expected, "{lines:?}");
    }
    assert!(talk(&model, &["refund order 17", "never mind"]).starts_with("All right, nothing was done."));
    assert_eq!(
        talk(&model, &["refund order 17", "what is the status of order 18?"]),
        r#"get_order {"order_id":18}"#,
        "a new question"
    );
    assert_eq!(talk(&model, &["update customer 4"]), "ask email of update_customer", "an update of nothing");
}

#[test]
fn it_and_her_mean_what_was_spoken_of() {
    let model = words_alone();
    let order = [
        user("what is the status of order 17?"),
        call(1, "get_order", json!({ "order_id": 17 })),
        result(1, "get_order", json!({ "order_id": 17, "customer_id": 42, "status": "shipped" })),
        answer("The status of order 17 is shipped."),
    ];
    let then = |text: &str| outcome(&model, &[order.as_slice(), &[user(text)]].concat());
    assert_eq!(then("where is it now? track it"), r#"track_shipment {"order_id":17}"#);
    assert_eq!(then("refund $5 for it"), r#"process_refund {"amount":5,"order_id":17}"#);
    assert_eq!(
        then("what is her churn risk?"),
        r#"churn_risk_score {"customer_id":42}"#,
        "the result named the customer"
    );
    assert_eq!(then("and the status of order 18?"), r#"get_order {"order_id":18}"#);
    assert_eq!(then("cancel the order please"), r#"cancel_order {"order_id":17}"#);
}

#[test]
fn somebody_who_is_only_named_is_looked_up_first() {
    let model = words_alone();
    let question = user("list the orders of customer Jane Miller");
    assert_eq!(
        outcome(&model, std::slice::from_ref(&question)),
        r#"search_customers {"query":"Jane Miller"}"#
    );
    let found = |rows: Value| {
        let first = call(1, "search_customers", json!({ "query": "Jane Miller" }));
        outcome(
            &model,
            &[question.clone(), first, result(1, "search_customers", json!({ "customers": rows }))],
        )
    };
    let jane = json!({ "customer_id": 42, "name": "Jane Miller" });
    assert_eq!(found(json!([jane])), r#"list_orders {"customer_id":42}"#);
    let several = found(json!([jane, { "customer_id": 43, "name": "Jane A. Miller" }]));
    assert!(several.contains("There are 2 customers") && several.contains("Jane A. Miller"), "{several}");
    assert!(found(json!([])).starts_with("There are no customers."));
}

/// What it says about a result.
fn told(question: &str, tool: &str, arguments: Value, data: Value) -> String {
    asked(&words_alone(), &[user(question), call(1, tool, arguments), result(1, tool, data)]).1
}

#[test]
fn an_answer_is_made_of_the_result_and_says_so() {
    let order = json!({ "order": {
        "order_id": 17, "customer_id": 42, "status": "shipped", "total": 42.5, "currency": "EUR",
        "placed_at": "2026-05-01T12:30:00.000Z", "items": [{ "name": "Blender", "quantity": 1 }], "note": null,
    } });
    let text = told("what's the status of order 17?", "get_order", json!({ "order_id": 17 }), order.clone());
    assert!(text.starts_with("The status of order 17 is shipped."), "{text}");
    assert!(text.contains("total 42.50 EUR") && text.contains("name Blender"), "{text}");
    assert!(text.ends_with(HONEST), "{text}");
    let text = told("when was order 17 placed?", "get_order", json!({ "order_id": 17 }), order.clone());
    assert!(text.starts_with("The placed at of order 17 is 2026-05-01 12:30."), "{text}");
    let text = told("how much was order 17?", "get_order", json!({ "order_id": 17 }), order);
    assert!(text.starts_with("The total of order 17 is 42.50 EUR."), "{text}");

    let rows: Vec<Value> =
        (1..=7).map(|id| json!({ "id": id, "status": "paid", "total": 9.99, "currency": "EUR" })).collect();
    let text = told(
        "list the orders of customer 4",
        "list_orders",
        json!({ "customer_id": 4 }),
        json!({ "orders": rows, "total": 31 }),
    );
    assert!(
        text.starts_with("There are 31 orders; the first 5:\n- 1, status paid, total 9.99 EUR\n"),
        "{text}"
    );
    assert!(text.contains("… and 26 more."), "{text}");
    let text = told("list the orders of customer 4", "list_orders", json!({ "customer_id": 4 }), json!([]));
    assert!(text.starts_with("There are no orders."), "{text}");

    let refund = json!({ "refund_id": "r1", "amount_cents": 1250, "currency": "EUR", "status": "done" });
    let text = told(
        "refund $12.50 for order 17",
        "process_refund",
        json!({ "order_id": 17, "amount": 12.5 }),
        refund,
    );
    assert!(text.starts_with("Done: process refund. ") && text.contains("amount 12.50 EUR"), "{text}");

    let text = told(
        "lifetime value of customer 3",
        "customer_lifetime_value",
        json!({ "customer_id": 3 }),
        json!(1234.5),
    );
    assert!(text.starts_with("The customer lifetime value of customer 3 is 1234.5."), "{text}");
    let wrapped = json!({ "content": [{ "type": "text", "text": "{\"score\":0.82,\"level\":\"high\"}" }] });
    let text = told("churn risk of customer 42", "churn_risk_score", json!({ "customer_id": 42 }), wrapped);
    assert!(text.contains("score 0.82") && text.contains("level high"), "{text}");
}

#[test]
fn a_refusal_is_told_with_its_reason_and_not_tried_again() {
    for (data, reason) in [
        (
            json!({ "error": "denied", "reason": "analysts may not refund" }).to_string(),
            "analysts may not refund",
        ),
        ("Policy does not allow this.".to_owned(), "Policy does not allow this."),
    ] {
        let refused = Message::Tool {
            call_id: "call_1".into(),
            name: "process_refund".into(),
            text: data,
            failed: true,
        };
        let messages = [
            user("refund $5 for order 17"),
            call(1, "process_refund", json!({ "order_id": 17, "amount": 5 })),
            refused,
        ];
        let (calls, text) = asked(&words_alone(), &messages);
        assert!(calls.is_empty());
        assert!(text.starts_with("I could not process refund: ") && text.contains(reason), "{text}");
    }
}

#[test]
fn what_no_tool_does_is_declined_and_a_greeting_is_greeted() {
    let model = with_encoder();
    for text in ["hello there", "Good morning"] {
        assert!(outcome(&model, &[user(text)]).starts_with("Hello. I can try these:"), "{text}");
    }
    assert!(outcome(&model, &[user("thanks a lot!")]).starts_with("You are welcome."));
    for text in [
        "write me a poem about the sea",
        "what is the capital of France?",
        "how is the weather tomorrow?",
        "asdf qwer zxcv",
        "1+1",
    ] {
        let got = outcome(&model, &[user(text)]);
        assert!(got.starts_with("None of the tools that I was given fits that."), "{text}: {got}");
        assert!(got.ends_with(HONEST_PLAIN));
    }
}

#[test]
fn the_same_transcript_gives_the_same_answer_in_small_pieces() {
    let model = words_alone();
    let messages = [user("what can you do")];
    assert_eq!(asked(&model, &messages), asked(&model, &messages));
    let text = asked(&model, &messages).1;
    let pieces = pieces(&text);
    assert_eq!(pieces.concat(), text);
    assert!(pieces.len() > 10 && pieces.iter().all(|piece| piece.len() < 60), "{pieces:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn no_message_makes_it_fall(text in "\\PC{0,80}|[a-z0-9#$., ?']{0,60}", data in "\\PC{0,60}|[{}\\[\\]\":,a-z0-9]{0,40}") {
        let model = words_alone();
        let _ = outcome(&model, &[user(&text)]);
        let result = Message::Tool { call_id: "call_1".into(), name: "get_order".into(), text: data, failed: false };
        let _ = outcome(&model, &[user(&text), call(1, "get_order", json!({ "order_id": 1 })), result]);
    }
}
