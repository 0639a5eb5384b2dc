//! Arguments of a tool as policies see them: JSON Schema in, Cedar types and values out.
//!
//! | JSON Schema | in `context.args` |
//! |---|---|
//! | `string` | `String` |
//! | `boolean` | `Bool` |
//! | `integer` | `Long` |
//! | `number` named `amount` | `Long` named `amount_hundredths`: 12.5 becomes 1250 |
//! | `array` of string, boolean, integer | `Set` |
//! | `object` with properties, three levels deep | record |
//!
//! Policies cannot see anything else. Existing values that they cannot see (a fraction with three digits, a number
//! beyond 64 bits, a type that is not in the table) are reported beside the value: see `reads.rs`.

use std::collections::BTreeMap;

use cedar_policy::RestrictedExpression;
use serde_json::{Map, Value, json};

use super::reads::Unseen;

/// Limit of the characters of an argument's name in messages.
const LONGEST: usize = 100;

/// Limit of nested records.
const DEPTH: u8 = 3;

/// A type of value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Text,
    Truth,
    Whole,
    /// A number in hundredths.
    Hundredths,
    Set(Box<Shape>),
    Record(BTreeMap<String, Field>),
}

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// Its name in `context.args`.
    name: String,
    required: bool,
    /// Whether `null` stands for a missing argument.
    nullable: bool,
    shape: Shape,
}

impl Shape {
    /// Returns the record of a tool's arguments.
    pub(super) fn of_tool(schema: &Value) -> Self {
        Self::record(schema, schema, DEPTH).unwrap_or_else(|| Self::Record(BTreeMap::new()))
    }

    fn record(schema: &Value, root: &Value, depth: u8) -> Option<Self> {
        let properties = schema.get("properties")?.as_object()?;
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let fields = properties.iter().filter_map(|(key, inner)| {
            let (shape, nullable) = Self::of(inner, root, depth.checked_sub(1)?)?;
            let name = if shape == Self::Hundredths { hundredths_of(key) } else { key.clone() };
            // If two properties would share a name, it belongs to the one that really has it.
            let taken = name != *key && properties.contains_key(&name);
            let required = required.contains(&key.as_str()) && !nullable;
            (!taken).then(|| (key.clone(), Field { name, required, nullable, shape }))
        });
        Some(Self::Record(fields.collect()))
    }

    /// Returns the shape, and whether `null` may replace it.
    fn of(schema: &Value, root: &Value, depth: u8) -> Option<(Self, bool)> {
        let schema = resolve(schema, root)?;
        if let Some(either) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            let is_null = |one: &&Value| one.get("type").and_then(Value::as_str) == Some("null");
            let mut others = either.iter().filter(|one| !is_null(one));
            let (only, more) = (others.next()?, others.next());
            let nullable = either.iter().any(|one| is_null(&one));
            return if more.is_some() {
                None
            } else {
                Self::of(only, root, depth.checked_sub(1)?).map(|(s, n)| (s, n || nullable))
            };
        }
        let (kind, nullable) = match schema.get("type")? {
            Value::String(kind) => (kind.as_str(), false),
            Value::Array(kinds) => {
                let mut others = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
                let (only, more) = (others.next()?, others.next());
                if more.is_some() {
                    return None;
                }
                (only, kinds.iter().any(|kind| kind == "null"))
            }
            _ => return None,
        };
        let shape = match kind {
            "string" => Self::Text,
            "boolean" => Self::Truth,
            "integer" => Self::Whole,
            "number" => Self::Hundredths,
            "array" => match Self::of(schema.get("items")?, root, depth)? {
                (inner @ (Self::Text | Self::Truth | Self::Whole), false) => Self::Set(Box::new(inner)),
                _ => return None,
            },
            "object" => Self::record(schema, root, depth)?,
            _ => return None,
        };
        Some((shape, nullable))
    }

    /// Returns the type in a Cedar schema.
    pub(super) fn cedar_type(&self) -> Value {
        match self {
            Self::Text => json!({ "type": "String" }),
            Self::Truth => json!({ "type": "Boolean" }),
            Self::Whole | Self::Hundredths => json!({ "type": "Long" }),
            Self::Set(inner) => json!({ "type": "Set", "element": inner.cedar_type() }),
            Self::Record(fields) => {
                let attributes: Map<String, Value> = fields
                    .values()
                    .map(|field| {
                        let mut kind = field.shape.cedar_type();
                        if let Value::Object(kind) = &mut kind {
                            kind.insert("required".to_owned(), Value::Bool(field.required));
                        }
                        (field.name.clone(), kind)
                    })
                    .collect();
                json!({ "type": "Record", "attributes": attributes })
            }
        }
    }

    /// Returns the value of the arguments, and those of them that policies cannot see.
    pub(super) fn value(&self, arguments: &Map<String, Value>) -> (RestrictedExpression, Vec<Unseen>) {
        let none = BTreeMap::new();
        let fields = if let Self::Record(fields) = self { fields } else { &none };
        let mut left_out = LeftOut::default();
        (left_out.record_of(fields, arguments), left_out.unseen)
    }

    fn expression(&self, value: &Value) -> Option<RestrictedExpression> {
        match (self, value) {
            (Self::Text, Value::String(text)) => Some(RestrictedExpression::new_string(text.clone())),
            (Self::Truth, Value::Bool(truth)) => Some(RestrictedExpression::new_bool(*truth)),
            (Self::Whole, Value::Number(number)) => whole(number).map(RestrictedExpression::new_long),
            (Self::Hundredths, Value::Number(number)) => {
                hundredths(number).map(RestrictedExpression::new_long)
            }
            (Self::Set(inner), Value::Array(items)) => {
                let items: Option<Vec<_>> = items.iter().map(|item| inner.expression(item)).collect();
                items.map(RestrictedExpression::new_set)
            }
            _ => None,
        }
    }

    /// Returns what a policy can represent of this type.
    const fn fits(&self) -> &'static str {
        match self {
            Self::Text => "must be a text",
            Self::Truth => "must be true or false",
            Self::Whole => "must be a whole number from -9223372036854775808 to 9223372036854775807",
            Self::Hundredths => {
                "must be a number with at most two digits after the point, from -92233720368547758.07 to \
                 92233720368547758.07"
            }
            Self::Set(inner) => match **inner {
                Self::Whole => {
                    "must be a list of whole numbers from -9223372036854775808 to 9223372036854775807"
                }
                Self::Truth => "must be a list of true and false",
                _ => "must be a list of texts",
            },
            Self::Record(_) => "must be an object",
        }
    }
}

/// What was left out of a record while it was converted.
#[derive(Default)]
struct LeftOut {
    within: Vec<String>,
    /// The path as written by the caller.
    written: Vec<String>,
    unseen: Vec<Unseen>,
}

impl LeftOut {
    fn record_of(
        &mut self,
        fields: &BTreeMap<String, Field>,
        object: &Map<String, Value>,
    ) -> RestrictedExpression {
        let mut seen = Vec::with_capacity(object.len());
        for (key, value) in object {
            let Some(field) = fields.get(key) else {
                // WHY: the author of the policy may have meant it by either name.
                let names = vec![key.clone(), hundredths_of(key)];
                self.say(key, names, "is of a kind that policies cannot read, or not in the tool's schema");
                continue;
            };
            let expression = match (&field.shape, value) {
                (_, Value::Null) if field.nullable => continue,
                (Shape::Record(fields), Value::Object(object)) => {
                    self.within.push(field.name.clone());
                    self.written.push(key.clone());
                    let record = self.record_of(fields, object);
                    self.within.pop();
                    self.written.pop();
                    Some(record)
                }
                (shape, value) => shape.expression(value),
            };
            match expression {
                Some(expression) => seen.push((field.name.clone(), expression)),
                None => self.say(key, vec![field.name.clone(), key.clone()], field.shape.fits()),
            }
        }
        // The names are keys of maps and so unique. An empty record makes policies err, and an error is a refusal.
        RestrictedExpression::new_record(seen)
            .unwrap_or_else(|_| RestrictedExpression::new_set(std::iter::empty::<RestrictedExpression>()))
    }

    fn say(&mut self, key: &str, names: Vec<String>, fits: &str) {
        let path: Vec<&str> = self.written.iter().map(String::as_str).chain([key]).collect();
        let short: String = path.join(".").chars().take(LONGEST).collect();
        let says = format!("the argument `{short}`, which {fits}");
        self.unseen.push(Unseen { within: self.within.clone(), names, says });
    }
}

/// Returns the name under which policies see a number that may have a fraction.
fn hundredths_of(key: &str) -> String {
    format!("{key}_hundredths")
}

/// Follows references inside the schema.
fn resolve<'v>(schema: &'v Value, root: &'v Value) -> Option<&'v Value> {
    let mut schema = schema;
    for _ in 0..8 {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => schema = root.pointer(reference.strip_prefix('#')?)?,
            None => return Some(schema),
        }
    }
    None
}

/// Returns an integer; JSON Schema counts `3.0` as one.
fn whole(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let hundredths = hundredths(number)?;
        (hundredths % 100 == 0).then_some(hundredths / 100)
    })
}

/// Returns the number times one hundred, if that is an integer. Works on the decimal digits, since floats are not
/// exact.
fn hundredths(number: &serde_json::Number) -> Option<i64> {
    let text = number.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
    let (units, fraction) = plain(digits)?;
    let fraction = fraction.trim_end_matches('0');
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if units.is_empty() || fraction.len() > 2 || !all_digits(&units) || !all_digits(fraction) {
        return None;
    }
    let units: i64 = units.parse().ok()?;
    let cents: i64 = format!("{fraction:0<2}").parse().ok()?;
    units.checked_mul(100)?.checked_add(cents)?.checked_mul(sign)
}

/// Returns the digits before and after the point, with `1.5e16` written out. `None` far beyond all that could fit.
fn plain(digits: &str) -> Option<(String, String)> {
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    let (units, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() <= 40)?;
    let all = format!("{units}{fraction}");
    let point = i32::try_from(units.len()).ok()?.checked_add(exponent)?;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let before = usize::try_from(point).unwrap_or(0);
    match all.split_at_checked(before) {
        Some((units, fraction)) if before > 0 => Some((units.to_owned(), fraction.to_owned())),
        Some(_) => Some(("0".to_owned(), zeros(point.saturating_neg()) + &all)),
        None => Some((format!("{all:0<before$}"), String::new())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> serde_json::Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn money_is_exact_or_not_seen_at_all() {
        for (text, want) in [
            ("12.5", Some(1250)),
            ("0.29", Some(29)),
            ("100", Some(10_000)),
            ("-3.10", Some(-310)),
            ("1e2", Some(10_000)),
            ("1.5e16", Some(1_500_000_000_000_000_000)),
            ("9e16", Some(9_000_000_000_000_000_000)),
            ("0", Some(0)),
        ] {
            assert_eq!(hundredths(&number(text)), want, "{text}");
        }
        for text in ["0.125", "1e300", "1e17", "92233720368547758.08", "18446744073709551615", "1e-7"] {
            assert_eq!(hundredths(&number(text)), None, "{text}");
        }
        assert_eq!(whole(&number("3.0")), Some(3));
        assert_eq!(whole(&number("3.5")), None);
        assert_eq!(whole(&number("18446744073709551615")), None);
    }

    #[test]
    fn a_schema_becomes_a_record_of_what_cedar_knows() {
        let shape = Shape::of_tool(&json!({
            "type": "object",
            "required": ["id", "amount", "note", "where"],
            "properties": {
                "id": { "type": "string" },
                "amount": { "type": "number" },
                "note": { "type": ["string", "null"] },
                "tags": { "type": "array", "items": { "type": "string" } },
                "where": { "$ref": "#/$defs/place" },
                "maybe": { "anyOf": [{ "type": "boolean" }, { "type": "null" }] },
                "either": { "type": ["string", "integer"] },
                "count": { "type": "number" }, "count_hundredths": { "type": "integer" },
                "loop": { "$ref": "#/properties/loop" },
            },
            "$defs": { "place": { "type": "object", "properties": { "city": { "type": "string" } } } },
        }));
        let Value::Object(attributes) = shape.cedar_type()["attributes"].clone() else { panic!() };
        let names: Vec<&str> = attributes.keys().map(String::as_str).collect();
        assert_eq!(names, ["amount_hundredths", "count_hundredths", "id", "maybe", "note", "tags", "where"]);
        assert_eq!(attributes["amount_hundredths"], json!({ "type": "Long", "required": true }));
        assert_eq!(attributes["note"], json!({ "type": "String", "required": false }));
        assert_eq!(attributes["where"]["attributes"]["city"]["type"], "String");
    }

    proptest! {
        #[test]
        fn hundredths_agree_with_integer_arithmetic(cents in -1_000_000_000_i64..1_000_000_000) {
            let text = format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
            prop_assert_eq!(hundredths(&number(&text)), Some(cents));
        }
    }
}
