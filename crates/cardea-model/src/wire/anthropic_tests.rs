use cardea_core::message::{Message, ModelEvent, Usage};

use super::*;
use crate::config::Dialect;
use crate::wire::{
    Format, Sent,
    samples::{alias, call, odd_schemas, prompt, read, reading, stream, told_schemas},
};

fn started(input: u64) -> Value {
    let usage = json!({ "input_tokens": input, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 1 });
    json!({ "type": "message_start", "message": { "id": "msg_1", "role": "assistant", "usage": usage } })
}

fn stopped(reason: &str, output: u64) -> Vec<Value> {
    let delta = json!({ "stop_reason": reason, "stop_sequence": null });
    vec![
        json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": output } }),
        json!({ "type": "message_stop" }),
    ]
}

fn block(index: u64, block: Value, deltas: &[Value]) -> Vec<Value> {
    let mut events = vec![json!({ "type": "content_block_start", "index": index, "content_block": block })];
    events.extend(
        deltas.iter().map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
    );
    events.push(json!({ "type": "content_block_stop", "index": index }));
    events
}

#[test]
fn the_request_takes_turns_and_keeps_results_with_their_calls() {
    let sent = Format::Anthropic.request(&prompt(), &alias("claude-x"), Dialect::COMMON);
    assert_eq!(sent.path, "/messages");
    let used = |id: &str, input: Value| json!({ "type": "tool_use", "id": id, "name": "t_ops_get_order", "input": input });
    let expected = json!({
        "model": "claude-x",
        "max_tokens": 100,
        "system": "Be brief.",
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "Orders 17 and 18?" }] },
            { "role": "assistant", "content": [
                used("call_1", json!({ "order_id": 17 })), used("call_2", json!({ "order_id": 18 })), used("call_3", json!({})),
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_1", "content": "{\"status\":\"shipped\"}" },
                { "type": "tool_result", "tool_use_id": "call_2", "content": "no such order", "is_error": true },
                { "type": "tool_result", "tool_use_id": "call_3", "content": "no result was recorded for this call", "is_error": true },
            ] },
            { "role": "assistant", "content": [{ "type": "text", "text": "17 is shipped." }] },
            { "role": "user", "content": [{ "type": "text", "text": "Thanks" }] },
        ],
        "stream": true,
        "tools": [{
            "name": "t_ops_get_order",
            "description": "Retrieve order details.",
            "input_schema": { "type": "object", "properties": { "order_id": { "type": "integer" } } },
        }],
        "temperature": 1.0, "stop_sequences": ["END"],
    });
    assert_eq!(sent.json(), expected);
}

#[test]
fn a_window_that_begins_with_the_model_gets_a_beginning() {
    let mut prompt = prompt();
    prompt.messages = vec![
        Message::Assistant {
            text: "17 is shipped.".into(),
            calls: vec![call("a.1", "x", json!({}))],
            thoughts: None,
        },
        Message::User { text: "one".into() },
        Message::User { text: "two".into() },
    ];
    let sent = Format::Anthropic.request(&prompt, &alias("claude-x"), Dialect::COMMON).json();
    let roles: Vec<&str> =
        sent["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    assert_eq!(sent["messages"][1]["content"][1]["id"], "a_1", "ids of other providers are made to fit");
    assert_eq!(sent["messages"][2]["content"].as_array().unwrap().len(), 3, "the result and both questions");
}

#[test]
fn text_calls_and_both_halves_of_the_usage_are_read() {
    let mut events = vec![started(10), json!({ "type": "ping" })];
    let thought = json!({ "type": "thinking_delta", "thinking": "hm" });
    events.extend(block(0, json!({ "type": "thinking", "thinking": "" }), &[thought]));
    let words = ["Let me ", "look."].map(|text| json!({ "type": "text_delta", "text": text }));
    events.extend(block(1, json!({ "type": "text", "text": "" }), &words));
    let pieces =
        ["", "{\"order_", "id\":17}"].map(|json| json!({ "type": "input_json_delta", "partial_json": json }));
    let used = json!({ "type": "tool_use", "id": "toolu_1", "name": "t_ops_get_order", "input": {} });
    events.extend(block(2, used, &pieces));
    events.extend(stopped("tool_use", 30));
    let usage = Usage { input: 17, cached_input: 5, output: 30 };
    let expected = vec![
        ModelEvent::Text("Let me ".into()),
        ModelEvent::Text("look.".into()),
        ModelEvent::Call(call("toolu_1", "ops.get order", json!({ "order_id": 17 }))),
        ModelEvent::End { finish: Finish::ToolCalls, usage },
    ];
    assert_eq!(read(Format::Anthropic, &stream(&events)).unwrap(), expected);
}

#[test]
fn thoughts_are_work_that_is_paid() {
    let piece = json!({ "type": "thinking_delta", "thinking": "hm, ".repeat(100) });
    let thinking = block(0, json!({ "type": "thinking", "thinking": "Well" }), &[piece.clone(), piece]);
    let cut = stream(&[vec![started(10)], thinking].concat());
    let mut decoder = reading(Format::Anthropic, &cut);
    assert!(decoder.finish().is_err());
    assert_eq!(decoder.spent(), Usage { input: 17, cached_input: 5, output: 201 });
}

#[test]
fn an_answer_is_not_paid_by_the_count_of_its_start() {
    let long = json!({ "type": "text_delta", "text": "word ".repeat(400) });
    let said = [vec![started(10)], block(0, json!({ "type": "text", "text": "" }), &[long])].concat();
    let mut decoder = Format::Anthropic.decoder(&prompt());
    for event in &said {
        let data = event.to_string();
        decoder.push(&Event { data, ..Event::default() }).unwrap();
    }
    assert!(decoder.finish().is_err());
    let estimated = Usage { input: 17, cached_input: 5, output: 500 };
    assert_eq!(decoder.spent(), estimated, "four bytes are a token where the answer breaks off");
    let used = |end: Value| {
        let events = [said.clone(), vec![end, json!({ "type": "message_stop" })]].concat();
        match read(Format::Anthropic, &stream(&events)).unwrap().pop() {
            Some(ModelEvent::End { usage, .. }) => usage,
            other => panic!("{other:?}"),
        }
    };
    let stop = json!({ "stop_reason": "end_turn" });
    let uncounted = json!({ "type": "message_delta", "delta": stop });
    assert_eq!(used(uncounted), estimated, "and where nothing is counted at its end");
    let counted = json!({ "type": "message_delta", "delta": stop, "usage": { "output_tokens": 30 } });
    assert_eq!(used(counted), Usage { output: 30, ..estimated }, "the count at the end is the provider's");
    let twice = json!({ "type": "message_delta", "delta": {}, "usage": { "output_tokens": 30 } });
    let events = [said.clone(), vec![twice, json!({ "type": "message_delta", "delta": stop })]].concat();
    let end = json!({ "type": "message_stop" });
    let last = read(Format::Anthropic, &stream(&[events, vec![end]].concat())).unwrap().pop();
    assert_eq!(
        last,
        Some(ModelEvent::End { finish: Finish::Stop, usage: Usage { output: 30, ..estimated } })
    );
}

#[test]
fn cut_broken_and_refused_answers_are_told_apart() {
    let text = block(0, json!({ "type": "text", "text": "so" }), &[]);
    let trouble = |events: &[Value]| read(Format::Anthropic, &stream(events)).unwrap_err().trouble;
    assert_eq!(trouble(&text), Trouble::Cut);
    let error = |kind: &str| [json!({ "type": "error", "error": { "type": kind, "message": "no" } })];
    assert_eq!(trouble(&error("overloaded_error")), Trouble::Busy);
    assert_eq!(trouble(&error("api_error")), Trouble::Broken);
    assert_eq!(trouble(&[json!({ "hello": 1 })]), Trouble::Garbage);
    for (reason, finish) in
        [("max_tokens", Finish::Length), ("refusal", Finish::ContentFilter), ("end_turn", Finish::Stop)]
    {
        let events = [text.clone(), stopped(reason, 1)].concat();
        let last = read(Format::Anthropic, &stream(&events)).unwrap().pop();
        let usage = Usage { input: 0, cached_input: 0, output: 1 };
        assert_eq!(last, Some(ModelEvent::End { finish, usage }), "{reason}");
    }
    let body =
        br#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#;
    assert_eq!(Format::Anthropic.refusal(400, body, &Sent::default()).trouble, Trouble::TooLong);
    assert_eq!(Format::Anthropic.refusal(529, b"", &Sent::default()).trouble, Trouble::Busy);
}

#[test]
fn what_the_client_demands_is_said_in_this_formats_words() {
    let mut prompt = prompt();
    prompt.demands = Demands {
        tool_choice: ToolChoice::Named("ops.get order".into()),
        parallel_tool_calls: Some(false),
        strict: ["ops.get order".into()].into(),
        format: AnswerFormat::JsonSchema {
            name: "order".into(),
            schema: json!({ "type": "object" }),
            strict: Some(true),
        },
        ..Demands::default()
    };
    let sent = Format::Anthropic.request(&prompt, &alias("claude-x"), Dialect::COMMON).json();
    let named = json!({ "type": "tool", "name": "t_ops_get_order", "disable_parallel_tool_use": true });
    assert_eq!(sent["tool_choice"], named);
    assert_eq!(
        sent["output_config"],
        json!({ "format": { "type": "json_schema", "schema": { "type": "object" } } })
    );
    prompt.demands = Demands { tool_choice: ToolChoice::Required, ..Demands::default() };
    assert_eq!(
        Format::Anthropic.request(&prompt, &alias("claude-x"), Dialect::COMMON).json()["tool_choice"],
        json!({ "type": "any" })
    );
}

#[test]
fn every_lawful_schema_of_a_tool_is_told_as_an_object_with_its_properties() {
    let sent = Format::Anthropic.request(&odd_schemas(), &alias("claude-x"), Dialect::COMMON).json();
    let told: Vec<&Value> =
        sent["tools"].as_array().unwrap().iter().map(|tool| &tool["input_schema"]).collect();
    assert_eq!(told, told_schemas().each_ref());
}

#[test]
fn a_model_that_takes_no_temperature_is_told_none() {
    let told = |omit: &str| {
        let alias = toml::from_str(&format!("provider = \"p\"\nmodel = \"m\"\nomit = {omit}")).unwrap();
        let sent = Format::Anthropic.request(&prompt(), &alias, Dialect::COMMON).json();
        ["temperature", "top_p", "stop_sequences", "max_tokens"].map(|key| sent.get(key).is_some())
    };
    assert_eq!(told("[]"), [true, false, true, true], "both together are refused");
    assert_eq!(told("[\"temperature\"]"), [false, true, true, true]);
    assert_eq!(
        told("[\"temperature\", \"top_p\", \"max_tokens\"]"),
        [false, false, true, true],
        "it demands a limit"
    );
}

#[test]
fn an_end_that_is_not_known_is_none_of_a_whole_answer() {
    let ended = |reason: &str| {
        let mut events =
            block(0, json!({ "type": "text", "text": "" }), &[json!({ "type": "text_delta", "text": "so" })]);
        events.push(json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 2 } }));
        events.push(json!({ "type": "message_stop" }));
        match read(Format::Anthropic, &stream(&events)).unwrap().pop() {
            Some(ModelEvent::End { finish, .. }) => finish,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(["end_turn", "stop_sequence"].map(ended), [Finish::Stop, Finish::Stop]);
    assert_eq!(["pause_turn", "a_new_word"].map(ended), [Finish::Length, Finish::Length]);
}
