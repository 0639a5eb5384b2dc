//! What it passes over must be said, and what it counts must be true.

use super::*;

/// What it says after a result to this message.
fn after(text: &str, tool: &str, arguments: Value, data: Value) -> String {
    told(text, tool, arguments, data)
}

#[test]
fn what_was_not_done_of_a_message_is_said() {
    let closed = |text: &str| {
        after(
            text,
            "close_ticket",
            json!({ "ticket_id": 31 }),
            json!({ "ticket_id": 31, "status": "closed" }),
        )
    };
    let got = closed("Close tickets 31, 32 and 33");
    assert!(got.contains("nothing was done about ticket 32 and ticket 33."), "{got}");
    let got = closed("Close ticket 31 and escalate ticket 40");
    assert!(got.contains("did not do the rest: “escalate ticket 40”."), "{got}");
    for text in [
        "Close ticket 31",
        "Resolve and close ticket 31",
        "Close ticket 31 and let me know",
        "Case 31 is fixed, close it",
    ] {
        let got = closed(text);
        assert!(!got.contains("one thing at a time"), "{text}: {got}");
    }
    let got =
        after("Show me orders 17 and 18", "get_order", json!({ "order_id": 17 }), json!({ "order_id": 17 }));
    assert!(got.contains("nothing was done about order 18."), "{got}");
    let got = after(
        "List open tickets, then assign ticket 7 to deniz",
        "list_tickets",
        json!({ "status": "open" }),
        json!([{ "ticket_id": 1 }]),
    );
    assert!(got.contains("“assign ticket 7 to deniz”"), "{got}");
    let got = after(
        "Add a note to customer 5: call and close ticket 8",
        "add_customer_note",
        json!({ "customer_id": 5, "note": "call and close ticket 8" }),
        json!({ "note_id": 1 }),
    );
    assert!(!got.contains("one thing at a time"), "{got}");
}

#[test]
fn a_list_that_was_not_narrowed_down_says_so() {
    let listed =
        |text: &str, arguments: Value| after(text, "list_tickets", arguments, json!([{ "ticket_id": 1 }]));
    let got = listed("Which tickets are assigned to carla?", json!({}));
    assert!(got.contains("not narrowed down by “assigned” and “carla”"), "{got}");
    for (text, arguments) in [
        ("Which tickets are open?", json!({ "status": "open" })),
        ("show me all tickets of customer 42 please", json!({ "customer_id": 42 })),
        ("list the last 5 tickets", json!({ "limit": 5 })),
        ("what are the tickets in progress?", json!({ "status": "in_progress" })),
    ] {
        let got = listed(text, arguments);
        assert!(!got.contains("narrowed"), "{text}: {got}");
    }
}

#[test]
fn rows_of_one_page_are_no_total() {
    let rows = |count: u64| (1..=count).map(|id| json!({ "ticket_id": id })).collect::<Vec<_>>();
    let listed =
        |arguments: Value, data: Value| after("Which tickets are open?", "list_tickets", arguments, data);
    let got = listed(json!({ "status": "open" }), json!(rows(50)));
    assert!(got.starts_with("The tool gave 50 tickets, and there may be more; the first 5:"), "{got}");
    assert!(got.contains("… and 45 more of these."), "{got}");
    let got = listed(json!({ "status": "open", "limit": 3 }), json!(rows(3)));
    assert!(got.starts_with("The tool gave 3 tickets, as many as were asked for:"), "{got}");
    let got = listed(json!({ "status": "open" }), json!(rows(3)));
    assert!(got.starts_with("There are 3 tickets:"), "{got}");
    let got = listed(json!({ "status": "open" }), json!({ "tickets": rows(50), "total": 120 }));
    assert!(got.starts_with("There are 120 tickets; the first 5:"), "{got}");
}

#[test]
fn sums_are_not_ids_and_help_is_given() {
    for model in [with_encoder(), words_alone()] {
        for text in ["What is 17 times 23?", "What is 17 * 23?", "17 + 4", "how much is 3 x 4?"] {
            let got = outcome(&model, &[user(text)]);
            assert!(got.starts_with("None of the tools that I was given fits that."), "{text}: {got}");
        }
        for text in ["help", "Help!", "what can you do?", "help me please", "?"] {
            let got = outcome(&model, &[user(text)]);
            assert!(got.starts_with("I am the rehearsal model"), "{text}: {got}");
            assert!(thirty().iter().all(|tool| got.contains(tool.name.as_str())), "all are named: {got}");
        }
        assert!(outcome(&model, &[user("yes")]).starts_with("I asked nothing"), "nothing is open");
    }
}

#[test]
fn words_are_put_together_as_people_do() {
    let got = after(
        "status of ticket 3",
        "get_ticket_status",
        json!({ "ticket_id": 3 }),
        json!({ "state": "closed" }),
    );
    assert!(!got.contains("Statu "), "{got}");
    let tools = weather("get_weather", "Get the weather for a city", "city", "The city");
    let messages = [
        user("What is the weather in Riga?"),
        call(1, "get_weather", json!({ "city": "Riga" })),
        result(1, "get_weather", json!({ "temperature": 3 })),
    ];
    let (_, got) = asked_with(&words_alone(), &messages, tools);
    assert!(got.starts_with("Weather: temperature 3."), "{got}");
    let got = after(
        "What segments is customer 51 in?",
        "get_customer_segments",
        json!({ "customer_id": 51 }),
        json!({ "segments": ["basic", "private"] }),
    );
    assert!(got.starts_with("The segments of customer 51 are basic; private."), "{got}");
    let got = after(
        "show order 17",
        "get_order",
        json!({ "order_id": 17 }),
        json!({ "order_id": 17, "refunds": [{ "amount": 5, "reason": "", "by_user": "ann" }] }),
    );
    assert!(got.contains("- amount 5, by user ann"), "{got}");
    let refused = Message::Tool {
        call_id: "call_1".into(),
        name: "feature_toggle".into(),
        text: "No.".into(),
        failed: true,
    };
    let messages = [
        user("enable dark_mode"),
        call(1, "feature_toggle", json!({ "flag": "dark_mode", "enabled": true })),
        refused,
    ];
    let (_, got) = asked(&words_alone(), &messages);
    assert!(got.starts_with("I could not use the feature toggle: No."), "{got}");
}
