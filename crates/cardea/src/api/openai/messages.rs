//! Reads the transcript that a client sends into Cardea's message types.
//!
//! Nothing is dropped silently. A tool result without its call, a call without its result, and a message without text
//! would change the conversation that the model sees. Such a transcript is refused, and the error names the member.

use cardea_core::{
    Code, Error, Result,
    message::{Message, Thoughts},
    tool::ToolCall,
};
use serde::{Deserialize, de::IgnoredAny};

/// One message of the request.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InMessage {
    role: String,
    #[serde(default)]
    content: Option<InContent>,
    #[serde(default, deserialize_with = "or_default")]
    tool_calls: Vec<InCall>,
    tool_call_id: Option<String>,
    name: Option<String>,
    function_call: Option<IgnoredAny>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of parts")]
enum InContent {
    Text(String),
    Parts(Vec<InPart>),
}

#[derive(Debug, Clone, Deserialize)]
struct InPart {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct InCall {
    id: String,
    function: InFunction,
}

#[derive(Debug, Clone, Deserialize)]
struct InFunction {
    name: String,
    #[serde(default)]
    arguments: String,
}

/// Returns a `bad_request` error for this member of the request.
pub(super) fn bad(member: impl Into<String>, detail: impl Into<String>) -> Error {
    Error::new(Code::BadRequest).member(member).detail(detail)
}

/// Returns a `bad_request` error for this member of the message with the index `at`.
pub(super) fn wrong(at: usize, member: &str, says: impl std::fmt::Display) -> Error {
    let place = format!("messages[{at}].{member}");
    let detail = format!("`{place}` {says}.");
    bad(place, detail)
}

/// Reads all messages, and checks that each call has one result and each result has a call.
///
/// # Errors
/// `bad_request` with the message that cannot be used.
pub(super) fn transcript(messages: &[InMessage]) -> Result<Vec<Message>> {
    let read: Vec<Message> =
        messages.iter().enumerate().map(|(at, message)| message.read(at)).collect::<Result<_>>()?;
    answered(&read)?;
    for (at, message) in read.iter().enumerate() {
        if matches!(message, Message::User { text } if text.trim().is_empty()) {
            return Err(wrong(at, "content", "is empty"));
        }
    }
    Ok(read)
}

/// Checks the order that all providers require: the results of an assistant message's calls follow it directly, one for
/// each call.
fn answered(messages: &[Message]) -> Result<()> {
    let mut open: Vec<&str> = Vec::new();
    let mut asked = 0;
    let unanswered = |at: usize, open: &[&str]| match open.first() {
        Some(id) => Err(wrong(at, "tool_calls", format!("has the call `{}` without a result", short(id)))),
        None => Ok(()),
    };
    for (at, message) in messages.iter().enumerate() {
        if let Message::Tool { call_id, .. } = message {
            let Some(found) = open.iter().position(|id| id == call_id) else {
                let says = format!("is `{}`, which no call just before it has", short(call_id));
                return Err(wrong(at, "tool_call_id", says));
            };
            open.remove(found);
            continue;
        }
        unanswered(asked, &open)?;
        if let Message::Assistant { calls, .. } = message {
            asked = at;
            for call in calls {
                if open.contains(&call.id.as_str()) {
                    return Err(wrong(at, "tool_calls", format!("has the id `{}` twice", short(&call.id))));
                }
                open.push(&call.id);
            }
        }
    }
    unanswered(asked, &open)
}

/// Shortens a client's text to 64 characters, for error messages.
pub(super) fn short(word: &str) -> String {
    word.chars().take(64).collect()
}

impl InMessage {
    fn text(&self, at: usize) -> Result<String> {
        match &self.content {
            None => Ok(String::new()),
            Some(InContent::Text(text)) => Ok(text.clone()),
            Some(InContent::Parts(parts)) => {
                let one = |(number, part): (usize, &InPart)| match (part.kind.as_str(), &part.text) {
                    ("text", Some(text)) => Ok(text.clone()),
                    ("text", None) => Err(wrong(at, &format!("content[{number}].text"), "is missing")),
                    (kind, _) => {
                        let says = format!("has a part of type `{}`; only `text` is taken", short(kind));
                        Err(wrong(at, "content", says))
                    }
                };
                parts.iter().enumerate().map(one).collect()
            }
        }
    }

    /// Converts the message to Cardea's type.
    ///
    /// # Errors
    /// `bad_request` with the member that cannot be used.
    pub(super) fn read(&self, at: usize) -> Result<Message> {
        let text = self.text(at)?;
        if self.function_call.is_some() {
            return Err(wrong(at, "function_call", "is not taken: use `tool_calls`"));
        }
        match self.role.as_str() {
            "system" | "developer" => Ok(Message::System { text }),
            "user" => Ok(Message::User { text }),
            "assistant" => {
                // A refusal stands in for the text of an assistant message that has none.
                let refusal = self.refusal.as_ref().filter(|_| text.is_empty());
                let text = refusal.cloned().unwrap_or(text);
                let calls = self.tool_calls.iter().map(InCall::read).collect();
                let thoughts = self.reasoning_content.as_ref().filter(|text| !text.is_empty());
                let thoughts = thoughts.map(|text| Thoughts { model: String::new(), text: text.clone() });
                Ok(Message::Assistant { text, calls, thoughts })
            }
            "tool" => {
                let missing = || wrong(at, "tool_call_id", "is missing, and the role is `tool`");
                let call_id = self.tool_call_id.clone().ok_or_else(missing)?;
                Ok(Message::Tool {
                    call_id,
                    name: self.name.clone().unwrap_or_default(),
                    text,
                    failed: false,
                })
            }
            role => {
                let says =
                    format!("is `{}`; it must be system, developer, user, assistant or tool", short(role));
                Err(wrong(at, "role", says))
            }
        }
    }

    /// Returns whether this is a `system` or `developer` message.
    pub(super) fn instructs(&self) -> bool {
        matches!(self.role.as_str(), "system" | "developer")
    }

    /// Returns the speaker's name, if there is one. A tool message has none: its call id identifies the tool.
    ///
    /// # Errors
    /// `bad_request` if the name is not valid in OpenAI's format.
    pub(super) fn speaker(&self, at: usize) -> Result<Option<String>> {
        let Some(name) = self.name.as_ref().filter(|name| self.role != "tool" && !name.is_empty()) else {
            return Ok(None);
        };
        let odd = |letter: char| letter.is_whitespace() || "<|\\/>".contains(letter);
        if name.chars().count() > 64 || name.contains(odd) {
            return Err(wrong(at, "name", "must have at most 64 letters, and no space or any of `<|\\/>`"));
        }
        Ok(Some(name.clone()))
    }

    /// Returns the text of a user message.
    ///
    /// # Errors
    /// `bad_request` if it is not a user message, or is empty.
    pub(super) fn users_text(&self, at: usize) -> Result<String> {
        match self.read(at)? {
            Message::User { text } if !text.trim().is_empty() => Ok(text),
            Message::User { .. } => Err(wrong(at, "content", "is empty")),
            _ => Err(wrong(
                at,
                "role",
                "must be `user`, since it is the last: an agent keeps the history itself",
            )),
        }
    }
}

impl InCall {
    /// Reads the call. The arguments are the model's text, which need not be JSON.
    fn read(&self) -> ToolCall {
        let InFunction { name, arguments } = &self.function;
        ToolCall::read_any(self.id.clone(), name.clone(), arguments)
    }
}

/// Deserializes a member that may be `null`; `null` means the same as leaving it out.
pub(super) fn or_default<'de, D, T>(from: D) -> std::result::Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(messages: Value) -> Result<Vec<Message>> {
        transcript(&serde_json::from_value::<Vec<InMessage>>(messages).unwrap())
    }

    fn call(id: &str) -> Value {
        json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } })
    }

    #[test]
    fn a_clients_transcript_keeps_its_roles_apart() {
        let transcript = read(json!([
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": [{ "type": "text", "text": "hi" }] },
            { "role": "assistant", "content": null, "function_call": null, "tool_calls": [call("c1"), call("c2")] },
            { "role": "tool", "tool_call_id": "c2", "content": "two" },
            { "role": "tool", "tool_call_id": "c1", "content": "one" },
            { "role": "assistant", "content": "" },
            { "role": "assistant", "content": null, "refusal": "No." },
            { "role": "assistant", "tool_calls": [
                { "id": "c3", "function": { "name": "f", "arguments": "{\"n\": 1e2}" } },
                { "id": "c4", "function": { "name": "f", "arguments": "{\"n\": " } },
            ] },
            { "role": "tool", "tool_call_id": "c3", "content": "one" },
            { "role": "tool", "tool_call_id": "c4", "content": "no JSON" },
        ]))
        .unwrap();
        assert!(matches!(&transcript[0], Message::System { text } if text == "be brief"));
        assert!(matches!(&transcript[1], Message::User { text } if text == "hi"));
        assert!(matches!(&transcript[2], Message::Assistant { calls, .. } if calls[0].arguments["a"] == 1));
        assert!(matches!(&transcript[3], Message::Tool { call_id, .. } if call_id == "c2"));
        assert!(matches!(&transcript[6], Message::Assistant { text, .. } if text == "No."));
        let Message::Assistant { calls, .. } = &transcript[7] else { panic!("{transcript:?}") };
        assert_eq!([calls[0].text(), calls[1].text()], ["{\"n\": 1e2}", "{\"n\": "], "to the letter");
    }

    #[test]
    fn a_message_that_cannot_be_used_is_named() {
        let user = json!({ "role": "user", "content": "hi" });
        let calls = json!({ "role": "assistant", "tool_calls": [call("c1"), call("c2")] });
        let result = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "x" });
        for (messages, member) in [
            (json!([{ "role": "wizard", "content": "x" }]), "messages[0].role"),
            (json!([user, { "role": "user", "content": " " }]), "messages[1].content"),
            (json!([{ "role": "user", "content": [{ "type": "image_url" }] }]), "messages[0].content"),
            (json!([{ "role": "user", "content": [{ "type": "text" }] }]), "messages[0].content[0].text"),
            (json!([{ "role": "tool", "content": "x" }]), "messages[0].tool_call_id"),
            (json!([user, result("c1")]), "messages[1].tool_call_id"),
            (json!([user, calls, result("c1"), result("c3")]), "messages[3].tool_call_id"),
            (json!([user, calls, result("c1"), result("c1")]), "messages[3].tool_call_id"),
            (json!([user, calls, result("c1")]), "messages[1].tool_calls"),
            (json!([user, calls, result("c1"), user, result("c2")]), "messages[1].tool_calls"),
            (
                json!([{ "role": "assistant", "tool_calls": [call("c1"), call("c1")] }]),
                "messages[0].tool_calls",
            ),
            (json!([{ "role": "assistant", "function_call": { "name": "f" } }]), "messages[0].function_call"),
        ] {
            let error = read(messages.clone()).unwrap_err();
            assert_eq!(error.about(), Some(member), "{messages}: {error}");
            assert!(error.public().contains(&format!("`{member}`")), "{error}");
        }
    }
}
