//! Decides questions.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use cedar_policy::{
    Context, Decision as CedarDecision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};

use super::{
    Approved, Decision, Question, Snapshot, Subject, Verdict,
    reads::Unseen,
    ready::Ready,
    schema::{CALL, COMPLETE, Known, RESTORE, is_unseen, server_of, user},
};
use crate::{id::ToolName, time::Timestamp};

/// A question with everything that Cedar needs, except the approval.
struct Prepared<'s> {
    ready: Arc<Ready>,
    context: Vec<(String, RestrictedExpression)>,
    /// Arguments that are missing from the context.
    unseen: Vec<Unseen>,
    snapshot: &'s Snapshot,
}

/// The answer of Cedar.
#[derive(Debug)]
struct Answer {
    allowed: bool,
    /// Numbers of the deciding policies, in the order of their ids.
    deciding: Vec<usize>,
    errors: Vec<Arc<str>>,
}

/// What an approval can change about an answer.
enum Lift {
    /// Nothing.
    No,
    /// An approval by someone with one of these roles lifts it.
    By(BTreeSet<String>),
    /// An approval is required, and no one can give it.
    Nobody(&'static str),
}

/// Reason why no one can approve.
const APART: &str =
    "They ask for approvals by different roles, and nobody can approve for all of them: this is refused.";
const NEVER_WAITS: &str = "Only calls of tools can wait for an approval: this is refused.";

impl Snapshot {
    /// Decides a question.
    ///
    /// An approval is an input, never a bypass: it counts only if policy requires one without it, and only if the
    /// approver has a role that is asked for.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        match self.prepare(question) {
            Ok(prepared) => match self.unweighed(&prepared, question) {
                Some(refused) => refused,
                None => self.weigh(&prepared, question),
            },
            Err(reason) => self.denied(reason),
        }
    }

    /// Refuses a question that lacks something a policy reads.
    fn unweighed(&self, prepared: &Prepared<'_>, question: &Question<'_>) -> Option<Decision> {
        let claims = question.principal.metadata.iter().filter(|(_, value)| is_unseen(value));
        let claims: Vec<&String> = claims.map(|(name, _)| name).collect();
        if prepared.unseen.is_empty() && claims.is_empty() {
            return None;
        }
        let candidates = prepared.ready.policies.policies().filter_map(|policy| self.by_id.get(policy.id()));
        let mut reading: Vec<(Arc<str>, String)> = candidates
            .filter_map(|number| {
                let policy = self.policies.get(*number)?;
                let argument = prepared.unseen.iter().find(|unseen| policy.reads.looks_at(unseen));
                let claim = || claims.iter().find(|claim| policy.reads.looks_at_tag(claim));
                let says = argument.map(|unseen| unseen.says.clone()).or_else(|| {
                    claim().map(|claim| {
                        format!("the claim `{claim}`, which must be a text, a number, true or false")
                    })
                })?;
                Some((Arc::clone(&policy.id), says))
            })
            .collect();
        reading.sort();
        let (id, says) = reading.first()?;
        let refused = self.denied(format!("This is refused, since policy `{id}` reads {says}."));
        Some(Decision { errors: reading.into_iter().map(|(id, _)| id).collect(), ..refused })
    }

    fn weigh(&self, prepared: &Prepared<'_>, question: &Question<'_>) -> Decision {
        let plain = prepared.ask(None);
        if plain.allowed || !plain.errors.is_empty() {
            return self.decision(&plain, Lift::No);
        }
        let Some((roles, all)) = self.approvers(&plain) else { return self.decision(&plain, Lift::No) };
        let waits = matches!(question.subject, Subject::Call { .. } | Subject::List { .. });
        let given = question.approved.filter(|one| waits && !one.roles.is_disjoint(&roles));
        // Without an approval: would the call be allowed if someone with such a role approved?
        let supposed =
            Approved { by: String::new(), roles: if roles.is_empty() { all } else { roles.clone() } };
        let then = prepared.ask(Some(given.unwrap_or(&supposed)));
        match given {
            Some(_) => self.decision(&then, Lift::No),
            None if then.allowed && !waits => self.decision(&plain, Lift::Nobody(NEVER_WAITS)),
            None if then.allowed && roles.is_empty() => self.decision(&plain, Lift::Nobody(APART)),
            None if then.allowed => self.decision(&plain, Lift::By(roles)),
            None if then.errors.is_empty() => self.decision(&plain, Lift::No),
            None => self.decision(&then, Lift::No),
        }
    }

    /// Returns the roles that could lift every `forbid` of this answer, and those of which each could lift one; `None`
    /// if one of them cannot be lifted.
    fn approvers(&self, answer: &Answer) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
        let (mut all, mut any): (Option<BTreeSet<String>>, _) = (None, BTreeSet::new());
        for number in &answer.deciding {
            let roles = self.policies.get(*number)?.approvers.as_ref()?;
            all = Some(all.map_or_else(|| roles.clone(), |all| &all & roles));
            any.extend(roles.iter().cloned());
        }
        all.map(|all| (all, any))
    }

    fn decision(&self, answer: &Answer, lift: Lift) -> Decision {
        let deciding: Vec<_> =
            answer.deciding.iter().filter_map(|number| self.policies.get(*number)).collect();
        let policies: Vec<Arc<str>> = deciding.iter().map(|policy| Arc::clone(&policy.id)).collect();
        let does = match &lift {
            Lift::By(_) | Lift::Nobody(_) => "asks for an approval",
            Lift::No if answer.allowed && answer.errors.is_empty() => "allows this",
            Lift::No => "does not allow this",
        };
        let told = |policy: &&super::Compiled| {
            let id = &policy.id;
            match policy.reason.as_deref().filter(|_| !answer.allowed) {
                None => format!("Policy `{id}` {does}."),
                Some(reason) => format!("Policy `{id}` {does}: {reason}"),
            }
        };
        let mut reason = if let [first, ..] = answer.errors.as_slice() {
            format!("Policy `{first}` could not be evaluated, so this is refused.")
        } else if deciding.is_empty() {
            "No policy allows this.".to_owned()
        } else {
            deciding.iter().map(told).collect::<Vec<_>>().join(" ")
        };
        if let Lift::Nobody(why) = lift {
            reason.push(' ');
            reason.push_str(why);
        }
        let verdict = match lift {
            Lift::By(roles) => Verdict::NeedsApproval { roles },
            Lift::No if answer.allowed && answer.errors.is_empty() => Verdict::Allow,
            Lift::No | Lift::Nobody(_) => Verdict::Deny,
        };
        Decision {
            verdict,
            policies,
            errors: answer.errors.clone(),
            reason,
            version: Arc::clone(&self.version),
        }
    }

    fn denied(&self, reason: String) -> Decision {
        let version = Arc::clone(&self.version);
        Decision { verdict: Verdict::Deny, policies: Vec::new(), errors: Vec::new(), reason, version }
    }

    fn prepare<'s>(&'s self, question: &Question<'_>) -> Result<Prepared<'s>, String> {
        let ready = self.ready.of(question, || self.make_ready(question))?;
        let (mut context, mut unseen) = (facts(question), Vec::new());
        if let Subject::Call { tool, arguments } = question.subject {
            let (seen, left_out) = self.known(tool)?.arguments.value(arguments);
            context.push(("args".to_owned(), seen));
            unseen = left_out;
        }
        if let Subject::Restore { label } = question.subject {
            context.push(("label".to_owned(), RestrictedExpression::new_string(label.to_owned())));
        }
        Ok(Prepared { ready, context, unseen, snapshot: self })
    }

    fn known(&self, tool: &ToolName) -> Result<&Known, String> {
        self.vocabulary.tools.get(tool).ok_or_else(|| "No policy knows this tool.".to_owned())
    }

    fn make_ready(&self, question: &Question<'_>) -> Result<Ready, String> {
        let types = &self.vocabulary.types;
        let unclear =
            |error: &dyn std::fmt::Display| format!("The facts of this request cannot be weighed: {error}.");
        let (action, resource, entities, groups) = match question.subject {
            Subject::Call { tool, .. } | Subject::List { tool } => {
                let known = self.known(tool)?;
                let groups = vec![
                    types.action(known.effect.name()),
                    types.action(CALL),
                    types.server(server_of(tool.as_str())),
                ];
                (known.action.clone(), known.resource.clone(), known.entities.clone(), groups)
            }
            Subject::Complete { model } => {
                (types.action(COMPLETE), types.model(model), Entities::empty(), Vec::new())
            }
            Subject::Restore { .. } => {
                let agent = types.agent(question.agent.as_str());
                (types.action(RESTORE), agent, Entities::empty(), Vec::new())
            }
        };
        let entity = user(question.principal, types).map_err(|error| unclear(&error))?;
        let (actions, resources) = match groups.as_slice() {
            [effect, call, server] => (vec![&action, effect, call], vec![&resource, server]),
            _ => (vec![&action], vec![&resource]),
        };
        let policies = self.candidates(question, &entity, &actions, &resources);
        let user = entity.uid();
        let entities = entities.add_entities([entity], None).map_err(|error| unclear(&error))?;
        Ok(Ready { user, action, resource, entities, policies })
    }

    /// Returns the policies whose scope can match.
    fn candidates(
        &self,
        question: &Question<'_>,
        user: &Entity,
        actions: &[&EntityUid],
        resources: &[&EntityUid],
    ) -> PolicySet {
        let types = &self.vocabulary.types;
        let principal = question.principal;
        let parents: Vec<EntityUid> = principal
            .roles
            .iter()
            .map(|role| types.role(role))
            .chain([types.tenant(principal.tenant.as_str()), user.uid()])
            .collect();
        let open = matches!(question.subject, Subject::List { .. });
        let found = self.index.find(parents.iter(), actions, resources);
        let mut set = PolicySet::new();
        for policy in found.iter().filter_map(|number| self.policies.get(*number as usize)) {
            let form = if open { &policy.list } else { &policy.call };
            // Ids are unique, so adding cannot fail.
            drop(set.add(form.clone()));
        }
        set
    }
}

impl Prepared<'_> {
    fn ask(&self, approved: Option<&Approved>) -> Answer {
        let mut context = self.context.clone();
        context.extend(approved.and_then(approval));
        let refused =
            |why: &str| Answer { allowed: false, deciding: Vec::new(), errors: vec![Arc::from(why)] };
        let Ok(context) = Context::from_pairs(context) else { return refused("(facts)") };
        let Ready { user, action, resource, entities, policies } = &*self.ready;
        let Ok(request) = Request::new(user.clone(), action.clone(), resource.clone(), context, None) else {
            return refused("(facts)");
        };
        let response = self.snapshot.authorizer.is_authorized(&request, policies, entities);
        let snapshot = self.snapshot;
        let number = |id| snapshot.by_id.get(id).copied();
        let mut deciding: Vec<usize> = response.diagnostics().reason().filter_map(number).collect();
        deciding.sort_by_key(|number| snapshot.policies.get(*number).map(|policy| &policy.id));
        let erring: HashSet<usize> = response
            .diagnostics()
            .errors()
            .filter_map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(error) => number(error.policy_id()),
            })
            .collect();
        let mut errors: Vec<Arc<str>> = erring
            .iter()
            .filter_map(|number| snapshot.policies.get(*number))
            .map(|policy| Arc::clone(&policy.id))
            .collect();
        errors.sort();
        // WHY: Cedar skips a policy that errs. If that was a `forbid`, continuing would allow the call by mistake.
        let allowed = response.decision() == CedarDecision::Allow && errors.is_empty();
        Answer { allowed, deciding, errors }
    }
}

/// Returns the facts that every question has.
fn facts(question: &Question<'_>) -> Vec<(String, RestrictedExpression)> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let mut facts = Vec::with_capacity(6);
    facts.push(("agent".to_owned(), text(question.agent.as_str())));
    facts.push(("via".to_owned(), text(question.via.name())));
    facts.push((
        "taint".to_owned(),
        RestrictedExpression::new_set(question.taint.iter().map(|one| text(one))),
    ));
    let [hour, minute, weekday] = hour_minute_weekday(question.at);
    let parts = [("hour", hour), ("minute", minute), ("weekday", weekday)];
    let parts = parts.map(|(name, number)| (name.to_owned(), RestrictedExpression::new_long(number)));
    facts.extend(RestrictedExpression::new_record(parts).ok().map(|time| ("time".to_owned(), time)));
    facts
}

fn approval(approved: &Approved) -> Option<(String, RestrictedExpression)> {
    let roles = approved.roles.iter().map(|role| RestrictedExpression::new_string(role.clone()));
    let parts = [
        ("by".to_owned(), RestrictedExpression::new_string(approved.by.clone())),
        ("roles".to_owned(), RestrictedExpression::new_set(roles)),
    ];
    RestrictedExpression::new_record(parts).ok().map(|record| ("approval".to_owned(), record))
}

/// Returns hour, minute and weekday in UTC; Monday is 1, as in ISO 8601.
fn hour_minute_weekday(at: Timestamp) -> [i64; 3] {
    let secs = at.secs();
    let (days, of_day) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    // 1970-01-01 was a Thursday.
    [of_day / 3_600, of_day / 60 % 60, (days + 3).rem_euclid(7) + 1]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::super::{Source, Via};
    use super::*;
    use crate::{
        id::ToolName,
        principal::{Principal, Proof},
        tool::{Effect, ToolSpec},
    };

    fn tool(name: &str, effect: &str) -> ToolSpec {
        serde_json::from_value(json!({
            "name": name, "description": "", "effect": effect,
            "input_schema": { "type": "object", "required": ["amount"],
                "properties": { "amount": { "type": "number" }, "note": { "type": "string" } } },
        }))
        .unwrap()
    }

    fn compile(text: &str) -> Snapshot {
        let tools = [
            tool("a__look", "read"),
            tool("a__change", "write"),
            tool("b__change", "write"),
            tool("b__drop", "destructive"),
        ];
        assert_eq!(tools.first().map(|tool| tool.effect), Some(Effect::Read));
        Snapshot::compile(&[Source::new("test.cedar", text)], &tools).unwrap()
    }

    fn user(user: &str, tenant: &str, roles: &[&str]) -> Principal {
        Principal {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..Principal::new(tenant, user, "test", Proof::Jwt)
        }
    }

    fn asked<T>(principal: &Principal, subject: Subject<'_>, ask: impl FnOnce(&Question<'_>) -> T) -> T {
        let (agent, taint) = ("support".into(), BTreeSet::new());
        ask(&Question {
            principal,
            subject,
            at: Timestamp(0),
            agent: &agent,
            via: Via::Chat,
            taint: &taint,
            approved: None,
        })
    }

    /// Builds a policy for each combination of scopes, each with its own id.
    fn every_scope(effect: &str) -> String {
        let principals = [
            "principal",
            "principal is User",
            "principal == User::\"acme/test/ann\"",
            "principal in User::\"acme/test/ann\"",
            "principal in Role::\"support\"",
            "principal is User in Role::\"boss\"",
            "principal in Tenant::\"acme\"",
        ];
        let actions = [
            "action",
            "action == Action::\"a__change\"",
            "action in Action::\"call\"",
            "action in Action::\"write\"",
            "action in [Action::\"read\", Action::\"b__drop\"]",
            "action == Action::\"complete\"",
        ];
        let resources = [
            "resource",
            "resource is Tool",
            "resource == Tool::\"a__change\"",
            "resource in Server::\"b\"",
            "resource is Tool in Server::\"a\"",
        ];
        let mut text = String::new();
        let mut number = 0;
        for principal in principals {
            for action in actions {
                // A model is not a tool: Cedar would report that such a policy can never apply, so it is left out.
                for resource in resources
                    .iter()
                    .filter(|_| !action.contains("complete"))
                    .chain(["resource"].iter().filter(|_| action.contains("complete")))
                {
                    number += 1;
                    text.push_str(&format!(
                        "@id(\"{effect}-{number}\") {effect} ({principal}, {action}, {resource});\n"
                    ));
                }
            }
        }
        text
    }

    #[test]
    fn the_slice_decides_as_the_whole_set_does() {
        let permits = compile(&every_scope("permit"));
        let forbids = compile(&every_scope("forbid"));
        let users = [
            user("ann", "acme", &[]),
            user("ann", "acme", &["support"]),
            user("ann", "other", &["support", "boss"]),
            user("bob", "acme", &["boss", "guest"]),
            user("acme/ann", "acme/ann", &["Support"]),
        ];
        let arguments: Map<String, Value> = Map::from_iter([("amount".to_owned(), json!(1))]);
        let tools = ["a__look", "a__change", "b__change", "b__drop"].map(ToolName::from);
        let subjects: Vec<Subject<'_>> = tools
            .iter()
            .flat_map(|tool| [Subject::Call { tool, arguments: &arguments }, Subject::List { tool }])
            .chain([Subject::Complete { model: "small" }])
            .collect();
        let mut smaller = 0;
        for snapshot in [&permits, &forbids] {
            for (principal, subject) in
                users.iter().flat_map(|user| subjects.iter().map(move |subject| (user, *subject)))
            {
                asked(principal, subject, |question| {
                    let mut prepared = snapshot.prepare(question).unwrap();
                    let sliced = prepared.ask(None);
                    smaller +=
                        usize::from(prepared.ready.policies.num_of_policies() < snapshot.policies.len());
                    Arc::make_mut(&mut prepared.ready).policies =
                        PolicySet::from_policies(snapshot.policies.iter().map(|one| one.call.clone()))
                            .unwrap();
                    let whole = prepared.ask(None);
                    assert_eq!(
                        (sliced.allowed, sliced.deciding, sliced.errors),
                        (whole.allowed, whole.deciding, whole.errors),
                        "{question:?}"
                    );
                });
            }
        }
        assert_eq!(smaller, 2 * users.len() * subjects.len(), "a slice that is the whole set proves nothing");
    }

    fn condition() -> impl Strategy<Value = String> {
        let atoms = prop::sample::select(vec![
            "context.args.amount_hundredths > 500",
            "context.args.amount_hundredths < 200",
            "context.args has note",
            "(context.args has note && context.args.note == \"x\")",
            "principal.tenant == \"acme\"",
            "principal in Role::\"support\"",
            "resource.sendsOutside",
            "context.time.hour < 12",
        ]);
        atoms.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
                inner.clone().prop_map(|a| format!("!({a})")),
                (inner.clone(), inner.clone(), inner)
                    .prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn whatever_can_be_called_is_listed(
            rules in prop::collection::vec((any::<bool>(), any::<bool>(), condition()), 1..5),
        ) {
            let mut text = String::new();
            for (number, (permit, when, condition)) in rules.iter().enumerate() {
                let effect = if *permit || number == 0 { "permit" } else { "forbid" };
                let kind = if *when { "when" } else { "unless" };
                let scope = "principal, action == Action::\"a__change\", resource";
                text.push_str(&format!("@id(\"p{number}\") {effect} ({scope}) {kind} {{ {condition} }};\n"));
            }
            let snapshot = compile(&text);
            let tool: ToolName = "a__change".into();
            for principal in [user("ann", "acme", &["support"]), user("bob", "other", &[])] {
                let listed = asked(&principal, Subject::List { tool: &tool }, |question| snapshot.decide(question));
                prop_assert!(listed.errors.is_empty());
                let looks_at_arguments = rules.iter().any(|(_, _, condition)| condition.contains("args"));
                for (amount, note) in [(1.0, None), (3.0, Some("x")), (9.0, Some("y")), (9.0, None), (1.0, Some("x"))] {
                    let mut arguments = Map::from_iter([("amount".to_owned(), json!(amount))]);
                    arguments.extend(note.map(|note| ("note".to_owned(), json!(note))));
                    let call = Subject::Call { tool: &tool, arguments: &arguments };
                    let called = asked(&principal, call, |question| snapshot.decide(question));
                    if called.verdict == Verdict::Allow || !looks_at_arguments {
                        prop_assert_eq!(&called.verdict, &listed.verdict, "{}", text);
                    }
                }
            }
        }
    }
}
