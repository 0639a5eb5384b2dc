use cardea_core::message::{Demands, Message, ModelEvent};

use super::*;
use crate::wire::{
    Format, Sent,
    samples::{alias, call, odd_schemas, prompt, read, stream, told_schemas},
};

/// What the transcript of the samples is estimated at, where a stream counts nothing.
const SENT: u64 = 55;

fn end(finish: Finish, input: u64, output: u64) -> ModelEvent {
    ModelEvent::End { finish, usage: Usage { input, cached_input: 0, output } }
}

fn said(text: &str) -> ModelEvent {
    ModelEvent::Text(text.into())
}

pub(super) fn chunk(delta: Value, finish: Value) -> Value {
    json!({ "id": "c1", "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

pub(super) fn trouble(stream: &str) -> Trouble {
    read(Format::OpenAi, stream).unwrap_err().trouble
}

#[test]
fn the_request_is_what_every_server_of_this_format_takes() {
    let sent = Format::OpenAi.request(&prompt(), &alias("gpt-x"), Dialect::COMMON);
    assert_eq!(sent.path, "/chat/completions");
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "t_ops_get_order", "arguments": arguments } });
    let expected = json!({
        "model": "gpt-x",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Orders 17 and 18?" },
            { "role": "assistant", "content": null, "tool_calls": [
                call("call_1", "{\"order_id\":17}"), call("call_2", "{\"order_id\":18}"), call("call_3", "{}"),
            ] },
            { "role": "tool", "tool_call_id": "call_1", "content": "{\"status\":\"shipped\"}" },
            { "role": "tool", "tool_call_id": "call_2", "content": "{\"error\":\"no such order\"}" },
            { "role": "tool", "tool_call_id": "call_3", "content": "{\"error\":\"no result was recorded for this call\"}" },
            { "role": "assistant", "content": "17 is shipped." },
            { "role": "user", "content": "Thanks" },
        ],
        "stream": true,
        "stream_options": { "include_usage": true },
        "tools": [{ "type": "function", "function": {
            "name": "t_ops_get_order",
            "description": "Retrieve order details.",
            "parameters": { "type": "object", "properties": { "order_id": { "type": "integer" } } },
        } }],
        "temperature": 1.5, "top_p": 0.5, "max_tokens": 100, "stop": ["END"], "seed": 7,
    });
    assert_eq!(sent.json(), expected);
    let vendor = Format::OpenAi.request(&prompt(), &alias("gpt-x"), Dialect::OPENAI).json();
    assert_eq!((&vendor["max_completion_tokens"], &vendor["max_tokens"]), (&json!(100), &Value::Null));
}

#[test]
fn text_arrives_piece_by_piece_with_its_usage_at_the_end() {
    let mut answer = stream(&[
        chunk(json!({ "role": "assistant", "content": "" }), Value::Null),
        chunk(json!({ "content": "Hel" }), Value::Null),
        chunk(json!({ "content": "lo" }), Value::Null),
        chunk(json!({}), json!("stop")),
        json!({ "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": { "cached_tokens": 4 } } }),
    ]);
    answer.push_str("data: [DONE]\n\n");
    let usage = Usage { input: 9, cached_input: 4, output: 2 };
    let expected = vec![said("Hel"), said("lo"), ModelEvent::End { finish: Finish::Stop, usage }];
    assert_eq!(read(Format::OpenAi, &answer).unwrap(), expected);
}

#[test]
fn tool_calls_are_put_together_from_interleaved_pieces() {
    let piece = |index: u64, id: Value, name: Value, arguments: &str| {
        let call = json!({ "index": index, "id": id, "function": { "name": name, "arguments": arguments } });
        chunk(json!({ "tool_calls": [call] }), Value::Null)
    };
    let answer = stream(&[
        piece(0, json!("a"), json!("t_ops_get_order"), ""),
        piece(0, Value::Null, Value::Null, "{\"order"),
        piece(1, json!("b"), json!("other"), ""),
        piece(0, Value::Null, Value::Null, "_id\": 17}"),
        chunk(json!({}), json!("tool_calls")),
    ]);
    let spaced = ToolCall {
        written: Some("{\"order_id\": 17}".to_owned()),
        ..call("a", "ops.get order", json!({ "order_id": 17 }))
    };
    let expected = vec![
        ModelEvent::Call(spaced),
        ModelEvent::Call(call("b", "other", json!({}))),
        end(Finish::ToolCalls, SENT, 4),
    ];
    assert_eq!(read(Format::OpenAi, &answer).unwrap(), expected);
}

#[test]
fn what_real_servers_do_otherwise_is_understood() {
    let whole = |calls: Value| chunk(json!({ "content": null, "tool_calls": calls }), json!("stop"));
    let no_index = json!([
        { "id": "", "function": { "name": "x", "arguments": { "a": 1 } } },
        { "function": { "name": "x", "arguments": "{\"a\":2}" } },
    ]);
    let expected = vec![
        // The transcript holds three calls already, so the next numbers are four and five.
        ModelEvent::Call(call("call_4", "x", json!({ "a": 1 }))),
        ModelEvent::Call(call("call_5", "x", json!({ "a": 2 }))),
        end(Finish::ToolCalls, SENT, 4),
    ];
    assert_eq!(
        read(Format::OpenAi, &stream(&[whole(no_index)])).unwrap(),
        expected,
        "no ids, no index, objects"
    );

    let old = chunk(json!({ "function_call": { "name": "x", "arguments": "{}" } }), json!("function_call"));
    let expected = vec![ModelEvent::Call(call("call_4", "x", json!({}))), end(Finish::ToolCalls, SENT, 1)];
    assert_eq!(read(Format::OpenAi, &stream(&[old])).unwrap(), expected, "the older form");

    let silent_end = stream(&[chunk(json!({ "content": "hi" }), Value::Null)]) + "data: [DONE]";
    let expected = vec![said("hi"), end(Finish::Stop, SENT, 1)];
    assert_eq!(read(Format::OpenAi, &silent_end).unwrap(), expected, "[DONE] without finish_reason");

    let mut decoder = Format::OpenAi.decoder(&prompt());
    let message =
        json!({ "index": 0, "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" });
    let document = json!({ "choices": [message], "usage": { "prompt_tokens": 3, "completion_tokens": 1 } });
    decoder.whole(document.to_string().as_bytes()).unwrap();
    assert_eq!(decoder.pop(), Some(said("hi")));
    assert_eq!(decoder.pop(), Some(end(Finish::Stop, 3, 1)), "a document where a stream was asked for");
}

#[test]
fn content_that_is_a_list_of_parts_is_their_text() {
    let parts = |text: &str| {
        json!([
            { "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }], "text": "let me see" },
            { "type": "text", "text": text }, 7, { "type": "reference", "reference_ids": [1] },
            { "type": "text", "text": " \"Ann\"" }, { "text": "." }, { "type": "text", "text": null },
        ])
    };
    let piece = |text: &str, finish: Value| chunk(json!({ "content": parts(text) }), finish);
    let streamed =
        stream(&[piece("Hello", Value::Null), piece(" and", Value::Null), piece("bye", json!("stop"))]);
    let events = read(Format::OpenAi, &streamed).unwrap();
    let told = ["Hello \"Ann\".", " and \"Ann\".", "bye \"Ann\"."].map(said);
    assert_eq!(events[..3], told);
    assert!(matches!(events[3], ModelEvent::End { finish: Finish::Stop, .. }), "{events:?}");

    let mut decoder = Format::OpenAi.decoder(&prompt());
    let message = json!({ "message": { "content": parts("Hello") }, "finish_reason": "stop" });
    decoder.whole(json!({ "choices": [message] }).to_string().as_bytes()).unwrap();
    assert_eq!(decoder.pop(), Some(said("Hello \"Ann\".")));
}

#[test]
fn calls_that_all_say_index_zero_are_told_apart_by_their_ids() {
    let piece = |id: &str, name: &str, arguments: &str| json!({ "index": 0, "id": id, "function": { "name": name, "arguments": arguments } });
    let expected = vec![
        ModelEvent::Call(call("a", "x", json!({ "n": 1 }))),
        ModelEvent::Call(call("b", "x", json!({ "n": 2 }))),
        end(Finish::ToolCalls, SENT, 4),
    ];
    let whole = json!([piece("a", "x", "{\"n\":1}"), piece("b", "x", "{\"n\":2}")]);
    let whole = stream(&[chunk(json!({ "tool_calls": whole }), json!("tool_calls"))]);
    assert_eq!(read(Format::OpenAi, &whole).unwrap(), expected, "at once, as Ollama sends them");

    let told = |pieces: &[Value]| {
        let delta = |piece: &Value| chunk(json!({ "tool_calls": [piece] }), Value::Null);
        let mut chunks: Vec<Value> = pieces.iter().map(delta).collect();
        chunks.push(chunk(json!({}), json!("tool_calls")));
        read(Format::OpenAi, &stream(&chunks)).unwrap()
    };
    let split =
        [piece("a", "x", ""), piece("", "", "{\"n\":1}"), piece("b", "x", "{\"n\""), piece("", "", ":2}")];
    assert_eq!(told(&split), expected, "in pieces");
    let mixed = [
        piece("a", "x", "{\"n\""),
        piece("b", "x", "{\"n\""),
        piece("a", "x", ":1}"),
        piece("b", "x", ":2}"),
    ];
    assert_eq!(told(&mixed), expected, "in pieces that all say whose they are");
    // A server that makes up an id for every piece begins no call with it: the name is missing.
    let restless = [piece("a", "x", "{\"n\""), piece("a2", "", ":1}"), piece("b", "x", "{\"n\":2}")];
    assert_eq!(told(&restless), expected, "with ids that change");
}

#[test]
fn an_answer_that_did_not_end_well_is_not_taken_for_one() {
    let half = json!([{ "index": 0, "id": "a", "function": { "name": "x", "arguments": "{\"a\": " } }]);
    let cut = stream(&[chunk(json!({ "content": "hi" }), Value::Null)]);
    assert_eq!(trouble(&cut), Trouble::Cut);
    assert_eq!(trouble(""), Trouble::Cut);
    assert_eq!(trouble("data: [DONE]\n\n"), Trouble::Cut, "nothing was said");
    assert_eq!(trouble("data: {\"cho\n\n"), Trouble::Garbage);
    assert_eq!(trouble("data: {\"hello\": 1}\n\n"), Trouble::Garbage);
    let unnamed = json!([{ "index": 0, "id": "a", "function": { "arguments": "{}" } }]);
    assert_eq!(
        trouble(&stream(&[chunk(json!({ "tool_calls": unnamed }), json!("tool_calls"))])),
        Trouble::Garbage
    );
    assert_eq!(trouble(&stream(&[chunk(json!({ "tool_calls": half }), Value::Null)])), Trouble::Cut);
    assert_eq!(
        trouble(&stream(&[json!({ "error": { "message": "boom", "type": "server_error" } })])),
        Trouble::Broken
    );
    assert_eq!(
        trouble(&stream(&[json!({ "error": { "message": "slow down", "code": 429 } })])),
        Trouble::Busy
    );

    let broken = stream(&[chunk(json!({ "tool_calls": half }), json!("tool_calls"))]);
    let events = read(Format::OpenAi, &broken).unwrap();
    let Some(ModelEvent::Call(call)) = events.first() else { panic!("{events:?}") };
    assert_eq!(
        (call.text().as_ref(), call.unreadable().is_some()),
        ("{\"a\": ", true),
        "told as it was written"
    );

    let cut_by_limit = stream(&[chunk(json!({ "content": "so", "tool_calls": half }), json!("length"))]);
    let expected = vec![said("so"), end(Finish::Length, SENT, 2)];
    assert_eq!(read(Format::OpenAi, &cut_by_limit).unwrap(), expected, "half a call is no call");
}

#[test]
fn a_refusal_is_told_apart_by_what_can_be_done_about_it() {
    let refusal =
        |status, body: Value| Format::OpenAi.refusal(status, body.to_string().as_bytes(), &Sent::default());
    let told = |message: &str| json!({ "error": { "message": message } });
    assert_eq!(refusal(401, told("Incorrect API key provided: sk-abc")).trouble, Trouble::Key);
    assert!(
        !refusal(401, told("Incorrect API key provided: sk-abc")).cause.contains("sk-"),
        "the key is in the log"
    );
    assert_eq!(refusal(404, told("no such model")).trouble, Trouble::Unknown);
    assert_eq!(refusal(400, told("bad schema")).trouble, Trouble::Rejected);
    assert_eq!(
        refusal(400, json!({ "error": { "code": "context_length_exceeded", "message": "" } })).trouble,
        Trouble::TooLong
    );
    assert_eq!(refusal(429, told("slow down")).trouble, Trouble::Busy);
    assert_eq!(refusal(503, json!("down")).trouble, Trouble::Busy);
    assert_eq!(refusal(500, json!([])).trouble, Trouble::Broken);
    assert_eq!(refusal(302, json!({})).trouble, Trouble::Rejected);
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
    let sent = Format::OpenAi.request(&prompt, &alias("gpt-x"), Dialect::COMMON).json();
    let named = json!({ "type": "function", "function": { "name": "t_ops_get_order" } });
    assert_eq!((&sent["tool_choice"], &sent["parallel_tool_calls"]), (&named, &json!(false)));
    let strict = sent["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]);
    let strict: Vec<_> =
        strict.filter(|function| function["strict"] == true).map(|one| &one["name"]).collect();
    assert_eq!(strict, ["t_ops_get_order"]);
    let schema = json!({ "name": "order", "schema": { "type": "object" }, "strict": true });
    assert_eq!(sent["response_format"], json!({ "type": "json_schema", "json_schema": schema }));
    prompt.demands = Demands { tool_choice: ToolChoice::Required, ..Demands::default() };
    assert_eq!(
        Format::OpenAi.request(&prompt, &alias("gpt-x"), Dialect::COMMON).json()["tool_choice"],
        "required"
    );
}

#[test]
fn a_server_that_counts_nothing_is_not_free() {
    let answer = stream(&[chunk(json!({ "content": "Hello there, Ann" }), json!("stop"))]);
    let events = read(Format::OpenAi, &answer).unwrap();
    let ModelEvent::End { usage, .. } = events[1] else { panic!("{events:?}") };
    assert_eq!(usage.output, 4, "four bytes count as a token");
    assert!(usage.input > 20, "the transcript counts: {usage:?}");
}

#[test]
fn a_field_of_another_type_than_documented_counts_as_absent() {
    let odd = json!({ "usage": null, "object": 7, "choices": [{
        "index": "0", "logprobs": [], "finish_reason": null,
        "delta": { "content": "a \"quoted\" \u{2713} word", "refusal": [1], "tool_calls": "none", "function_call": null },
    }] });
    let numbers = json!({ "choices": [], "usage": {
        "prompt_tokens": 9.5, "completion_tokens": -2, "prompt_tokens_details": [], "total_tokens": "11",
    } });
    let stop = json!({ "choices": [{ "delta": null, "finish_reason": "stop" }] });
    let nothing = json!({ "choices": [null] });
    let read = read(Format::OpenAi, &stream(&[odd, nothing, numbers, stop])).unwrap();
    let counted = 19_u64.div_ceil(4); // nobody counted: four bytes a token
    assert_eq!(read, vec![said("a \"quoted\" \u{2713} word"), end(Finish::Stop, SENT, counted)]);
    assert_eq!(trouble("data: 7\n\n"), Trouble::Garbage);
    assert_eq!(trouble("data: {\"id\": \"c1\"}\n\n"), Trouble::Garbage, "no choices, no usage, no object");
}

#[test]
fn arguments_go_both_ways_as_they_were_written() {
    for (sent, written) in [
        (json!("{\"n\":12345678901234567890123, \"n\":1e2}"), "{\"n\":12345678901234567890123, \"n\":1e2}"),
        (json!("null"), "{}"),
    ] {
        let calls = json!([{ "index": 0, "id": "a", "function": { "name": "x", "arguments": sent } }]);
        let events =
            read(Format::OpenAi, &stream(&[chunk(json!({ "tool_calls": calls }), json!("tool_calls"))]));
        let Some(ModelEvent::Call(call)) = events.unwrap().into_iter().next() else { panic!("no call") };
        assert_eq!(call.text(), written);
        let mut again = prompt();
        again.messages = vec![Message::Assistant { text: String::new(), calls: vec![call], thoughts: None }];
        let sent = Format::OpenAi.request(&again, &alias("m"), Dialect::COMMON).json();
        assert_eq!(sent["messages"][0]["tool_calls"][0]["function"]["arguments"], written);
    }
    // A server that sends the object itself.
    let object = r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"x","arguments":{"n":1e2}}}]},"finish_reason":"stop"}]}"#;
    let events = read(Format::OpenAi, &format!("data: {object}\n\n")).unwrap();
    assert!(matches!(&events[0], ModelEvent::Call(call) if call.text() == r#"{"n":1e2}"#), "{events:?}");
}

#[test]
fn a_refusal_is_told_as_one() {
    let events = read(
        Format::OpenAi,
        &stream(&[
            chunk(json!({ "role": "assistant", "content": null, "refusal": "I will " }), Value::Null),
            chunk(json!({ "refusal": "not." }), json!("stop")),
        ]),
    )
    .unwrap();
    assert_eq!(events[..2], [ModelEvent::Refusal("I will ".into()), ModelEvent::Refusal("not.".into())]);
}

#[test]
fn who_speaks_and_how_much_is_said_on() {
    let mut named = prompt();
    named.demands.names = [(1, "House".to_owned()), (2, "Ann".to_owned())].into();
    named.sampling.verbosity = Some(Verbosity::Low);
    let sent = Format::OpenAi.request(&named, &alias("m"), Dialect::COMMON).json();
    assert_eq!(
        (&sent["messages"][0]["name"], &sent["messages"][1]["name"]),
        (&json!("House"), &json!("Ann"))
    );
    assert_eq!((&sent["messages"][2]["name"], &sent["verbosity"]), (&Value::Null, &json!("low")));
}

#[test]
fn more_tokens_than_there_can_be_are_estimated_and_what_was_cached_was_read() {
    let used = |input: u64, cached: u64, output: u64| {
        let details = json!({ "cached_tokens": cached });
        let counted =
            json!({ "prompt_tokens": input, "completion_tokens": output, "prompt_tokens_details": details });
        let mut answer = stream(&[
            chunk(json!({ "content": "Hello" }), json!("stop")),
            json!({ "choices": [], "usage": counted }),
        ]);
        answer.push_str("data: [DONE]\n\n");
        match read(Format::OpenAi, &answer).unwrap().pop() {
            Some(ModelEvent::End { usage, .. }) => usage,
            other => panic!("{other:?}"),
        }
    };
    let estimated = Usage { input: SENT, cached_input: 0, output: 2 };
    assert_eq!(used(i64::MAX as u64, 0, 5), estimated);
    assert_eq!(used(10, 0, u64::MAX), estimated);
    assert_eq!(used(10, 500, 5), Usage { input: 10, cached_input: 10, output: 5 });
}

#[test]
fn every_lawful_schema_of_a_tool_is_told_as_an_object_with_its_properties() {
    let sent = Format::OpenAi.request(&odd_schemas(), &alias("m"), Dialect::COMMON).json();
    let told: Vec<&Value> =
        sent["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]["parameters"]).collect();
    assert_eq!(told, told_schemas().each_ref());
}
