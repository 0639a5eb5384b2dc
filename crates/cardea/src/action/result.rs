//! From the result of an upstream's tool to an outcome.

use cardea_core::{saga::Undo, tool::Outcome, written};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Map, Value, json};

use super::job::Acted;

/// Most letters of what a server says of a failure.
pub(super) const SAID: usize = 2_000;

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

/// What a result says, of which `most` bytes may go on; and what takes its work back, made from all of it.
pub(super) fn acted(
    result: CallToolResult,
    most: usize,
    (undo, arguments): (Option<&Undo>, &Map<String, Value>),
) -> Acted {
    let text = text_of(&result);
    if result.is_error == Some(true) {
        return Outcome::Failed { reason: text.chars().take(SAID).collect() }.into();
    }
    // WHY: `1.10` is a version as likely as a number; only what is plainly JSON is read as JSON.
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
        // What a value would lose of it, the text still says.
        _ => Value::String(text),
    };
    if value.to_string().len() > most {
        // The work is done; only the answer is too long to be used.
        let result = json!({ "withheld": format!("the result is longer than {most} bytes") });
        return Acted { outcome: Outcome::Done { result }, way };
    }
    Acted { outcome: Outcome::Done { result: value }, way }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn told(result: CallToolResult) -> Value {
        match acted(result, 1 << 16, (None, &Map::new())).outcome {
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
        let of = |text: &str| {
            let result = CallToolResult::success(vec![ContentBlock::text(text)]);
            acted(result, 50, (Some(&undo), &Map::new()))
        };
        let Acted { outcome, way } = of(&long);
        assert!(format!("{outcome:?}").contains("longer than 50 bytes"), "{outcome:?}");
        assert!(way.unwrap().is_open());
        assert!(!of("done").way.unwrap().is_open(), "there is none, and that is known");
    }
}
