//! Translates an answer into an outcome that states what is known, and nothing more.

use serde_json::{Map, Value, json};

use super::{
    By, Method, Operation,
    body::{Body, keep},
};
use crate::{
    saga::Way,
    size::Bytes,
    tool::{Attempt, Outcome},
};

/// Limit of the bytes that are read of any answer.
const MOST: Bytes = Bytes::mib(4);
/// Limit of the characters of an error answer that a model is told.
const SAID: usize = 400;
/// Reason for an answer to which `take` or `keep` cannot be applied.
const UNREADABLE: &str = "its answer could not be read as its file wants";

/// The answer of a service.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body; `None` if it exceeds [`Operation::most`].
    pub body: Option<&'a [u8]>,
}

impl Operation {
    /// Returns the limit of the bytes of an answer that are read.
    #[must_use]
    pub fn most(&self) -> usize {
        MOST.len()
    }

    /// Returns whether the request is sent again after this status. Only files in which a repeat is harmless list any.
    #[must_use]
    pub fn again(&self, status: u16) -> bool {
        self.retry_on.contains(&status)
    }

    /// Returns the outcome of an answer. `repeated` says that the request may have arrived before.
    #[must_use]
    pub fn read(&self, answer: &Answer<'_>, repeated: bool) -> Outcome {
        let outcome = match answer.status {
            200..=299 => self.done(answer),
            // INVARIANT: only for a repeat does "not found" mean that the first try has deleted it.
            404 | 410 if repeated && self.by == Some(By::Method) && self.request.method == Method::Delete => {
                Outcome::Done { result: Value::Null }
            }
            // INVARIANT: the refusal of a repeat does not mean that the first try was not done.
            status @ (400..=499 | 501 | 505) if repeated && self.changes() && !self.is_first_word(status) => {
                self.unknown(status)
            }
            501 | 505 => self.failed(answer),
            300..=399 | 408 | 500..=599 if self.changes() => self.unknown(answer.status),
            300..=399 => {
                Outcome::failed(format!("`{}` points elsewhere, and Cardea does not follow.", self.service))
            }
            _ => self.failed(answer),
        };
        outcome.answered(Some(answer.status))
    }

    /// Returns whether this status is one by which a service that knows the key repeats its first answer. Other
    /// statuses are about the repeat itself: from a proxy in front of the service, or because of what the first try
    /// has left.
    fn is_first_word(&self, status: u16) -> bool {
        let of_the_repeat = matches!(
            status,
            400 | 401 | 403 | 404 | 407..=410 | 412 | 421..=425 | 428 | 429 | 501 | 505
        );
        self.key_header.is_some() && !of_the_repeat
    }

    /// Returns the outcome that a check of a write shows. With `settled`, the write cannot be in progress any more.
    #[must_use]
    pub fn looked(&self, answer: &Answer<'_>, settled: bool) -> Outcome {
        self.checked(answer, settled).answered(Some(answer.status))
    }

    fn checked(&self, answer: &Answer<'_>, settled: bool) -> Outcome {
        let Some(look) = &self.check else { return self.unknown(answer.status) };
        let there = |value: &Value| match look.found.as_deref().map(|pointer| value.pointer(pointer)) {
            None => true,
            Some(Some(found)) => !found.is_null() && found.as_array().is_none_or(|items| !items.is_empty()),
            Some(None) => false,
        };
        let absent = match answer.status {
            200..=299 => match answer.value() {
                Some(value) if there(&value) => {
                    let taken = look.take.as_deref().map_or(Some(&value), |pointer| value.pointer(pointer));
                    return self.told(taken.cloned().unwrap_or(Value::Null));
                }
                Some(_) => true,
                None => false,
            },
            404 | 410 => true,
            _ => false,
        };
        if absent && settled {
            return Outcome::failed(format!("`{}` says that it was not done.", self.service));
        }
        self.unknown(answer.status)
    }

    /// Returns how to undo the work that an answer reports as done. It is made from the whole answer, even if the
    /// model is shown only a part. `None` if no undo is declared.
    #[must_use]
    pub fn way_back(&self, arguments: &Map<String, Value>, answer: &Answer<'_>) -> Option<Way> {
        self.way(arguments, answer, self.result.take.as_deref())
    }

    /// Works like [`Operation::way_back`], with the answer to a check.
    #[must_use]
    pub fn way_back_found(&self, arguments: &Map<String, Value>, answer: &Answer<'_>) -> Option<Way> {
        self.way(arguments, answer, self.check.as_ref().and_then(|look| look.take.as_deref()))
    }

    fn way(&self, arguments: &Map<String, Value>, answer: &Answer<'_>, take: Option<&str>) -> Option<Way> {
        let undo = self.undo.as_ref()?;
        let whole = answer.value().unwrap_or(Value::Null);
        let taken = take.and_then(|pointer| whole.pointer(pointer)).unwrap_or(&whole);
        Some(undo.way(arguments, taken))
    }

    fn changes(&self) -> bool {
        self.spec.effect.changes_things()
    }

    fn unknown(&self, status: u16) -> Outcome {
        let attempt = Attempt { effect: self.spec.effect, again: false };
        attempt.unanswered(&format!("`{}` answered with status {status}", self.service))
    }

    fn failed(&self, answer: &Answer<'_>) -> Outcome {
        let said = answer.body.map(|body| self.said(body)).unwrap_or_default();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Outcome::failed(format!("`{}` answered with status {}{said}", self.service, answer.status))
    }

    /// Returns the text of an error answer, in one line: what the file points to, and nothing else, if it points to
    /// something.
    fn said(&self, body: &[u8]) -> String {
        let told = match self.result.error.as_deref() {
            None => String::from_utf8_lossy(body).into_owned(),
            Some(pointer) => {
                match Body::parse(body).and_then(Body::json).as_ref().and_then(|value| value.pointer(pointer))
                {
                    Some(Value::String(text)) => text.clone(),
                    Some(number @ Value::Number(_)) => number.to_string(),
                    _ => String::new(),
                }
            }
        };
        let line: String = told.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SAID).collect()
    }

    /// Returns the outcome of work that is done, if the answer says so, whether or not the rest of it can be used.
    fn done(&self, answer: &Answer<'_>) -> Outcome {
        let body = match answer.body {
            None => Err(format!("its answer is longer than {MOST}")),
            Some(body) => Body::parse(body).ok_or_else(|| "its answer is neither JSON nor text".to_owned()),
        };
        if let Some(pointer) = &self.result.ok {
            let verdict = match &body {
                Ok(Body::Json(value)) => value.pointer(pointer).and_then(Value::as_bool),
                _ => None,
            };
            match verdict {
                Some(true) => {}
                Some(false) => return self.failed(answer),
                None => return self.without_verdict(pointer),
            }
        }
        match body.and_then(|body| self.taken(body)) {
            Ok(taken) => self.told(taken),
            Err(why) => self.unusable(&why),
        }
    }

    /// Returns the part of an answer that counts.
    fn taken(&self, body: Body) -> Result<Value, String> {
        let value = match body {
            Body::Nothing => Value::Null,
            Body::Json(value) => value,
            // WHY: an answer that cannot be parsed cannot be cut, and the file does not want all of it to go on.
            Body::Text(_) if self.result.take.is_some() || !self.result.keep.is_empty() => {
                return Err(UNREADABLE.to_owned());
            }
            Body::Text(text) => Value::String(text),
        };
        match &self.result.take {
            None => Ok(value),
            Some(pointer) => {
                value.pointer(pointer).cloned().ok_or_else(|| format!("its answer has no `{pointer}`"))
            }
        }
    }

    /// Returns the outcome with the members that the file keeps, if they are not too long.
    fn told(&self, mut taken: Value) -> Outcome {
        if !self.result.keep.is_empty() && !keep(&mut taken, &self.result.keep) {
            return self.unusable(UNREADABLE);
        }
        if taken.to_string().len() > self.result.max.len() {
            return self.unusable(&format!("its answer is longer than {}", self.result.max));
        }
        Outcome::Done { result: taken }
    }

    /// Returns the outcome if the answer should say whether the work was done, but cannot be read.
    fn without_verdict(&self, pointer: &str) -> Outcome {
        let service = &self.service;
        if self.changes() {
            let reason = format!(
                "`{service}` did not say at `{pointer}` whether it did the work, so it is not known whether it did."
            );
            return Outcome::unknown(reason);
        }
        Outcome::failed(format!("`{service}` answered, but did not say at `{pointer}` that all is well."))
    }

    /// Returns the outcome without a usable answer: a read has failed, a write is done all the same.
    fn unusable(&self, why: &str) -> Outcome {
        if self.changes() {
            return Outcome::Done { result: json!({ "withheld": format!("the work is done, but {why}") }) };
        }
        Outcome::failed(format!("`{}` answered, but {why}.", self.service))
    }
}

impl Answer<'_> {
    /// Returns the value in the body; an empty body is null.
    fn value(&self) -> Option<Value> {
        Body::parse(self.body?)?.json()
    }
}
