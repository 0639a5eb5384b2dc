//! Reads a tool's JSON Schema: the kind of value of each property, and how a person would say it.

use cardea_core::tool::{Effect, ToolSpec};
use regex::Regex;
use serde_json::{Map, Value};

use super::words::{LOOKING, name_words, stem};

/// Depth limit; deeper properties are not filled.
const DEEPEST: usize = 3;

/// An argument of a tool.
#[derive(Debug, Clone)]
pub(super) struct Property {
    pub(super) name: String,
    /// Words of the name, lower case.
    pub(super) words: Vec<String>,
    pub(super) about: String,
    pub(super) required: bool,
    pub(super) want: Want,
}

/// Kind of value of a property.
#[derive(Debug, Clone)]
pub(super) enum Want {
    /// One of these values.
    Choice(Vec<Value>),
    Truth,
    Id(Id),
    /// An amount of money, in cents if the schema says so.
    Amount {
        cents: bool,
        whole: bool,
    },
    /// A number of rows.
    Limit,
    /// A duration in this unit.
    Span(&'static str),
    Percent {
        whole: bool,
    },
    Number {
        whole: bool,
    },
    Email,
    Phone,
    Date {
        with_time: bool,
    },
    /// A code such as a voucher.
    Code,
    Free(Role),
    Fields(Vec<Property>),
    List(Box<Property>),
}

/// Form of an id, and the thing that it identifies.
#[derive(Debug, Clone)]
pub(super) struct Id {
    /// The thing, as a stem: `order` for `order_id`.
    pub(super) noun: Option<String>,
    pub(super) pattern: Option<Regex>,
    /// Prefix: `ORD-` if the schema shows that ids begin so.
    pub(super) prefix: Option<String>,
    /// Whether it is a number in JSON.
    pub(super) number: bool,
}

/// Purpose of free text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reason,
    /// Text to be written down or sent.
    Note,
    Subject,
    /// Text to search for, or a name.
    Search,
    Person,
    /// A city, a country, an address.
    Place,
    /// The name of a switch.
    Flag,
    /// A period in words, such as `last quarter`.
    Period,
    Other,
}

const ID_WORDS: &[&str] = &["id", "ids", "number", "no", "ref", "reference", "uuid", "identifier"];

/// Returns the arguments of a tool, required ones first.
pub(super) fn properties(tool: &ToolSpec) -> Vec<Property> {
    let nouns = tool_nouns(tool);
    let frame = Frame { root: &tool.input_schema, nouns: &nouns, depth: 0 };
    let mut found = of_object(frame, &tool.input_schema);
    found.sort_by_key(|property| !property.required);
    found
}

/// Returns the words of the tool's own name, as stems: `get_order` is about an `order`.
pub(super) fn tool_nouns(tool: &ToolSpec) -> Vec<String> {
    let name = tool.name.as_str();
    let own = name.rsplit("__").next().unwrap_or(name);
    name_words(own).iter().map(|word| stem(word)).collect()
}

/// Returns whether the tool only reads: as declared or, if nothing is declared and the worst is assumed, by the first
/// word of its name. This only influences which tool is chosen, never a right.
pub(super) fn looks(tool: &ToolSpec) -> bool {
    let looking = |verb: &String| LOOKING.iter().chain(READING).any(|word| stem(word) == *verb);
    !tool.effect.changes_things()
        || (tool.effect == Effect::Destructive && tool_nouns(tool).first().is_some_and(looking))
}

/// First words of read-only tools, beside [`LOOKING`].
const READING: &[&str] =
    &["read", "fetch", "lookup", "query", "retrieve", "describe", "count", "forecast", "calculate"];

/// What is constant while a schema is read, and the depth.
#[derive(Clone, Copy)]
struct Frame<'a> {
    root: &'a Value,
    nouns: &'a [String],
    depth: usize,
}

fn of_object(frame: Frame<'_>, schema: &Value) -> Vec<Property> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let one = |(name, schema): (&String, &Value)| {
        let required = required.contains(&name.as_str());
        property(frame, name, schema).map(|property| Property { required, ..property })
    };
    fields.iter().filter_map(one).collect()
}

fn property(frame: Frame<'_>, name: &str, schema: &Value) -> Option<Property> {
    let outer = schema.as_object()?;
    let schema = resolve(frame.root, outer);
    let about =
        ["description", "title"].iter().find_map(|key| outer.get(*key).or(schema.get(*key))?.as_str());
    let about = about.unwrap_or_default().to_owned();
    let words = name_words(name);
    let want = want(frame, &words, &about, &schema);
    Some(Property { name: name.to_owned(), words, about, required: false, want })
}

/// Follows a reference into `$defs` and takes the part of a union that is not null.
fn resolve(root: &Value, schema: &Map<String, Value>) -> Map<String, Value> {
    let mut schema = schema.clone();
    for _ in 0..8 {
        let next = if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
            path.strip_prefix('#').and_then(|path| root.pointer(path)).and_then(Value::as_object).cloned()
        } else {
            ["anyOf", "oneOf", "allOf"].iter().find_map(|key| {
                let parts = schema.get(*key)?.as_array()?;
                constants(parts).or_else(|| parts.iter().find(|part| !is_null(part))?.as_object().cloned())
            })
        };
        let Some(next) = next else { break };
        schema = next;
    }
    schema
}

/// Recognises a union of constants, as schema generators write an enum with comments.
fn constants(parts: &[Value]) -> Option<Map<String, Value>> {
    let mut values = Vec::new();
    for part in parts.iter().filter(|part| !is_null(part)) {
        match (part.get("const"), part.get("enum").and_then(Value::as_array)) {
            (Some(value), _) => values.push(value.clone()),
            (None, Some(more)) => values.extend(more.iter().cloned()),
            (None, None) => return None,
        }
    }
    (!values.is_empty()).then(|| Map::from_iter([("enum".to_owned(), values.into())]))
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

fn type_of(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("string")
        }
        _ if schema.contains_key("properties") => "object",
        _ => "string",
    }
}

fn want(frame: Frame<'_>, words: &[String], about: &str, schema: &Map<String, Value>) -> Want {
    let Frame { nouns, depth, .. } = frame;
    let inner = Frame { depth: depth + 1, ..frame };
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Want::Choice(values.iter().filter(|value| !value.is_null()).cloned().collect());
    }
    if let Some(values) = schema.get("pattern").and_then(Value::as_str).and_then(alternatives) {
        return Want::Choice(values);
    }
    let about = about.to_lowercase();
    match type_of(schema) {
        "boolean" => Want::Truth,
        "integer" => number(words, &about, schema, nouns, true),
        "number" => number(words, &about, schema, nouns, false),
        "object" if depth < DEEPEST => Want::Fields(of_object(inner, &Value::Object(schema.clone()))),
        "array" if depth < DEEPEST => {
            let item = schema.get("items").cloned().unwrap_or_default();
            let name = words.join("_");
            let item = property(inner, name.strip_suffix('s').unwrap_or(&name), &item);
            item.map_or(Want::Free(Role::Other), |item| Want::List(Box::new(item)))
        }
        _ => text(words, &about, schema, nouns),
    }
}

fn has(words: &[String], any: &[&str]) -> bool {
    words.iter().any(|word| any.contains(&word.as_str()))
}

fn number(words: &[String], about: &str, schema: &Map<String, Value>, nouns: &[String], whole: bool) -> Want {
    if words.last().is_some_and(|last| ID_WORDS.contains(&last.as_str())) {
        return Want::Id(id(words, about, schema, nouns, true));
    }
    if has(
        words,
        &["amount", "price", "total", "sum", "cost", "value", "credit", "balance", "cents", "refund"],
    ) {
        let cents =
            has(words, &["cents", "minor"]) || about.contains("cents") || about.contains("minor unit");
        return Want::Amount { cents, whole };
    }
    if has(words, &["percent", "percentage", "pct", "rate", "discount"]) {
        return Want::Percent { whole };
    }
    let units = ["minute", "hour", "day", "week", "month", "quarter", "year"];
    if let Some(unit) =
        units.iter().find(|unit| words.iter().any(|word| word.strip_suffix('s').unwrap_or(word) == **unit))
    {
        return Want::Span(unit);
    }
    if has(words, &["limit", "count", "max", "top", "size", "results", "rows"]) {
        return Want::Limit;
    }
    let unit = units.iter().find(|unit| {
        about.contains(&format!("{unit}s")) && has(words, &["period", "window", "since", "last", "lookback"])
    });
    if let Some(unit) = unit {
        return Want::Span(unit);
    }
    let nouned = words.iter().any(|word| nouns.contains(&stem(word)));
    if whole && nouned && (about.contains("id") || about.contains("number")) {
        return Want::Id(id(words, about, schema, nouns, true));
    }
    Want::Number { whole }
}

fn text(words: &[String], about: &str, schema: &Map<String, Value>, nouns: &[String]) -> Want {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let last = words.last().map_or("", String::as_str);
    match format {
        "email" => return Want::Email,
        "date" => return Want::Date { with_time: false },
        "date-time" => return Want::Date { with_time: true },
        "uuid" => return Want::Id(id(words, about, schema, nouns, false)),
        _ => {}
    }
    if has(words, &["email", "mail"]) {
        return Want::Email;
    }
    if has(words, &["phone", "telephone", "mobile"]) {
        return Want::Phone;
    }
    if has(words, &["date", "since", "until", "from", "after", "before", "start", "end"])
        && !has(words, &["id"])
    {
        return Want::Date { with_time: about.contains("rfc 3339") || about.contains("date-time") };
    }
    let person = ["agent", "assignee", "owner", "user", "manager", "assigned", "reviewer", "member"];
    let id_like = ID_WORDS.contains(&last);
    if has(words, &person)
        && !(id_like && about.contains('-'))
        && !nouns.iter().any(|noun| words.first() == Some(noun))
    {
        return Want::Free(Role::Person);
    }
    let place = ["city", "location", "place", "town", "country", "region", "destination", "origin"];
    if has(words, &place) && !id_like {
        return Want::Free(Role::Place);
    }
    if has(words, &["flag", "feature", "toggle", "switch"]) {
        return Want::Free(Role::Flag);
    }
    if id_like {
        return Want::Id(id(words, about, schema, nouns, false));
    }
    if has(words, &["code", "coupon", "voucher", "promo", "sku"]) {
        return Want::Code;
    }
    if has(words, &["amount", "price", "total"]) {
        return Want::Amount { cents: false, whole: false };
    }
    if let Some(role) = role(words) {
        return Want::Free(role);
    }
    let noun_only = words.iter().all(|word| nouns.contains(&stem(word)));
    let shows_id = about.contains(" id")
        || about.starts_with("id ")
        || about.contains("identifier")
        || about.contains(" number");
    if schema.contains_key("pattern") || (noun_only && shows_id) {
        return Want::Id(id(words, about, schema, nouns, false));
    }
    Want::Free(Role::Other)
}

fn role(words: &[String]) -> Option<Role> {
    let table: [(&[&str], Role); 5] = [
        (&["reason", "because", "cause", "justification", "why"], Role::Reason),
        (
            &["note", "comment", "message", "body", "text", "content", "reply", "details", "remark"],
            Role::Note,
        ),
        (
            &[
                "subject",
                "title",
                "summary",
                "description",
                "issue",
                "problem",
                "headline",
                "topic",
                "resolution",
            ],
            Role::Subject,
        ),
        (&["query", "search", "q", "term", "name", "keyword", "find"], Role::Search),
        (&["period", "range", "window", "interval", "timeframe"], Role::Period),
    ];
    table.iter().find(|(names, _)| has(words, names)).map(|(_, role)| *role)
}

fn id(words: &[String], about: &str, schema: &Map<String, Value>, nouns: &[String], number: bool) -> Id {
    let own = words.iter().map(|word| stem(word)).find(|word| !ID_WORDS.contains(&word.as_str()));
    // A property named just `id` belongs to what its tool is about: the last word of the tool's name.
    let noun = own.or_else(|| nouns.last().cloned());
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let shown = ["examples", "example", "default"].iter().find_map(|key| {
        let value = schema.get(*key)?;
        value.as_str().or_else(|| value.get(0)?.as_str())
    });
    let prefix = pattern.and_then(literal_prefix).or_else(|| shown.and_then(letters_before_digits));
    let prefix = prefix.or_else(|| {
        about.split([' ', ',', '(', ')', '`', '"']).find_map(letters_before_digits).map(|p| p.to_uppercase())
    });
    // A number has no letters before it, whatever its description says.
    let prefix = prefix.filter(|_| !number);
    Id { noun, pattern: pattern.and_then(|text| Regex::new(text).ok()), prefix, number }
}

/// Recognises a choice written as a pattern: `^(low|normal|high)$`.
fn alternatives(pattern: &str) -> Option<Vec<Value>> {
    let inner = pattern.strip_prefix("^(")?.strip_suffix(")$")?;
    let words: Vec<&str> = inner.trim_start_matches("?:").split('|').collect();
    let plain = |word: &&str| {
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
    };
    (words.len() > 1 && words.iter().all(plain)).then(|| words.into_iter().map(Value::from).collect())
}

/// Returns the fixed prefix of a pattern: `ORD-` of `^ORD-\d+$`.
fn literal_prefix(pattern: &str) -> Option<String> {
    let pattern = pattern.strip_prefix('^')?;
    let plain: String =
        pattern.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '#')).collect();
    (!plain.is_empty()).then_some(plain)
}

/// Returns the prefix of an id: `ORD-` of `ORD-1042`.
fn letters_before_digits(text: &str) -> Option<String> {
    let text = text.trim_end_matches(['.', ':', ';']);
    let joint = text.find(['-', '_'])?;
    let (head, digits) = text.split_at_checked(joint.saturating_add(1))?;
    let shaped = head.len() > 2 && head.bytes().take(head.len() - 1).all(|b| b.is_ascii_alphabetic());
    (shaped && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| head.to_owned())
}
