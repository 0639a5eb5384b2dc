//! The JSON Schemas of a tool's arguments and result, and the check of the arguments.

use cardea_core::{Code, Error, Result};
use jsonschema::{ValidationError, Validator};
use rmcp::model::JsonObject;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

/// The schema of `T` as it is read, written flat so that models need not follow references.
pub(crate) fn of<T: JsonSchema>() -> JsonObject {
    written::<T>(SchemaSettings::draft2020_12())
}

/// The schema of `T` as it is sent: a field with a default value is always there.
pub(crate) fn of_result<T: JsonSchema>() -> JsonObject {
    written::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn written<T: JsonSchema>(mut settings: SchemaSettings) -> JsonObject {
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut map = match schema.to_value() {
        Value::Object(map) => map,
        _ => JsonObject::new(),
    };
    map.remove("title");
    map
}

/// Makes a schema of arguments complete: an object, closed against names that it does not know.
pub(crate) fn seal(mut schema: JsonObject) -> JsonObject {
    schema.insert("type".to_owned(), json!("object"));
    schema.entry("properties").or_insert_with(|| json!({}));
    let open = ["additionalProperties", "oneOf", "anyOf", "allOf", "$ref"]
        .iter()
        .any(|key| schema.contains_key(*key));
    if !open {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    schema
}

/// How many faults are told.
const FAULTS: usize = 3;

fn place(fault: &ValidationError<'_>) -> String {
    let place = fault.instance_path().to_string();
    if place.is_empty() { "`/`".to_owned() } else { format!("`{place}`") }
}

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Check(Validator);

impl Check {
    pub(crate) fn compile(schema: &JsonObject) -> Result<Self, String> {
        jsonschema::validator_for(&Value::Object(schema.clone())).map(Self).map_err(|why| why.to_string())
    }

    /// The places of the first three faults, without anything of what stands there.
    pub(crate) fn places(&self, arguments: &Value) -> Vec<String> {
        self.0.iter_errors(arguments).take(FAULTS).map(|fault| place(&fault)).collect()
    }

    /// Names the place and the rule for each of the first three faults, for the caller: a rule tells what was there.
    pub(crate) fn arguments(&self, arguments: &Value) -> Result<()> {
        if self.0.is_valid(arguments) {
            return Ok(());
        }
        let faults: Vec<String> = self
            .0
            .iter_errors(arguments)
            .take(FAULTS)
            .map(|fault| {
                let rule: String = fault.to_string().chars().take(200).collect();
                format!("{}: {rule}", place(&fault))
            })
            .collect();
        Err(Error::new(Code::InvalidArguments).detail(format!("{}.", faults.join("; "))))
    }
}
