//! The catalogue of tools, with what is needed to check and to call them.

use std::{collections::BTreeMap, sync::Arc};

use cardea_core::{
    Code, Error, Result,
    canonical::hex,
    effort::Effort,
    id::ToolName,
    journal::Repeatable,
    message::estimate_tokens,
    saga::Undo,
    tool::{CacheHint, Effect, ToolCall, ToolSpec},
};
use serde_json::{Map, Value};

/// The most problems with one set of arguments that a caller is told of.
const PROBLEMS: usize = 5;

/// The most steps of one check. A million take some tens of milliseconds.
const MOST_STEPS: u64 = 10_000_000;

/// The most steps of a check that reports what is wrong. Each step keeps about a kilobyte of memory.
const MOST_TOLD: u64 = 50_000;

/// Where a tool is implemented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// In an upstream MCP server, under this name.
    Mcp {
        /// The upstream's name.
        server: String,
        /// The tool's own name there.
        name: String,
    },
    /// An operation of a connector.
    Http {
        /// The connector's name.
        connector: String,
    },
}

/// A tool with everything that is known about it.
#[derive(Debug)]
pub struct Tool {
    spec: ToolSpec,
    schema: jsonschema::Validator,
    effort: Effort,
    pub(super) source: Source,
    repeatable: Repeatable,
    undo: Option<Undo>,
    tokens: u64,
    /// True if a guardrail has warned about its description.
    warned: bool,
    /// A digest of where it is implemented and how it is described there.
    made_of: String,
}

impl Tool {
    /// Makes a tool. Its schema must compile, and a check by it must end in reasonable time.
    ///
    /// # Errors
    /// `misconfigured` with the reason if the input schema cannot be used.
    pub(super) fn new(spec: ToolSpec, source: Source, repeatable: Repeatable) -> Result<Self> {
        let unusable = |why: &str| {
            Error::new(Code::Misconfigured)
                .detail(format!("The input schema of the tool `{}` cannot be used: {why}.", spec.name))
        };
        let effort = Effort::of(&spec.input_schema);
        if effort.steps(&Value::Object(Map::from_iter([(String::new(), Value::Null)]))) > MOST_STEPS {
            return Err(unusable(
                "its references multiply or lead elsewhere, so that no check by it comes to an end",
            ));
        }
        let schema =
            jsonschema::validator_for(&spec.input_schema).map_err(|error| unusable(&error.to_string()))?;
        let tokens = tokens(&spec);
        Ok(Self {
            spec,
            schema,
            effort,
            source,
            repeatable,
            undo: None,
            tokens,
            warned: false,
            made_of: String::new(),
        })
    }

    /// Returns what offering it costs, in tokens (an estimate).
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Marks it with a guardrail's warning about its description.
    pub(super) fn warned(self) -> Self {
        Self { warned: true, ..self }
    }

    /// Sets the digest of what it is made of beyond its spec: the connector's file, or the server's address and the
    /// tool's definition there.
    pub(super) fn made_of(self, digest: &str) -> Self {
        Self { made_of: digest.to_owned(), ..self }
    }

    /// Returns the digest of where its results come from.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.made_of
    }

    /// Returns true if a guardrail has warned about its description. A turn in which it is offered is tainted.
    #[must_use]
    pub fn is_warned(&self) -> bool {
        self.warned
    }

    /// Sets its undo.
    pub(super) fn undo_with(&mut self, undo: Undo) {
        self.undo = Some(undo);
    }

    /// Returns its undo, if its author declares one.
    #[must_use]
    pub fn undo(&self) -> Option<&Undo> {
        self.undo.as_ref()
    }

    /// Returns its name and what callers may know about it.
    #[must_use]
    pub fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &ToolName {
        &self.spec.name
    }

    /// Returns its name at the server or connector.
    pub(super) fn own_name(&self) -> &str {
        match &self.source {
            Source::Mcp { name, .. } => name,
            Source::Http { .. } => self.spec.name.as_str(),
        }
    }

    /// Returns its effect on the world.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.spec.effect
    }

    /// Returns whether a call can be repeated without harm.
    #[must_use]
    pub fn repeatable(&self) -> Repeatable {
        self.repeatable
    }

    /// Returns how its results may be reused. Only reads have such a hint.
    #[must_use]
    pub fn cache(&self) -> Option<&CacheHint> {
        self.spec.cache.as_ref().filter(|_| self.spec.effect == Effect::Read)
    }

    /// Checks the arguments of a call against the tool's schema.
    ///
    /// # Errors
    /// `invalid_arguments`, naming the path and the rule of the first few problems, without the values.
    pub fn check(&self, call: &ToolCall) -> Result<()> {
        let arguments = Value::Object(call.arguments.clone());
        let wrong = |why: &str| {
            Err(Error::new(Code::InvalidArguments).detail(format!("`{}`: {why}.", self.spec.name)))
        };
        match self.effort.steps(&arguments) {
            too_many if too_many > MOST_STEPS => {
                return wrong("the arguments are too large or nested too deeply to be checked by its schema");
            }
            many if many > MOST_TOLD => {
                let told = "the arguments do not fit its schema, and are too large to say where";
                return if self.schema.is_valid(&arguments) { Ok(()) } else { wrong(told) };
            }
            _ => {}
        }
        let problems: Vec<String> = self
            .schema
            .iter_errors(&arguments)
            .take(PROBLEMS)
            .map(|problem| {
                let path = problem.instance_path().to_string();
                let place = if path.is_empty() { "the arguments".to_owned() } else { format!("`{path}`") };
                format!("{place}: {}", problem.masked())
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        wrong(&problems.join("; "))
    }

    /// Returns the cache tags of this call, with templates filled from the arguments. A tool that does not declare the
    /// lifetime of its results has the tag of its whole server.
    #[must_use]
    pub fn tags(&self, arguments: &Map<String, Value>) -> Vec<String> {
        self.cache().map_or_else(|| vec![self.server()], |hint| fill(&hint.tags, arguments))
    }

    /// Returns the cache tags that a call of this tool clears. A tool that changes things also clears the tag of its
    /// server.
    #[must_use]
    pub fn clears(&self, arguments: &Map<String, Value>) -> Vec<String> {
        let server = self.effect().changes_things().then(|| self.server());
        fill(&self.spec.clears, arguments).into_iter().chain(server).collect()
    }

    /// Returns the tag of everything that depends on this tool's server.
    fn server(&self) -> String {
        match &self.source {
            Source::Mcp { server: name, .. } | Source::Http { connector: name } => tag_of(name),
        }
    }
}

/// Returns the tag of everything that depends on a server.
fn tag_of(server: &str) -> String {
    format!("server:{server}")
}

/// Returns what describing a tool to a model costs, in tokens (an estimate).
pub(super) fn tokens(spec: &ToolSpec) -> u64 {
    estimate_tokens(&spec.description) + estimate_tokens(&spec.input_schema.to_string())
}

/// Fills templates such as `order:{order_id}` from the arguments. A tag whose argument is absent is left out.
fn fill(templates: &[String], arguments: &Map<String, Value>) -> Vec<String> {
    templates.iter().filter_map(|template| fill_one(template, arguments)).collect()
}

fn fill_one(template: &str, arguments: &Map<String, Value>) -> Option<String> {
    let mut tag = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}')?;
        tag.push_str(before);
        match arguments.get(name)? {
            Value::String(text) => tag.push_str(text),
            Value::Number(number) => tag.push_str(&number.to_string()),
            _ => return None,
        }
        rest = tail;
    }
    tag.push_str(rest);
    Some(tag)
}

/// All tools at one moment. Replaced as a whole when an upstream's list changes.
#[derive(Debug, Default)]
pub struct Catalog {
    tools: BTreeMap<ToolName, Arc<Tool>>,
    version: String,
}

impl Catalog {
    /// Makes a catalogue of these tools.
    ///
    /// # Errors
    /// `misconfigured` if two tools have the same name.
    pub(super) fn new(tools: Vec<Arc<Tool>>) -> Result<Self> {
        let mut catalog = Self::default();
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for tool in tools {
            let name = tool.name().clone();
            if catalog.tools.insert(name.clone(), tool).is_some() {
                return Err(
                    Error::new(Code::Misconfigured).detail(format!("There are two tools named `{name}`."))
                );
            }
        }
        for tool in catalog.tools.values() {
            hash.update(serde_json::to_string(tool.spec()).unwrap_or_default().as_bytes());
            hash.update(tool.made_of.as_bytes());
            hash.update(b"\n");
        }
        catalog.version = hex(hash.finish().as_ref().get(..8).unwrap_or_default());
        Ok(catalog)
    }

    /// Returns the tool with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.get(&ToolName::from(name))
    }

    /// Returns the tags that this call has cleared if it was made. `None` if they are not all known: the tool no longer
    /// exists, or the arguments do not, as after an erasure.
    #[must_use]
    pub fn clears(&self, call: &ToolCall) -> Option<Vec<String>> {
        let tool = self.get(&call.name)?;
        let is_told = |tag: &String| fill_one(tag, &call.arguments).is_some();
        tool.spec.clears.iter().all(is_told).then(|| tool.clears(&call.arguments))
    }

    /// Returns all tools in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values()
    }

    /// Returns the specs of all tools.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.all().map(|tool| tool.spec().clone()).collect()
    }

    /// Returns a version that changes with any definition in the catalogue.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

#[cfg(test)]
mod tests {
    use cardea_core::{time::Millis, tool::Sharing};
    use serde_json::json;

    use super::*;

    fn refund() -> Tool {
        let spec = ToolSpec {
            name: "ops__refund".into(),
            description: "Give money back.".into(),
            input_schema: json!({
                "type": "object", "required": ["order_id"], "additionalProperties": false,
                "properties": { "order_id": { "type": "string" }, "amount": { "type": "number", "maximum": 100 } },
            }),
            effect: Effect::Write,
            idempotent: false,
            sends_outside: false,
            examples: Vec::new(),
            cache: None,
            clears: vec!["order:{order_id}".into(), "refunds".into(), "who:{nobody}".into()],
        };
        let source = Source::Mcp { server: "ops".into(), name: "refund".into() };
        Tool::new(spec, source, Repeatable::ByKey).unwrap()
    }

    /// Makes a tool whose schema doubles: each definition refers twice to the next, this many times.
    fn doubling(times: usize) -> Result<Tool> {
        let link = |n: usize| json!({ "$ref": format!("#/$defs/d{n}") });
        let mut defs: Map<String, Value> =
            (0..times).map(|n| (format!("d{n}"), json!({ "anyOf": [link(n + 1), link(n + 1)] }))).collect();
        defs.insert(format!("d{times}"), json!({ "type": "integer" }));
        let input_schema = json!({ "type": "object", "properties": { "city": link(0) }, "$defs": defs });
        let tool = refund();
        Tool::new(ToolSpec { input_schema, ..tool.spec.clone() }, tool.source, Repeatable::No)
    }

    fn call(arguments: Value) -> ToolCall {
        let Value::Object(arguments) = arguments else { panic!("not an object") };
        ToolCall { id: "c1".into(), name: "ops__refund".into(), arguments, written: None }
    }

    #[test]
    fn wrong_arguments_are_named_by_path_and_never_by_value() {
        let error = refund().check(&call(json!({ "amount": 424_242, "x": 1 }))).unwrap_err().public();
        assert!(error.contains("/amount") && error.contains("order_id"), "{error}");
        assert!(!error.contains("424242"), "the value is not for the log: {error}");
        refund().check(&call(json!({ "order_id": "17", "amount": 5 }))).unwrap();
    }

    #[test]
    fn a_schema_whose_check_would_not_end_is_refused_and_a_costly_one_says_less() {
        let error = doubling(30).unwrap_err();
        assert_eq!(error.code(), Code::Misconfigured);
        assert!(error.public().contains("ops__refund"), "{}", error.public());
        let costly = doubling(16).unwrap();
        costly.check(&call(json!({ "city": 7 }))).unwrap();
        let error = costly.check(&call(json!({ "city": "Bonn" }))).unwrap_err().public();
        assert!(error.contains("do not fit its schema"), "{error}");
        let large = call(json!({ "city": vec![1; 200_000] }));
        let error = costly.check(&large).unwrap_err().public();
        assert!(error.contains("too large or nested too deeply"), "{error}");
    }

    #[test]
    fn a_tag_is_filled_from_the_arguments_or_left_out() {
        let call = call(json!({ "order_id": "17" }));
        assert_eq!(refund().clears(&call.arguments), ["order:17", "refunds", "server:ops"]);
    }

    #[test]
    fn of_a_call_whose_tool_or_arguments_are_gone_nobody_can_say_what_it_cleared() {
        let catalog = Catalog::new(vec![Arc::new(refund())]).unwrap();
        let name = refund().name().to_string();
        let of = |name: &str, arguments: Value| {
            let arguments = arguments.as_object().cloned().unwrap_or_default();
            catalog.clears(&ToolCall { name: name.to_owned(), arguments, ..call(json!({})) })
        };
        assert_eq!(of(&name, json!({ "order_id": "17", "nobody": "ann" })).unwrap().len(), 4);
        assert_eq!(of(&name, json!({ "order_id": "17" })), None);
        assert_eq!(of("ops__gone", json!({ "order_id": "17" })), None);
    }

    #[test]
    fn what_says_nothing_of_its_results_hangs_on_its_server() {
        let mut read = refund();
        (read.spec.effect, read.spec.clears) = (Effect::Read, Vec::new());
        assert_eq!(read.tags(&Map::new()), ["server:ops"]);
        assert!(read.clears(&Map::new()).is_empty(), "a read makes nothing old");
        let hint = CacheHint { ttl: Millis(1), tags: vec!["orders".into()], sharing: Sharing::User };
        read.spec.cache = Some(hint);
        assert_eq!(read.tags(&Map::new()), ["orders"]);
    }

    #[test]
    fn two_tools_cannot_share_a_name() {
        let error = Catalog::new(vec![Arc::new(refund()), Arc::new(refund())]).unwrap_err();
        assert!(error.public().contains("two tools named `ops__refund`"), "{error}");
    }
}
