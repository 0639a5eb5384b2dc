use cardea_core::message::{Demands, Message, ModelEvent};

use super::*;
use crate::config::Dialect;
use crate::wire::{
    Format, Sent,
    samples::{alias, call, estimated, prompt, read, reading, stream},
};

fn said(parts: Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({ "content": { "role": "model", "parts": parts }, "index": 0 });
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({ "candidates": [candidate], "usageMetadata": { "promptTokenCount": 8, "cachedContentTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 6 } })
}

#[test]
fn the_request_names_functions_and_their_answers() {
    let sent = Format::Gemini.request(&prompt(), &alias("gemini-x"), Dialect::COMMON);
    assert_eq!(sent.path, "/models/gemini-x:streamGenerateContent?alt=sse");
    let name = "t_ops_get_order";
    let asked = |id: &str, args: Value| json!({ "functionCall": { "id": id, "name": name, "args": args } });
    let told = |id: &str, response: Value| json!({ "functionResponse": { "id": id, "name": name, "response": response } });
    let mut first = asked("call_1", json!({ "order_id": 17 }));
    first["thoughtSignature"] = "skip_thought_signature_validator".into();
    let expected = json!({
        "systemInstruction": { "parts": [{ "text": "Be brief." }] },
        "contents": [
            { "role": "user", "parts": [{ "text": "Orders 17 and 18?" }] },
            { "role": "model", "parts": [first, asked("call_2", json!({ "order_id": 18 })), asked("call_3", json!({}))] },
            { "role": "user", "parts": [
                told("call_1", json!({ "output": "{\"status\":\"shipped\"}" })),
                told("call_2", json!({ "error": "no such order" })),
                told("call_3", json!({ "error": "no result was recorded for this call" })),
            ] },
            { "role": "model", "parts": [{ "text": "17 is shipped." }] },
            { "role": "user", "parts": [{ "text": "Thanks" }] },
        ],
        "tools": [{ "functionDeclarations": [{
            "name": name,
            "description": "Retrieve order details.",
            "parametersJsonSchema": { "type": "object", "properties": { "order_id": { "type": "integer" } } },
        }] }],
        "generationConfig": { "temperature": 1.5, "topP": 0.5, "maxOutputTokens": 100, "stopSequences": ["END"], "seed": 7 },
    });
    assert_eq!(sent.json(), expected);
}

#[test]
fn text_and_calls_are_read_and_thoughts_left_out() {
    let answer = stream(&[
        said(json!([{ "text": "let me think", "thought": true }]), None),
        said(json!([{ "text": "Looking." }]), None),
        said(
            json!([{ "functionCall": { "name": name(), "args": { "order_id": 17 } }, "thoughtSignature": "x" }]),
            None,
        ),
        said(json!([{ "functionCall": { "id": "f2", "name": name(), "args": {} } }]), Some("STOP")),
    ]);
    let usage = Usage { input: 8, cached_input: 3, output: 10 };
    let expected = vec![
        ModelEvent::Text("Looking.".into()),
        ModelEvent::Call(call("call_4", "ops.get order", json!({ "order_id": 17 }))),
        ModelEvent::Call(call("f2", "ops.get order", json!({}))),
        ModelEvent::End { finish: Finish::ToolCalls, usage },
    ];
    assert_eq!(read(Format::Gemini, &answer).unwrap(), expected);
}

fn name() -> &'static str {
    "t_ops_get_order"
}

#[test]
fn thoughts_are_work_that_is_paid() {
    let thought = json!({ "text": "hm, ".repeat(100), "thought": true });
    let piece = json!({ "candidates": [{ "content": { "role": "model", "parts": [thought] } }] });
    let mut decoder = reading(Format::Gemini, &stream(&[piece.clone(), piece]));
    assert!(decoder.finish().is_err());
    assert_eq!(decoder.spent(), estimated(200));
}

#[test]
fn blocked_cut_and_broken_answers_are_told_apart() {
    let trouble = |documents: &[Value]| read(Format::Gemini, &stream(documents)).unwrap_err().trouble;
    assert_eq!(trouble(&[json!({ "promptFeedback": { "blockReason": "SAFETY" } })]), Trouble::Filtered);
    assert_eq!(trouble(&[said(json!([{ "text": "so" }]), None)]), Trouble::Cut);
    assert_eq!(trouble(&[said(json!([]), Some("MALFORMED_FUNCTION_CALL"))]), Trouble::Garbage);
    assert_eq!(trouble(&[json!({ "error": { "code": 503, "message": "overloaded" } })]), Trouble::Busy);
    assert_eq!(trouble(&[json!({ "hello": 1 })]), Trouble::Garbage);
    for (reason, finish) in [("SAFETY", Finish::ContentFilter), ("MAX_TOKENS", Finish::Length)] {
        let last =
            read(Format::Gemini, &stream(&[said(json!([{ "text": "so" }]), Some(reason))])).unwrap().pop();
        assert!(matches!(last, Some(ModelEvent::End { finish: told, .. }) if told == finish), "{reason}");
    }
}

#[test]
fn a_quota_error_says_when_to_come_back() {
    let info = json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s" });
    let body = json!([{ "error": { "code": 429, "message": "quota", "details": [{}, info] } }]).to_string();
    let failure = Format::Gemini.refusal(429, body.as_bytes(), &Sent::default());
    assert_eq!((failure.trouble, failure.retry_after), (Trouble::Busy, Some(Millis(37_500))));
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
    let sent = Format::Gemini.request(&prompt, &alias("gemini-x"), Dialect::COMMON).json();
    let calling = json!({ "mode": "ANY", "allowedFunctionNames": ["t_ops_get_order"] });
    assert_eq!(sent["toolConfig"], json!({ "functionCallingConfig": calling }));
    let config = &sent["generationConfig"];
    assert_eq!(config["responseMimeType"], "application/json");
    assert_eq!(config["responseJsonSchema"], json!({ "type": "object" }));
    prompt.demands = Demands { tool_choice: ToolChoice::None, ..Demands::default() };
    let sent = Format::Gemini.request(&prompt, &alias("gemini-x"), Dialect::COMMON).json();
    assert_eq!(sent["toolConfig"], json!({ "functionCallingConfig": { "mode": "NONE" } }));
}

#[test]
fn calls_are_read_whatever_word_the_server_has_for_their_end() {
    let call = json!([{ "functionCall": { "name": name(), "args": {} } }]);
    let events = read(Format::Gemini, &stream(&[said(call.clone(), Some("FUNCTION_CALL"))])).unwrap();
    assert!(matches!(&events[0], ModelEvent::Call(call) if call.name == "ops.get order"), "{events:?}");
    assert!(matches!(events[1], ModelEvent::End { finish: Finish::ToolCalls, .. }), "{events:?}");
    let filtered = read(Format::Gemini, &stream(&[said(call, Some("SAFETY"))])).unwrap();
    assert!(matches!(filtered[..], [ModelEvent::End { finish: Finish::ContentFilter, .. }]), "{filtered:?}");
}

#[test]
fn calls_before_an_end_that_says_they_are_broken_are_not_made() {
    let call = json!([{ "functionCall": { "name": name(), "args": {} } }]);
    for word in ["TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE", "A_NEW_WORD"] {
        let failure = read(Format::Gemini, &stream(&[said(call.clone(), Some(word))])).unwrap_err();
        assert_eq!(failure.trouble, Trouble::Garbage, "{word}");
    }
}

#[test]
fn a_window_that_begins_with_the_model_gets_a_beginning() {
    let mut prompt = prompt();
    prompt.messages = vec![
        Message::System { text: "Be brief.".into() },
        Message::Assistant { text: String::new(), calls: vec![call("a.1", "x", json!({}))], thoughts: None },
        Message::User { text: "one".into() },
    ];
    let sent = Format::Gemini.request(&prompt, &alias("gemini-x"), Dialect::COMMON).json();
    let roles: Vec<&str> =
        sent["contents"].as_array().unwrap().iter().map(|turn| turn["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "model", "user"]);
    assert_eq!(sent["contents"][0]["parts"][0]["text"], "(The beginning of this conversation is left out.)");
}
