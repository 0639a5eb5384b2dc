//! `@approval`: who may lift a `forbid`, whether anyone can, and which `forbid`s no one can lift together.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use serde_json::Value;

use super::schema::{CALL, COMPLETE, Known, RESTORE, Vocabulary, server_of};

/// What is wrong, and what to do about it.
pub(super) type Wrong = (String, String);

/// Limit of pairs of approval policies that are compared.
const COMPARED: usize = 10_000;
/// Limit of pairs that are reported for one policy.
const TOLD: usize = 3;
/// Limit of different conditions whose combinations are tried.
const MOST: usize = 12;

/// Parses `role:a` or `role:a, role:b`: the roles of which one is enough to lift this `forbid`.
pub(super) fn approvers(policy: &Policy, text: &str) -> Result<BTreeSet<String>, Wrong> {
    let wrong = |what: &str, help: &str| Err((what.to_owned(), help.to_owned()));
    if policy.effect() != Effect::Forbid {
        return wrong(
            "only a `forbid` can be lifted by an approval",
            "put @approval before the forbid that asks for it",
        );
    }
    let role = |part: &str| part.trim().strip_prefix("role:").map(|role| role.trim().to_owned());
    let roles: Option<BTreeSet<String>> =
        text.split(',').map(|part| role(part).filter(|role| !role.is_empty())).collect();
    let Some(roles) = roles else {
        return wrong(
            "`@approval` names nobody",
            "write @approval(\"role:supervisor\"), or several with commas",
        );
    };
    if let Some(odd) = roles.iter().find(|role| role.contains([';', '|', '&']) || role.contains("role:")) {
        let says = format!("`@approval` names the role `{odd}`, which is none");
        let help = "several roles stand with commas between them, and one of them is enough: \
                    @approval(\"role:a, role:b\")";
        return Err((says, help.to_owned()));
    }
    if let Some(never) = waits_for_nobody(policy) {
        let says = format!("`{never}` cannot wait for an approval: only calls of tools do");
        return Err((says, format!("take @approval away, or Action::\"{never}\" out of the scope")));
    }
    match policy.to_json() {
        Ok(json) if !can_be_lifted(&json) => wrong(
            "`@approval` lifts nothing: this `forbid` holds with an approval as well",
            "end it with `unless { context has approval }`",
        ),
        _ => Ok(roles),
    }
}

/// Returns an action in the scope for which no approval is ever requested.
fn waits_for_nobody(policy: &Policy) -> Option<&'static str> {
    let named = match policy.action_constraint() {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(uid) => vec![uid],
        ActionConstraint::In(uids) => uids,
    };
    [COMPLETE, RESTORE].into_iter().find(|never| named.iter().any(|uid| uid.id().unescaped() == *never))
}

/// Returns whether the policy, in its JSON form, can stop holding because of an approval. False if it holds with an
/// approval wherever it holds without one. Each condition that does not mention the approval is tried as true and as
/// false.
fn can_be_lifted(policy: &Value) -> bool {
    let Some(conditions) = policy.get("conditions").and_then(Value::as_array) else { return true };
    let bodies = || conditions.iter().filter_map(|condition| condition.get("body"));
    let mut atoms = Vec::new();
    bodies().for_each(|body| collect(body, &mut atoms));
    if atoms.len() > MOST {
        return true;
    }
    let holds = |approved: bool, bits: u32| {
        conditions.iter().all(|condition| {
            let wanted = condition.get("kind").and_then(Value::as_str) != Some("unless");
            let body = condition.get("body").unwrap_or(&Value::Null);
            Trial { atoms: &atoms, approved, bits }.holds(body) == wanted
        })
    };
    (0..1_u32 << atoms.len()).any(|bits| holds(false, bits) && !holds(true, bits))
}

/// One assignment of the conditions.
struct Trial<'a> {
    atoms: &'a [&'a Value],
    approved: bool,
    bits: u32,
}

impl Trial<'_> {
    fn holds(&self, expression: &Value) -> bool {
        let parted = parted(expression);
        let (operator, parts) =
            parted.as_ref().map_or(("", [].as_slice()), |(operator, parts)| (*operator, parts));
        match (operator, parts) {
            ("&&", [left, right]) => self.holds(left) && self.holds(right),
            ("||", [left, right]) => self.holds(left) || self.holds(right),
            ("!", [inner]) => !self.holds(inner),
            (_, [test, then, other]) => self.holds(if self.holds(test) { then } else { other }),
            _ => match expression.get("Value").and_then(Value::as_bool) {
                Some(truth) => truth,
                None if asks_for_approval(expression) => self.approved,
                None => {
                    let place = self.atoms.iter().position(|atom| *atom == expression);
                    let set = place.is_some_and(|place| self.bits >> place & 1 == 1);
                    // Nothing can be read of an approval that does not exist.
                    set && (self.approved || !speaks_of_approval(expression))
                }
            },
        }
    }
}

/// Collects the expressions that are atoms of the boolean form, each once.
fn collect<'v>(expression: &'v Value, atoms: &mut Vec<&'v Value>) {
    match parted(expression) {
        Some((_, parts)) => parts.into_iter().for_each(|part| collect(part, atoms)),
        None if expression.get("Value").is_some_and(Value::is_boolean) => {}
        None if asks_for_approval(expression) || atoms.contains(&expression) => {}
        None => atoms.push(expression),
    }
}

/// Splits an expression made of boolean operators.
fn parted(expression: &Value) -> Option<(&str, Vec<&Value>)> {
    let (operator, parts) = expression.as_object()?.iter().next()?;
    let names: &[&str] = match operator.as_str() {
        "&&" | "||" => &["left", "right"],
        "!" => &["arg"],
        "if-then-else" => &["if", "then", "else"],
        _ => return None,
    };
    Some((operator, names.iter().filter_map(|name| parts.get(name)).collect()))
}

/// Matches `context has approval`, also as the beginning of a longer chain.
fn asks_for_approval(expression: &Value) -> bool {
    let of_context = expression.pointer("/has/left/Var").and_then(Value::as_str) == Some("context");
    let name = expression.pointer("/has/attr").or_else(|| expression.pointer("/has/attr/0"));
    let name = name.and_then(|name| name.as_str().or_else(|| name.get(0)?.as_str()));
    of_context && name == Some("approval")
}

fn speaks_of_approval(expression: &Value) -> bool {
    match expression {
        Value::Object(members) => {
            let reads = expression.get("attr").and_then(Value::as_str) == Some("approval");
            let of_context = expression.pointer("/left/Var").and_then(Value::as_str) == Some("context");
            (reads && of_context) || members.values().any(speaks_of_approval)
        }
        Value::Array(all) => all.iter().any(speaks_of_approval),
        _ => false,
    }
}

/// Finds approval policies that can hold for one call and have no approver in common: the number of each, and the text
/// about it and an earlier one.
pub(super) fn apart<'p>(
    asking: impl Iterator<Item = (&'p Policy, &'p BTreeSet<String>)>,
    vocabulary: &Vocabulary,
) -> Vec<(usize, String)> {
    let asking: Vec<_> = asking
        .map(|(policy, roles)| (policy.annotation("id").unwrap_or_default(), roles, Reach::of(policy)))
        .collect();
    let mut tools: Vec<_> = vocabulary.tools.iter().map(|(name, known)| (name.as_str(), known)).collect();
    tools.sort_by_key(|(name, _)| *name);
    let (mut told, mut left) = (Vec::new(), COMPARED);
    let list = |roles: &BTreeSet<String>| {
        roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(" or ")
    };
    for (number, (id, roles, reach)) in asking.iter().enumerate() {
        let before =
            asking.iter().take(number).filter(|(_, others, at)| roles.is_disjoint(others) && reach.meets(at));
        let meeting = before.filter_map(|(other, others, at)| {
            left = left.checked_sub(1)?;
            let both = |(name, tool): &&(&str, &Known)| reach.covers(name, tool) && at.covers(name, tool);
            Some((other, others, tools.iter().find(both)?.0))
        });
        for (other, others, tool) in meeting.take(TOLD) {
            let (roles, others) = (list(roles), list(others));
            let says = format!(
                "`{id}` asks for an approval by {roles}, and `{other}` by {others}: a call that both forbid, such as one of \
                 `{tool}`, can be approved by nobody"
            );
            told.push((number, says));
        }
    }
    told
}

/// Where a policy can hold, as far as its scope says.
struct Reach {
    principal: Option<EntityUid>,
    actions: Option<BTreeSet<String>>,
    resource: Option<EntityUid>,
    outside_only: bool,
}

impl Reach {
    fn of(policy: &Policy) -> Self {
        let id = |uid: EntityUid| uid.id().unescaped().to_owned();
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Eq(uid)
            | PrincipalConstraint::In(uid)
            | PrincipalConstraint::IsIn(_, uid) => Some(uid),
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
                Some(uid)
            }
            ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        };
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(uid) => Some(BTreeSet::from([id(uid)])),
            ActionConstraint::In(uids) => Some(uids.into_iter().map(id).collect()),
        };
        let json = policy.to_json().unwrap_or_default();
        let conditions = json.get("conditions").and_then(Value::as_array).into_iter().flatten();
        let mut whens = conditions.filter(|one| one.get("kind").and_then(Value::as_str) == Some("when"));
        let outside_only = whens.any(|one| one.get("body").is_some_and(needs_outside));
        Self { principal, actions, resource, outside_only }
    }

    /// Returns whether both can hold for the same user.
    fn meets(&self, other: &Self) -> bool {
        let (Some(one), Some(two)) = (&self.principal, &other.principal) else { return true };
        let kind = one.type_name().to_string();
        // A user has many roles, but one tenant.
        one == two || one.type_name() != two.type_name() || kind == "Role"
    }

    /// Returns whether it can hold for a call of this tool.
    fn covers(&self, name: &str, tool: &Known) -> bool {
        let action = self.actions.as_ref().is_none_or(|named| {
            [name, tool.effect.name(), CALL].into_iter().any(|action| named.contains(action))
        });
        let resource = self.resource.as_ref().is_none_or(|uid| {
            let wanted = if uid.type_name().to_string() == "Server" { server_of(name) } else { name };
            uid.id().unescaped() == wanted
        });
        action && resource && (tool.sends_outside || !self.outside_only)
    }
}

/// Returns whether the condition cannot hold for a tool that sends nothing outside.
fn needs_outside(condition: &Value) -> bool {
    if let Some(parts) = condition.get("&&") {
        return ["left", "right"].into_iter().filter_map(|side| parts.get(side)).any(needs_outside);
    }
    condition.pointer("/./left/Var").and_then(Value::as_str) == Some("resource")
        && condition.pointer("/./attr").and_then(Value::as_str) == Some("sendsOutside")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_lifts_what_holds_without_it_and_not_with_it() {
        let lifted = |conditions: &str| {
            let policy: Policy =
                format!("forbid (principal, action, resource) {conditions};").parse().unwrap();
            can_be_lifted(&policy.to_json().unwrap())
        };
        for good in [
            "unless { context has approval }",
            "when { !(context has approval) }",
            "when { context.args.a > 5 } unless { context has approval }",
            "when { context.args.a > 5 && !(context has approval) }",
            "unless { context has approval && context.approval.roles.contains(\"x\") }",
            "unless { context has approval.by && context.approval.by == \"sue\" }",
            "unless { context.agent == \"a\" || (context has approval && context.via == \"chat\") }",
            "when { if context has approval then context.via == \"mcp\" else true }",
        ] {
            assert!(lifted(good), "{good}");
        }
        for bad in [
            "",
            "when { context.args.a > 5 }",
            "when { context has approval }",
            "unless { !(context has approval) }",
            "unless { context.agent == \"a\" }",
            "unless { context has approval && context.agent == \"a\" && context.agent != \"a\" && false }",
        ] {
            assert!(!lifted(bad), "{bad}");
        }
    }
}
