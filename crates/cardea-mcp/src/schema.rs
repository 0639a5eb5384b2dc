//! The JSON Schemas of a tool's arguments and result, and the validation of arguments.

use cardea_core::{Code, Error, Result};
use jsonschema::{ValidationError, Validator};
use rmcp::model::JsonObject;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

/// Returns the schema of `T` for reading, inlined so that models need not follow references.
pub(crate) fn of<T: JsonSchema>() -> JsonObject {
    written::<T>(SchemaSettings::draft2020_12())
}

/// Returns the schema of `T` for writing: a field with a default value is always present.
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

/// Completes a schema of arguments: an object that accepts no unknown names.
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

/// Number of faults that are reported.
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

    /// Returns the places of the first three faults, without any values.
    pub(crate) fn places(&self, arguments: &Value) -> Vec<String> {
        self.0.iter_errors(arguments).take(FAULTS).map(|fault| place(&fault)).collect()
    }

    /// Names the place and the rule of each of the first three faults, for the caller: a rule may repeat a value.
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
