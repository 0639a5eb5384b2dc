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

mod careful;
mod long;
mod values;
mod whole;

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
    asked_with(model, messages, thirty())
}

fn asked_with(model: &Rehearsal, messages: &[Message], tools: Vec<ToolSpec>) -> (Vec<ToolCall>, String) {
    let prompt = Prompt {
        model: "rehearsal".into(),
        messages: messages.to_vec(),
        tools,
        sampling: Default::default(),
        demands: Default::default(),
        room: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let events: Vec<ModelEvent> = runtime
        .block_on(async { model.next(prompt).await.unwrap().map(|event| event.unwrap()).collect().await });
    let (mut calls, mut text, mut ends) = (Vec::new(), String::new(), 0);
    for event in events {
        assert_eq!(ends, 0, "something came after the end");
        match event {
            ModelEvent::Text(piece) | ModelEvent::Refusal(piece) => text.push_str(&piece),
            ModelEvent::Call(call) => calls.push(call),
            ModelEvent::Unseen(_) | ModelEvent::Thoughts(_) | ModelEvent::Spent(_) => {
                panic!("it has no thoughts, and nothing breaks off")
            }
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
    worded(&calls, &text)
}

fn worded(calls: &[ToolCall], text: &str) -> String {
    match calls.first() {
        Some(call) => {
            let sorted: BTreeMap<&String, &Value> = call.arguments.iter().collect();
            format!("{} {}", call.name, serde_json::to_string(&sorted).unwrap())
        }
        None => match text.split("waiting for `").nth(1) {
            Some(rest) => format!("ask {rest}").replace(['`', ')'], ""),
            None => text.to_owned(),
        },
    }
}

/// What people type, and what should come of it.
fn utterances() -> Vec<(String, String, Value)> {
    serde_json::from_str(include_str!("utterances.json")).unwrap()
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
            name == tool && serde_json::from_str::<Value>(rest).ok().as_ref() == Some(arguments)
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
        calls: vec![ToolCall { id: format!("call_{number}"), name: tool.into(), arguments, written: None }],
        thoughts: None,
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
    Message::Assistant { text: text.into(), calls: Vec::new(), thoughts: None }
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
    assert!(text.starts_with("Placed for order 17: 2026-05-01 12:30."), "{text}");
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
    let one = json!({ "customer_id": 4, "orders": [{ "order_id": "ORD-1", "status": "paid" }] });
    let text = told("list the orders of customer 4", "list_orders", json!({ "customer_id": 4 }), one);
    assert!(text.starts_with("There is 1 order:\n- order id ORD-1, status paid"), "{text}");
    let text = told("list the orders of customer 4", "list_orders", json!({ "customer_id": 4 }), json!([]));
    assert!(text.starts_with("There are no orders."), "{text}");

    let refund = json!({ "refund_id": "r1", "amount_cents": 1250, "currency": "EUR", "status": "done" });
    let text = told(
        "refund $12.50 for order 17",
        "process_refund",
        json!({ "order_id": 17, "amount": 12.5 }),
        refund,
    );
    assert!(
        text.starts_with("Done: the refund is processed. ") && text.contains("amount 12.50 EUR"),
        "{text}"
    );

    let text = told(
        "lifetime value of customer 3",
        "customer_lifetime_value",
        json!({ "customer_id": 3 }),
        json!(1234.5),
    );
    assert!(text.starts_with("The customer lifetime value of customer 3 is 1234.5."), "{text}");
    let ticket = json!({ "ticket_id": 5, "status": "open", "comments": [
        { "author": "bob", "text": "Asked for a photo.", "at": "2026-10-08", "is_internal": false },
    ] });
    let text = told("show me ticket 5 with its comments", "get_ticket", json!({ "ticket_id": 5 }), ticket);
    assert!(
        text.starts_with("Ticket 5: status open.\nComments:\n- bob (2026-10-08): Asked for a photo.\n"),
        "{text}"
    );
    let refund = json!({ "order_id": "ORD-17", "refunded": 150.0, "idempotency_key": "turn_1" });
    let text = told(
        "refund 150 euros for order 17",
        "process_refund",
        json!({ "order_id": "ORD-17", "amount": 150 }),
        refund,
    );
    assert!(
        text.starts_with("Done: the refund is processed. Refunded for order ORD-17: 150.00.")
            && !text.contains("turn_1"),
        "{text}"
    );
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
        assert!(text.starts_with("I could not process the refund: ") && text.contains(reason), "{text}");
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

thread_local! {
    static WORDS: Rehearsal = words_alone();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn no_message_makes_it_fall(text in "\\PC{0,80}|[a-z0-9#$., ?']{0,60}", data in "\\PC{0,60}|[{}\\[\\]\":,a-z0-9]{0,40}") {
        let result = Message::Tool { call_id: "call_1".into(), name: "get_order".into(), text: data, failed: false };
        WORDS.with(|model| {
            let _ = outcome(model, &[user(&text)]);
            let _ = outcome(model, &[user(&text), call(1, "get_order", json!({ "order_id": 1 })), result]);
            let told = answer(&format!("It is so. {HONEST}"));
            let _ = outcome(model, &[user("show order 12"), told.clone(), user(&text)]);
            let _ = outcome(model, &[user(&text), told, user("and 13?")]);
            let asked = answer("Which one? (rehearsal model: waiting for `amount` of `process_refund`)");
            let _ = outcome(model, &[user("refund order 3"), asked, user(&text)]);
        });
    }
}

/// How many of these become the right call, and how many the right tool at least.
fn understood(model: &Rehearsal, all: &[(String, String, Value)]) -> (usize, usize) {
    let mut count = (0, 0);
    for (text, tool, arguments) in all {
        let got = outcome(model, &[user(text)]);
        let Some((name, rest)) = got.split_once(' ').filter(|(name, _)| name == tool) else { continue };
        count.1 += 1;
        if serde_json::from_str::<Value>(rest).ok().as_ref() == Some(arguments) {
            count.0 += 1;
        } else {
            println!("{name}: {text}: {rest}");
        }
    }
    count
}

#[test]
fn what_nobody_had_in_mind_is_mostly_understood() {
    let all: Vec<(String, String, Value)> =
        serde_json::from_str(include_str!("utterances_fresh.json")).unwrap();
    let (calls, tools) = understood(&with_encoder(), &all);
    println!("with the encoder: {calls} calls and {tools} tools of {}", all.len());
    assert!(calls * 100 >= all.len() * 92, "{calls} of {}", all.len());
    let (calls, tools) = understood(&words_alone(), &all);
    println!("by words alone: {calls} calls and {tools} tools of {}", all.len());
    assert!(calls * 100 >= all.len() * 85, "{calls} of {}", all.len());
}

/// Tools of another trade, as an office assistant has them, with ids, dates and enums written in other ways.
fn office() -> Vec<ToolSpec> {
    let table = json!([
        ["calendar__find_meetings", "Find meetings in the calendar.", "read", {
            "from": { "type": "string", "format": "date" }, "to": { "type": "string", "format": "date" },
            "attendee": { "type": ["string", "null"], "format": "email" } }, []],
        ["calendar__book_room", "Reserve a meeting room for some hours.", "write", {
            "room": { "$ref": "#/$defs/Room" }, "day": { "type": "string", "format": "date" },
            "hours": { "type": "integer" } }, ["room", "day"]],
        ["mail__send_message", "Send an e-mail message to somebody.", "write", {
            "to_email": { "type": "string", "format": "email" }, "subject": { "type": "string" },
            "body": { "type": "string" } }, ["to_email", "body"]],
        ["hr__get_invoice_status", "Look at the state of a supplier's invoice.", "read", {
            "invoice": { "type": "string", "pattern": "^INV-[0-9]{4}$", "description": "The invoice's number." } }, ["invoice"]],
        ["files__search_documents", "Search documents by words in them.", "read", {
            "query": { "type": "string" }, "max_results": { "type": "integer" } }, ["query"]],
        ["travel__raise_limit", "Raise the spending limit of a traveller by a percentage.", "write", {
            "traveller_id": { "type": "string", "format": "uuid" }, "percent": { "type": "number" } }, ["traveller_id", "percent"]],
        ["shop__get_order", "Retrieve order details.", "read", {
            "order_id": { "$ref": "#/$defs/OrderId", "description": "The order's number, such as ORD-17." },
            "refund_key": { "type": ["string", "null"], "description": "Only the refund with this key." } }, ["order_id"]],
        ["shop__list_orders", "List the orders of a customer, optionally filtered by status.", "read", {
            "customer_id": { "type": "integer", "format": "int64", "description": "The customer's number." },
            "status": { "type": ["string", "null"], "pattern": "^(pending|paid|shipped)$" } }, ["customer_id"]],
        ["shop__revenue_report", "Generate a revenue summary report.", "read", {
            "from": { "type": ["string", "null"], "format": "date" },
            "to": { "type": ["string", "null"], "format": "date" } }, []],
    ]);
    let defs = json!({ "OrderId": { "type": "string" }, "Room": { "oneOf": [{ "const": "blue_room" }, { "const": "garden" }] } });
    let tool = |row: &Value| {
        let schema = json!({ "type": "object", "properties": row[3], "required": row[4], "$defs": defs });
        serde_json::from_value(
            json!({ "name": row[0], "description": row[1], "effect": row[2], "input_schema": schema }),
        )
        .unwrap()
    };
    table.as_array().unwrap().iter().map(tool).collect()
}

#[test]
fn tools_of_another_trade_are_filled_by_their_schemas() {
    let model = with_encoder();
    let table = [
        (
            "which meetings do I have from 2026-12-01 to 2026-12-05?",
            r#"calendar__find_meetings {"from":"2026-12-01","to":"2026-12-05"}"#,
        ),
        (
            "meetings with ann@corp.example since yesterday",
            r#"calendar__find_meetings {"attendee":"ann@corp.example","from":"2026-11-17"}"#,
        ),
        (
            "book the blue room on 3 December for 2 hours",
            r#"calendar__book_room {"day":"2026-12-03","hours":2,"room":"blue_room"}"#,
        ),
        ("reserve a room tomorrow", "ask room of calendar__book_room"),
        (
            "send a mail to bob@corp.example saying the order has left",
            r#"mail__send_message {"body":"the order has left","subject":"the order has left","to_email":"bob@corp.example"}"#,
        ),
        ("what is the state of invoice 1042?", r#"hr__get_invoice_status {"invoice":"INV-1042"}"#),
        ("is inv-0007 paid?", r#"hr__get_invoice_status {"invoice":"INV-0007"}"#),
        ("what is the state of invoice 7?", "ask invoice of hr__get_invoice_status"),
        (r#"search documents for "travel policy""#, r#"files__search_documents {"query":"travel policy"}"#),
        ("what is the status of order 17?", r#"shop__get_order {"order_id":"ORD-17"}"#),
        ("show me ord-204", r#"shop__get_order {"order_id":"ORD-204"}"#),
        (
            "which orders of customer 4 are shipped?",
            r#"shop__list_orders {"customer_id":4,"status":"shipped"}"#,
        ),
        (
            "how much revenue did we make last quarter?",
            r#"shop__revenue_report {"from":"2026-07-01","to":"2026-09-30"}"#,
        ),
        (
            "revenue report from 2026-01-01 to 2026-03-31",
            r#"shop__revenue_report {"from":"2026-01-01","to":"2026-03-31"}"#,
        ),
        (
            "raise the limit of traveller 0b1a6bd4-95a5-4b41-9a50-3b1f7f1d2f10 by 12.5 percent",
            r#"travel__raise_limit {"percent":12.5,"traveller_id":"0b1a6bd4-95a5-4b41-9a50-3b1f7f1d2f10"}"#,
        ),
    ];
    for (text, expected) in table {
        let (calls, reply) = asked_with(&model, &[user(text)], office());
        assert_eq!(worded(&calls, &reply), expected, "{text}");
    }
}

#[test]
fn what_no_offered_tool_does_is_searched_for_once_and_then_said() {
    let model = words_alone();
    let find = cardea_core::select::find_tools();
    let wish = "Please compose a haiku about the sea in autumn.";
    let offered: Vec<ToolSpec> = thirty().into_iter().take(2).chain([find.clone()]).collect();
    let (calls, _) = asked_with(&model, &[user(wish)], offered.clone());
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].name.as_str(), &calls[0].arguments["need"]), (FIND_TOOLS, &json!(wish)));
    let found = Message::Tool {
        call_id: calls[0].id.clone(),
        name: FIND_TOOLS.into(),
        text: json!({ "tools": [] }).to_string(),
        failed: false,
    };
    let called = Message::Assistant { text: String::new(), calls, thoughts: None };
    let (again, said) = asked_with(&model, &[user(wish), called, found], offered);
    assert!(again.is_empty() && said.contains("None of the tools"), "{said}");
    // Without the way out nothing changes, and the way out is no tool for a wish of its own.
    let (calls, said) = asked_with(&model, &[user(wish)], thirty());
    assert!(calls.is_empty() && said.contains("None of the tools"), "{said}");
    let (calls, _) = asked_with(&model, &[user("find more tools")], vec![find]);
    assert!(calls.iter().all(|call| call.name == FIND_TOOLS && call.arguments["need"] == "find more tools"));
}

/// Tools as clients bring them along, of which nobody knows what they do.
fn weather(name: &str, about: &str, argument: &str, said: &str) -> Vec<ToolSpec> {
    let schema = json!({ "type": "object", "required": [argument], "properties": {
        argument: { "type": "string", "description": said }, "unit": { "enum": ["celsius", "fahrenheit"] } } });
    let tool = json!({ "name": name, "description": about, "input_schema": schema, "effect": "destructive",
        "idempotent": false, "sends_outside": true, "examples": [], "cache": null, "clears": [] });
    vec![serde_json::from_value(tool).unwrap()]
}

#[test]
fn a_tool_that_a_client_brings_is_called_with_the_place_that_was_named() {
    let tools = [
        weather("get_weather", "Get the current weather for a city", "city", "The city name"),
        weather(
            "get_weather",
            "Get current temperature for a given location.",
            "location",
            "City, e.g. Lima",
        ),
        weather("get_current_weather", "Get the current weather in a given location", "location", ""),
        weather("get_weather", "", "city", ""),
    ];
    let said = [
        ("What is the weather in Riga?", "Riga"),
        ("What is the weather like in New York City?", "New York City"),
        ("How is the weather in Paris, France?", "Paris, France"),
        ("weather Riga", "Riga"),
    ];
    for model in [with_encoder(), words_alone()] {
        for tools in &tools {
            for (text, place) in said {
                let (calls, told) = asked_with(&model, &[user(text)], tools.clone());
                let call = calls.first().unwrap_or_else(|| panic!("{text}: {told}"));
                let given: Vec<&Value> = call.arguments.values().collect();
                assert_eq!(given, [place], "{text}");
            }
            // Without a capital letter the words alone cannot tell a place from any other word.
            if model.embedder.is_some() {
                let (calls, told) = asked_with(&model, &[user("what's the weather in riga?")], tools.clone());
                let call = calls.first().unwrap_or_else(|| panic!("{told}"));
                assert_eq!(call.arguments.values().collect::<Vec<_>>(), ["riga"]);
            }
            let (calls, told) = asked_with(&model, &[user("What is the weather?")], tools.clone());
            assert!(calls.is_empty() && told.contains("waiting for"), "nobody named a place: {told}");
        }
    }
}

#[test]
fn words_that_are_joined_by_a_slash_go_to_as_many_arguments() {
    let tool = |name: &str, about: &str, example: &str| {
        let text = json!({ "type": "string" });
        json!({ "name": name, "description": about, "input_schema": { "type": "object",
            "properties": { "owner": text, "repo": text }, "required": ["owner", "repo"] }, "effect": "read",
            "idempotent": false, "sends_outside": true, "examples": [example], "cache": null, "clears": [] })
    };
    let tools: Vec<ToolSpec> = [
        tool(
            "github__get_repository",
            "Look up a public repository on GitHub: what it is, its stars, its licence.",
            "what is the repository rust-lang/cargo",
        ),
        tool(
            "github__list_issues",
            "List the issues of a public repository on GitHub that were changed last.",
            "which issues are open in rust-lang/cargo",
        ),
    ]
    .map(|tool| serde_json::from_value(tool).unwrap())
    .into();
    for (text, name, owner, repo) in [
        ("What is the repository rust-lang/cargo?", "github__get_repository", "rust-lang", "cargo"),
        ("How many stars does tokio-rs/tokio have on GitHub?", "github__get_repository", "tokio-rs", "tokio"),
        ("Which issues are open in serde-rs/serde.json?", "github__list_issues", "serde-rs", "serde.json"),
    ] {
        for model in [with_encoder(), words_alone()] {
            let (calls, told) = asked_with(&model, &[user(text)], tools.clone());
            let call = calls.first().unwrap_or_else(|| panic!("{text}: {told}"));
            assert_eq!(call.name, name, "{text}");
            assert_eq!(
                Value::Object(call.arguments.clone()),
                json!({ "owner": owner, "repo": repo }),
                "{text}"
            );
        }
    }
}
