//! Installation in policies that nobody has. Cedar takes any name, and a `forbid` with a slip in one forbids nothing.

use std::collections::BTreeSet;

use cedar_policy::{Effect as Means, Policy};
use serde_json::Value;

use super::schema::{COMPLETE, RESTORE, Vocabulary, server_of};
use crate::{form::closest, id::ToolName};

/// The ways in, as `context.via` names them.
const WAYS: [&str; 5] = ["chat", "mcp", "openai", "api", "undo"];
/// What tools do, as `resource.effect` names it.
const EFFECTS: [&str; 3] = ["read", "write", "destructive"];
/// How callers prove who they are, as `principal.proof` names it.
const PROOFS: [&str; 4] = ["jwt", "api_key", "embedded", "anonymous"];
/// The agent of calls that no agent makes.
const DIRECT: &str = "direct";
/// Issuers that are Cardea itself.
const OWN: &str = "cardea";

/// What an installation has beside the tools that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installation {
    /// MCP servers. One may be away, so what they offer is never known for certain.
    pub servers: BTreeSet<String>,
    /// Connectors. Their operations are all known.
    pub connectors: BTreeSet<String>,
    /// Agents.
    pub agents: BTreeSet<String>,
    /// Models, as clients call them.
    pub models: BTreeSet<String>,
    /// The `iss` of the issuers.
    pub issuers: BTreeSet<String>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tool,
    Server,
    Agent,
    Model,
    User,
    Issuer,
    Way,
    Effect,
    Proof,
}

impl Kind {
    fn of_entity(kind: &str) -> Option<Self> {
        Some(match kind {
            "Tool" => Self::Tool,
            "Server" => Self::Server,
            "Agent" => Self::Agent,
            "Model" => Self::Model,
            "User" => Self::User,
            _ => return None,
        })
    }

    fn of_attribute(of: &str, attribute: &str) -> Option<Self> {
        Some(match (of, attribute) {
            ("resource", "name") => Self::Tool,
            ("resource", "server") => Self::Server,
            ("resource", "effect") => Self::Effect,
            ("context", "agent") => Self::Agent,
            ("context", "via") => Self::Way,
            ("principal", "issuer") => Self::Issuer,
            ("principal", "proof") => Self::Proof,
            _ => return None,
        })
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Server => "server",
            Self::Agent => "agent",
            Self::Model => "model",
            Self::User => "user",
            Self::Issuer => "issuer",
            Self::Way => "way in",
            Self::Effect => "effect",
            Self::Proof => "proof",
        }
    }
}

/// A name that nobody has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slip {
    /// How it stands in the text.
    pub(super) written: String,
    /// What is wrong.
    pub(super) says: String,
    /// What to do about it.
    pub(super) help: String,
    /// True if nobody can have it here, and a `forbid` hangs on it.
    pub(super) void: bool,
}

/// The names in a policy that nobody has, those of its actions excepted.
pub(super) fn slips(policy: &Policy, vocabulary: &Vocabulary, names: &Installation) -> Vec<Slip> {
    let Ok(mut json) = policy.to_json() else { return Vec::new() };
    if let Some(policy) = json.as_object_mut() {
        policy.remove("action");
        policy.remove("annotations");
    }
    let mut found = BTreeSet::new();
    walk(&json, &mut found);
    let known = Known { vocabulary, names };
    found.into_iter().filter_map(|(kind, name, entity)| known.slip(policy, kind, name, entity)).collect()
}

/// The slip of an action that is no tool and no group.
pub(super) fn action(
    policy: &Policy,
    vocabulary: &Vocabulary,
    names: Option<&Installation>,
    named: &str,
) -> Slip {
    let groups = EFFECTS.into_iter().chain(["call", COMPLETE, RESTORE]);
    let tools = vocabulary.tools.keys().map(ToolName::as_str);
    let never = names.is_some_and(|names| !Known { vocabulary, names }.may_be_away(named));
    let void = never && policy.effect() == Means::Forbid;
    let help = match (closest(named, tools.chain(groups)), never) {
        (Some(near), false) => format!("did you mean `{near}`? Without its tool the policy is set aside"),
        (Some(near), true) => format!("did you mean `{near}`?"),
        (None, false) => "its server may be away; until the tool is there the policy is set aside".to_owned(),
        (None, true) => no_server(named),
    };
    let says = format!("no tool is named `{named}`{}", holds_nothing(void));
    Slip { written: format!("Action::{named:?}"), says, help, void }
}

fn holds_nothing(void: bool) -> &'static str {
    if void { ", and none can be here: what this `forbid` says of it holds for nothing" } else { "" }
}

fn no_server(tool: &str) -> String {
    format!(
        "there is no upstream and no connector `{}`; one that is meant for elsewhere is made known by `tools.json`",
        server_of(tool)
    )
}

/// Every name in an expression, and whether it is one of an entity.
fn walk<'j>(json: &'j Value, found: &mut BTreeSet<(Kind, &'j str, bool)>) {
    match json {
        Value::Array(all) => all.iter().for_each(|one| walk(one, found)),
        Value::Object(members) => {
            let text = |key: &str| members.get(key).and_then(Value::as_str);
            if let (Some(kind), Some(id)) = (text("type").and_then(Kind::of_entity), text("id")) {
                found.insert((kind, id, true));
            }
            for operator in ["==", "!=", "contains"] {
                let sides = members.get(operator).map(|sides| (sides.get("left"), sides.get("right")));
                if let Some((Some(left), Some(right))) = sides {
                    compared(left, right, found);
                    compared(right, left, found);
                }
            }
            members.values().for_each(|one| walk(one, found));
        }
        _ => {}
    }
}

/// The texts that an attribute is compared with.
fn compared<'j>(attribute: &Value, with: &'j Value, found: &mut BTreeSet<(Kind, &'j str, bool)>) {
    let path = |at: &str| attribute.pointer(at).and_then(Value::as_str);
    let kind = path("/./left/Var").zip(path("/./attr")).and_then(|(of, name)| Kind::of_attribute(of, name));
    let Some(kind) = kind else { return };
    let listed = with.get("Set").or_else(|| with.get("Value")).and_then(Value::as_array);
    let all = listed.map_or_else(|| std::slice::from_ref(with), Vec::as_slice);
    let texts = all.iter().filter_map(|one| one.get("Value").unwrap_or(one).as_str());
    found.extend(texts.map(|text| (kind, text, false)));
}

/// The issuer in `TENANT/ISSUER/NAME`.
fn issuer_of(user: &str) -> Option<String> {
    let mut parts = user.splitn(3, '/');
    let issuer = parts.nth(1)?;
    parts.next().map(|_| issuer.replace("%2F", "/").replace("%25", "%"))
}

/// Everything that has a name here.
struct Known<'a> {
    vocabulary: &'a Vocabulary,
    names: &'a Installation,
}

impl Known<'_> {
    fn slip(&self, policy: &Policy, kind: Kind, name: &str, entity: bool) -> Option<Slip> {
        if self.all(kind).contains(name) || self.is_well(kind, name) {
            return None;
        }
        let away = match kind {
            Kind::Tool => self.may_be_away(name),
            Kind::Issuer => true,
            Kind::User => issuer_of(name).is_some(), // its issuer is not known
            _ => false,
        };
        let void = !away && policy.effect() == Means::Forbid;
        let near = match kind {
            Kind::User => None,
            _ => closest(name, self.all(kind)).map(|near| format!("did you mean `{near}`?")),
        };
        let help = near.unwrap_or_else(|| match kind {
            Kind::Tool if away => "its server may be away".to_owned(),
            Kind::Tool | Kind::Server => no_server(name),
            Kind::User if away => "its issuer is none of those configured".to_owned(),
            Kind::User => "a user is written `TENANT/ISSUER/NAME`".to_owned(),
            Kind::Issuer => "it is none of those configured".to_owned(),
            _ => format!("known: {}", self.all(kind).into_iter().collect::<Vec<_>>().join(", ")),
        });
        let of_type = match kind {
            Kind::Tool => "Tool::",
            Kind::Server => "Server::",
            Kind::Agent => "Agent::",
            Kind::Model => "Model::",
            _ => "User::",
        };
        let written = format!("{}{name:?}", if entity { of_type } else { "" });
        let says = format!("no {} is named `{name}`{}", kind.word(), holds_nothing(void));
        Some(Slip { written, says, help, void })
    }

    /// A tool that nobody has, of a server that may offer more than is known.
    fn may_be_away(&self, tool: &str) -> bool {
        let server = server_of(tool);
        tool.contains("__") && self.servers().contains(server) && !self.names.connectors.contains(server)
    }

    fn servers(&self) -> BTreeSet<&str> {
        let names = self.names.servers.iter().chain(&self.names.connectors).map(String::as_str);
        let known = self.vocabulary.tools.keys().map(|tool| server_of(tool.as_str()));
        names.chain(known).chain([OWN]).collect()
    }

    /// Installation that are no slip, although they stand in no list.
    fn is_well(&self, kind: Kind, name: &str) -> bool {
        let own = |issuer: &str| issuer.starts_with(OWN) || self.names.issuers.contains(issuer);
        match kind {
            Kind::Issuer => own(name),
            Kind::User => issuer_of(name).is_some_and(|issuer| own(&issuer)),
            _ => false,
        }
    }

    fn all(&self, kind: Kind) -> BTreeSet<&str> {
        match kind {
            Kind::Tool => self.vocabulary.tools.keys().map(ToolName::as_str).collect(),
            Kind::Server => self.servers(),
            Kind::Agent => self.names.agents.iter().map(String::as_str).chain([DIRECT]).collect(),
            Kind::Model => self.names.models.iter().map(String::as_str).collect(),
            Kind::Issuer => self.names.issuers.iter().map(String::as_str).collect(),
            Kind::User => BTreeSet::new(),
            Kind::Way => WAYS.into_iter().collect(),
            Kind::Effect => EFFECTS.into_iter().collect(),
            Kind::Proof => PROOFS.into_iter().collect(),
        }
    }
}
