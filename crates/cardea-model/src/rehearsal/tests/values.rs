//! Amounts, and what `it` means: where it is not sure, it asks before it changes anything.

use super::*;

#[test]
fn an_amount_is_taken_only_where_there_is_one_way_to_read_it() {
    let model = words_alone();
    for (text, amount) in [
        ("Refund 1,000 euros for order 31", "1000"),
        ("Refund 1.500,00 euros for order 68", "1500"),
        ("Refund 1,250.50 euros for order 68", "1250.5"),
        ("Refund 12,50 euros for order 68", "12.5"),
        ("Refund 12.50 for order 68", "12.5"),
        ("Refund 12,50 for order 68", "12.5"),
        ("Refund 300 cents for order 68", "3"),
        ("Refund 300ct for order 68", "3"),
        ("Refund €3 for order 68", "3"),
        ("Refund order 68, customer 12, 4 euros", "4"),
        ("Refund 10 order 68", "10"),
        ("Refund the 5 euros for order 68", "5"),
    ] {
        let got = outcome(&model, &[user(text)]);
        assert!(got.starts_with(&format!("process_refund {{\"amount\":{amount},")), "{text}: {got}");
    }
    for text in [
        "Refund 1.000 euros for order 32",
        "Refund 1.000 for order 32",
        "Refund 1,50,0 euros for order 32",
        "Refund 0.001 euros for order 32",
        "Refund -5 euros for order 32",
        "Refund -5 for order 32",
        "Refund −€5 for order 32",
        "Refund minus 5 euros for order 32",
        "Refund between 5 and 10 euros for order 32",
        "Refund 5-10 euros for order 32",
        "Refund 5 to 10 euros for order 32",
        "Refund from 5 euros to 10 euros for order 32",
        "Refund up to 10 euros for order 32",
        "Refund about 10 euros for order 32",
        "Refund at least 10 euros for order 32",
        "Refund 2 x 10 euros for order 32",
        "Refund 2 times 10 euros for order 32",
        "Refund 5 + 10 euros for order 32",
        "Refund 10 euros each for order 32",
        "Refund half of 10 euros for order 32",
        "Refund 50% of 10 euros for order 32",
        "Refund 5 euros 50 for order 32",
        "Refund 5 euros and 3 euros for order 32",
        "Refund 5 thousand euros for order 32",
        "Refund 5 thousand for order 32",
        "Refund 5k euros for order 32",
        "Refund 10 20 for order 32",
        "Refund 20 17",
    ] {
        let got = outcome(&model, &[user(text)]);
        assert!(got.starts_with("ask "), "{text}: {got}");
        assert_eq!(
            talk(&model, &["Refund 1.000 euros for order 32", "1000"]),
            r#"process_refund {"amount":1000,"order_id":32}"#
        );
    }
    let (_, text) = asked(&model, &[user("Refund 1.000 euros for order 32")]);
    assert!(text.contains("`1.000 euros`"), "{text}");
}

/// One tool that pays in euros, and says so.
fn till() -> Vec<ToolSpec> {
    let schema = json!({ "type": "object", "required": ["order_id", "amount"], "properties": {
        "order_id": { "type": "integer", "description": "The order's number." },
        "amount": { "type": "number", "description": "How much to pay back, in euros: 25 or 12.50." } } });
    let tool = json!({ "name": "process_refund", "description": "Process a refund.", "effect": "write",
        "input_schema": schema, "examples": ["refund 20 euros for order 17"] });
    vec![serde_json::from_value(tool).unwrap()]
}

#[test]
fn a_currency_that_the_tool_does_not_take_is_asked_about() {
    let model = words_alone();
    let paid = |text: &str| {
        let (calls, told) = asked_with(&model, &[user(text)], till());
        worded(&calls, &told)
    };
    for text in [
        "Refund 5 euros for order 70",
        "Refund 5 EUR for order 70",
        "Refund €5 for order 70",
        "Refund 5 for order 70",
    ] {
        assert_eq!(paid(text), r#"process_refund {"amount":5,"order_id":70}"#, "{text}");
    }
    for text in ["Refund 5 dollars for order 70", "Refund $5 for order 70", "Refund 5 pounds for order 70"] {
        assert_eq!(paid(text), "ask amount of process_refund", "{text}");
    }
}

#[test]
fn numbers_of_other_things_are_no_reason() {
    let model = words_alone();
    for (text, expected) in [
        ("Close tickets 31, 32 and 33", r#"close_ticket {"ticket_id":31}"#),
        ("Refund order 77, customer 12, 4 euros", r#"process_refund {"amount":4,"order_id":77}"#),
    ] {
        assert_eq!(outcome(&model, &[user(text)]), expected, "{text}");
    }
}

#[test]
fn of_two_things_that_change_each_gets_its_own_words() {
    assert_eq!(
        outcome(&words_alone(), &[user("Change customer 63's city to Rome and email to a@b.example")]),
        r#"update_customer {"city":"Rome","customer_id":63,"email":"a@b.example"}"#
    );
}

fn shown(number: usize, tool: &str, id: &str, value: u64) -> [Message; 4] {
    [
        user(&format!("show {} {value}", id.trim_end_matches("_id"))),
        call(number, tool, json!({ id: value })),
        result(number, tool, json!({ id: value, "status": "paid" })),
        answer("It is paid."),
    ]
}

#[test]
fn it_is_what_was_last_spoken_of_or_is_asked_for() {
    let model = words_alone();
    let order = shown(1, "get_order", "order_id", 112);
    let ticket = shown(2, "get_ticket", "ticket_id", 22);
    let second = shown(2, "get_order", "order_id", 113);
    let lost = [user("and the thing?"), answer("None of the tools that I was given fits that.")];
    let then =
        |before: &[&[Message]], text: &str| outcome(&model, &[&before.concat()[..], &[user(text)]].concat());
    let refund = r#"process_refund {"amount":3,"order_id":112}"#;
    assert_eq!(then(&[&order], "refund 3 euros for it"), refund);
    assert_eq!(then(&[&order], "refund 3 euros for the order"), refund);
    assert_eq!(then(&[&order, &second], "refund 3 euros for it"), refund.replace("112", "113"));
    let asks = "ask order_id of process_refund";
    assert_eq!(then(&[&order, &lost], "refund 3 euros for it"), asks, "the last wish was not understood");
    assert_eq!(then(&[&order, &ticket], "refund 3 euros for it"), asks, "a ticket was spoken of last");
    assert_eq!(then(&[&order, &second], "refund 3 euros for the first one"), asks);
    assert_eq!(then(&[&order, &second], "refund 3 euros for both"), asks);
    assert_eq!(then(&[&order, &second], "refund 3 euros for them"), asks);
    assert_eq!(then(&[&order], "refund 3 euros"), asks, "nothing points back");
    assert_eq!(then(&[&order], "and 113?"), r#"get_order {"order_id":113}"#);
    let failed =
        Message::Tool { call_id: "call_1".into(), name: "get_order".into(), text: "no".into(), failed: true };
    let failed = [order[0].clone(), order[1].clone(), failed, answer("I could not get the order.")];
    assert_eq!(then(&[&failed], "refund 3 euros for it"), asks, "there was no such order");
    // What was asked back in between is still one wish.
    let request = [
        user("refund it"),
        answer("How much? (rehearsal model: …; waiting for `amount` of `process_refund`)"),
    ];
    assert_eq!(then(&[&order, &request], "3 euros"), refund);
}
