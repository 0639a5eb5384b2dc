//! From an answer to an outcome: what is known, and nothing more.

use serde_json::{Value, json};

use super::{By, Method, Operation};
use crate::{journal::Repeatable, size::Bytes, tool::Outcome};

/// The most bytes of an answer that are read at all.
const MOST: Bytes = Bytes::mib(4);
/// The most letters of an error answer that a model is told.
const SAID: usize = 400;

/// What came back.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body; `None` if it was longer than [`Operation::most`].
    pub body: Option<&'a [u8]>,
}

impl Operation {
    /// The most bytes of an answer that are worth reading.
    #[must_use]
    pub fn most(&self) -> usize {
        MOST.len()
    }

    /// True if the request is sent again after this status. Only a file in which a repeat is harmless has any.
    #[must_use]
    pub fn again(&self, status: u16) -> bool {
        self.retry_on.contains(&status)
    }

    /// What an answer means. `repeated` says that the request may have arrived before.
    #[must_use]
    pub fn read(&self, answer: &Answer<'_>, repeated: bool) -> Outcome {
        let keyed = self.repeatable == Repeatable::ByKey;
        match answer.status {
            200..=299 => self.done(answer),
            // INVARIANT: only a repeat may take "it is not there" for "it was taken away".
            404 | 410 if repeated && self.by == Some(By::Method) && self.request.method == Method::Delete => {
                Outcome::Done { result: Value::Null }
            }
            // The first try is still at work.
            409 if repeated && keyed && self.changes() => self.unknown(answer.status),
            // A service that knows the key says again what it said first. These are said by who stands before it, and the
            // first try may have been done.
            status @ (401 | 403 | 407 | 425 | 429 | 501 | 505) if repeated && self.changes() => {
                self.unknown(status)
            }
            501 | 505 => self.failed(answer),
            300..=399 | 408 | 500..=599 if self.changes() => self.unknown(answer.status),
            300..=399 => Outcome::Failed {
                reason: format!("`{}` points elsewhere, and Cardea does not follow.", self.service),
            },
            _ => self.failed(answer),
        }
    }

    /// What it means that no answer came.
    #[must_use]
    pub fn silent(&self, sent: bool, why: &str) -> Outcome {
        let service = &self.service;
        if sent && self.changes() {
            let reason = format!("`{service}` {why}, so it is not known whether it did the work.");
            return Outcome::Unknown { reason };
        }
        Outcome::Failed { reason: format!("`{service}` {why}.") }
    }

    /// What a look at a write says. `settled`: the write cannot be on its way any more.
    #[must_use]
    pub fn looked(&self, answer: &Answer<'_>, settled: bool) -> Outcome {
        let Some(look) = &self.check else { return self.unknown(answer.status) };
        let value = || parse(answer.body?);
        let there = |value: &Value| match look.found.as_deref().map(|pointer| value.pointer(pointer)) {
            None => true,
            Some(Some(found)) => !found.is_null() && found.as_array().is_none_or(|items| !items.is_empty()),
            Some(None) => false,
        };
        let absent = match answer.status {
            200..=299 => match value() {
                Some(value) if there(&value) => {
                    let taken = look.take.as_deref().map_or(Some(&value), |pointer| value.pointer(pointer));
                    return Outcome::Done { result: taken.cloned().unwrap_or(Value::Null) };
                }
                Some(_) => true,
                None => false,
            },
            404 | 410 => true,
            _ => false,
        };
        if absent && settled {
            return Outcome::Failed { reason: format!("`{}` says that it was not done.", self.service) };
        }
        self.unknown(answer.status)
    }

    fn changes(&self) -> bool {
        self.spec.effect.changes_things()
    }

    fn unknown(&self, status: u16) -> Outcome {
        let reason = format!(
            "`{}` answered with status {status}, so it is not known whether it did the work.",
            self.service
        );
        Outcome::Unknown { reason }
    }

    fn failed(&self, answer: &Answer<'_>) -> Outcome {
        let said = answer.body.map(|body| self.said(body)).unwrap_or_default();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Outcome::Failed { reason: format!("`{}` answered with status {}{said}", self.service, answer.status) }
    }

    /// The words of an error answer, in one line.
    fn said(&self, body: &[u8]) -> String {
        let told = self.result.error.as_deref().and_then(|pointer| {
            parse(body)?.pointer(pointer).and_then(|told| told.as_str().map(str::to_owned))
        });
        let told = told.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
        let line: String = told.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SAID).collect()
    }

    /// The work is done; what of the answer can be used is another matter.
    fn done(&self, answer: &Answer<'_>) -> Outcome {
        let Some(body) = answer.body else {
            return self.unusable(&format!("its answer is longer than {MOST}"));
        };
        let Some(value) = parse(body) else {
            return self.unusable("its answer is neither JSON nor text");
        };
        if let Some(pointer) = &self.result.ok
            && value.pointer(pointer) != Some(&Value::Bool(true))
        {
            return self.failed(answer);
        }
        let taken = match &self.result.take {
            None => Some(value),
            Some(pointer) => value.pointer(pointer).cloned(),
        };
        let Some(mut taken) = taken else {
            let pointer = self.result.take.as_deref().unwrap_or_default();
            return self.unusable(&format!("its answer has no `{pointer}`"));
        };
        if !self.result.keep.is_empty() {
            keep(&mut taken, &self.result.keep);
        }
        if taken.to_string().len() > self.result.max.len() {
            return self.unusable(&format!("its answer is longer than {}", self.result.max));
        }
        Outcome::Done { result: taken }
    }

    /// A read without a usable answer has failed; a write is done all the same.
    fn unusable(&self, why: &str) -> Outcome {
        if self.changes() {
            return Outcome::Done { result: json!({ "withheld": format!("the work is done, but {why}") }) };
        }
        Outcome::Failed { reason: format!("`{}` answered, but {why}.", self.service) }
    }
}

/// A body as a value: JSON, or a text; nothing is null.
fn parse(body: &[u8]) -> Option<Value> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Some(Value::Null);
    }
    match serde_json::from_slice(body) {
        Ok(value) => Some(value),
        Err(_) => std::str::from_utf8(body).ok().map(|text| Value::String(text.to_owned())),
    }
}

/// Keeps only these members, of an object or of each object of a list.
fn keep(value: &mut Value, names: &[String]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| keep(item, names)),
        Value::Object(members) => members.retain(|key, _| names.contains(key)),
        _ => {}
    }
}
