//! Converts the result of an upstream's tool to an outcome.

use cardea_core::{Code, tool::Outcome, written};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

use super::{
    catalog::Tool,
    fault::SAID,
    job::{Acted, Job},
};

fn text_of(result: &CallToolResult) -> String {
    let texts: Vec<String> = result.content.iter().map(block).collect();
    texts.join("\n")
}

fn block(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(_) => "[a picture, which Cardea does not pass on]".to_owned(),
        ContentBlock::Audio(_) => "[a sound, which Cardea does not pass on]".to_owned(),
        ContentBlock::ResourceLink(link) => format!("{}: {}", link.name, link.uri),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => format!("{uri}:\n{text}"),
            ResourceContents::BlobResourceContents { uri, .. } => {
                format!("[a file, which Cardea does not pass on: {uri}]")
            }
            _ => "[a resource, which Cardea does not pass on]".to_owned(),
        },
        _ => "[something that Cardea does not know and does not pass on]".to_owned(),
    }
}

/// The member of `_meta` in which servers made with `cardea-mcp` put the Cardea code of an error.
const ERROR_META: &str = "dev.cardea/error";

/// Returns true for an error that leaves open whether the work was done. Other servers do not know these codes, and
/// their errors mean that it was not done.
fn is_unknown(result: &CallToolResult) -> bool {
    let code = result.meta.as_ref().and_then(|meta| meta.get(ERROR_META)?.get("code")?.as_str());
    let Some(code) = code.and_then(Code::parse) else { return false };
    matches!(
        code,
        Code::UpstreamUnknown
            | Code::UpstreamSilent
            | Code::UpstreamFailed
            | Code::TimeSpent
            | Code::Internal
            | Code::StoreUnavailable
            | Code::StoreFull
    )
}

/// Returns the outcome of a result, of which at most `most` bytes are passed on, and the undo, which is built from all
/// of it.
pub(super) fn acted(result: CallToolResult, most: usize, tool: &Tool, job: &Job<'_>) -> Acted {
    let (undo, arguments) = (tool.undo(), &job.call.arguments);
    let text = text_of(&result);
    if result.is_error == Some(true) {
        let reason: String = text.chars().take(SAID).collect();
        let attempt = job.attempt(tool.effect());
        return match is_unknown(&result) {
            true => attempt.unsure(reason).into(),
            // WHY also after an earlier try, whatever the code: the server's guards and limits run before its tool, and
            // a tool that refuses may have found what that try left behind.
            false => attempt.not_done(reason).into(),
        };
    }
    // WHY: `1.10` may be a version as well as a number, so only an object or an array is read as JSON.
    let json = match result.structured_content {
        Some(value) => Some((value, true)),
        None if text.trim_start().starts_with(['{', '[']) => {
            written::read(&text).map(|read| (read.every, read.lost.is_none()))
        }
        None => None,
    };
    let whole = json.as_ref().map_or(&Value::Null, |(value, _)| value);
    let way = undo.map(|undo| undo.way(arguments, whole));
    let value = match json {
        Some((value, true)) => value,
        // The text keeps what the value would lose.
        _ => Value::String(text),
    };
    if value.to_string().len() > most {
        // The work is done; only the answer is too long to use.
        let result = json!({ "withheld": format!("the result is longer than {most} bytes") });
        return Acted { outcome: Outcome::Done { result }, way };
    }
    Acted { outcome: Outcome::Done { result: value }, way }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cardea_core::{
        journal::Repeatable,
        saga::Undo,
        time::Millis,
        tool::{Effect, ToolCall, ToolSpec},
    };

    use super::{
        super::{catalog::Source, job::Within},
        *,
    };

    fn tool(effect: Effect) -> Tool {
        let spec = json!({ "name": "own__reserve", "description": "", "input_schema": { "type": "object" } });
        let spec = ToolSpec { effect, ..serde_json::from_value(spec).unwrap() };
        Tool::new(spec, Source::Mcp { server: "own".into(), name: "reserve".into() }, Repeatable::No).unwrap()
    }

    fn of(result: CallToolResult, most: usize, tool: &Tool) -> Acted {
        let call = json!({ "id": "1", "name": "own__reserve", "arguments": {} });
        let call: ToolCall = serde_json::from_value(call).unwrap();
        let within = Within { time: Millis::from_secs(3), whose: "the longest that a test may take" };
        let job = Job { call: &call, key: "", digest: "", again: false, within, trace: None };
        acted(result, most, tool, &job)
    }

    fn told(result: CallToolResult) -> Value {
        match of(result, 1 << 16, &tool(Effect::Read)).outcome {
            Outcome::Done { result } => result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_stays_the_text_that_it_was_unless_it_is_plainly_json() {
        let told = |text: &str| told(CallToolResult::success(vec![ContentBlock::text(text)]));
        for text in ["1.10", "1e3", "12345678901234567890123", "\"q\"", "true", "{ not json"] {
            assert_eq!(told(text), json!(text));
        }
        assert_eq!(told(" {\"version\": 1.5}"), json!({ "version": 1.5 }));
        let exact = "{\"id\":12345678901234567890123}";
        assert_eq!(told(exact), json!(exact), "a number is not rounded");
    }

    #[test]
    fn the_text_of_a_resource_is_passed_on_with_its_address() {
        let blocks: Vec<ContentBlock> = serde_json::from_value(json!([
            { "type": "resource_link", "uri": "file:///report.txt", "name": "report" },
            { "type": "resource", "resource": { "uri": "file:///a.txt", "text": "The content." } },
            { "type": "resource", "resource": { "uri": "file:///b.bin", "blob": "aGk=" } },
        ]))
        .unwrap();
        let wanted = "report: file:///report.txt\nfile:///a.txt:\nThe content.\n\
                      [a file, which Cardea does not pass on: file:///b.bin]";
        assert_eq!(told(CallToolResult::success(blocks)), json!(wanted));
    }

    #[test]
    fn what_takes_it_back_is_made_from_a_result_that_is_too_long_to_go_on() {
        let with = BTreeMap::from([("id".to_owned(), json!("{result.id}"))]);
        let undo = Undo::new("own__release".into(), &with).unwrap();
        let long = json!({ "id": "r1", "more": "x".repeat(100) }).to_string();
        let mut tool = tool(Effect::Write);
        tool.undo_with(undo);
        let of = |text: &str| of(CallToolResult::success(vec![ContentBlock::text(text)]), 50, &tool);
        let Acted { outcome, way } = of(&long);
        assert!(format!("{outcome:?}").contains("longer than 50 bytes"), "{outcome:?}");
        assert!(way.unwrap().is_open());
        assert!(!of("done").way.unwrap().is_open(), "there is none, and that is known");
    }

    #[test]
    fn an_error_of_which_the_server_itself_does_not_know_what_was_done_is_no_refusal() {
        let name = |effect: Effect, code: &str| {
            let error = json!({ "content": [{ "type": "text", "text": "too late" }], "isError": true,
                                "_meta": { "dev.cardea/error": { "code": code } } });
            of(serde_json::from_value(error).unwrap(), 1 << 16, &tool(effect)).outcome.name()
        };
        for code in ["upstream_unknown", "internal", "store_full", "time_spent"] {
            let names = [Effect::Write, Effect::Read].map(|effect| name(effect, code));
            assert_eq!(names, ["unknown", "failed"], "{code}");
        }
        for code in ["denied", "invalid_arguments", "conflict", "a_code_of_tomorrow"] {
            assert_eq!(name(Effect::Write, code), "failed", "{code}");
        }
    }
}
