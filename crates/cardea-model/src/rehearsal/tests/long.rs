//! Messages without end hold up nobody.

use super::*;

fn assistant(text: &str) -> Message {
    Message::Assistant { text: text.into(), calls: Vec::new(), thoughts: None }
}

/// About so many bytes of numbers, each of which may be an order or an amount.
fn numbers(bytes: usize) -> String {
    (0..).map(|number| format!("{} ", 10 + number % 90)).take(bytes / 3).collect()
}

fn is_told_off(messages: &[Message]) {
    let (calls, text) = asked(&words_alone(), messages);
    assert!(calls.is_empty(), "{calls:?}");
    assert!(text.contains("too long for the rehearsal model"), "{text}");
    assert!(text.ends_with("(rehearsal model: no language model was used)"), "{text}");
}

#[test]
fn a_message_without_end_is_answered_at_once_and_calls_no_tool() {
    is_told_off(&[user(&format!("Refund order {}", numbers(1 << 20)))]);
    is_told_off(&[user(&format!("Show order 17. {}", "word ".repeat(200_000)))]);
    is_told_off(&[user(&format!("Refund 5 euros for order {}", numbers(600)))]);
}

#[test]
fn where_there_are_very_many_tools_a_message_says_less() {
    let fields: Map<String, Value> =
        (0..1_000).map(|number| (format!("amount_{number}"), json!({ "type": "number" }))).collect();
    let inner = json!({ "type": "object", "properties": fields });
    let mut tools = thirty();
    tools[0].input_schema = json!({ "type": "object", "properties": { "all": inner } });
    let text = format!("Refund {}", "5.50 € ".repeat(90));
    let (calls, text) = asked_with(&words_alone(), &[user(&text)], tools.clone());
    assert!(calls.is_empty() && text.contains("too long for the rehearsal model"), "{text}");
    let (calls, text) = asked_with(&words_alone(), &[user("Show order 17")], tools);
    assert_eq!(worded(&calls, &text), "get_order {\"order_id\":17}");
    let many: Vec<ToolSpec> = thirty().into_iter().cycle().take(1_500).collect();
    let (_, text) = asked_with(&words_alone(), &[user(&"Ann Lee and Bob Roe ask ".repeat(80))], many);
    assert!(text.contains("too long for the rehearsal model"), "{text}");
}

#[test]
fn an_answer_that_makes_a_request_too_long_is_told_so() {
    let question = "How much? I need the amount.\n\n(rehearsal model: no language model was used; waiting for `amount` of \
                    `process_refund`)";
    let request = format!("Refund order 17. {}", "word ".repeat(700));
    is_told_off(&[user(&request), assistant(question), user(&format!("5 euros {}", "word ".repeat(200)))]);
}

#[test]
fn what_was_too_long_before_does_not_matter_now() {
    let long = format!("Refund order {}", numbers(1 << 20));
    let mut before = vec![user(&long), assistant("Your message is too long for the rehearsal model.")];
    for _ in 0..2_000 {
        before.push(user(&format!("Show orders {}", numbers(250))));
        before.push(assistant("The tool gave no orders."));
    }
    let (calls, text) = asked(&words_alone(), &[before, vec![user("Show order 17")]].concat());
    assert_eq!(worded(&calls, &text), "get_order {\"order_id\":17}");
}

#[test]
fn a_message_as_long_as_it_may_be_is_read() {
    let text = format!("Show order 17. {}", "Their orders are late, and nobody knows why. ".repeat(90));
    let (calls, text) = asked(&words_alone(), &[user(&text)]);
    assert_eq!(worded(&calls, &text), "get_order {\"order_id\":17}");
    for many in [format!("Show orders {}", numbers(280)), format!("Refund {}", "5.50 € ".repeat(99))] {
        let filled = format!("{many}{}", "word ".repeat(600));
        let (_, text) = asked(&words_alone(), &[user(&filled)]);
        assert!(!text.contains("too long"), "{text}");
    }
}
