//! Words a tool's result: sentences from its data, and nothing else.

use cardea_core::tool::{ToolCall, ToolSpec};
use serde_json::{Map, Value};

use super::{
    schema::{looks, tool_nouns},
    value::{action, capital, compact, done, field, label, scalar},
    words::{content, is_stop, name_words, stem},
};

const ROWS: usize = 5;
const FIELDS: usize = 8;
/// Number of rows from which a list may be one page of many.
const PAGE: usize = 10;

/// Words a result.
pub(super) fn result(question: &str, tool: Option<&ToolSpec>, call: &ToolCall, text: &str) -> String {
    let subject = Subject::of(tool, call);
    let asked = Asked::of(question);
    // A tool with an undeclared effect that is called `get_weather` has not changed anything.
    let changed = tool.is_some_and(|tool| !looks(tool));
    let body = match read(text) {
        Some(value) => words_for(&value, &subject, &asked, changed),
        None if text.trim().is_empty() => "The tool returned nothing.".to_owned(),
        None => text.trim().to_owned(),
    };
    if changed { format!("Done: {}. {body}", subject.done) } else { body }
}

/// Words a failed call.
pub(super) fn failure(tool: Option<&ToolSpec>, call: &ToolCall, text: &str) -> String {
    let subject = Subject::of(tool, call);
    let reason = match read(text) {
        Some(Value::String(reason)) => reason,
        Some(Value::Object(fields)) => {
            let told = ["detail", "reason", "message", "error", "title"].iter().find_map(|key| match fields
                .get(*key)?
            {
                Value::String(text) => Some(text.clone()),
                Value::Object(inner) => inner.get("message")?.as_str().map(str::to_owned),
                _ => None,
            });
            told.unwrap_or_else(|| compact(&Value::Object(fields)))
        }
        Some(other) => compact(&other),
        None => text.trim().to_owned(),
    };
    let reason = if reason.is_empty() { "no reason was given".to_owned() } else { reason };
    let end = if reason.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("I could not {}: {reason}{end}", subject.action)
}

/// Subject of a call.
struct Subject {
    /// `process the refund`
    action: String,
    /// `the refund is processed`
    done: String,
    /// `order 17`, if an id was given.
    thing: Option<String>,
    /// `order`: what the rows are.
    noun: String,
    /// Name of a single value.
    measure: String,
    /// Number of rows that were asked for.
    limit: Option<u64>,
}

fn is_limit(name: &str) -> bool {
    name_words(name).iter().any(|word| matches!(word.as_str(), "limit" | "max" | "top" | "count" | "size"))
}

/// Returns the singular; `status` is one already.
fn singular(word: &str) -> &str {
    let one = ["ss", "us", "is"].iter().any(|end| word.ends_with(end));
    word.strip_suffix('s').filter(|_| !one).unwrap_or(word)
}

const VERBS: &[&str] = &[
    "get", "list", "search", "find", "track", "process", "apply", "create", "update", "add", "assign",
    "escalate", "close", "cancel", "delete", "fetch", "show", "read", "check", "set", "remove", "lookup",
];

impl Subject {
    fn of(tool: Option<&ToolSpec>, call: &ToolCall) -> Self {
        let own = call.name.rsplit("__").next().unwrap_or(&call.name);
        let words = name_words(own);
        let measure: Vec<&str> =
            words.iter().map(String::as_str).filter(|word| !VERBS.contains(word)).collect();
        let stems = tool.map(tool_nouns).unwrap_or_default();
        let noun = measure.last().map_or("result", |word| singular(word)).to_owned();
        let ids = call
            .arguments
            .iter()
            .filter(|(name, value)| is_id(name) && (value.is_string() || value.is_number()));
        // The id of what the tool is named after takes precedence over other ids.
        let best =
            ids.max_by_key(|(name, _)| name_words(name).iter().any(|word| stems.contains(&stem(word))));
        let thing = best.map(|(name, value)| {
            let words: Vec<String> = name_words(name)
                .into_iter()
                .filter(|word| !matches!(word.as_str(), "id" | "number"))
                .collect();
            let name = if words.is_empty() { noun.clone() } else { words.join(" ") };
            format!("{name} {}", scalar(value))
        });
        Self {
            action: action(&words, VERBS, tool.is_some_and(|tool| !looks(tool))),
            done: done(&words, VERBS),
            thing,
            measure: measure.join(" "),
            noun,
            limit: call
                .arguments
                .iter()
                .find(|(name, _)| is_limit(name))
                .and_then(|(_, value)| value.as_u64()),
        }
    }
}

impl Subject {
    /// Returns whether this field only repeats the id that was asked for.
    fn is_named_by(&self, name: &str, value: &Value) -> bool {
        let told = self.thing.as_deref().and_then(|thing| thing.rsplit(' ').next());
        is_id(name) && told.is_some_and(|told| scalar(value) == told)
    }
}

fn is_id(name: &str) -> bool {
    name_words(name).last().is_some_and(|last| {
        matches!(last.as_str(), "id" | "number" | "no" | "ref" | "order" | "ticket" | "customer" | "invoice")
    })
}

/// Purpose of the question.
struct Asked {
    stems: Vec<String>,
    when: bool,
    much: bool,
    place: bool,
    person: bool,
    count: bool,
}

impl Asked {
    fn of(question: &str) -> Self {
        let lower = question.to_lowercase();
        let has = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
        Self {
            stems: content(question),
            when: has(&["when", "what day", "date", "how long", "eta"]),
            much: has(&["how much", "cost", "price", "worth", "amount", "total", "money"]),
            place: has(&["where", "location", "track"]),
            person: lower.starts_with("who") || has(&[" who ", "whose", "by whom", "contact"]),
            count: has(&["how many", "number of", "count"]),
        }
    }

    /// Returns how much a field is what was asked for: from 2 on it is named in the question.
    fn wants(&self, name: &str, value: &Value) -> f64 {
        let words = name_words(name);
        let of = |any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
        let named = words
            .iter()
            .filter(|word| !is_stop(word) && **word != "id")
            .filter(|word| self.stems.contains(&stem(word)))
            .count();
        let mut score = if named > 0 { 2.0 + if named == words.len() { 0.5 } else { 0.0 } } else { 0.0 };
        let hint = |yes: bool, fits: bool| if yes && fits { 2.0 } else { 0.0 };
        score += hint(self.when, of(&["at", "date", "eta", "day", "due", "estimated", "expected"]));
        score += hint(
            self.much,
            of(&["total", "amount", "price", "value", "revenue", "balance", "sum", "cents", "minor"])
                && value.is_number(),
        );
        score += hint(self.place, of(&["location", "status", "carrier", "place", "city"]));
        score += hint(self.person, of(&["name", "assignee", "email", "actor", "agent", "owner"]));
        score
            + match words.last().map_or("", String::as_str) {
                "status" | "state" => 0.9,
                "name" | "subject" | "title" => 0.8,
                "total" | "amount" | "score" | "value" | "level" => 0.7,
                "priority" | "email" | "date" | "eta" | "plan" | "tier" => 0.5,
                "tenant" | "hash" | "etag" | "metadata" | "version" | "by" | "request" | "key" => -0.5,
                _ => 0.2,
            }
    }
}

/// Returns the data in a result, without the wrappers of protocols.
fn read(text: &str) -> Option<Value> {
    let parsed = serde_json::from_str::<Value>(text.trim()).ok().or_else(|| {
        // Some guardrails put a fence around untrusted text: the data is between the outermost brackets.
        let start = text.find(['{', '['])?;
        let end = text.rfind(['}', ']'])?;
        serde_json::from_str(text.get(start..=end)?).ok()
    })?;
    Some(unwrap(parsed, 0))
}

fn unwrap(value: Value, depth: usize) -> Value {
    let Value::Object(mut fields) = value else { return value };
    if depth > 4 {
        return Value::Object(fields);
    }
    if let Some(inner) = fields.remove("structuredContent").filter(|inner| !inner.is_null()) {
        return unwrap(inner, depth + 1);
    }
    let text = fields
        .get("content")
        .and_then(Value::as_array)
        .and_then(|parts| parts.first()?.get("text")?.as_str());
    if let Some(text) = text {
        return serde_json::from_str(text)
            .map_or_else(|_| Value::String(text.to_owned()), |inner| unwrap(inner, depth + 1));
    }
    if fields.len() == 1 {
        let only = fields.keys().next().cloned().unwrap_or_default();
        let wrapped = fields.get(&only).is_some_and(Value::is_object)
            || matches!(only.as_str(), "result" | "data" | "output");
        if wrapped {
            return fields.remove(&only).map_or(Value::Null, |inner| unwrap(inner, depth + 1));
        }
    }
    Value::Object(fields)
}

fn words_for(value: &Value, subject: &Subject, asked: &Asked, changed: bool) -> String {
    match value {
        Value::Null => "There is nothing to tell.".into(),
        Value::Array(rows) => rows_in_words(rows, None, &subject.noun, subject.limit, asked),
        Value::Object(fields) => object(fields, subject, asked, changed),
        one => match &subject.thing {
            Some(thing) => format!("The {} of {thing} is {}.", subject.measure, scalar(one)),
            None => format!("The {} is {}.", subject.measure, scalar(one)),
        },
    }
}

fn object(fields: &Map<String, Value>, subject: &Subject, asked: &Asked, changed: bool) -> String {
    let lists: Vec<(&String, &Vec<Value>)> = fields
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_array()?)))
        .filter(|(_, rows)| rows.iter().all(Value::is_object))
        .collect();
    let scalars = fields.values().filter(|value| !value.is_array() && !value.is_object()).count();
    let [(name, rows)] = lists.as_slice() else { return facts(fields, subject, asked) };
    // A list with a few facts beside it is a list; an order with its items is an order.
    let is_list = scalars <= 4 && fields.len() <= scalars + 1 && !(rows.is_empty() && scalars > 2);
    let own = subject.thing.as_ref().is_some_and(|thing| thing.starts_with(&subject.noun));
    let is_the_thing = own && fields.iter().any(|(name, value)| subject.is_named_by(name, value));
    if changed || is_the_thing || !is_list {
        return facts(fields, subject, asked);
    }
    let told = ["total", "count", "total_count", "matches", "found"]
        .iter()
        .find_map(|key| fields.get(*key)?.as_u64());
    let total = told.and_then(|total| usize::try_from(total).ok()).filter(|total| *total >= rows.len());
    let plain = matches!(name.as_str(), "results" | "rows" | "items" | "data");
    let noun = if plain { subject.noun.as_str() } else { singular(name) };
    rows_in_words(rows, total, &noun.replace('_', " "), subject.limit, asked)
}

fn facts(fields: &Map<String, Value>, subject: &Subject, asked: &Asked) -> String {
    let mut flat: Vec<(String, &Value)> = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Object(inner) => {
                flat.extend(inner.iter().map(|(part, value)| (format!("{name}_{part}"), value)))
            }
            Value::Null => {}
            value => flat.push((name.clone(), value)),
        }
    }
    let mut scored: Vec<(f64, String, &Value)> = flat
        .into_iter()
        .filter(|(name, value)| !subject.is_named_by(name, value))
        .map(|(name, value)| (asked.wants(&name, value), name, value))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let currency = fields.get("currency").and_then(Value::as_str).unwrap_or_default();
    let direct: Vec<&(f64, String, &Value)> =
        scored.iter().filter(|(score, _, value)| *score >= 2.0 && !is_rows(value)).take(3).collect();
    let sentence = told_directly(&direct, subject, currency);
    let told: Vec<&String> = direct.iter().map(|(_, name, _)| name).collect();
    let rest = scored.iter().filter(|(score, name, value)| {
        *score > 0.0 && !told.contains(&name) && name != "currency" && !is_rows(value)
    });
    let rest: Vec<String> = rest
        .take(FIELDS - told.len())
        .map(|(_, name, value)| format!("{} {}", label(name), field(name, value, currency)))
        .collect();
    let name = subject.thing.as_deref().map_or_else(|| capital(&subject.measure), capital);
    let lists: String = scored
        .iter()
        .filter(|(_, _, value)| is_rows(value))
        .map(|(_, name, value)| listed(name, value))
        .collect();
    let facts = match (sentence.is_empty(), rest.is_empty()) {
        (true, true) if lists.is_empty() => format!("{name}: no data."),
        (true, true) => format!("{name}:"),
        (true, false) => format!("{name}: {}.", rest.join(", ")),
        (false, true) => format!("{sentence}."),
        (false, false) => format!("{sentence}. Also: {}.", rest.join(", ")),
    };
    facts + &lists
}

/// Words the fields that the question names, as a sentence.
fn told_directly(direct: &[&(f64, String, &Value)], subject: &Subject, currency: &str) -> String {
    let mut sentence = String::new();
    for (_, name, value) in direct {
        let (label, value) = (label(name), field(name, value, currency));
        let of =
            |word: &str| subject.thing.as_ref().map(|thing| format!(" {word} {thing}")).unwrap_or_default();
        let part = match (sentence.is_empty(), label.ends_with("ed")) {
            (true, false) => format!("The {label}{} {} {value}", of("of"), is(&label)),
            // `refunded` is not a thing that something has.
            (true, true) => format!("{}{}: {value}", capital(&label), of("for")),
            (false, false) => format!(", the {label} {} {value}", is(&label)),
            (false, true) => format!(", {label} {value}"),
        };
        sentence.push_str(&part);
    }
    sentence
}

/// Returns `are` for a plural.
fn is(label: &str) -> &'static str {
    let last = label.rsplit(' ').next().unwrap_or(label);
    if singular(last) == last { "is" } else { "are" }
}

/// Returns whether the value is a list of things with fields, which is shown line by line.
fn is_rows(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
}

fn listed(name: &str, value: &Value) -> String {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let lines: String = items.iter().take(ROWS).map(|item| format!("\n- {}", compact(item))).collect();
    let more = items.len().saturating_sub(ROWS);
    let more = if more > 0 { format!("\n… and {more} more.") } else { String::new() };
    format!("\n{}:{lines}{more}", capital(&label(name)))
}

/// Words the number of rows. `total` is that number if the tool returns it; otherwise the rows may be one page of
/// many.
fn rows_in_words(
    rows: &[Value],
    total: Option<usize>,
    noun: &str,
    limit: Option<u64>,
    asked: &Asked,
) -> String {
    let plural = match noun {
        noun if noun.ends_with('s') && singular(noun) == noun => format!("{noun}es"),
        noun if noun.ends_with('s') => noun.to_owned(),
        noun if noun.ends_with('y') && !noun.ends_with("ay") && !noun.ends_with("ey") => {
            format!("{}ies", noun.trim_end_matches('y'))
        }
        noun => format!("{noun}s"),
    };
    if rows.is_empty() {
        return format!("There are no {plural}.");
    }
    let count = total.unwrap_or(rows.len());
    let many = if count == 1 { noun } else { &plural };
    let asked_for = limit.and_then(|limit| usize::try_from(limit).ok()) == Some(rows.len());
    let part = if rows.len() > ROWS { format!("; the first {ROWS}") } else { String::new() };
    let head = match total {
        None if asked_for => format!("The tool gave {count} {many}, as many as were asked for{part}:"),
        None if count >= PAGE => format!("The tool gave {count} {many}, and there may be more{part}:"),
        _ if count == 1 => format!("There is 1 {noun}:"),
        _ if asked.count => format!("There are {count} {many}:"),
        _ => format!("There are {count} {many}{part}:"),
    };
    let lines: Vec<String> =
        rows.iter().take(ROWS).map(|row| format!("- {}", row_in_words(row, asked))).collect();
    let more = count.saturating_sub(lines.len());
    let these = if total.is_none() { " of these" } else { "" };
    let more = if more > 0 { format!("\n… and {more} more{these}.") } else { String::new() };
    format!("{head}\n{}{more}", lines.join("\n"))
}

fn row_in_words(row: &Value, asked: &Asked) -> String {
    let Value::Object(fields) = row else { return compact(row) };
    let currency = fields.get("currency").and_then(Value::as_str).unwrap_or_default();
    let mut scored: Vec<(f64, &String, &Value)> = fields
        .iter()
        .filter(|(name, value)| !value.is_null() && *name != "currency" && !value.is_object())
        .map(|(name, value)| {
            (
                asked.wants(name, value)
                    + if name == "id" {
                        5.0
                    } else if is_id(name) {
                        0.6
                    } else {
                        0.0
                    },
                name,
                value,
            )
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let parts: Vec<String> = scored
        .iter()
        .take(6)
        .map(|(_, name, value)| match name.as_str() {
            "id" | "name" | "title" | "subject" => field(name, value, currency),
            name => format!("{} {}", label(name), field(name, value, currency)),
        })
        .collect();
    parts.join(", ")
}
