//! Cleans a provider's error message for the log. Many repeat what they were sent: a part of the prompt, the key.

use std::{borrow::Cow, collections::HashSet};

use cardea_core::message::{Message, Prompt};
use http::HeaderMap;

/// Length from which a run of key characters with a digit in it is taken for a key.
const LONGEST: usize = 16;

/// Replaces what was left out.
const LEFT_OUT: &str = "…";

/// Common words of such messages. They reveal nothing of a prompt, even if it contains them too.
const PLAIN: &[&str] = &[
    "allowed",
    "api",
    "argument",
    "arguments",
    "array",
    "assistant",
    "available",
    "bad",
    "be",
    "body",
    "call",
    "calls",
    "content",
    "context",
    "does",
    "empty",
    "enabled",
    "error",
    "exceed",
    "exceeded",
    "exceeds",
    "exist",
    "expected",
    "failed",
    "field",
    "format",
    "found",
    "function",
    "greater",
    "have",
    "image",
    "input",
    "invalid",
    "json",
    "key",
    "last",
    "length",
    "less",
    "limit",
    "long",
    "many",
    "max",
    "maximum",
    "message",
    "messages",
    "minimum",
    "missing",
    "model",
    "must",
    "name",
    "number",
    "object",
    "output",
    "parameter",
    "permission",
    "prompt",
    "property",
    "provided",
    "quota",
    "range",
    "rate",
    "request",
    "required",
    "response",
    "role",
    "schema",
    "server",
    "should",
    "stop",
    "stream",
    "string",
    "support",
    "supported",
    "system",
    "temperature",
    "than",
    "that",
    "this",
    "token",
    "tokens",
    "tool",
    "tools",
    "type",
    "unknown",
    "unsupported",
    "user",
    "valid",
    "value",
    "with",
    "your",
];

/// What was sent, and must not be repeated.
#[derive(Debug, Default)]
pub(crate) struct Sent<'a> {
    prompt: Option<&'a Prompt>,
    headers: Vec<&'a str>,
}

impl<'a> Sent<'a> {
    /// Collects the prompt, if one was sent, and the sensitive headers.
    pub(crate) fn new(prompt: Option<&'a Prompt>, headers: &'a HeaderMap) -> Self {
        let secret = headers.values().filter(|value| value.is_sensitive());
        let words = secret.filter_map(|value| value.to_str().ok());
        // `Bearer KEY`: the key alone is as secret.
        Self { prompt, headers: words.filter_map(|words| words.split(' ').next_back()).collect() }
    }

    /// Returns the message without what was sent: without the key, without words of the prompt, and without what looks
    /// like a key.
    pub(crate) fn without(&self, message: &str) -> String {
        let mut message = Cow::Borrowed(message);
        for secret in self.headers.iter().filter(|secret| secret.len() > 3) {
            if message.contains(secret) {
                message = Cow::Owned(message.replace(secret, LEFT_OUT));
            }
        }
        let texts = self.prompt.map(texts).unwrap_or_default();
        let known: HashSet<String> =
            texts.iter().flat_map(|text| words(text)).map(|(_, word)| word.to_lowercase()).collect();
        let (mut said, mut end) = (String::with_capacity(message.len()), 0);
        for (start, run) in runs(&message, is_key_sign) {
            said.push_str(message.get(end..start).unwrap_or_default());
            end = start + run.len();
            if run.chars().count() >= LONGEST && run.chars().any(|sign| sign.is_ascii_digit()) {
                said.push_str(LEFT_OUT);
                continue;
            }
            let mut from = 0;
            for (at, word) in words(run) {
                said.push_str(run.get(from..at).unwrap_or_default());
                said.push_str(if repeats(word, &known, &texts) { LEFT_OUT } else { word });
                from = at + word.len();
            }
            said.push_str(run.get(from..).unwrap_or_default());
        }
        said.push_str(message.get(end..).unwrap_or_default());
        said
    }
}

/// Returns whether a word comes from the prompt and is not one that a provider would use by itself.
fn repeats(word: &str, known: &HashSet<String>, texts: &[Cow<'_, str>]) -> bool {
    if !word.is_ascii() {
        // In a text without spaces between words, any piece of it counts.
        let signs: Vec<char> = word.chars().collect();
        let piece =
            |piece: &[char]| texts.iter().any(|text| text.contains(&piece.iter().collect::<String>()));
        return known.contains(&word.to_lowercase()) || signs.chunks(2).any(piece);
    }
    let word = word.to_ascii_lowercase();
    let telling = word.len() > 3 || word.bytes().any(|byte| byte.is_ascii_digit());
    telling && known.contains(&word) && PLAIN.binary_search(&word.as_str()).is_err()
}

/// Returns a short name of an error, such as `rate_limit_error`; nothing else.
pub(crate) fn kind(text: &str) -> &str {
    let short = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if short { text } else { "" }
}

/// Returns all texts of a prompt.
fn texts(prompt: &Prompt) -> Vec<Cow<'_, str>> {
    let mut texts = Vec::with_capacity(prompt.messages.len());
    for message in &prompt.messages {
        match message {
            Message::System { text } | Message::User { text } | Message::Tool { text, .. } => {
                texts.push(Cow::from(text));
            }
            Message::Assistant { text, calls, thoughts } => {
                texts.push(Cow::from(text));
                texts.extend(thoughts.iter().map(|thoughts| Cow::from(&thoughts.text)));
                texts.extend(calls.iter().map(|call| match &call.written {
                    Some(written) => Cow::from(written),
                    None => Cow::from(serde_json::to_string(&call.arguments).unwrap_or_default()),
                }));
            }
        }
    }
    texts.extend(prompt.tools.iter().map(|tool| Cow::from(&tool.description)));
    texts
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    runs(text, char::is_alphanumeric)
}

fn is_key_sign(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '-' | '_')
}

/// Returns the longest runs of such characters, each with its position.
fn runs(text: &str, of: impl Fn(char) -> bool + Copy) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text.get(rest..)?.find(of)?;
        let tail = text.get(start..)?;
        let end = start + tail.find(|sign| !of(sign)).unwrap_or(tail.len());
        rest = end;
        Some((start, text.get(start..end)?))
    })
}

#[cfg(test)]
mod tests {
    use cardea_core::message::{Demands, Sampling};
    use http::HeaderValue;

    use super::*;

    fn prompt(texts: &[&str]) -> Prompt {
        Prompt {
            model: "m".to_owned(),
            messages: texts.iter().map(|text| Message::User { text: (*text).to_owned() }).collect(),
            tools: Vec::new(),
            sampling: Sampling::default(),
            demands: Demands::default(),
            room: None,
        }
    }

    fn told(prompt: &Prompt, key: &'static str, message: &str) -> String {
        let mut headers = HeaderMap::new();
        let mut value = HeaderValue::from_static(key);
        value.set_sensitive(true);
        headers.insert(http::header::AUTHORIZATION, value);
        Sent::new(Some(prompt), &headers).without(message)
    }

    #[test]
    fn the_plain_words_are_in_order() {
        assert!(PLAIN.is_sorted(), "they are searched by halves");
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        let prompt =
            prompt(&["Call Ann Fjord at the office: code 7714.", "我的密码是秘密花园", "Ship to Grünwald"]);
        for (said, left) in [
            ("Invalid content: `Call Ann Fjord at the office`", "Invalid content: `Call Ann … at the …`"),
            ("cannot read {\\\"content\\\":\\\"code 7714\\\"}", "cannot read {\\\"content\\\":\\\"… …\\\"}"),
            ("密码是秘密花园 is not allowed", "… is not allowed"),
            ("bad input near grünwald", "bad input near …"),
        ] {
            assert_eq!(told(&prompt, "Bearer k3y", said), left, "{said}");
        }
    }

    #[test]
    fn no_key_is_repeated_whether_it_is_ours_or_looks_like_one() {
        let empty = prompt(&[]);
        assert_eq!(told(&empty, "Bearer short", "not accepted: short"), "not accepted: …");
        let long = format!("not accepted: sk-{}-5150", "PROVIDERKEY".repeat(2));
        assert_eq!(told(&empty, "Bearer other", &long), "not accepted: …");
    }

    #[test]
    fn what_a_provider_says_by_itself_is_kept() {
        let prompt = prompt(&["Is this model able to write a long message with tools?"]);
        for said in [
            "The model `gpt-5-mini` does not exist or you do not have access to it.",
            "messages.1.content: text content blocks must be non-empty",
            "This model's maximum context length is 8192 tokens.",
            "Unsupported parameter: 'max_tokens' is not supported with this model.",
        ] {
            assert_eq!(told(&prompt, "Bearer k3y", said), said);
        }
    }

    #[test]
    fn a_kind_is_a_short_name_and_nothing_else() {
        assert_eq!(kind("rate_limit_error"), "rate_limit_error");
        for other in ["my card is 4111", "sk-abc", &"a".repeat(65)] {
            assert_eq!(kind(other), "");
        }
    }
}
