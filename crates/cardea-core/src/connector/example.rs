//! Runs the examples of a file through the code that sends and reads.

use serde_json::{Map, Value};

use super::{Answer, Connector, Operation, manifest::ExampleSpec};
use crate::{
    form::{Node, Place, Problem},
    tool::Outcome,
};

/// The idempotency key in examples.
const KEY: &str = "step";

/// Returns everything that differs from the examples.
pub(super) fn play(root: &Node, connector: &Connector) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, operation) in connector.operations.iter().enumerate() {
        for (number, example) in operation.examples.iter().enumerate() {
            let path = format!("operation[{at}].example[{number}]");
            for (key, message) in differences(operation, example) {
                let key = format!("{path}.{key}");
                let node = root.find(&key).or_else(|| root.find(&path));
                let place = node.map_or(Place::Nowhere, |node| node.place.clone());
                problems.push(Problem::new(key, message, place));
            }
        }
    }
    problems
}

fn differences(operation: &Operation, example: &ExampleSpec) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let given: Map<String, Value> =
        example.given.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Ok(schema) = jsonschema::validator_for(&operation.spec.input_schema) {
        let value = Value::Object(given.clone());
        let wrong = schema.iter_errors(&value).map(|error| error.to_string());
        found.extend(wrong.map(|why| ("given", format!("does not fit `input`: {why}"))));
    }
    let draft = match operation.draft(&given, KEY) {
        Ok(draft) => draft,
        Err(why) => return vec![("given", format!("cannot be sent: {why}"))],
    };
    let start = operation.request.base.start();
    let sent = format!("{} {}", draft.method, draft.url.strip_prefix(&start).unwrap_or(&draft.url));
    if sent != example.sends {
        found.push(("sends", format!("really sends `{sent}`")));
    }
    if let Some(wanted) = &example.body {
        let really = draft.body.and_then(|(_, bytes)| serde_json::from_slice::<Value>(&bytes).ok());
        if really.as_ref() != Some(wanted) {
            found.push(("body", format!("really sends {}", really.unwrap_or_default())));
        }
    }
    let body = match &example.gets.body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    let answer = Answer { status: example.gets.status, body: Some(&body) };
    match (operation.read(&answer, false), &example.result, &example.fails) {
        (Outcome::Done { result }, wanted, None) => {
            if wanted.as_ref().is_some_and(|wanted| *wanted != result) {
                found.push(("result", format!("is really {result}")));
            }
            if operation.way_back(&given, &answer).is_some_and(|way| !way.is_open()) {
                found.push(("gets", "has nothing of which `undo` could be made".to_owned()));
            }
        }
        (Outcome::Done { .. }, _, Some(_)) => found.push(("fails", "it really succeeds".to_owned())),
        (Outcome::Failed { reason, .. } | Outcome::Unknown { reason, .. }, None, Some(wanted)) => {
            if !reason.contains(wanted.as_str()) {
                found.push(("fails", format!("really fails with: {reason}")));
            }
        }
        (Outcome::Failed { reason, .. } | Outcome::Unknown { reason, .. }, ..) => {
            found.push(("gets", format!("is no success: {reason}")));
        }
    }
    found
}
