//! Common input of the golden tests of all formats.

use cardea_core::{
    id::ToolName,
    message::{Message, ModelEvent, Prompt, Sampling, Usage},
    sse,
    tool::{Effect, ToolCall, ToolSpec},
};
use serde_json::{Value, json};

use super::{Decoder, Format};
use crate::{alias::AliasConfig, failure::Failure};

pub(super) fn alias(model: &str) -> AliasConfig {
    AliasConfig::new("p", model)
}

pub(super) fn call(id: &str, name: &str, arguments: Value) -> ToolCall {
    ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.as_object().unwrap().clone(),
        written: None,
    }
}

/// A transcript with everything in it: instructions, a call and its result, a failed call, a call whose result was cut
/// off by a window, a result whose call was cut off, and a tool name that no provider accepts.
pub(super) fn prompt() -> Prompt {
    let tool = ToolSpec {
        name: ToolName::new("ops.get order"),
        description: "Retrieve order details.".into(),
        input_schema: json!({ "type": "object", "properties": { "order_id": { "type": "integer" } } }),
        effect: Effect::Read,
        idempotent: true,
        sends_outside: false,
        examples: vec!["not for the wire".into()],
        cache: None,
        clears: Vec::new(),
    };
    let result = |id: &str, text: &str, failed| Message::Tool {
        call_id: id.into(),
        name: "ops.get order".into(),
        text: text.into(),
        failed,
    };
    let asks = vec![
        call("call_1", "ops.get order", json!({ "order_id": 17 })),
        call("call_2", "ops.get order", json!({ "order_id": 18 })),
        call("call_3", "ops.get order", json!({})),
    ];
    Prompt {
        model: "main".into(),
        messages: vec![
            result("call_0", "cut from its call", false),
            Message::System { text: "Be brief.".into() },
            Message::User { text: "Orders 17 and 18?".into() },
            Message::Assistant { text: String::new(), calls: asks, thoughts: None },
            result("call_2", "no such order", true),
            result("call_1", r#"{"status":"shipped"}"#, false),
            Message::Assistant { text: "17 is shipped.".into(), calls: Vec::new(), thoughts: None },
            Message::User { text: "Thanks".into() },
        ],
        tools: vec![tool],
        sampling: Sampling {
            temperature: Some(1.5),
            top_p: Some(0.5),
            max_tokens: Some(100),
            stop: vec!["END".into()],
            seed: Some(7),
            ..Sampling::default()
        },
        demands: Default::default(),
        room: None,
    }
}

/// Returns what a format reads from a stream with these bytes, except progress reports.
pub(super) fn read(format: Format, stream: &str) -> Result<Vec<ModelEvent>, Failure> {
    let mut decoder = begun(format, stream)?;
    decoder.finish()?;
    let all = std::iter::from_fn(|| decoder.pop());
    Ok(all.filter(|event| !matches!(event, ModelEvent::Unseen(_))).collect())
}

fn begun(format: Format, stream: &str) -> Result<Decoder, Failure> {
    let (mut events, mut lines) = (Vec::new(), sse::Decoder::new(1 << 20));
    lines.push(stream.as_bytes(), &mut events).unwrap();
    lines.finish(&mut events).unwrap();
    let mut decoder = format.decoder(&prompt());
    events.iter().try_for_each(|event| decoder.push(event))?;
    Ok(decoder)
}

/// Returns a decoder that has read this stream and waits for more.
pub(super) fn reading(format: Format, stream: &str) -> Decoder {
    begun(format, stream).unwrap()
}

/// Returns the estimate that is used if a provider counts nothing.
pub(super) fn estimated(output: u64) -> Usage {
    Usage { input: prompt().tokens(), cached_input: 0, output }
}

/// Builds a stream with one `data:` event per document.
pub(super) fn stream(documents: &[Value]) -> String {
    documents.iter().map(|document| format!("data: {document}\n\n")).collect()
}

/// Builds a prompt whose tools have valid schemas that no provider accepts unchanged.
pub(super) fn odd_schemas() -> Prompt {
    let by = |name: &str| json!({ "properties": { name: { "type": "string" } }, "required": [name] });
    let schemas = [
        json!({ "type": "object" }),
        json!({}),
        json!({ "type": "object", "anyOf": [by("id"), by("mail")] }),
    ];
    let mut prompt = prompt();
    let tool = prompt.tools.remove(0);
    prompt.tools = (0..)
        .zip(schemas)
        .map(|(number, input_schema)| ToolSpec {
            name: ToolName::new(format!("tool{number}")),
            input_schema,
            ..tool.clone()
        })
        .collect();
    prompt
}

/// Returns what a provider is sent for the tools of [`odd_schemas`].
pub(super) fn told_schemas() -> [Value; 3] {
    let empty = json!({ "type": "object", "properties": {} });
    let text = json!({ "type": "string" });
    let hint = "Give one of these sets of arguments: (id) or (mail).";
    let either = json!({ "type": "object", "description": hint, "properties": { "id": text, "mail": text } });
    [empty.clone(), empty, either]
}
