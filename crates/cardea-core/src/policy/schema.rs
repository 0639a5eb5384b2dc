//! The vocabulary of policies: entity types, actions and context, built from the tool catalogue.
//!
//! Each tool is an action, so that `context.args` has the types of the tool's own arguments. Actions are grouped:
//! `Action::"call"` contains `"read"`, `"write"` and `"destructive"`, and each of these the tools of that effect.
//! `Action::"complete"` is the use of a model without an agent, `Action::"restore"` is reading the values behind the
//! placeholders of one's own conversation with an agent.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use serde_json::{Map, Value, json};

use super::shape::Shape;
use crate::{
    id::ToolName,
    principal::{Principal, Proof},
    tool::{Effect, ToolSpec},
};

/// The group of all tools.
pub(super) const CALL: &str = "call";
/// Asking a model without an agent.
pub(super) const COMPLETE: &str = "complete";
/// Reading the values behind placeholders.
pub(super) const RESTORE: &str = "restore";
/// The actions that are not tools: names that no tool may have.
pub(super) const RESERVED: [&str; 6] = [CALL, COMPLETE, RESTORE, "read", "write", "destructive"];

/// What policies can refer to.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) schema: Value,
    pub(super) tools: HashMap<ToolName, Known>,
    pub(super) types: Types,
}

/// A tool, prepared for questions.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) effect: Effect,
    pub(super) sends_outside: bool,
    pub(super) idempotent: bool,
    pub(super) action: EntityUid,
    pub(super) resource: EntityUid,
    /// The action with its groups and the tool with its server.
    pub(super) entities: Entities,
    pub(super) arguments: Shape,
}

/// Names of entity types, parsed once.
#[derive(Debug)]
pub(super) struct Types {
    user: EntityTypeName,
    role: EntityTypeName,
    tenant: EntityTypeName,
    tool: EntityTypeName,
    server: EntityTypeName,
    model: EntityTypeName,
    agent: EntityTypeName,
    action: EntityTypeName,
}

/// Error for a catalogue that gives no vocabulary.
type Bad = String;

impl Types {
    fn new() -> Result<Self, Bad> {
        let name = |text: &str| text.parse().map_err(|_| format!("`{text}` is no type name"));
        Ok(Self {
            user: name("User")?,
            role: name("Role")?,
            tenant: name("Tenant")?,
            tool: name("Tool")?,
            server: name("Server")?,
            model: name("Model")?,
            agent: name("Agent")?,
            action: name("Action")?,
        })
    }

    pub(super) fn action(&self, name: &str) -> EntityUid {
        uid(&self.action, name)
    }

    pub(super) fn model(&self, name: &str) -> EntityUid {
        uid(&self.model, name)
    }

    pub(super) fn agent(&self, name: &str) -> EntityUid {
        uid(&self.agent, name)
    }

    pub(super) fn role(&self, name: &str) -> EntityUid {
        uid(&self.role, name)
    }

    pub(super) fn server(&self, name: &str) -> EntityUid {
        uid(&self.server, name)
    }

    pub(super) fn tenant(&self, name: &str) -> EntityUid {
        uid(&self.tenant, name)
    }

    /// Returns `User::"tenant/issuer/user"`: the same name at two issuers is two users. A slash or a percent sign in
    /// the tenant or the issuer is written `%2F`, `%25`, so that no two users share a text.
    pub(super) fn user(&self, principal: &Principal) -> EntityUid {
        let (tenant, issuer) = (escaped(principal.tenant.as_str()), escaped(&principal.issuer));
        uid(&self.user, &format!("{tenant}/{issuer}/{}", principal.user))
    }
}

pub(super) fn escaped(part: &str) -> Cow<'_, str> {
    if part.contains(['/', '%']) {
        return Cow::Owned(part.replace('%', "%25").replace('/', "%2F"));
    }
    Cow::Borrowed(part)
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// Returns the server of `server__tool`; tools without one are Cardea's own.
pub(super) fn server_of(tool: &str) -> &str {
    tool.split_once("__").map_or("cardea", |(server, _)| server)
}

impl Vocabulary {
    /// Builds the vocabulary of these tools.
    pub(super) fn of<'t>(tools: impl IntoIterator<Item = &'t ToolSpec>) -> Result<Self, Bad> {
        let types = Types::new()?;
        let mut known = HashMap::new();
        let mut actions = groups();
        for tool in tools {
            let name = tool.name.as_str();
            if RESERVED.contains(&name) {
                return Err(format!("a tool may not be named `{name}`: policies use that word for a group"));
            }
            let arguments = Shape::of_tool(&tool.input_schema);
            actions.insert(name.to_owned(), action(tool.effect, &arguments));
            if known.insert(tool.name.clone(), Known::new(tool, arguments, &types)?).is_some() {
                return Err(format!("there are two tools named `{name}`"));
            }
        }
        let schema = json!({ "": { "entityTypes": entity_types(), "actions": actions } });
        Ok(Self { schema, tools: known, types })
    }

    /// Returns what policies read of the tools beyond the schema.
    pub(super) fn facts(&self) -> String {
        let facts =
            |(name, known): (&ToolName, &Known)| (name.clone(), [known.sends_outside, known.idempotent]);
        format!("{:?}", self.tools.iter().map(facts).collect::<BTreeMap<_, _>>())
    }
}

impl Known {
    fn new(tool: &ToolSpec, arguments: Shape, types: &Types) -> Result<Self, Bad> {
        let name = tool.name.as_str();
        let server = server_of(name);
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let attributes = [
            ("name".to_owned(), text(name)),
            ("server".to_owned(), text(server)),
            ("effect".to_owned(), text(tool.effect.name())),
            ("sendsOutside".to_owned(), RestrictedExpression::new_bool(tool.sends_outside)),
            ("idempotent".to_owned(), RestrictedExpression::new_bool(tool.idempotent)),
        ];
        let resource = uid(&types.tool, name);
        let parents = HashSet::from([uid(&types.server, server)]);
        let bad = |error: &dyn std::fmt::Display| format!("the tool `{name}` cannot be described: {error}");
        let entity = Entity::new(resource.clone(), attributes.into_iter().collect(), parents)
            .map_err(|error| bad(&error))?;
        let action = types.action(name);
        let group = types.action(tool.effect.name());
        let all = [
            entity,
            Entity::new_no_attrs(action.clone(), HashSet::from([group.clone()])),
            Entity::new_no_attrs(group, HashSet::from([types.action(CALL)])),
        ];
        let entities = Entities::from_entities(all, None).map_err(|error| bad(&error))?;
        let (sends_outside, idempotent) = (tool.sends_outside, tool.idempotent);
        Ok(Self { effect: tool.effect, sends_outside, idempotent, action, resource, entities, arguments })
    }
}

fn groups() -> BTreeMap<String, Value> {
    let in_call = || json!({ "memberOf": [{ "id": CALL }] });
    BTreeMap::from([
        (CALL.to_owned(), json!({})),
        (Effect::Read.name().to_owned(), in_call()),
        (Effect::Write.name().to_owned(), in_call()),
        (Effect::Destructive.name().to_owned(), in_call()),
        (
            COMPLETE.to_owned(),
            json!({ "appliesTo": { "principalTypes": ["User"], "resourceTypes": ["Model"], "context": context(None) } }),
        ),
        (
            RESTORE.to_owned(),
            json!({ "appliesTo": { "principalTypes": ["User"], "resourceTypes": ["Agent"],
                "context": context(Some(("label", json!({ "type": "String" })))) } }),
        ),
    ])
}

fn action(effect: Effect, arguments: &Shape) -> Value {
    json!({
        "memberOf": [{ "id": effect.name() }],
        "appliesTo": { "principalTypes": ["User"], "resourceTypes": ["Tool"], "context": context(Some(("args", arguments.cedar_type()))) },
    })
}

/// Returns the context, with what only this kind of question has.
fn context(more: Option<(&str, Value)>) -> Value {
    let texts = json!({ "type": "Set", "element": { "type": "String" } });
    let mut attributes = Map::new();
    attributes.extend(more.map(|(name, kind)| (name.to_owned(), kind)));
    attributes.insert("agent".to_owned(), json!({ "type": "String" }));
    attributes.insert("via".to_owned(), json!({ "type": "String" }));
    attributes.insert("taint".to_owned(), texts.clone());
    attributes.insert(
        "time".to_owned(),
        json!({ "type": "Record", "attributes": {
            "hour": { "type": "Long" }, "minute": { "type": "Long" }, "weekday": { "type": "Long" },
        } }),
    );
    attributes.insert(
        "approval".to_owned(),
        json!({ "type": "Record", "required": false, "attributes": { "by": { "type": "String" }, "roles": texts } }),
    );
    json!({ "type": "Record", "attributes": attributes })
}

fn entity_types() -> Value {
    let text = || json!({ "type": "String" });
    let texts = || json!({ "type": "Set", "element": { "type": "String" } });
    json!({
        "User": {
            "memberOfTypes": ["Role", "Tenant"],
            "shape": { "type": "Record", "attributes": {
                "tenant": text(), "user": text(), "issuer": text(), "proof": text(),
                "client": { "type": "String", "required": false },
                "roles": texts(), "scopes": texts(), "actors": texts(),
            } },
            "tags": { "type": "String" },
        },
        "Role": {},
        "Tenant": {},
        "Server": {},
        "Model": {},
        "Agent": {},
        "Tool": {
            "memberOfTypes": ["Server"],
            "shape": { "type": "Record", "attributes": {
                "name": text(), "server": text(), "effect": text(),
                "sendsOutside": { "type": "Boolean" }, "idempotent": { "type": "Boolean" },
            } },
        },
    })
}

/// Returns the user as an entity: attributes, roles and tenant as parents, metadata as tags.
pub(super) fn user(principal: &Principal, types: &Types) -> Result<Entity, Bad> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let texts =
        |all: &mut dyn Iterator<Item = &String>| RestrictedExpression::new_set(all.map(|one| text(one)));
    let mut attributes = vec![
        ("tenant".to_owned(), text(principal.tenant.as_str())),
        ("user".to_owned(), text(principal.user.as_str())),
        ("issuer".to_owned(), text(&principal.issuer)),
        ("proof".to_owned(), text(proof(principal.proof))),
        ("roles".to_owned(), texts(&mut principal.roles.iter())),
        ("scopes".to_owned(), texts(&mut principal.scopes.iter())),
        ("actors".to_owned(), texts(&mut principal.actors.iter())),
    ];
    attributes.extend(principal.client.as_ref().map(|client| ("client".to_owned(), text(client.as_str()))));
    let tags = principal.metadata.iter().filter_map(|(key, value)| Some((key.clone(), text(&tag(value)?))));
    let roles = principal.roles.iter().map(|role| types.role(role));
    let parents = roles.chain([types.tenant(principal.tenant.as_str())]);
    Entity::new_with_tags(types.user(principal), attributes, parents, tags).map_err(|error| error.to_string())
}

/// Returns a fact about the user as policies see it.
fn tag(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    })
}

/// Returns whether a fact about the user exists that no tag can represent.
pub(super) fn is_unseen(value: &Value) -> bool {
    !value.is_null() && tag(value).is_none()
}

const fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::Jwt => "jwt",
        Proof::ApiKey => "api_key",
        Proof::Embedded => "embedded",
        Proof::Anonymous => "anonymous",
    }
}
