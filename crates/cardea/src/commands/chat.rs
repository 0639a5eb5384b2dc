//! `cardea chat`: a conversation with an agent of a running server.

use std::io::{self, BufRead, IsTerminal as _};

use cardea_core::sse::{Decoder, Event};
use cardea_net::Net;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{
    Chat, Cli, End, Out,
    client::{self, Asked, Refusal},
};
use crate::config::Environment;

/// The header that names the conversation, in requests and answers.
const CONVERSATION: HeaderName = HeaderName::from_static("x-cardea-conversation");
/// Upper bound of one event; an honest server sends less.
const LARGEST_EVENT: usize = 4 << 20;

const HELP: &str =
    "one line is one question; /new starts a new conversation, /quit (or the end of input) ends";

/// A conversation in progress.
struct Talk<'a> {
    net: Net,
    server: &'a Asked,
    chat: &'a Chat,
    conversation: Option<String>,
}

/// What the server sent beside the text.
#[derive(Default)]
struct Said {
    words: String,
    error: Option<String>,
    more: Value,
}

pub(super) fn chat(cli: &Cli, chat: &Chat, environment: &Environment, out: &mut Out<'_>) -> End {
    let server = match Asked::of(cli, &chat.server, environment) {
        Ok(server) => server,
        Err(error) => return error.tell(out),
    };
    let lines = io::stdin().lock();
    let prompts = io::stdin().is_terminal();
    match client::wait(talk(chat, &server, lines, prompts, out)) {
        Ok(end) => end,
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            End::Unreachable
        }
    }
}

/// Runs the whole conversation: one question from the command line, or one question per line of input.
pub(super) async fn talk(
    chat: &Chat,
    server: &Asked,
    lines: impl BufRead,
    prompts: bool,
    out: &mut Out<'_>,
) -> End {
    let net = match client::net_to(&server.base) {
        Ok(net) => net,
        Err(error) => {
            return client::told(&server.base, &error).tell(out);
        }
    };
    let mut talk = Talk { net, server, chat, conversation: chat.conversation.clone() };
    if !chat.message.is_empty() {
        return talk.ask(&chat.message.join(" "), out).await;
    }
    if prompts {
        out.note(format!("agent {} at {}; {HELP}", chat.agent, server.base));
    }
    let (mut lines, mut end) = (lines.split(b'\n'), End::Good);
    loop {
        if prompts {
            out.piece("> ");
        }
        // A person has seen the refusal; a script learns of it from the exit code.
        let Some(line) = lines.next() else { return if prompts { End::Good } else { end } };
        let line = match line.map(String::from_utf8) {
            Ok(Ok(line)) => line,
            Ok(Err(_)) => {
                out.note("a line is not UTF-8 and was left out");
                end = End::Bad;
                continue;
            }
            Err(error) => {
                out.note(format!("the questions cannot be read: {error}"));
                return End::Unreachable;
            }
        };
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => return if prompts { End::Good } else { end },
            "/new" => talk.conversation = None,
            other if other.starts_with('/') => out.note(HELP),
            question => {
                // One refused question does not end the conversation.
                let asked = talk.ask(question, out).await;
                end = if asked == End::Good { end } else { asked };
            }
        }
    }
}

impl Talk<'_> {
    async fn ask(&mut self, question: &str, out: &mut Out<'_>) -> End {
        match self.answer(question, out).await {
            Ok(said) if out.json => {
                out.json(&json!({ "text": said.words, "error": said.error, "cardea": said.more }));
                if said.error.is_some() { End::Bad } else { End::Good }
            }
            Ok(said) => {
                out.line("");
                if let Some(error) = said.error {
                    out.note(error);
                    return End::Bad;
                }
                if !said.more.is_null() {
                    out.note(summary(&said.more));
                }
                End::Good
            }
            Err(error) => error.tell(out),
        }
    }

    async fn answer(&mut self, question: &str, out: &mut Out<'_>) -> Result<Said, Refusal> {
        let mut headers = client::signed(self.server.token.as_deref())?;
        if let Some(id) = self.conversation.as_deref() {
            let none = |_| Refusal::Misused("`--conversation` is no id of a conversation".to_owned());
            headers.insert(CONVERSATION, HeaderValue::from_str(id).map_err(none)?);
        }
        let body = json!({
            "model": format!("agent/{}", self.chat.agent),
            "messages": [{ "role": "user", "content": question }],
            "stream": true,
        });
        let answer = client::post(&self.net, &self.server.base, "/v1/chat/completions", headers, &body);
        let mut answer = answer.await?;
        if let Some(id) = answer.headers.get(CONVERSATION).and_then(|id| id.to_str().ok()) {
            self.conversation = Some(id.to_owned());
        }
        let (mut decoder, mut events, mut said) = (Decoder::new(LARGEST_EVENT), Vec::new(), Said::default());
        while let Some(piece) =
            answer.chunk().await.map_err(|error| Refusal::Away(format!("the answer broke off: {error}")))?
        {
            decoder
                .push(&piece, &mut events)
                .map_err(|error| Refusal::Away(format!("the answer is not a stream of events: {error}")))?;
            events.drain(..).for_each(|event| said.take(&event, out));
        }
        Ok(said)
    }
}

impl Said {
    fn take(&mut self, event: &Event, out: &mut Out<'_>) {
        let Ok(chunk) = serde_json::from_str::<Value>(&event.data) else { return };
        if let Some(error) = chunk.pointer("/error/message").and_then(Value::as_str) {
            self.error = Some(error.to_owned());
        }
        if let Some(text) = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str) {
            self.words.push_str(text);
            if !out.json {
                out.piece(text);
            }
        }
        if let Some(more) = chunk.get("cardea") {
            self.more = more.clone();
        }
    }
}

/// Returns Cardea's facts about an answer, in one line.
fn summary(more: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(tools) = more.get("tools").and_then(Value::as_array).filter(|tools| !tools.is_empty()) {
        let names: Vec<&str> = tools.iter().filter_map(|step| step.get("tool")?.as_str()).collect();
        parts.push(format!("tools {}", names.join(", ")));
    }
    for (key, word) in [("cache", "cache"), ("status", ""), ("approval", "approval")] {
        if let Some(text) = more.get(key).and_then(Value::as_str) {
            parts.push(format!("{word} {text}").trim().to_owned());
        }
    }
    if let Some(ms) = more.get("took_ms").and_then(Value::as_u64) {
        parts.push(format!("{ms} ms"));
    }
    if let Some(id) = more.get("conversation").and_then(Value::as_str) {
        parts.push(id.to_owned());
    }
    format!("[{}]", parts.join(" | "))
}
