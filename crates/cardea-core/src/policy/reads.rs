//! What a policy reads of a call's arguments and of the user's metadata.
//!
//! Cedar represents texts, booleans and integers. A value that it cannot represent is not in the question, and to a
//! policy that uses `has` it would seem absent. A question is therefore refused if a policy that can matter for it
//! reads a value that exists but was left out.

use serde_json::Value;

/// A value that exists but that policies cannot see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unseen {
    /// The records that lead to it, as policies name them.
    pub(super) within: Vec<String>,
    /// The names under which a policy may look for it.
    pub(super) names: Vec<String>,
    /// What it is and what would fit, for people: "the argument `amount`, which must be …".
    pub(super) says: String,
}

/// What one policy reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// Paths below `context.args`; an empty one is all of it.
    arguments: Vec<(Vec<String>, Look)>,
    /// Tags of the user; `None` if only the question tells the name.
    tags: Vec<Option<String>>,
    /// Whether it distinguishes users with the same rights: by a name, an issuer or a client.
    persons: bool,
    /// Whether it depends on the kind of credential.
    proof: bool,
}

/// How a policy reads a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Only whether it exists.
    Presence,
    /// The value with all its parts.
    Whole,
}

impl Reads {
    /// Returns what the policy with this JSON form reads.
    pub(super) fn of(policy: &Value) -> Self {
        let persons = names_a_user(policy) || looks_at(policy, &OF_ONE);
        let mut reads = Self { persons, proof: looks_at(policy, &[PROOF]), ..Self::default() };
        reads.collect(policy.get("conditions").unwrap_or(&Value::Null));
        reads
    }

    /// Returns false if a policy with this text certainly reads nothing that this module tracks.
    pub(super) fn may_look_further(text: &str) -> bool {
        WORDS.iter().any(|word| text.contains(word))
    }

    /// Returns the reads of a policy for which they are unknown: everything.
    pub(super) fn everything() -> Self {
        Self { arguments: vec![(Vec::new(), Look::Whole)], tags: vec![None], persons: true, proof: true }
    }

    /// Returns whether the policy reads this argument, a part of it, or a record that contains it.
    pub(super) fn looks_at(&self, unseen: &Unseen) -> bool {
        let within = &unseen.within;
        self.arguments.iter().any(|(path, look)| {
            let along = path.iter().zip(within).all(|(read, at)| read == at);
            along
                && match path.get(within.len()) {
                    Some(name) => unseen.names.contains(name),
                    // A record exists, whatever it lacks.
                    None => *look == Look::Whole,
                }
        })
    }

    /// Returns whether the policy reads this tag of the user.
    pub(super) fn looks_at_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|read| read.as_deref().is_none_or(|read| read == tag))
    }

    /// Returns whether the policy distinguishes users with the same rights.
    pub(super) fn tells_persons_apart(&self) -> bool {
        self.persons
    }

    /// Returns whether the policy depends on the kind of credential.
    pub(super) fn asks_for_proof(&self) -> bool {
        self.proof
    }

    fn collect(&mut self, expression: &Value) {
        let members = match expression {
            Value::Array(all) => return all.iter().for_each(|one| self.collect(one)),
            Value::Object(members) => members,
            _ => return,
        };
        if is_context(expression) {
            return self.arguments.push((Vec::new(), Look::Whole));
        }
        for (operator, parts) in members {
            match (operator.as_str(), parts.get("left")) {
                ("." | "has", Some(left)) => match path(left) {
                    Some(path) => self.below(path, operator, &names(parts)),
                    None if is_context(left) => match names(parts).split_first() {
                        Some((&"args", [])) if operator == "." => {
                            self.arguments.push((Vec::new(), Look::Whole))
                        }
                        Some((&"args", [_, ..])) => {
                            self.below(Vec::new(), operator, names(parts).get(1..).unwrap_or_default())
                        }
                        // Everything else of the context is always present, and so is the record of arguments.
                        _ => {}
                    },
                    None => self.collect(left),
                },
                ("hasTag" | "getTag", Some(left)) => {
                    let name = parts.get("right");
                    self.tags.push(name.and_then(|name| name.get("Value")?.as_str()).map(str::to_owned));
                    self.collect(left);
                    name.into_iter().for_each(|name| self.collect(name));
                }
                _ => self.collect(parts),
            }
        }
    }

    fn below(&mut self, mut path: Vec<String>, operator: &str, names: &[&str]) {
        path.extend(names.iter().map(|name| (*name).to_owned()));
        self.arguments.push((path, if operator == "has" { Look::Presence } else { Look::Whole }));
    }
}

/// Attributes that identify a user and are not part of any right.
const OF_ONE: [&str; 3] = ["user", "issuer", "client"];

/// Attribute with the kind of credential.
const PROOF: &str = "proof";

/// Words without which a policy reads nothing that this module tracks.
const WORDS: [&str; 7] = ["context", "Tag", "User", "user", "issuer", "client", PROOF];

/// Returns whether it names a user.
fn names_a_user(expression: &Value) -> bool {
    match expression {
        Value::Array(all) => all.iter().any(names_a_user),
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str);
            (kind == Some("User") && members.contains_key("id")) || members.values().any(names_a_user)
        }
        _ => false,
    }
}

/// Returns whether it reads one of these attributes of a user.
fn looks_at(expression: &Value, attributes: &[&str]) -> bool {
    let members = match expression {
        Value::Array(all) => return all.iter().any(|one| looks_at(one, attributes)),
        Value::Object(members) => members,
        _ => return false,
    };
    let looks = |operator: &str| {
        let Some(parts) = members.get(operator) else { return false };
        let named = names(parts).first().is_some_and(|name| attributes.contains(name));
        // An argument or a tool may have such a name as well.
        named && !matches!(parts.get("left").and_then(root), Some("context" | "resource"))
    };
    looks(".") || looks("has") || members.values().any(|member| looks_at(member, attributes))
}

/// Returns the variable at the beginning of an attribute chain.
fn root(expression: &Value) -> Option<&str> {
    match expression.get(".").or_else(|| expression.get("has")) {
        Some(parts) => root(parts.get("left")?),
        None => expression.get("Var")?.as_str(),
    }
}

/// Returns the names after a dot or `has`; `has` may have several.
fn names(parts: &Value) -> Vec<&str> {
    match parts.get("attr") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None => Vec::new(),
    }
}

fn is_context(expression: &Value) -> bool {
    expression.get("Var").and_then(Value::as_str) == Some("context")
}

/// Returns the names after `context.args`, if this is nothing but such a chain.
fn path(expression: &Value) -> Option<Vec<String>> {
    let parts = expression.get(".")?;
    let (left, name) = (parts.get("left")?, parts.get("attr")?.as_str()?);
    if is_context(left) {
        return (name == "args").then(Vec::new);
    }
    let mut path = path(left)?;
    path.push(name.to_owned());
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(condition: &str) -> (Vec<String>, Vec<Option<String>>) {
        let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
        let policy: cedar_policy::Policy = text.parse().unwrap();
        let reads = Reads::of(&policy.to_json().unwrap());
        (reads.arguments.iter().map(|(path, _)| path.join(".")).collect(), reads.tags)
    }

    #[test]
    fn a_policy_that_tells_persons_apart_is_known() {
        let reads = |policy: &str| {
            let policy: cedar_policy::Policy = policy.parse().unwrap();
            Reads::of(&policy.to_json().unwrap())
        };
        let tells = |policy: &str| reads(policy).tells_persons_apart();
        for policy in [
            r#"forbid (principal == User::"a/b/ann", action, resource);"#,
            r#"forbid (principal in User::"a/b/ann", action, resource);"#,
            r#"permit (principal, action, resource) unless { principal == User::"a/b/ann" };"#,
            r#"permit (principal, action, resource) when { principal.user == "ann" };"#,
            r#"permit (principal, action, resource) when { principal["issuer"] like "https:*" };"#,
            r#"permit (principal, action, resource) when { principal has client };"#,
            r#"permit (principal, action, resource) when { [User::"a/b/ann"].contains(principal) };"#,
            r#"permit (principal, action, resource) when { (if true then principal else principal).user == "a" };"#,
        ] {
            assert!(tells(policy), "{policy}");
        }
        for policy in [
            r#"permit (principal in Role::"User", action, resource);"#,
            r#"permit (principal, action, resource) when { principal.tenant == "user" };"#,
            r#"permit (principal, action, resource) when { context.args.user == "ann" && context has args };"#,
            r#"permit (principal, action, resource) when { principal.proof == "jwt" || resource.name == "user" };"#,
        ] {
            assert!(!tells(policy), "{policy}");
            assert_eq!(reads(policy).asks_for_proof(), policy.contains("proof"), "{policy}");
        }
    }

    #[test]
    fn every_way_to_an_argument_is_found() {
        for (condition, paths) in [
            ("context.args.a > 5", &["a"][..]),
            ("context.args has a && context.args.a > 5", &["a", "a"]),
            ("context[\"args\"][\"a\"] == 5", &["a"]),
            ("context.args.where.city == \"x\"", &["where.city"]),
            ("context.args.where has city", &["where.city"]),
            ("context.args.tags.contains(\"x\")", &["tags"]),
            ("[context.args.a].contains(5)", &["a"]),
            ("{ x: context.args.a }.x == 5", &["a"]),
            ("context.args == { a: 5 }", &[""]),
            ("(if principal.tenant == \"x\" then context.args else context.args).a == 5", &["", ""]),
            ("{ c: context }.c.args.a == 5", &[""]),
            ("context.agent == \"x\" && context has approval", &[]),
            ("context has args", &[]),
            ("!(context.args.name like \"a*\")", &["name"]),
        ] {
            let found = reads(condition).0;
            assert_eq!(found, paths, "{condition}");
        }
        // However Cedar represents a chain after `has`, its last name is found.
        let (extended, _) = reads("context.args has where.city");
        assert!(extended.iter().any(|path| path == "where.city"), "{extended:?}");
        let (extended, _) = reads("context has args.a");
        assert_eq!(extended, ["a"]);
    }

    #[test]
    fn every_tag_is_found() {
        let (paths, tags) = reads("principal.hasTag(\"plan\") && principal.getTag(context.args.a) == \"x\"");
        assert_eq!(tags, [Some("plan".to_owned()), None]);
        assert_eq!(paths, ["a"]);
    }
}
