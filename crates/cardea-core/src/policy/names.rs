//! Unknown names in policies. Cedar accepts any name, and a `forbid` with a slip in one forbids nothing.

use std::{borrow::Cow, collections::BTreeSet};

use cedar_policy::{Effect as Means, Policy};
use serde_json::Value;

use super::{
    Via, hours,
    schema::{RESERVED, Vocabulary, escaped, server_of},
    taint,
};
use crate::{form::closest, guard::report, id::ToolName};

/// Effects of tools, as in `resource.effect`.
const EFFECTS: [&str; 3] = ["read", "write", "destructive"];
/// Kinds of credentials, as in `principal.proof`.
const PROOFS: [&str; 4] = ["jwt", "api_key", "embedded", "anonymous"];
/// Agent of calls that no agent makes.
pub(super) const DIRECT: &str = "direct";
/// Prefix of issuers that are Cardea itself.
const OWN: &str = "cardea";

/// The names of an installation, beside its known tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installation {
    /// MCP servers. One may be away, so the tools that they offer are never known for certain.
    pub servers: BTreeSet<String>,
    /// Connectors. Their operations are all known.
    pub connectors: BTreeSet<String>,
    /// Agents.
    pub agents: BTreeSet<String>,
    /// Models, as clients name them.
    pub models: BTreeSet<String>,
    /// The `iss` of the issuers.
    pub issuers: BTreeSet<String>,
    /// Claims that issuers pass on, which become tags of users.
    pub claims: BTreeSet<String>,
}

/// Kind of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Action,
    Tool,
    Server,
    Agent,
    Model,
    User,
    Issuer,
    Way,
    Effect,
    Proof,
    Taint,
    Label,
    Claim,
}

impl Kind {
    /// Returns whether its names are defined by Cardea, and the same in every installation.
    const fn is_own(self) -> bool {
        matches!(self, Self::Way | Self::Effect | Self::Proof | Self::Taint | Self::Label)
    }

    fn of_entity(kind: &str) -> Option<Self> {
        Some(match kind {
            "Action" => Self::Action,
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
            ("context", "taint") => Self::Taint,
            ("context", "label") => Self::Label,
            ("principal", "issuer") => Self::Issuer,
            ("principal", "proof") => Self::Proof,
            _ => return None,
        })
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Action | Self::Tool => "tool",
            Self::Server => "server",
            Self::Agent => "agent",
            Self::Model => "model",
            Self::User => "user",
            Self::Issuer => "issuer",
            Self::Way => "way in",
            Self::Effect => "effect",
            Self::Proof => "proof",
            Self::Taint => "word of `context.taint`",
            Self::Label => "kind of value",
            Self::Claim => "claim that becomes a tag of users",
        }
    }
}

/// An unknown name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slip {
    /// The name as written.
    pub(super) written: String,
    /// What is wrong.
    pub(super) says: String,
    /// What to do about it.
    pub(super) help: String,
    /// True if the name cannot exist here, and a `forbid` or an exception of a `permit` depends on it.
    pub(super) void: bool,
    /// The action with this name, if a condition compares with it.
    pub(super) action: Option<String>,
}

/// A name in a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Named<'j> {
    kind: Kind,
    name: &'j str,
    /// True if it is written as an entity.
    entity: bool,
    /// True if an unknown name allows more: in a `forbid`, and in the `unless` of a `permit`.
    binding: bool,
}

/// Finds unknown names in a policy, except actions in its scope, and times that never come. If the installation is not
/// known, only Cardea's own words and actions are checked.
pub(super) fn slips(policy: &Policy, vocabulary: &Vocabulary, names: Option<&Installation>) -> Vec<Slip> {
    let Ok(json) = policy.to_json() else { return Vec::new() };
    let forbids = policy.effect() == Means::Forbid;
    let mut found = BTreeSet::new();
    for part in ["principal", "resource"] {
        walk(json.get(part).unwrap_or(&Value::Null), forbids, &mut found);
    }
    let conditions = json.get("conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        let exception = condition.get("kind").and_then(Value::as_str) == Some("unless");
        walk(condition.get("body").unwrap_or(&Value::Null), forbids || exception, &mut found);
    }
    let nothing = Installation::default();
    let known = Known { vocabulary, names: names.unwrap_or(&nothing), forbids };
    let always = |kind: Kind| kind.is_own() || kind == Kind::Action;
    let asked = found.into_iter().filter(|named| names.is_some() || always(named.kind));
    let mut slips: Vec<Slip> = asked.filter_map(|named| known.slip(named)).collect();
    let mut never = Vec::new();
    hours::never(json.get("conditions").unwrap_or(&Value::Null), &mut never);
    slips.extend(never.into_iter().map(|(says, help)| Slip {
        written: "context.time".to_owned(),
        says,
        help: help.to_owned(),
        void: true,
        action: None,
    }));
    slips
}

/// Returns what is wrong with an unknown name of this kind, and what may have been meant.
pub(super) fn unknown(
    kind: Kind,
    name: &str,
    vocabulary: &Vocabulary,
    names: Option<&Installation>,
) -> Option<String> {
    let nothing = Installation::default();
    let known = Known { vocabulary, names: names.unwrap_or(&nothing), forbids: false };
    if names.is_none() && !kind.is_own() {
        return None;
    }
    let slip = known.slip(Named { kind, name, entity: false, binding: false })?;
    Some(format!("{}; {}", slip.says, slip.help))
}

/// Returns the slip of an action that is neither a tool nor a group.
pub(super) fn action(
    policy: &Policy,
    vocabulary: &Vocabulary,
    names: Option<&Installation>,
    named: &str,
) -> Slip {
    let tools = vocabulary.tools.keys().map(ToolName::as_str);
    let never = names.is_some_and(|names| !Known { vocabulary, names, forbids: true }.may_be_away(named));
    let void = never && policy.effect() == Means::Forbid;
    let help = match (closest(named, tools.chain(RESERVED)), never) {
        (Some(near), false) => format!("did you mean `{near}`? Without its tool the policy is set aside"),
        (Some(near), true) => format!("did you mean `{near}`?"),
        (None, false) => "its server may be away; until the tool is there the policy is set aside".to_owned(),
        (None, true) => no_server(named),
    };
    let says = format!("no tool is named `{named}`{}", holds_nothing(void, true));
    Slip { written: format!("Action::{named:?}"), says, help, void, action: None }
}

fn holds_nothing(void: bool, forbids: bool) -> &'static str {
    match (void, forbids) {
        (true, true) => ", and none can be here: what this `forbid` says of it holds for nothing",
        (true, false) => ", and none can be here: what this `unless` says of it holds for nothing",
        (false, _) => "",
    }
}

fn no_server(tool: &str) -> String {
    format!(
        "there is no upstream and no connector `{}`; one that is meant for elsewhere is made known by `tools.json`",
        server_of(tool)
    )
}

/// Collects every name in an expression.
fn walk<'j>(json: &'j Value, binding: bool, found: &mut BTreeSet<Named<'j>>) {
    match json {
        Value::Array(all) => all.iter().for_each(|one| walk(one, binding, found)),
        Value::Object(members) => {
            let text = |key: &str| members.get(key).and_then(Value::as_str);
            if let (Some(kind), Some(id)) = (text("type").and_then(Kind::of_entity), text("id")) {
                found.insert(Named { kind, name: id, entity: true, binding });
            }
            for operator in ["==", "!=", "contains", "containsAny", "containsAll"] {
                let sides = members.get(operator).map(|sides| (sides.get("left"), sides.get("right")));
                if let Some((Some(left), Some(right))) = sides {
                    compared(left, right, binding, found);
                    compared(right, left, binding, found);
                }
            }
            for operator in ["hasTag", "getTag"] {
                let name = members.get(operator).and_then(|sides| sides.get("right")?.get("Value")?.as_str());
                found.extend(name.map(|name| Named { kind: Kind::Claim, name, entity: false, binding }));
            }
            members.values().for_each(|one| walk(one, binding, found));
        }
        _ => {}
    }
}

/// Collects the texts that an attribute is compared with.
fn compared<'j>(attribute: &Value, with: &'j Value, binding: bool, found: &mut BTreeSet<Named<'j>>) {
    let path = |at: &str| attribute.pointer(at).and_then(Value::as_str);
    let kind = path("/./left/Var").zip(path("/./attr")).and_then(|(of, name)| Kind::of_attribute(of, name));
    let Some(kind) = kind else { return };
    let listed = with.get("Set").or_else(|| with.get("Value")).and_then(Value::as_array);
    let all = listed.map_or_else(|| std::slice::from_ref(with), Vec::as_slice);
    let texts = all.iter().filter_map(|one| one.get("Value").unwrap_or(one).as_str());
    found.extend(texts.map(|name| Named { kind, name, entity: false, binding }));
}

/// Returns the issuer in `TENANT/ISSUER/NAME`.
fn issuer_of(user: &str) -> Option<String> {
    let mut parts = user.splitn(3, '/');
    let issuer = parts.nth(1)?;
    parts.next().map(|_| issuer.replace("%2F", "/").replace("%25", "%"))
}

/// Returns `TENANT/ISSUER/NAME` with the slashes of the issuer escaped, if they are not.
fn with_slashes(user: &str, issuers: &BTreeSet<String>) -> Option<String> {
    let (tenant, rest) = user.split_once('/')?;
    let of = |issuer: &&String| rest.strip_prefix(issuer.as_str()).is_some_and(|name| name.starts_with('/'));
    let issuer = match issuers
        .iter()
        .filter(|issuer| issuer.contains('/'))
        .filter(of)
        .max_by_key(|issuer| issuer.len())
    {
        Some(issuer) => issuer.as_str(),
        None => rest.rsplit_once('/').map(|(issuer, _)| issuer).filter(|issuer| issuer.contains("://"))?,
    };
    let name = rest.get(issuer.len()..)?;
    Some(format!("{tenant}/{}{name}", escaped(issuer)))
}

/// All names that are known.
struct Known<'a> {
    vocabulary: &'a Vocabulary,
    names: &'a Installation,
    /// True if a `forbid` names it.
    forbids: bool,
}

impl Known<'_> {
    fn slip(&self, named: Named<'_>) -> Option<Slip> {
        let Named { kind, name, entity, binding } = named;
        let slashed = if kind == Kind::User { with_slashes(name, &self.names.issuers) } else { None };
        if slashed.is_none() && (self.all(kind).contains(name) || self.is_well(kind, name)) {
            return None;
        }
        let away = match kind {
            Kind::Action | Kind::Tool => self.may_be_away(name),
            Kind::Issuer | Kind::Claim => true,
            Kind::User => slashed.is_none() && issuer_of(name).is_some(), // its issuer is not known
            _ => false,
        };
        let void = !away && binding;
        let near = match kind {
            Kind::User => None,
            _ => closest(name, self.all(kind).iter().map(|near| &**near))
                .map(|near| format!("did you mean `{near}`?")),
        };
        let help = near.unwrap_or_else(|| match kind {
            Kind::Action | Kind::Tool if away => "its server may be away".to_owned(),
            Kind::Action | Kind::Tool | Kind::Server => no_server(name),
            Kind::User => match slashed {
                Some(meant) => format!("a slash in an issuer is written `%2F`: `{meant}`"),
                None if away => "its issuer is none of those configured".to_owned(),
                None => "a user is written `TENANT/ISSUER/NAME`".to_owned(),
            },
            Kind::Issuer => "it is none of those configured".to_owned(),
            Kind::Claim => "`metadata_claims` of no issuer names it".to_owned(),
            Kind::Label => "`cardea guard list` names them all".to_owned(),
            _ => format!("known: {}", self.all(kind).into_iter().collect::<Vec<_>>().join(", ")),
        });
        let of_type = match kind {
            Kind::Action => "Action::",
            Kind::Tool => "Tool::",
            Kind::Server => "Server::",
            Kind::Agent => "Agent::",
            Kind::Model => "Model::",
            _ => "User::",
        };
        let written = format!("{}{name:?}", if entity { of_type } else { "" });
        let says = format!("no {} is named `{name}`{}", kind.word(), holds_nothing(void, self.forbids));
        let action = (kind == Kind::Action).then(|| name.to_owned());
        Some(Slip { written, says, help, void, action })
    }

    /// Returns whether an unknown tool may belong to a server that offers more than is known.
    fn may_be_away(&self, tool: &str) -> bool {
        let server = server_of(tool);
        tool.contains("__") && self.servers().contains(server) && !self.names.connectors.contains(server)
    }

    fn servers(&self) -> BTreeSet<&str> {
        let names = self.names.servers.iter().chain(&self.names.connectors).map(String::as_str);
        let known = self.vocabulary.tools.keys().map(|tool| server_of(tool.as_str()));
        names.chain(known).chain([OWN]).collect()
    }

    /// Returns whether a name is valid although no list contains it.
    fn is_well(&self, kind: Kind, name: &str) -> bool {
        let own = |issuer: &str| issuer.starts_with(OWN) || self.names.issuers.contains(issuer);
        match kind {
            Kind::Issuer => own(name),
            Kind::User => issuer_of(name).is_some_and(|issuer| own(&issuer)),
            _ => false,
        }
    }

    fn all(&self, kind: Kind) -> BTreeSet<Cow<'_, str>> {
        let named = |names: &'_ BTreeSet<String>| names.iter().cloned().map(Cow::Owned).collect();
        let own = |words: &[&'static str]| words.iter().copied().map(Cow::Borrowed).collect();
        match kind {
            Kind::Action => self.all(Kind::Tool).into_iter().chain(own(&RESERVED)).collect(),
            Kind::Tool => self.vocabulary.tools.keys().map(|tool| Cow::Borrowed(tool.as_str())).collect(),
            Kind::Server => self.servers().into_iter().map(Cow::Borrowed).collect(),
            Kind::Agent => {
                self.names.agents.iter().map(String::as_str).chain([DIRECT]).map(Cow::Borrowed).collect()
            }
            Kind::Model => named(&self.names.models),
            Kind::Issuer => named(&self.names.issuers),
            Kind::Claim => named(&self.names.claims),
            Kind::User => BTreeSet::new(),
            Kind::Way => own(&Via::ALL.map(Via::name)),
            Kind::Effect => own(&EFFECTS),
            Kind::Proof => own(&PROOFS),
            Kind::Taint => taint::all().map(Cow::Borrowed).collect(),
            Kind::Label => {
                report::types().unwrap_or_default().into_iter().map(|facts| Cow::Owned(facts.label)).collect()
            }
        }
    }
}
